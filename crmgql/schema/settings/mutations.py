"""Mutations of what holds for the whole company: its settings, calendars."""

from __future__ import annotations

from uuid import UUID

import strawberry

from crmgql.domain.settings import calendars, companies
from crmgql.engine.mutations import Given, input, mutation
from crmgql.engine.scalars import CurrencyCode, DateText
from crmgql.records.records import Act
from crmgql.schema.shared_inputs import UNSET


@input
class BusinessCalendarCreateInput:
    """Weekdays are 1 (Monday) to 7."""

    name: str
    timezone: str | None = UNSET
    working_days: list[int] | None = UNSET
    holidays: list[DateText] | None = UNSET
    source: str | None = UNSET
    external_id: str | None = UNSET


@input
class BusinessCalendarUpdateInput:
    id: strawberry.ID
    expected_version: int | None = UNSET
    name: str | None = UNSET
    timezone: str | None = UNSET
    working_days: list[int] | None = UNSET
    holidays: list[DateText] | None = UNSET


@input
class CompanyUpdateInput:
    """There is one company, so no id is asked for."""

    expected_version: int | None = UNSET
    name: str | None = UNSET
    timezone: str | None = UNSET
    first_day_of_week: int | None = UNSET
    fiscal_year_start_month: int | None = UNSET
    fiscal_year_start_day: int | None = UNSET
    default_currency: CurrencyCode | None = UNSET
    locale: str | None = UNSET


@mutation("Company", CompanyUpdateInput)
async def company_update(act: Act, given: Given) -> UUID:
    """Changes what the input names. With another time zone, days are counted anew from then on."""
    return await companies.update(act, **given)


@mutation("BusinessCalendar", BusinessCalendarCreateInput)
async def business_calendar_create(act: Act, given: Given) -> UUID:
    """Makes a calendar of days that count."""
    return await calendars.create(act, **given)


@mutation("BusinessCalendar", BusinessCalendarUpdateInput)
async def business_calendar_update(act: Act, given: Given) -> UUID:
    """Changes what the input names."""
    return await calendars.update(act, **given)
