"""How an amount goes over open items. Pure.

Always holds: no more is allocated than there is, nor to an item than is open of it; allocated + rest = amount.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum
from uuid import UUID

from crmgql.errors import CurrencyMismatch

NOTHING = Decimal(0)


class Rule(StrEnum):
    """In which order open items get their money."""

    OLDEST_DUE = "OLDEST_DUE"
    OLDEST_OPENED = "OLDEST_OPENED"


@dataclass(frozen=True, slots=True)
class OpenItem:
    """What a customer owes. `label` is what people call it, `references` whatever a payer may write: the numbers of order
    and invoice, the payment's reference, the end-to-end id of a collection. `tolerance`: what of it is written off by rule where it
    stays open."""

    id: UUID
    customer_id: UUID
    currency: str
    open: Decimal
    opened_on: date
    due_on: date | None = None
    label: str = ""
    references: tuple[str, ...] = ()
    tolerance: Decimal = NOTHING


@dataclass(frozen=True, slots=True)
class Allocation:
    item_id: UUID
    amount: Decimal


@dataclass(frozen=True, slots=True)
class Plan:
    """Allocations in their order. `rest` of the amount is not allocated, `short` is what stays open of items that get something."""

    allocations: tuple[Allocation, ...]
    rest: Decimal
    short: Decimal

    def settles(self, tolerance: Decimal = NOTHING) -> bool:
        """Whether nothing stays open and nothing is left over, but what may be written off."""
        return bool(self.allocations) and self.rest <= tolerance and self.short <= tolerance


def allocate(amount: Decimal, items: Iterable[OpenItem], rule: Rule = Rule.OLDEST_DUE) -> Plan:
    """How the amount goes over the items: each gets what is open, in the rule's order, until there is no more.

    An item without a due date is due when it was opened. Raises `CurrencyMismatch` for items of several currencies.
    """
    ordered = in_order(items, rule)
    if len({item.currency for item in ordered}) > 1:
        raise CurrencyMismatch("One amount is allocated to items of one currency.")
    left, short, found = max(amount, NOTHING), NOTHING, []
    for item in ordered:
        part = min(left, item.open)
        if part > 0:
            found.append(Allocation(item.id, part))
            left -= part
            short += item.open - part
    return Plan(tuple(found), left, short)


def in_order(items: Iterable[OpenItem], rule: Rule = Rule.OLDEST_DUE) -> list[OpenItem]:
    """Each item once, in the rule's order, which is total."""

    def key(item: OpenItem) -> tuple[date, date, str]:
        due = item.due_on or item.opened_on
        first = (due, item.opened_on) if rule is Rule.OLDEST_DUE else (item.opened_on, due)
        return *first, str(item.id)

    return sorted({item.id: item for item in items}.values(), key=key)
