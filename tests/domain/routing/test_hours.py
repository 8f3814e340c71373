"""Working hours on walls all over the world, summer time included."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crmgql.domain.routing import hours
from crmgql.errors import BadUserInput

OFFICE = {day: ["09:00-12:00", "13:00-17:30"] for day in hours.DAYS[:5]}


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("zone", "moment", "working"),
    [
        ("Europe/Berlin", "2026-03-27 08:00", True),  # Friday, 09:00 in winter
        ("Europe/Berlin", "2026-03-27 07:59", False),
        ("Europe/Berlin", "2026-03-30 07:00", True),  # Monday after the clocks went forward: 09:00 in summer
        ("Europe/Berlin", "2026-03-30 06:59", False),
        ("Europe/Berlin", "2026-10-23 07:00", True),  # Friday, 09:00 in summer
        ("Europe/Berlin", "2026-10-26 07:00", False),  # Monday after the clocks went back: 08:00
        ("Europe/Berlin", "2026-10-26 08:00", True),
        ("Europe/Berlin", "2026-10-26 11:00", False),  # lunch
        ("Europe/Berlin", "2026-10-26 16:29", True),
        ("Europe/Berlin", "2026-10-26 16:30", False),
        ("Asia/Shanghai", "2026-11-02 01:00", True),  # never summer time
        ("Asia/Shanghai", "2026-07-06 01:00", True),
        ("Asia/Shanghai", "2026-11-01 23:30", False),  # Monday 07:30 there, Sunday here
        ("Asia/Shanghai", "2026-11-06 09:29", True),
        ("Asia/Shanghai", "2026-11-07 02:00", False),  # Saturday
        ("America/New_York", "2026-03-06 14:00", True),  # Friday, 09:00 in winter
        ("America/New_York", "2026-03-09 13:00", True),  # Monday after the change
        ("America/New_York", "2026-03-09 12:59", False),
        ("America/New_York", "2026-10-30 21:00", True),  # Friday 17:00, already Friday night here
        ("America/New_York", "2026-11-02 13:59", False),
    ],
)
def test_at_work(zone: str, moment: str, working: bool) -> None:
    assert hours.parse({"timezone": zone, **OFFICE}).at_work(at(moment)) is working


def test_none_named_is_always_and_a_day_not_named_is_off() -> None:
    assert hours.parse({}).at_work(at("2026-11-01 03:00"))
    assert hours.parse({"timezone": "Asia/Shanghai"}).at_work(at("2026-11-01 03:00"))
    assert not hours.parse({"timezone": "UTC", "mon": ["00:00-24:00"]}).at_work(at("2026-11-01 12:00"))
    assert not hours.parse({"timezone": "UTC", "mon": []}).at_work(at("2026-11-02 12:00"))


def test_the_day_of_the_change_has_23_or_25_hours() -> None:
    berlin = hours.parse({"timezone": "Europe/Berlin", **OFFICE})
    spring = berlin.day_start(at("2026-03-29 12:00")), berlin.day_start(at("2026-03-30 12:00"))
    autumn = berlin.day_start(at("2026-10-25 12:00")), berlin.day_start(at("2026-10-26 12:00"))
    assert spring == (at("2026-03-28 23:00"), at("2026-03-29 22:00"))
    assert autumn[1] - autumn[0] == timedelta(hours=25)
    assert berlin.day_start(at("2026-10-25 00:30")) == berlin.day_start(at("2026-10-25 22:59"))


@pytest.mark.parametrize(
    ("given_", "path"),
    [
        ([], "hours"),
        (None, "hours"),
        ({"mon": ["09:00-17:00"]}, "hours.timezone"),
        ({"timezone": "Berlin"}, "hours.timezone"),
        ({"timezone": "../etc/passwd"}, "hours.timezone"),
        ({"timezone": ""}, "hours.timezone"),
        ({"timezone": "\x00"}, "hours.timezone"),
        ({"timezone": 5}, "hours.timezone"),
        ({"timezone": "UTC", "monday": []}, "hours.monday"),
        ({"timezone": "UTC", "mon": "09:00-17:00"}, "hours.mon"),
        ({"timezone": "UTC", "mon": [5]}, "hours.mon.0"),
        ({"timezone": "UTC", "mon": ["9-17"]}, "hours.mon.0"),
        ({"timezone": "UTC", "mon": ["22:00-06:00"]}, "hours.mon.0"),
        ({"timezone": "UTC", "mon": ["09:00-09:00"]}, "hours.mon.0"),
        ({"timezone": "UTC", "mon": ["23:00-24:30"]}, "hours.mon.0"),
        ({"timezone": "UTC", "mon": ["09:00-12:00", "11:00-13:00"]}, "hours.mon.1"),
        ({"timezone": "UTC", "mon": ["13:00-14:00", "09:00-12:00"]}, "hours.mon.1"),
    ],
)
def test_what_is_refused(given_: Any, path: str) -> None:
    with pytest.raises(BadUserInput) as refused:
        hours.parse(given_)
    assert refused.value.field == path


def test_a_span_over_midnight_says_how_to_write_it() -> None:
    with pytest.raises(BadUserInput, match="write one over midnight as two"):
        hours.parse({"timezone": "UTC", "mon": ["22:00-06:00"]})


@given(
    st.datetimes(datetime(2000, 1, 1), datetime(2040, 1, 1), timezones=st.just(UTC)),
    st.sampled_from(["Europe/Berlin", "America/New_York", "Asia/Shanghai", "Australia/Lord_Howe", "Pacific/Apia"]),
)
def test_at_work_is_what_the_wall_says(moment: datetime, zone: str) -> None:
    parsed = hours.parse({"timezone": zone, **OFFICE})
    wall = moment.astimezone(ZoneInfo(zone))
    minute = wall.hour * 60 + wall.minute
    working = wall.weekday() < 5 and (540 <= minute < 720 or 780 <= minute < 1050)
    assert parsed.at_work(moment) is working
    assert timedelta(0) <= moment - parsed.day_start(moment) < timedelta(hours=26)
