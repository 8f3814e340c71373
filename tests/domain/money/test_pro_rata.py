"""Parts of a period that was paid in advance."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crmgql.domain.money.pro_rata import Period

FEBRUARY = Period(date(2026, 2, 1), date(2026, 2, 28), Decimal("60.00"), "EUR")
TOKYO = ZoneInfo("Asia/Tokyo")


def test_it_costs_the_day_on_which_it_begins_and_those_after_it() -> None:
    assert FEBRUARY.begun(datetime(2026, 2, 8, 12, tzinfo=UTC), ZoneInfo("UTC")) == Decimal("45.00")


@pytest.mark.parametrize(("zone", "credit"), [("Asia/Tokyo", "15.00"), ("UTC", "17.14")])
def test_the_day_on_which_it_ends_is_the_customers(zone: str, credit: str) -> None:
    """It is the 21st in Tokyo, which is still used: seven days are left. In UTC it is the 20th."""
    assert FEBRUARY.ended(datetime(2026, 2, 20, 16, tzinfo=UTC), ZoneInfo(zone)) == Decimal(credit)


@pytest.mark.parametrize(("at", "credit"), [((2026, 1, 1), "60.00"), ((2026, 2, 28), "0.00"), ((2026, 4, 1), "0.00")])
def test_no_more_is_credited_than_the_period_has(at: tuple[int, int, int], credit: str) -> None:
    assert FEBRUARY.ended(datetime(*at, tzinfo=UTC), TOKYO) == Decimal(credit)


@given(st.integers(0, 27), st.integers(0, 10**9), st.sampled_from(["JPY", "USD", "KWD"]))
def test_who_begins_on_the_next_day_pays_what_is_credited(day: int, amount: int, currency: str) -> None:
    period = Period(FEBRUARY.first, FEBRUARY.last, Decimal(amount), currency)
    ends = datetime(2026, 2, 1, 3, tzinfo=UTC) + timedelta(days=day)
    assert period.ended(ends, TOKYO) == period.begun(ends + timedelta(days=1), TOKYO)
