"""Calendars: the days that count towards an alert, by default Monday to Friday."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any
from uuid import UUID

from crmgql import access
from crmgql.domain.opportunities import standings
from crmgql.errors import BadUserInput
from crmgql.models import BusinessCalendar
from crmgql.records import checks, records
from crmgql.records.columns import ORIGIN, takes
from crmgql.records.records import Act, Row

FACTS = "name timezone working_days holidays"
MOST_HOLIDAYS = 1000
USING = "SELECT id FROM pipelines WHERE calendar_id = $1"
CONFLICTS = {"business_calendars_name": ("name", "Another calendar has this name.")}


@takes(BusinessCalendar, FACTS, ORIGIN)
async def create(act: Act, **values: Any) -> UUID:
    """Makes a calendar, by default Monday to Friday in the company's time zone."""
    access.require_write(act.viewer, "BusinessCalendar")
    if values.get("timezone") is None:
        values["timezone"] = act.tx.zone.key
    kind = "businessCalendar.created"
    row = await records.create(act, BusinessCalendar, _columns(values), kind=kind, conflicts=CONFLICTS)
    return row["id"]  # type: ignore[no-any-return]


@takes(BusinessCalendar, FACTS)
async def update(act: Act, *, id: UUID, expected_version: int | None = None, **changes: Any) -> UUID:
    """Changes what is named; the next sweep refreshes the alerts of the pipelines that use it."""
    access.require_write(act.viewer, "BusinessCalendar")
    calendar = await records.lock(act, BusinessCalendar, id, expected_version=expected_version)
    kind = "businessCalendar.updated"
    after = await records.change(act, BusinessCalendar, calendar, _columns(changes), kind=kind, conflicts=CONFLICTS)
    if any(after[name] != calendar[name] for name in ("timezone", "working_days", "holidays")):
        using = await act.tx.connection.fetch(USING, id)
        await standings.refresh_later(act, pipeline_ids=[row["id"] for row in using])
    return id


def _columns(values: Row) -> Row:
    """The days as stored. Raises `BadUserInput` for an invalid time zone, weekday or holiday."""
    columns = dict(values)
    if columns.get("timezone") is not None:
        checks.time_zone(columns["timezone"], "timezone")
    if "working_days" in columns:
        columns["working_days"] = {"days": _weekdays(columns["working_days"] or ())}
    if "holidays" in columns:
        columns["holidays"] = {"dates": _dates(columns["holidays"] or ())}
    return columns


def _weekdays(days: Sequence[int]) -> list[int]:
    if not days or not set(days) <= set(range(1, 8)):
        raise BadUserInput("Weekdays are 1 (Monday) to 7 (Sunday), at least one.", field="workingDays")
    return sorted(set(days))


def _dates(days: Sequence[date]) -> list[str]:
    if len(days) > MOST_HOLIDAYS:
        raise BadUserInput(f"A calendar holds at most {MOST_HOLIDAYS} holidays.", field="holidays")
    for day in days:
        checks.check_year(day, "holidays")
    return sorted({day.isoformat() for day in days})
