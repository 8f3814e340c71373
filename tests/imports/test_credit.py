"""Credit notes and allocations from files of other systems: good rows posted, bad ones rejected, and all of it again."""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from crmgql.db import WITHOUT_DAYS, Transaction
from crmgql.domain.money import write_offs
from crmgql.ledger import verify
from crmgql.records.records import Act
from crmgql.viewer import system
from tests.imports.conftest import NOW, Workshop

HEAD = 'source = "old"\ncurrency = "USD"\n'
CUSTOMERS = """
[[step]]
noun = "customers"
file = "customers.csv"
external_id = "{id}"
[step.fields]
name = "{id}"
"""
ORDERS = """
[[step]]
noun = "orders"
file = "orders.csv"
external_id = "{id}"
[step.fields]
customer = "{customer}"
ordered_at = "{day}"
status = "CONFIRMED"
subtotal_amount = "{amount}"
"""
INVOICES = """
[[step]]
noun = "invoices"
file = "invoices.csv"
external_id = "{id}"
[step.fields]
customer = "{customer}"
order = { template = "{order}", blank = "null" }
number = "{id}"
subtotal_amount = "{net}"
tax_amount = { template = "{tax}", blank = "default" }
issued_on = "{day}"
due_on = "{due}"
currency = { template = "{currency}", blank = { value = "USD" } }
"""
PAYMENTS = """
[[step]]
noun = "payments"
file = "payments.csv"
external_id = "{id}"
[step.fields]
customer = "{customer}"
invoice = { template = "{invoice}", blank = "null" }
amount = "{amount}"
method = "BANK_TRANSFER"
status = { template = "{status}", blank = { value = "RECEIVED" } }
received_at = "{day}"
currency = { template = "{currency}", blank = { value = "USD" } }
"""
CREDIT_NOTES = """
[[step]]
noun = "credit_notes"
file = "notes.csv"
external_id = "{id}"
[step.fields]
invoice = { template = "{invoice}", by = "number" }
number = "{number}"
reason = { template = "{reason}", blank = { value = "As in the old system." } }
net_amount = "{net}"
tax_amount = { template = "{tax}", blank = "default" }
issued_on = "{day}"
currency = { template = "{currency}", blank = { value = "USD" } }
"""
ALLOCATIONS = """
[[step]]
noun = "allocations"
file = "allocations.csv"
external_id = "{id}"
[step.fields]
payment = { template = "{payment}", blank = "null" }
credit_note = { template = "{note}", blank = "null" }
order = { template = "{order}", blank = "null" }
invoice = { template = "{invoice}", blank = "null" }
amount = "{amount}"
paid_amount = { template = "{paid}", blank = "null" }
paid_currency = { template = "{paid_currency}", blank = { value = "USD" } }
allocated_on = { template = "{day}", blank = "null" }
"""
OPEN = """
SELECT i.purpose, coalesce(o.external_id, v.external_id, p.external_id, n.external_id), sum(i.open)::text FROM open_items i
LEFT JOIN orders o ON o.id = i.order_id LEFT JOIN invoices v ON v.id = i.invoice_id LEFT JOIN payments p ON p.id = i.payment_id
LEFT JOIN credit_notes n ON n.id = i.credit_note_id WHERE i.open > 0 GROUP BY 1, 2 ORDER BY 1, 2"""
WHOLE = str(UUID(int=0)), str(UUID(int=2**128 - 1))


async def test_credit_notes(shop: Workshop) -> None:
    """One of what is owed, one of what was paid, two of one invoice; then what can't be."""
    shop.file("customers.csv", "id\nc1\nc2\n")
    shop.file(
        "invoices.csv",
        "id,customer,order,net,tax,day,due,currency\nA,c1,,100,20,2025-03-01,2025-03-31,\nB,c1,,50,,2025-03-02,2025-04-01,\n"
        "C,c2,,10,2,2025-03-03,2025-04-02,\nE,c2,,70,,2025-03-03,2025-04-02,EUR\n",
    )
    shop.file("payments.csv", "id,customer,invoice,amount,status,day,currency\np1,c1,B,50,,2025-03-10,\n")
    shop.file(
        "notes.csv",
        "id,invoice,number,reason,net,tax,day,currency\n"
        "n1,A,CN1,Broken,25,5,2025-03-05,\nn2,A,CN2,,25.00,5.00,2025-03-06,\nn3,B,CN3,,50,,2025-04-01,\nn4,E,CN4,,70,,2025-03-03,EUR\n"
        "n5,C,CN5,,10,2.01,2025-03-04,\nn6,C,CN6,,1,,2025-03-02,\nn7,C,CN7,,1,,2025-03-04,EUR\nn8,X,CN8,,1,,2025-03-04,\n"
        "n9,C,CN1,,1,,2025-03-04,\nn10,C,CN10,,-1,,2025-03-04,\nn11,C,,,1,,2025-03-04,\n",
    )
    mapping = HEAD + CUSTOMERS + INVOICES + PAYMENTS + CREDIT_NOTES
    report = await shop.run(mapping)
    assert (report.steps[-1].inserted, report.steps[-1].rejected) == (4, 7)
    assert [(reject["line"], reject["column"], reject["reason"]) for reject in shop.rejects()] == [
        ("6", "net, tax", "more would be credited than the invoice"),
        ("7", "day", "The invoice is of 2025-03-03; a credit note of it can't be of an earlier day."),
        ("8", "currency", "The invoice is in USD, and so are its credit notes."),
        ("9", "invoice", "invoice: number 'X' is unknown among invoices"),
        ("10", "number", "number: another credit note has it"),
        ("11", "net", "net_amount: -1 is less than 0"),
        ("12", "number", "number: is blank"),
    ]
    assert await shop.rows(OPEN) == [
        ("CREDIT", "B", "50.00"),
        ("RECEIVABLE", "A", "60.00"),
        ("RECEIVABLE", "C", "12.00"),
    ]
    told = "SELECT count(*) FROM events WHERE kind = 'creditNote.issued'"
    assert await shop.value(told) == 4
    assert await shop.rows("SELECT n.reason, l.description, l.net_amount::text FROM credit_notes n JOIN credit_note_lines l"
                           " ON l.credit_note_id = n.id WHERE n.external_id IN ('n1', 'n2') ORDER BY n.external_id") == [
        ("Broken", "Invoice A", "25.00"), ("As in the old system.", "Invoice A", "25.00")]  # fmt: skip
    assert (await verify.check(shop.connection, *WHOLE)).broken == []
    again = await shop.run(mapping)
    assert (again.steps[-1].unchanged, again.steps[-1].rejected) == (4, 7)
    assert await shop.value(told) == 4
    assert shop.progress[-1].noun == "credit_notes"


ALLOCATED = """
SELECT a.external_id, coalesce(p.external_id, n.external_id), coalesce(o.external_id, v.external_id), a.amount::text, a.paid_amount::text,
    a.allocated_on::text
FROM allocations a LEFT JOIN payments p ON p.id = a.payment_id LEFT JOIN credit_notes n ON n.id = a.credit_note_id
LEFT JOIN invoices v ON v.id = a.invoice_id LEFT JOIN orders o ON o.id = a.order_id AND a.invoice_id IS NULL
WHERE a.source = 'old' OR a.source IS NULL ORDER BY a.allocated_on, v.external_id"""


async def company(shop: Workshop) -> str:
    """An order with two invoices and one invoice alone, prepayments in two currencies, a credit note of what was paid."""
    await shop.connection.execute(
        "INSERT INTO fx_rates (currency, base_currency, effective_on, rate, source) VALUES ('EUR', 'USD', '2025-01-01', 1.1, 'test')"
    )
    shop.file("customers.csv", "id\nc1\nc2\n")
    shop.file("orders.csv", "id,customer,day,amount\no1,c1,2025-02-01,100\n")
    shop.file(
        "invoices.csv",
        "id,customer,order,net,tax,day,due,currency\nA,c1,o1,40,,2025-03-01,2025-03-31,\nB,c1,o1,40,,2025-03-02,2025-04-30,\n"
        "C,c1,,50,,2025-03-03,2025-04-02,\nD,c2,,30,,2025-03-03,2025-04-02,\nE,c2,,33,,2025-03-03,2025-04-02,\n",
    )
    shop.file(
        "payments.csv",
        "id,customer,invoice,amount,status,day,currency\np1,c1,,90,,2025-03-10,\np2,c1,,40,,2025-03-11,EUR\np3,c1,,5,PENDING,2025-03-11,\n"
        "p4,c2,D,30,,2025-03-12,\n",
    )
    shop.file("notes.csv", "id,invoice,number,reason,net,tax,day,currency\nn1,D,CN1,,30,,2025-03-15,\n")
    return HEAD + CUSTOMERS + ORDERS + INVOICES + PAYMENTS + CREDIT_NOTES + ALLOCATIONS


async def test_allocations(shop: Workshop) -> None:
    """Over several items of an order, of a credit note, in another currency; on their own day, or as soon as both sides were there."""
    mapping = await company(shop)
    shop.file(
        "allocations.csv",
        "id,payment,note,order,invoice,amount,paid,paid_currency,day\na1,p1,,o1,,60,,,2025-03-20\na2,p1,,,C,10,10.00,,\n"
        "a3,,n1,,E,30,,,\na4,p2,,,C,22,20,EUR,2025-04-01\n",
    )
    report = await shop.run(mapping)
    assert shop.rejects() == []
    assert report.steps[-1].inserted == 4
    made = [
        ("a2", "p1", "C", "10.00", "10.00", "2025-03-10"),
        ("a3", "n1", "E", "30.00", "30.00", "2025-03-15"),
        ("a1", "p1", "A", "40.00", "40.00", "2025-03-20"),
        (None, "p1", "B", "20.00", "20.00", "2025-03-20"),
        ("a4", "p2", "C", "22.00", "20.00", "2025-04-01"),
    ]
    assert [row for row in await shop.rows(ALLOCATED) if row[1] != "p4"] == made
    assert await shop.rows(OPEN) == [
        ("RECEIVABLE", "C", "18.00"),
        ("RECEIVABLE", "E", "3.00"),
        ("RECEIVABLE", "o1", "40.00"),
        ("UNEARNED", "p1", "20.00"),
        ("UNEARNED", "p2", "20.00"),
    ]
    told = "SELECT count(*) FROM events WHERE kind = 'allocation.made'"
    assert await shop.value(told) == 6
    assert (await verify.check(shop.connection, *WHOLE)).broken == []
    assert (await shop.run(mapping)).steps[-1].unchanged == 4
    assert await shop.value(told) == 6


@pytest.mark.parametrize(
    ("row", "column", "reason"),
    [
        ("p1,,,C,50.01,,,", "amount", "For the invoice 49.00 USD is still owed, and no more."),
        ("p1,,o1,,90.01,,,", "amount", "Of the payment 89.00 USD is left, and no more."),
        (",n1,,E,30.01,,,", "amount", "Of the credit note 30.00 USD is left, and no more."),
        ("p3,,,C,5,,,", "", "A PENDING payment settles nothing; it has to be received."),
        ("p9,,,C,5,,,", "payment", "payment: external_id 'p9' is unknown among payments from source 'old'"),
        ("p1,,,E,5,,,", "invoice", "invoice: belongs to another customer"),
        ("p4,n1,,E,5,,,", "payment", "It is of a payment or a credit note: name one of them."),
        (",,,C,5,,,", "payment", "It is of a payment or a credit note: name one of them."),
        ("p1,,o1,C,5,,,", "order", "It is of an order or an invoice: name one of them."),
        ("p1,,,C,5,,,2025-03-09", "day", "Both sides of it are there since 2025-03-10; it can't be of 2025-03-09."),
        ("p2,,,C,5,,,", "paid", "What pays it is in EUR: say with paid_amount how much of that."),
        ("p1,,,C,5,4,,", "paid", "Both amounts are in one currency, so they are equal; leave one out."),
        ("p1,,,C,0,,,", "amount", "amount: 0 is not more than 0"),
    ],
)
async def test_an_allocation_that_can_t_be(shop: Workshop, row: str, column: str, reason: str) -> None:
    mapping = await company(shop)
    shop.file(
        "allocations.csv", f"id,payment,note,order,invoice,amount,paid,paid_currency,day\ngood,p1,,,C,1,,,\nbad,{row}\n"
    )
    report = await shop.run(mapping)
    [reject] = shop.rejects()
    assert (reject["line"], report.steps[-1].inserted) == ("3", 1)
    assert reason in reject["reason"]
    assert column in reject["column"]


async def test_thousands_take_as_many_statements_as_one(shop: Workshop) -> None:
    """Each posting is set-based: what is sent for 300 rows is what is sent for three."""
    counts = []
    for run, rows in enumerate((3, 3, 300)):
        numbers = range(rows)
        shop.file("customers.csv", "id\n" + "".join(f"{run}c{n}\n" for n in numbers))
        shop.file("invoices.csv", "id,customer,order,net,tax,day,due,currency\n" + "".join(
            f"{run}i{n},{run}c{n},,100,,2025-03-01,2025-03-31,\n" for n in numbers))  # fmt: skip
        shop.file("payments.csv", "id,customer,invoice,amount,status,day,currency\n" + "".join(
            f"{run}p{n},{run}c{n},,50,,2025-03-02,\n" for n in numbers))  # fmt: skip
        shop.file("notes.csv", "id,invoice,number,reason,net,tax,day,currency\n" + "".join(
            f"{run}n{n},{run}i{n},{run}N{n},,10,,2025-03-03,\n" for n in numbers))  # fmt: skip
        shop.file("allocations.csv", "id,payment,note,order,invoice,amount,paid,paid_currency,day\n" + "".join(
            f"{run}a{n},{run}p{n},,,{run}i{n},50,,,\n" for n in numbers))  # fmt: skip
        sent: list[Any] = []
        shop.connection.add_query_logger(sent.append)
        try:
            report = await shop.run(HEAD + CUSTOMERS + INVOICES + PAYMENTS + CREDIT_NOTES + ALLOCATIONS)
        finally:
            shop.connection.remove_query_logger(sent.append)
        assert (report.total.rejected, report.steps[-1].inserted, report.steps[-2].inserted) == (0, rows, rows)
        counts.append(len(sent))
    assert counts[1] == counts[2]  # the first import asks a few things that are remembered
    owed = "SELECT sum(open) FROM open_items WHERE purpose = 'RECEIVABLE'"
    assert await shop.value(owed) == Decimal("40.00") * 306


async def test_what_was_written_off_is_no_credit(shop: Workshop) -> None:
    """Two credit notes of an invoice of which a part is written off: the second takes that back, as nobody paid it."""
    shop.file("customers.csv", "id\nc1\n")
    shop.file("invoices.csv", "id,customer,order,net,tax,day,due,currency\nA,c1,,100,,2025-03-01,2025-03-31,\n")
    shop.file("payments.csv", "id,customer,invoice,amount,status,day,currency\np1,c1,A,30,,2025-03-10,\n")
    shop.file(
        "notes.csv",
        "id,invoice,number,reason,net,tax,day,currency\nn1,A,CN1,,50,,2025-04-01,\nn2,A,CN2,,50,,2025-04-02,\n",
    )
    await shop.run(HEAD + CUSTOMERS + INVOICES + PAYMENTS)
    act = Act(Transaction(shop.connection, WITHOUT_DAYS), system(lambda: NOW))
    await shop.connection.execute("UPDATE companies SET write_off_tolerances = '{\"USD\": 10}'")
    invoice = await shop.value("SELECT id FROM invoices")
    async with shop.connection.transaction():
        await write_offs.write_off(act, invoice_id=invoice, reason="Gone", amount=(Decimal("10.00"), "USD"))
    report = await shop.run(HEAD + CUSTOMERS + INVOICES + PAYMENTS + CREDIT_NOTES)
    assert (report.steps[-1].inserted, shop.rejects()) == (2, [])
    assert await shop.rows(OPEN) == [("CREDIT", "A", "30.00")]  # what was paid, and no more
    assert await shop.value("SELECT count(*) FROM write_offs WHERE undoes_id IS NOT NULL") == 1
    assert (await verify.check(shop.connection, *WHOLE)).broken == []
