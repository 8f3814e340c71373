"""Attainment periods: months of the calendar, quarters and years of the company's fiscal year. Pure.

A fiscal year may begin on any day that its month has in every year; its quarters begin on that day of every third month, or on the
month's last, where it has no such day.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

from crmgql.domain.sales.recognition import last_day
from crmgql.models import CompPeriod

DAY = timedelta(days=1)
MONTHS_OF_A_YEAR = 12


MONTHS = {CompPeriod.MONTH: 1, CompPeriod.QUARTER: 3, CompPeriod.YEAR: MONTHS_OF_A_YEAR}


@dataclass(frozen=True, slots=True)
class Days:
    """From the first to the last, both included."""

    first_on: date
    last_on: date

    @property
    def count(self) -> int:
        return (self.last_on - self.first_on).days + 1

    def common(self, other: Days) -> Days | None:
        """The days that both have, or None."""
        first, last = max(self.first_on, other.first_on), min(self.last_on, other.last_on)
        return Days(first, last) if first <= last else None


@dataclass(frozen=True, slots=True)
class FiscalStart:
    """The month and day on which fiscal years begin."""

    month: int = 1
    day: int = 1


def after_months(day: date, months: int) -> date:
    """The same day so many months later, or the last of a month that has no such day."""
    return last_day(day, months) + DAY if months else day


def period_of(day: date, period: CompPeriod, fiscal: FiscalStart) -> Days:
    """The period that a day lies in."""
    if period is CompPeriod.MONTH:
        first = day.replace(day=1)
        return Days(first, last_day(first, 1))
    began = date(day.year, fiscal.month, fiscal.day)
    if began > day:
        began = began.replace(year=day.year - 1)
    months = MONTHS[period]
    starts = [after_months(began, n) for n in range(0, MONTHS_OF_A_YEAR + 1, months)]
    at = max(n for n, start in enumerate(starts) if start <= day)
    return Days(starts[at], starts[at + 1] - DAY)
