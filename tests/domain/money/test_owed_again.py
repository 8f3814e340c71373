"""What a refund or a chargeback makes owed again is settled with credit that is for the same."""

from __future__ import annotations

from decimal import Decimal
from uuid import UUID

import asyncpg
import pytest
import pytest_asyncio

from crmgql import db
from crmgql.domain.money import disputes, refunds
from crmgql.schema import build
from tests.domain import work
from tests.domain.money.test_credit_notes import credit
from tests.domain.money.test_credited_debts import standing
from tests.domain.money.test_invoices import issued
from tests.domain.money.test_receipts import pay
from tests.domain.sales.test_revenue import confirmed
from tests.ledger.conftest import acting
from tests.ledger.test_verify import broken

SETTLING = """
SELECT payment_id FROM allocations a WHERE undoes_id IS NULL AND NOT EXISTS (SELECT FROM allocations u WHERE u.undoes_id = a.id)"""


@pytest_asyncio.fixture(autouse=True)
async def seller(database: asyncpg.Connection) -> UUID:
    assert build.built()
    return await work.user(database)


async def refund(crm: db.Database, payment: UUID, amount: str | None = None) -> UUID:
    async with acting(crm) as act:
        wanted = None if amount is None else (Decimal(amount), "USD")
        return await refunds.request(act, payment_id=payment, amount=wanted)


@pytest.mark.parametrize("is_before", [True, False], ids=["paid before the invoice", "paid after"])
async def test_what_is_credited_and_then_refunded_is_not_owed_again(
    crm: db.Database, database: asyncpg.Connection, customer: UUID, is_before: bool
) -> None:
    """As a provider refunds the payment, and not the credit: 40.00 was returned, 60.00 stays sold and paid."""
    order = await confirmed(crm, customer, "100.00")
    payment = await pay(crm, "100.00", order_id=order) if is_before else None
    invoice = await issued(crm, order)
    payment = payment or await pay(crm, "100.00", invoice_id=invoice)
    await credit(crm, invoice, "40.00")
    asked = await refund(crm, payment, "40.00")
    assert await standing(database) == ("0.00", "0.00", "40.00")  # what is held is the payment's until it went back
    async with acting(crm) as act:
        await refunds.end(act, "fail", id=asked)
    assert await standing(database) == ("0.00", "40.00", "0.00")
    asked = await refund(crm, payment, "70.00")
    async with acting(crm) as act:
        await refunds.succeed(act, id=asked)
    assert await standing(database) == ("30.00", "0.00", "0.00")
    assert await broken(database) == []


async def test_what_is_credited_and_then_charged_back_is_not_owed_again(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    invoice = await issued(crm, await confirmed(crm, customer, "100.00"))
    payment = await pay(crm, "100.00", invoice_id=invoice)
    await credit(crm, invoice)
    async with acting(crm) as act:
        dispute = await disputes.open(act, payment_id=payment)
        await disputes.lose(act, id=dispute)
    assert await standing(database) == ("0.00", "0.00", "0.00")
    assert await broken(database) == []


async def test_of_two_payments_for_one_order_either_is_refunded(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    """Who refreshed the checkout has paid twice; the provider gives the first one back, and the second settles the order."""
    order = await confirmed(crm, customer, "99.00")
    first, second = [await pay(crm, "99.00", order_id=order) for _ in range(2)]
    asked = await refund(crm, first)
    assert await standing(database) == ("0.00", "0.00", "99.00")
    assert await database.fetchval(SETTLING) == second
    async with acting(crm) as act:
        await refunds.end(act, "cancel", id=asked)
    assert await standing(database) == ("0.00", "99.00", "0.00")
    assert await database.fetchval(SETTLING) == first
    assert await broken(database) == []


async def test_credit_of_another_invoice_stays(crm: db.Database, database: asyncpg.Connection, customer: UUID) -> None:
    first = await issued(crm, await confirmed(crm, customer, "10.00"))
    second = await issued(crm, await confirmed(crm, customer, "20.00"))
    await pay(crm, "10.00", invoice_id=first)
    payment = await pay(crm, "20.00", invoice_id=second)
    await credit(crm, first)
    await refund(crm, payment, "20.00")
    assert await standing(database) == ("20.00", "10.00", "20.00")
