"""What the models declare and what the migrations made are the same, both ways: columns, keys, constraints, indexes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest
import pytest_asyncio
from babel.numbers import list_currencies
from tortoise import fields
from tortoise.fields.relational import ForeignKeyFieldInstance
from tortoise.migrations.constraints import CheckConstraint, UniqueConstraint
from tortoise.models import Model

from crmgql import models
from crmgql.models.base import AmountField, TextArrayField, TransactionIdField
from crmgql.records import checks
from crmgql.schema import build
from tests.conftest import fresh_database

UNDECLARED_INDEXES = {"customers_name_trigrams", "leads_name_trigrams"}
"""GIN over trigrams: Tortoise's indexes have no operator classes."""

STATISTICS = {"payments_keys", "commissions_payment_keys", "commissions_order_keys", "order_lines_keys"}

UNDER_CUSTOMER = {
    "contacts",
    "orders",
    "order_lines",
    "payments",
    "commissions",
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
}
NOT_UNDER_CUSTOMER = {"leads"}
"""Before its customer there is only the lead: what hangs on it goes by the lead."""

SQL_TYPES: dict[type, str] = {
    fields.UUIDField: "uuid",
    fields.TextField: "text",
    fields.IntField: "integer",
    fields.BigIntField: "bigint",
    fields.BooleanField: "boolean",
    fields.DatetimeField: "timestamp with time zone",
    fields.DateField: "date",
    fields.JSONField: "jsonb",
    fields.BinaryField: "bytea",
    AmountField: "numeric",
    TextArrayField: "text[]",
    TransactionIdField: "xid8",
}
MODELS: list[type[Model]] = [
    value for name in models.__all__ if isinstance(value := getattr(models, name), type) and issubclass(value, Model)
]
MODEL_IDS = [model.__name__ for model in MODELS]


@pytest_asyncio.fixture(scope="module")
async def schema(servers: Any, template: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection to a migrated, empty database; the models are initialised."""
    await build.printed()
    async with fresh_database(servers.database_url, template) as url:
        connection = await asyncpg.connect(url)
        yield connection
        await connection.close()


def table(model: type[Model]) -> str:
    return str(model._meta.db_table)


def declared(model: type[Model], name: str) -> list[Any]:
    return list(getattr(model.Meta, name, ()))  # type: ignore[attr-defined]


def sql_type(field: fields.Field[Any]) -> str:
    if isinstance(field, fields.CharField):
        return f"character varying({field.max_length})"
    if isinstance(field, fields.DecimalField):
        return f"numeric({field.max_digits},{field.decimal_places})"
    return next(SQL_TYPES[kind] for kind in type(field).__mro__ if kind in SQL_TYPES)


@asynccontextmanager
async def probe(schema: asyncpg.Connection, model: type[Model]) -> AsyncIterator[str]:
    """An empty twin of a table, without keys: what is declared is made there, so that PostgreSQL words both alike."""
    running = schema.transaction()
    await running.start()
    await schema.execute(f"CREATE TABLE probe (LIKE {table(model)})")
    yield "probe"
    await running.rollback()


async def checks_of(schema: asyncpg.Connection, name: str) -> dict[str, str]:
    rows = await schema.fetch(
        "SELECT conname, pg_get_expr(conbin, conrelid) AS text FROM pg_constraint"
        " WHERE contype = 'c' AND conrelid = $1::regclass AND convalidated",
        name,
    )
    return {row["conname"]: row["text"] for row in rows}


async def indexes_of(schema: asyncpg.Connection, name: str) -> dict[str, Any]:
    """By name: the keys, whether unique, and the predicate."""
    rows = await schema.fetch(
        """SELECT relname, indisunique, indisvalid, pg_get_expr(indpred, indrelid) AS predicate,
             ARRAY(SELECT pg_get_indexdef(indexrelid, n, true) FROM generate_series(1, indnkeyatts) n) AS keys
           FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid WHERE indrelid = $1::regclass AND NOT indisprimary""",
        name,
    )
    assert all(row["indisvalid"] for row in rows)
    return {row["relname"]: (row["keys"], row["indisunique"], row["predicate"]) for row in rows}


async def test_the_tables_are_the_models(schema: asyncpg.Connection) -> None:
    sql = "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition"
    found = {row[0] for row in await schema.fetch(sql)}
    assert {name for name in found if not name.startswith("tortoise")} == {table(model) for model in MODELS}


@pytest.mark.parametrize("model", MODELS, ids=MODEL_IDS)
async def test_columns(schema: asyncpg.Connection, model: type[Model]) -> None:
    rows = await schema.fetch(
        "SELECT attname, format_type(atttypid, atttypmod) AS type, attnotnull, atthasdef FROM pg_attribute"
        " WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped",
        table(model),
    )
    found = {row["attname"]: (row["type"], not row["attnotnull"]) for row in rows}
    wanted = {}
    for name, column in model._meta.fields_db_projection.items():
        field = model._meta.fields_map[name]
        wanted[column] = (sql_type(field), bool(field.null))
    assert found == wanted
    defaults = {row["attname"] for row in rows if row["atthasdef"]}
    said = {c for n, c in model._meta.fields_db_projection.items() if model._meta.fields_map[n].has_db_default()}
    assert defaults == said


@pytest.mark.parametrize("model", MODELS, ids=MODEL_IDS)
async def test_foreign_keys(schema: asyncpg.Connection, model: type[Model]) -> None:
    rows = await schema.fetch(
        """SELECT conname, confrelid::regclass::text AS target, convalidated, confdeltype::text AS on_delete,
             ARRAY(SELECT attname::text FROM unnest(conkey) WITH ORDINALITY k(n, i) JOIN pg_attribute a
                   ON a.attrelid = conrelid AND attnum = n ORDER BY i) AS own,
             ARRAY(SELECT attname::text FROM unnest(confkey) WITH ORDINALITY k(n, i) JOIN pg_attribute a
                   ON a.attrelid = confrelid AND attnum = n ORDER BY i) AS other
           FROM pg_constraint WHERE contype = 'f' AND conrelid = $1::regclass""",
        table(model),
    )
    assert all(row["convalidated"] and row["on_delete"] == "a" for row in rows)
    found = {(tuple(row["own"]), row["target"], tuple(row["other"])) for row in rows}
    composite = getattr(model.Meta, "composite_keys", ())  # type: ignore[attr-defined]
    by_name = {row["conname"]: (tuple(row["own"]), row["target"], tuple(row["other"])) for row in rows}
    for key in composite:
        assert by_name[key.name] == (key.columns, key.table, key.target)
    covered = {key.columns[1] for key in composite if key.columns[0] == "customer_id"}
    wanted = {(key.columns, key.table, key.target) for key in composite}
    for relation in model._meta.fields_map.values():
        if isinstance(relation, ForeignKeyFieldInstance) and relation.source_field not in covered:
            wanted.add(((str(relation.source_field),), table(relation.related_model), ("id",)))
    assert found == wanted


@pytest.mark.parametrize("model", MODELS, ids=MODEL_IDS)
async def test_checks(schema: asyncpg.Connection, model: type[Model]) -> None:
    wanted = [each for each in declared(model, "constraints") if isinstance(each, CheckConstraint)]
    async with probe(schema, model) as twin:
        for each in wanted:
            await schema.execute(f"ALTER TABLE {twin} ADD CONSTRAINT {each.name} CHECK ({each.check})")
        assert await checks_of(schema, table(model)) == await checks_of(schema, twin)


@pytest.mark.parametrize("model", MODELS, ids=MODEL_IDS)
async def test_indexes_and_unique_constraints(schema: asyncpg.Connection, model: type[Model]) -> None:
    found = await indexes_of(schema, table(model))
    made = [(index.name, "INDEX", index.fields, index.extra) for index in model._meta.indexes]
    for each in declared(model, "constraints"):
        if isinstance(each, UniqueConstraint):
            where = f" WHERE {each.condition}" if each.condition else ""
            made.append((each.name, "UNIQUE INDEX", each.fields, where))
    async with probe(schema, model) as twin:
        for name, kind, keys, where in made:
            await schema.execute(f"CREATE {kind} {name}_twin ON {twin} ({', '.join(keys)}){where or ''}")
        twins = await indexes_of(schema, twin)
    wanted = {name.removesuffix("_twin"): index for name, index in twins.items()}
    assert {name: index for name, index in found.items() if name not in UNDECLARED_INDEXES} == wanted


async def test_nothing_else_is_undeclared(schema: asyncpg.Connection) -> None:
    statistics = {row[0] for row in await schema.fetch("SELECT stxname::text FROM pg_statistic_ext")}
    assert statistics == STATISTICS
    kinds = await schema.fetch(
        "SELECT DISTINCT contype::text FROM pg_constraint JOIN pg_class ON pg_class.oid = conrelid"
        " WHERE relnamespace = 'public'::regnamespace"
    )
    assert {row[0] for row in kinds} <= {"c", "f", "n", "p", "u"}


async def test_each_foreign_key_can_be_looked_up(schema: asyncpg.Connection) -> None:
    """Its columns lead an index, or stand second behind the customer. The index may leave out rows without the key."""
    indexes: dict[str, list[list[str]]] = {}
    rows = await schema.fetch(
        """SELECT indrelid::regclass::text AS name, pg_get_expr(indpred, indrelid) AS predicate,
             ARRAY(SELECT pg_get_indexdef(indexrelid, n, true) FROM generate_series(1, indnkeyatts) n) AS keys
           FROM pg_index"""
    )
    for row in rows:
        if row["predicate"] in (None, f"({row['keys'][0]} IS NOT NULL)"):
            indexes.setdefault(row["name"], []).append(row["keys"])
    missing = []
    for model in MODELS:
        for relation in model._meta.fields_map.values():
            if isinstance(relation, ForeignKeyFieldInstance):
                column = str(relation.source_field)
                if not any(keys[0] == column or keys[:2] == ["customer_id", column] for keys in indexes[table(model)]):
                    missing.append((table(model), column))
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
    assert under - {"customers"} == UNDER_CUSTOMER
    carrying = await schema.fetch(
        "SELECT table_name FROM information_schema.columns WHERE column_name = 'customer_id' AND table_schema = 'public'"
    )
    assert {row[0] for row in carrying} - parts == UNDER_CUSTOMER


async def test_both_sides_know_the_same_decimals(schema: asyncpg.Connection) -> None:
    codes = sorted(code for code in list_currencies() if len(code) == 3 and code.isascii())
    assert len(codes) > 150
    rows = await schema.fetch("SELECT code, currency_scale(code) AS scale FROM unnest($1::text[]) AS code", codes)
    assert {row["code"]: row["scale"] for row in rows} == {code: checks.scale(code) for code in codes}
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
    assert {row[0] for row in rows} == APPENDED.keys() | {"event_positions"}


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
            await schema.execute("INSERT INTO event_positions SELECT 7, id, true FROM events")
            with pytest.raises(asyncpg.RestrictViolationError):
                await schema.execute(change)
    for position, error in ((8, asyncpg.UniqueViolationError), (0, asyncpg.CheckViolationError)):
        async with undone(schema):
            await schema.execute(APPENDED["events"])
            await schema.execute("INSERT INTO event_positions SELECT 7, id, true FROM events")
            with pytest.raises(error):
                await schema.execute(f"INSERT INTO event_positions SELECT {position}, id, true FROM events")
