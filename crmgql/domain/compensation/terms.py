"""What a plan says: its versions, their rules and the tiers of those. Pure.

Money is in the version's currency, rates are fractions of 1, days are the company's and both ends of them are included.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from uuid import UUID

from crmgql.models import (
    CompBasis,
    CompCustomers,
    CompMeasure,
    CompPeriod,
    CompRole,
    CompRuleKind,
    CompTierMode,
    CompTierUnit,
)


def attains(role: CompRole) -> CompRole:
    """Whose attainment a credit in a role counts for: OWNER, one's own, or MANAGER, the team's."""
    return CompRole.MANAGER if role == CompRole.MANAGER else CompRole.OWNER


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
    kind: CompRuleKind = CompRuleKind.PERCENT
    role: CompRole = CompRole.OWNER
    group: str = ""
    product_ids: frozenset[UUID] | None = None
    categories: frozenset[str] | None = None
    segments: frozenset[str] | None = None
    customers: CompCustomers = CompCustomers.ANY
    least_deal_amount: Decimal | None = None
    amount: Decimal | None = None
    tier_unit: CompTierUnit = CompTierUnit.AMOUNT
    tiers: tuple[Tier, ...] = ()


@dataclass(frozen=True, slots=True)
class Version:
    """A plan as it is on its days. The cap is of an attainment period; without `clawback_months` taking back has no limit."""

    id: UUID
    plan_id: UUID
    starts_on: date
    ends_on: date | None
    currency: str
    measure: CompMeasure
    basis: CompBasis
    attains_measure: CompMeasure
    attains_basis: CompBasis
    period: CompPeriod
    tier_mode: CompTierMode
    cap_amount: Decimal | None
    clawback_months: int | None
    rules: tuple[Rule, ...]


@dataclass(frozen=True, slots=True)
class Assigned:
    """The version that a person has from a day to a day, or for good."""

    first_on: date
    last_on: date | None
    version: Version
