"""A seller's working hours: `{"timezone": "Europe/Berlin", "mon": ["09:00-12:00", "13:00-17:30"]}`. Pure.

Without days a seller is always at work; days begin in the named time zone, else the company's. A day that is not named is a
day off. Times are local times of the zone, so that summer time shifts nothing. "24:00" is the end of a day; a span over
midnight is two spans.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from crmgql.errors import BadUserInput
from crmgql.records import checks, days

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
SPAN = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-4]):([0-5]\d)")
DAY_MIN = 24 * 60


@dataclass(frozen=True, slots=True)
class Hours:
    """Per weekday the spans in minutes since midnight, end excluded. `always`: no days are named."""

    zone: ZoneInfo
    spans: tuple[tuple[tuple[int, int], ...], ...] = ((),) * 7
    always: bool = False

    def at_work(self, moment: datetime) -> bool:
        if self.always:
            return True
        local = moment.astimezone(self.zone)
        minute = local.hour * 60 + local.minute
        return any(start <= minute < end for start, end in self.spans[local.weekday()])

    def day_start(self, moment: datetime) -> datetime:
        """The start of the moment's day in the zone, in UTC."""
        return days.start_of(days.day_of(moment, self.zone), self.zone)


UTC = ZoneInfo("UTC")
ALWAYS = Hours(UTC, always=True)


def parse(raw: Any, *, path: str = "hours", zone: ZoneInfo = UTC) -> Hours:
    """`zone` is the company's. Raises `BadUserInput` with the path of what is wrong."""
    if raw == {}:
        return Hours(zone, always=True)
    if not isinstance(raw, dict):
        raise BadUserInput('Must be like {"timezone": "Europe/Berlin", "mon": ["09:00-17:00"]}.', field=path)
    if unknown := raw.keys() - {"timezone", *DAYS}:
        raise BadUserInput(f"Only timezone and {', '.join(DAYS)} can stand here.", field=f"{path}.{min(unknown)}")
    own = checks.time_zone(raw.get("timezone"), f"{path}.timezone")
    spans = tuple(_day(raw.get(day, []), f"{path}.{day}") for day in DAYS)
    return Hours(own, spans, always=not raw.keys() & set(DAYS))


def _day(raw: Any, path: str) -> tuple[tuple[int, int], ...]:
    if not isinstance(raw, list):
        raise BadUserInput('Must be a list of spans, such as ["09:00-12:00", "13:00-17:30"].', field=path)
    spans = [_span(item, f"{path}.{number}") for number, item in enumerate(raw)]
    for number, (start, _) in enumerate(spans[1:], start=1):
        if start < spans[number - 1][1]:
            raise BadUserInput("Spans of a day must follow one another without overlap.", field=f"{path}.{number}")
    return tuple(spans)


def _span(raw: Any, path: str) -> tuple[int, int]:
    found = SPAN.fullmatch(raw) if isinstance(raw, str) else None
    if found is None:
        raise BadUserInput('Must be like "09:00-17:30".', field=path)
    start, end = int(found[1]) * 60 + int(found[2]), int(found[3]) * 60 + int(found[4])
    if end <= start or end > DAY_MIN:
        raise BadUserInput(
            "A span must end after it starts, on the same day; write one over midnight as two, such as "
            '"22:00-24:00" and on the next day "00:00-06:00".',
            field=path,
        )
    return start, end
