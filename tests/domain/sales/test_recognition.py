"""The parts of what is deferred: they sum to the whole, whatever it is."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crmgql.domain.sales.recognition import Line, deferred, last_day, shares
from crmgql.models import Recognition
from crmgql.records import money

CURRENCIES = st.sampled_from(["USD", "JPY", "KWD"])
UNITS = st.integers(0, 10**15)


def amount(units: int, currency: str) -> Decimal:
    return Decimal(units).scaleb(-money.scale(currency))


@given(UNITS, st.lists(st.decimals(0, 10**9, places=3), min_size=1, max_size=20), CURRENCIES)
def test_shares_sum_to_the_whole_and_none_is_a_unit_off(units: int, weights: list[Decimal], currency: str) -> None:
    total = amount(units, currency)
    parts = shares(total, weights, currency)
    whole = sum(weights)
    assert sum(parts) == (total if whole else 0)
    unit = Decimal(1).scaleb(-money.scale(currency))
    for part, weight in zip(parts, weights, strict=True):
        assert part == money.rounded(part, currency)
        assert not whole or abs(part - total * weight / whole) < unit * Decimal("1.001")


def test_what_is_left_goes_to_those_of_which_most_was_cut_off() -> None:
    ones = [Decimal(1)] * 3
    assert [str(each) for each in shares(Decimal("100.00"), ones, "USD")] == ["33.34", "33.33", "33.33"]
    assert [str(each) for each in shares(Decimal("0.01"), [Decimal(1), Decimal(2)], "USD")] == ["0.00", "0.01"]
    assert [str(each) for each in shares(Decimal("5"), ones, "JPY")] == ["2", "2", "1"]


@pytest.mark.parametrize(
    ("start", "months", "last"),
    [
        ((2026, 1, 1), 1, (2026, 1, 31)),
        ((2026, 1, 1), 12, (2026, 12, 31)),
        ((2026, 11, 15), 2, (2027, 1, 14)),
        ((2026, 1, 31), 1, (2026, 2, 27)),
        ((2023, 11, 30), 3, (2024, 2, 28)),
    ],
)
def test_months_end_the_day_before_the_next_begins(
    start: tuple[int, int, int], months: int, last: tuple[int, int, int]
) -> None:
    assert last_day(date(*start), months) == date(*last)


LINES = st.lists(st.tuples(UNITS, UNITS, st.sampled_from(Recognition), st.integers(1, 36)), min_size=1, max_size=8)


@given(LINES, UNITS, CURRENCIES)
def test_what_is_deferred_is_a_part_of_the_net(
    drawn: list[tuple[int, int, Recognition, int]], discount: int, currency: str
) -> None:
    lines = [
        Line(UUID(int=n), amount(net, currency), amount(cost, currency), rule, months)
        for n, (net, cost, rule, months) in enumerate(drawn)
    ]
    taken = amount(discount, currency)
    parts = deferred(lines, taken, date(2026, 1, 31), currency)
    later = [line for line in lines if line.rule is not Recognition.AT_CONFIRMATION]
    net = max(sum(line.amount for line in lines) - taken, Decimal(0))
    total = sum(part.amount for part in parts)
    assert 0 <= total <= net
    if len(later) == len(lines):
        assert total == net
    assert sum(part.cost for part in parts) == sum(line.cost for line in later)
    for line in later:
        own = [part for part in parts if part.line_id == line.id]
        days = [part.due_on for part in own if part.due_on]
        assert days == sorted(set(days))
        assert all((part.due_on is None) == (line.rule is Recognition.ON_SHIPMENT) for part in own)
