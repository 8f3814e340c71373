"""Commissions follow by themselves: as a worker does it, and with an order that can't be worked out."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from crmgql import db
from crmgql.domain.compensation import crediting
from crmgql.schema import build
from crmgql.workers.compensation import Commissions
from crmgql.workers.failures import Failures
from crmgql.workers.rings import client
from tests.domain import work
from tests.domain.compensation.paying import assign, plan
from tests.domain.money.test_receipts import pay
from tests.domain.sales.test_revenue import confirmed
from tests.ledger.conftest import add_customer

PAID = "SELECT sum(amount)::text FROM commissions"


@pytest.fixture
def commissions(crm: db.Database, servers: Any) -> Commissions:
    assert build.built()
    return Commissions(crm, client(servers.redis_url), Failures())


async def sold(crm: db.Database, database: asyncpg.Connection, amount: str) -> UUID:
    order = await confirmed(crm, await add_customer(database), amount)
    await pay(crm, amount, order_id=order)
    return order


async def test_a_worker_that_is_woken_pays(
    crm: db.Database, database: asyncpg.Connection, commissions: Commissions
) -> None:
    ann = await work.user(database, "Ann")
    await assign(database, await plan(database), ann)
    await sold(crm, database, "100.00")
    running = asyncio.create_task(commissions.run())
    try:
        commissions.wake()
        async with asyncio.timeout(20):
            while await database.fetchval(PAID) != "4.00":
                await asyncio.sleep(0.02)
    finally:
        running.cancel()
        await asyncio.wait([running])


async def test_an_order_that_fails_is_put_aside_and_the_others_go_on(
    crm: db.Database, database: asyncpg.Connection, commissions: Commissions, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann = await work.user(database, "Ann")
    await assign(database, await plan(database), ann)
    bad, good = [await sold(crm, database, "100.00") for _ in range(2)]
    really = crediting.work_out

    async def work_out(act: Any, order_ids: list[UUID]) -> None:
        if bad in order_ids:
            raise ValueError("Nobody thought of this order.")
        await really(act, order_ids)

    orders, people = commissions.lines
    monkeypatch.setattr(orders, "_work", work_out)
    for line in (orders, people):
        await commissions.work_off(line)
    assert await database.fetchval(PAID) == "4.00"
    assert await database.fetchval("SELECT DISTINCT order_id FROM commission_pending") == bad
    assert await database.fetchval("SELECT order_id FROM commissions") == good


async def test_the_look_of_a_worker_finds_what_nobody_rang_for(
    crm: db.Database, database: asyncpg.Connection, commissions: Commissions
) -> None:
    waits = "SELECT EXISTS (SELECT FROM commission_pending) OR EXISTS (SELECT FROM commission_accounts WHERE dirty_on IS NOT NULL)"
    assert await database.fetchval(waits) is False
    await work.user(database, "Ann")
    await sold(crm, database, "100.00")
    assert await database.fetchval(waits) is True
    for line in commissions.lines:
        await commissions.work_off(line)
    assert await database.fetchval(waits) is False
