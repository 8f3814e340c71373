"""Days of time zones, with those on which the clocks change."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crmgql.records import days


@pytest.mark.parametrize(
    ("zone", "day", "start", "hours"),
    [
        ("UTC", date(2026, 3, 1), "2026-03-01T00:00Z", 24),
        ("Asia/Shanghai", date(2026, 3, 1), "2026-02-28T16:00Z", 24),
        ("Europe/Berlin", date(2026, 3, 29), "2026-03-28T23:00Z", 23),
        ("Europe/Berlin", date(2026, 10, 25), "2026-10-24T22:00Z", 25),
        # Midnight is left out: the day begins at 01:00.
        ("Africa/Cairo", date(2026, 4, 24), "2026-04-23T22:00Z", 23),
        # Midnight comes twice: the day begins the first time.
        ("America/Havana", date(2026, 11, 1), "2026-11-01T04:00Z", 25),
        ("Asia/Kathmandu", date(2026, 1, 1), "2025-12-31T18:15Z", 24),
    ],
)
def test_a_day_begins_and_ends(zone: str, day: date, start: str, hours: int) -> None:
    begin = days.start_of(day, ZoneInfo(zone))
    assert begin == datetime.fromisoformat(start)
    assert days.start_of(day + timedelta(days=1), ZoneInfo(zone)) - begin == timedelta(hours=hours)
    assert days.day_of(begin, ZoneInfo(zone)) == day
    assert days.day_of(begin - timedelta(microseconds=1), ZoneInfo(zone)) == day - timedelta(days=1)


@given(
    st.datetimes(datetime(1990, 1, 1), datetime(2037, 1, 1), timezones=st.just(UTC)),
    st.sampled_from(["UTC", "Europe/Berlin", "America/Havana", "Africa/Cairo", "Asia/Beirut", "Pacific/Chatham"]),
)
def test_every_moment_is_in_its_day(moment: datetime, name: str) -> None:
    zone = ZoneInfo(name)
    day = days.day_of(moment, zone)
    assert days.start_of(day, zone) <= moment < days.start_of(day + timedelta(days=1), zone)
