"""Forced revenue: a committed order is booked as it is, whoever writes it; else its commit is refused."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any
from uuid import UUID

import asyncpg
import pytest
import pytest_asyncio

from crmgql import db
from crmgql.domain.sales import bulk, orders
from crmgql.domain.sales.orders import Line
from crmgql.errors import BadUserInput, Conflict, PeriodClosed
from crmgql.models import Product, User  # noqa: F401 - what lines refer to
from crmgql.records.records import Act
from crmgql.schema import build
from tests.conftest import NOW
from tests.domain import work
from tests.ledger.conftest import acting, add_customer

ZERO = Decimal("0.00")
AMOUNTS = ("subtotal_amount", "shipping_amount", "tax_amount", "discount_amount")
FOUR = (Decimal("4.00"), ZERO, ZERO, ZERO)
BALANCES = """
SELECT purpose, sum(debit) - sum(credit) AS balance, sum(base) AS base FROM balances WHERE currency = $1
GROUP BY purpose HAVING sum(debit) <> sum(credit) OR sum(base) <> 0 ORDER BY purpose"""


async def draft(act: Act, customer: UUID, *prices: str, currency: str = "USD", **more: Any) -> UUID:
    lines = [Line(Decimal(1), description="Thing", unit_price=(Decimal(each), currency)) for each in prices]
    seller = await act.tx.connection.fetchval("SELECT id FROM users")
    return await orders.create(act, customer_id=customer, lines=lines, currency=currency, seller_id=seller, **more)


async def confirmed(crm: db.Database, customer: UUID, *prices: str, currency: str = "USD", **more: Any) -> UUID:
    async with acting(crm) as act:
        id = await draft(act, customer, *prices, currency=currency, **more)
        await orders.move(act, "confirm", id=id)
        return id


async def balances(database: asyncpg.Connection, currency: str = "USD") -> dict[str, tuple[str, str]]:
    return {row[0]: (str(row[1]), str(row[2])) for row in await database.fetch(BALANCES, currency)}


@pytest_asyncio.fixture(autouse=True)
async def seller(database: asyncpg.Connection) -> UUID:
    assert build.built()
    return await work.user(database)


async def test_a_confirmed_order_is_booked_with_its_parts(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    tax, discount = (Decimal("2.00"), "USD"), (Decimal("1.50"), "USD")
    id = await confirmed(crm, customer, "10.00", "5.00", tax=tax, discount=discount)
    assert await balances(database) == {
        "RECEIVABLE": ("15.50", "15.50"),
        "REVENUE": ("-13.50", "-13.50"),
        "TAX": ("-2.00", "-2.00"),
    }
    record = await database.fetchrow("SELECT * FROM revenue_records WHERE order_id = $1", id)
    assert (record["revision"], record["total_amount"], record["booked_on"]) == (1, Decimal("15.50"), NOW.date())
    assert await database.fetchval("SELECT count(*) FROM revenue_lines WHERE order_id = $1", id) == 2
    entry = await database.fetchrow("SELECT kind, source_type, source_id FROM ledger_entries")
    assert tuple(entry) == ("order.confirmed", "Order", id)


async def test_another_currency_is_booked_at_the_rate_of_its_day(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    await confirmed(crm, customer, "10.01", currency="EUR")
    assert await balances(database, "EUR") == {"RECEIVABLE": ("10.01", "12.51"), "REVENUE": ("-10.01", "-12.51")}


async def test_a_cancelled_order_leaves_nothing(crm: db.Database, database: asyncpg.Connection, customer: UUID) -> None:
    id = await confirmed(crm, customer, "10.01", "3.33", currency="EUR")
    async with acting(crm) as act:
        await orders.move(act, "cancel", id=id)
    assert await balances(database, "EUR") == {}
    record = await database.fetchrow("SELECT * FROM revenue_records ORDER BY revision DESC LIMIT 1")
    assert (record["revision"], record["total_amount"]) == (2, 0)
    with pytest.raises(asyncpg.ForeignKeyViolationError, match="orders_booked"):  # and is not brought back to life
        await database.execute("UPDATE orders SET status = 'CONFIRMED' WHERE id = $1", id)


async def test_a_free_order_has_a_record_and_no_entry(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    id = await confirmed(crm, customer, "0.00")
    async with acting(crm) as act:
        await orders.move(act, "cancel", id=id)
    assert await database.fetchval("SELECT count(*) FROM ledger_entries") == 0
    assert await database.fetchval("SELECT count(*) FROM revenue_records") == 1


async def test_a_draft_is_not_booked(crm: db.Database, database: asyncpg.Connection, customer: UUID) -> None:
    async with acting(crm) as act:
        id = await draft(act, customer, "10.00")
    async with acting(crm) as act:
        await orders.move(act, "cancel", id=id)
    assert await database.fetchval("SELECT count(*) FROM revenue_records") == 0


async def test_a_closed_day_takes_no_order(crm: db.Database, database: asyncpg.Connection, customer: UUID) -> None:
    await database.execute(
        "INSERT INTO accounting_periods (company_id, first_on, last_on, status, closed_at)"
        " SELECT id, '2026-11-01', '2026-11-30', 'CLOSED', now() FROM companies"
    )
    with pytest.raises(PeriodClosed):
        await confirmed(crm, customer, "10.00")
    assert await database.fetchval("SELECT count(*) FROM orders") == 0


RAW = {
    "a confirmed order out of nothing": (
        "INSERT INTO orders (customer_id, status, currency, subtotal_amount, shipping_amount, tax_amount, discount_amount,"
        " total_amount) SELECT customer_id, 'CONFIRMED', 'USD', 5.00, 0.00, 0.00, 0.00, 5.00 FROM orders LIMIT 1",
        asyncpg.ForeignKeyViolationError,
    ),
    "a draft confirmed": (
        "UPDATE orders SET status = 'SHIPPED' WHERE status = 'DRAFT'",
        asyncpg.ForeignKeyViolationError,
    ),
    "another total": (
        "UPDATE orders SET subtotal_amount = 11.00, total_amount = 11.00 WHERE committed",
        asyncpg.ForeignKeyViolationError,
    ),
    "another tax and discount": (
        "UPDATE orders SET tax_amount = 1.00, discount_amount = 1.00 WHERE committed",
        asyncpg.ForeignKeyViolationError,
    ),
    "lines and totals together": (
        "WITH lines AS (UPDATE order_lines SET unit_price_amount = 11.00, line_amount = 11.00)"
        " UPDATE orders SET subtotal_amount = 11.00, total_amount = 11.00 WHERE committed",
        asyncpg.IntegrityConstraintViolationError,
    ),
    "a line of another product or cost": (
        "UPDATE order_lines SET unit_cost_amount = 1.00",
        asyncpg.CheckViolationError,
    ),
    "a line more": (
        "INSERT INTO order_lines (customer_id, order_id, position, description, currency, unit_price_amount, discount_amount,"
        " shipping_amount, line_amount) SELECT customer_id, id, 9, 'Gift', 'USD', 0.00, 0.00, 0.00, 0.00 FROM orders WHERE committed",
        asyncpg.CheckViolationError,
    ),
    "a line that becomes a draft's": (
        "UPDATE order_lines SET order_id = (SELECT id FROM orders WHERE status = 'DRAFT')",
        asyncpg.CheckViolationError,
    ),
    "a line under another id": ("UPDATE order_lines SET id = uuidv7()", asyncpg.CheckViolationError),
    "a line less": ("DELETE FROM order_lines", asyncpg.CheckViolationError),
    "cancelled without taking it back": (
        "UPDATE orders SET status = 'CANCELLED' WHERE committed",
        asyncpg.ForeignKeyViolationError,
    ),
    "made a draft again": ("UPDATE orders SET status = 'DRAFT' WHERE committed", asyncpg.ForeignKeyViolationError),
    "a record of other figures": (
        "INSERT INTO revenue_records (customer_id, order_id, revision, currency, subtotal_amount, shipping_amount, tax_amount,"
        " discount_amount, total_amount, cost_amount, booked_on) SELECT customer_id, id, 2, 'USD', 11.00, 0.00, 0.00, 0.00, 11.00,"
        " 0.00, current_date FROM orders WHERE committed",
        asyncpg.CheckViolationError,
    ),
    "a record ahead of its order, at another rate": (
        "WITH record AS (INSERT INTO revenue_records (customer_id, order_id, revision, currency, subtotal_amount, shipping_amount,"
        " tax_amount, discount_amount, total_amount, cost_amount, booked_on, rate) SELECT customer_id, order_id, 2, currency,"
        " subtotal_amount, shipping_amount, tax_amount, discount_amount, total_amount, cost_amount, booked_on, 99 FROM revenue_records)"
        " INSERT INTO revenue_lines SELECT customer_id, order_id, 2, line_id, quantity, currency, unit_price_amount,"
        " discount_amount, shipping_amount, line_amount, unit_cost_amount, product_id FROM revenue_lines",
        asyncpg.CheckViolationError,
    ),
    "a booked line that is none": (
        "INSERT INTO revenue_lines SELECT customer_id, order_id, revision, uuidv7(), quantity, currency, unit_price_amount,"
        " discount_amount, shipping_amount, line_amount, unit_cost_amount, product_id FROM revenue_lines",
        asyncpg.CheckViolationError,
    ),
    "a record changed": (
        "UPDATE revenue_records SET total_amount = 11.00, subtotal_amount = 11.00",
        asyncpg.RestrictViolationError,
    ),
    "a record deleted": ("DELETE FROM revenue_records", asyncpg.RestrictViolationError),
    "a booked line changed": ("UPDATE revenue_lines SET quantity = 2", asyncpg.RestrictViolationError),
}


@pytest.mark.parametrize("what", RAW)
async def test_raw_sql_cannot_part_orders_from_their_revenue(
    crm: db.Database, database: asyncpg.Connection, customer: UUID, what: str
) -> None:
    async with acting(crm) as act:
        await draft(act, customer, "7.00")
    await confirmed(crm, customer, "10.00")
    await database.execute("DELETE FROM order_lines USING orders WHERE orders.id = order_id AND status = 'DRAFT'")
    statement, error = RAW[what]
    with pytest.raises(error):
        await database.execute(statement)


async def test_raw_sql_brings_no_order_back_with_other_lines(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    """Of an order that costs nothing, the figures are those of its record, cancelled or not."""
    id = await confirmed(crm, customer, "0.00")
    async with acting(crm) as act:
        await orders.move(act, "cancel", id=id)
    await database.execute("UPDATE order_lines SET unit_cost_amount = 5.00")
    with pytest.raises(asyncpg.CheckViolationError, match="lines of its newest revenue record"):
        await database.execute("UPDATE orders SET status = 'CONFIRMED'")


async def test_what_the_commit_refuses_is_a_conflict(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    id = await confirmed(crm, customer, "10.00")
    with pytest.raises(Conflict, match="would no longer be confirmed; nothing was written"):
        async with crm.transaction() as tx:
            await tx.connection.execute("UPDATE orders SET status = 'CANCELLED' WHERE id = $1", id)
    assert await database.fetchval("SELECT status FROM orders") == "CONFIRMED"
    async with crm.transaction() as tx:  # and its connection is as good as before
        assert await tx.connection.fetchval("SELECT 1") == 1


async def test_a_cost_that_no_amount_can_hold_is_refused(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    """In yen, what is too large for a posting is still small in the base currency."""
    rate = "INSERT INTO fx_rates (currency, base_currency, effective_on, rate, source) VALUES ('JPY', 'USD', $1, 0.001, 'TEST')"
    await database.execute(rate, date(2020, 1, 1))
    product = await work.insert(
        database, "products", name="Dear", currency="JPY", price_amount=Decimal(1), cost_amount=Decimal(9 * 10**14)
    )
    with pytest.raises(BadUserInput, match="too large"):
        async with acting(crm) as act:
            seller = await act.tx.connection.fetchval("SELECT id FROM users")
            line = Line(Decimal(10), product_id=product)
            id = await orders.create(act, customer_id=customer, lines=[line], currency="JPY", seller_id=seller)
            await orders.move(act, "confirm", id=id)


async def test_a_booked_order_keeps_its_currency(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    columns = ("customer_id", "status", "currency", "number", *AMOUNTS)
    for currency, refusals in (("USD", []), ("EUR", ["The order is in the books in USD, so it can't be in EUR"])):
        async with acting(crm) as act:
            row = ["o-1", customer, "CONFIRMED", currency, "N-1", *FOUR]
            written = await bulk.orders.write_many(act, columns, [row], source="old")
        assert [each.reason.partition(";")[0] for each in written.refused] == refusals


async def test_many_orders_come_with_their_revenue_and_follow_their_lines(
    crm: db.Database, database: asyncpg.Connection
) -> None:
    """As an import writes history: orders first, lines later, the same again."""
    customer = await add_customer(database)
    columns = ("customer_id", "status", "currency", "ordered_at", "number", *AMOUNTS)
    rows = [[f"o-{n}", customer, "DELIVERED", "USD", NOW.replace(year=2018), f"N-{n}", *FOUR] for n in range(30)]
    async with acting(crm) as act:
        assert (await bulk.orders.write_many(act, columns, rows, source="old")).refused == []
    assert await balances(database) == {"RECEIVABLE": ("120.00", "120.00"), "REVENUE": ("-120.00", "-120.00")}
    assert await database.fetchval("SELECT DISTINCT effective_on FROM ledger_entries") == date(2018, 11, 1)
    ids = [row["id"] for row in await database.fetch("SELECT id FROM orders ORDER BY id")]
    line_columns = (
        "customer_id",
        "order_id",
        "position",
        "description",
        "currency",
        "unit_price_amount",
        "discount_amount",
        "shipping_amount",
    )
    lines = [
        [f"l-{n}", customer, id, 1, "Thing", "USD", Decimal("5.00") - n % 2, ZERO, ZERO] for n, id in enumerate(ids)
    ]
    for _ in range(2):
        async with acting(crm) as act:
            assert (await bulk.order_lines.write_many(act, line_columns, lines, source="old")).refused == []
    assert (await balances(database))["RECEIVABLE"] == ("135.00", "135.00")
    revisions = "SELECT revision, count(*) FROM revenue_records GROUP BY 1 ORDER BY 1"
    assert [tuple(row) for row in await database.fetch(revisions)] == [(1, 30), (2, 30)]
    async with acting(crm) as act:
        less = [[f"l-{n}", customer, id, 1, "Thing", "USD", Decimal("1.00"), ZERO, ZERO] for n, id in enumerate(ids)]
        assert (await bulk.order_lines.write_many(act, line_columns, less, source="old")).refused == []
        cancelled = [["o-0", customer, "CANCELLED", "USD", NOW.replace(year=2018), "N-0", *FOUR]]
        columns = ("customer_id", "status", "currency", "ordered_at", "number", *AMOUNTS)
        assert (await bulk.orders.write_many(act, columns, cancelled, source="old")).refused == []
    assert (await balances(database))["RECEIVABLE"] == ("29.00", "29.00")
