"""Amounts of money: exact, in the record's currency, with its decimals."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crmgql.errors import BadUserInput, CrmError, CurrencyMismatch
from crmgql.records import money

EURO, DOLLAR = (Decimal(5), "EUR"), (Decimal("7.5"), "USD")
STORED = {"currency": "EUR", "budget_amount": Decimal("1.00"), "spend_amount": None}


@pytest.mark.parametrize(
    ("text", "currency", "written"),
    [("5", "EUR", "5.00"), ("5.0", "JPY", "5"), ("1e2", "KWD", "100.000"), ("0", "USD", "0.00")],
)
def test_an_amount_has_its_currencys_decimals(text: str, currency: str, written: str) -> None:
    assert str(money.amount((Decimal(text), currency), field="amount")) == written


@given(st.integers(0, 10**14), st.sampled_from(["USD", "JPY", "KWD"]))
def test_what_fits_is_never_changed(number: int, currency: str) -> None:
    value = Decimal(number).scaleb(-money.scale(currency))
    assert money.amount((value, currency), currency, field="amount") == value


@pytest.mark.parametrize(
    ("sent", "asked", "positive", "error", "message"),
    [
        (EURO, "USD", False, CurrencyMismatch, "This amount is in EUR; it must be in USD."),
        (("1.005", "EUR"), None, False, BadUserInput, "EUR has 2 decimals; 1.005 has more."),
        (("0.5", "JPY"), None, False, BadUserInput, "JPY has 0 decimals; 0.5 has more."),
        (("1e-40", "KWD"), None, False, BadUserInput, "KWD has 3 decimals; 1E-40 has more."),
        (("1e15", "EUR"), None, False, BadUserInput, "The amount is too large"),
        (("-1e15", "EUR"), None, False, BadUserInput, "The amount is too large"),
        (("-1", "EUR"), None, False, BadUserInput, "Can't be negative, not -1.00."),
        (("-1", "EUR"), None, True, BadUserInput, "Must be more than 0, not -1.00."),
        (("0", "EUR"), None, True, BadUserInput, "Must be more than 0, not 0.00."),
    ],
)
def test_what_does_not_fit(sent: Any, asked: str | None, positive: bool, error: type[CrmError], message: str) -> None:
    with pytest.raises(error) as caught:
        money.amount((Decimal(sent[0]), sent[1]), asked, field="price", positive=positive)
    assert caught.value.message.startswith(message)
    assert caught.value.field == "price"


def test_half_is_rounded_up() -> None:
    assert [str(money.rounded(Decimal(text), "USD")) for text in ("0.005", "0.0049", "2")] == ["0.01", "0.00", "2.00"]


@pytest.mark.parametrize(
    ("values", "columns"),
    [
        ({}, {"currency": None}),
        ({"currency": "JPY"}, {"currency": "JPY"}),
        (
            {"budget": None, "spend": DOLLAR},
            {"currency": "USD", "budget_amount": None, "spend_amount": Decimal("7.50")},
        ),
        ({"budget": EURO, "currency": "EUR"}, {"currency": "EUR", "budget_amount": Decimal("5.00")}),
    ],
)
def test_a_new_row_is_in_the_named_currency_or_the_first_amounts(values: dict[str, Any], columns: Any) -> None:
    assert money.columns(values, "budget", "spend") == columns
    assert not values.keys() & {"budget", "spend"}


@pytest.mark.parametrize(
    ("changes", "columns"),
    [
        ({}, {}),
        ({"currency": None}, {}),
        ({"budget": None, "currency": "USD"}, {"budget_amount": None}),
        ({"budget": DOLLAR, "currency": "USD"}, {"budget_amount": Decimal("7.50")}),
        ({"spend": EURO}, {"spend_amount": Decimal("5.00")}),
    ],
)
def test_a_change_is_in_the_rows_currency_or_the_new_one(changes: dict[str, Any], columns: Any) -> None:
    assert money.columns(changes, "budget", "spend", before=STORED) == columns


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"currency": "USD"}, "currency"),  # the budget would be 1 dollar
        ({"currency": "USD", "spend": DOLLAR}, "currency"),
        ({"spend": DOLLAR}, "spend"),
        ({"budget": EURO, "currency": "USD"}, "budget"),
    ],
)
def test_a_change_mixes_no_currencies(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(CurrencyMismatch) as caught:
        money.columns(changes, "budget", "spend", before=STORED)
    assert caught.value.field == field


def test_two_amounts_of_a_new_row_are_in_one_currency() -> None:
    with pytest.raises(CurrencyMismatch) as caught:
        money.columns({"annual_revenue": EURO, "spend": DOLLAR}, "spend", "annual_revenue")
    assert caught.value.field == "annualRevenue"
