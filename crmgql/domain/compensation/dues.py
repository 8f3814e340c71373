"""What is due to a person, and why; what was paid; what could not be calculated. Pure.

Amounts are in the order's currency, attainment in the version's, both with the decimals of their currency.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from enum import StrEnum
from uuid import UUID

from crmgql.domain.compensation.periods import Days
from crmgql.domain.compensation.terms import Tier, Version
from crmgql.models import CompRole

Key = tuple[UUID, UUID, CompRole]
"""Of a pool: order, rule and role."""


class Why(StrEnum):
    """What a part of an amount is: paid by a tier, or once an order, cut by the cap, taken back, or what stays paid as it is taken
    back too late; and less what was posted for the same before."""

    TIER = "TIER"
    FIXED = "FIXED"
    CAPPED = "CAPPED"
    TAKEN_BACK = "TAKEN_BACK"
    LIMIT_PASSED = "LIMIT_PASSED"
    POSTED_BEFORE = "POSTED_BEFORE"


@dataclass(frozen=True, slots=True)
class Part:
    """A part of what is due. `base`: what of the base it is about; `rate`: the tier's, or what share of what was paid is taken back.

    LIMIT_PASSED says in `kept` what would have been taken back; nothing is due of it.
    """

    why: Why
    base: Decimal
    rate: Decimal
    amount: Decimal
    tier: Tier | None = None
    kept: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class Due:
    """What a rule pays for an event, or below 0 takes back. The amount is the sum of its parts.

    `rate` is what amount and base come to, with 6 decimals. `whole_amount`: what it is for all shares together; a pool sums it.
    """

    event_id: UUID
    order_id: UUID
    version_id: UUID
    rule_id: UUID
    role: CompRole
    day: date
    currency: str
    share: Decimal
    base: Decimal
    rate: Decimal
    amount: Decimal
    whole_amount: Decimal
    attained_before: Decimal
    attained_after: Decimal
    parts: tuple[Part, ...]

    @property
    def key(self) -> tuple[UUID, UUID, UUID, CompRole]:
        return self.event_id, self.order_id, self.rule_id, self.role

    def followed_by(self, other: Due) -> Due:
        """Both as one: an event that changes shares takes back and pays."""
        base, amount = self.base + other.base, self.amount + other.amount
        return replace(
            self,
            share=other.share - self.share,
            base=base,
            rate=effective(amount, base),
            amount=amount,
            whole_amount=self.whole_amount + other.whole_amount,
            attained_after=other.attained_after,
            parts=self.parts + other.parts,
        )


@dataclass(frozen=True, slots=True)
class Pool:
    """What a rule of a version has paid a person for an order in a role and not taken back: the sums of amounts, and the last day on
    which an event paid."""

    version: Version
    amount: Decimal
    whole_amount: Decimal
    earned_on: date


class Trouble(StrEnum):
    QUOTA_MISSING = "QUOTA_MISSING"
    RATE_MISSING = "RATE_MISSING"


@dataclass(frozen=True, slots=True)
class Problem:
    """Why something could not be calculated: it pays nothing. Without a quota, of a rule in these days; without a rate, of an event."""

    code: Trouble
    version_id: UUID
    days: Days
    message: str
    rule_id: UUID | None = None
    event_id: UUID | None = None


def effective(amount: Decimal, base: Decimal) -> Decimal:
    """The rate that an amount of a base comes to, with 6 decimals; 0 of nothing."""
    return round(amount / base, 6) if base else Decimal(0)
