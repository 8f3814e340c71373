"""Which tiers a step of attainment goes through. Pure.

Below 0, where refunds may bring it, attainment is in the first tier.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from crmgql.domain.compensation.exact import Exact, exact
from crmgql.domain.compensation.terms import Tier


@dataclass(frozen=True, slots=True)
class Step:
    """What share of a step goes through a tier, and at which rate."""

    tier: Tier
    rate: Exact
    share: Exact


class Ladder:
    """Tiers of a rule with where each begins. `unit`: what a tier's 1 is in attainment, which is in units of the version's currency."""

    def __init__(self, tiers: Sequence[Tier], unit: Exact = 1) -> None:
        self._starts = [exact(Fraction(each.from_value) * unit) for each in tiers]
        self._whole = [Step(each, exact(each.rate), 1) for each in tiers]

    def at(self, attained: Exact) -> list[Step]:
        """All at the tier that is reached. One that begins at the value is reached by it."""
        return [self._whole[self._place(attained)]]

    def through(self, before: Exact, after: Exact) -> list[Step]:
        """The parts of a step; without one, or backwards, all at the tier where it ends."""
        if after <= before:
            return self.at(after)
        first = self._place(before)
        if first + 1 == len(self._starts) or after <= self._starts[first + 1]:
            return [self._whole[first]]
        edges = [before, *(start for start in self._starts[first + 1 :] if start < after), after]
        pairs = zip(self._whole[first:], edges, edges[1:], strict=False)
        return [
            Step(whole.tier, whole.rate, Fraction(end - start, after - before))
            for whole, start, end in pairs
            if end > start
        ]

    def _place(self, attained: Exact) -> int:
        return max(bisect_right(self._starts, attained) - 1, 0)
