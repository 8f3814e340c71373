"""What is credited to a person: credits, and what those of an order come to for a rule. Pure.

What of an order is credited has no path: it is the sum of its credits, so a full refund brings it to 0, whatever came before. A rule
pays for what brings that sum above 0, and takes back for what brings it down again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from uuid import UUID

from crmgql.domain.compensation.exact import Exact, exact, units
from crmgql.domain.compensation.rules import Line, Sort, Takers, based
from crmgql.domain.compensation.terms import Version
from crmgql.models import CompBasis, CompMeasure, CompRole


@dataclass(frozen=True, slots=True)
class Fact:
    """What an event changed of a line in a measure, in the order's currency, and what the line was when it was first credited."""

    measure: CompMeasure
    line_id: UUID
    product_id: UUID | None
    category: str | None
    segment: str | None
    is_new: bool
    net: Decimal
    shipping: Decimal
    cost: Decimal


@dataclass(frozen=True, slots=True)
class Credit:
    """A person's share of an event of an order: of its facts, from one share to another.

    `rate`: what one unit of the order's currency is in that of the version of the day, None where that is not known. Shares that go
    backwards, from 0.6 to 0, take back.
    """

    event_id: UUID
    day: date
    order_id: UUID
    currency: str
    rate: Decimal | None
    role: CompRole
    share_from: Decimal | Exact
    share_to: Decimal | Exact
    facts: tuple[Fact, ...]


class Lines:
    """A credit's facts in units of its currency, by measure; what is taken back is below 0, shares go forwards."""

    def __init__(self, credit: Credit, scale: int) -> None:
        self.share_from, self.share_to = sorted((exact(credit.share_from), exact(credit.share_to)))
        self.share = exact(self.share_to - self.share_from)
        sign = -1 if credit.share_from > credit.share_to else 1
        self.by_measure: dict[CompMeasure, list[Line]] = defaultdict(list)
        for fact in credit.facts:
            sort = Sort(fact.product_id, fact.category, fact.segment, fact.is_new)
            net, shipping, cost = (sign * units(each, scale) for each in (fact.net, fact.shipping, fact.cost))
            self.by_measure[fact.measure].append(Line(sort, net, shipping, cost))

    def all(self, measure: CompMeasure, basis: CompBasis) -> int:
        """What all lines come to, before the share."""
        lines = self.by_measure.get(measure, ())
        return sum(based(basis, line.net, line.shipping, line.cost) for line in lines)

    def may_take(self, version: Version, takers: Takers) -> Mapping[UUID, int]:
        """What each rule takes if the order is large enough, before the share."""
        found: dict[UUID, int] = defaultdict(int)
        for line in self.by_measure.get(version.measure, ()):
            for rule in takers.may(line.sort):
                found[rule.id] += based(version.basis, line.net, line.shipping, line.cost)
        return found

    def take(self, version: Version, takers: Takers, deal: Exact) -> Mapping[UUID, int]:
        """What each rule takes of an order that comes to `deal` in the version's currency, before the share."""
        found: dict[UUID, int] = defaultdict(int)
        for line in self.by_measure.get(version.measure, ()):
            for rule in takers.take(line.sort, deal):
                found[rule.id] += based(version.basis, line.net, line.shipping, line.cost)
        return found


@dataclass(frozen=True, slots=True)
class Change:
    """What is credited for a rule before and after a credit, by how much that changed it, and its lines before the share.

    What is below 0 counts as 0 in `before` and `after`.
    """

    before: Exact
    after: Exact
    moved: Exact
    whole: int


class Standing:
    """What of an order is credited to a person in a role so far, in units of the order's currency."""

    def __init__(self) -> None:
        self._credits: list[Lines] = []
        self._asked: dict[UUID, tuple[Version, Takers]] = {}
        self._sums: dict[UUID, Exact] = {}
        self._totals: dict[CompMeasure, list[int]] = {each: [0, 0, 0] for each in CompMeasure}

    def add(self, lines: Lines) -> dict[UUID, Change]:
        """Adds a credit; what it changes for each rule of the versions that were asked for."""
        changes = {}
        for version, takers in self._asked.values():
            for rule_id, whole in lines.may_take(version, takers).items():
                moved = whole * lines.share
                before = self._sums.get(rule_id, 0)
                after = self._sums[rule_id] = before + moved
                changes[rule_id] = Change(max(before, 0), max(after, 0), moved, whole)
        self._credits.append(lines)
        for measure, found in lines.by_measure.items():
            total = self._totals[measure]
            for line in found:
                total[0] += line.net
                total[1] += line.shipping
                total[2] += line.cost
        return changes

    def ask(self, version: Version, takers: Takers) -> None:
        """From now on changes say what the rules of this version take, too."""
        if version.id not in self._asked:
            self._asked[version.id] = version, takers
            for lines in self._credits:
                for rule_id, whole in lines.may_take(version, takers).items():
                    self._sums[rule_id] = self._sums.get(rule_id, 0) + whole * lines.share

    def deal(self, basis: CompBasis) -> int:
        """What the whole order comes to: the most of what is booked, invoiced and collected of it."""
        return max(based(basis, *total) for total in self._totals.values())
