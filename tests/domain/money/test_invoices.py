"""Invoices: of a whole order and of parts, with due dates, numbers without gaps, and what raw SQL can't do to them."""

from __future__ import annotations

import asyncio
from datetime import date, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import asyncpg
import pytest
import pytest_asyncio

from crmgql import db
from crmgql.domain.money import allocations, amendments, invoices
from crmgql.domain.money.invoicing import Wanted
from crmgql.domain.sales import orders
from crmgql.errors import BadUserInput, Conflict, CrmError, IllegalTransition, InvoiceExceedsOrder, PeriodClosed
from crmgql.schema import build
from tests.conftest import NOW
from tests.domain import work
from tests.domain.money.test_receipts import pay
from tests.domain.sales.test_revenue import balances, confirmed
from tests.ledger.conftest import acting, add_customer

TODAY = NOW.date()
PARTS = "SELECT due_on, amount, paid_before_amount FROM instalments WHERE invoice_id = $1 ORDER BY position"
ITEMS = "SELECT due_on, open FROM open_items WHERE purpose = 'RECEIVABLE' AND open > 0 ORDER BY due_on, id"
THIRDS = "1/3 NET 0M, 1/3 NET 1M, 1/3 NET 2M"


@pytest_asyncio.fixture(autouse=True)
async def seller(database: asyncpg.Connection) -> UUID:
    assert build.built()
    return await work.user(database)


async def drafted(crm: db.Database, order: UUID, *, amount: str | None = None, **more: Any) -> UUID:
    async with acting(crm) as act:
        wanted = None if amount is None else (Decimal(amount), "USD")
        return await invoices.create(act, order_id=order, amount=wanted, **more)


async def issue(crm: db.Database, id: UUID, **more: Any) -> UUID:
    async with acting(crm) as act:
        return await invoices.issue(act, id=id, **more)


async def issued(crm: db.Database, order: UUID, **more: Any) -> UUID:
    return await issue(crm, await drafted(crm, order, **more))


async def row(database: asyncpg.Connection, id: UUID) -> asyncpg.Record:
    return await database.fetchrow("SELECT * FROM invoices WHERE id = $1", id)


async def parts(database: asyncpg.Connection, id: UUID) -> list[tuple[int, str, str]]:
    """Days until due, the amount, and what of it was paid before."""
    return [((r[0] - TODAY).days, str(r[1]), str(r[2])) for r in await database.fetch(PARTS, id)]


async def open_items(database: asyncpg.Connection) -> list[tuple[int | None, str]]:
    return [(r[0] and (r[0] - TODAY).days, str(r[1])) for r in await database.fetch(ITEMS)]


async def lines(database: asyncpg.Connection, order: UUID) -> list[UUID]:
    return [
        r["id"] for r in await database.fetch("SELECT id FROM order_lines WHERE order_id = $1 ORDER BY position", order)
    ]


async def test_an_issued_invoice_gives_what_is_owed_its_due_dates(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    order = await confirmed(crm, customer, "80.00", "20.00", tax=(Decimal("10.00"), "USD"))
    before = await balances(database)
    invoice = await issued(crm, order, payment_terms="30% NET 0, 70% NET 60")
    assert await balances(database) == before  # nothing else changes
    assert await parts(database, invoice) == [(0, "33.00", "0.00"), (60, "77.00", "0.00")]
    assert await open_items(database) == [(0, "33.00"), (60, "77.00")]
    found = await row(database, invoice)
    assert (found["number"], found["total_amount"]) == (f"INV-{TODAY.year}-000001", Decimal("110.00"))
    assert (found["issued_on"], found["due_on"]) == (TODAY, TODAY + timedelta(days=60))
    assert (found["recipient_name"], found["payment_terms"]) == ("Acme", "30% NET 0, 70% NET 60")
    state = await database.fetchrow("SELECT status, invoiced_amount FROM orders WHERE id = $1", order)
    assert tuple(state) == ("INVOICED", Decimal("110.00"))
    kinds = await database.fetch("SELECT kind FROM events WHERE kind ~ 'invoice' ORDER BY id")
    assert [r["kind"] for r in kinds] == ["invoice.drafted", "invoice.issued", "order.invoiced"]


async def test_terms_are_the_customer_s_or_else_the_company_s(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    orders = [await confirmed(crm, customer, "10.00") for _ in range(3)]
    first = await issued(crm, orders[0])
    async with acting(crm) as act:
        await invoices.set_terms(act, id=customer, payment_terms="net  10")
    second, third = await issued(crm, orders[1]), await issued(crm, orders[2], payment_terms="NET 5")
    assert [(await parts(database, each))[0][0] for each in (first, second, third)] == [30, 10, 5]
    async with acting(crm) as act:
        with pytest.raises(BadUserInput):
            await invoices.set_terms(act, id=customer, payment_terms="some day")


async def test_what_was_paid_before_is_taken_off_the_first_parts(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    order = await confirmed(crm, customer, "300.00")
    await pay(crm, "150.00", order_id=order)
    invoice = await issued(crm, order, payment_terms=THIRDS)
    assert [each[1:] for each in await parts(database, invoice)] == [
        ("100.00", "100.00"),
        ("100.00", "50.00"),
        ("100.00", "0.00"),
    ]
    assert [each[1] for each in await open_items(database)] == ["50.00", "100.00"]


async def test_an_order_that_is_paid_already_can_be_invoiced(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    order = await confirmed(crm, customer, "10.00")
    await pay(crm, "10.00", order_id=order)
    invoice = await issued(crm, order)
    assert await parts(database, invoice) == [(30, "10.00", "10.00")]
    assert await database.fetchval("SELECT count(*) FROM ledger_entries WHERE source_type = 'Invoice'") == 0


async def test_instalments_are_settled_oldest_first(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    """The case of docs/ledger.md: three parts of 100.00, 150.00 without an allocation."""
    order = await confirmed(crm, customer, "300.00")
    invoice = await issued(crm, order, payment_terms=THIRDS)
    payment = await pay(crm, "150.00", customer_id=customer)
    async with acting(crm) as act:
        await allocations.allocate(act, id=payment)
    assert [each[1] for each in await open_items(database)] == ["50.00", "100.00"]
    await pay(crm, "60.00", order_id=order)
    await pay(crm, "100.00", invoice_id=invoice)
    assert await open_items(database) == []
    made = await database.fetch("SELECT amount, order_id, invoice_id FROM allocations ORDER BY id")
    assert sorted(r["amount"] for r in made) == [10, 50, 50, 90, 100]
    assert {(r["order_id"], r["invoice_id"]) for r in made} == {(order, invoice)}
    credit = await database.fetchrow("SELECT open, order_id, invoice_id FROM open_items WHERE purpose = 'CREDIT'")
    assert tuple(credit) == (Decimal("10.00"), order, invoice)


async def test_a_payment_for_an_invoice_settles_it_before_older_parts_of_the_order(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    order = await confirmed(crm, customer, "100.00")
    await issued(crm, order, amount="40.00", payment_terms="NET 0")
    second = await issued(crm, order, amount="30.00", payment_terms="NET 9")
    await pay(crm, "35.00", invoice_id=second)
    assert await open_items(database) == [(0, "35.00"), (None, "30.00")]


@pytest.mark.parametrize("cut", ["0.01", "33.33", "57.11", "113.32"])
async def test_parts_of_an_order_sum_to_it(
    crm: db.Database, database: asyncpg.Connection, customer: UUID, cut: str
) -> None:
    discount, tax = (Decimal("3.33"), "USD"), (Decimal("16.67"), "USD")
    order = await confirmed(crm, customer, "33.33", "33.33", "33.33", tax=tax, discount=discount)
    for amount in (cut, None):
        await issued(crm, order, amount=amount)
    sums = await database.fetchrow(
        "SELECT sum(subtotal_amount), sum(tax_amount), sum(discount_amount), sum(total_amount), min(total_amount) FROM invoices"
    )
    assert tuple(sums)[:4] == (Decimal("99.99"), Decimal("16.67"), Decimal("3.33"), Decimal("113.33"))
    with pytest.raises(Conflict, match="Nothing"):
        await drafted(crm, order)


async def test_an_order_is_invoiced_by_lines_and_quantities(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    async with acting(crm) as act:
        seller = await act.tx.connection.fetchval("SELECT id FROM users")
        some = [
            orders.Line(
                Decimal(3), description="Bolt", unit_price=(Decimal("3.35"), "USD"), shipping=(Decimal("1.00"), "USD")
            ),
            orders.Line(Decimal(1), description="Nut", unit_price=(Decimal("7.00"), "USD")),
        ]
        order = await orders.create(
            act, customer_id=customer, lines=some, currency="USD", seller_id=seller, tax=(Decimal("1.71"), "USD")
        )
        await orders.move(act, "confirm", id=order)
    bolt, nut = await lines(database, order)
    first = await issued(crm, order, lines=[Wanted(bolt, Decimal(2))])
    found = await row(database, first)
    assert [str(found[f"{each}_amount"]) for each in ("subtotal", "shipping", "tax", "total")] == [
        "6.70",
        "0.67",
        "0.67",
        "8.04",
    ]
    with pytest.raises(InvoiceExceedsOrder, match=r"1\.000 is left") as refused:
        await drafted(crm, order, lines=[Wanted(bolt, Decimal(2))])
    assert refused.value.field == "lines.0.quantity"
    with pytest.raises(BadUserInput, match="no such line"):
        await drafted(crm, order, lines=[Wanted(nut), Wanted(nut)])
    with pytest.raises(InvoiceExceedsOrder, match=r"11\.72 USD"):
        await drafted(crm, order, amount="11.73")
    last = await issued(crm, order)
    made = await database.fetch(
        "SELECT description, quantity, line_amount FROM invoice_lines WHERE invoice_id = $1 ORDER BY position", last
    )
    assert [(r[0], str(r[1]), str(r[2])) for r in made] == [("Bolt", "1.000", "3.35"), ("Nut", "1.000", "7.00")]
    assert await database.fetchval("SELECT sum(total_amount) FROM invoices") == Decimal("19.76")


async def test_after_an_amount_no_lines_are_chosen(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    order = await confirmed(crm, customer, "10.00", "20.00")
    await issued(crm, order, amount="5.00")
    with pytest.raises(BadUserInput, match="name an amount"):
        await drafted(crm, order, lines=[Wanted((await lines(database, order))[0])])
    assert await database.fetchval("SELECT status FROM orders") == "CONFIRMED"
    async with acting(crm) as act:
        with pytest.raises(IllegalTransition, match=r"Only 5\.00"):
            await orders.move(act, "invoice", id=order)


async def test_one_draft_at_a_time_which_can_be_discarded(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    order = await confirmed(crm, customer, "10.00")
    first = await drafted(crm, order)
    with pytest.raises(Conflict, match="draft already"):
        await drafted(crm, order)
    async with acting(crm) as act:
        await invoices.discard(act, id=first)
    second = await issued(crm, order)
    with pytest.raises(IllegalTransition):
        await issue(crm, first)
    async with acting(crm) as act:
        with pytest.raises(IllegalTransition):
            await invoices.discard(act, id=second)


async def test_what_can_t_be_invoiced(crm: db.Database, database: asyncpg.Connection, customer: UUID) -> None:
    order, free = await confirmed(crm, customer, "10.00"), await confirmed(crm, customer, "0.00")
    with pytest.raises(Conflict, match="Nothing"):
        await drafted(crm, free)
    draft = await drafted(crm, order)
    with pytest.raises(BadUserInput, match="later day"):
        await issue(crm, draft, issued_on=TODAY + timedelta(days=1))
    with pytest.raises(Conflict, match="earlier day"):
        await issue(crm, draft, issued_on=TODAY - timedelta(days=1))
    with pytest.raises(BadUserInput, match="capital letters"):
        await issue(crm, draft, series="a b")
    async with acting(crm) as act:
        await orders.move(act, "cancel", id=order)
    with pytest.raises(IllegalTransition):
        await issue(crm, draft)
    with pytest.raises(IllegalTransition):
        await drafted(crm, order)


async def test_an_invoiced_order_is_not_cancelled(crm: db.Database, customer: UUID) -> None:
    order = await confirmed(crm, customer, "10.00")
    await issued(crm, order, amount="4.00")
    async with acting(crm) as act:
        with pytest.raises(Conflict, match="credit its invoices"):
            await orders.move(act, "cancel", id=order)


async def test_a_closed_day_takes_no_invoice_and_gives_no_number(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    draft = await drafted(crm, await confirmed(crm, customer, "10.00"))
    await database.execute(
        "INSERT INTO accounting_periods (company_id, first_on, last_on, status, closed_at)"
        " SELECT id, $1, $1, 'CLOSED', now() FROM companies",
        TODAY,
    )
    with pytest.raises(PeriodClosed):
        await issue(crm, draft)
    assert await database.fetchval("SELECT count(*) FROM number_series") == 0


async def test_a_foreign_invoice_keeps_the_base_of_its_order(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    order = await confirmed(crm, customer, "10.01", currency="EUR")
    before = await balances(database, "EUR")
    await issued(crm, order, payment_terms=THIRDS)
    assert await balances(database, "EUR") == before
    assert await database.fetchval("SELECT sum(base) FROM open_items WHERE open > 0") == Decimal("12.51")


async def test_numbers_have_no_gaps_with_twenty_writers_of_whom_some_fail(
    crm: db.Database, database: asyncpg.Connection
) -> None:
    drafts = []
    for _ in range(20):
        customer = await add_customer(database)
        drafts.append(await drafted(crm, await confirmed(crm, customer, "10.00")))

    async def one(number: int, draft: UUID) -> None:
        async with acting(crm) as act:
            await invoices.issue(act, id=draft)
            if number % 3 == 0:
                raise RuntimeError("Nothing of this stays.")

    done = await asyncio.gather(*(one(number, draft) for number, draft in enumerate(drafts)), return_exceptions=True)
    assert sum(isinstance(each, RuntimeError) for each in done) == 7
    assert [each for each in done if each is not None and not isinstance(each, RuntimeError)] == []
    numbers = await database.fetch("SELECT n FROM invoices WHERE status = 'ISSUED' ORDER BY n")
    assert [r["n"] for r in numbers] == list(range(1, 14))
    for number, draft in enumerate(drafts):
        if number % 3 == 0:
            await issue(crm, draft)
    assert await database.fetchval("SELECT max(n) FROM invoices") == 20


async def test_each_series_and_year_counts_for_itself_and_in_the_order_of_days(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    for series in (None, None, "A", None):
        await issue(crm, await drafted(crm, await confirmed(crm, customer, "1.00")), series=series)
    numbers = [r["number"] for r in await database.fetch("SELECT number FROM invoices ORDER BY series, n")]
    year = TODAY.year
    assert numbers == [f"A-{year}-000001", *(f"INV-{year}-{n:06}" for n in (1, 2, 3))]
    await database.execute("UPDATE number_series SET last_on = $1 WHERE code = 'A'", date(year, 12, 31))
    with pytest.raises(Conflict, match="The last number of A"):
        await issue(crm, await drafted(crm, await confirmed(crm, customer, "1.00")), series="A")


async def test_two_at_once_invoice_an_order_once(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    order = await confirmed(crm, customer, "10.00")
    draft = await drafted(crm, order)
    done = await asyncio.gather(issue(crm, draft), issue(crm, draft), drafted(crm, order), return_exceptions=True)
    assert sum(isinstance(each, CrmError) for each in done) == 2, done
    assert await database.fetchval("SELECT invoiced_amount FROM orders") == Decimal("10.00")


RAW = {
    "another total": ("invoices_kept", "UPDATE invoices SET note = 'x' WHERE status = 'ISSUED'"),
    "back to a draft": ("invoices_kept", "UPDATE invoices SET status = 'DRAFT' WHERE status = 'ISSUED'"),
    "deleted": ("", "DELETE FROM invoices"),
    "a line more": (
        "invoice_lines_of_draft",
        "INSERT INTO invoice_lines (customer_id, invoice_id, position, description, quantity, currency, unit_price_amount,"
        " discount_amount, shipping_amount, line_amount, net_amount) SELECT customer_id, id, 9, 'x', 1, 'USD', 0.00, 0.00, 0.00, 0.00,"
        " 0.00 FROM invoices WHERE status = 'ISSUED'",
    ),
    "a line changed": ("", "UPDATE invoice_lines SET description = 'x'"),
    "an instalment changed": ("", "UPDATE instalments SET due_on = due_on + 1"),
    "an instalment more": (
        "invoices_posted",
        "INSERT INTO instalments (customer_id, invoice_id, position, due_on, currency, amount, paid_before_amount)"
        " SELECT customer_id, id, 9, due_on, 'USD', 1.00, 1.00 FROM invoices WHERE status = 'ISSUED'",
    ),
    "issued by hand": (
        "invoices_posted",
        "UPDATE invoices SET status = 'ISSUED', number = 'x', issued_on = '2026-11-01', due_on = '2026-11-01', issuer_name = 'x',"
        " recipient_name = 'x' WHERE status = 'DRAFT'",
    ),
    "a number that leaves a gap": (
        "invoices_before",
        "UPDATE invoices SET status = 'ISSUED', number = 'x', series = 'INV', year = 2026, n = 3, issued_on = '2026-11-01',"
        " due_on = '2026-11-01', issuer_name = 'x', recipient_name = 'x' WHERE status = 'DRAFT'",
    ),
    "more than the order": (
        "orders_invoiced",
        "UPDATE invoices SET status = 'ISSUED', number = 'x', issued_on = '2026-11-01', due_on = '2026-11-01', issuer_name = 'x',"
        " recipient_name = 'x', subtotal_amount = 6.01, total_amount = 6.01 WHERE status = 'DRAFT'",
    ),
    "nothing invoiced": ("", "UPDATE orders SET invoiced_amount = 0"),
    "nothing credited": ("", "UPDATE invoices SET credited_amount = 1.00"),
}


@pytest.mark.parametrize(("constraint", "sql"), RAW.values(), ids=RAW)
async def test_raw_sql_cannot_change_what_is_issued(
    crm: db.Database, database: asyncpg.Connection, customer: UUID, constraint: str, sql: str
) -> None:
    order = await confirmed(crm, customer, "10.00")
    await issued(crm, order, amount="4.00")
    await drafted(crm, order)
    with pytest.raises(asyncpg.IntegrityConstraintViolationError) as refused:
        await database.execute(sql)
    assert str(refused.value.constraint_name or "").startswith(constraint)


async def test_an_order_that_was_changed_is_drafted_anew_and_stays_above_what_is_invoiced(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    order = await confirmed(crm, customer, "100.00")
    await pay(crm, "60.00", order_id=order)
    draft = await drafted(crm, order)
    async with acting(crm) as act:
        await amendments.amend(act, id=order, reason="Less", discount=(Decimal("10.00"), "USD"))
    with pytest.raises(Conflict, match="changed since"):
        await issue(crm, draft)
    async with acting(crm) as act:
        await invoices.discard(act, id=draft)
    await issued(crm, order, amount="60.00")
    for discount in ("45.00", "40.01"):
        with pytest.raises(CrmError, match="invoiced"):
            async with acting(crm) as act:
                await amendments.amend(act, id=order, reason="Less", discount=(Decimal(discount), "USD"))
    async with acting(crm) as act:
        await amendments.amend(act, id=order, reason="Less", discount=(Decimal("30.00"), "USD"))
    await issued(crm, order)
    state = await database.fetchrow("SELECT status, invoiced_amount FROM orders")
    assert tuple(state) == ("INVOICED", Decimal("70.00"))
    assert (await balances(database))["RECEIVABLE"] == ("10.00", "10.00")


async def test_a_discount_that_takes_some_of_the_tax_is_not_invoiced(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    """No credit note could take such an invoice back: its net would be less than nothing."""
    order = await confirmed(crm, customer, "10.00", tax=(Decimal("2.00"), "USD"), discount=(Decimal("11.00"), "USD"))
    with pytest.raises(BadUserInput, match="takes some of the tax"):
        await drafted(crm, order)
    assert await database.fetchval("SELECT count(*) FROM invoices") == 0
