"""`changesSince`: what a client is told behind a cursor, what it is not told, and which cursors are refused."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from crmgql import db, models
from crmgql.domain.customers import erasure
from crmgql.engine.operations import Engine, Rejected
from crmgql.events import cursors, gaps, positions
from crmgql.models.names import api_id
from crmgql.planner import affected
from crmgql.records import records
from crmgql.records.records import Act
from crmgql.viewer import Viewer, system
from tests.conftest import NOW, viewer
from tests.engine.mirror import ask
from tests.engine.test_random_changes import Company

QUERY = """query ($cursor: Cursor, $types: [String!]!, $first: Int) {
    changesSince(cursor: $cursor, types: $types, first: $first) {
        __typename cursor hasMore changed { __typename id ... on Order { note } }
        deleted { __typename type id } ranges { __typename type from to } } }"""


class Desk:
    """A small company, and somebody at a desk who asks what changed."""

    def __init__(self, crm: db.Database, database: asyncpg.Connection, engine: Engine) -> None:
        self.company = Company(crm, database, Random(0))
        self.crm, self.database, self.engine = crm, database, engine

    async def open(self) -> Desk:
        self.me, self.other = [await self.create(models.User, "user.created", name="U", roles=["SELLER"]) for _ in "12"]
        self.viewer = viewer(self.me, "SELLER")
        return self

    async def create(self, model: Any, event: str, **values: Any) -> UUID:
        async with self.crm.transaction() as tx:
            row = await records.create(Act(tx, system(lambda: NOW)), model, values, kind=event)
        return row["id"]  # type: ignore[no-any-return]

    async def customer(self, owner_id: UUID, **values: Any) -> UUID:
        return await self.create(models.Customer, "customer.created", name="C", owner_id=owner_id, **values)

    async def order(self, customer_id: UUID) -> UUID:
        free = dict.fromkeys(("shipping_amount", "tax_amount", "discount_amount"), 0)
        values = {"customer_id": customer_id, "currency": "JPY", "subtotal_amount": 5, "total_amount": 5, **free}
        return await self.create(models.Order, "order.created", **values)

    async def change(self, model: Any, kind: str, id: UUID, **changes: Any) -> None:
        async with self.crm.transaction() as tx:
            act = Act(tx, system(lambda: NOW))
            await records.change(act, model, await records.lock(act, model, id), changes, kind=kind)

    async def give(self, customer_id: UUID, owner_id: UUID) -> None:
        await self.change(models.Customer, "customer.assigned", customer_id, owner_id=owner_id)

    async def head(self) -> str:
        await positions.place(self.database)
        return (await positions.head(self.database)).text()

    async def since(self, cursor: str | None, *types: str, first: int = 500, who: Viewer | None = None) -> Any:
        await positions.place(self.database)
        data = await ask(
            self.engine, who or self.viewer, QUERY, cursor=cursor, types=types or ("Customer", "Order"), first=first
        )
        return data["changesSince"]

    async def refused(
        self, cursor: Any, types: Sequence[str] = ("Order",), who: Viewer | None = None, **given: Any
    ) -> Any:
        with pytest.raises(Rejected) as refusal:
            await ask(self.engine, who or self.viewer, QUERY, cursor=cursor, types=types, **given)
        (error,) = refusal.value.errors
        return error


@pytest.fixture
async def desk(crm: db.Database, database: asyncpg.Connection, engine: Engine) -> Desk:
    return await Desk(crm, database, engine).open()


def ids(changes: Any) -> tuple[set[str], set[str]]:
    return {each["id"] for each in changes["changed"]}, {each["id"] for each in changes["deleted"]}


async def test_the_first_time_it_answers_a_cursor_and_nothing(desk: Desk) -> None:
    await desk.customer(desk.me)
    found = await desk.since(None)
    assert found["cursor"] == await desk.head()
    assert not found["hasMore"]
    assert ids(found) == (set(), set())
    assert found["ranges"] == []


async def test_what_left_sight_is_gone_with_what_hangs_on_it(desk: Desk) -> None:
    mine, foreign = await desk.customer(desk.me), await desk.customer(desk.other)
    orders = [await desk.order(mine), await desk.order(foreign)]
    cursor = await desk.head()
    await desk.give(mine, desk.other)
    await desk.change(models.Customer, "customer.updated", foreign, name="D")
    found = await desk.since(cursor)
    assert ids(found) == (set(), {api_id("Customer", mine), api_id("Order", orders[0])})
    assert {each["type"] for each in found["deleted"]} == {"Customer", "Order"}
    assert found["deleted"][0].keys() == {"__typename", "type", "id"}  # and not why
    cursor = found["cursor"]
    await desk.give(foreign, desk.me)
    assert ids(await desk.since(cursor)) == ({api_id("Customer", foreign), api_id("Order", orders[1])}, set())


async def test_what_came_and_went_in_between_may_have_been_copied(desk: Desk) -> None:
    customer = await desk.customer(desk.other)
    cursor = await desk.head()
    await desk.give(customer, desk.me)
    await desk.give(customer, desk.other)
    assert ids(await desk.since(cursor)) == (set(), {api_id("Customer", customer)})


async def test_what_moved_to_another_customer_is_gone(desk: Desk) -> None:
    mine, foreign = await desk.customer(desk.me), await desk.customer(desk.other)
    values = {"name": "Deal", "stage_since": NOW, "status": "OPEN"}
    stage = await desk.database.fetchrow("SELECT id AS stage_id, pipeline_id FROM stages WHERE status = 'OPEN' LIMIT 1")
    deal = await desk.create(models.Opportunity, "opportunity.created", customer_id=mine, **values, **dict(stage))
    cursor = await desk.head()
    await desk.change(models.Opportunity, "opportunity.updated", deal, customer_id=foreign)
    await desk.give(mine, desk.other)
    found = await desk.since(cursor, "Opportunity")
    assert ids(found) == (set(), {api_id("Opportunity", deal)})
    assert ids(await desk.since(cursor, "Opportunity", first=1))[1] == {api_id("Opportunity", deal)}


async def test_pages_of_events_end_with_transactions(desk: Desk) -> None:
    mine = await desk.customer(desk.me)
    orders = [await desk.order(mine) for _ in range(2)]
    start = await desk.head()
    single = await desk.order(mine)
    cursor = await desk.head()
    async with desk.crm.transaction() as tx:
        act = Act(tx, system(lambda: NOW))
        for id in orders:
            row = await records.lock(act, models.Order, id)
            await records.change(act, models.Order, row, {"note": "together"}, kind="order.updated")
    third = await desk.order(mine)
    await desk.change(models.Order, "order.updated", third, note="alone")
    whole = await desk.since(start, first=2)  # the next transaction would be cut in two
    assert (ids(whole)[0], whole["cursor"]) == ({api_id("Order", single)}, cursor)
    found = await desk.since(cursor, first=3)
    assert found["hasMore"]
    assert len(found["changed"]) == 3
    cut = await desk.since(cursor, first=1)  # smaller than the transaction, but it goes on
    assert cut["hasMore"]
    assert len(cut["changed"]) == 1
    assert cut["cursor"] > cursor
    rest = await desk.since(found["cursor"], first=3)
    assert ids(rest)[0] == {api_id("Order", third)}
    assert not rest["hasMore"]
    assert rest["changed"][0]["note"] == "alone"
    again = await desk.since(rest["cursor"])
    assert again["cursor"] == rest["cursor"]
    assert ids(again) == (set(), set())
    assert not again["hasMore"]


async def test_an_erased_person_and_what_was_blanked_with_it(desk: Desk) -> None:
    mine = await desk.customer(desk.me, kind="PERSON")
    order = await desk.order(mine)
    cursor = await desk.head()
    async with desk.crm.transaction() as tx:
        await erasure.erase(Act(tx, system(lambda: NOW)), customer_id=mine)
    assert ids(await desk.since(cursor)) == ({api_id("Customer", mine), api_id("Order", order)}, set())


async def test_gaps_and_rights_are_ranges(desk: Desk) -> None:
    mine = await desk.customer(desk.me)
    cursor = await desk.head()
    async with desk.crm.transaction() as tx:
        await gaps.record_gap(tx, "Order", reason="by hand", first=mine, last=desk.me)
    first = await desk.since(cursor, "Order", "Product")
    bounds = {"from": api_id("Order", mine), "to": api_id("Order", desk.me)}
    assert first["ranges"] == [{"__typename": "ChangedRange", "type": "Order", **bounds}]
    async with desk.crm.transaction() as tx:
        await gaps.record_gap(tx, "Customer", reason="owners were changed by hand")
    second = await desk.since(first["cursor"], "Order", "Product")
    assert [(each["type"], each["from"], each["to"]) for each in second["ranges"]] == [("Order", None, None)]
    await desk.change(models.User, "user.updated", desk.other, roles=["SUPPORT"])
    assert (await desk.since(second["cursor"], "Order", "Product"))["ranges"] == []
    await desk.change(models.User, "user.updated", desk.me, roles=["SUPPORT"])
    third = await desk.since(second["cursor"], "Order", "Product")
    assert [each["type"] for each in third["ranges"]] == ["Order", "Product"]


async def test_a_change_that_much_hangs_on_is_a_range(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(affected, "SPREAD", 2)
    mine, small = await desk.customer(desk.me), await desk.customer(desk.me)
    for customer in (mine, mine, mine, small):
        await desk.order(customer)
    cursor = await desk.head()
    await desk.give(small, desk.other)
    few = await desk.since(cursor, "Order")
    assert len(few["deleted"]) == 1
    assert few["ranges"] == []
    await desk.give(mine, desk.other)
    many = await desk.since(few["cursor"], "Order")
    assert many["deleted"] == []
    assert [each["type"] for each in many["ranges"]] == ["Order"]


async def test_an_answer_is_one_statement(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    cursor = await desk.head()
    for _ in range(3):
        await desk.order(await desk.customer(desk.me))
    statements: list[str] = []
    fetch = desk.crm.fetch_json

    async def counted(sql: str, values: Sequence[Any]) -> Any:
        statements.append(sql)
        return await fetch(sql, values)

    monkeypatch.setattr(desk.crm, "fetch_json", counted)
    query = """query ($c: Cursor) { a: changesSince(cursor: $c, types: ["Customer", "Order"]) { changed { id } }
        b: changesSince(cursor: $c, types: "Order", first: 2) { hasMore deleted { id } } me { id } }"""
    await positions.place(desk.database)
    data = await ask(desk.engine, desk.viewer, query, c=cursor)
    assert len(data["a"]["changed"]) == 6
    assert data["b"] == {"hasMore": True, "deleted": []}
    assert len(statements) == 1


async def test_cursors_that_are_no_good(desk: Desk) -> None:
    cursor = await desk.head()
    none = await desk.refused("evc_1")
    assert none["extensions"]["code"] == "CURSOR_INVALID"
    with pytest.raises(Rejected) as refusal:
        await ask(desk.engine, desk.viewer, '{ changesSince(cursor: "x", types: "Order") { cursor } }')
    assert refusal.value.errors[0]["extensions"]["code"] == "CURSOR_INVALID"
    known = cursors.parse(cursor)
    for wrong in (cursors.Cursor(1, known.position, desk.me), cursors.Cursor(1, 999, desk.me)):
        other = await desk.refused(wrong.text())
        assert other["extensions"] == {"code": "CURSOR_OF_ANOTHER_HISTORY", "snapshotCursor": cursor}
    assert (await desk.since(cursors.START.text()))["changed"] == []
    for relation, column, value in (("audit_entries", "last_id", desk.me), ("events", "last_position", known.position)):
        await desk.database.execute(
            f"INSERT INTO event_checkpoints (relation, month, rows, {column}, heads) VALUES ($1, '2020-01-01', 1, $2, '{{}}')",
            relation,
            value,
        )
        expired = await desk.refused(cursors.START.text())
        assert expired["extensions"] == {"code": "CURSOR_EXPIRED", "snapshotCursor": cursor}
    assert (await desk.refused(cursor))["extensions"]["code"] == "CURSOR_EXPIRED"


@pytest.mark.parametrize(
    ("types", "given", "field"),
    [
        ([], {}, "types"),
        (["Order"] * 21, {}, "types"),
        (["Order", "OrderLine"], {}, "types.1"),
        (["\ud800'\x00"], {}, "types.0"),
        (["Order"], {"first": 0}, "first"),
        (["Order"], {"first": 501}, "first"),
    ],
)
async def test_arguments_that_cant_be(desk: Desk, types: list[str], given: dict[str, Any], field: str) -> None:
    error = await desk.refused(None, types, **given)
    assert (error["extensions"]["code"], error["extensions"]["field"]) == ("BAD_USER_INPUT", field)


async def test_a_key_needs_the_scopes_of_all_types(desk: Desk) -> None:
    key = viewer(desk.me, "SELLER", scopes=frozenset({"orders:read"}))
    for cursor in (None, cursors.START.text()):
        error = await desk.refused(cursor, ["Order", "Customer"], key)
        assert error["extensions"]["code"] == "FORBIDDEN"
