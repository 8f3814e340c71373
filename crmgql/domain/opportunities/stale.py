"""When an opportunity without activity is due for an alert. Pure.

Enters: since when there has been no activity, the stage's limits in hours, the days that count. Leaves: the time of the next
alert. Always holds: the owner is alerted first, the manager `escalate_after_h` later; an episode of silence ends when the
owner's alert lies in the future again, and the next silence is another episode.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from crmgql.records import days

OWNER, MANAGER = "OWNER", "MANAGER"
EARLIEST, LATEST = datetime(1900, 1, 1, tzinfo=UTC), datetime(2300, 1, 1, tzinfo=UTC)
"""Dates beyond these, typing errors in imports, count as these: Python's calendar ends at the year 9999."""

NEXT = {0: OWNER, 1: MANAGER}
"""The number of alerts in the episode → who is alerted next."""


@dataclass(frozen=True, slots=True)
class Calendar:
    """The days that count: ISO weekdays, at least one, without the holidays; they begin and end in `timezone`."""

    timezone: str
    days: frozenset[int]
    holidays: frozenset[date]

    def works(self, day: date) -> bool:
        return day.isoweekday() in self.days and day not in self.holidays


@dataclass(frozen=True, slots=True)
class Patience:
    """Hours of silence until the owner is alerted, and from then until the manager is; None: never."""

    stale_after_h: int | None
    escalate_after_h: int | None
    calendar: Calendar | None = None


@dataclass(frozen=True, slots=True)
class Silence:
    """The alerts of this episode (`level`), since when the opportunity is stale, when the next alert is due."""

    level: int
    episode: int
    stale_since: datetime | None
    stale_at: datetime | None


def due(base: datetime, hours: int, calendar: Calendar | None) -> datetime:
    """The time `hours` after `base`, counting only time on days that count. In UTC.

    Real time is counted, so a day on which the clocks change has 23 or 25 hours.
    """
    if calendar is None:
        return base + timedelta(hours=hours)
    zone = ZoneInfo(calendar.timezone)
    left, moment = timedelta(hours=hours), base.astimezone(UTC)
    day = days.day_of(moment, zone)
    while True:
        begin = max(moment, days.start_of(day, zone))
        end = days.start_of(day + timedelta(days=1), zone)
        if calendar.works(day) and end > begin:
            if left <= end - begin:
                return begin + left
            left -= end - begin
        day += timedelta(days=1)


def next_alert(
    silence: Silence,
    patience: Patience,
    *,
    since: datetime,
    snoozed_until: datetime | None,
    now: datetime,
) -> Silence:
    """The state after silence since `since`: the time of the next alert, and a new episode if it is no longer stale."""
    if patience.stale_after_h is None:
        return replace(_ended(silence), stale_at=None)
    owner = due(min(max(since, EARLIEST), LATEST), patience.stale_after_h, patience.calendar)
    owner = max(owner, snoozed_until) if snoozed_until is not None else owner
    if owner > now or silence.level == 0:
        return replace(_ended(silence), stale_at=owner)
    if silence.level == 1 and patience.escalate_after_h is not None:
        return replace(silence, stale_at=due(owner, patience.escalate_after_h, patience.calendar))
    return replace(silence, stale_at=None)


def _ended(silence: Silence) -> Silence:
    if silence.level == 0:
        return replace(silence, stale_since=None)
    return Silence(0, silence.episode + 1, None, None)
