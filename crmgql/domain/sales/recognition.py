"""When what is sold becomes revenue: which parts of an order's lines are deferred, and until when. Pure."""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal, localcontext
from uuid import UUID

from crmgql.ledger.postings import EXACT, share
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


@dataclass(slots=True)
class Waiting:
    """What is deferred in a part, in both currencies, and what of it is credited."""

    line_id: UUID
    n: int
    due_on: date | None
    amount: Decimal
    base: Decimal
    credited: Decimal = Decimal(0)
    credited_base: Decimal = Decimal(0)

    def credit(self, most: Decimal, base_currency: str) -> Decimal:
        """Credits what is left, or `most` of it; how much that is."""
        left, left_base = self.amount - self.credited, self.base - self.credited_base
        taken = min(most, left)
        if taken:
            self.credited_base += share(taken, left, left_base, base_currency)
            self.credited += taken
        return taken

    @property
    def lateness(self) -> tuple[bool, date, UUID, int]:
        """What waits for a shipment comes after all that has a day."""
        return self.due_on is None, self.due_on or date.min, self.line_id, self.n


def credit(
    parts: Sequence[Waiting], by_line: Mapping[UUID | None, Decimal], base_currency: str, *, moves: bool = False
) -> Decimal:
    """Credits amounts by lines, or by no line of any: what is due last first. Answers how much there was to credit.

    `moves`: what a line has not, is credited of the others.
    """
    last_first = sorted(parts, key=lambda part: part.lateness, reverse=True)
    total = rest = Decimal(0)
    for line_id, amount in by_line.items():
        own = [part for part in last_first if line_id in (None, part.line_id)]
        taken = _credit(own, amount, base_currency)
        total, rest = total + taken, rest + amount - taken
    return total + (_credit(last_first, rest, base_currency) if moves else Decimal(0))


def _credit(parts: Sequence[Waiting], amount: Decimal, base_currency: str) -> Decimal:
    left = amount
    for part in parts:
        left -= part.credit(left, base_currency)
    return amount - left


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
