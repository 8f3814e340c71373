"""Credit notes of what nobody paid, as it was written off or refunded: they become no credit."""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
import pytest_asyncio

from crmgql import db
from crmgql.domain.money import credit_notes, refunds, write_offs
from crmgql.errors import Conflict
from crmgql.ledger import book
from crmgql.ledger.accounts import Account
from crmgql.ledger.postings import Entry, Posting
from crmgql.models import Purpose
from crmgql.schema import build
from tests.domain import work
from tests.domain.money.test_credit_notes import credit, taxed
from tests.domain.money.test_invoices import TODAY, issued
from tests.domain.money.test_receipts import pay
from tests.domain.money.test_write_offs import write_off
from tests.domain.sales.test_revenue import balances, confirmed
from tests.ledger.conftest import acting
from tests.ledger.test_verify import broken

# Parameters: credit note, invoice.
NOTE = """
INSERT INTO credit_notes (id, customer_id, invoice_id, reason, number, issuer_name, recipient_name, currency, issued_on, net_amount,
    tax_amount, total_amount) SELECT $1, customer_id, id, 'x', 'x', 'x', 'x', 'USD', issued_on, 2.00, 0.00, 2.00 FROM invoices WHERE id = $2"""
LINE = """
INSERT INTO credit_note_lines (customer_id, credit_note_id, position, description, currency, net_amount)
SELECT customer_id, id, 1, 'x', 'USD', 2.00 FROM credit_notes WHERE id = $1"""
HALVES = "50% NET 0, 50% NET 30"


@pytest_asyncio.fixture(autouse=True)
async def seller(database: asyncpg.Connection) -> UUID:
    assert build.built()
    return await work.user(database)


async def standing(database: asyncpg.Connection) -> tuple[str, ...]:
    """What is owed, and what there is of credit and paid ahead."""
    row = await database.fetchrow("SELECT owed, credit_balance, unearned FROM customer_standings")
    return tuple(map(str, row))


async def test_what_is_written_off_becomes_no_credit(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    """Nobody paid it: the credit note takes the place of the write-off, and what it does not take stays written off."""
    invoice = await issued(crm, await taxed(crm, customer, "100.00", tax="20.00"))
    await write_off(crm, invoice_id=invoice, reason="They went bankrupt.")
    await credit(crm, invoice, "60.00")
    assert await balances(database) == {
        "REFUNDS": ("50.00", "50.00"),
        "REVENUE": ("-100.00", "-100.00"),
        "TAX": ("-10.00", "-10.00"),
        "WRITE_OFF": ("60.00", "60.00"),
    }
    rows = await database.fetch("SELECT amount, undoes_id IS NULL, reason FROM write_offs ORDER BY entry_id")
    assert [(str(row[0]), row[1]) for row in rows] == [("120.00", True), ("120.00", False), ("60.00", True)]
    assert {row["reason"] for row in rows} == {"They went bankrupt."}
    kinds = await database.fetch("SELECT kind FROM events WHERE subject_type = 'WriteOff' ORDER BY id")
    assert [row[0] for row in kinds] == ["writeOff.made", "writeOff.undone", "writeOff.made"]
    await credit(crm, invoice)
    assert await balances(database) == {"REFUNDS": ("100.00", "100.00"), "REVENUE": ("-100.00", "-100.00")}
    assert await broken(database) == []


async def test_what_is_written_off_comes_before_what_was_paid(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    """Of an invoice in two parts: 40.00 paid, both rests written off. The customer's credit is what was paid above what is left."""
    invoice = await issued(crm, await confirmed(crm, customer, "100.00"), payment_terms=HALVES)
    await pay(crm, "40.00", invoice_id=invoice)
    await write_off(crm, invoice_id=invoice)
    await credit(crm, invoice, "35.00")
    assert await standing(database) == ("0.00", "0.00", "0.00")
    assert (await balances(database))["WRITE_OFF"] == ("25.00", "25.00")
    await credit(crm, invoice, "45.00")
    assert await standing(database) == ("0.00", "20.00", "0.00")
    assert "WRITE_OFF" not in await balances(database)
    await credit(crm, invoice)
    assert await standing(database) == ("0.00", "40.00", "0.00")
    assert await broken(database) == []


async def test_in_another_currency_it_comes_back_at_its_own_base_amount(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    invoice = await issued(crm, await confirmed(crm, customer, "33.33", currency="EUR"))
    await write_off(crm, invoice_id=invoice, amount="11.11", currency="EUR")
    async with acting(crm) as act:
        await write_offs.write_off(act, invoice_id=invoice, reason="The rest.")
    async with acting(crm) as act:
        await credit_notes.issue(act, invoice_id=invoice, reason="Broken", amount=(Decimal("30.00"), "EUR"))
    found = await balances(database, "EUR")
    assert (found["REFUNDS"][0], found["WRITE_OFF"][0], "CREDIT" in found) == ("30.00", "3.33", False)
    assert sum(Decimal(base) for _, base in found.values()) == 0


async def test_what_was_written_off_before_the_invoice_is_credited_alike(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    order = await confirmed(crm, customer, "100.00")
    await write_off(crm, order, "30.00")
    invoice = await issued(crm, order)
    await credit(crm, invoice, "90.00")
    assert await balances(database) == {
        "REFUNDS": ("90.00", "90.00"),
        "REVENUE": ("-100.00", "-100.00"),
        "WRITE_OFF": ("10.00", "10.00"),
    }
    assert await broken(database) == []


async def test_what_is_written_off_of_what_is_not_invoiced_stays_so(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    order = await confirmed(crm, customer, "100.00")
    invoice = await issued(crm, order, amount="60.00")
    await pay(crm, "60.00", invoice_id=invoice)
    await write_off(crm, order, "40.00")
    await credit(crm, invoice)
    assert await standing(database) == ("0.00", "60.00", "0.00")
    assert (await balances(database))["WRITE_OFF"] == ("40.00", "40.00")


async def test_what_was_paid_before_the_invoice_and_refunded_is_owed_no_more(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    """A sale that was paid at once, refunded and then credited: nobody owes anything, and there is no credit."""
    order = await confirmed(crm, customer, "100.00")
    payment = await pay(crm, "100.00", order_id=order)
    invoice = await issued(crm, order)
    async with acting(crm) as act:
        await refunds.record(act, payment_id=payment)
    assert await standing(database) == ("100.00", "0.00", "0.00")
    await credit(crm, invoice)
    assert await standing(database) == ("0.00", "0.00", "0.00")
    assert await balances(database) == {"REFUNDS": ("100.00", "100.00"), "REVENUE": ("-100.00", "-100.00")}
    assert await broken(database) == []


async def test_raw_sql_credits_nothing_of_another_order(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    """A part of the invoice, and one of an order that the invoice is not of, which has no invoice to compare with."""
    await confirmed(crm, customer, "5.00")
    invoice = await issued(crm, await confirmed(crm, customer, "10.00"))
    rows = await database.fetch("SELECT id, due_on FROM open_items WHERE open > 0 ORDER BY open")
    note, postings = uuid4(), [taken(row, "1.00") for row in rows]
    with pytest.raises(Conflict, match="credit note"):
        async with acting(crm) as act:
            source = ("CreditNote", note)
            await book.post(
                act, [Entry("creditNote.issued", f"credit note {note}", source, TODAY, postings, customer_id=customer)]
            )
            await act.tx.connection.execute(NOTE, note, invoice)
            await act.tx.connection.execute(LINE, note)


def taken(item: Any, amount: str) -> Posting:
    account = Account(Purpose.RECEIVABLE, item["id"], item["due_on"])
    return Posting(account, Account(Purpose.REFUNDS), "USD", Decimal(amount), Decimal(amount))
