"""What was paid for orders and may be taken back, while credits are calculated: in units of the orders' currencies."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from uuid import UUID

from crmgql.domain.compensation.credited import Change, Lines
from crmgql.domain.compensation.dues import Pool
from crmgql.domain.compensation.exact import cut, share_of, units
from crmgql.domain.compensation.periods import after_months
from crmgql.domain.compensation.terms import Version
from crmgql.models import CompRuleKind


@dataclass(slots=True)
class Paid:
    """What a rule has paid for an order: `amount` to the person, `whole` for all shares.

    The day is the last one on which an event paid more than it took back, so changed shares do not begin the time limit anew.
    """

    version: Version
    is_fixed: bool
    amount: int = 0
    whole: int = 0
    earned_on: date = date.min
    event_id: UUID | None = None
    of_event: int = 0

    def book(self, event_id: UUID, day: date, amount: int, whole: int) -> None:
        """Adds what an event pays, or takes back below 0."""
        self.amount += amount
        self.whole += whole
        self.of_event = amount if event_id != self.event_id else self.of_event + amount
        self.event_id = event_id
        if self.of_event > 0:
            self.earned_on = day

    def taken_back(self, change: Change, lines: Lines) -> tuple[int, int]:
        """What a credit that lowers what is credited takes back: of the amount, and of the whole.

        What remains of the whole is rounded half up and what goes is cut by shares, so that persons' parts sum to it; the last part
        takes all.
        """
        if not change.after:
            return self.amount, self.whole
        whole = self.whole - share_of(self.whole, change.after, change.before)
        return min(cut(whole, lines.share_from, lines.share_to), self.amount), whole

    def is_kept(self, day: date) -> bool:
        """Whether the day is later than the version takes anything back."""
        months = self.version.clawback_months
        return months is not None and day > after_months(self.earned_on, months)


def paid_before(rule_id: UUID, pool: Pool, scale: int) -> Paid:
    """What a rule had paid before the window, in an order's currency with so many decimals."""
    is_fixed = any(rule.id == rule_id and rule.kind == CompRuleKind.FIXED for rule in pool.version.rules)
    return Paid(pool.version, is_fixed, units(pool.amount, scale), units(pool.whole_amount, scale), pool.earned_on)
