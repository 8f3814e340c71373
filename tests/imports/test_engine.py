"""What an import does to the tables."""

from __future__ import annotations

import json
from datetime import timedelta
from decimal import Decimal

import pytest

from crmgql.imports import references
from tests.imports.conftest import NOW, Workshop

LATER = NOW + timedelta(days=1)
PEOPLE = """
source = "test"
currency = "EUR"
[[step]]
noun = "customers"
file = "people.csv"
external_id = "{id}"
[step.fields]
name = "{name}"
city = "{city}"
"""
SHOP = """
source = "test"
currency = "EUR"
[[step]]
noun = "customers"
file = "orders.csv"
external_id = "{customer}"
duplicates = "first"
[step.fields]
name = "{customer}"
[[step]]
noun = "orders"
file = "orders.csv"
external_id = "{id}"
[step.fields]
customer = "{customer}"
ordered_at = "2020-01-01"
tax_amount = "{tax}"
[[step]]
noun = "order_lines"
file = "lines.csv"
external_id = "{order}-{n}"
[step.fields]
order = "{order}"
position = "{n}"
description = "Thing"
quantity = "{quantity}"
unit_price_amount = "{price}"
shipping_amount = "{freight}"
"""
ORDER = "SELECT external_id, subtotal_amount::text, shipping_amount::text, total_amount::text FROM orders ORDER BY 1"


async def test_a_rerun_bumps_only_what_differs(shop: Workshop) -> None:
    shop.file("people.csv", "id,name,city\n1,Ann,Bonn\n2,Bob,\n")
    await shop.run(PEOPLE)
    shop.file("people.csv", "id,name,city\n1,Ann,Bonn\n2,Bob,Kiel\n3,Cy,\n")
    report = await shop.run(PEOPLE, now=LATER)
    assert report.total.counts() == {
        "read": 3, "inserted": 1, "updated": 1, "unchanged": 1, "skipped": 0, "rejected": 0, "already_done": 0,
    }  # fmt: skip
    assert await shop.rows("SELECT name, version, updated_at, created_at FROM customers ORDER BY 1") == [
        ("Ann", 1, NOW, NOW),
        ("Bob", 2, LATER, NOW),
        ("Cy", 1, LATER, LATER),
    ]


async def test_a_field_that_is_not_mapped_keeps_its_value(shop: Workshop) -> None:
    shop.file("people.csv", "id,name,city\n1,Ann,Bonn\n")
    await shop.run(PEOPLE)
    await shop.connection.execute("UPDATE customers SET phone = '123', status = 'CHURNED'")
    shop.file("people.csv", "id,name,city\n1,Anna,Bonn\n")
    await shop.run(PEOPLE)
    assert await shop.rows("SELECT name, phone, status FROM customers") == [("Anna", "123", "CHURNED")]


async def test_another_source_is_another_record(shop: Workshop) -> None:
    shop.file("people.csv", "id,name,city\n1,Ann,Bonn\n")
    await shop.run(PEOPLE)
    await shop.run(PEOPLE.replace('"test"', '"other"'))
    assert await shop.rows("SELECT source, external_id FROM customers ORDER BY 1") == [("other", "1"), ("test", "1")]


@pytest.mark.parametrize(("policy", "city"), [("first", "A"), ("last", "C"), ("reject", "A")])
@pytest.mark.parametrize("batch_size", [1, 2, 100])
async def test_duplicates(shop: Workshop, policy: str, city: str, batch_size: int) -> None:
    mapping = PEOPLE.replace('external_id = "{id}"', f'external_id = "{{id}}"\nduplicates = "{policy}"')
    shop.file("people.csv", "id,name,city\n1,Ann,A\n2,Bob,B\n1,Ann,B\n1,Ann,C\n")
    for _ in range(2):
        report = await shop.run(mapping, batch_size=batch_size)
        assert await shop.rows("SELECT city, version FROM customers WHERE name = 'Ann'") == [(city, 1)]
        assert (report.total.rejected, report.total.skipped) == ((2, 0) if policy == "reject" else (0, 2))
        assert len(shop.rejects()) == report.total.rejected


@pytest.mark.parametrize("batch_size", [1, 2, 100])
async def test_parents_may_come_later_in_the_file(shop: Workshop, batch_size: int) -> None:
    mapping = PEOPLE + 'parent = "{parent}"\n'
    shop.file("people.csv", "id,name,city,parent\n1,A,,2\n2,B,,3\n3,C,,\n4,D,,9\n5,E,,6\n6,F,,5\n7,G,,7\n8,H,,4\n")
    for inserted in (3, 0):
        report = await shop.run(mapping, batch_size=batch_size)
        assert (report.total.read, report.total.inserted, report.total.rejected) == (8, inserted, 5)
        assert sorted(int(reject["line"]) for reject in shop.rejects()) == [5, 6, 7, 8, 9]
        assert await shop.rows(
            "SELECT c.name, p.name, c.version FROM customers c LEFT JOIN customers p ON p.id = c.parent_id ORDER BY 1"
        ) == [("A", "B", 1), ("B", "C", 1), ("C", None, 1)]


async def test_order_totals_follow_the_lines(shop: Workshop) -> None:
    shop.file("orders.csv", "id,customer,tax\no1,c1,1.5\no2,c2,\no3,c1,0\n")
    shop.file("lines.csv", "order,n,quantity,price,freight\no1,1,3,0.335,1\no1,2,,10,\no2,1,1,5,0.5\n")
    await shop.run(SHOP, batch_size=1)
    assert [reject["reason"] for reject in shop.rejects()] == [
        "unit_price_amount: 0.335 has too many decimals: EUR has 2"
    ]
    shop.file("lines.csv", "order,n,quantity,price,freight\no1,1,1.5,0.33,1\no1,2,,10,\no2,1,1,5,0.5\n")
    await shop.run(SHOP, batch_size=1)
    assert await shop.rows(ORDER) == [
        ("o1", "10.50", "1.00", "13.00"),
        ("o2", "5.00", "0.50", "5.50"),
        ("o3", "0.00", "0.00", "0.00"),
    ]
    assert await shop.rows("SELECT DISTINCT number = external_id FROM orders") == [(True,)]
    versions = await shop.rows("SELECT id, version FROM orders ORDER BY 1")
    await shop.run(SHOP)
    assert await shop.rows("SELECT id, version FROM orders ORDER BY 1") == versions
    shop.file("orders.csv", "id,customer,tax\no1,c1,2\no2,c2,\no3,c1,0\n")
    await shop.run(SHOP)
    assert (await shop.rows(ORDER))[0] == ("o1", "10.50", "1.00", "13.50")


async def test_a_line_that_moves_changes_both_orders(shop: Workshop) -> None:
    mapping = SHOP.replace('external_id = "{order}-{n}"', 'external_id = "{n}"')
    shop.file("orders.csv", "id,customer,tax\no1,c1,\no2,c1,\n")
    shop.file("lines.csv", "order,n,quantity,price,freight\no1,1,1,7,\n")
    await shop.run(mapping)
    shop.file("lines.csv", "order,n,quantity,price,freight\no2,1,1,7,\n")
    await shop.run(mapping)
    assert await shop.rows(ORDER) == [("o1", "0.00", "0.00", "0.00"), ("o2", "7.00", "0.00", "7.00")]


async def test_order_sums_may_be_given_until_lines_come(shop: Workshop) -> None:
    mapping = SHOP.replace('tax_amount = "{tax}"', 'subtotal_amount = "{tax}"')
    shop.file("orders.csv", "id,customer,tax\no1,c1,99.9\n")
    shop.file("lines.csv", "order,n,quantity,price,freight\n")
    await shop.run(mapping)
    assert await shop.rows(ORDER) == [("o1", "99.90", "0.00", "99.90")]
    shop.file("lines.csv", "order,n,quantity,price,freight\no1,1,1,7,\n")
    await shop.run(mapping)
    await shop.run(mapping)
    assert await shop.rows(ORDER) == [("o1", "7.00", "0.00", "7.00")]


async def test_a_dry_run_reports_the_same_and_writes_nothing(shop: Workshop) -> None:
    shop.file("orders.csv", "id,customer,tax\no1,c1,1.5\no2,,\n")
    shop.file("lines.csv", "order,n,quantity,price,freight\no1,1,2,5,1\no9,1,1,5,1\n")
    dry = await shop.run(SHOP, dry_run=True)
    for table in ("customers", "orders", "order_lines", "import_runs", "events"):
        assert await shop.value(f"SELECT count(*) FROM {table}") == 0
    reasons = [(reject["step"], reject["line"], reject["reason"]) for reject in shop.rejects()]
    real = await shop.run(SHOP)
    assert [step.counts() for step in dry.steps] == [step.counts() for step in real.steps]
    assert [(reject["step"], reject["line"], reject["reason"]) for reject in shop.rejects()] == reasons
    assert len(reasons) == 3


async def test_each_finished_step_is_an_event(shop: Workshop) -> None:
    shop.file("people.csv", "id,name,city\n1,Ann,Bonn\n2,,\n")
    await shop.run(PEOPLE)
    [(kind, subject, payload, at)] = await shop.rows(
        "SELECT kind, subject_type, payload, occurred_at FROM events e JOIN import_runs r ON r.id = e.subject_id"
    )
    assert (kind, subject, at) == ("import.finished", "ImportRun", NOW)
    found = json.loads(payload)
    assert (found["source"], found["step"]) == ("test", "customers")
    assert found["counts"]["inserted"] == found["counts"]["rejected"] == 1
    assert await shop.rows("SELECT status, lines_done, accepted, rejected, finished_at FROM import_runs") == [
        ("DONE", 3, 1, 1, NOW)
    ]


async def test_progress_is_told_after_each_batch(shop: Workshop) -> None:
    shop.file("people.csv", "id,name,city\n" + "".join(f"{n},N,\n" for n in range(5)))
    await shop.run(PEOPLE, batch_size=2)
    assert [(moment.read, moment.total) for moment in shop.progress] == [(0, 5), (2, 5), (4, 5), (5, 5)]


async def test_encodings_and_styles(shop: Workshop) -> None:
    mapping = """
source = "test"
[csv]
encoding = "cp1252"
delimiter = ";"
[formats]
date = ["%d.%m.%Y"]
decimal = ","
thousands = "."
blanks = ["-", "n/a"]
[[step]]
noun = "opportunities"
file = "deals.csv"
external_id = "{Nr.}"
[step.fields]
name = "{Name} ({Nr.})"
currency = { template = "{W\u00e4hrung}", values = { "\u20ac" = "EUR" }, blank = { value = "CHF" } }
amount = "{Betrag}"
expected_close = "{Datum}"
probability = { template = "{Chance}", blank = { value = 50 } }
"""
    shop.file(
        "deals.csv",
        "Nr.;Name;Währung;Betrag;Datum;Chance\n1;Müller;€;1.234,5;31.12.2026;-\n2;X;-;n/a;-;10\n".encode("cp1252"),
    )
    await shop.run(mapping)
    assert shop.rejects() == []
    assert await shop.rows(
        "SELECT name, currency, amount, expected_close::text, probability FROM opportunities ORDER BY 1"
    ) == [
        ("Müller (1)", "EUR", Decimal("1234.50"), "2026-12-31", 50),
        ("X (2)", "CHF", None, None, 10),
    ]


async def test_a_bom_is_no_part_of_the_first_column(shop: Workshop) -> None:
    shop.file("people.csv", b"\xef\xbb\xbfid,name,city\n1,\xc3\x84nn,\n")
    await shop.run(PEOPLE)
    assert await shop.rows("SELECT external_id, name FROM customers") == [("1", "Änn")]


async def test_users_by_email(shop: Workshop) -> None:
    shop.file("users.csv", "id,mail,roles\n1,Ann@x.org,SELLER|MANAGER\n2,bob@x.org,\n")
    shop.file("people.csv", "id,name,city,owner\n1,Cy,,ANN@X.ORG\n")
    users = """
source = "test"
currency = "EUR"
[[step]]
noun = "users"
file = "users.csv"
external_id = "{id}"
[step.fields]
name = "{mail}"
email = "{mail}"
roles = { template = "{roles}", split = "|" }
"""
    step = PEOPLE[PEOPLE.index("[[step]]") :] + 'owner = { template = "{owner}", by = "email" }\n'
    await shop.run(users + step)
    assert shop.rejects() == []
    assert await shop.rows("SELECT roles FROM users ORDER BY external_id") == [(["SELLER", "MANAGER"],), ([],)]
    assert await shop.value("SELECT u.email FROM customers c JOIN users u ON u.id = c.owner_id") == "Ann@x.org"


async def test_what_is_known_of_references_may_be_forgotten_at_any_time(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(references, "_CACHE_LIMIT", 0)
    shop.file("orders.csv", "id,customer,tax\n" + "".join(f"o{n},c{n},\n" for n in range(20)))
    shop.file("lines.csv", "order,n,quantity,price,freight\n" + "".join(f"o{n},1,1,1,\n" for n in range(20)))
    report = await shop.run(SHOP.replace('order = "{order}"', 'order = "{order}"\ncustomer = "c{n}"'), batch_size=3)
    assert report.total.rejected == 19
    report = await shop.run(SHOP, batch_size=3)
    assert report.total.rejected == 0


async def test_nothing_temporary_stays_behind(shop: Workshop) -> None:
    shop.file("people.csv", "id,name,city\n1,Ann,Bonn\n")
    await shop.run(PEOPLE)
    assert await shop.value("SELECT count(*) FROM pg_class WHERE relname LIKE 'crmgql_import%'") == 0
    assert await shop.value("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == 0
