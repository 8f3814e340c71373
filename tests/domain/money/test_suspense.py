"""Money of which nobody knows whose it is: the company's until it is assigned or returned, once; and what raw SQL can't do to it."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any
from uuid import UUID

import asyncpg
import pytest
import pytest_asyncio

from crmgql import db
from crmgql.domain.money import suspense
from crmgql.errors import BadUserInput, Conflict, CurrencyMismatch, IllegalTransition, PeriodClosed
from crmgql.schema import build
from tests.conftest import NOW
from tests.domain import work
from tests.domain.money.test_allocations import RATE, sums
from tests.domain.money.test_receipts import pay
from tests.domain.sales.test_revenue import balances, confirmed
from tests.ledger.conftest import acting, add_customer
from tests.ledger.test_verify import broken, tampering

OWNERS = "SELECT owner_id, sum(debit) - sum(credit), sum(base) FROM balances WHERE purpose = 'TRANSFER' GROUP BY 1"


@pytest_asyncio.fixture(autouse=True)
async def seller(database: asyncpg.Connection) -> UUID:
    assert build.built()
    return await work.user(database)


async def receive(crm: db.Database, amount: str = "10.00", currency: str = "USD", **more: Any) -> UUID:
    async with acting(crm) as act:
        return await suspense.receive(act, amount=(Decimal(amount), currency), method="BANK_TRANSFER", **more)


async def assign(crm: db.Database, id: UUID, customer: UUID | None = None, order: UUID | None = None) -> None:
    async with acting(crm) as act:
        await suspense.assign(act, id=id, customer_id=customer, order_id=order)


async def give_back(crm: db.Database, id: UUID) -> None:
    async with acting(crm) as act:
        await suspense.give_back(act, id=id, reason="It was sent twice.")


async def test_it_is_a_liability_until_it_is_a_payment(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    id = await receive(crm, payer="A. Non", reference="for the thing", source="bank", external_id="1")
    assert await balances(database) == {"BANK": ("10.00", "10.00"), "SUSPENSE": ("-10.00", "-10.00")}
    assert await database.fetchval("SELECT customer_id FROM open_items") is None
    order = await confirmed(crm, customer, "8.00")
    await assign(crm, id, order=order)
    assert await balances(database) == {
        "BANK": ("10.00", "10.00"),
        "CREDIT": ("-2.00", "-2.00"),
        "REVENUE": ("-8.00", "-8.00"),
    }
    assert await sums(database) == {order: "8.00"}
    company = await database.fetchval("SELECT id FROM companies")
    assert {row[0]: str(row[1]) for row in await database.fetch(OWNERS)} == {company: "-10.00", customer: "10.00"}
    payment = await database.fetchrow("SELECT * FROM payments")
    assert (payment["suspense_id"], payment["reference"], payment["status"]) == (id, "for the thing", "RECEIVED")
    entry = await database.fetchrow(
        "SELECT source_type, source_id FROM ledger_entries WHERE key = $1", f"received {payment['id']}"
    )
    assert tuple(entry) == ("Payment", payment["id"])
    kinds = await database.fetch("SELECT kind FROM events WHERE kind ~ 'suspense|payment|allocation' ORDER BY id")
    assert [row[0] for row in kinds] == [
        "suspense.received",
        "payment.received",
        "suspense.assigned",
        "allocation.made",
    ]
    async with database.transaction():
        assert await broken(database) == []


async def test_it_moves_at_its_own_base_amount_on_the_day_of_the_assignment(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    """Received at 1.25, which is what it is worth; the rate of today is 2.00. The month in which it came is closed."""
    await database.execute(RATE, NOW.date().replace(month=9), Decimal("1.25"))
    id = await receive(crm, currency="EUR", received_at=NOW.replace(month=9))
    await database.execute(RATE, NOW.date(), Decimal("2.00"))
    await database.execute(
        "INSERT INTO accounting_periods (company_id, first_on, last_on, status, closed_at)"
        " SELECT id, '1000-01-01', '2026-10-31', 'CLOSED', now() FROM companies"
    )
    with pytest.raises(PeriodClosed):
        await receive(crm, received_at=NOW.replace(month=9))
    await assign(crm, id, customer)
    assert await balances(database, "EUR") == {"BANK": ("10.00", "12.50"), "UNEARNED": ("-10.00", "-12.50")}


async def test_what_nobody_claims_goes_back(crm: db.Database, database: asyncpg.Connection, customer: UUID) -> None:
    id = await receive(crm, provider="stripe", provider_reference="pi_1")
    assert "CLEARING" in await balances(database)
    await give_back(crm, id)
    assert await balances(database) == {}
    assert await database.fetchval("SELECT status_reason FROM suspense_receipts") == "It was sent twice."
    for again in (assign(crm, id, customer), give_back(crm, id)):
        with pytest.raises(IllegalTransition):
            await again


async def test_what_does_not_fit_is_refused(crm: db.Database, database: asyncpg.Connection, customer: UUID) -> None:
    id = await receive(crm)
    euros = await confirmed(crm, customer, "5.00", currency="EUR")
    order = await confirmed(crm, customer, "5.00")
    for kind, given in (
        (BadUserInput, {}),
        (CurrencyMismatch, {"order": euros}),
        (BadUserInput, {"order": order, "customer": await add_customer(database)}),
    ):
        with pytest.raises(kind):
            await assign(crm, id, **given)
    assert await database.fetchval("SELECT status FROM suspense_receipts") == "OPEN"
    assert await database.fetchval("SELECT count(*) FROM payments") == 0


async def test_a_providers_payment_is_recorded_once(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    """As money of nobody or as a payment."""
    one = {"provider": "stripe", "provider_reference": "pi_1"}
    other = {"provider": "stripe", "provider_reference": "pi_2"}
    id = await receive(crm, **one)
    await pay(crm, "10.00", customer_id=customer, **other)
    for again in (
        receive(crm, **one),
        receive(crm, **other),
        pay(crm, "10.00", customer_id=customer, **one),
    ):
        with pytest.raises(Conflict, match="recorded already"):
            await again
    await assign(crm, id, customer)
    with pytest.raises(Conflict, match="recorded already"):
        await receive(crm, **one)
    assert await database.fetchval("SELECT count(*) FROM payments") == 2


async def test_of_twenty_who_assign_it_at_once_one_wins(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    id = await receive(crm)
    others = [customer, await add_customer(database, "Ajax")]

    async def one(number: int) -> None:
        await (give_back(crm, id) if number % 5 == 0 else assign(crm, id, others[number % 2]))

    found = await asyncio.gather(*(one(number) for number in range(20)), return_exceptions=True)
    assert sum(each is None for each in found) == 1
    assert sum(isinstance(each, IllegalTransition) for each in found) == 19
    assert await database.fetchval("SELECT sum(open) FROM open_items WHERE purpose = 'SUSPENSE'") == 0


ENTRY = """
WITH e AS (
    INSERT INTO ledger_entries (company_id, owner_id, kind, key, request_hash, source_type, source_id, effective_on, base_currency, size)
    SELECT company_id, company_id, 'x', 'raw', repeat('0', 64), 'SuspenseReceipt', source_id, effective_on, 'USD', 1
    FROM ledger_entries WHERE kind = 'suspense.received' RETURNING id, owner_id, effective_on
)
INSERT INTO postings (owner_id, entry_id, n, size, phase, effective_on, base_currency, debit, credit, currency, amount, base_amount, debit_item_id)
SELECT e.owner_id, e.id, 1, 1, 'POSTED', effective_on, 'USD', 'SUSPENSE', '{0}', 'USD', 10.00, 10.00, open_items.id FROM e, open_items"""
PAYMENT = """
INSERT INTO payments (customer_id, amount, currency, method, status, received_at, suspense_id)
SELECT c.id, 10.00, 'USD', 'CASH', 'PENDING', now(), s.id FROM customers c, suspense_receipts s LIMIT 1"""
RAW = {
    "assigned to nobody": "UPDATE suspense_receipts SET status = 'ASSIGNED', ended_at = now()",
    "returned without a word": "UPDATE suspense_receipts SET status = 'RETURNED', ended_at = now()",
    "gone from the books": ENTRY.format("BANK"),
    "given to nobody": ENTRY.format("TRANSFER")
    + "; UPDATE suspense_receipts SET status = 'ASSIGNED', ended_at = now()",
    "out of nothing": "INSERT INTO suspense_receipts (amount, currency, method, received_at) VALUES (1.00, 'USD', 'CASH', now())",
    "a payment that took nothing over": f"{PAYMENT}; UPDATE payments SET status = 'RECEIVED'",
    "another amount": "UPDATE suspense_receipts SET amount = 11.00",
    "another reference": "UPDATE suspense_receipts SET provider = 'x', provider_reference = 'y'",
    "deleted": "DELETE FROM suspense_receipts",
}


@pytest.mark.parametrize("what", RAW)
async def test_raw_sql_cannot_part_it_from_the_books(
    crm: db.Database, database: asyncpg.Connection, customer: UUID, what: str
) -> None:
    await receive(crm)
    with pytest.raises(asyncpg.IntegrityConstraintViolationError):
        await database.execute(RAW[what])
    assert await balances(database) == {"BANK": ("10.00", "10.00"), "SUSPENSE": ("-10.00", "-10.00")}


@pytest.mark.parametrize("change", ["SET suspense_id = NULL", "SET status = 'CANCELLED'"])
async def test_an_assigned_one_keeps_its_payment(
    crm: db.Database, database: asyncpg.Connection, customer: UUID, change: str
) -> None:
    await assign(crm, await receive(crm), customer)
    with pytest.raises(asyncpg.IntegrityConstraintViolationError):
        await database.execute(f"UPDATE payments {change}")
    with pytest.raises(asyncpg.RestrictViolationError):
        await database.execute("UPDATE suspense_receipts SET status = 'OPEN', ended_at = NULL")


async def test_verify_finds_what_is_not_as_posted(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    await receive(crm, "7.00")
    await assign(crm, await receive(crm), customer)
    for change, says in (
        ("UPDATE suspense_receipts SET amount = 8.00 WHERE amount = 7.00", "8.00 of it is open, and 7.00 in the books"),
        (
            "UPDATE suspense_receipts SET status = 'RETURNED', ended_at = now() WHERE amount = 7.00",
            "0 of it is open, and 7.00 in",
        ),
        ("UPDATE suspense_receipts SET status = 'OPEN', ended_at = NULL", "10.00 of it is open, and 0 in the books"),
        ("UPDATE balances SET debit = debit + 1 WHERE purpose = 'TRANSFER' AND debit > 0", "adds up to 1.00"),
        ("UPDATE payments SET amount = 9.00", "9.00 of it is received, and 10.00 of it is in the books"),
    ):
        async with tampering(database):
            await database.execute(change)
            assert any(says in each for each in await broken(database)), says
