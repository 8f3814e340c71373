"""`streamChecksum`: any mirror can compute the same from ids and versions, and learns when it may compare."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

import asyncpg
import pytest

from crmgql import db, models
from crmgql.engine.operations import Engine, Rejected
from crmgql.events import gaps, positions
from crmgql.models.names import api_id
from crmgql.viewer import Viewer
from tests.conftest import viewer
from tests.engine.mirror import ask
from tests.engine.test_changes_since import Desk

QUERY = """query ($types: [String!]!, $filter: StreamFilter, $at: Cursor) {
    streamChecksum(types: $types, filter: $filter, at: $at) { type count checksum cursor current } }"""


def checksum(records: Iterable[tuple[str, int]]) -> str:
    """As docs/howto/sync.md says it."""
    hashes = (hashlib.sha256(f"{id}:{version}".encode()).digest() for id, version in records)
    return f"{sum(int.from_bytes(each[:8], 'big') for each in hashes) % 2**64:016x}"


@pytest.fixture
async def desk(crm: db.Database, database: asyncpg.Connection, engine: Engine) -> Desk:
    return await Desk(crm, database, engine).open()


async def sums(desk: Desk, *types: str, who: Viewer | None = None, **given: Any) -> list[dict[str, Any]]:
    data = await ask(desk.engine, who or desk.viewer, QUERY, types=types or ("Order",), **given)
    return data["streamChecksum"]  # type: ignore[no-any-return]


async def test_it_is_the_sum_of_what_one_sees(desk: Desk) -> None:
    mine, foreign = await desk.customer(desk.me), await desk.customer(desk.other)
    orders = {await desk.order(mine): 1 for _ in range(30)}
    await desk.order(foreign)
    for id in list(orders)[:7]:
        await desk.change(models.Order, "order.updated", id, note="changed")
        orders[id] = 2
    head = await desk.head()
    counted, customers = await sums(desk, "Order", "Customer")
    assert counted == {
        "type": "Order",
        "count": 30,
        "checksum": checksum((api_id("Order", id), version) for id, version in orders.items()),
        "cursor": head,
        "current": True,
    }
    assert (customers["count"], customers["checksum"]) == (1, checksum([(api_id("Customer", mine), 1)]))
    noted = await sums(desk, filter={"order": {"version": {"gte": 2}}})
    assert noted[0]["checksum"] == checksum((api_id("Order", id), 2) for id in list(orders)[:7])
    nobody = await sums(desk, who=viewer(desk.me))
    assert (nobody[0]["count"], nobody[0]["checksum"]) == (0, "0" * 16)


async def test_sums_of_any_size_are_written_alike(desk: Desk) -> None:
    """Sums pass 2^63 and 2^64, up and down."""
    mine = await desk.customer(desk.me)
    orders = []
    for _ in range(12):
        orders.append((api_id("Order", await desk.order(mine)), 1))
        assert (await sums(desk))[0]["checksum"] == checksum(orders)


async def test_one_may_compare_when_nothing_happened_since(desk: Desk) -> None:
    mine = await desk.customer(desk.me)
    order = await desk.order(mine)
    at = await desk.head()

    async def current(*types: str, **given: Any) -> list[bool]:
        return [each["current"] for each in await sums(desk, *types, **given)]

    assert await current("Order", "Product", at=at) == [True, True]
    await desk.change(models.Order, "order.updated", order, note="it has no position yet")
    assert await current("Order", "Product", at=at) == [False, True]
    assert await current("Order", "Product") == [False, True]
    after = await desk.head()
    assert await current("Order", "Product", at=at) == [False, True]
    assert await current("Order", "Product", at=after) == [True, True]
    await desk.give(mine, desk.other)
    await positions.place(desk.database)
    assert await current("Order", "Product", at=after) == [False, True]  # nothing of orders, but who sees them
    async with desk.crm.transaction() as tx:
        await gaps.record_gap(tx, "Product", reason="by hand")
    after = await desk.head()
    assert await current("Order", "Product", at=at) == [False, False]
    async with (
        desk.crm.transaction() as slow
    ):  # a transaction that runs while a pass looks is waited for, once it is done
        await gaps.record_gap(slow, "Product", reason="slowly")
        await positions.place(desk.database)
        assert await current("Product", at=after) == [True]
    assert await current("Product", at=after) == [False]


async def test_what_is_refused(desk: Desk) -> None:
    async def code(**given: Any) -> tuple[str, str | None]:
        with pytest.raises(Rejected) as refusal:
            await sums(desk, **given)
        extensions = refusal.value.errors[0]["extensions"]
        return extensions["code"], extensions.get("field")

    assert await code(at="evc_2") == ("CURSOR_INVALID", None)
    assert (await code(at=f"evc_{'0' * 7}1{'0' * 14}99{'1' * 32}"))[0] == "CURSOR_OF_ANOTHER_HISTORY"
    assert await code(filter={"customer": {}}) == ("BAD_USER_INPUT", "filter.customer")
    with pytest.raises(Rejected):
        await sums(desk, "OrderLine")
    with pytest.raises(Rejected) as refusal:
        await sums(desk, who=viewer(desk.me, "SELLER", scopes=frozenset({"customers:read"})))
    assert refusal.value.errors[0]["extensions"]["code"] == "FORBIDDEN"
    with pytest.raises(Rejected) as hidden:
        await sums(desk, "Product", filter={"product": {"cost": {"gt": "1"}}})
    assert hidden.value.errors[0]["extensions"]["code"] == "FORBIDDEN"
