"""Opportunities and commissions of before: what can be mended is mended, what contradicts itself stops the migration."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any
from uuid import UUID

import asyncpg
import orjson
import pytest
import pytest_asyncio
from tortoise import Tortoise
from tortoise.connection import get_connection
from tortoise.exceptions import BaseORMException
from tortoise.migrations.executor import MigrationExecutor, MigrationTarget

from crmgql.db import tortoise_config
from tests.conftest import NOW, administering, named
from tests.domain.work import insert, user

BEFORE, AFTER = "0019_revenue", "0020_holes"
ZERO = dict.fromkeys(
    ("subtotal_amount", "shipping_amount", "tax_amount", "discount_amount", "total_amount"), Decimal("0.00")
)


class Old:
    """A database at 0019."""

    def __init__(self, url: str, connection: asyncpg.Connection) -> None:
        self.url = url
        self.connection = connection
        self.customers: list[UUID] = []

    async def order(self, customer: UUID, opportunity: UUID) -> UUID:
        values = {"customer_id": customer, "opportunity_id": opportunity, "currency": "USD", **ZERO}
        return await insert(self.connection, "orders", **values)

    async def deal(self, customer: UUID | None = None) -> UUID:
        return await insert(self.connection, "opportunities", name="Deal", customer_id=customer, stale_known=True)

    async def upgrade(self) -> None:
        await migrate(self.url, AFTER)


async def migrate(url: str, target: str) -> None:
    config = tortoise_config(url, pool_size=1, statement_timeout_ms=0)
    await Tortoise.init(config=config, _enable_global_fallback=True)
    try:
        await MigrationExecutor(get_connection("default"), config["apps"]).migrate([MigrationTarget("crm", target)])
    finally:
        await Tortoise.close_connections()


@pytest_asyncio.fixture
async def old(servers: Any) -> AsyncIterator[Old]:
    name = f"old_{uuid.uuid4().hex}"
    url = named(servers.database_url, name)
    async with administering(servers.database_url) as admin:
        await admin.execute(f"CREATE DATABASE {name}")
        await migrate(url, BEFORE)
        connection = await asyncpg.connect(url)
        made = Old(url, connection)
        made.customers = [await insert(connection, "customers", name=each, currency="USD") for each in ("A", "B")]
        yield made
        await connection.close()
        await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


async def test_an_opportunity_without_a_customer_gets_that_of_what_names_it(old: Old) -> None:
    acme, zeta = old.customers
    deals = [await old.deal() for _ in range(4)]
    await old.order(acme, deals[1])
    await old.order(acme, deals[1])
    call = {"kind": "CALL", "subject": "Hello", "occurred_at": NOW}
    await insert(old.connection, "interactions", customer_id=acme, opportunity_id=deals[1], **call)
    await insert(old.connection, "interactions", customer_id=zeta, opportunity_id=deals[2], **call)
    await insert(old.connection, "tasks", customer_id=None, opportunity_id=deals[3], subject="Do")
    await old.upgrade()
    rows = await old.connection.fetch("SELECT customer_id, version, stale_known FROM opportunities ORDER BY id")
    assert [tuple(row) for row in rows] == [(None, 1, True), (acme, 2, False), (zeta, 2, False), (None, 1, True)]
    gap = await old.connection.fetchrow("SELECT kept, personal FROM events WHERE kind = 'gap.recorded'")
    said = {"type": "Opportunity", "first": f"opp_{deals[1].hex}", "last": f"opp_{deals[2].hex}"}
    assert orjson.loads(gap["kept"]) == said
    assert "without a customer" in orjson.loads(gap["personal"])["reason"]


async def test_with_nothing_to_mend_nothing_is_told(old: Old) -> None:
    await old.order(old.customers[0], await old.deal(old.customers[0]))
    await old.upgrade()
    assert await old.connection.fetchval("SELECT count(*) FROM events") == 0


async def test_contradictions_are_listed_and_stop_it(old: Old) -> None:
    acme, zeta = old.customers
    both, mine = await old.deal(), await old.deal(acme)
    orders = [await old.order(acme, both), *[await old.order(zeta, both) for _ in range(8)]]
    task = await insert(old.connection, "tasks", customer_id=zeta, opportunity_id=mine, subject="Do")
    with pytest.raises((asyncpg.PostgresError, BaseORMException)) as stopped:
        await old.upgrade()
    said = str(stopped.value)
    assert "rows that name an opportunity of another customer: 10\n" in said
    assert f"tasks {task} of customer {zeta}: opportunity {mine} of customer {acme}" in said
    assert [each for each in orders if f"orders {each} of" not in said] == []
    assert f"opportunity {both} that several customers name" in said
    assert "and others" not in said
    assert "set opportunity_id of each to null" in said
    late = await old.order(zeta, mine)
    with pytest.raises((asyncpg.PostgresError, BaseORMException), match=r"(?s)another customer: 11\n.*and others\n"):
        await old.upgrade()
    await old.connection.execute("UPDATE orders SET opportunity_id = NULL WHERE id = ANY($1)", [orders[0], late])
    await old.connection.execute("UPDATE tasks SET customer_id = $1", acme)
    await old.upgrade()
    assert await old.connection.fetchval("SELECT customer_id FROM opportunities WHERE id = $1", both) == zeta


async def test_commissions_in_another_currency_than_their_payment_stop_it(old: Old) -> None:
    amount = Decimal("5.00")
    paid = {"customer_id": old.customers[0], "amount": amount, "currency": "USD", "method": "CASH", "status": "PENDING"}
    payment = await insert(old.connection, "payments", **paid)
    earned = {"base_amount": amount, "amount": amount, "rate": Decimal(1), "earned_at": NOW, "currency": "EUR"}
    earned |= {"customer_id": old.customers[0], "payment_id": payment, "seller_id": await user(old.connection)}
    commission = await insert(old.connection, "commissions", **earned)
    with pytest.raises((asyncpg.PostgresError, BaseORMException)) as stopped:
        await old.upgrade()
    assert f"commission {commission} in EUR: payment {payment} in USD" in str(stopped.value)
    await old.connection.execute("UPDATE commissions SET currency = 'USD'")
    await old.upgrade()
