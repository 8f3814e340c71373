"""Days of a time zone: which one a moment is in, and when it begins. Pure.

Where the clocks are put forward at midnight the day begins at the first moment that there is; where the hour around
midnight comes twice, it begins at the first of both. So every moment is in exactly one day, of 23 to 25 hours.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from zoneinfo import ZoneInfo


def day_of(moment: datetime, zone: ZoneInfo) -> date:
    return moment.astimezone(zone).date()


def start_of(day: date, zone: ZoneInfo) -> datetime:
    """The moment at which the day begins, in UTC."""
    return datetime.combine(day, time(), zone).astimezone(UTC)


def shown(moment: datetime, zone: ZoneInfo) -> str:
    """As people of the zone read it, such as 2026-03-01 07:30 Asia/Shanghai."""
    return f"{moment.astimezone(zone):%Y-%m-%d %H:%M} {zone.key}"
