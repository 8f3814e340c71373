"""Revenue that is recognised later: as the order is shipped, or month by month; what becomes of it as the order changes."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from random import Random
from typing import Any
from uuid import UUID

import asyncpg
import pytest
import pytest_asyncio

from crmgql import db
from crmgql.domain.jobs import kinds
from crmgql.domain.money import amendments, credit_notes, invoices
from crmgql.domain.money.credit_notes import Returned
from crmgql.domain.sales import bulk, deferrals, orders
from crmgql.domain.sales.orders import Line
from crmgql.errors import Conflict, CrmError
from crmgql.records import records
from crmgql.records.records import Act
from crmgql.schema import build
from crmgql.viewer import system
from tests.conftest import NOW
from tests.domain import work
from tests.domain.money.test_receipts import pay
from tests.domain.sales.test_revenue import balances
from tests.ledger.conftest import acting
from tests.ledger.test_verify import broken

ROWS = """
SELECT n, due_on, amount, base_amount, cost_amount, entry_id IS NOT NULL AS is_posted FROM recognition_schedules
ORDER BY revision, line_id, n"""
REVENUE = """
SELECT effective_on, sum(CASE credit WHEN 'REVENUE' THEN amount ELSE -amount END) AS amount FROM postings
WHERE 'REVENUE' IN (debit, credit) GROUP BY 1 HAVING sum(CASE credit WHEN 'REVENUE' THEN amount ELSE -amount END) <> 0 ORDER BY 1"""
RATE = (
    "INSERT INTO fx_rates (currency, base_currency, effective_on, rate, source) VALUES ('EUR', 'USD', $1, $2, 'TEST')"
)


@pytest_asyncio.fixture(autouse=True)
async def seller(database: asyncpg.Connection) -> UUID:
    assert build.built()
    return await work.user(database)


async def product(database: asyncpg.Connection, rule: str = "AT_CONFIRMATION", **more: Any) -> UUID:
    return await work.insert(database, "products", **{"name": "Thing", "currency": "USD", "recognition": rule, **more})


def line(product: UUID | None, price: str, currency: str = "USD") -> Line:
    return Line(Decimal(1), product_id=product, description="Thing", unit_price=(Decimal(price), currency))


async def sold(crm: db.Database, customer: UUID, *lines: Line, currency: str = "USD", **more: Any) -> UUID:
    async with acting(crm) as act:
        seller = await act.tx.connection.fetchval("SELECT id FROM users")
        id = await orders.create(act, customer_id=customer, lines=lines, currency=currency, seller_id=seller, **more)
        await orders.move(act, "confirm", id=id)
        return id


async def move(crm: db.Database, verb: str, id: UUID) -> None:
    async with acting(crm) as act:
        await orders.move(act, verb, id=id)


async def recognise(crm: db.Database, database: asyncpg.Connection, *day: int) -> Any:
    return await work.run(crm, database, kinds.REVENUE_RECOGNISE, now=datetime(*day, 12, tzinfo=UTC))  # type: ignore[misc,arg-type]


async def by_day(database: asyncpg.Connection) -> dict[str, str]:
    return {row[0].isoformat(): str(row[1]) for row in await database.fetch(REVENUE)}


async def told(database: asyncpg.Connection) -> list[str]:
    rows = await database.fetch("SELECT kind FROM events WHERE kind LIKE 'revenue.%' ORDER BY id")
    return [row["kind"] for row in rows]


async def test_what_is_shipped_later_is_revenue_as_it_is_shipped(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    """With its part of the order's discount, and its cost."""
    later = await product(database, "ON_SHIPMENT", cost_amount=Decimal("6.00"))
    at_once = await product(database, cost_amount=Decimal("1.00"))
    discount, tax = (Decimal("3.00"), "USD"), (Decimal("2.00"), "USD")
    id = await sold(crm, customer, line(later, "20.00"), line(at_once, "10.00"), discount=discount, tax=tax)
    assert await balances(database) == {
        "COST": ("1.00", "1.00"),
        "DEFERRED": ("-18.00", "-18.00"),
        "INVENTORY": ("-1.00", "-1.00"),
        "RECEIVABLE": ("29.00", "29.00"),
        "REVENUE": ("-9.00", "-9.00"),
        "TAX": ("-2.00", "-2.00"),
    }
    await recognise(crm, database, 2027, 1, 1)
    assert await told(database) == []
    await move(crm, "ship", id)
    found = await balances(database)
    assert (found["REVENUE"], found["COST"], found.get("DEFERRED")) == (("-27.00", "-27.00"), ("7.00", "7.00"), None)
    assert await told(database) == ["revenue.recognised"]
    await move(crm, "deliver", id)
    assert await told(database) == ["revenue.recognised"]
    assert await broken(database) == []


async def test_what_is_used_over_time_is_revenue_month_by_month(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    """Confirmed on 1 November; the job does not run before February, and then once more."""
    yearly = await product(database, "OVER_TIME", recognition_months=3, cost_amount=Decimal("1.00"))
    await sold(crm, customer, line(yearly, "100.00"))
    assert await balances(database) == {"DEFERRED": ("-100.00", "-100.00"), "RECEIVABLE": ("100.00", "100.00")}
    assert [str(row["amount"]) for row in await database.fetch(ROWS)] == ["33.34", "33.33", "33.33"]
    assert await recognise(crm, database, 2026, 11, 29) == {"orders": 0}
    assert await recognise(crm, database, 2027, 1, 1) == {"orders": 1}
    assert await by_day(database) == {"2026-11-30": "33.34", "2026-12-31": "33.33"}
    assert await recognise(crm, database, 2027, 1, 30) == {"orders": 0}
    assert await recognise(crm, database, 2027, 2, 1) == {"orders": 1}
    found = await balances(database)
    assert (found["REVENUE"], found["COST"], found.get("DEFERRED")) == (("-100.00", "-100.00"), ("1.00", "1.00"), None)
    assert await told(database) == ["revenue.recognised"] * 3
    assert await broken(database) == []


async def test_a_closed_day_is_posted_today(crm: db.Database, database: asyncpg.Connection, customer: UUID) -> None:
    yearly = await product(database, "OVER_TIME", recognition_months=2)
    await sold(crm, customer, line(yearly, "10.00"))
    await database.execute(
        "INSERT INTO accounting_periods (company_id, first_on, last_on, status, closed_at)"
        " SELECT id, '2026-11-01', '2026-11-30', 'CLOSED', now() FROM companies"
    )
    await recognise(crm, database, 2027, 1, 5)
    assert await by_day(database) == {"2026-12-31": "5.00", "2027-01-05": "5.00"}


async def test_a_cancelled_order_leaves_nothing(crm: db.Database, database: asyncpg.Connection, customer: UUID) -> None:
    yearly = await product(database, "OVER_TIME", recognition_months=3, cost_amount=Decimal("1.00"))
    id = await sold(crm, customer, line(yearly, "100.01", "EUR"), currency="EUR")
    await recognise(crm, database, 2026, 12, 1)
    await move(crm, "cancel", id)
    assert await balances(database, "EUR") == {}
    assert [row["is_posted"] for row in await database.fetch(ROWS)] == [True]
    assert await told(database) == ["revenue.recognised", "revenue.reversed"]
    assert await recognise(crm, database, 2028, 1, 1) == {"orders": 0}
    assert await broken(database) == []


async def test_a_changed_order_is_scheduled_anew_by_the_rule_that_it_was_sold_with(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    """What has fallen due already is revenue again at once, on the day of the change."""
    yearly = await product(database, "OVER_TIME", recognition_months=2)
    id = await sold(crm, customer, line(yearly, "100.00"))
    await database.execute("UPDATE orders SET confirmed_at = $1", NOW)
    await recognise(crm, database, 2026, 12, 1)
    await database.execute("UPDATE products SET recognition = 'ON_SHIPMENT', recognition_months = NULL")
    async with crm.transaction() as tx:
        act = Act(tx, system(lambda: datetime(2026, 12, 10, tzinfo=UTC)))
        await amendments.amend(act, id=id, reason="Less", lines=[line(yearly, "60.00")])
    assert await by_day(database) == {"2026-11-30": "50.00", "2026-12-10": "-20.00"}
    assert (await balances(database))["DEFERRED"] == ("-30.00", "-30.00")
    assert await told(database) == ["revenue.recognised", "revenue.reversed", "revenue.recognised"]
    await recognise(crm, database, 2026, 12, 31)
    assert (await balances(database)).get("DEFERRED") is None
    assert await broken(database) == []


async def test_history_that_comes_in_is_recognised_as_far_as_it_is_past(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    """An import brings a shipped order, on its own days; another is shipped by a later one."""
    later = await product(database, "ON_SHIPMENT")
    monthly = await product(database, "OVER_TIME", recognition_months=3)
    columns = (
        "customer_id",
        "currency",
        "status",
        "ordered_at",
        "shipped_at",
        "subtotal_amount",
        "shipping_amount",
        "tax_amount",
        "discount_amount",
    )
    zero = Decimal("0.00")

    async def write(key: str, status: str, shipped_at: datetime | None) -> None:
        row = [key, customer, "USD", status, NOW.replace(month=9), shipped_at, Decimal("9.00"), zero, zero, zero]
        async with acting(crm) as act:
            assert not (await bulk.orders.write_many(act, columns, [row], source="old")).refused

    async def lines(key: str, sold: UUID) -> None:
        order = await database.fetchval("SELECT id FROM orders WHERE external_id = $1", key)
        row = [key, customer, order, 1, sold, "Thing", "USD", Decimal("9.00"), zero, zero]
        order_and_product = ("customer_id", "order_id", "position", "product_id", "description")
        given = (*order_and_product, "currency", "unit_price_amount", "discount_amount", "shipping_amount")
        async with acting(crm) as act:
            assert not (await bulk.order_lines.write_many(act, given, [row], source="old")).refused

    await write("shipped", "SHIPPED", NOW.replace(month=10))
    await write("monthly", "CONFIRMED", None)
    await write("waiting", "CONFIRMED", None)
    for key, each in (("shipped", later), ("monthly", monthly), ("waiting", later)):
        await lines(key, each)
    assert (await balances(database))["DEFERRED"] == ("-12.00", "-12.00")
    await write("waiting", "SHIPPED", NOW.replace(month=10, day=5))
    assert (await balances(database))["DEFERRED"] == ("-3.00", "-3.00")
    assert await broken(database) == []


@pytest.mark.parametrize("seed", range(3))
async def test_recognised_and_deferred_are_what_is_booked_after_each_step(
    crm: db.Database, database: asyncpg.Connection, customer: UUID, seed: int
) -> None:
    """Random histories of orders in two currencies: confirmed, changed, shipped, paid, cancelled, as months pass."""
    dice = Random(seed)
    products = [
        await product(database, cost_amount=Decimal("0.33")),
        await product(database, "ON_SHIPMENT", cost_amount=Decimal("0.07")),
        await product(database, "OVER_TIME", recognition_months=3),
        await product(database, "OVER_TIME", recognition_months=7, cost_amount=Decimal("0.10")),
    ]
    month = 11

    async def credit(act: Act, invoice: Any, dice: Random) -> None:
        """A part of a line, an amount, or all that is left."""
        rows = await database.fetch("SELECT id, net_amount FROM invoice_lines WHERE invoice_id = $1", invoice["id"])
        part = Decimal(dice.randrange(1, 100)) / 100
        of_line = dice.choice(rows)
        net = round(of_line["net_amount"] * part, 2), invoice["currency"]
        amount = round(invoice["total_amount"] * part, 2), invoice["currency"]
        more: dict[str, Any] = dice.choice([{"lines": [Returned(of_line["id"], net=net)]}, {"amount": amount}, {}])
        await credit_notes.issue(act, invoice_id=invoice["id"], reason="Chance", **more)

    def some_lines(currency: str) -> list[Line]:
        count = dice.randrange(1, 5)
        return [line(dice.choice(products), f"{dice.randrange(0, 9999) / 100:.2f}", currency) for _ in range(count)]

    async def step() -> None:
        nonlocal month
        now = datetime(2026, 11, 5, tzinfo=UTC) if month == 11 else datetime(2027, month - 11, 5, tzinfo=UTC)
        what = dice.choice(["sell", *["amend"] * 4, "ship", "pay", "cancel", "pass", "invoice", "credit", "credit"])
        found = await database.fetch("SELECT id, currency FROM orders WHERE committed ORDER BY id")
        order = dice.choice(found) if found else None
        async with crm.transaction() as tx:
            act = Act(tx, system(lambda: now))
            if what == "pass":
                month = min(month + 1, 22)
                await database.execute(RATE, now.date(), Decimal(dice.randrange(50, 200)) / 100)
                await deferrals.recognise_due(act, most=100)
            elif what == "sell" or order is None:
                currency = dice.choice(["USD", "EUR"])
                discount = (Decimal(dice.randrange(0, 300)) / 100, currency)
                seller = await database.fetchval("SELECT id FROM users")
                lines = some_lines(currency)
                id = await orders.create(
                    act, customer_id=customer, lines=lines, currency=currency, seller_id=seller, discount=discount
                )
                await orders.move(act, "confirm", id=id)
            elif what == "amend":
                lines = some_lines(order["currency"])
                await amendments.amend(act, id=order["id"], reason="Chance", lines=lines)
            elif what == "invoice":
                part = (Decimal(dice.randrange(1, 2000)) / 100, order["currency"])
                more = dice.choice([{"amount": part}, {}])
                await invoices.issue(act, id=await invoices.create(act, order_id=order["id"], **more))
            elif what == "credit":
                await credit(act, dice.choice(await database.fetch(INVOICED, order["id"])), dice)
            elif what in ("ship", "cancel"):
                await orders.move(act, what, id=order["id"])
        if what == "pay" and order:
            await pay(crm, f"{dice.randrange(1, 5000) / 100:.2f}", order_id=order["id"], currency=order["currency"])

    for _ in range(60):
        with suppress(CrmError, IndexError):
            await step()
        assert await database.fetch(WRONG) == []
    assert await broken(database) == []
    assert len(set(await told(database))) == 2, "a history in which nothing happens shows nothing"
    assert await database.fetchval("SELECT count(*) FROM recognition_schedules WHERE credited_amount > 0") > 0


INVOICED = "SELECT id, currency, total_amount FROM invoices WHERE order_id = $1 AND status = 'ISSUED' ORDER BY id"
WRONG = """
SELECT o.id, o.net, books.* FROM (
    SELECT id, CASE WHEN committed THEN subtotal_amount - discount_amount ELSE 0 END AS net FROM orders
) o
LEFT JOIN LATERAL (
    SELECT coalesce(sum(side.amount) FILTER (WHERE account IN ('REVENUE', 'REFUNDS')), 0) AS recognised,
        coalesce(sum(side.amount) FILTER (WHERE account = 'DEFERRED'), 0) AS deferred,
        coalesce(sum(base) FILTER (WHERE account = 'DEFERRED'), 0) AS deferred_base
    FROM ledger_entries e JOIN postings p ON p.owner_id = e.owner_id AND p.entry_id = e.id,
        LATERAL (VALUES (credit, amount, base_amount), (debit, -amount, -base_amount)) AS side(account, amount, base)
    WHERE e.source_id = o.id OR e.source_id IN (
        SELECT n.id FROM credit_notes n JOIN invoices i ON i.id = n.invoice_id WHERE i.order_id = o.id)
) books ON true
LEFT JOIN LATERAL (
    SELECT coalesce(sum(amount - credited_amount), 0) AS amount, coalesce(sum(base_amount - credited_base_amount), 0) AS base
    FROM recognition_schedules WHERE order_id = o.id AND entry_id IS NULL
) waiting ON true
LEFT JOIN LATERAL (
    SELECT coalesce(sum(n.net_amount), 0) AS net FROM credit_notes n JOIN invoices i ON i.id = n.invoice_id WHERE i.order_id = o.id
) credited ON true
WHERE books.recognised + books.deferred <> o.net - credited.net OR (books.deferred, books.deferred_base) <> (waiting.amount, waiting.base)
    OR (books.deferred = 0 AND books.deferred_base <> 0)"""


async def test_what_falls_due_while_its_order_is_cancelled_is_posted_once_or_never(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    monthly = await product(database, "OVER_TIME", recognition_months=1)
    ids = [await sold(crm, customer, line(monthly, "10.00")) for _ in range(8)]

    async def post() -> None:
        async with crm.transaction() as tx:
            await deferrals.recognise_due(Act(tx, system(lambda: datetime(2027, 1, 1, tzinfo=UTC))), most=100)

    doing = [post(), post(), *(move(crm, "cancel", id) for id in ids), post()]
    found = await asyncio.gather(*doing, return_exceptions=True)
    assert all(each is None or isinstance(each, records.COLLIDED) for each in found), found
    await post()
    assert await database.fetch(WRONG) == []
    assert await broken(database) == []


async def test_many_orders_take_as_many_statements_as_one(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    monthly = await product(database, "OVER_TIME", recognition_months=2)
    counts = []
    for count in (1, 60):
        for _ in range(count):
            await sold(crm, customer, line(monthly, "10.00"))
        async with crm.transaction() as tx:
            act = Act(tx, system(lambda: datetime(2027, 2, 1, tzinfo=UTC)))
            asked: list[str] = []
            tx.connection.add_query_logger(lambda record, asked=asked: asked.append(record.query))
            assert await deferrals.recognise_due(act, most=100) == count
            counts.append(len(asked))
    assert counts[0] == counts[1], counts


async def credited(crm: db.Database, invoice: UUID, amount: str | None = None, **more: Any) -> UUID:
    async with acting(crm) as act:
        wanted = None if amount is None else (Decimal(amount), "USD")
        return await credit_notes.issue(act, invoice_id=invoice, reason="Ended", amount=wanted, **more)


async def monthly_order(
    crm: db.Database, database: asyncpg.Connection, customer: UUID, amount: str | None = None
) -> tuple[UUID, UUID]:
    """An order of 40.00 over four months, and its invoice, of an amount or of all."""
    wanted = None if amount is None else (Decimal(amount), "USD")
    id = await sold(crm, customer, line(await product(database, "OVER_TIME", recognition_months=4), "40.00"))
    async with acting(crm) as act:
        return id, await invoices.issue(act, id=await invoices.create(act, order_id=id, amount=wanted))


async def test_what_is_credited_before_it_is_revenue_is_none_later(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    """The months that come last are credited first; what is revenue already is taken back as such."""
    _, invoice = await monthly_order(crm, database, customer)
    await credited(crm, invoice, "15.00")
    assert await balances(database) == {"DEFERRED": ("-25.00", "-25.00"), "RECEIVABLE": ("25.00", "25.00")}
    await recognise(crm, database, 2026, 12, 1)
    assert (await balances(database))["REVENUE"] == ("-10.00", "-10.00")
    await credited(crm, invoice, "18.00")
    found = await balances(database)
    assert (found.get("DEFERRED"), found["REFUNDS"], found["REVENUE"]) == (None, ("3.00", "3.00"), ("-10.00", "-10.00"))
    await recognise(crm, database, 2027, 12, 1)
    assert (await balances(database))["REVENUE"] == ("-10.00", "-10.00")
    assert await told(database) == ["revenue.recognised"]
    assert await database.fetch(WRONG) == []
    assert await broken(database) == []


async def test_of_a_line_that_is_returned_its_own_months_are_credited(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    """Of one that is revenue at once, nothing; the cost of what is credited stays, and is expense as it was to be."""
    monthly = await product(database, "OVER_TIME", recognition_months=2, cost_amount=Decimal("4.00"))
    id = await sold(crm, customer, line(None, "10.00"), line(monthly, "20.00"), line(monthly, "30.00"))
    async with acting(crm) as act:
        invoice = await invoices.issue(act, id=await invoices.create(act, order_id=id))
    sql = "SELECT id FROM invoice_lines WHERE invoice_id = $1 ORDER BY position"
    at_once, first, _ = [row["id"] for row in await database.fetch(sql, invoice)]
    await credited(crm, invoice, lines=[Returned(at_once, net=(Decimal("5.00"), "USD")), Returned(first)])
    found = await balances(database)
    assert (found["DEFERRED"], found["REFUNDS"]) == (("-30.00", "-30.00"), ("5.00", "5.00"))
    await recognise(crm, database, 2027, 2, 1)
    found = await balances(database)
    assert (found["REVENUE"], found["COST"], found.get("DEFERRED")) == (("-40.00", "-40.00"), ("8.00", "8.00"), None)


async def test_what_is_credited_stays_so_as_the_order_changes(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    id, invoice = await monthly_order(crm, database, customer, "20.00")
    await credited(crm, invoice, "15.00")
    await recognise(crm, database, 2026, 12, 1)
    monthly = await database.fetchval("SELECT product_id FROM order_lines")
    async with acting(crm) as act:
        await amendments.amend(act, id=id, reason="More", lines=[line(monthly, "80.00")])
    assert (await balances(database))["RECEIVABLE"] == ("65.00", "65.00")
    await recognise(crm, database, 2027, 12, 1)
    assert (await balances(database))["REVENUE"] == ("-65.00", "-65.00")
    with pytest.raises(Conflict, match=r"15\.00 USD is credited"):
        async with acting(crm) as act:
            await amendments.amend(act, id=id, reason="At once", lines=[line(None, "80.00")])
    assert await database.fetch(WRONG) == []
    assert await broken(database) == []


async def test_a_month_falls_due_while_it_is_credited(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    made = [await monthly_order(crm, database, customer) for _ in range(5)]

    async def post() -> None:
        async with crm.transaction() as tx:
            await deferrals.recognise_due(Act(tx, system(lambda: datetime(2027, 12, 1, tzinfo=UTC))), most=100)

    doing = [post(), *(credited(crm, invoice, "25.00") for _, invoice in made), post()]
    found = await asyncio.gather(*doing, return_exceptions=True)
    assert all(not isinstance(each, BaseException) or isinstance(each, records.COLLIDED) for each in found), found
    await post()
    assert await database.fetch(WRONG) == []
    assert await broken(database) == []


RAW = {
    "credited by no credit note": "UPDATE recognition_schedules SET credited_amount = 1, credited_base_amount = 1",
    "an amount": "UPDATE recognition_schedules SET amount = amount + 1",
    "a day": "UPDATE recognition_schedules SET due_on = due_on + 1",
    "what is posted": "UPDATE recognition_schedules SET entry_id = NULL WHERE entry_id IS NOT NULL",
    "deleted though posted": "DELETE FROM recognition_schedules WHERE entry_id IS NOT NULL",
    "deleted though waiting": "DELETE FROM recognition_schedules WHERE entry_id IS NULL",
    "posted by no entry": "UPDATE recognition_schedules SET entry_id = (SELECT entry_id FROM revenue_records LIMIT 1) WHERE entry_id IS NULL",
    "more of it": "INSERT INTO recognition_schedules SELECT customer_id, order_id, revision, line_id, 9::smallint, due_on, currency, amount, base_amount, cost_amount FROM recognition_schedules",
    "all of it": "TRUNCATE recognition_schedules",
}


@pytest.mark.parametrize("what", RAW)
async def test_raw_sql_cannot_part_the_schedule_from_the_books(
    crm: db.Database, database: asyncpg.Connection, customer: UUID, what: str
) -> None:
    monthly = await product(database, "OVER_TIME", recognition_months=2)
    await sold(crm, customer, line(monthly, "10.00"))
    await recognise(crm, database, 2026, 12, 1)
    with pytest.raises((asyncpg.IntegrityConstraintViolationError, asyncpg.RestrictViolationError)):
        await database.execute(RAW[what])
