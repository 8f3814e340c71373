"""What one stint has come to while it is calculated: attainment, ladders of its rules, and what its cap leaves.

Attainment and what is paid are in units of the version's currency, exactly; amounts in units of the order's.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from math import floor
from uuid import UUID

from crmgql.domain.compensation.dues import Key
from crmgql.domain.compensation.exact import Exact, exact
from crmgql.domain.compensation.periods import Days
from crmgql.domain.compensation.terms import Rule, Version, attains
from crmgql.domain.compensation.tiers import Ladder, Step
from crmgql.models import CompRole, CompTierMode, CompTierUnit

QuotaOf = Callable[[Version, Days, CompRole], Decimal | Exact | None]
"""The quota of these days in the version's currency, one's own (OWNER) or the team's (MANAGER); None where there is none."""


class Count:
    """`scale`: decimals of the version's currency. `totals`: what is attained in all of the stint, by which slabs pay from the first
    credit on."""

    def __init__(self, days: Days, quota_of: QuotaOf, scale: int) -> None:
        self.days = days
        self.scale = scale
        self._one: int = 10**scale
        self.attained: dict[CompRole, Exact] = defaultdict(int)
        self.totals: dict[CompRole, Exact] = defaultdict(int)
        self._quota_of = quota_of
        self._ladders: dict[UUID, Ladder | None] = {}
        self._paid: Exact = 0
        self._paid_for: dict[Key, tuple[int, Exact]] = {}

    def steps(self, version: Version, rule: Rule, before: Exact, after: Exact) -> list[Step] | None:
        """The tiers of a credit that brings attainment from one value to the other; None where the quota is missing."""
        if rule.id not in self._ladders:
            self._ladders[rule.id] = self._ladder(version, rule)
        ladder = self._ladders[rule.id]
        if ladder is None:
            return None
        if version.tier_mode == CompTierMode.SLAB:
            return ladder.at(self.totals[attains(rule.role)])
        return ladder.through(before, after)

    def _ladder(self, version: Version, rule: Rule) -> Ladder | None:
        if rule.tier_unit == CompTierUnit.AMOUNT:
            return Ladder(rule.tiers, self._one)
        quota = self._quota_of(version, self.days, attains(rule.role))
        return None if quota is None else Ladder(rule.tiers, Fraction(quota) * self._one)

    def pay(self, key: Key, amount: int, unit: Exact, cap: Decimal | None) -> int:
        """How much of an amount the cap leaves. `unit`: what a unit of the order's currency is in the version's."""
        if cap is None:
            return amount
        left = max(exact(cap) * self._one - self._paid, 0)
        paid = amount if amount * unit <= left else floor(Fraction(left) / unit)
        self._paid += paid * unit
        before, worth = self._paid_for.get(key, (0, 0))
        self._paid_for[key] = before + paid, worth + paid * unit
        return paid

    def take_back(self, key: Key, amount: int) -> None:
        """The cap leaves again what was paid in this stint and is taken back; what was paid before it never came under it."""
        paid, worth = self._paid_for.get(key, (0, 0))
        if paid:
            part = Fraction(min(amount, paid), paid) * worth
            self._paid_for[key] = paid - min(amount, paid), worth - part
            self._paid -= part
