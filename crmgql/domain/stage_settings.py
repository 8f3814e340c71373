"""What goes with pipelines: the key actions of a stage, and the calendars of days that count."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from functools import cache
from typing import Any
from uuid import UUID
from zoneinfo import available_timezones

from crmgql import access
from crmgql.domain import pipelines, records, shape
from crmgql.domain.records import Act, Row
from crmgql.errors import BadUserInput, IllegalTransition
from crmgql.models import BusinessCalendar, KeyAction, Stage

MOST_HOLIDAYS = 1000
NEXT_POSITION = "SELECT coalesce(max(position), 0) + 1 FROM key_actions WHERE stage_id = $1"
USING = "SELECT id FROM pipelines WHERE calendar_id = $1"
CONFLICTS = {"business_calendars_name": ("name", "Another calendar has this name.")}


@cache
def known_timezones() -> frozenset[str]:
    """Names that mean the same on every machine."""
    return frozenset(available_timezones() - {"localtime"})


async def create_action(act: Act, *, stage_id: UUID, **values: Any) -> UUID:
    """A key action of an open stage, after the others."""
    access.require_write(act.viewer, "KeyAction")
    stage = await records.visible(act, Stage, stage_id, field="stageId")
    if stage["status"] != "OPEN" or stage["archived_at"] is not None:
        raise IllegalTransition("Key actions belong to open stages that are not archived.", field="stageId")
    values |= {"stage_id": stage_id, "position": await act.tx.connection.fetchval(NEXT_POSITION, stage_id)}
    action = await records.create(act, KeyAction, values, kind="keyAction.created")
    return action["id"]  # type: ignore[no-any-return]


async def update_action(act: Act, *, id: UUID, expected_version: int | None = None, **changes: Any) -> UUID:
    """Changes what is named."""
    access.require_write(act.viewer, "KeyAction")
    action = await records.lock(act, KeyAction, id, expected_version=expected_version)
    await records.change(act, KeyAction, action, changes, kind="keyAction.updated")
    return id


async def archive_action(act: Act, *, id: UUID, expected_version: int | None = None) -> UUID:
    """It gates nothing any more; where it was done stays known."""
    access.require_write(act.viewer, "KeyAction")
    action = await records.lock(act, KeyAction, id, expected_version=expected_version)
    if action["archived_at"] is not None:
        raise IllegalTransition("The key action is archived already.", field="id")
    await records.change(act, KeyAction, action, {"archived_at": act.now}, kind="keyAction.archived")
    return id


async def create_calendar(act: Act, **values: Any) -> UUID:
    """Days that count, Monday to Friday in UTC unless said otherwise."""
    access.require_write(act.viewer, "BusinessCalendar")
    kind = "businessCalendar.created"
    row = await records.create(act, BusinessCalendar, _columns(values), kind=kind, conflicts=CONFLICTS)
    return row["id"]  # type: ignore[no-any-return]


async def update_calendar(act: Act, *, id: UUID, expected_version: int | None = None, **changes: Any) -> UUID:
    """Changes what is named; alerts of the pipelines that go by it are worked out anew, with the next sweep."""
    access.require_write(act.viewer, "BusinessCalendar")
    calendar = await records.lock(act, BusinessCalendar, id, expected_version=expected_version)
    kind = "businessCalendar.updated"
    after = await records.change(act, BusinessCalendar, calendar, _columns(changes), kind=kind, conflicts=CONFLICTS)
    if any(after[name] != calendar[name] for name in ("timezone", "working_days", "holidays")):
        using = await act.tx.connection.fetch(USING, id)
        await pipelines.unsettle(act, pipeline_ids=[row["id"] for row in using])
    return id


def _columns(values: Row) -> Row:
    """The days as the table keeps them. Raises `BadUserInput` for a time zone, weekday or holiday that is none."""
    columns = dict(values)
    if columns.get("timezone") is not None:
        shape.check_characters(columns["timezone"], "timezone")
        if columns["timezone"] not in known_timezones():
            raise BadUserInput('Must be an IANA time zone such as "Europe/Berlin".', field="timezone")
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
    if any(day.year not in shape.YEARS for day in days):
        raise BadUserInput(f"The year must be {shape.YEARS[0]} to {shape.YEARS[-1]}.", field="holidays")
    return sorted({day.isoformat() for day in days})
