"""What the models declare and what the migrations made are the same, both ways: columns, keys, constraints, indexes."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import pytest_asyncio
from babel.numbers import list_currencies
from tortoise.fields.relational import ForeignKeyFieldInstance

from crmgql.records import money
from crmgql.schema import build
from crmgql.tables import catalog, declared, difference, making
from crmgql.tables.catalog import Catalog
from tests.conftest import fresh_database

UNDER_CUSTOMER = {
    "contacts",
    "orders",
    "order_lines",
    "payments",
    "commissions",
    *(
        "commission_splits",
        "commission_events",
        "commission_facts",
        "commission_shares",
        "commission_credits",
    ),
    "opportunities",
    "interactions",
    "tickets",
    "events",
    "audit_entries",
    "opportunity_actions",
    "stage_transitions",
    "stale_alerts",
    "notifications",
    "tasks",
    "leads",
    "pool_items",
    "pool_moves",
    "revenue_records",
    "revenue_lines",
    "recognition_schedules",
    "contracts",
    "contract_payments",
    "customer_standings",
    "allocations",
    "write_offs",
    "invoices",
    "invoice_lines",
    "instalments",
    "credit_notes",
    "credit_note_lines",
    "reminders",
    "email_messages",
    "provider_events",
    "bank_lines",
    "bank_suggestions",
    "refunds",
    "disputes",
    "reconciliation_exceptions",
}
BY_OWNER = {"ledger_entries", "postings", "open_items", "ledger_links"}
"""They carry their owner, who is a customer, or the company for what is no customer's."""

KEPT = {
    *("orders", "invoices", "invoice_lines", "instalments", "credit_notes", "credit_note_lines"),
    "reminders",
    "audit_links",
    "ledger_heads",
    "balances",
    "anchors",
    "anchor_heads",
    "revenue_records",
    "revenue_lines",
    "recognition_schedules",
    "allocations",
    *("commissions", "commission_events", "commission_facts", "commission_shares", "commission_credits"),
    "write_offs",
    "suspense_receipts",
    "provider_events",
    "provider_posts",
    *("bank_statements", "bank_lines"),
    "refunds",
    "disputes",
    "payouts",
    *("comp_plan_versions", "comp_rules", "comp_tiers", "comp_signatures"),
    *BY_OWNER,
}
"""What tests/ledger, tests/domain/sales, tests/domain/money, tests/domain/compensation and tests/schema/compensation try to change."""

NOT_UNDER_CUSTOMER = {"leads"}
"""Before its customer there is only the lead: what hangs on it goes by the lead."""

MODELS = declared.all_models()
TABLES = {declared.table(model): model for model in MODELS}


@pytest_asyncio.fixture(scope="module")
async def schema(servers: Any, template: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection to a migrated, empty database; the models are initialised."""
    await build.printed()
    async with fresh_database(servers.database_url, template) as url:
        connection = await asyncpg.connect(url)
        yield connection
        await connection.close()


@pytest_asyncio.fixture(scope="module")
async def migrated(schema: asyncpg.Connection) -> Catalog:
    """What the migrations made."""
    return await catalog.read(schema, "public")


@pytest_asyncio.fixture(scope="module")
async def said(schema: asyncpg.Connection) -> Catalog:
    """What the models alone make, in an empty schema beside."""
    return await making.build(schema)


def test_tortoise_is_asked_for_nothing_private() -> None:
    """It keeps metadata and the record of migrations; connections are asyncpg's own."""
    package = Path(making.__file__).parents[1]
    texts = {path: path.read_text("utf-8") for path in package.rglob("*.py")}
    assert [path for path, text in texts.items() if re.search(r"Tortoise\.\w+\([^)]*\b_[a-z]", text)] == []


def test_the_tables_are_the_models(migrated: Catalog, said: Catalog) -> None:
    assert migrated.keys() == said.keys() == TABLES.keys()


@pytest.mark.parametrize("name", sorted(TABLES))
def test_the_models_make_the_table_that_the_migrations_made(migrated: Catalog, said: Catalog, name: str) -> None:
    """Columns with types and defaults, keys, CHECKs, indexes, statistics, partitions: all as PostgreSQL words it."""
    assert migrated[name].columns == said[name].columns
    assert migrated[name].constraints == said[name].constraints
    assert migrated[name].indexes == said[name].indexes
    assert migrated[name] == said[name]


def test_there_is_nothing_to_migrate(migrated: Catalog, said: Catalog) -> None:
    assert difference.statements(migrated, said, declared.words()) == []


async def test_nothing_is_half_made_or_of_another_kind(schema: asyncpg.Connection) -> None:
    """Constraints that were never validated, indexes that failed, keys that delete along, kinds that nobody declares."""
    rows = await schema.fetch(
        "SELECT conname, contype::text AS kind, convalidated, confdeltype::text AS on_delete FROM pg_constraint"
        " JOIN pg_class ON pg_class.oid = conrelid WHERE relnamespace = 'public'::regnamespace"
    )
    assert {row["kind"] for row in rows} <= {"c", "f", "n", "p", "t", "u"}
    assert all(row["convalidated"] for row in rows)
    assert {row["on_delete"] for row in rows if row["kind"] == "f"} == {"a"}
    assert await schema.fetchval("SELECT bool_and(indisvalid) FROM pg_index")


async def test_each_foreign_key_can_be_looked_up(schema: asyncpg.Connection) -> None:
    """Its columns lead an index, or stand second behind the customer. The index may leave out rows without the key."""
    indexes: dict[str, list[list[str]]] = {}
    rows = await schema.fetch(
        """SELECT indrelid::regclass::text AS name, pg_get_expr(indpred, indrelid) AS predicate,
             ARRAY(SELECT pg_get_indexdef(indexrelid, n, true) FROM generate_series(1, indnkeyatts) n) AS keys
           FROM pg_index"""
    )
    for row in rows:
        if row["predicate"] in (None, *(f"({key} IS NOT NULL)" for key in row["keys"])):
            indexes.setdefault(row["name"], []).append(row["keys"])
    missing = []
    for model in MODELS:
        for relation in model._meta.fields_map.values():
            if isinstance(relation, ForeignKeyFieldInstance):
                column = str(relation.source_field)
                if not any(
                    keys[0] == column or keys[:2] == ["customer_id", column] for keys in indexes[declared.table(model)]
                ):
                    missing.append((declared.table(model), column))
    assert missing == []


async def test_what_is_under_a_customer_carries_the_customer(schema: asyncpg.Connection) -> None:
    """Reached by foreign keys from a customer: the distribution key is there, and asked for where there is no choice."""
    rows = await schema.fetch(
        "SELECT DISTINCT conrelid::regclass::text AS child, confrelid::regclass::text AS parent FROM pg_constraint"
        " WHERE contype = 'f' AND conrelid <> confrelid"
    )
    parts = {row[0] for row in await schema.fetch("SELECT inhrelid::regclass::text FROM pg_inherits")}
    under = {"customers"}
    while more := {row["child"] for row in rows if row["parent"] in under - NOT_UNDER_CUSTOMER} - under - parts:
        under |= more
    assert under - {"customers"} == UNDER_CUSTOMER | BY_OWNER
    carrying = await schema.fetch(
        "SELECT table_name FROM information_schema.columns JOIN information_schema.tables USING (table_schema, table_name)"
        " WHERE column_name = 'customer_id' AND table_schema = 'public' AND table_type = 'BASE TABLE'"
    )
    assert {row[0] for row in carrying} - parts - BY_OWNER - {"standing_moves", "commission_pending"} == UNDER_CUSTOMER
    carrying = await schema.fetch(
        "SELECT table_name FROM information_schema.columns WHERE column_name = 'owner_id' AND table_schema = 'public'"
    )
    assert {row[0] for row in carrying} >= BY_OWNER


async def test_both_sides_know_the_same_decimals(schema: asyncpg.Connection) -> None:
    known = {code for code in list_currencies() if len(code) == 3 and code.isascii()}
    codes = sorted(known | money.NO_DECIMALS | money.THREE_DECIMALS)
    assert len(codes) > 150
    rows = await schema.fetch("SELECT code, currency_scale(code) AS scale FROM unnest($1::text[]) AS code", codes)
    assert {row["code"]: row["scale"] for row in rows} == {code: money.scale(code) for code in codes}
    for none in ("usd", "US", "USDX", "", "U$D", None):
        assert await schema.fetchval("SELECT currency_scale($1::text)", none) is None


@pytest.mark.parametrize(
    ("amount", "currency", "fits"),
    [
        ("1.00", "USD", True),
        ("1.0", "USD", False),
        ("1.000", "USD", False),
        ("1", "JPY", True),
        ("1.0", "JPY", False),
        ("1.000", "KWD", True),
        ("999999999999999.99", "USD", True),
        ("1000000000000000.00", "USD", False),
        ("-1.00", "USD", True),
        ("NaN", "USD", False),
        ("1.00", "usd", False),
        ("1.00", None, False),
        (None, "USD", True),
    ],
)
async def test_amounts_have_their_currencys_scale(
    schema: asyncpg.Connection, amount: str | None, currency: str | None, fits: bool
) -> None:
    assert await schema.fetchval("SELECT amount_fits($1::text::numeric, $2::text)", amount, currency) is fits


LEAD = "INSERT INTO leads (name, status_since, received_at, last_activity_at) VALUES ('A', now(), now(), now());"
DEAL = "INSERT INTO opportunities (name) VALUES ('A');"
POOL = "INSERT INTO pools (name, kind) VALUES ('A', 'LEAD');"
APPENDED = {
    "events": "INSERT INTO events (kind, subject_id, subject_type, occurred_at) VALUES ('a.b', uuidv7(), 'A', now())",
    "audit_entries": "INSERT INTO audit_entries (action, subject_id, subject_type, occurred_at) VALUES ('a', uuidv7(), 'A', now())",
    "event_checkpoints": "INSERT INTO event_checkpoints (relation, month, rows) VALUES ('events', '2026-11-01', 0)",
    "erasures": "INSERT INTO erasures (erased_at) VALUES (now())",
    "tombstones": "WITH made AS (INSERT INTO erasures (erased_at) VALUES (now()) RETURNING id)"
    " INSERT INTO tombstones (erasure_id, subject_type, subject_id) SELECT id, 'Lead', id FROM made",
    "stage_transitions": f"{DEAL} INSERT INTO stage_transitions (opportunity_id, to_stage_id, occurred_at)"
    " SELECT id, stage_id, now() FROM opportunities",
    "stale_alerts": f"{DEAL} INSERT INTO stale_alerts (opportunity_id, episode, threshold, due_at, alerted_at)"
    " SELECT id, 1, 'OWNER', now(), now() FROM opportunities",
    "lead_transitions": f"{LEAD} INSERT INTO lead_transitions (lead_id, to_status, occurred_at)"
    " SELECT id, 'NEW', now() FROM leads",
    "assignment_decisions": f"{LEAD} INSERT INTO assignment_decisions (lead_id, reason, explanation, decided_at)"
    " SELECT id, 'MANUAL', 'So.', now() FROM leads",
    "fx_rates": "INSERT INTO fx_rates (currency, base_currency, effective_on, rate, source)"
    " VALUES ('EUR', 'USD', '2026-11-01', 1.25, 'MANUAL')",
    "pool_moves": f"{LEAD} {POOL} INSERT INTO pool_moves (lead_id, pool_id, kind, occurred_at)"
    " SELECT leads.id, pools.id, 'RELEASED', now() FROM leads, pools",
}
CHANGES = [
    ("events", "UPDATE events SET kind = 'x'"),
    ("events", "UPDATE events SET kept = '{\"a\": 1}'"),
    ("events", "UPDATE events SET occurred_at = now() + interval '1 day'"),
    ("events", "UPDATE events SET id = uuidv7()"),
    ("audit_entries", "UPDATE audit_entries SET kept = '{\"a\": 1}'"),
    ("audit_entries", "UPDATE audit_entries SET action = action"),
    ("stage_transitions", "UPDATE stage_transitions SET amount_after = 1, currency = 'JPY'"),
    ("stale_alerts", "UPDATE stale_alerts SET alerted_at = now() + interval '1 day'"),
    ("lead_transitions", "UPDATE lead_transitions SET to_status = 'LOST'"),
    ("assignment_decisions", "UPDATE assignment_decisions SET explanation = 'Otherwise.'"),
    ("fx_rates", "UPDATE fx_rates SET rate = 2"),
    ("pool_moves", "UPDATE pool_moves SET kind = 'CLAIMED'"),
    *((name, f"UPDATE {name} SET id = id") for name in sorted(APPENDED)),
    *((name, f"DELETE FROM {name}") for name in sorted(APPENDED)),
    *((name, f"TRUNCATE {name} CASCADE") for name in sorted(APPENDED)),
]


@asynccontextmanager
async def undone(schema: asyncpg.Connection) -> AsyncIterator[asyncpg.Connection]:
    """A transaction that leaves nothing behind."""
    running = schema.transaction()
    await running.start()
    try:
        yield schema
    finally:
        await running.rollback()


async def test_what_is_append_only_is_listed_here(schema: asyncpg.Connection) -> None:
    rows = await schema.fetch(
        "SELECT DISTINCT tgrelid::regclass::text FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid"
        " WHERE tgfoid = 'refuse_change'::regproc AND NOT relispartition"
    )
    assert {row[0] for row in rows} == APPENDED.keys() | {"event_positions"} | KEPT


@pytest.mark.parametrize(("name", "change"), CHANGES)
async def test_what_happened_cannot_be_changed(schema: asyncpg.Connection, name: str, change: str) -> None:
    async with undone(schema):
        await schema.execute(APPENDED[name])
        with pytest.raises(asyncpg.RestrictViolationError, match="append-only"):
            await schema.execute(change)


async def test_an_event_gets_its_position_once(schema: asyncpg.Connection) -> None:
    for change in (
        "UPDATE event_positions SET position = 8",
        "DELETE FROM event_positions",
        "TRUNCATE event_positions",
    ):
        async with undone(schema):
            await schema.execute(APPENDED["events"])
            await schema.execute("INSERT INTO event_positions SELECT 7, id, true, 1 FROM events")
            with pytest.raises(asyncpg.RestrictViolationError):
                await schema.execute(change)
    for position, error in ((8, asyncpg.UniqueViolationError), (0, asyncpg.CheckViolationError)):
        async with undone(schema):
            await schema.execute(APPENDED["events"])
            await schema.execute("INSERT INTO event_positions SELECT 7, id, true, 1 FROM events")
            with pytest.raises(error):
                await schema.execute(f"INSERT INTO event_positions SELECT {position}, id, true, 1 FROM events")
