"""Random histories of orders and payments: what is allocated adds up after each step, one after another and twenty at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from random import Random
from uuid import UUID

import asyncpg
import pytest
import pytest_asyncio

from crmgql import db
from crmgql.domain.money import allocations, amendments, payments, write_offs
from crmgql.domain.sales import orders
from crmgql.domain.sales.orders import Line
from crmgql.errors import CrmError
from crmgql.records import money, records
from crmgql.records.money import Money
from crmgql.schema import build
from tests.conftest import NOW, connect
from tests.domain import work
from tests.domain.sales.test_revenue import draft
from tests.ledger.conftest import acting, add_customer

RATE = "INSERT INTO fx_rates (currency, base_currency, effective_on, rate, source) VALUES ($1, 'USD', $2, $3, 'TEST')"
CURRENCIES = {"USD": 100, "EUR": 80, "JPY": 10_000}
"""How much of each is worth about 100 dollars."""

NET = "sum(CASE WHEN undoes_id IS NULL THEN {0} ELSE -{0} END)"
WRONG = {
    "a payment is not what is allocated, unearned and credit": f"""
        SELECT p.id, p.amount, a.amount, i.open FROM payments p
        LEFT JOIN (SELECT payment_id, {NET.format("paid_amount")} AS amount FROM allocations GROUP BY 1) a ON a.payment_id = p.id
        LEFT JOIN (SELECT payment_id, sum(open) AS open FROM open_items WHERE purpose IN ('UNEARNED', 'CREDIT') GROUP BY 1) i
            ON i.payment_id = p.id
        WHERE coalesce(a.amount, 0) + coalesce(i.open, 0) <> CASE WHEN status = 'RECEIVED' THEN p.amount ELSE 0 END
            OR coalesce(a.amount, 0) NOT BETWEEN 0 AND p.amount""",
    "an order is not what is allocated, written off and open": f"""
        SELECT o.id, o.total_amount, a.amount, w.amount, i.open FROM orders o
        LEFT JOIN (SELECT order_id, {NET.format("amount")} AS amount FROM allocations GROUP BY 1) a ON a.order_id = o.id
        LEFT JOIN (SELECT order_id, {NET.format("amount")} AS amount FROM write_offs GROUP BY 1) w ON w.order_id = o.id
        LEFT JOIN open_items i ON i.order_id = o.id AND i.purpose = 'RECEIVABLE'
        WHERE coalesce(a.amount, 0) + coalesce(w.amount, 0) + coalesce(i.open, 0) <> CASE WHEN committed THEN total_amount ELSE 0 END
            OR coalesce(a.amount, 0) NOT BETWEEN 0 AND o.total_amount OR coalesce(w.amount, 0) NOT BETWEEN 0 AND o.total_amount
            OR coalesce(i.settled, 0) <> coalesce(a.amount, 0) + coalesce(w.amount, 0)""",
    "a balance is not the sum of its items": """
        SELECT * FROM (
            SELECT owner_id, purpose, currency, sum(debit - credit) AS balance, sum(base) AS base FROM balances
            WHERE purpose IN ('RECEIVABLE', 'UNEARNED', 'CREDIT') GROUP BY 1, 2, 3
        ) b FULL JOIN (
            SELECT owner_id, purpose, currency, sum(open) AS open, sum(base) AS base FROM open_items GROUP BY 1, 2, 3
        ) i USING (owner_id, purpose, currency)
        WHERE abs(coalesce(b.balance, 0)) <> coalesce(i.open, 0) OR abs(coalesce(b.base, 0)) <> coalesce(i.base, 0)""",
    "a closed item has a rest in base currency, or one is below zero": """
        SELECT id, open, free, base FROM open_items WHERE open = 0 AND base <> 0 OR open < 0 OR free < 0 OR base < 0""",
    "the books do not balance": """
        SELECT currency, sum(debit - credit), sum(base) FROM balances GROUP BY 1 HAVING sum(debit) <> sum(credit) OR sum(base) <> 0""",
    "something is left between two currencies": """
        SELECT owner_id, entry_id FROM postings WHERE 'EXCHANGE' IN (debit, credit)
        GROUP BY 1, 2 HAVING sum(CASE WHEN debit = 'EXCHANGE' THEN base_amount ELSE -base_amount END) <> 0
        UNION ALL SELECT owner_id, NULL FROM balances WHERE purpose = 'EXCHANGE' GROUP BY 1 HAVING sum(base) <> 0""",
    "an allocation without its event, or the other way round": """
        SELECT * FROM allocations a FULL JOIN (SELECT subject_id, kind FROM events WHERE subject_type = 'Allocation') e ON e.subject_id = a.id
        WHERE a.id IS NULL OR kind IS DISTINCT FROM CASE WHEN undoes_id IS NULL THEN 'allocation.made' ELSE 'allocation.undone' END""",
}
CURRENCY = "SELECT currency FROM payments WHERE id = $1 UNION ALL SELECT currency FROM orders WHERE id = $1"
OWED = "SELECT o.id FROM orders o JOIN payments p USING (customer_id) WHERE p.id"
REFUSED = (CrmError, *records.COLLIDED)


@pytest_asyncio.fixture(autouse=True)
async def seller(database: asyncpg.Connection) -> UUID:
    assert build.built()
    return await work.user(database)


@dataclass
class Company:
    """Two customers who buy and pay in three currencies, by chance, and what they buy in another than they pay."""

    crm: db.Database
    database: asyncpg.Connection
    customers: list[UUID]
    dice: Random

    async def step(self) -> None:
        """One act, which may be refused."""
        acts: list[tuple[int, Callable[[], Awaitable[None]]]] = [
            (5, self.sell),
            (5, self.receive),
            (5, self.allocate),
            (4, self.undo),
            (2, self.cancel),
            (4, self.amend),
            (2, self.write_off),
            (1, self.undo_write_off),
            (1, self.move_rate),
        ]
        (act,) = self.dice.choices([act for _, act in acts], [weight for weight, _ in acts])
        with suppress(*REFUSED):
            await act()

    def amount(self, currency: str) -> Money:
        return money.rounded(Decimal(self.dice.randrange(1, 30)) / 101 * CURRENCIES[currency], currency), currency

    async def some(self, sql: str) -> UUID | None:
        async with self.crm.transaction() as tx:
            found = [row["id"] for row in await tx.connection.fetch(f"{sql} ORDER BY id")]
        return self.dice.choice(found) if found else None

    async def sell(self) -> None:
        customer, (amount, currency) = self.dice.choice(self.customers), self.amount(self.dice.choice([*CURRENCIES]))
        async with acting(self.crm) as act:
            order = await draft(act, customer, str(amount), currency=currency)
            await orders.move(act, "confirm", id=order)

    async def receive(self) -> None:
        order = await self.some("SELECT id FROM orders WHERE committed") if self.dice.random() < 0.5 else None
        customer = None if order else self.dice.choice(self.customers)
        currency = self.dice.choice([*CURRENCIES]) if order is None else await self.currency(order)
        amount, pending = self.amount(currency), self.dice.random() < 0.2
        async with acting(self.crm) as act:
            id = await payments.record(
                act, amount=amount, method="CASH", order_id=order, customer_id=customer, pending=pending
            )
            if pending and self.dice.random() < 0.5:
                await payments.move(act, "receive", id=id)

    async def allocate(self) -> None:
        payment = await self.some("SELECT id FROM payments")
        if payment is None:
            return
        order, order_amount = None, None
        currency = await self.currency(payment)
        amount = self.amount(currency) if self.dice.random() < 0.5 else None
        if self.dice.random() < 0.8:
            order = await self.some(f"{OWED} = '{payment}'")
        if order is not None and await self.currency(order) != currency and self.dice.random() < 0.5:
            order_amount = self.amount(await self.currency(order))
        async with acting(self.crm) as act:
            await allocations.allocate(act, id=payment, order_id=order, amount=amount, order_amount=order_amount)

    async def currency(self, id: UUID) -> str:
        async with self.crm.transaction() as tx:
            return await tx.connection.fetchval(CURRENCY, id)  # type: ignore[no-any-return]

    async def undo(self) -> None:
        id = await self.some("SELECT id FROM allocations")
        if id is not None:
            async with acting(self.crm) as act:
                await allocations.undo(act, id=id)

    async def write_off(self) -> None:
        order = await self.some("SELECT id FROM orders WHERE committed")
        if order is None:
            return
        async with acting(self.crm) as act:
            amount, currency = self.amount(await self.currency(order))
            some = (money.rounded(amount / 5, currency), currency) if self.dice.random() < 0.8 else None
            await write_offs.write_off(act, order_id=order, amount=some, reason="By chance.")

    async def undo_write_off(self) -> None:
        id = await self.some("SELECT id FROM write_offs")
        if id is not None:
            async with acting(self.crm) as act:
                await write_offs.undo(act, id=id)

    async def cancel(self) -> None:
        id = await self.some("SELECT id FROM orders WHERE committed")
        if id is not None:
            async with acting(self.crm) as act:
                await orders.move(act, "cancel", id=id)

    async def amend(self) -> None:
        id = await self.some("SELECT id FROM orders WHERE committed")
        if id is None:
            return
        async with acting(self.crm) as act:
            currency = await act.tx.connection.fetchval("SELECT currency FROM orders WHERE id = $1", id)
            lines = [
                Line(Decimal(1), description="Thing", unit_price=self.amount(currency))
                for _ in range(self.dice.randrange(1, 4))
            ]
            await amendments.amend(act, id=id, reason="Chance", lines=lines)

    async def move_rate(self) -> None:
        async with self.crm.transaction() as tx:
            currency = self.dice.choice(("EUR", "JPY"))
            rate = Decimal(self.dice.randrange(50, 200)) / CURRENCIES[currency]
            await tx.connection.execute(RATE, currency, NOW.date(), round(rate, 6))

    async def check(self) -> None:
        for what, sql in WRONG.items():
            assert await self.database.fetch(sql) == [], what


@pytest_asyncio.fixture
async def customers(database: asyncpg.Connection) -> list[UUID]:
    return [await add_customer(database, name) for name in ("Acme", "Ajax")]


@pytest.mark.parametrize("seed", range(4))
async def test_everything_adds_up_after_each_step(
    crm: db.Database, database: asyncpg.Connection, customers: list[UUID], seed: int
) -> None:
    await database.execute("UPDATE companies SET write_off_tolerances = $1", '{"USD": "9.00", "EUR": "9.00"}')
    company = Company(crm, database, customers, Random(seed))
    for _ in range(100):
        await company.step()
        await company.check()
    counted = await database.fetchrow(
        "SELECT count(*) AS made, count(undoes_id) AS undone, count(*) FILTER (WHERE currency <> paid_currency) AS exchanged,"
        " (SELECT count(undoes_id) FROM write_offs) AS asked_again FROM allocations"
    )
    assert min(counted) > 0, "a history in which nothing happens shows nothing"


async def test_everything_adds_up_with_twenty_writers(
    database_url: str, database: asyncpg.Connection, customers: list[UUID]
) -> None:
    """All at the same few orders and payments, each with a connection of its own."""
    crm = await connect(database_url, pool_size=20)
    company = Company(crm, database, customers[:1], Random(1))
    for _ in range(20):
        await company.step()

    async def write(seed: int) -> None:
        own = Company(crm, database, company.customers, Random(seed))
        for _ in range(6):
            for act in (own.allocate, own.undo, own.receive, own.amend, own.cancel):
                with suppress(*REFUSED):
                    await act()

    await asyncio.gather(*(write(seed) for seed in range(20)))
    await crm.close()
    await company.check()
    assert await database.fetchval("SELECT count(undoes_id) FROM allocations") > 0
