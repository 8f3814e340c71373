"""Which rules of a version take a line, and what of it. Pure.

Rules of a group exclude each other: the first that takes a line pays for it. Groups add up, and so do roles.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import NamedTuple
from uuid import UUID

from crmgql.domain.compensation.exact import Exact
from crmgql.domain.compensation.terms import Rule, Version
from crmgql.models import CompBasis, CompCustomers, CompRole


class Sort(NamedTuple):
    """What rules look at in a line."""

    product_id: UUID | None
    category: str | None
    segment: str | None
    is_new: bool


class Line(NamedTuple):
    """Amounts in units of the order's currency."""

    sort: Sort
    net: int
    shipping: int
    cost: int


def based(basis: CompBasis, net: int, shipping: int, cost: int) -> int:
    """What counts on a basis."""
    if basis == CompBasis.NET:
        return net
    return net + shipping if basis == CompBasis.GROSS else net - cost


class Takers:
    """The rules of a version for a role, in their order. `are_limited`: whether one asks how large the order is."""

    def __init__(self, version: Version, role: CompRole) -> None:
        own = [rule for rule in version.rules if rule.role == role]
        self.rules = sorted(own, key=lambda rule: rule.position)
        self.are_limited = any(rule.least_deal_amount is not None for rule in own)
        self._kept: dict[Sort, tuple[Rule, ...]] = {}

    def may(self, sort: Sort) -> Sequence[Rule]:
        """Those that take such a line of an order that is large enough for them, so there may be several of a group."""
        if sort not in self._kept:
            self._kept[sort] = tuple(self._open(sort))
        return self._kept[sort]

    def take(self, sort: Sort, deal: Exact) -> Iterator[Rule]:
        """Those that take such a line of an order that comes to `deal`, in the version's currency: one of a group."""
        groups = set()
        for rule in self.may(sort):
            if rule.group not in groups and (
                rule.least_deal_amount is None or Fraction(rule.least_deal_amount) <= deal
            ):
                groups.add(rule.group)
                yield rule

    def _open(self, sort: Sort) -> Iterator[Rule]:
        """Of a group all up to the first that takes orders of any size."""
        closed = set()
        for rule in self.rules:
            if rule.group not in closed and _takes(rule, sort):
                if rule.least_deal_amount is None:
                    closed.add(rule.group)
                yield rule


def _takes(rule: Rule, sort: Sort) -> bool:
    customers = {CompCustomers.ANY: True, CompCustomers.NEW: sort.is_new, CompCustomers.REPEAT: not sort.is_new}
    return (
        customers[rule.customers]
        and (rule.product_ids is None or sort.product_id in rule.product_ids)
        and (rule.categories is None or sort.category in rule.categories)
        and (rule.segments is None or sort.segment in rule.segments)
    )
