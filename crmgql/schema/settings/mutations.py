"""Mutations of what holds for the whole company: calendars."""

from __future__ import annotations

from crmgql.domain.settings import calendars
from crmgql.engine import inputs, mutations
from crmgql.engine.mutations import Row
from crmgql.engine.scalars import DateText

DAYS = {"working_days": list[int] | None, "holidays": list[DateText] | None}

mutations.table(
    "BusinessCalendar",
    Row(
        "businessCalendarCreate",
        "Makes a calendar of days that count.",
        calendars.create,
        input=inputs.create(calendars.FACTS, also=DAYS, doc="Weekdays are 1 (Monday) to 7."),
    ),
    Row(
        "businessCalendarUpdate",
        "Changes what the input names.",
        calendars.update,
        input=inputs.update(calendars.FACTS, also=DAYS),
    ),
)
