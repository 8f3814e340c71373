"""When what is sold becomes revenue: which parts of an order's lines are deferred, and until when. Pure."""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal, localcontext
from uuid import UUID

from crmgql.ledger.postings import EXACT
from crmgql.models import Recognition
from crmgql.records import money


@dataclass(frozen=True, slots=True)
class Line:
    """A line with its product's rule. `amount` is before the order's discount; `months` belongs to OVER_TIME."""

    id: UUID
    amount: Decimal
    cost: Decimal
    rule: Recognition
    months: int | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """What of a line becomes revenue on a day, or without one as the order is shipped: the `n`th part, from 1 on."""

    line_id: UUID
    n: int
    due_on: date | None
    amount: Decimal
    cost: Decimal


def shares(total: Decimal, weights: Sequence[Decimal], currency: str) -> list[Decimal]:
    """The total in parts by weight, in whole units of the currency, which sum to the total.

    Each has its part rounded down; what is left goes, a unit each, to those of which most was cut off, the first of equals
    first. Nothing is no part of anything: where all weights are 0, so are the parts.
    """
    whole = sum(weights, Decimal(0))
    unit = Decimal(1).scaleb(-money.scale(currency))
    if not whole:
        return [money.rounded(Decimal(0), currency) for _ in weights]
    with localcontext(EXACT):
        units = total / unit
        exact = [units * weight / whole for weight in weights]
        parts = [each // 1 for each in exact]
        left = int(units - sum(parts))
        by_rest = sorted(range(len(parts)), key=lambda place: (parts[place] - exact[place], place))
        for place in by_rest[:left]:
            parts[place] += 1
        return [money.rounded(each * unit, currency) for each in parts]


def last_day(start: date, months: int) -> date:
    """The last day of so many months that begin on a day: of one month from 31 January on, 27 February."""
    ordinal = start.month - 1 + months
    year, month = start.year + ordinal // 12, ordinal % 12 + 1
    return date(year, month, min(start.day, monthrange(year, month)[1])) - timedelta(days=1)


def deferred(lines: Sequence[Line], discount: Decimal, start: date, currency: str) -> list[Part]:
    """The parts of an order's lines that are not revenue at its confirmation on `start`.

    A line's net is its amount less its share of the order's discount, which takes no more than the lines have. A part of
    nothing, at no cost, is none.
    """
    amounts = [each.amount for each in lines]
    taken = shares(min(discount, sum(amounts, Decimal(0))), amounts, currency)
    found = [part for line, less in zip(lines, taken, strict=True) for part in _parts(line, less, start, currency)]
    return [part for part in found if part.amount or part.cost]


def _parts(line: Line, less: Decimal, start: date, currency: str) -> Iterator[Part]:
    net = line.amount - less
    if line.rule is Recognition.ON_SHIPMENT:
        yield Part(line.id, 1, None, net, line.cost)
    elif line.rule is Recognition.OVER_TIME and line.months:
        alike = [Decimal(1)] * line.months
        amounts, costs = shares(net, alike, currency), shares(line.cost, alike, currency)
        for n, (amount, cost) in enumerate(zip(amounts, costs, strict=True), start=1):
            yield Part(line.id, n, last_day(start, n), amount, cost)
