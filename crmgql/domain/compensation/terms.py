"""What a plan says: its versions, their rules and the tiers of those. Pure.

Money is in the version's currency, rates are fractions of 1, days are the company's and both ends of them are included. Values of
the enumerations are what is stored.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum
from uuid import UUID

from crmgql.domain.compensation.periods import Period


class Measure(StrEnum):
    """When something counts: when the order is confirmed, when it is invoiced, when money is allocated to it."""

    BOOKED = "BOOKED"
    INVOICED = "INVOICED"
    COLLECTED = "COLLECTED"


class Basis(StrEnum):
    """What of it counts: net and shipping, net, net less cost."""

    GROSS = "GROSS"
    NET = "NET"
    MARGIN = "MARGIN"


class TierMode(StrEnum):
    """Each part of a deal at its own tier, or all of a period at the tier that the period's attainment reaches."""

    MARGINAL = "MARGINAL"
    SLAB = "SLAB"


class TierUnit(StrEnum):
    """Tiers are amounts in the version's currency, or shares of the quota: 1 is all of it."""

    AMOUNT = "AMOUNT"
    QUOTA = "QUOTA"


class Kind(StrEnum):
    PERCENT = "PERCENT"
    FIXED = "FIXED"


class Role(StrEnum):
    OWNER = "OWNER"
    OVERLAY = "OVERLAY"
    MANAGER = "MANAGER"

    @property
    def attains(self) -> Role:
        """Whose attainment a credit in this role counts for: OWNER, one's own, or MANAGER, the team's."""
        return Role.MANAGER if self is Role.MANAGER else Role.OWNER


class Customers(StrEnum):
    ANY = "ANY"
    NEW = "NEW"
    REPEAT = "REPEAT"


@dataclass(frozen=True, slots=True)
class Tier:
    """From a value of attainment, which is in it, to another, which is not. The last has no end. 3.75 % is 0.0375."""

    from_value: Decimal
    to_value: Decimal | None
    rate: Decimal


@dataclass(frozen=True, slots=True)
class Rule:
    """What is paid for credits in a role. A filter that is None takes everything; tiers go from 0 up without a gap.

    `amount` belongs to FIXED, tiers to PERCENT. `least_deal_amount`: of what the order comes to, on the version's basis.
    """

    id: UUID
    position: int
    name: str
    kind: Kind = Kind.PERCENT
    role: Role = Role.OWNER
    group: str = ""
    product_ids: frozenset[UUID] | None = None
    categories: frozenset[str] | None = None
    segments: frozenset[str] | None = None
    customers: Customers = Customers.ANY
    least_deal_amount: Decimal | None = None
    amount: Decimal | None = None
    tier_unit: TierUnit = TierUnit.AMOUNT
    tiers: tuple[Tier, ...] = ()


@dataclass(frozen=True, slots=True)
class Version:
    """A plan as it is on its days. The cap is of an attainment period; without `clawback_months` taking back has no limit."""

    id: UUID
    plan_id: UUID
    starts_on: date
    ends_on: date | None
    currency: str
    measure: Measure
    basis: Basis
    attains_measure: Measure
    attains_basis: Basis
    period: Period
    tier_mode: TierMode
    cap_amount: Decimal | None
    clawback_months: int | None
    rules: tuple[Rule, ...]


@dataclass(frozen=True, slots=True)
class Assigned:
    """The version that a person has from a day to a day, or for good."""

    first_on: date
    last_on: date | None
    version: Version
