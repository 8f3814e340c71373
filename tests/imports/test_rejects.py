"""Every reason a row can be rejected for: named with file, line and column, and nothing of the row is written."""

from __future__ import annotations

import pytest

from crmgql.errors import SetupError
from tests.imports.conftest import Workshop

HEAD = """
source = "test"
currency = "EUR"
"""
CUSTOMERS = """
[[step]]
noun = "customers"
file = "customers.csv"
external_id = "{id}"
[step.fields]
name = "{name}"
kind = "{kind}"
annual_revenue_amount = "{revenue}"
employee_count = "{staff}"
"""
ORDERS = """
[[step]]
noun = "orders"
file = "orders.csv"
external_id = "{id}"
[step.fields]
customer = "{customer}"
ordered_at = "{date}"
number = "{number}"
discount_amount = "{discount}"
"""


@pytest.mark.parametrize(
    ("line", "column", "reason"),
    [
        (b",Ann,PERSON,1,1", "id", "external_id: is blank"),
        (b"2,,PERSON,1,1", "name", "name: is blank"),
        (b"2,Bob,person,1,1", "kind", "kind: 'person' is none of COMPANY, PERSON"),
        (b"2,Bob,PERSON,1.005,1", "revenue", "annual_revenue_amount: 1.005 has too many decimals: EUR has 2"),
        (b"2,Bob,PERSON,1e3,1", "revenue", "annual_revenue_amount: '1e3' is not a number (decimal '.')"),
        (b"2,Bob,PERSON,9999999999999999,1", "revenue", "annual_revenue_amount: 9999999999999999 is too large"),
        (b"2,Bob,PERSON,1,-4", "staff", "employee_count: -4 is less than 0"),
        (b"2," + b"x" * 201 + b",PERSON,1,1", "name", "name: has 201 characters, at most 200 fit"),
        (b"x" * 201 + b",Bob,PERSON,1,1", "id", "external_id: has 201 characters, at most 200 fit"),
        (b"2,B\0b,PERSON,1,1", "name", "contains a NUL character"),
        (b"2,B\xf6b,PERSON,1,1", "name", "contains bytes that are not valid in the file's encoding"),
        (b"2,Bob,PERSON,1", "", "has 4 cells, the header has 5"),
        (b'2,"Bo"b,PERSON,1,1', "", "malformed CSV up to line 3"),
        (b"1,Bob,PERSON,1,1", "id", "external_id: '1' is already on line 2"),
    ],
)
async def test_a_bad_row(shop: Workshop, line: bytes, column: str, reason: str) -> None:
    shop.file("customers.csv", b"id,name,kind,revenue,staff\n1,Ann,PERSON,1,1\n" + line + b"\n3,Cy,PERSON,1,1\n")
    report = await shop.run(HEAD + CUSTOMERS)
    [reject] = shop.rejects()
    assert (reject["step"], reject["file"], reject["line"], reject["column"]) == (
        "customers",
        "customers.csv",
        "3",
        column,
    )
    assert reason in reject["reason"]
    if not line.startswith(b'2,"'):
        assert reject["row"].encode("utf-8", "surrogateescape") == line
    assert (report.total.read, report.total.inserted, report.total.rejected) == (3, 2, 1)
    assert await shop.rows("SELECT external_id FROM customers ORDER BY 1") == [("1",), ("3",)]


@pytest.mark.parametrize(
    ("line", "column", "reason"),
    [
        ("2,9,2020-01-01,B,0", "customer", "customer: external_id '9' is unknown among customers from source 'test'"),
        ("2,,2020-01-01,B,0", "customer", "customer: is blank"),
        ("2,1,2020-02-30,B,0", "date", "ordered_at: '2020-02-30' is not a date and time (iso)"),
        ("2,1,,B,0", "date", "ordered_at: is blank"),
        ("2,1,2020-01-01,A,0", "number", "breaks the rule orders_number: Key (number)=(A) already exists."),
        ("2,1,2020-01-01,B,5", "discount", "breaks the rule orders_amounts_positive"),
    ],
)
async def test_a_bad_order(shop: Workshop, line: str, column: str, reason: str) -> None:
    shop.file("customers.csv", "id,name,kind,revenue,staff\n1,Ann,PERSON,,\n")
    many = "".join(f"x{n},1,2020-01-01,N{n},0\n" for n in range(50))
    shop.file("orders.csv", f"id,customer,date,number,discount\n1,1,2020-01-01,A,0\n{line}\n{many}")
    report = await shop.run(HEAD + CUSTOMERS + ORDERS)
    [reject] = shop.rejects()
    assert (reject["step"], reject["line"]) == ("orders", "3")
    assert column in reject["column"].split(", ")
    assert reason in reject["reason"]
    assert report.steps[1].inserted == 51
    assert await shop.value("SELECT count(*) FROM orders") == 51


async def test_an_open_quote_rejects_its_lines_and_says_which(shop: Workshop) -> None:
    shop.file("customers.csv", 'id,name,kind,revenue,staff\n1,Ann,PERSON,,\n2,"Bob,PERSON,,\n3,Cy,PERSON,,\n')
    await shop.run(HEAD + CUSTOMERS)
    [reject] = shop.rejects()
    assert reject["reason"].startswith("malformed CSV up to line 4")
    assert "3,Cy,PERSON" in reject["row"]


async def test_a_multi_line_cell_keeps_line_numbers_right(shop: Workshop) -> None:
    shop.file("customers.csv", 'id,name,kind,revenue,staff\r\n1,"An\r\nn",PERSON,,\r\n\r\n2,Bob,ROBOT,,\r\n')
    await shop.run(HEAD + CUSTOMERS)
    assert [reject["line"] for reject in shop.rejects()] == ["5"]
    assert await shop.value("SELECT name FROM customers") == "An\r\nn"


async def test_another_customers_order_is_refused(shop: Workshop) -> None:
    shop.file("customers.csv", "id,name,kind,revenue,staff\n1,Ann,PERSON,,\n2,Bob,PERSON,,\n")
    shop.file("orders.csv", "id,customer,date,number,discount\n1,1,2020-01-01,,\n")
    shop.file("paid.csv", "id,customer,order,amount\n1,2,1,5\n2,1,1,5\n3,,1,5\n4,,,5\n5,2,,5\n")
    payments = """
[[step]]
noun = "payments"
file = "paid.csv"
external_id = "{id}"
[step.fields]
customer = "{customer}"
order = { template = "{order}", blank = "null" }
amount = "{amount}"
method = "CASH"
received_at = "2020-01-01"
"""
    await shop.run(HEAD + CUSTOMERS + ORDERS + payments)
    assert [(r["line"], r["reason"]) for r in shop.rejects()] == [
        ("2", "order: belongs to another customer"),
        ("5", "customer: is blank and can't be taken from order"),
    ]
    assert await shop.rows(
        "SELECT p.external_id, c.external_id, p.order_id IS NULL FROM payments p"
        " JOIN customers c ON c.id = p.customer_id ORDER BY 1"
    ) == [("2", "1", False), ("3", "1", False), ("5", "2", True)]


async def test_an_ambiguous_name_is_refused(shop: Workshop) -> None:
    shop.file("customers.csv", "id,name,kind,revenue,staff\n1,Ann,PERSON,,\n2,Ann,PERSON,,\n3,Bob,PERSON,,\n")
    shop.file("contacts.csv", "id,customer\n1,Ann\n2,Bob\n")
    await shop.run(
        HEAD
        + CUSTOMERS
        + """
[[step]]
noun = "contacts"
file = "contacts.csv"
external_id = "{id}"
[step.fields]
name = "Contact {id}"
customer = { template = "{customer}", by = "name" }
"""
    )
    assert [(r["line"], r["reason"]) for r in shop.rejects()] == [("2", "customer: name 'Ann' means several customers")]


async def test_a_lookup_without_the_key(shop: Workshop) -> None:
    shop.file("customers.csv", "id,name,kind,revenue,staff\n1,Ann,PERSON,,\n2,Bob,PERSON,,\n")
    shop.file("cities.csv", b"id,city\n1,Bonn\n9,K\xf6ln\n")
    lookup = '[[lookup]]\nname = "city"\nfile = "cities.csv"\nkey = "{id}"\n'
    step = CUSTOMERS + 'city = "{city.city}"\n[step.joins]\ncity = "{id}"\n'
    report = await shop.run(HEAD + lookup + step)
    assert [(r["step"], r["line"], r["reason"]) for r in shop.rejects()] == [
        ("lookup city", "3", "contains bytes that are not valid in the file's encoding"),
        ("customers", "3", "lookup city has no '2'"),
    ]
    assert report.total.rejected == 2
    assert await shop.rows("SELECT name, city FROM customers") == [("Ann", "Bonn")]


async def test_a_foreign_file_is_never_overwritten(shop: Workshop) -> None:
    shop.file("customers.csv", "id,name,kind,revenue,staff\n1,Ann,PERSON,,\n")
    with pytest.raises(SetupError, match="is no reject file"):
        await shop.run(HEAD + CUSTOMERS, rejects_path=shop.folder / "customers.csv")
    assert await shop.value("SELECT count(*) FROM customers") == 0
