"""Mistakes in a mapping: found before anything is written, naming file, section, key and what would be right."""

from __future__ import annotations

import re

import pytest

from crmgql.errors import SetupError
from tests.imports.conftest import Workshop

GOOD = """
source = "test"
currency = "EUR"

[[lookup]]
name = "extra"
file = "extra.csv"
key = "{id}"

[[step]]
noun = "customers"
file = "customers.csv"
external_id = "{id}"
[step.joins]
extra = "{id}"
[step.fields]
name = "{name}"
kind = { template = "{kind}", values = { p = "PERSON" } }
annual_revenue_amount = { template = "{revenue}", blank = "null" }
owner = { template = "{owner}", by = "email" }
region = "{extra.region}"
"""


def write(shop: Workshop) -> None:
    shop.file("customers.csv", "id,name,kind,revenue,owner\n1,Ann,p,1,\n")
    shop.file("extra.csv", "id,region\n1,North\n")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('source = "test"', "", "[top level] source: is missing"),
        ('source = "test"', "source = 5", "[top level] source: must be text in quotes, not 5"),
        ('currency = "EUR"', "", "[step customers] fields.currency: is missing: amounts need a currency"),
        ('currency = "EUR"', 'currency = "euro"', "[step customers] fields.currency: has 4 characters, at most 3 fit"),
        ('currency = "EUR"', 'currency = "eur"', "fields.currency: 'eur' is not a currency code such as USD"),
        ('currency = "EUR"', 'curency = "EUR"', "[top level] curency: is not a setting here; did you mean 'currency'?"),
        ('noun = "customers"', 'noun = "customer"', "noun: 'customer' can't be imported; did you mean 'customers'?"),
        ('file = "customers.csv"', 'file = "none.csv"', "none.csv: can't be read at"),
        ('file = "customers.csv"', "", "[step customers] file: is missing"),
        ('external_id = "{id}"', "", "[step customers] external_id: is missing"),
        ('external_id = "{id}"', 'external_id = "id"', "external_id: 'id' is the same for every row"),
        ('external_id = "{id}"', 'external_id = "{ident}"', "external_id: customers.csv has no column 'ident'"),
        ('external_id = "{id}"', 'external_id = "{id}"\nduplicates = "drop"', "duplicates: 'drop' is none of 'reject'"),
        ('name = "{name}"', 'name = "{nam}"', "fields.name: customers.csv has no column 'nam'; did you mean 'name'?"),
        ('name = "{name}"', 'name = "{name"', "name: '{name' has a lone '{': write {column}"),
        ('name = "{name}"', "name = 1.5", "name: write the number 1.5 in quotes, to keep it exact"),
        (
            'name = "{name}"',
            'name = "{name}"\nemail_address = "{name}"',
            "fields.email_address: customers have no such field",
        ),
        (
            'name = "{name}"',
            'name = "{name}"\npassword_hash = "x"',
            "fields.password_hash: customers have no such field",
        ),
        ('name = "{name}"\n', "", "[step customers] fields.name: is missing: customers can't be without it (text)"),
        ('name = "{name}"', 'name = { template = "{name}", blank = "null" }', "fields.name: blank = 'null' can't be"),
        (
            'name = "{name}"',
            'name = { template = "{name}", blank = "default" }',
            "fields.name: blank = 'default' can't be",
        ),
        (
            'name = "{name}"',
            'name = { template = "{name}", scale = 10 }',
            "fields.name: 'scale' is not for a field of this",
        ),
        ('name = "{name}"', "name = { blank = 'reject' }", "[step customers.fields.name] template: is missing"),
        ('name = "{name}"', 'name = { tmplate = "{name}" }', "[step customers.fields.name] template: is missing"),
        ('name = "{name}"', 'name = ["{name}"]', "fields.name: 'list' is not for a field of this type (text)"),
        ('p = "PERSON"', 'p = "HUMAN"', "fields.kind: 'HUMAN' is none of COMPANY, PERSON"),
        ('blank = "null"', 'blank = "zero"', "blank: 'zero' is none of 'null', 'default', 'reject'"),
        ('blank = "null"', 'blank = { value = "none" }', "annual_revenue_amount: 'none' is not a number"),
        ('blank = "null"', 'decimal = ";"', "decimal: ';' is none of '.', ','"),
        ('blank = "null"', 'thousands = "."', "thousands: is '.' like the decimal separator"),
        ('blank = "null"', 'invert = "yes"', "invert: 'yes' must be true or false"),
        ('blank = "null"', 'scale = "ten"', "scale: 'ten' is not a number"),
        ('blank = "null"', 'split = ","', "annual_revenue_amount: 'split' is not for a field of this type (amount)"),
        (
            'by = "email"',
            'by = "phone"',
            "fields.owner: by = 'phone' can't find users; write one of external_id, email, name",
        ),
        ('"{extra.region}"', '"{extra.land}"', "fields.region: customers.csv has no column 'extra.land'"),
        ('extra = "{id}"', 'other = "{id}"', "joins.other: no [[lookup]] has this name"),
        (
            'extra = "{id}"',
            'extra = { key = "{id}", missing = "null" }',
            "missing: 'null' is none of 'reject', 'blank'",
        ),
        ('key = "{id}"', 'key = "{key}"', "[lookup extra] key: extra.csv has no column 'key'"),
        ("[[lookup]]", "[lookup]", "[top level] lookup: must be written as [[lookup]]"),
        ("[[lookup]]", "[formats]\ntimezone = 'Mars/Base'\n[[lookup]]", "timezone: 'Mars/Base' is no time zone"),
        ("[[lookup]]", "[formats]\ndate = '%Q'\n[[lookup]]", "'%Q' is no date format"),
        ("[[lookup]]", "[csv]\nencoding = 'utf-99'\n[[lookup]]", "encoding: 'utf-99' is no text encoding"),
        ("[[lookup]]", "[csv]\ndelimiter = '::'\n[[lookup]]", "delimiter: must be one character, not '::'"),
        ("[[lookup]]", "[[lookup", "is not valid TOML"),
    ],
)
async def test_a_mistake(shop: Workshop, old: str, new: str, message: str) -> None:
    write(shop)
    assert old in GOOD
    with pytest.raises(SetupError, match=re.escape(message)) as caught:
        await shop.run(GOOD.replace(old, new))
    assert "\n" not in caught.value.message or "TOML" in caught.value.message
    assert await shop.value("SELECT count(*) FROM import_runs") == 0
    assert await shop.value("SELECT count(*) FROM customers") == 0


async def test_the_good_one_is_good(shop: Workshop) -> None:
    write(shop)
    assert (await shop.run(GOOD)).total.inserted == 1


async def test_two_steps_of_one_name(shop: Workshop) -> None:
    write(shop)
    step = GOOD[GOOD.index("[[step]]") :]
    with pytest.raises(SetupError, match="two are named 'customers'"):
        await shop.run(GOOD + step)


async def test_two_columns_of_one_name(shop: Workshop) -> None:
    write(shop)
    shop.file("customers.csv", "id,name,kind,revenue,owner,name\n")
    with pytest.raises(SetupError, match=r"customers\.csv: two columns are named 'name'"):
        await shop.run(GOOD)


async def test_a_lookup_key_with_two_meanings(shop: Workshop) -> None:
    write(shop)
    shop.file("extra.csv", "id,region\n1,North\n1,South\n")
    with pytest.raises(SetupError, match=r"'1' stands for different rows of extra\.csv, such as lines 2 and 3"):
        await shop.run(GOOD)
    await shop.run(GOOD.replace('key = "{id}"', 'key = "{id}"\nduplicates = "last"'))
    assert await shop.value("SELECT region FROM customers") == "South"


async def test_a_missing_mapping(shop: Workshop) -> None:
    from crmgql.imports.execution import run
    from tests.imports.conftest import NOW

    with pytest.raises(SetupError, match=r"none\.toml: can't be read"):
        await run(shop.connection, shop.folder / "none.toml", now=NOW)
