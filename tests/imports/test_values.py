"""Cells to values, without a database."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crmgql.imports import nouns, values
from crmgql.imports.values import Style

US = Style(thousands=",")
GERMAN = Style(decimal=",", thousands=".")
FIELDS = {name: nouns.noun(name).fields for name in nouns.WRITERS}


@given(st.decimals(allow_nan=False, allow_infinity=False, places=3, min_value=-(10**14), max_value=10**14))
def test_every_number_is_read_back_exactly_in_every_style(number: Decimal) -> None:
    for style in (Style(), US, GERMAN, Style(thousands="\u202f"), Style(decimal=",", thousands=" ")):
        text = f"{number:,f}".replace(",", "_").replace(".", style.decimal).replace("_", style.thousands)
        assert values.number_reader(style)(text) == number


@given(st.text(max_size=30))
def test_any_text_is_a_number_or_a_value_error(text: str) -> None:
    try:
        number = values.number_reader(US)(text)
    except ValueError:
        return
    assert number.is_finite()


@pytest.mark.parametrize(
    "text", ["1,23", "1.234,5", "12,34,567", ",1", "1e5", "NaN", "Infinity", "٣", "1 000", "--1", "1.2.3"]
)
def test_what_is_no_number(text: str) -> None:
    with pytest.raises(ValueError, match="is not a number"):
        values.number_reader(US)(text)


@pytest.mark.parametrize(
    ("text", "currency", "expected"),
    [
        ("99.9", "BRL", "99.90"),
        ("144", "USD", "144.00"),
        ("5.000", "JPY", "5"),
        ("1.5", "KWD", "1.500"),
        ("-0", "USD", "0.00"),
    ],
)
def test_an_amount_gets_its_currencys_decimals(text: str, currency: str, expected: str) -> None:
    fitted = values.fit_amount(Decimal(text), currency)
    assert fitted == Decimal(expected)
    assert fitted.as_tuple().exponent == Decimal(expected).as_tuple().exponent


@pytest.mark.parametrize(
    ("text", "currency", "reason"),
    [
        ("99.905", "BRL", "too many decimals: BRL has 2"),
        ("0.5", "JPY", "too many decimals: JPY has 0"),
        ("1000000000000000", "USD", "too large"),
        ("1", "usd", "not a currency code"),
    ],
)
def test_an_amount_that_does_not_fit(text: str, currency: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        values.fit_amount(Decimal(text), currency)


@given(st.integers(-(10**14), 10**14), st.sampled_from(["USD", "JPY", "KWD"]))
def test_fitting_never_changes_a_value(number: int, currency: str) -> None:
    amount = Decimal(number).scaleb(-values.currency_scale(currency))
    assert values.fit_amount(amount, currency) == amount


def test_a_scale_multiplies_exactly() -> None:
    convert = values.converter(FIELDS["customers"]["annual_revenue_amount"], Style(), Decimal(1_000_000))
    assert convert("1100.04") == Decimal("1100040000")


def test_dates() -> None:
    field = FIELDS["opportunities"]["closed_on"]
    assert values.converter(field, Style())("2017-03-01") == date(2017, 3, 1)
    style = Style(dates=("%d/%m/%Y", "%d.%m.%y"))
    assert values.converter(field, style)("31/12/2017") == date(2017, 12, 31)
    assert values.converter(field, style)("31.12.17") == date(2017, 12, 31)
    for text in ("2017-02-30", "12/31/2017", "yesterday"):
        with pytest.raises(ValueError, match="is not a date"):
            values.converter(field, style)(text)


def test_a_naive_time_is_in_the_mappings_zone() -> None:
    field = FIELDS["orders"]["ordered_at"]
    convert = values.converter(field, Style(timezone="America/Sao_Paulo"))
    assert convert("2017-07-09 21:57:05") == datetime(2017, 7, 10, 0, 57, 5, tzinfo=UTC)
    assert convert("2017-07-09T21:57:05+02:00") == datetime(2017, 7, 9, 19, 57, 5, tzinfo=UTC)
    with pytest.raises(ValueError, match="is not a date and time"):
        convert("0001-01-01T00:00:00+14:00")


@given(st.datetimes(min_value=datetime(1900, 1, 1), max_value=datetime(2100, 1, 1)))
def test_every_iso_time_is_read_back(moment: datetime) -> None:
    convert = values.converter(FIELDS["orders"]["ordered_at"], Style())
    assert convert(moment.isoformat(sep=" ")) == moment.replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("noun", "field", "text", "expected"),
    [
        ("contacts", "primary", "Yes", True),
        ("contacts", "primary", "0", False),
        ("customers", "employee_count", "2822", 2822),
        ("customers", "employee_count", "3.0", 3),
        ("order_lines", "quantity", "1.5", Decimal("1.500")),
        ("commissions", "rate", "0.0375", Decimal("0.037500")),
        ("customers", "postal_code", "04726", "04726"),
        ("products", "specs", '{"a": 1}', '{"a": 1}'),
    ],
)
def test_other_types(noun: str, field: str, text: str, expected: object) -> None:
    assert values.converter(FIELDS[noun][field], Style())(text) == expected


@pytest.mark.parametrize(
    ("noun", "field", "text", "reason"),
    [
        ("contacts", "primary", "maybe", "neither true nor false"),
        ("customers", "employee_count", "1.5", "not a whole number"),
        ("customers", "employee_count", "-1", "less than 0"),
        ("customers", "employee_count", "99999999999", "too large"),
        ("customers", "founded_year", "12345", "more than 9999"),
        ("customers", "kind", "person", "is none of COMPANY, PERSON"),
        ("customers", "name", "x" * 201, "has 201 characters, at most 200 fit"),
        ("customers", "notes", "x" * 20001, "at most 20000 fit"),
        ("order_lines", "quantity", "0", "not more than 0"),
        ("order_lines", "quantity", "0.0001", "too many decimals"),
        ("order_lines", "quantity", "100000000000", "too large"),
        ("commissions", "rate", "10.1", "more than 10"),
        ("products", "specs", "[1]", "not a JSON object"),
        ("products", "specs", "{", "is not JSON"),
    ],
)
def test_what_does_not_convert(noun: str, field: str, text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        values.converter(FIELDS[noun][field], Style())(text)
