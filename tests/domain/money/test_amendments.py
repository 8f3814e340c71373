"""Changes of committed orders: what is booked, and what becomes of what was paid above the new total."""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from uuid import UUID

import asyncpg
import pytest
import pytest_asyncio

from crmgql import db
from crmgql.domain.money import allocations, amendments
from crmgql.domain.sales import orders
from crmgql.domain.sales.orders import Line
from crmgql.errors import BadUserInput, IllegalTransition, OrderBelowSettled, PeriodClosed
from crmgql.ledger import book
from crmgql.ledger.accounts import Account
from crmgql.ledger.postings import Entry, Posting
from crmgql.models import Purpose
from crmgql.schema import build
from tests.conftest import NOW
from tests.domain import work
from tests.domain.money.test_receipts import pay
from tests.domain.sales.test_revenue import balances, confirmed, draft
from tests.ledger.conftest import acting

RATE = (
    "INSERT INTO fx_rates (currency, base_currency, effective_on, rate, source) VALUES ('EUR', 'USD', $1, $2, 'TEST')"
)
NET = """
SELECT order_id, payment_id, sum(CASE WHEN undoes_id IS NULL THEN amount ELSE -amount END) AS amount FROM allocations
GROUP BY 1, 2 HAVING sum(CASE WHEN undoes_id IS NULL THEN amount ELSE -amount END) <> 0 ORDER BY payment_id"""
ITEMS = "SELECT purpose, order_id, payment_id, open, base FROM open_items WHERE open > 0 ORDER BY id"


@pytest_asyncio.fixture(autouse=True)
async def seller(database: asyncpg.Connection) -> UUID:
    assert build.built()
    return await work.user(database)


def of(*prices: str, currency: str = "USD") -> list[Line]:
    return [Line(Decimal(1), description="Thing", unit_price=(Decimal(each), currency)) for each in prices]


async def amend(crm: db.Database, id: UUID, *prices: str, currency: str = "USD", **changes: Any) -> None:
    async with acting(crm) as act:
        lines = of(*prices, currency=currency) if prices else None
        await amendments.amend(act, id=id, reason="Asked for", lines=lines, **changes)


async def settled(database: asyncpg.Connection) -> list[tuple[UUID, str]]:
    return [(row["payment_id"], str(row["amount"])) for row in await database.fetch(NET)]


async def told(database: asyncpg.Connection) -> list[str]:
    rows = await database.fetch("SELECT kind FROM events WHERE kind ~ 'alloc|amend' ORDER BY id")
    return [row["kind"] for row in rows]


async def test_more_is_owed_as_at_the_confirmation(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    id = await confirmed(crm, customer, "10.00")
    await amend(crm, id, "10.00", "2.50", tax=(Decimal("1.00"), "USD"))
    assert await balances(database) == {
        "RECEIVABLE": ("13.50", "13.50"),
        "REVENUE": ("-12.50", "-12.50"),
        "TAX": ("-1.00", "-1.00"),
    }
    record = await database.fetchrow("SELECT * FROM revenue_records ORDER BY revision DESC LIMIT 1")
    assert (record["revision"], record["total_amount"]) == (2, Decimal("13.50"))
    assert await database.fetchval("SELECT count(*) FROM revenue_lines WHERE revision = 2") == 2
    event = await database.fetchval("SELECT kept || personal FROM events WHERE kind = 'order.amended'")
    assert all(each in event for each in ('"13.50"', '"10.00"', "Asked for"))


async def test_less_is_taken_off_what_is_open(crm: db.Database, database: asyncpg.Connection, customer: UUID) -> None:
    id = await confirmed(crm, customer, "10.00", "5.00")
    payment = await pay(crm, "4.00", order_id=id)
    await amend(crm, id, "6.00")
    assert await settled(database) == [(payment, "4.00")]
    assert (await balances(database))["RECEIVABLE"] == ("2.00", "2.00")
    assert await told(database) == ["allocation.made", "order.amended"]
    assert (
        await database.fetchval("SELECT version FROM order_lines") == 2
    )  # the line at that place is still the same one


async def test_what_was_paid_above_it_becomes_credit_that_names_the_order(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    """Booked at 1.25, paid at 1.50 and 2.00: each payment's part at its own rate."""
    id = await confirmed(crm, customer, "100.00", currency="EUR")
    payments = []
    for amount, rate in (("40.00", "1.50"), ("30.00", "2.00"), ("20.00", "1.25")):
        await database.execute(RATE, NOW.date(), Decimal(rate))
        payments.append(await pay(crm, amount, order_id=id, currency="EUR"))
    await amend(crm, id, "55.00", currency="EUR")
    assert await settled(database) == [(payments[0], "40.00"), (payments[1], "15.00")]
    found = {row["payment_id"]: row for row in await database.fetch(ITEMS)}
    assert {id: (str(row["open"]), str(row["base"])) for id, row in found.items()} == {
        payments[1]: ("15.00", "30.00"),
        payments[2]: ("20.00", "25.00"),
    }
    assert {(row["purpose"], row["order_id"]) for row in found.values()} == {("CREDIT", id)}
    assert (await balances(database, "EUR"))["REVENUE"] == ("-55.00", "-68.75")
    assert (await told(database))[-4:] == ["order.amended", "allocation.undone", "allocation.undone", "allocation.made"]


async def test_what_grows_again_takes_its_credit_back(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    """Also that of a prepayment, which names no order."""
    id = await confirmed(crm, customer, "10.00")
    payment = await pay(crm, "10.00", customer_id=customer)
    async with acting(crm) as act:
        await allocations.allocate(act, id=payment, order_id=id)
    await amend(crm, id, "3.00")
    assert (await balances(database))["CREDIT"] == ("-7.00", "-7.00")
    await amend(crm, id, "9.00")
    assert await settled(database) == [(payment, "9.00")]
    assert (await balances(database))["CREDIT"] == ("-1.00", "-1.00")


async def test_credit_goes_back_to_the_credit_that_it_was(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    first = await confirmed(crm, customer, "10.00")
    payment = await pay(crm, "15.00", order_id=first)
    second = await confirmed(crm, customer, "5.00")
    async with acting(crm) as act:
        await allocations.allocate(act, id=payment, order_id=second)
    await amend(crm, second, "2.00")
    (credit,) = await database.fetch(ITEMS)
    assert (credit["order_id"], credit["open"]) == (first, Decimal("3.00"))


async def test_what_was_paid_in_another_currency_stays_with_its_payment(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    """50.00 EUR settled 100.00 USD; half of the order is left, and so is half of the payment."""
    id = await confirmed(crm, customer, "100.00")
    payment = await pay(crm, "50.00", currency="EUR", customer_id=customer)
    async with acting(crm) as act:
        amounts = {"amount": (Decimal("50.00"), "EUR"), "order_amount": (Decimal("100.00"), "USD")}
        await allocations.allocate(act, id=payment, order_id=id, **amounts)
    await amend(crm, id, "50.00")
    assert await settled(database) == [(payment, "50.00")]
    (left,) = await database.fetch(ITEMS)
    assert (left["purpose"], left["order_id"], left["open"]) == ("UNEARNED", None, Decimal("25.00"))


async def test_who_grows_past_the_limit_is_told_of(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    await database.execute("UPDATE customers SET credit_limit_amount = 15.00, credit_policy = 'WARN'")
    id = await confirmed(crm, customer, "10.00")
    await amend(crm, id, "14.00")
    kinds = "SELECT count(*) FROM events WHERE kind = 'order.creditLimitPassed'"
    assert await database.fetchval(kinds) == 0
    await amend(crm, id, "16.00")
    assert await database.fetchval(kinds) == 1


async def test_what_is_gone_otherwise_stays_gone(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    """Nothing but what is open and what is paid can be taken off: here 6.00 of 10.00."""
    id = await confirmed(crm, customer, "10.00")
    await pay(crm, "1.00", order_id=id)
    async with acting(crm) as act:
        item = Account(Purpose.RECEIVABLE, await database.fetchval("SELECT id FROM open_items WHERE order_id = $1", id))
        lost = Posting(item, Account(Purpose.WRITE_OFF), "USD", Decimal("4.00"), Decimal("4.00"))
        await book.post(act, [Entry("test", "lost", ("Order", id), NOW.date(), [lost], customer_id=customer)])
    with pytest.raises(OrderBelowSettled, match=r"6\.00 USD"):
        await amend(crm, id, "3.99")
    assert await database.fetchval("SELECT total_amount FROM orders") == 10
    await amend(crm, id, "4.00")
    assert (await balances(database))["CREDIT"] == ("-1.00", "-1.00")


@pytest.mark.parametrize("verb", ["draft", "invoice", "ship", "cancel"])
async def test_only_what_is_committed_and_not_shipped(crm: db.Database, customer: UUID, verb: str) -> None:
    async with acting(crm) as act:
        id = await draft(act, customer, "10.00")
        if verb != "draft":
            await orders.move(act, "confirm", id=id)
            await orders.move(act, verb, id=id)
    with pytest.raises(IllegalTransition):
        await amend(crm, id, "3.00")


async def test_the_same_changes_nothing_and_nothing_at_all_is_refused(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    id = await confirmed(crm, customer, "10.00", "5.00")
    await amend(crm, id, "10.00", "5.00", tax=(Decimal(0), "USD"))
    assert await database.fetchval("SELECT version FROM orders") == 2
    assert await told(database) == []
    async with acting(crm) as act:
        with pytest.raises(BadUserInput):
            await amendments.amend(act, id=id, reason="None", lines=[])
    await amend(crm, id, "5.00", "10.00")  # another order of lines is no other total
    assert await database.fetchval("SELECT max(revision) FROM revenue_records") == 2


async def test_a_closed_day_takes_no_change(crm: db.Database, database: asyncpg.Connection, customer: UUID) -> None:
    id = await confirmed(crm, customer, "10.00")
    await pay(crm, "10.00", order_id=id)
    await database.execute(
        "INSERT INTO accounting_periods (company_id, first_on, last_on, status, closed_at)"
        " SELECT id, '2026-11-01', '2026-11-30', 'CLOSED', now() FROM companies"
    )
    with pytest.raises(PeriodClosed):
        await amend(crm, id, "3.00")


async def test_a_product_keeps_its_cost_and_need_not_be_on_sale(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    product = await work.insert(
        database, "products", name="Anvil", currency="USD", price_amount=Decimal("9.00"), cost_amount=Decimal("4.00")
    )
    async with acting(crm) as act:
        line = Line(Decimal(1), product_id=product)
        seller = await database.fetchval("SELECT id FROM users")
        id = await orders.create(act, customer_id=customer, lines=[line], currency="USD", seller_id=seller)
        await orders.move(act, "confirm", id=id)
    await database.execute("UPDATE products SET cost_amount = 5.00, status = 'END_OF_LIFE'")
    async with acting(crm) as act:
        await amendments.amend(act, id=id, reason="One more", lines=[Line(Decimal(2), product_id=product)])
    assert (await balances(database))["COST"] == ("8.00", "8.00")


async def test_many_allocations_take_as_many_statements_as_one(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    counts = []
    for count in (1, 60):
        id = await confirmed(crm, customer, "100.00")
        for _ in range(count):
            await pay(crm, str(Decimal(90) / count), order_id=id)
        async with acting(crm) as act:
            asked: list[str] = []
            act.tx.connection.add_query_logger(lambda record, asked=asked: asked.append(record.query))
            await amendments.amend(act, id=id, reason="Less", lines=of("10.00"))
            counts.append(len(asked))
    assert counts[0] == counts[1], counts
