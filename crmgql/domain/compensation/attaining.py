"""What attainment is counted in: stints, and the quota of one. Pure.

A stint is what of an attainment period a person has one plan for, without a break: in it attainment goes on, also from a version of
the plan to the next if both count the same; in the next one it begins at 0. Always holds: the quotas of the stints of some days sum
to the quota of these days, exactly, whatever the lengths of months and years.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fractions import Fraction

from crmgql.domain.compensation.periods import DAY, Days, FiscalStart, after_months, period_of
from crmgql.domain.compensation.terms import Assigned, Version

WHOLE = Fraction(1)
HUNDRED = 100


@dataclass(frozen=True, slots=True)
class Quota:
    """What is to be attained in these days, in the currency that it is asked in. Quotas of one person do not overlap."""

    days: Days
    amount: Decimal


@dataclass(frozen=True, slots=True)
class Ramp:
    """What a newcomer's quota is lowered to: percents of the months since the start. After them it is whole."""

    started_on: date
    percents: tuple[Decimal, ...]


def quota_of(quotas: Iterable[Quota], days: Days, ramp: Ramp | None = None) -> Fraction | None:
    """What of the quotas falls on these days, by days of each quota; None without any quota on them.

    Who joined or left within a quota's days is asked for with the days that they had.
    """
    found, total = False, Fraction(0)
    for quota in quotas:
        common = quota.days.common(days)
        if common is not None:
            found = True
            total += Fraction(quota.amount) * _weight(common, ramp) / quota.days.count
    return total if found else None


def _weight(days: Days, ramp: Ramp | None) -> Fraction:
    """How many whole days these count as."""
    if ramp is None:
        return Fraction(days.count)
    lowered = Fraction(0)
    for month, percent in enumerate(ramp.percents):
        first, following = after_months(ramp.started_on, month), after_months(ramp.started_on, month + 1)
        common = days.common(Days(first, following - DAY))
        if common is not None:
            lowered += common.count * (WHOLE - Fraction(percent) / HUNDRED)
    return days.count - lowered


@dataclass(frozen=True, slots=True)
class Stint:
    """The days of it, and the version of the day that was asked for."""

    days: Days
    version: Version


class Stints:
    """Finds the stint of a day. `assigned`: what the person has, without overlaps."""

    def __init__(self, assigned: Iterable[Assigned], fiscal: FiscalStart) -> None:
        self._assigned = sorted(assigned, key=lambda each: each.first_on)
        self._fiscal = fiscal
        self._starts = [each.first_on for each in self._assigned]
        self._runs = list(_runs(self._assigned))
        self._found: dict[date, Stint | None] = {}

    def of(self, day: date) -> Stint | None:
        """The stint, or None on a day without a plan."""
        if day not in self._found:
            self._found[day] = self._find(day)
        return self._found[day]

    def begin(self, day: date) -> date:
        """The first day that has to be calculated for something to be right from `day` on."""
        stint = self.of(day)
        return stint.days.first_on if stint else day

    def _find(self, day: date) -> Stint | None:
        place = bisect_right(self._starts, day) - 1
        if place < 0:
            return None
        found = self._assigned[place]
        if found.last_on is not None and found.last_on < day:
            return None
        days = self._runs[place].common(period_of(day, found.version.period, self._fiscal))
        assert days is not None, "The day lies in both."
        return Stint(days, found.version)


def _runs(assigned: Sequence[Assigned]) -> Iterator[Days]:
    """For each of them the days in which attainment goes on, but for periods."""
    runs: list[list[Assigned]] = []
    for each in assigned:
        if runs and _goes_on(runs[-1][-1], each):
            runs[-1].append(each)
        else:
            runs.append([each])
    for run in runs:
        yield from [Days(run[0].first_on, run[-1].last_on or date.max)] * len(run)


def _goes_on(before: Assigned, after: Assigned) -> bool:
    """Whether attainment goes on from one to the next: the same plan without a break, that counts the same."""
    return before.last_on is not None and before.last_on + DAY == after.first_on and _counts(before) == _counts(after)


def _counts(assigned: Assigned) -> tuple[object, ...]:
    version = assigned.version
    return version.plan_id, version.currency, version.attains_measure, version.attains_basis, version.period
