"""Payment terms: what they say, when parts are due, and that they sum to the total."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crmgql.currencies import scale
from crmgql.domain.money import terms
from crmgql.errors import BadUserInput

DAY = date(2026, 1, 31)


@pytest.mark.parametrize(
    ("text", "due"),
    [
        ("NET 30", [("2026-03-02", "100.00")]),
        ("net 0", [("2026-01-31", "100.00")]),
        ("NET 1M", [("2026-02-28", "100.00")]),
        ("EOM 10", [("2026-02-10", "100.00")]),
        ("EOM 1M", [("2026-02-28", "100.00")]),
        ("30% NET 0, 70% EOM 0", [("2026-01-31", "100.00")]),
        ("30% NET 0, 70% NET 60", [("2026-01-31", "30.00"), ("2026-04-01", "70.00")]),
        (
            "1/3 NET 0M, 1/3 NET 1M, 1/3 NET 2M",
            [("2026-01-31", "33.34"), ("2026-02-28", "33.33"), ("2026-03-31", "33.33")],
        ),
        ("33.3333% NET 60, 66.6667% NET 0", [("2026-01-31", "66.67"), ("2026-04-01", "33.33")]),
    ],
)
def test_terms_say_when_which_part_is_due(text: str, due: list[tuple[str, str]]) -> None:
    found = terms.due_dates(DAY, Decimal("100.00"), terms.parse(text), "EUR")
    assert [(str(day), str(amount)) for day, amount in found] == due


def test_the_end_of_the_month_is_that_of_the_day_of_issue() -> None:
    (found,) = terms.due_dates(date(2028, 2, 3), Decimal(100), terms.parse("EOM 0"), "JPY")
    assert found == (date(2028, 2, 29), Decimal(100))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "30",
        "NET",
        "NET -1",
        "NET 30,",
        "30% NET 0",
        "60% NET 0, 60% NET 1",
        "0% NET 0, 100% NET 1",
        "1/0 NET 1",
        "NET 1D",
        "NET ٣٠",  # digits, but not those that others read
    ],
)
def test_what_says_no_terms_is_refused(text: str) -> None:
    with pytest.raises(BadUserInput):
        terms.parse(text)


def test_there_are_not_many_parts() -> None:
    with pytest.raises(BadUserInput, match="at most 12"):
        terms.parse(", ".join(["1/13 NET 0"] * 13))


@given(
    st.integers(1, 10**12),
    st.lists(st.integers(1, 99), min_size=1, max_size=12),
    st.sampled_from(["USD", "JPY", "KWD"]),
)
@settings(max_examples=50, deadline=None)
def test_parts_sum_to_the_total_and_are_off_by_less_than_a_unit(units: int, weights: list[int], currency: str) -> None:
    unit = Decimal(1).scaleb(-scale(currency))
    shares = [Fraction(weight, sum(weights)) for weight in weights]
    parts = terms.split(units * unit, shares, currency)
    assert sum(parts) == units * unit
    assert all(abs(Fraction(part / unit) - units * share) < 1 for part, share in zip(parts, shares, strict=True))
