"""Small inputs that other systems got wrong, with the values that are right: docs/ledger.md derives them."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from uuid import UUID

import asyncpg
import pytest
import pytest_asyncio

from crmgql import db
from crmgql.domain.money import credit_notes, credits, invoices
from crmgql.domain.sales import orders
from crmgql.domain.sales.orders import Line
from crmgql.errors import AllocationExceedsOpen, BadUserInput
from crmgql.schema import build
from tests.conftest import NOW
from tests.domain import work
from tests.domain.money.test_credited_debts import standing
from tests.domain.money.test_receipts import pay
from tests.domain.sales.test_revenue import balances
from tests.ledger.conftest import acting
from tests.ledger.test_verify import broken

FRACTIONS = """
SELECT table_name, column_name FROM information_schema.columns
WHERE table_schema = 'public' AND (column_name LIKE '%\\_amount' OR column_name = 'amount') AND data_type = 'numeric'"""
RATE = (
    "INSERT INTO fx_rates (currency, base_currency, effective_on, rate, source) VALUES ('USD', 'CLP', $1, $2, 'TEST')"
)


@pytest_asyncio.fixture(autouse=True)
async def seller(database: asyncpg.Connection) -> UUID:
    assert build.built()
    return await work.user(database)


async def sold(
    crm: db.Database, customer: UUID, price: str, tax: str, *, shipping: str = "0.00", currency: str = "USD"
) -> UUID:
    async with acting(crm) as act:
        sent = (Decimal(shipping), currency) if Decimal(shipping) else None
        thing = Line(Decimal(1), description="Thing", unit_price=(Decimal(price), currency), shipping=sent)
        seller = await act.tx.connection.fetchval("SELECT id FROM users")
        given = {"customer_id": customer, "currency": currency, "seller_id": seller, "tax": (Decimal(tax), currency)}
        id = await orders.create(act, lines=[thing], **given)
        await orders.move(act, "confirm", id=id)
        return id


async def invoiced(crm: db.Database, order: UUID) -> UUID:
    async with acting(crm) as act:
        return await invoices.issue(act, id=await invoices.create(act, order_id=order))


async def test_prepaid_credit_and_an_invoice_round_alike(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    """14.29 and 24 % are 17.7196: 17.72 once, on the invoice, and the same is taken of the credit; nothing is owed, not even −0.01."""
    with pytest.raises(BadUserInput, match="2 decimals"):
        await sold(crm, customer, "14.29", "3.4296")
    bought = await invoiced(crm, await sold(crm, customer, "100.00", "0.00"))
    await pay(crm, "100.00", invoice_id=bought)
    async with acting(crm) as act:
        await credit_notes.issue(act, invoice_id=bought, reason="Kept as credit")
    order = await sold(crm, customer, "14.29", "3.43")
    invoice = await invoiced(crm, order)
    async with acting(crm) as act:
        await credits.apply(act, customer_id=customer, invoice_id=invoice)
    assert await standing(database) == ("0.00", "82.28", "0.00")
    with pytest.raises(AllocationExceedsOpen):
        async with acting(crm) as act:
            await credits.apply(act, customer_id=customer, invoice_id=invoice, amount=(Decimal("0.01"), "USD"))
    assert await broken(database) == []


async def test_what_is_owed_has_no_more_decimals_than_can_be_paid(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    """24.99, 10.75 % of it, and 6.44: 34.12 are owed and paid, and no half cent is left, nor is anything overpaid."""
    with pytest.raises(BadUserInput, match="2 decimals"):
        await sold(crm, customer, "24.99", "2.686", shipping="6.44")
    order = await sold(crm, customer, "24.99", "2.69", shipping="6.44")
    assert await database.fetchval("SELECT total_amount::text FROM orders") == "34.12"
    await invoiced(crm, order)
    await pay(crm, "34.12", order_id=order)
    assert await standing(database) == ("0.00", "0.00", "0.00")
    for table, column in await database.fetch(FRACTIONS):
        finer = f"SELECT count(*) FROM {table} WHERE {column} <> round({column}, 2)"
        assert not await database.fetchval(finer), (table, column)


async def test_a_difference_of_rates_is_no_credit_balance(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    """110.00 USD owed at 531 and paid at 600: in the books' own currency 58,410 and 66,000, a gain of 7,590 and nothing left."""
    await database.execute("UPDATE companies SET default_currency = 'CLP'")
    await database.execute(RATE, date(2000, 1, 1), Decimal(531))
    order = await sold(crm, customer, "110.00", "0.00")
    assert (await balances(database))["RECEIVABLE"] == ("110.00", "58410")
    await database.execute(RATE, NOW.date(), Decimal(600))
    await pay(crm, "110.00", order_id=order)
    assert await balances(database) == {
        "BANK": ("110.00", "66000"),
        "FX_GAIN": ("0.00", "-7590"),
        "REVENUE": ("-110.00", "-58410"),
    }
    assert await standing(database) == ("0.00", "0.00", "0.00")
