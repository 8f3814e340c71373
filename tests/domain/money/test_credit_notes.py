"""Credit notes: of what is owed, of what was paid, of lines; the credit that they leave, and what raw SQL can't do to them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import asyncpg
import pytest
import pytest_asyncio

from crmgql import db
from crmgql.domain.money import allocations, credit_notes, credits, disputes, invoices, refunds
from crmgql.domain.money.credit_notes import Returned
from crmgql.domain.sales import orders
from crmgql.errors import (
    AllocationExceedsOpen,
    AllocationExceedsPayment,
    BadUserInput,
    CreditExceedsInvoiced,
    CrmError,
    CurrencyMismatch,
    IllegalTransition,
)
from crmgql.ledger import verify
from crmgql.schema import build
from tests.domain import work
from tests.domain.money.test_invoices import THIRDS, TODAY, drafted, issued
from tests.domain.money.test_receipts import pay
from tests.domain.sales.test_revenue import balances, confirmed
from tests.ledger.conftest import acting, add_customer

CREDIT = "SELECT open, credit_note_id, invoice_id, order_id FROM open_items WHERE purpose = 'CREDIT' AND open > 0"
OPEN = "SELECT open FROM open_items WHERE purpose = 'RECEIVABLE' AND open > 0 ORDER BY due_on, id"


@pytest_asyncio.fixture(autouse=True)
async def seller(database: asyncpg.Connection) -> UUID:
    assert build.built()
    return await work.user(database)


async def credit(
    crm: db.Database, invoice: UUID, amount: str | None = None, *, lines: Sequence[Returned] | None = None, **more: Any
) -> UUID:
    async with acting(crm) as act:
        wanted = None if amount is None else (Decimal(amount), "USD")
        return await credit_notes.issue(act, invoice_id=invoice, reason="Broken", amount=wanted, lines=lines, **more)


async def apply(crm: db.Database, customer: UUID, amount: str | None = None, **named: UUID) -> None:
    async with acting(crm) as act:
        wanted = None if amount is None else (Decimal(amount), "USD")
        await credits.apply(act, customer_id=customer, amount=wanted, **named)


async def taxed(crm: db.Database, customer: UUID, *prices: str, tax: str) -> UUID:
    return await confirmed(crm, customer, *prices, tax=(Decimal(tax), "USD"))


async def lines_of(database: asyncpg.Connection, invoice: UUID) -> list[UUID]:
    sql = "SELECT id FROM invoice_lines WHERE invoice_id = $1 ORDER BY position"
    return [row["id"] for row in await database.fetch(sql, invoice)]


async def test_what_is_owed_is_owed_no_more(crm: db.Database, database: asyncpg.Connection, customer: UUID) -> None:
    order = await taxed(crm, customer, "100.00", tax="20.00")
    invoice = await issued(crm, order, payment_terms=THIRDS)
    other = await issued(crm, await confirmed(crm, await add_customer(database), "1.00"))
    await credit(crm, other, series="X")  # one that is not the first of its year
    note = await credit(crm, invoice, "60.00")
    assert await balances(database) == {
        "RECEIVABLE": ("60.00", "60.00"),
        "REFUNDS": ("51.00", "51.00"),
        "REVENUE": ("-101.00", "-101.00"),
        "TAX": ("-10.00", "-10.00"),
    }
    assert [str(row["open"]) for row in await database.fetch(OPEN)] == ["20.00", "40.00"]
    row = await database.fetchrow("SELECT * FROM credit_notes WHERE id = $1", note)
    assert (row["number"], row["net_amount"], row["tax_amount"]) == (
        f"CN-{TODAY.year}-000001",
        Decimal("50.00"),
        Decimal("10.00"),
    )
    assert await database.fetchval("SELECT credited_amount FROM invoices WHERE id = $1", invoice) == Decimal("60.00")
    assert await database.fetchval("SELECT kind FROM events ORDER BY id DESC LIMIT 1") == "creditNote.issued"


async def test_all_of_a_paid_invoice_nets_to_nothing_and_is_the_customer_s_credit(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    order = await taxed(crm, customer, "100.00", tax="20.00")
    invoice = await issued(crm, order)
    await pay(crm, "120.00", order_id=order)
    note = await credit(crm, invoice)
    assert await balances(database) == {
        "BANK": ("120.00", "120.00"),
        "CREDIT": ("-120.00", "-120.00"),
        "REFUNDS": ("100.00", "100.00"),
        "REVENUE": ("-100.00", "-100.00"),
    }
    assert [tuple(row) for row in await database.fetch(CREDIT)] == [(Decimal("120.00"), note, invoice, None)]
    with pytest.raises(CreditExceedsInvoiced, match="All of the invoice"):
        await credit(crm, invoice)


async def test_credited_and_refunded_nothing_is_left_of_it(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    """Fully paid, fully credited, fully refunded: no revenue, nothing owed by anybody, and the payment has nothing more to give."""
    order = await taxed(crm, customer, "100.00", tax="20.00")
    invoice = await issued(crm, order)
    await pay(crm, "120.00", invoice_id=invoice)
    await credit(crm, invoice)
    async with acting(crm) as act:
        amount = (Decimal("120.00"), "USD")
        await refunds.record(act, customer_id=customer, amount=amount, method="CASH")
    assert await balances(database) == {"REFUNDS": ("100.00", "100.00"), "REVENUE": ("-100.00", "-100.00")}
    async with acting(crm) as act:
        (standing,) = await act.tx.connection.fetch("SELECT * FROM customer_standings")
    assert {standing[name] for name in ("owed", "outstanding", "credit_balance", "unearned")} == {Decimal(0)}


async def test_credit_of_no_order_covers_nothing_that_is_owed_for_none(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    """A credit note's credit beside what is owed of a dispute: neither names an order, and `audit verify` takes neither for the other."""
    invoice = await issued(crm, await confirmed(crm, customer, "10.00"))
    await pay(crm, "10.00", invoice_id=invoice)
    await credit(crm, invoice)
    twice = await pay(crm, "7.00", customer_id=customer)
    async with acting(crm) as act:
        await refunds.record(act, payment_id=twice)
        dispute = await disputes.open(act, payment_id=twice)
        await disputes.lose(act, id=dispute)
    async with database.transaction():
        assert (await verify.check(database, str(customer), str(customer))).broken == []
    assert await database.fetchval("SELECT outstanding FROM customer_standings") == Decimal("7.00")


async def test_what_was_paid_before_the_invoice_becomes_credit(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    order = await confirmed(crm, customer, "100.00", currency="EUR")
    await pay(crm, "100.00", currency="EUR", order_id=order)
    await credit(crm, await issued(crm, order))
    assert await balances(database, "EUR") == {
        "BANK": ("100.00", "125.00"),
        "CREDIT": ("-100.00", "-125.00"),
        "REFUNDS": ("100.00", "125.00"),
        "REVENUE": ("-100.00", "-125.00"),
    }


async def test_lines_are_taken_back_with_their_tax_to_the_cent(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    order = await taxed(crm, customer, "68.33", "68.33", "57.50", "85.00", tax="55.83")
    invoice = await issued(crm, order)
    for line in await lines_of(database, invoice):
        await credit(crm, invoice, lines=[Returned(line)])
    totals = await database.fetch("SELECT total_amount FROM credit_notes ORDER BY n")
    assert [str(row[0]) for row in totals] == ["82.00", "82.00", "69.00", "101.99"]
    for wanted in (
        {"amount": "0.01"},
        {"lines": [Returned((await lines_of(database, invoice))[0], net=(Decimal("0.01"), "USD"))]},
    ):
        with pytest.raises(CreditExceedsInvoiced):
            await credit(crm, invoice, **wanted)


async def test_of_a_line_no_more_is_taken_back_than_it_has(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    async with acting(crm) as act:
        seller = await act.tx.connection.fetchval("SELECT id FROM users")
        some = [orders.Line(Decimal(3), description="Bolt", unit_price=(Decimal("3.35"), "USD"))]
        order = await orders.create(act, customer_id=customer, lines=some, currency="USD", seller_id=seller)
        await orders.move(act, "confirm", id=order)
    invoice = await issued(crm, order)
    (line,) = await lines_of(database, invoice)
    await credit(crm, invoice, lines=[Returned(line, Decimal(1))])
    with pytest.raises(CreditExceedsInvoiced, match=r"2\.000"):
        await credit(crm, invoice, lines=[Returned(line, Decimal(3))])
    with pytest.raises(CreditExceedsInvoiced, match=r"6\.70"):
        await credit(crm, invoice, lines=[Returned(line, net=(Decimal("6.71"), "USD"))])
    await credit(crm, invoice, lines=[Returned(line)])
    assert await balances(database) == {"REFUNDS": ("10.05", "10.05"), "REVENUE": ("-10.05", "-10.05")}


async def test_what_can_t_be_credited(crm: db.Database, database: asyncpg.Connection, customer: UUID) -> None:
    order = await confirmed(crm, customer, "10.00")
    draft = await drafted(crm, order)
    with pytest.raises(IllegalTransition):
        await credit(crm, draft)
    async with acting(crm) as act:
        await invoices.issue(act, id=draft)
    for day in (TODAY - timedelta(days=1), TODAY + timedelta(days=1)):
        with pytest.raises(BadUserInput, match="to today"):
            await credit(crm, draft, issued_on=day)
    with pytest.raises(BadUserInput, match="no such line"):
        await credit(crm, draft, lines=[Returned(draft)])
    with pytest.raises(BadUserInput, match="at least one"):
        await credit(crm, draft, lines=[])
    async with acting(crm) as act:
        with pytest.raises(BadUserInput):
            await credit_notes.issue(act, invoice_id=draft, reason=" ")


async def test_credit_settles_other_orders_and_invoices_and_can_be_undone(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    first = await confirmed(crm, customer, "100.00")
    invoice = await issued(crm, first)
    await pay(crm, "105.00", invoice_id=invoice)  # 5.00 above it
    note = await credit(crm, invoice, "30.00")
    order, other = await confirmed(crm, customer, "20.00"), await confirmed(crm, customer, "12.00")
    await apply(crm, customer, "8.00", order_id=order)
    await apply(crm, customer, order_id=order)
    second = await issued(crm, other)
    await apply(crm, customer, "2.00", invoice_id=second)
    made = await database.fetch(
        "SELECT amount, order_id, invoice_id, credit_note_id IS NULL AS is_paid FROM allocations WHERE order_id <> $1",
        first,
    )
    assert sorted((row["order_id"] == order, row["is_paid"], str(row["amount"])) for row in made) == [
        (False, False, "2.00"),
        (True, False, "12.00"),
        (True, False, "3.00"),
        (True, True, "5.00"),
    ]
    assert (await balances(database))["CREDIT"] == ("-13.00", "-13.00")
    assert await database.fetchval("SELECT open FROM open_items WHERE credit_note_id = $1", note) == Decimal("13.00")
    with pytest.raises(AllocationExceedsPayment, match=r"13\.00"):
        await apply(crm, customer, "13.01", invoice_id=second)
    with pytest.raises(AllocationExceedsOpen, match=r"10\.00"):
        await apply(crm, customer, "10.01", invoice_id=second)
    undone = await database.fetchval("SELECT id FROM allocations WHERE invoice_id = $1", second)
    async with acting(crm) as act:
        await allocations.undo(act, id=undone)
    assert (await balances(database))["CREDIT"] == ("-15.00", "-15.00")


async def test_credit_is_used_in_its_currency_and_for_something(crm: db.Database, customer: UUID) -> None:
    invoice = await issued(crm, await confirmed(crm, customer, "10.00"))
    await pay(crm, "10.00", invoice_id=invoice)
    await credit(crm, invoice)
    foreign = await confirmed(crm, customer, "10.00", currency="EUR")
    with pytest.raises(CurrencyMismatch):
        await apply(crm, customer, "1.00", order_id=foreign)
    with pytest.raises(AllocationExceedsPayment):
        await apply(crm, customer, order_id=foreign)
    with pytest.raises(BadUserInput):
        await apply(crm, customer)


async def test_two_at_once_credit_no_more_than_the_invoice(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    invoice = await issued(crm, await confirmed(crm, customer, "10.00"))
    done = await asyncio.gather(*(credit(crm, invoice, "6.00") for _ in range(4)), return_exceptions=True)
    assert sum(isinstance(each, CreditExceedsInvoiced) for each in done) == 3, done
    assert not [each for each in done if isinstance(each, Exception) and not isinstance(each, CrmError)]
    assert await database.fetchval("SELECT credited_amount FROM invoices") == Decimal("6.00")


NOTE = (
    "INSERT INTO credit_notes (customer_id, invoice_id, reason, number, issuer_name, recipient_name, currency, issued_on, net_amount,"
    " tax_amount, total_amount) SELECT customer_id, id, 'x', 'x', 'x', 'x', 'USD', issued_on, {0}, 0.00, {0} FROM invoices"
)
RAW = {
    "without an entry": ("credit_notes_posted", NOTE.format("1.00")),
    "more than the invoice": ("invoices_credited", NOTE.format("6.01")),
    "another amount": ("", "UPDATE credit_notes SET net_amount = 1.00, total_amount = 1.00"),
    "deleted": ("", "DELETE FROM credit_notes"),
    "a line more": (
        "credit_notes_posted",
        "INSERT INTO credit_note_lines (customer_id, credit_note_id, position, description, currency, net_amount)"
        " SELECT customer_id, id, 9, 'x', 'USD', 1.00 FROM credit_notes",
    ),
    "a line changed": ("", "UPDATE credit_note_lines SET net_amount = 1.00"),
}


@pytest.mark.parametrize(("constraint", "sql"), RAW.values(), ids=RAW)
async def test_raw_sql_cannot_change_what_is_credited(
    crm: db.Database, database: asyncpg.Connection, customer: UUID, constraint: str, sql: str
) -> None:
    await credit(crm, await issued(crm, await confirmed(crm, customer, "10.00")), "4.00")
    with pytest.raises(asyncpg.IntegrityConstraintViolationError) as refused:
        await database.execute(sql)
    assert str(refused.value.constraint_name or "").startswith(constraint)
