"""The tables of events: months, the default partition, gaps, personal values, what may be blanked and what not."""

from __future__ import annotations

import asyncio
import hashlib
import json
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from crmgql import db
from crmgql.events import gaps, kinds, months, outbox, personal
from crmgql.events.canonical import canonical
from crmgql.events.outbox import Entry
from crmgql.schema import build
from tests.conftest import viewer

ROOT = viewer(UUID(int=0), "ADMIN")
PARTS = "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'events'::regclass ORDER BY 1"
INSERT = """
INSERT INTO events (id, kind, subject_type, subject_id, occurred_at) VALUES ($1, 'lead.created', 'Lead', uuidv7(), now())
RETURNING tableoid::regclass::text"""
BOTH = pytest.mark.parametrize("relation", ["events", "audit_entries"])
BLANK = "UPDATE {} SET personal = NULL, salt = NULL"


def at(year: int, month: int, day: int = 1) -> datetime:
    return datetime(year, month, day, tzinfo=UTC)


async def record(crm: db.Database, *entries: Entry) -> None:
    assert build.built()
    async with crm.transaction() as tx:
        await outbox.record_many(tx, ROOT, entries)


async def id_at(database: asyncpg.Connection, when: datetime) -> UUID:
    return await database.fetchval("SELECT uuidv7_at($1)", when)  # type: ignore[no-any-return]


async def bury(database: asyncpg.Connection, id: UUID, record: str = "Lead") -> None:
    erasure = await database.fetchval("INSERT INTO erasures (erased_at) VALUES (now()) RETURNING id")
    await database.execute(
        "INSERT INTO tombstones (erasure_id, subject_type, subject_id) VALUES ($1, $2, $3)", erasure, record, id
    )


def named(id: UUID, **more: Any) -> Entry:
    changes = {"name": (None, "Ann Lee"), "email": (None, "ann@example.com"), "score": (0, 5), **more}
    return Entry("lead.created", ("Lead", id), changes=changes, payload={"version": 1})


async def test_an_id_of_a_time_is_the_lowest_of_its_millisecond(database: asyncpg.Connection) -> None:
    when = datetime(2026, 11, 28, 12, 0, 0, 123000, tzinfo=UTC)
    id = await id_at(database, when)
    assert int.from_bytes(id.bytes[:6]) == int(when.timestamp() * 1000)
    assert id.bytes[6:] == bytes(10)


async def test_a_month_holds_its_ids_and_the_default_the_others(database: asyncpg.Connection) -> None:
    await database.execute("SELECT event_months($1, 1)", at(2031, 1, 15))
    before, first, last, after = [
        await database.fetchval(INSERT, UUID(int=(await id_at(database, when)).int + more))
        for when, more in ((at(2031, 1), -1), (at(2031, 1), 0), (at(2031, 2), -1), (at(2031, 3), 0))
    ]
    assert (before, first, last, after) == ("events_default", "events_2031_01", "events_2031_01", "events_default")


async def test_what_gathered_in_the_default_moves_into_its_month(database: asyncpg.Connection) -> None:
    id = await id_at(database, at(2031, 1, 9))
    other = await id_at(database, at(2031, 2, 9))
    for each in (id, other):
        assert await database.fetchval(INSERT, each) == "events_default"
    before = await database.fetch("SELECT * FROM events ORDER BY id")
    await database.execute("SELECT event_month('events', '2031-01-01')")
    rows = await database.fetch("SELECT tableoid::regclass::text AS part, * FROM events ORDER BY id")
    assert [row["part"] for row in rows] == ["events_2031_01", "events_default"]
    assert [tuple(row)[1:] for row in rows] == [tuple(row) for row in before]
    with pytest.raises(asyncpg.RestrictViolationError):
        await database.execute("DELETE FROM events")


@BOTH
async def test_a_partition_is_as_closed_as_its_table(database: asyncpg.Connection, relation: str) -> None:
    await database.execute("SELECT event_month($1, '2031-01-01')", relation)
    for part in (f"{relation}_2031_01", f"{relation}_default"):
        with pytest.raises(asyncpg.RestrictViolationError):
            await database.execute(f"TRUNCATE {part}")


async def test_two_who_make_a_month_at_once(crm: db.Database, database: asyncpg.Connection) -> None:
    async def make() -> None:
        async with crm.transaction() as tx:
            await months.make(tx, now=at(2031, 1))

    await asyncio.gather(make(), make(), make())
    parts = {row[0] for row in await database.fetch(PARTS)}
    assert {"events_2031_01", "events_2031_04"} <= parts
    assert "events_2031_05" not in parts


async def test_a_long_reader_is_not_waited_for(crm: db.Database, database: asyncpg.Connection) -> None:
    """Nor does anybody wait behind: the month is made another time."""
    async with database.transaction():
        await database.fetch("SELECT count(*) FROM events")
        with pytest.raises(asyncpg.LockNotAvailableError):
            async with crm.transaction() as tx:
                await months.make(tx, now=at(2031, 1))
        await record(crm, named(uuid4()))
    async with crm.transaction() as tx:
        await months.make(tx, now=at(2031, 1))
    assert "events_2031_01" in {row[0] for row in await database.fetch(PARTS)}


async def test_a_dropped_month_leaves_its_checkpoint(crm: db.Database, database: asyncpg.Connection) -> None:
    await database.execute("SELECT event_months($1, 1)", at(2031, 1))
    ids = [await id_at(database, at(2031, 1, day)) for day in (1, 15, 31)] + [await id_at(database, at(2031, 2))]
    for position, id in enumerate(ids, start=7):
        await database.execute(INSERT, id)
        await database.execute("INSERT INTO event_positions VALUES ($1, $2, true, 1)", position, id)
    async with crm.transaction() as tx:
        over = await months.over(tx, "events", now=at(2031, 3, 5), days=31)
        assert over[-1] == date(2031, 1, 1)
        assert date(2031, 2, 1) not in over
        assert await months.drop(tx, "events", date(2031, 1, 1)) == 3
        assert await months.drop(tx, "events", date(2031, 1, 1)) == 0
    row = await database.fetchrow("SELECT * FROM event_checkpoints")
    assert (row["relation"], row["month"], row["rows"]) == ("events", date(2031, 1, 1), 3)
    assert (row["first_id"], row["last_id"], row["first_position"], row["last_position"]) == (ids[0], ids[2], 7, 9)
    assert json.loads(row["heads"]) == {"counts": {"lead.created": 3}}
    assert [row["event_id"] for row in await database.fetch("SELECT event_id FROM event_positions")] == [ids[3]]
    assert await database.fetchval("SELECT count(*) FROM events") == 1


async def test_personal_values_lie_apart(crm: db.Database, database: asyncpg.Connection) -> None:
    id = uuid4()
    await record(crm, named(id))
    row = await database.fetchrow("SELECT * FROM audit_entries")
    assert json.loads(row["kept"]) == {"score": [0, 5]}
    assert json.loads(row["personal"]) == {"email": [None, "ann@example.com"], "name": [None, "Ann Lee"]}
    assert json.loads(row["changes"]) == json.loads(row["kept"]) | json.loads(row["personal"])
    assert row["commitment"] == personal.commit(row["personal"], row["salt"])
    assert len(row["salt"]) == personal.SALT_BYTES
    event = await database.fetchrow("SELECT * FROM events")
    assert (event["changed"], event["personal"], event["commitment"]) == (["name", "email", "score"], None, None)


async def test_amounts_and_trees_are_canonical_too(crm: db.Database, database: asyncpg.Connection) -> None:
    tree = {"b": [1.0, {"é": None}], "a": Decimal("1E+1")}
    await record(crm, named(uuid4(), attributes=({}, tree)))
    text = await database.fetchval("SELECT personal FROM audit_entries")
    assert text.startswith('{"attributes":[{},{"a":"10","b":[1,{"é":null}]}],"email":[null,"ann@example.com"],')


async def test_equal_values_have_unequal_commitments(crm: db.Database, database: asyncpg.Connection) -> None:
    await record(crm, named(uuid4()), named(uuid4()))
    assert await database.fetchval("SELECT count(DISTINCT commitment) FROM audit_entries") == 2


async def test_free_text_of_a_payload_lies_apart(crm: db.Database, database: asyncpg.Connection) -> None:
    customer = await database.fetchval("INSERT INTO customers (name) VALUES ('Acme') RETURNING id")
    payload = {"version": 2, "reason": "Ann left"}
    await record(crm, Entry("order.cancelled", ("Order", uuid4()), customer, payload=payload))
    row = await database.fetchrow("SELECT * FROM events")
    assert json.loads(row["kept"]) == {"version": 2}
    assert json.loads(row["payload"]) == payload


@BOTH
async def test_what_has_a_tombstone_may_be_blanked(
    crm: db.Database, database: asyncpg.Connection, relation: str
) -> None:
    customer = await database.fetchval("INSERT INTO customers (name) VALUES ('Acme') RETURNING id")
    order = Entry(
        "order.cancelled",
        ("Order", uuid4()),
        customer,
        changes={"note": (None, "For Ann")},
        payload={"version": 2, "reason": "Ann left"},
    )
    await record(crm, order)
    with pytest.raises(asyncpg.RestrictViolationError):
        await database.execute(BLANK.format(relation))
    await bury(database, customer, "Customer")
    before = await database.fetchrow(f"SELECT * FROM {relation}")
    await database.execute(BLANK.format(relation))
    after = await database.fetchrow(f"SELECT * FROM {relation}")
    joined = "payload" if relation == "events" else "changes"
    assert {name for name in before.keys() if before[name] != after[name]} == {"personal", "salt", joined}  # noqa: SIM118
    assert after["commitment"] == personal.commit(before["personal"], before["salt"])
    with pytest.raises(asyncpg.RestrictViolationError):  # there is nothing left to blank
        await database.execute(BLANK.format(relation))


@pytest.mark.parametrize(
    "change",
    [
        "personal = NULL, salt = NULL, kept = '{}'",
        "personal = NULL, salt = NULL, commitment = NULL",
        "personal = NULL, salt = NULL, occurred_at = now() + interval '1 s'",
        "personal = NULL, salt = NULL, subject_id = uuidv7()",
        "personal = NULL, salt = NULL, id = uuidv7()",
        "personal = '{}'",
        "salt = '\\x00'",
        "personal = personal",
    ],
)
async def test_nothing_but_blanking_goes_through(crm: db.Database, database: asyncpg.Connection, change: str) -> None:
    """The attack: to change a row of the trail under the cover of an erasure."""
    id = uuid4()
    await record(crm, named(id))
    await bury(database, id)
    with pytest.raises(asyncpg.RestrictViolationError):
        await database.execute(f"UPDATE audit_entries SET {change}")


async def test_a_tombstone_is_for_its_own_record(crm: db.Database, database: asyncpg.Connection) -> None:
    await record(crm, named(uuid4()))
    await bury(database, uuid4())
    with pytest.raises(asyncpg.RestrictViolationError):
        await database.execute(BLANK.format("audit_entries"))


async def test_a_gap_is_an_event_like_others(crm: db.Database, database: asyncpg.Connection) -> None:
    first, last = uuid4(), uuid4()
    async with crm.transaction() as tx:
        id = await gaps.record_gap(tx, "Lead", first=first, last=last, reason="Ann's names were mended")
        await gaps.record_gap(tx, "Order", reason="All were")
    row = await database.fetchrow("SELECT * FROM events JOIN audit_entries USING (id) WHERE id = $1", id)
    payload = json.loads(row["payload"])
    assert (row["kind"], row["action"]) == ("gap.recorded", "gap.recorded")
    assert payload["first"] == f"led_{first.hex}"
    commitment, text, salt = await database.fetchrow("SELECT commitment, personal, salt FROM events WHERE id = $1", id)
    assert commitment == "sha256-1:" + hashlib.sha256(salt + text.encode()).hexdigest()
    for row in await database.fetch("SELECT payload FROM events"):
        payload = json.loads(row["payload"])
        assert kinds.find("gap.recorded").check(payload) == payload


async def test_a_transactions_events_know_it(crm: db.Database, database: asyncpg.Connection) -> None:
    """Ids rise in the order of statements, so the last of a transaction is its highest."""
    for _ in range(2):
        async with crm.transaction() as tx:
            for version in range(3):
                entry = Entry("lead.updated", ("Lead", uuid4()), payload={"version": version})
                await outbox.record_many(tx, ROOT, [entry, entry])
    rows = await database.fetch("SELECT transaction_id::text, payload->>'version' AS n FROM events ORDER BY id")
    assert [row["n"] for row in rows] == list("001122") * 2
    assert len({row["transaction_id"] for row in rows[:6]}) == len({row["transaction_id"] for row in rows[6:]}) == 1
    assert rows[0]["transaction_id"] != rows[6]["transaction_id"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"\u20ac": 1, "\r": 2, "\U0001f600": 3, "\ufb33": 4}, '{"\\r":2,"\u20ac":1,"\U0001f600":3,"\ufb33":4}'),
        ([1e21, 1e-7, 0.000001, 123456789012345680000.0], "[1e+21,1e-7,0.000001,123456789012345680000]"),
        ([4.5, 333333333.33333329, 1e30, -0.0, True, None, "é"], '[4.5,333333333.3333333,1e+30,0,true,null,"é"]'),
    ],
)
def test_canonical_json(value: Any, text: str) -> None:
    """RFC 8785, 3.2."""
    assert canonical(value) == text


PLAIN = {
    "Allocation": {"paid_currency"},
    "ApiKey": {"name", "hint", "scopes"},
    "BusinessCalendar": {"name", "timezone", "working_days", "holidays"},
    "Campaign": {"name", "channel"},
    "Contact": set(),
    "Contract": {"number"},
    "CreditNote": {"number", "series", "issuer_name", "issuer_address", "issuer_tax_id"},
    "Customer": {"industry", "segment", "region", "country", "credit_policy", "payment_terms", "language", "timezone"},
    "Dispute": {"provider", "provider_reference"},
    "DunningLevel": {"subject", "body", "subject_zh", "body_zh"},
    "EmailMessage": {"statement_currency"},
    "Erasure": {"reason"},
    "EventSubscription": {
        *("name", "scopes", "document_hash", "kinds", "fields", "filter", "read_as", "cursor", "lease_by", "pulled"),
    },
    "Export": {"record_type", "document", "filter", "scopes", "roles", "cursor"},
    "FollowUpRule": {"name", "lead_status", "action", "subject", "body"},
    "ImportRun": {"step", "fingerprint"},
    "IntakeSource": {"name", "hint", "allowed_origins", "lead_source"},
    "Invoice": {"number", "series", "issuer_name", "issuer_address", "issuer_tax_id", "payment_terms"},
    "Job": {
        "queue",
        "arguments",
        "progress_message",
        "checkpoint",
        "result",
        "error_code",
        "error_message",
        "unique_key",
    },
    "KeyAction": {"name"},
    "Lead": {"industry", "region", "country", "segment", "lead_source"},
    "LeadQueue": {"name"},
    "LoginAttempt": {"key"},
    "Opportunity": {"score_factors", "risk", "risk_factors"},
    "Order": {"number"},
    "Payment": {"method", "provider", "provider_reference"},
    "Pipeline": {"name"},
    "Pool": {"name", "shows"},
    "Product": {"sku", "name", "category", "description", "specs", "recognition"},
    "Refund": {"method", "provider", "provider_reference"},
    "RoutingRule": {"name", "conditions", "target", "seller_match", "distribution"},
    "RoutingRuleset": {"name", "rates"},
    "Schedule": {"name", "arguments", "cron", "timezone", "catch_up"},
    "ScoreRule": {"name", "field", "operator", "value"},
    "SellerProfile": {"hours"},
    "Stage": {"name"},
    "WriteOff": {"account"},
    "SuspenseReceipt": {"method", "provider", "provider_reference"},
    "Commission": {"role", "parts"},
    "CompAssignment": set(),
    "CompPlan": {"name", "description"},
    "CompPlanVersion": {"measure", "basis", "attains_measure", "attains_basis", "period", "tier_mode", "text"},
    "CompSignature": {"text_hash"},
    "Quota": {"measure", "basis"},
    "Company": {
        "name",
        "timezone",
        "default_currency",
        "locale",
        "address",
        "tax_id",
        "payment_terms",
        "revenue_statuses",
        "write_off_tolerances",
    },
    "Payout": {"provider", "reference"},
    "ReconciliationException": {"subject_type", "finding"},
    "FxRate": {"base_currency"},
    "AccountCode": {"purpose", "code", "name", "name_zh"},
    "AccountingPeriod": {"status_reason"},
    "BankAccount": {"name", "number", "layout"},
    "BankLine": {"key", "bank_id", "place"},
    "BankStatement": {"digest", "format", "reference"},
    "BankSuggestion": {"certainty", "basis"},
    "PaymentAccount": {"name", "provider", "identities", "public_keys", "default_method", "order_source"},
    "ProviderEvent": {
        *("provider", "event_id", "raw_kind", "names", "reference", "also", "part", "key", "order_reference", "method"),
        "reason",
    },
    "Team": {"name", "region"},
    "Ticket": {"priority"},
    "PayEntry": set(),
    "Salary": {"period"},
    "User": {"roles", "region"},
    "WebhookEndpoint": {
        *("url", "description", "kinds", "fields", "api_version", "order_by", "payload", "status_reason", "cursor"),
        *("public_key", "old_public_key"),
    },
}
"""Texts and JSON that name nobody, or only those who work here and what they set up."""
EVERYWHERE = {"kind", "status", "currency", "source", "external_id", "dedupe_key"}


async def test_each_text_is_said_to_be_personal_or_not(crm: db.Database) -> None:
    from tortoise import fields

    from crmgql import models

    texts = (fields.CharField, fields.TextField, fields.JSONField, models.base.TextArrayField)
    for record in {kind.subject for kind in kinds.KINDS.values()} - {"Gap"}:
        model = getattr(models, record)
        found = {
            column
            for name, column in model._meta.fields_db_projection.items()
            if isinstance(model._meta.fields_map[name], texts) and column not in outbox.SECRETS
        }
        personal_ones = personal.COLUMNS.get(record, frozenset())
        assert found - EVERYWHERE == (personal_ones - EVERYWHERE) | PLAIN.get(record, set()), record
