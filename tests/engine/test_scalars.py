"""What the scalars take, and what they must not."""

from __future__ import annotations

import time
from decimal import Decimal
from typing import Any

import pytest
from graphql import GraphQLError

from crmgql.engine import scalars
from crmgql.records import money


@pytest.mark.parametrize("text", ["1", "-1.50", "+0.5", ".5", "5.", "1e3", "1E-3", 7])
def test_a_decimal_is_plain_digits(text: Any) -> None:
    assert scalars.parse_decimal(text) == Decimal(text)


@pytest.mark.parametrize(
    "text", ["1_0", " 5 ", "5\n", "\uff15", "\u0665", "", ".", "e3", "NaN", "Infinity", "0x1", "1,5", 1.5, True, None]
)
def test_what_is_no_decimal(text: Any) -> None:
    with pytest.raises(GraphQLError):
        scalars.parse_decimal(text)


@pytest.mark.parametrize("code", ["EUR", "USD", "JPY", "KWD", "XOF", "CZK", "SLE"])
def test_a_currency_is_one_in_use(code: str) -> None:
    assert scalars.parse_currency(code) == code


@pytest.mark.parametrize(
    "code", ["DEM", "ITL", "HRK", "XXX", "XTS", "XAU", "XDR", "CLF", "UYW", "USN", "eur", "", None]
)
def test_what_is_no_currency(code: Any) -> None:
    with pytest.raises(GraphQLError):
        scalars.parse_currency(code)


def test_the_scales_are_those_of_iso_4217() -> None:
    three = {code for code in scalars._currencies() if money.scale(code) == 3}
    none = {code for code in scalars._currencies() if money.scale(code) == 0}
    assert three == {"BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"}
    assert none == money.NO_DECIMALS - {"UYI"}
    assert len(scalars._currencies()) > 150


@pytest.mark.parametrize(
    "text", ["1" * 500_000 + "x", "." + "1" * 500_000 + "x", "1e" + "1" * 500_000 + "x", "1" * 500_000]
)
def test_a_long_number_takes_no_time(text: str) -> None:
    started = time.perf_counter()
    with pytest.raises(GraphQLError):
        scalars.parse_decimal(text)
    assert time.perf_counter() - started < 0.5
