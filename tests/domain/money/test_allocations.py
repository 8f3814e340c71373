"""Allocations by hand, by what comes later, and undone: how much of them, when not, and what raw SQL can't do to them."""

from __future__ import annotations

import asyncio
from datetime import date
from decimal import Decimal
from typing import Any
from uuid import UUID

import asyncpg
import pytest
import pytest_asyncio

from crmgql import db
from crmgql.domain.money import allocations, bulk, payments
from crmgql.domain.sales import bulk as sales
from crmgql.domain.sales import orders
from crmgql.errors import (
    AllocationExceedsOpen,
    AllocationExceedsPayment,
    BadUserInput,
    Conflict,
    CrmError,
    CurrencyMismatch,
    IllegalTransition,
    PeriodClosed,
    ReversedAlready,
)
from crmgql.records import records
from crmgql.schema import build
from tests.conftest import NOW
from tests.domain import work
from tests.domain.money.test_receipts import pay
from tests.domain.sales.test_revenue import ZERO, balances, confirmed, draft
from tests.ledger.conftest import acting, add_customer

SUMS = """
SELECT order_id, sum(CASE WHEN undoes_id IS NULL THEN amount ELSE -amount END) AS amount FROM allocations GROUP BY order_id"""
RATE = (
    "INSERT INTO fx_rates (currency, base_currency, effective_on, rate, source) VALUES ('EUR', 'USD', $1, $2, 'TEST')"
)
STATE = "SELECT purpose, currency, order_id, payment_id, open, free, base FROM open_items ORDER BY id"


@pytest_asyncio.fixture(autouse=True)
async def seller(database: asyncpg.Connection) -> UUID:
    assert build.built()
    return await work.user(database)


async def allocate(
    crm: db.Database, payment: UUID, order: UUID | None = None, amount: str | None = None, currency: str = "USD"
) -> None:
    async with acting(crm) as act:
        wanted = None if amount is None else (Decimal(amount), currency)
        await allocations.allocate(act, id=payment, order_id=order, amount=wanted)


async def undo(crm: db.Database, id: UUID) -> UUID:
    async with acting(crm) as act:
        return await allocations.undo(act, id=id)


async def cancel(crm: db.Database, order: UUID) -> None:
    async with acting(crm) as act:
        await orders.move(act, "cancel", id=order)


async def sums(database: asyncpg.Connection) -> dict[UUID, str]:
    return {row["order_id"]: str(row["amount"]) for row in await database.fetch(SUMS)}


async def made(database: asyncpg.Connection) -> UUID:
    """The only allocation."""
    (row,) = await database.fetch("SELECT id FROM allocations")
    return row["id"]  # type: ignore[no-any-return]


async def told(database: asyncpg.Connection) -> list[str]:
    rows = await database.fetch("SELECT kind FROM events WHERE kind ~ 'alloc' ORDER BY id")
    return [row["kind"] for row in rows]


async def test_a_prepayment_settles_an_order(crm: db.Database, database: asyncpg.Connection, customer: UUID) -> None:
    payment = await pay(crm, "15.00", customer_id=customer)
    order = await confirmed(crm, customer, "10.00")
    await allocate(crm, payment, order, "4.00")
    assert await balances(database) == {
        "BANK": ("15.00", "15.00"),
        "RECEIVABLE": ("6.00", "6.00"),
        "REVENUE": ("-10.00", "-10.00"),
        "UNEARNED": ("-11.00", "-11.00"),
    }
    await allocate(crm, payment, order)
    assert await sums(database) == {order: "10.00"}
    assert (await balances(database))["UNEARNED"] == ("-5.00", "-5.00")
    assert await told(database) == ["payment.allocated", "allocation.made"] * 2


async def test_without_an_order_the_oldest_come_first(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    payment = await pay(crm, "15.00", customer_id=customer)
    days = [NOW.replace(day=day) for day in (3, 1, 2)]
    young, oldest, old = [await confirmed(crm, customer, "10.00", ordered_at=day) for day in days]
    await confirmed(crm, customer, "10.00", currency="EUR", ordered_at=NOW.replace(year=2025))
    await confirmed(crm, await add_customer(database), "10.00", ordered_at=NOW.replace(year=2025))
    await allocate(crm, payment, amount="12.00")
    assert await sums(database) == {oldest: "10.00", old: "2.00"}
    await allocate(crm, payment)
    assert await sums(database) == {oldest: "10.00", old: "5.00"}
    await allocate(crm, payment)  # nothing is left, so nothing happens
    assert young not in await sums(database)


async def test_credit_settles_another_order_after_the_unearned_rest(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    first = await confirmed(crm, customer, "10.00")
    payment = await pay(crm, "15.00", order_id=first)
    await undo(crm, await made(database))
    other = await confirmed(crm, customer, "12.00")
    await allocate(crm, payment, other)
    found = await database.fetch(
        "SELECT i.purpose, a.amount FROM allocations a JOIN open_items i ON i.id = a.source_item_id WHERE a.order_id = $1 ORDER BY 1 DESC",
        other,
    )
    assert [(row["purpose"], str(row["amount"])) for row in found] == [("UNEARNED", "10.00"), ("CREDIT", "2.00")]


async def refused(crm: db.Database, kind: type[CrmError], says: str, *given: Any) -> None:
    with pytest.raises(kind, match=says):
        await allocate(crm, *given)


async def test_what_does_not_fit_is_refused_with_the_rest(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    payment = await pay(crm, "5.00", customer_id=customer)
    order, small = await confirmed(crm, customer, "10.00"), await confirmed(crm, customer, "2.00")
    euros = await confirmed(crm, customer, "2.00", currency="EUR")
    others = await confirmed(crm, await add_customer(database), "10.00")
    pending = await pay(crm, "5.00", customer_id=customer, pending=True)
    async with acting(crm) as act:
        draft_ = await draft(act, customer, "1.00")
    gone = await confirmed(crm, customer, "1.00")
    await cancel(crm, gone)
    before = await database.fetch(STATE)
    await refused(crm, AllocationExceedsPayment, r"5\.00 USD is left", payment, order, "5.01")
    await refused(crm, AllocationExceedsPayment, r"5\.00 USD is left", payment, None, "5.01")
    await refused(crm, AllocationExceedsOpen, r"2\.00 USD is still owed", payment, small, "2.01")
    await refused(crm, AllocationExceedsOpen, r"2\.00 EUR is still owed", payment, euros, "5.00")
    await refused(crm, CurrencyMismatch, "USD", payment, order, "1.00", "EUR")
    await refused(crm, BadUserInput, "another customer", payment, others)
    await refused(crm, BadUserInput, "positive|above|more than", payment, order, "0")
    await refused(crm, IllegalTransition, "DRAFT", payment, draft_)
    await refused(crm, IllegalTransition, "CANCELLED", payment, gone)
    await refused(crm, IllegalTransition, "PENDING", pending, order)
    assert await database.fetch(STATE) == before
    await allocate(crm, payment, small)
    await refused(crm, AllocationExceedsOpen, r"0\.00 USD", payment, small)
    await allocate(crm, payment, order)
    await refused(crm, AllocationExceedsPayment, r"0\.00 USD", payment, order)


async def test_a_closed_day_takes_neither(crm: db.Database, database: asyncpg.Connection, customer: UUID) -> None:
    order = await confirmed(crm, customer, "10.00")
    payment = await pay(crm, "4.00", order_id=order)
    other = await pay(crm, "4.00", customer_id=customer)
    await database.execute(
        "INSERT INTO accounting_periods (company_id, first_on, last_on, status, closed_at) SELECT id, $1, $2, 'CLOSED', now() FROM companies",
        date(2026, 1, 1),
        date(2026, 12, 31),
    )
    await refused(crm, PeriodClosed, "2027-01-01", other, order)
    with pytest.raises(PeriodClosed):
        await undo(crm, await made(database))
    assert await sums(database) == {order: "4.00"}
    assert payment


async def test_undone_it_is_as_before(crm: db.Database, database: asyncpg.Connection, customer: UUID) -> None:
    """With the base amounts: booked at 1.25, paid at 1.50, undone when a euro is 2.00."""
    order = await confirmed(crm, customer, "100.00", currency="EUR")
    await database.execute(RATE, NOW.date(), Decimal("1.50"))
    payment = await pay(crm, "60.00", currency="EUR", customer_id=customer)
    before = await database.fetch(STATE)
    await allocate(crm, payment, order, "33.33", "EUR")
    await database.execute(RATE, NOW.date(), Decimal("2.00"))
    undone = await made(database)
    undoing = await undo(crm, undone)
    assert await database.fetch(STATE) == before
    assert {"FX_GAIN", "FX_LOSS"}.isdisjoint(await balances(database, "EUR"))
    row = await database.fetchrow("SELECT * FROM allocations WHERE undoes_id = $1", undone)
    assert (row["id"], row["amount"], row["order_id"], row["payment_id"]) == (
        undoing,
        Decimal("33.33"),
        order,
        payment,
    )
    with pytest.raises(IllegalTransition):
        await undo(crm, undoing)
    await allocate(crm, payment, order)
    assert await sums(database) == {order: "60.00"}
    assert (await told(database))[-3:] == ["allocation.undone", "payment.allocated", "allocation.made"]


async def test_undone_twice_at_once_one_wins(crm: db.Database, database: asyncpg.Connection, customer: UUID) -> None:
    order = await confirmed(crm, customer, "10.00")
    await pay(crm, "4.00", order_id=order)
    id = await made(database)
    found = await asyncio.gather(*(undo(crm, id) for _ in range(4)), return_exceptions=True)
    assert sum(isinstance(each, UUID) for each in found) == 1
    assert sum(isinstance(each, ReversedAlready) for each in found) == 3
    assert await sums(database) == {order: "0.00"}


async def test_an_order_is_cancelled_once_nothing_of_it_is_settled(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    order = await confirmed(crm, customer, "10.00")
    payment = await pay(crm, "4.00", order_id=order)
    expected = await pay(crm, "6.00", order_id=order, pending=True)
    with pytest.raises(Conflict, match="settled"):
        await cancel(crm, order)
    await undo(crm, await made(database))
    with pytest.raises(Conflict, match="pending"):
        await cancel(crm, order)
    async with acting(crm) as act:
        await payments.move(act, "cancel", id=expected)
    await cancel(crm, order)
    assert await balances(database) == {"BANK": ("4.00", "4.00"), "UNEARNED": ("-4.00", "-4.00")}
    assert await database.fetchval("SELECT order_id FROM payments WHERE id = $1", payment) == order


async def test_a_confirmed_order_takes_what_was_paid_for_it(crm: db.Database, database: asyncpg.Connection) -> None:
    """A payment that an import brought for a draft is credit that names it, until it is confirmed; on that day."""
    customer = await add_customer(database)
    async with acting(crm) as act:
        order = await draft(act, customer, "10.00")
        columns = ("customer_id", "order_id", "amount", "currency", "method", "status", "received_at")
        early = NOW.replace(year=2025)
        row = ["p-1", customer, order, Decimal("12.00"), "USD", "CASH", "RECEIVED", early]
        await bulk.payments.write_many(act, columns, [row], source="old")
    assert (await balances(database))["CREDIT"] == ("-12.00", "-12.00")
    async with acting(crm) as act:
        await orders.move(act, "confirm", id=order)
    assert await sums(database) == {order: "10.00"}
    assert (await balances(database))["CREDIT"] == ("-2.00", "-2.00")
    assert await database.fetchval("SELECT allocated_on FROM allocations") == NOW.date()
    assert await told(database) == ["allocation.made"]


async def test_an_order_that_grows_takes_what_was_paid_above(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    amounts = ("subtotal_amount", "shipping_amount", "tax_amount", "discount_amount")
    columns = ("customer_id", "currency", "status", "ordered_at", *amounts)
    for total in ("10.00", "14.00", "11.00"):
        row = ["o-1", customer, "USD", "CONFIRMED", NOW, Decimal(total), ZERO, ZERO, ZERO]
        async with acting(crm) as act:
            written = await sales.orders.write_many(act, columns, [row], source="old")
        if total == "10.00":
            order = await database.fetchval("SELECT id FROM orders")
            await pay(crm, "13.00", order_id=order)
    assert [bool(written.refused), await sums(database)] == [True, {order: "13.00"}]  # nothing is taken back silently
    assert await told(database) == ["allocation.made"] * 2


@pytest.mark.parametrize("amount", [None, "700.00"])
async def test_many_orders_take_as_many_statements_as_one(
    crm: db.Database, database: asyncpg.Connection, customer: UUID, amount: str | None
) -> None:
    counts = []
    for count in (1, 120):
        for _ in range(count):
            await confirmed(crm, customer, "10.00")
        payment = await pay(crm, "1200.00", customer_id=customer)
        async with acting(crm) as act:
            asked: list[str] = []
            act.tx.connection.add_query_logger(lambda record, asked=asked: asked.append(record.query))
            wanted = (Decimal("10.00"), "USD") if count == 1 else amount and (Decimal(amount), "USD")
            await allocations.allocate(act, id=payment, amount=wanted or None)
            counts.append(len(asked))
    assert counts[0] == counts[1], counts
    assert len(await sums(database)) == (121 if amount is None else 71)


RAW = {
    "undone again": ("allocations_undone_once", "{undo}, {sale} FROM allocations WHERE undoes_id IS NOT NULL"),
    "another amount": ("allocations_undoes", "{part}, 1.00, 1.00, allocated_on, id, {reversal} FROM {made}"),
    "another order": ("allocations_posted", "{other}, amount, amount, allocated_on, id, {reversal} FROM {made}"),
    "by no reversal": ("allocations_posted", "{part}, amount, amount, allocated_on, id, {sale} FROM {made}"),
    "a reversal as an allocation": (
        "allocations_undone",
        "{part}, amount, amount, allocated_on, NULL, {reversal} FROM {made}",
    ),
}
PARTS = {
    "part": "customer_id, order_id, payment_id, item_id, source_item_id, currency, currency",
    "other": "customer_id, (SELECT id FROM orders WHERE id <> order_id), payment_id, item_id, source_item_id, currency, currency",
    "undo": "customer_id, order_id, payment_id, item_id, source_item_id, currency, currency, amount, amount, allocated_on, undoes_id",
    "made": "allocations a WHERE undoes_id IS NULL AND NOT EXISTS (SELECT FROM allocations u WHERE u.undoes_id = a.id)",
    "reversal": "(SELECT entry_id FROM posted)",
    "sale": "(SELECT id FROM ledger_entries WHERE kind = 'order.confirmed' LIMIT 1)",
}
INTO = """INSERT INTO allocations (customer_id, order_id, payment_id, item_id, source_item_id, currency, paid_currency, amount, paid_amount,
    allocated_on, undoes_id, entry_id) SELECT """
REVERSE = """
WITH posted AS (
    INSERT INTO ledger_entries (company_id, customer_id, owner_id, kind, reverses_id, key, request_hash, source_type, source_id,
        effective_on, base_currency, size)
    SELECT company_id, e.customer_id, owner_id, 'x', e.id, 'raw', repeat('0', 64), source_type, source_id, effective_on, base_currency, size
    FROM ledger_entries e JOIN allocations a ON a.entry_id = e.id
    WHERE a.undoes_id IS NULL AND NOT EXISTS (SELECT FROM allocations u WHERE u.undoes_id = a.id)
    RETURNING id AS entry_id, owner_id, reverses_id
), moved AS (
    INSERT INTO postings (owner_id, entry_id, n, size, phase, effective_on, base_currency, debit, credit, currency, amount, base_amount,
        debit_item_id, credit_item_id)
    SELECT p.owner_id, posted.entry_id, n, size, phase, effective_on, base_currency, credit, debit, currency, amount, base_amount,
        credit_item_id, debit_item_id
    FROM posted JOIN postings p ON p.owner_id = posted.owner_id AND p.entry_id = posted.reverses_id
)
"""


@pytest.mark.parametrize("what", RAW)
async def test_raw_sql_cannot_undo_twice_or_otherwise(
    crm: db.Database, database: asyncpg.Connection, customer: UUID, what: str
) -> None:
    order = await confirmed(crm, customer, "10.00")
    await confirmed(crm, customer, "10.00")
    await pay(crm, "4.00", order_id=order)
    await undo(crm, await made(database))
    await pay(crm, "4.00", order_id=order)
    constraint, sql = RAW[what]
    insert = INTO + sql.format(**PARTS)
    with pytest.raises(asyncpg.IntegrityConstraintViolationError) as refusal:
        await database.execute(REVERSE + insert if "posted" in insert else insert)
    assert refusal.value.constraint_name == constraint


async def test_raw_sql_cannot_reverse_an_allocation_and_leave_its_row(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    order = await confirmed(crm, customer, "10.00")
    await pay(crm, "4.00", order_id=order)
    with pytest.raises(asyncpg.CheckViolationError, match="that no row undoes"):
        await database.execute(f"{REVERSE} SELECT 1")
    await database.execute(
        REVERSE + INTO + "{part}, amount, amount, allocated_on, id, {reversal} FROM {made}".format(**PARTS)
    )  # whole, it may be
    assert await sums(database) == {order: "0.00"}


async def test_a_hidden_order_is_left_alone(crm: db.Database, database: asyncpg.Connection, customer: UUID) -> None:
    """Who may allocate but sees no orders settles none."""
    await confirmed(crm, customer, "10.00")
    payment = await pay(crm, "4.00", customer_id=customer)
    async with acting(crm) as act:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(records, "visible_many", _nothing)
            await allocations.allocate(act, id=payment)
    assert await sums(database) == {}


async def _nothing(*_: Any) -> dict[UUID, Any]:
    return {}
