"""Mutations of the company's settings and of calendars."""

from __future__ import annotations

from crmgql.domain.settings import calendars, companies
from crmgql.engine import inputs, mutations
from crmgql.engine.inputs import MoneyInput
from crmgql.engine.mutations import Row
from crmgql.engine.scalars import DateText

DAYS = {"working_days": list[int] | None, "holidays": list[DateText] | None}

mutations.table(
    "Company",
    Row(
        "companyUpdate",
        "Changes what the input names. After a change of the time zone, days are counted in the new one.",
        companies.update,
        input=inputs.update(
            companies.FACTS,
            also={"write_off_tolerances": list[MoneyInput] | None},
            doc="There is one company, so it takes no id. `writeOffTolerances` replaces all of them.",
        ),
    ),
)

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
