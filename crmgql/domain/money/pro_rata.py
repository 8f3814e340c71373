"""What a part of a paid period costs, by its days. Pure.

Days are those of the customer's time zone: which day it is when something begins or ends is no matter of UTC. The day on which it
ends is still used.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal, localcontext
from zoneinfo import ZoneInfo

from crmgql.ledger.postings import EXACT
from crmgql.records import money
from crmgql.records.days import day_of


@dataclass(frozen=True, slots=True)
class Period:
    """The days from the first to the last, both included, and what they cost all together."""

    first: date
    last: date
    amount: Decimal
    currency: str

    def begun(self, at: datetime, zone: ZoneInfo) -> Decimal:
        """What it costs if it begins at a moment: that day and those after it."""
        return self._for((self.last - day_of(at, zone)).days + 1)

    def ended(self, at: datetime, zone: ZoneInfo) -> Decimal:
        """What is credited if it ends at a moment: the days after that day."""
        return self._for((self.last - day_of(at, zone)).days)

    def days_after(self, at: datetime, zone: ZoneInfo) -> int:
        """How many of its days come after the day of a moment."""
        return min(max((self.last - day_of(at, zone)).days, 0), self._whole)

    @property
    def _whole(self) -> int:
        return (self.last - self.first).days + 1

    def _for(self, days: int) -> Decimal:
        with localcontext(EXACT):
            return money.rounded(self.amount * min(max(days, 0), self._whole) / self._whole, self.currency)
