"""Many records at once: what is written, refused, recorded, and brought up to date."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from crmgql import db
from crmgql.access import roles
from crmgql.domain.activities import bulk as activities
from crmgql.domain.customers import bulk as customers
from crmgql.domain.leads import bulk as leads
from crmgql.domain.opportunities import bulk as opportunities
from crmgql.domain.people import bulk as people
from crmgql.domain.sales import bulk as sales
from crmgql.errors import Forbidden
from crmgql.events import outbox
from crmgql.imports import nouns
from crmgql.records.bulk import Writer
from crmgql.records.changes import Written
from crmgql.records.records import Act
from crmgql.viewer import Viewer, Who, system
from tests.conftest import NOW
from tests.domain.work import insert

LATER = NOW + timedelta(hours=1)
EVENTS = "SELECT kind, subject_id, payload::jsonb - 'version' AS payload FROM events ORDER BY id"
AUDIT = "SELECT action, changes FROM audit_entries ORDER BY id"


async def write(
    crm: db.Database,
    writer: Writer,
    columns: str,
    rows: list[tuple[Any, ...]],
    *,
    viewer: Viewer | None = None,
    now: datetime = NOW,
    **more: Any,
) -> Written:
    async with crm.transaction() as tx:
        act = Act(tx, viewer or system(lambda: now))
        return await writer.write_many(act, columns.split(), rows, source="erp", **more)


async def kinds(database: asyncpg.Connection) -> list[str]:
    return [row["kind"] for row in await database.fetch("SELECT kind FROM events ORDER BY id")]


async def test_each_record_leaves_one_event_and_one_audit_row(crm: db.Database, database: asyncpg.Connection) -> None:
    rows = [("1", "Ann", "ann@acme.example", "USD"), ("2", "Bob", None, "EUR")]
    written = await write(crm, customers.customers, "name email currency", rows)
    assert (written.inserted, written.updated, written.refused) == (2, 0, [])
    assert await kinds(database) == ["customer.created"] * 2
    first, second = [json.loads(row["changes"]) for row in await database.fetch(AUDIT)]
    assert first == {
        "source": [None, "erp"], "external_id": [None, "1"], "name": [None, "Ann"],
        "email": [None, "ann@acme.example"], "currency": [None, "USD"],
    }  # fmt: skip
    assert "email" not in second
    assert await database.fetchval("SELECT personal FROM audit_entries ORDER BY id LIMIT 1") is not None
    await write(crm, customers.customers, "name email currency", rows, now=LATER)
    assert len(await kinds(database)) == 2  # nothing differs
    await write(crm, customers.customers, "name email currency", [("1", "Anna", None, "USD"), rows[1]], now=LATER)
    assert await kinds(database) == ["customer.created"] * 2 + ["customer.updated"]
    (last,) = (await database.fetch(AUDIT))[2:]
    assert json.loads(last["changes"]) == {"name": ["Ann", "Anna"], "email": ["ann@acme.example", None]}
    payload, version = await database.fetchrow("SELECT payload, version FROM events e JOIN customers c ON c.id = subject_id"
                                               " ORDER BY e.id DESC LIMIT 1")  # fmt: skip
    assert json.loads(payload) == {"version": version} == {"version": 2}


async def test_history_leaves_a_gap_and_all_audit_rows(crm: db.Database, database: asyncpg.Connection) -> None:
    rows = [(str(n), f"C{n}", "USD") for n in range(20)]
    await write(crm, customers.customers, "name currency", rows, history=True)
    assert await kinds(database) == ["gap.recorded"]
    gap = json.loads(await database.fetchval("SELECT payload FROM events"))
    first, last = await database.fetchrow(
        "SELECT (array_agg(id ORDER BY id))[1], (array_agg(id ORDER BY id DESC))[1] FROM customers"
    )
    assert (gap["type"], gap["first"], gap["last"]) == ("Customer", f"cus_{first.hex}", f"cus_{last.hex}")
    assert await database.fetchval("SELECT count(*) FROM audit_entries WHERE action = 'customer.created'") == 20
    await write(crm, customers.customers, "name currency", rows, history=True)
    assert await kinds(database) == ["gap.recorded"]  # nothing changed: no gap


async def test_a_bad_row_is_refused_with_its_reason_and_the_others_are_written(
    crm: db.Database, database: asyncpg.Connection
) -> None:
    rows = [
        ("1", "Ann", "USD", 1999),
        ("2", "B\x00b", "USD", 1999),
        ("3", "x" * 201, "USD", None),
        ("4", "Dan", "usd", None),
        ("1", "Ann again", "USD", None),
        ("", "Nobody", "USD", None),
        ("5", "Eve", "USD", 3),
        ("6", "Fay", "EUR", None),
    ]
    written = await write(crm, customers.customers, "name currency founded_year", rows)
    assert [row["name"] for row in await database.fetch("SELECT name FROM customers ORDER BY id")] == ["Ann", "Fay"]
    assert [refusal.place for refusal in written.refused] == [1, 2, 3, 4, 5, 6]
    reasons = " | ".join(refusal.reason for refusal in written.refused)
    for part in ("name: Text can't contain the character U+0000", "name: Has 201 characters; at most 200 fit",
                 "customers_currency_known", "external_id: Another row has the same external id",
                 "external_id: Can't be blank", "customers_founded_year"):  # fmt: skip
        assert part in reasons, part
    assert await kinds(database) == ["customer.created"] * 2


@pytest.mark.parametrize("history", [False, True])
async def test_as_many_statements_for_five_hundred_as_for_one(crm: db.Database, history: bool) -> None:
    seen: list[list[str]] = []
    columns = ("name", "currency", "industry", "parent_id")
    async with crm.transaction() as tx:
        act = Act(tx, system(lambda: NOW))
        for count in (2, 2, 500):  # once more at first: asyncpg asks for types that it does not know yet
            statements: list[str] = []
            keys = [f"{count}-{n}" for n in range(count)]
            old, new = ([(key, name, "USD", "IT", None) for key in keys] for name in (f"C{len(seen)}", f"D{len(seen)}"))
            await customers.customers.write_many(act, columns, old, source="erp")
            with tx.connection.query_logger(lambda query, into=statements: into.append(query.query)):
                await customers.customers.write_many(act, columns, new, source="erp", history=history)
            seen.append(statements)
    assert seen[1] == seen[2]
    assert len(seen[1]) < 25


async def test_it_takes_the_right_to_write_and_the_sight_of_all(crm: db.Database, database: asyncpg.Connection) -> None:
    for role, allowed in (("FINANCE", True), ("SELLER", False), ("SUPPORT", False)):
        id = await insert(database, "users", name=role, roles=[role])
        viewer = Viewer(id, Who(frozenset({role})), clock=lambda: NOW)
        try:
            await write(crm, sales.orders, "number", [], viewer=viewer)
        except Forbidden:
            assert not allowed, role
        else:
            assert allowed, role
    key = Viewer(id, Who(frozenset({"ADMIN"}), frozenset({"*:write", "*:read"})), api_key_id=UUID(int=1))
    with pytest.raises(Forbidden, match="An API key can't set roles"):
        await write(crm, people.users, "name roles", [], viewer=key)


async def test_what_is_referred_to_must_be_visible(crm: db.Database, database: asyncpg.Connection) -> None:
    roles.declare("CLERK", "ticket.read ticket.write customer.read contact.read order.read.own user.read")
    try:
        clerk = await insert(database, "users", name="Clerk", roles=["SELLER"])
        mine = await insert(database, "customers", name="Mine", owner_id=clerk)
        other = await insert(database, "customers", name="Other")
        orders = [
            await insert(database, "orders", number=name, customer_id=customer, currency="USD", ordered_at=NOW,
                         **dict.fromkeys([*sales.orders.zero, "total_amount"], Decimal("0.00")))
            for name, customer in (("A", mine), ("B", other))
        ]  # fmt: skip
        viewer = Viewer(clerk, Who(frozenset({"CLERK"})), clock=lambda: NOW)
        rows = [("1", "Seen", mine, orders[0]), ("2", "Hidden", other, orders[1]), ("3", "None", other, None)]
        written = await write(crm, activities.tickets, "subject customer_id order_id", rows, viewer=viewer)
        assert written.inserted == 2
        (refusal,) = written.refused
        assert (refusal.place, refusal.columns) == (1, ("order_id",))
        assert "There is no such order, or you may not see it." in refusal.reason
    finally:
        del roles.ROLES["CLERK"]


async def test_a_circle_of_parents_is_refused(crm: db.Database, database: asyncpg.Connection) -> None:
    await write(crm, customers.customers, "name currency", [(name, name, "USD") for name in "abc"])
    a, b, c = [row["id"] for row in await database.fetch("SELECT id FROM customers ORDER BY name")]
    written = await write(crm, customers.customers, "name parent_id", [("a", "a", b), ("b", "b", a), ("c", "C", a)])
    assert [refusal.place for refusal in written.refused] == [1]
    assert "its own ancestor" in written.refused[0].reason
    assert dict(await database.fetch("SELECT name, parent_id FROM customers")) == {"a": b, "b": None, "C": a}
    assert c


async def test_orders_follow_their_lines_and_say_so_once(crm: db.Database, database: asyncpg.Connection) -> None:
    customer = await insert(database, "customers", name="Acme")
    zero = Decimal("0.00")
    order = ("number", "customer_id", "currency", "ordered_at", *sorted(sales.orders.zero))
    await write(crm, sales.orders, " ".join(order), [("o1", "N1", customer, "USD", NOW, zero, zero, zero, zero)])
    id = await database.fetchval("SELECT id FROM orders")
    columns = (
        "order_id customer_id position description quantity currency unit_price_amount discount_amount shipping_amount"
    )
    lines = [(f"l{n}", id, customer, n, "L", Decimal(n), "USD", Decimal("10.00"), zero, zero) for n in (1, 2, 3)]
    await write(crm, sales.order_lines, columns, lines)
    assert await database.fetchval("SELECT total_amount::text FROM orders") == "60.00"
    assert await kinds(database) == ["order.created", "order.linesSet"]
    (_, audit) = await database.fetch(AUDIT)
    assert json.loads(audit["changes"]) == {"subtotal_amount": ["0.00", "60.00"], "total_amount": ["0.00", "60.00"]}
    payload = json.loads((await database.fetch(EVENTS))[-1]["payload"])
    assert payload == {"lines": 3}
    renamed = [(*line[:4], "Renamed", *line[5:]) for line in lines]
    await write(crm, sales.order_lines, columns, renamed)
    assert (await kinds(database))[2:] == ["order.linesSet"]
    assert await database.fetchval("SELECT version FROM orders") == 3


async def test_an_interaction_counts_where_it_is_and_not_where_it_was(
    crm: db.Database, database: asyncpg.Connection
) -> None:
    customer = await insert(database, "customers", name="Acme")
    stage = await database.fetchval("SELECT id FROM stages WHERE status = 'OPEN' ORDER BY position LIMIT 1")
    deals = [
        await insert(database, "opportunities", name=name, customer_id=customer, stage_id=stage, stage_since=NOW, stale_known=True)
        for name in "AB"
    ]  # fmt: skip
    columns = "customer_id opportunity_id kind subject occurred_at"
    await database.execute("UPDATE interactions SET created_at = created_at")
    then = NOW - timedelta(days=3)
    await write(crm, activities.interactions, columns, [("1", customer, deals[0], "CALL", "S", then)])
    read = "SELECT last_activity_at, stale_known FROM opportunities ORDER BY name"
    assert [tuple(row) for row in await database.fetch(read)] == [(then, False), (None, True)]
    await write(crm, activities.interactions, columns, [("1", customer, deals[1], "CALL", "S", then)])
    assert [tuple(row) for row in await database.fetch(read)] == [(None, False), (then, False)]


async def test_open_deals_follow_facts_of_their_customers(crm: db.Database, database: asyncpg.Connection) -> None:
    await write(crm, customers.customers, "name industry", [("1", "Acme", "IT")])
    customer = await database.fetchval("SELECT id FROM customers")
    stage = await database.fetchval("SELECT id FROM stages WHERE status = 'OPEN' ORDER BY position LIMIT 1")
    await insert(database, "opportunities", name="A", customer_id=customer, stage_id=stage, stage_since=NOW)
    await insert(database, "score_rules", name="Food", field="customer.industry", operator="EQ",
                 value=json.dumps({"value": "Food"}), points=7)  # fmt: skip
    await write(crm, customers.customers, "name industry", [("1", "Acme", "Food")])
    assert await database.fetchval("SELECT score FROM opportunities") == 7


async def test_a_lead_that_waits_and_a_customer_in_a_pool_stay_there(
    crm: db.Database, database: asyncpg.Connection
) -> None:
    owner = await insert(database, "users", name="Bob", roles=["SELLER"])
    pool = await insert(database, "pools", name="P", kind="CUSTOMER", shows=["name"])
    await write(crm, customers.customers, "name owner_id", [("1", "Acme", owner)])
    await database.execute("UPDATE customers SET owner_id = NULL, pool_id = $1", pool)
    customer = await database.fetchval("SELECT id FROM customers")
    await insert(database, "pool_items", pool_id=pool, customer_id=customer, shown='{"name": "Acme"}', entered_at=NOW)
    await write(crm, customers.customers, "name owner_id", [("1", "Acme Ltd", owner)])
    assert await database.fetchval("SELECT owner_id FROM customers") is None
    assert json.loads(await database.fetchval("SELECT shown FROM pool_items")) == {"name": "Acme Ltd"}


@pytest.mark.parametrize(
    ("noun", "columns", "values", "status", "events"),
    [
        ("tickets", "customer_id subject resolved_at", ("{customer}", "S", "{when}"), "status",
         {"OPEN": "ticket.reopened", "PENDING": "ticket.held", "RESOLVED": "ticket.resolved", "CLOSED": "ticket.closed"}),
        ("products", "name", ("P",), "status",
         {"DRAFT": "product.updated", "ACTIVE": "product.activated", "END_OF_LIFE": "product.retired"}),
        ("campaigns", "name channel starts_on", ("M", "EVENT", "{day}"), "status",
         {"PLANNED": "campaign.updated", "ACTIVE": "campaign.started", "ENDED": "campaign.ended"}),
        ("payments", "customer_id amount currency method received_at", ("{customer}", "{amount}", "USD", "CASH", NOW), "status",
         {"PENDING": "payment.expected", "RECEIVED": "payment.received", "FAILED": "payment.failed", "CANCELLED": "payment.cancelled"}),
        ("users", "name", ("U",), "active", {"true": "user.reactivated", "false": "user.deactivated"}),
        ("customers", "name", ("C",), "status",
         dict.fromkeys(("PROSPECT", "CUSTOMER", "DORMANT", "CHURNED"), "customer.statusChanged")),
        ("leads", "name lost_reason customer_id converted_at", ("L", "R", "{customer}", "{when}"), "status",
         {"NEW": "lead.reopened", "NURTURING": "lead.nurtured", "QUALIFIED": "lead.qualified", "LOST": "lead.lost",
          "CONVERTED": "lead.converted"}),
    ],
)  # fmt: skip
async def test_a_change_of_status_is_called_by_its_name(
    crm: db.Database,
    database: asyncpg.Connection,
    noun: str,
    columns: str,
    values: tuple[Any, ...],
    status: str,
    events: dict[str, str],
) -> None:
    """Each status follows each other one, and each time the registry knows the event and takes its payload."""
    customer = await insert(database, "customers", name="Acme")
    now = iter(NOW + timedelta(minutes=n) for n in range(1000))
    closed = {"RESOLVED", "CLOSED", "CONVERTED"}
    writer = nouns.WRITERS[noun]

    async def write_in(state: str, id: str) -> str:
        filled = {"{customer}": customer, "{amount}": Decimal("5.00"), "{day}": date(2026, 1, 1)}
        row = [filled.get(value, value) if isinstance(value, str) else value for value in values]
        row = [(NOW if state in closed else None) if value == "{when}" else value for value in row]
        value: Any = state == "true" if status == "active" else state
        written = await write(crm, writer, f"{columns} {status}", [(id, *row, value)], now=next(now))
        assert not written.refused, written.refused
        return (await kinds(database))[-1]

    for before in events:
        for after in events:
            if before != after and (noun, before) != ("payments", "RECEIVED"):  # what is in the books stays there
                id = f"{before} {after}" if noun == "payments" else "x"
                await write_in(before, id)
                assert await write_in(after, id) == events[after], (before, after)


async def test_an_opportunity_says_where_it_went(crm: db.Database, database: asyncpg.Connection) -> None:
    customer = await insert(database, "customers", name="Acme")
    rows = await database.fetch("SELECT s.id, s.name, s.status FROM stages s JOIN pipelines p ON p.id = pipeline_id"
                                " WHERE p.is_default ORDER BY position")  # fmt: skip
    by_status = {row["status"]: row for row in rows}
    first, second = [row for row in rows if row["status"] == "OPEN"][:2]
    steps = [
        (first, "opportunity.created"),
        (second, "opportunity.moved"),
        (by_status["WON"], "opportunity.won"),
        (by_status["LOST"], "opportunity.lost"),
        (first, "opportunity.reopened"),
    ]
    for stage, kind in steps:
        closed = None if stage["status"] == "OPEN" else date(2026, 1, 1)
        row = ("o1", "Deal", customer, stage["id"], closed, "Price" if stage["status"] == "LOST" else None)
        columns = "name customer_id stage_id closed_on lost_reason"
        written = await write(crm, opportunities.opportunities, columns, [row])
        assert not written.refused, written.refused
        assert (await kinds(database))[-1] == kind
    moved = await database.fetchrow("SELECT payload FROM events WHERE kind = 'opportunity.moved'")
    assert json.loads(moved["payload"])["to"] == second["name"]


async def test_what_hangs_on_a_lead_is_worked_out(crm: db.Database, database: asyncpg.Connection) -> None:
    row = ("1", "Ann", "Ann@ACME.example", "030 1234567", "DE")
    await write(crm, leads.leads, "name email phone country", [row])
    found = await database.fetchrow("SELECT normal_email, normal_phone, domain, received_at FROM leads")
    assert tuple(found) == ("ann@acme.example", "+49301234567", "acme.example", NOW)
    assert outbox.columns_of("Lead") >= {"normal_email", "domain"}
    assert datetime(2026, 1, 1, tzinfo=UTC) < LATER


async def test_true_and_1_are_two_values_of_json(crm: db.Database, database: asyncpg.Connection) -> None:
    for attributes in ('{"vip": true}', '{"vip": 1}'):
        await write(crm, leads.leads, "name attributes", [("1", "Ann", attributes)])
    changed = json.loads((await database.fetch(AUDIT))[-1]["changes"])
    assert changed == {"attributes": [{"vip": True}, {"vip": 1}]}
    assert [type(each["vip"]) for each in changed["attributes"]] == [bool, int]
