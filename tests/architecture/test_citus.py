"""Unique keys that a database distributed by customer would refuse, a word each; see decision 5.

Citus enforces a unique key only if the distribution column is one of its columns. A new table keeps a claim that is not
by customer in a small table of its own; what is listed here would have to move.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest_asyncio

from tests.conftest import fresh_database

NUMBERS = "numbers are the company's: moves to a table of claims (series, year, number → document)"
ORIGIN = "the record of a source: moves to a table of claims (source, external id → record)"
KEY = "ids are unique by how they are made: becomes (customer_id, id)"
DOCUMENTS = ("invoices", "invoice_lines", "instalments", "credit_notes", "credit_note_lines")
BANK = (
    *(
        "bank_lines_pkey",
        "bank_lines_origin",
        "bank_lines_once",
        "bank_lines_payment_once",
        "bank_lines_refund_once",
        "bank_lines_suspense_once",
        "bank_lines_payout_once",
    ),
    *("bank_suggestions_pkey", "bank_suggestions_n"),
)
REFUSED = {
    "allocations_origin": ORIGIN,
    "commissions_origin": ORIGIN,
    "commission_splits_pkey": KEY,
    "commission_shares_pkey": KEY,
    "contacts_origin": ORIGIN,
    "contracts_origin": ORIGIN,
    "customers_origin": ORIGIN,
    "interactions_origin": ORIGIN,
    "opportunities_origin": ORIGIN,
    "order_lines_origin": ORIGIN,
    "orders_origin": ORIGIN,
    "payments_origin": ORIGIN,
    "stage_transitions_origin": ORIGIN,
    "tasks_origin": ORIGIN,
    "tickets_origin": ORIGIN,
    "ledger_entries_pkey": KEY,
    "revenue_records_pkey": KEY,
    "contracts_pkey": KEY,
    "contract_payments_pkey": KEY,
    "allocations_pkey": KEY,
    "write_offs_pkey": KEY,
    "payments_suspense_once": "moves to a table of claims (suspense → payment)",
    **dict.fromkeys(("invoices_origin", "credit_notes_origin"), ORIGIN),
    **dict.fromkeys(("invoices_number", "invoices_sequence", "credit_notes_number", "credit_notes_sequence"), NUMBERS),
    **dict.fromkeys((f"{table}_pkey" for table in DOCUMENTS), KEY),
    "reminders_pkey": KEY,
    "email_messages_pkey": KEY,
    "email_messages_once": "to leads, customers and us: stays where users are, or becomes a table of claims",
    "disputes_pkey": KEY,
    "disputes_origin": ORIGIN,
    "disputes_provider_reference": "moves to a table of claims (provider, reference → dispute)",
    "reconciliation_exceptions_pkey": KEY,
    "reconciliation_exceptions_origin": ORIGIN,
    "reconciliation_exceptions_once": "the company has some, too: becomes (owner_id, kind, subject_id, currency)",
    "refunds_pkey": KEY,
    "refunds_origin": ORIGIN,
    "refunds_provider_reference": "moves to a table of claims (provider, reference → refund)",
    "open_items_pkey": KEY,
    "notifications_once": "by user, not by customer: stays where users are, or becomes a table of claims",
    "opportunity_actions_once": "an opportunity has one customer: becomes (customer_id, opportunity_id, key_action_id)",
    "contracts_id_currency": "a target of foreign keys: becomes (customer_id, id, currency)",
    "contracts_number": "numbers are the company's: moves to a table of claims (number → contract)",
    "orders_id_currency": "a target of foreign keys: becomes (customer_id, id, currency)",
    "payments_id_currency": "a target of foreign keys: becomes (customer_id, id, currency)",
    "orders_number": "numbers are the company's: moves to a table of claims (number → order)",
    "payments_provider_reference": "moves to a table of claims (provider, reference → payment)",
    "provider_events_once": "by account: before it is matched it has no customer, so it stays where accounts are",
    "pool_items_lead_once": "a stay of a lead has no customer: becomes a table of claims, or goes with leads",
    "stale_alerts_once": "an opportunity has one customer: becomes (customer_id, opportunity_id, …)",
    "tasks_once": "a job's claim: moves to a table of claims (key → task)",
    "provider_events_pkey": "stays where accounts are",
    **dict.fromkeys(BANK, "before it is booked a line has no customer: stays where bank accounts are"),
    **dict.fromkeys(
        (
            *("audit_entries_pkey", "commissions_pkey", "contacts_pkey", "events_pkey", "interactions_pkey"),
            *(
                "notifications_pkey",
                "opportunities_pkey",
                "opportunity_actions_pkey",
                "order_lines_pkey",
                "orders_pkey",
            ),
            *("payments_pkey", "pool_items_pkey", "pool_moves_pkey", "stage_transitions_pkey", "stale_alerts_pkey"),
            *("tasks_pkey", "tickets_pkey"),
        ),
        KEY,
    ),
}
BY_LEAD = {"leads"}
"""Before its customer there is only the lead."""

KEYS = """
SELECT t.relname AS table, k.relname AS key,
    ARRAY(SELECT pg_get_indexdef(indexrelid, n, true) FROM generate_series(1, indnkeyatts) n) AS columns
FROM pg_index JOIN pg_class k ON k.oid = indexrelid JOIN pg_class t ON t.oid = indrelid
WHERE indisunique AND t.relnamespace = 'public'::regnamespace AND NOT t.relispartition AND (t.relname = 'customers' OR EXISTS (
    SELECT FROM pg_attribute WHERE attrelid = t.oid AND attname = 'customer_id' AND NOT attisdropped) OR t.relname = ANY ($1))"""
BOOKS = {"ledger_entries", "postings", "open_items", "ledger_heads", "ledger_links", "audit_links", "balances"}
"""Distributed by their owner: the customer, or the company, which is then a shard of its own."""


@pytest_asyncio.fixture(scope="module")
async def schema(servers: Any, template: str) -> AsyncIterator[asyncpg.Connection]:
    async with fresh_database(servers.database_url, template) as url:
        connection = await asyncpg.connect(url)
        yield connection
        await connection.close()


async def test_each_unique_key_that_citus_would_refuse_has_its_word(schema: asyncpg.Connection) -> None:
    refused = set()
    for row in await schema.fetch(KEYS, list(BOOKS)):
        distributed_by = "id" if row["table"] == "customers" else "owner_id" if row["table"] in BOOKS else "customer_id"
        if row["table"] not in BY_LEAD and distributed_by not in row["columns"]:
            refused.add(row["key"])
    assert refused == REFUSED.keys()
    assert all(REFUSED.values())
