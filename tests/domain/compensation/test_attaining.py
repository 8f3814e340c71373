"""Periods, stints and the quota of one."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crmgql.domain.compensation.attaining import Quota, Ramp, Stints, quota_of
from crmgql.domain.compensation.periods import DAY, Days, FiscalStart, period_of
from crmgql.domain.compensation.terms import Assigned
from crmgql.models import CompBasis, CompPeriod
from tests.domain.compensation import told

YEAR = Days(date(2028, 1, 1), date(2028, 12, 31))
STARTS = st.integers(1, 12).flatmap(
    lambda month: st.builds(FiscalStart, st.just(month), st.integers(1, 28 if month == 2 else 30))
)
SOME_DAY = st.dates(date(2020, 1, 1), date(2032, 12, 31))


@pytest.mark.parametrize(
    ("day", "period", "fiscal", "first", "last"),
    [
        ((2028, 2, 29), CompPeriod.MONTH, (1, 1), (2028, 2, 1), (2028, 2, 29)),
        ((2026, 4, 5), CompPeriod.MONTH, (4, 6), (2026, 4, 1), (2026, 4, 30)),
        ((2026, 5, 31), CompPeriod.QUARTER, (1, 1), (2026, 4, 1), (2026, 6, 30)),
        ((2026, 1, 31), CompPeriod.QUARTER, (2, 1), (2025, 11, 1), (2026, 1, 31)),
        ((2026, 4, 5), CompPeriod.QUARTER, (4, 6), (2026, 1, 6), (2026, 4, 5)),
        ((2026, 5, 1), CompPeriod.QUARTER, (1, 31), (2026, 4, 30), (2026, 7, 30)),
        ((2026, 4, 5), CompPeriod.YEAR, (4, 6), (2025, 4, 6), (2026, 4, 5)),
        ((2028, 2, 29), CompPeriod.YEAR, (3, 1), (2027, 3, 1), (2028, 2, 29)),
    ],
)
def test_periods(day: Any, period: CompPeriod, fiscal: Any, first: Any, last: Any) -> None:
    found = period_of(date(*day), period, FiscalStart(*fiscal))
    assert found == Days(date(*first), date(*last))


@given(SOME_DAY, st.sampled_from(CompPeriod), STARTS)
def test_each_day_is_in_one_period(day: date, period: CompPeriod, fiscal: FiscalStart) -> None:
    found = period_of(day, period, fiscal)
    assert found.first_on <= day <= found.last_on
    assert period_of(found.first_on, period, fiscal) == period_of(found.last_on, period, fiscal) == found
    assert period_of(found.last_on + DAY, period, fiscal).first_on == found.last_on + DAY


def test_a_year_goes_over_its_months_to_the_last_cent() -> None:
    """A leap year, too: February has 29 of 366 days."""
    quota = [Quota(YEAR, Decimal("1000000.01"))]
    months = [period_of(date(2028, month, 1), CompPeriod.MONTH, FiscalStart()) for month in range(1, 13)]
    parts = [quota_of(quota, each) for each in months]
    assert parts[1] == Fraction(Decimal("1000000.01")) * 29 / 366
    assert sum(each or 0 for each in parts) == Fraction(Decimal("1000000.01"))


def test_quotas_of_months_sum_to_that_of_a_quarter() -> None:
    ends = [(date(2026, 1, 1), date(2026, 1, 31)), (date(2026, 2, 1), date(2026, 2, 28))]
    quotas = [Quota(Days(*each), Decimal(100)) for each in ends]
    assert quota_of(quotas, Days(date(2026, 1, 1), date(2026, 3, 31))) == 200
    assert quota_of(quotas, Days(date(2026, 1, 31), date(2026, 2, 14))) == Fraction(100, 31) + 50
    assert quota_of(quotas, Days(date(2026, 3, 1), date(2026, 3, 31))) is None


def test_a_leaver_and_who_comes_after_have_the_whole() -> None:
    """The last day is one of both ends: not counted twice, nor left out."""
    quota = [Quota(YEAR, Decimal(366))]
    left = quota_of(quota, Days(date(2028, 1, 1), date(2028, 2, 29)))
    came = quota_of(quota, Days(date(2028, 3, 1), date(2028, 12, 31)))
    assert (left, came) == (60, 306)


def test_a_ramp_lowers_the_first_months() -> None:
    quota = [Quota(YEAR, Decimal(3660))]
    ramp = Ramp(date(2028, 1, 16), (Decimal(25), Decimal("50")))
    days = Days(date(2028, 1, 16), date(2028, 3, 31))
    assert quota_of(quota, days, ramp) == Fraction(31 * 25, 10) + Fraction(29 * 50, 10) + 160
    assert quota_of(quota, Days(date(2028, 4, 1), date(2028, 4, 30)), ramp) == 300


@given(
    st.lists(st.tuples(st.integers(1, 400), st.decimals(0, 10**6, places=2)), min_size=1, max_size=5),
    st.lists(st.integers(0, 1500), max_size=6),
    st.lists(st.sampled_from([Decimal(0), Decimal("33.33"), Decimal(150)]), max_size=3),
)
def test_however_days_are_cut_quotas_sum_to_the_same(
    lengths: list[tuple[int, Decimal]], cuts: list[int], percents: list[Decimal]
) -> None:
    """So nobody's days come to 101 % of a quota, nor to 99 %."""
    first, quotas = date(2027, 12, 15), []
    for length, amount in lengths:
        quotas.append(Quota(Days(first, first + timedelta(days=length - 1)), amount))
        first = first + timedelta(days=length)
    whole = Days(date(2027, 12, 15), first - DAY)
    starts = sorted({whole.first_on, *(whole.first_on + timedelta(days=n % whole.count) for n in cuts)})
    pieces = [Days(a, b - DAY) for a, b in zip(starts, [*starts[1:], first], strict=True)]
    ramp = Ramp(date(2028, 1, 31), tuple(percents)) if percents else None
    assert sum(quota_of(quotas, each, ramp) or 0 for each in pieces) == quota_of(quotas, whole, ramp)
    if ramp is None:
        assert quota_of(quotas, whole) == sum(Fraction(amount) for _, amount in lengths)


def assigned(*ends: tuple[date, date | None, int, dict[str, Any]]) -> Stints:
    return Stints(
        [Assigned(a, b, told.version(n=n, plan=plan, **more)) for n, (a, b, plan, more) in enumerate(ends)],
        FiscalStart(),
    )


def test_a_stint_ends_with_the_plan_the_period_or_a_day_without_one() -> None:
    new, half, end = date(2026, 3, 10), date(2026, 3, 20), date(2026, 5, 5)
    found = assigned(
        (date(2026, 2, 3), new - DAY, 1, {}),
        (new, half - DAY, 2, {}),
        (half, date(2026, 4, 9), 2, {"basis": CompBasis.MARGIN}),
        (date(2026, 4, 11), end, 2, {}),
    )

    def days(day: date) -> tuple[str, str] | None:
        stint = found.of(day)
        return stint and (str(stint.days.first_on), str(stint.days.last_on))

    assert days(date(2026, 2, 2)) is None
    assert days(date(2026, 2, 3)) == ("2026-02-03", "2026-02-28")
    assert days(new - DAY) == ("2026-03-01", "2026-03-09")
    assert days(new) == days(half) == ("2026-03-10", "2026-03-31")
    assert days(date(2026, 4, 9)) == ("2026-04-01", "2026-04-09")
    assert days(date(2026, 4, 10)) is None
    assert days(date(2026, 4, 11)) == ("2026-04-11", "2026-04-30")
    assert days(end) == ("2026-05-01", "2026-05-05")
    assert days(end + DAY) is None
    assert [found.begin(day) for day in (half, date(2026, 4, 10))] == [new, date(2026, 4, 10)]


def test_a_version_that_counts_something_else_begins_anew() -> None:
    change = date(2026, 1, 10)
    found = assigned((told.JANUARY, change - DAY, 1, {}), (change, None, 1, {"attains_basis": CompBasis.GROSS}))
    assert found.begin(date(2026, 1, 20)) == change
