"""Payment terms: when which part of an invoice is due. Pure.

    NET 30                                     30 days after the day of issue
    NET 1M                                     the same day of the next month, or its last day
    EOM 10                                     10 days after the end of the month of issue
    30% NET 0, 70% NET 60                      in parts; shares add up to the whole
    1/3 NET 0M, 1/3 NET 1M, 1/3 NET 2M

Days are plain days of the calendar. Parts are in whole units of the currency, by largest remainder, and sum to the total.
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction

from crmgql.currencies import scale
from crmgql.errors import BadUserInput

DEFAULT = "NET 30"
MOST_PARTS = 12
PART = re.compile(
    r"(?:(?P<percent>\d{1,3}(?:\.\d{1,4})?)%\s+|(?P<over>\d{1,2})/(?P<under>\d{1,2})\s+)?(?P<base>NET|EOM)\s+(?P<count>\d{1,3})(?P<months>M?)",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Part:
    """A share of the total, due `days` and `months` after the day of issue, or after the end of its month."""

    share: Fraction
    days: int = 0
    months: int = 0
    from_month_end: bool = False

    def due_on(self, issued_on: date) -> date:
        start = _month_end(issued_on) if self.from_month_end else issued_on
        moved = _months_later(start, self.months)
        if self.from_month_end:
            moved = _month_end(moved)
        return moved + timedelta(days=self.days)


Terms = tuple[Part, ...]


def parse(text: str, *, field: str = "paymentTerms") -> Terms:
    """The terms that a text says. Raises `BadUserInput` for one that says none, or whose shares are not the whole."""
    found = [PART.fullmatch(each.strip().upper()) for each in text.split(",")]
    if len(found) > MOST_PARTS:
        raise BadUserInput(f"Terms have at most {MOST_PARTS} parts.", field=field)
    parts = []
    for match in found:
        if match is None or (match["under"] is not None and int(match["under"]) == 0):
            raise BadUserInput('Terms are such as "NET 30", "EOM 10", or "30% NET 0, 70% NET 60".', field=field)
        count = int(match["count"])
        days, months = (0, count) if match["months"] else (count, 0)
        parts.append(Part(_share(match), days, months, match["base"] == "EOM"))
    if sum(part.share for part in parts) != 1 or any(part.share <= 0 for part in parts):
        raise BadUserInput("The parts must add up to 100 %, each of them more than nothing.", field=field)
    return tuple(parts)


def written(text: str, *, field: str = "paymentTerms") -> str:
    """The text as it is kept. Raises as `parse`."""
    parse(text, field=field)
    return ", ".join(" ".join(each.split()).upper() for each in text.split(","))


def due_dates(issued_on: date, total: Decimal, terms: Terms, currency: str) -> list[tuple[date, Decimal]]:
    """The days on which parts of the total are due, and how much, the earliest first; parts of nothing are left out."""
    shares = split(total, [part.share for part in terms], currency)
    sums: dict[date, Decimal] = {}
    for part, amount in zip(terms, shares, strict=True):
        if amount:
            day = part.due_on(issued_on)
            sums[day] = sums.get(day, amount * 0) + amount
    return sorted(sums.items())


def split(total: Decimal, shares: Sequence[Fraction], currency: str) -> list[Decimal]:
    """The total by shares that add up to 1, in whole units of the currency: what is left over goes to the largest remainders,
    of equal ones to the first."""
    unit = Decimal(1).scaleb(-scale(currency))
    units = int(total / unit)
    exact = [units * share for share in shares]
    whole = [int(each) for each in exact]
    by_remainder = sorted(range(len(shares)), key=lambda at: (whole[at] - exact[at], at))
    for at in by_remainder[: units - sum(whole)]:
        whole[at] += 1
    return [each * unit for each in whole]


def _share(match: re.Match[str]) -> Fraction:
    if match["percent"] is not None:
        return Fraction(match["percent"]) / 100
    return Fraction(int(match["over"]), int(match["under"])) if match["over"] is not None else Fraction(1)


def _month_end(day: date) -> date:
    return day.replace(day=calendar.monthrange(day.year, day.month)[1])


def _months_later(day: date, months: int) -> date:
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return date(year, month + 1, min(day.day, calendar.monthrange(year, month + 1)[1]))
