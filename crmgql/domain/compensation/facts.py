"""What of an order's lines is booked, invoiced and collected, and what each document changed of that. Pure.

Enters: an order's documents, in the order in which they count. Leaves: per document the difference of two states. Always holds: a
state depends on which documents there are and not on their order, so what is taken back whole leaves nothing, in any line.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, localcontext
from uuid import UUID

from crmgql.ledger.postings import EXACT, share
from crmgql.models import CompMeasure
from crmgql.records import money

NOTHING = Decimal(0)


@dataclass(frozen=True, slots=True)
class Amounts:
    """Of a line, without tax: net of discounts, shipping, cost."""

    net: Decimal = NOTHING
    shipping: Decimal = NOTHING
    cost: Decimal = NOTHING

    def __add__(self, other: Amounts) -> Amounts:
        return Amounts(self.net + other.net, self.shipping + other.shipping, self.cost + other.cost)

    def __sub__(self, other: Amounts) -> Amounts:
        return Amounts(self.net - other.net, self.shipping - other.shipping, self.cost - other.cost)

    def __bool__(self) -> bool:
        return bool(self.net or self.shipping or self.cost)

    @property
    def gross(self) -> Decimal:
        return self.net + self.shipping


@dataclass(frozen=True, slots=True)
class Revision:
    """An order as it is booked: its lines, and what it comes to with tax. A cancelled one has no lines."""

    number: int
    lines: Mapping[UUID, Amounts]
    total: Decimal


@dataclass(frozen=True, slots=True)
class Invoiced:
    """What an invoice has of the order's lines, without tax. Under None lies what it has of the order as a whole."""

    lines: Mapping[UUID | None, Amounts]


@dataclass(frozen=True, slots=True)
class Credited:
    """What a credit note takes back: of lines, net and shipping in one; under None of all lines; `total` is with tax."""

    lines: Mapping[UUID | None, Decimal]
    total: Decimal


@dataclass(frozen=True, slots=True)
class Allocated:
    """What a payment or a credit settles of the order; below zero, where that is undone."""

    amount: Decimal


@dataclass(frozen=True, slots=True)
class Resplit:
    """Other people are credited from now on. It changes nothing of the order."""


Document = Revision | Invoiced | Credited | Allocated | Resplit
State = Mapping[tuple[CompMeasure, UUID], Amounts]
"""Without what is nothing."""


@dataclass(slots=True)
class Deal:
    """An order after some of its documents."""

    currency: str
    revision: Revision = Revision(0, {}, NOTHING)
    invoices: list[Invoiced] = field(default_factory=list)
    notes: list[Credited] = field(default_factory=list)
    allocated: Decimal = NOTHING

    def add(self, document: Document) -> None:
        if isinstance(document, Revision):
            if document.number > self.revision.number:
                self.revision = document
        elif isinstance(document, Invoiced):
            self.invoices.append(document)
        elif isinstance(document, Credited):
            self.notes.append(document)
        elif isinstance(document, Allocated):
            self.allocated += document.amount

    def state(self) -> State:
        booked = dict(self.revision.lines)
        invoiced = self._invoiced()
        credited = self._credited(invoiced)
        left = self._less(booked, credited)
        by_measure = {
            CompMeasure.BOOKED: left,
            CompMeasure.INVOICED: self._less(invoiced, credited),
            CompMeasure.COLLECTED: self._collected(left),
        }
        return {(measure, id): each for measure, lines in by_measure.items() for id, each in lines.items() if each}

    def _invoiced(self) -> dict[UUID, Amounts]:
        """By line; an invoice of an amount is spread over the order's lines. The cost is that of the invoiced part."""
        lines: dict[UUID, Amounts] = {}
        for invoice in self.invoices:
            for id, amounts in invoice.lines.items():
                for line, part in [(id, amounts)] if id is not None else self._over_lines(amounts):
                    lines[line] = lines.get(line, Amounts()) + part
        booked = self.revision.lines
        return {id: self._costed(each, booked.get(id, Amounts())) for id, each in lines.items()}

    def _over_lines(self, amounts: Amounts) -> Iterator[tuple[UUID, Amounts]]:
        booked = self.revision.lines
        net = _spread(amounts.net, {id: each.net for id, each in booked.items()}, self.currency)
        shipping = _spread(amounts.shipping, {id: each.shipping for id, each in booked.items()}, self.currency)
        for id in booked:
            yield id, Amounts(net[id], shipping[id])

    def _costed(self, invoiced: Amounts, booked: Amounts) -> Amounts:
        whole = booked.gross
        part = min(invoiced.gross, whole)
        cost = share(part, whole, booked.cost, self.currency) if part > 0 else NOTHING
        return Amounts(invoiced.net, invoiced.shipping, cost)

    def _credited(self, invoiced: Mapping[UUID, Amounts]) -> dict[UUID, Decimal]:
        """By line: what notes name, then what they take of the whole, over what is left of what is invoiced."""
        named: dict[UUID, Decimal] = {}
        of_all = NOTHING
        for note in self.notes:
            for id, amount in note.lines.items():
                if id is None:
                    of_all += amount
                else:
                    named[id] = named.get(id, NOTHING) + amount
        if of_all:
            left = {id: max(each.gross - named.get(id, NOTHING), NOTHING) for id, each in invoiced.items()}
            for id, amount in _spread(of_all, left, self.currency).items():
                named[id] = named.get(id, NOTHING) + amount
        return named

    def _less(self, lines: Mapping[UUID, Amounts], credited: Mapping[UUID, Decimal]) -> dict[UUID, Amounts]:
        """What is left of lines: of net, shipping and cost alike."""
        left = {}
        for id, each in lines.items():
            whole, gone = each.gross, min(credited.get(id, NOTHING), each.gross)
            parts = [
                share(gone, whole, part, self.currency) if gone > 0 else NOTHING for part in (each.shipping, each.cost)
            ]
            left[id] = each - Amounts(gone - parts[0] if gone > 0 else NOTHING, *parts)
        return left

    def _collected(self, left: Mapping[UUID, Amounts]) -> dict[UUID, Amounts]:
        """The part of what is left that is paid, rounded cumulatively over the lines."""
        total = self.revision.total - sum((note.total for note in self.notes), NOTHING)
        paid = min(self.allocated, total)
        if paid <= 0:
            return {}
        if paid == total:
            return dict(left)
        nets, shippings, costs = (
            _parts(paid, total, {id: getattr(each, name) for id, each in left.items()}, self.currency)
            for name in ("net", "shipping", "cost")
        )
        return {id: Amounts(nets[id], shippings[id], costs[id]) for id in left}


def state(currency: str, documents: Iterable[Document]) -> State:
    deal = Deal(currency)
    for document in documents:
        deal.add(document)
    return deal.state()


def changes(currency: str, known: Sequence[Document], fresh: Sequence[Document]) -> Iterator[tuple[State, State]]:
    """Of each fresh document what it changed, and the state after it. What nothing was changed of is left out."""
    deal = Deal(currency)
    for document in known:
        deal.add(document)
    before = deal.state()
    for document in fresh:
        deal.add(document)
        after = deal.state()
        yield difference(before, after), after
        before = after


def difference(before: State, after: State) -> State:
    keys = [*after, *(key for key in before if key not in after)]
    changed = {key: after.get(key, Amounts()) - before.get(key, Amounts()) for key in keys}
    return {key: each for key, each in changed.items() if each}


def booked(
    lines: Mapping[UUID, tuple[Decimal, Decimal, Decimal]], whole: Amounts, currency: str, *, otherwise: UUID
) -> dict[UUID, Amounts]:
    """What is booked of an order, over its lines by their own net, shipping and cost; it may have been booked without lines, or
    with a discount of the whole. `otherwise`: what stands for its line where it has none."""
    if not lines:
        return {otherwise: whole}
    nets, shippings, costs = (
        _spread(amount, {id: each[n] for id, each in lines.items()}, currency)
        for n, amount in enumerate((whole.net, whole.shipping, whole.cost))
    )
    return {id: Amounts(nets[id], shippings[id], costs[id]) for id in lines}


def _spread(amount: Decimal, weights: Mapping[UUID, Decimal], currency: str) -> dict[UUID, Decimal]:
    """An amount over lines by their weights; all of it to the first, where there is nothing to weigh by."""
    total = sum(weights.values(), NOTHING)
    if not total:
        return {id: amount if n == 0 else NOTHING for n, id in enumerate(weights)}
    return _parts(amount, total, weights, currency)


def _parts(part: Decimal, whole: Decimal, weights: Mapping[UUID, Decimal], currency: str) -> dict[UUID, Decimal]:
    """The share part/whole of each weight, rounded cumulatively, so that they sum to the share of their sum."""
    found, upto, given = {}, NOTHING, NOTHING
    for id, weight in weights.items():
        upto += weight
        with localcontext(EXACT):
            so_far = money.rounded(part * upto / whole, currency)
        found[id], given = so_far - given, so_far
    return found
