"""Puts the company into a database: its rows, and what the product makes of its orders and payments in the books."""

from __future__ import annotations

import asyncpg

from crmgql.db import WITHOUT_DAYS, Transaction
from crmgql.domain.money import receipts
from crmgql.domain.sales import revenue
from crmgql.records.records import Act
from crmgql.viewer import system, system_clock
from tests.access import company_bank, company_books, company_invoices, company_plans
from tests.access.company import rows
from tests.access.dice import Row
from tests.access.values import DOCUMENT

LATER = (
    *(("users", "team_id"), ("customers", "parent_id"), ("leads", "routing_id")),
    *(("email_messages", "invoice_id"), ("email_messages", "credit_note_id")),
)
"""Foreign keys to rows that come later."""

POSTED = (
    *("allocations", "write_offs", "suspense_receipts", "refunds", "disputes", "payouts"),
    *company_invoices.TABLES,
    *company_bank.BOOKED,
    *company_plans.TABLES,
)
"""What is as its entries are, which these are not: inserted with the triggers off."""


async def load(connection: asyncpg.Connection) -> None:
    """Inserts everything, with all constraints on."""
    made = rows()
    await connection.execute(
        "DELETE FROM stages; DELETE FROM pipelines; DELETE FROM books; DELETE FROM companies"
    )  # those that every database starts with
    await connection.execute(
        "SET session_replication_role = replica; DELETE FROM fx_rates; RESET session_replication_role"
    )  # what is append-only, a replica may delete
    await connection.execute(
        "INSERT INTO documents (hash, text, purpose) VALUES (encode(sha256($1::bytea), 'hex'), $2, 'PAYLOAD')",
        DOCUMENT.encode(),
        DOCUMENT,
    )
    async with connection.transaction():
        for table, listed in made.items():
            if table not in (*POSTED, "ledger_entries"):
                await _insert(connection, table, listed)
        act = Act(Transaction(connection, WITHOUT_DAYS), system(system_clock))
        await revenue.follow(act, [row["id"] for row in made["orders"]])
        await receipts.follow(act, [row["id"] for row in made["payments"]])
    async with connection.transaction():  # those that are made have other ids on each run
        await connection.execute("SET LOCAL session_replication_role = replica")
        for table in POSTED:
            await connection.execute(f"DELETE FROM {table}")
            await _insert(connection, table, made[table])
        for row in made["payments"]:
            given = (row["invoice_id"], row["suspense_id"], row["paid_from_id"], row["id"])
            later = "UPDATE payments SET invoice_id = $1, suspense_id = $2, paid_from_id = $3 WHERE id = $4"
            await connection.execute(later, *given)
        await connection.execute("DELETE FROM postings; DELETE FROM ledger_entries")
        entries = made["ledger_entries"]
        plain = [{name: each[name] for name in each if name != "created_at"} for each in entries]
        await _insert(connection, "ledger_entries", plain)
        await _insert(connection, "postings", [each for entry in entries for each in company_books.postings(entry)])
    for table, column in LATER:
        values = [(row[column], row["id"]) for row in made[table]]
        await connection.executemany(f"UPDATE {table} SET {column} = $1 WHERE id = $2", values)
    await connection.execute("ANALYZE")


async def _insert(connection: asyncpg.Connection, table: str, listed: list[Row]) -> None:
    for row in listed:
        later = (*LATER, ("payments", "invoice_id"), ("payments", "suspense_id"), ("payments", "paid_from_id"))
        given = {name: value for name, value in row.items() if (table, name) not in later}
        names = ", ".join(given)
        places = ", ".join(f"${index}" for index in range(1, len(given) + 1))
        await connection.execute(f"INSERT INTO {table} ({names}) VALUES ({places})", *given.values())
