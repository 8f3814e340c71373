"""Random histories with refunds and disputes: no more goes back than came in, one after another and twenty at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from random import Random
from uuid import UUID

import asyncpg
import pytest

from crmgql import db
from crmgql.domain.money import disputes, refunds
from tests.conftest import connect
from tests.domain.money import test_histories as histories
from tests.domain.money.test_histories import NET, REFUSED, customers, seller  # noqa: F401 - fixtures
from tests.ledger.conftest import acting

BANK = "'BANK', 'CLEARING'"
LIVE = "status IN ('REQUESTED', 'UNKNOWN', 'SUCCEEDED')"
OUT = f"""
SELECT i.payment_id, sum(CASE WHEN p.debit_item_id = i.id THEN p.amount ELSE -p.amount END) AS amount
FROM open_items i JOIN postings p ON i.id IN (p.debit_item_id, p.credit_item_id) AND p.phase = 'POSTED'
JOIN ledger_entries e ON e.id = p.entry_id
WHERE i.purpose IN ('UNEARNED', 'CREDIT')
    AND (e.source_type = 'Refund' AND (p.debit IN ({BANK}) OR p.credit IN ({BANK})) OR p.credit = 'DISPUTED')
GROUP BY 1"""
"""What went out of payments, by refunds and by disputes that were lost."""

WRONG = {
    **{
        what: sql
        for what, sql in histories.WRONG.items()
        if "payment is not" not in what and "sum of its items" not in what
    },
    "a payment is not what is allocated, left, refunded and lost": f"""
        SELECT p.id, p.amount, a.amount, i.open, o.amount FROM payments p
        LEFT JOIN (SELECT payment_id, {NET.format("paid_amount")} AS amount FROM allocations GROUP BY 1) a ON a.payment_id = p.id
        LEFT JOIN (SELECT payment_id, sum(open) AS open FROM open_items WHERE purpose IN ('UNEARNED', 'CREDIT') GROUP BY 1) i
            ON i.payment_id = p.id
        LEFT JOIN ({OUT}) o ON o.payment_id = p.id
        WHERE coalesce(a.amount, 0) + coalesce(i.open, 0) + coalesce(o.amount, 0)
            <> CASE WHEN status = 'RECEIVED' THEN p.amount ELSE 0 END""",
    "more is refunded of a payment than was received": f"""
        SELECT p.id FROM payments p JOIN refunds r ON r.payment_id = p.id AND r.{LIVE}
        GROUP BY p.id HAVING sum(r.amount) > p.amount""",
    "more is refunded to a customer than was received": f"""
        SELECT r.customer_id, r.currency FROM refunds r WHERE r.{LIVE} GROUP BY 1, 2 HAVING sum(r.amount) > (
            SELECT coalesce(sum(p.amount), 0) FROM payments p
            WHERE p.customer_id = r.customer_id AND p.currency = r.currency AND p.status = 'RECEIVED')""",
    "what is held is not what is asked for": """
        SELECT * FROM (
            SELECT owner_id, currency, sum(debiting) AS held FROM open_items GROUP BY 1, 2 HAVING sum(debiting) > 0
        ) i FULL JOIN (
            SELECT customer_id AS owner_id, currency, sum(amount) AS held FROM refunds WHERE ended_at IS NULL GROUP BY 1, 2
        ) r USING (owner_id, currency) WHERE i.held IS DISTINCT FROM r.held""",
    "what is disputed is not what disputes say": """
        SELECT d.id FROM disputes d LEFT JOIN open_items i ON i.dispute_id = d.id AND i.purpose = 'DISPUTED'
        WHERE i.open IS DISTINCT FROM CASE d.status WHEN 'OPEN' THEN d.amount ELSE 0 END""",
    "the bank does not have what came in less what went out": f"""
        SELECT owner_id, currency FROM balances WHERE purpose IN ({BANK}) GROUP BY 1, 2 HAVING sum(debit - credit) <> (
            SELECT coalesce(sum(amount), 0) FROM payments p
            WHERE p.customer_id = owner_id AND p.currency = balances.currency AND status = 'RECEIVED'
        ) - (
            SELECT coalesce(sum(amount), 0) FROM refunds r
            WHERE r.customer_id = owner_id AND r.currency = balances.currency AND status = 'SUCCEEDED'
        ) - (
            SELECT coalesce(sum(amount), 0) FROM disputes d
            WHERE d.customer_id = owner_id AND d.currency = balances.currency AND status <> 'WON')""",
    "a balance is not the sum of its items": """
        SELECT * FROM (
            SELECT owner_id, purpose, currency, sum(debit - credit) AS balance, sum(base) AS base FROM balances
            WHERE purpose IN ('RECEIVABLE', 'UNEARNED', 'CREDIT', 'DISPUTED') GROUP BY 1, 2, 3
        ) b FULL JOIN (
            SELECT owner_id, purpose, currency, sum(open) AS open, sum(base) AS base FROM open_items GROUP BY 1, 2, 3
        ) i USING (owner_id, purpose, currency)
        WHERE abs(coalesce(b.balance, 0)) <> coalesce(i.open, 0) OR abs(coalesce(b.base, 0)) <> coalesce(i.base, 0)""",
}


@dataclass
class Company(histories.Company):
    """One that also gives money back, and from which money is taken back."""

    async def step(self) -> None:
        if self.dice.random() < 0.5:
            await super().step()
            return
        acts: list[tuple[int, Callable[[], Awaitable[None]]]] = [
            (9, self.refund),
            (2, self.refund_credit),
            (9, self.end_refund),
            (3, self.dispute),
            (3, self.end_dispute),
        ]
        (act,) = self.dice.choices([act for _, act in acts], [weight for weight, _ in acts])
        with suppress(*REFUSED):
            await act()

    async def refund(self) -> None:
        payment = await self.some("SELECT id FROM payments")
        if payment is None:
            return
        amount = self.amount(await self.currency(payment)) if self.dice.random() < 0.8 else None
        standing = f"SELECT id FROM allocations WHERE payment_id = '{payment}' AND undoes_id IS NULL"
        named = await self.some(standing) if self.dice.random() < 0.3 else None
        verb = refunds.record if self.dice.random() < 0.3 else refunds.request
        async with acting(self.crm) as act:
            await verb(act, payment_id=payment, amount=amount, allocation_ids=[named] if named else None)

    async def refund_credit(self) -> None:
        customer, currency = self.dice.choice(self.customers), self.dice.choice([*histories.CURRENCIES])
        async with acting(self.crm) as act:
            await refunds.request(act, customer_id=customer, amount=self.amount(currency), method="BANK_TRANSFER")

    async def end_refund(self) -> None:
        id = await self.some("SELECT id FROM refunds WHERE status NOT IN ('FAILED', 'CANCELLED')")
        if id is None:
            return
        verb = self.dice.choice(("succeed", "succeed", "fail", "fail", "cancel", "mark_unknown"))
        async with acting(self.crm) as act:
            if verb in ("fail", "cancel"):
                await refunds.end(act, verb, id=id)
            else:
                await getattr(refunds, verb)(act, id=id)

    async def dispute(self) -> None:
        payment = await self.some("SELECT id FROM payments")
        if payment is not None:
            amount = self.amount(await self.currency(payment)) if self.dice.random() < 0.7 else None
            async with acting(self.crm) as act:
                await disputes.open(act, payment_id=payment, amount=amount)

    async def end_dispute(self) -> None:
        id = await self.some("SELECT id FROM disputes WHERE status = 'OPEN'")
        if id is not None:
            async with acting(self.crm) as act:
                await self.dice.choice((disputes.win, disputes.lose))(act, id=id)

    async def check(self) -> None:
        for what, sql in WRONG.items():
            assert await self.database.fetch(sql) == [], what


@pytest.mark.parametrize("seed", [3, 10])
async def test_no_more_goes_back_than_came_in(
    crm: db.Database,
    database: asyncpg.Connection,
    customers: list[UUID],  # noqa: F811
    seed: int,
) -> None:
    company = Company(crm, database, customers, Random(seed))
    for _ in range(120):
        await company.step()
        await company.check()
    counted = await database.fetchrow(
        "SELECT (SELECT count(*) FROM refunds WHERE status = 'SUCCEEDED'), (SELECT count(*) FROM refunds WHERE status = 'FAILED'),"
        " (SELECT count(*) FROM disputes WHERE status = 'WON'), (SELECT count(*) FROM disputes WHERE status = 'LOST'),"
        " (SELECT count(*) FROM ledger_entries WHERE kind = 'payment.unallocated' AND source_type <> 'Payment')"
    )
    assert min(counted) > 0, "a history in which nothing happens shows nothing"


async def test_no_more_goes_back_with_twenty_writers(
    database_url: str,
    database: asyncpg.Connection,
    customers: list[UUID],  # noqa: F811
) -> None:
    """All at the same few payments, each with a connection of its own."""
    crm = await connect(database_url, pool_size=20)
    company = Company(crm, database, customers[:1], Random(7))
    for _ in range(20):
        await histories.Company.step(company)

    async def write(seed: int) -> None:
        own = Company(crm, database, company.customers, Random(seed))
        for _ in range(5):
            for act in (own.refund, own.end_refund, own.allocate, own.undo, own.dispute, own.end_dispute):
                with suppress(*REFUSED):
                    await act()

    await asyncio.gather(*(write(seed) for seed in range(20)))
    await crm.close()
    await company.check()
    assert await database.fetchval("SELECT count(*) FROM refunds") > 0
