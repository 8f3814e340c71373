"""Whose money is it, and for what? Receipts and bank lines are matched with what is open. Pure.

Enters: receipts, open items, what is known of customers. Leaves: for each receipt the suggestions, the best first, each with
what it would allocate, how certain it is and why, in words for people. Always holds: no suggestion allocates more than the
receipt or than what is open; the order in which things come in makes no difference; what a receipt costs is bounded.

First a reference counts, then the amount together with the customer, then several items together, then the oldest due.
`CERTAIN` may be booked by itself: a reference names what is meant, and the amount settles it. The others are for a person.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from enum import StrEnum
from itertools import accumulate, combinations, islice
from uuid import UUID

from crmgql.domain.leads import lead_contacts
from crmgql.domain.money import references
from crmgql.domain.money.bank.lines import Line, account_number
from crmgql.domain.money.plans import NOTHING, OpenItem, Plan, allocate, in_order

MOST_SUGGESTIONS = 5
MOST_SHARING = 5
"""Customers who share a name, an account or an amount; of more, none is meant."""

MOST_ITEMS = 1000
"""Of a customer's items so many, the oldest due, are looked at when no reference says which."""

SUMMED, ADDENDS = 12, 4
"""Of so many oldest items of a customer up to so many are added up, to see if they make the amount: 781 sums."""


class Certainty(StrEnum):
    CERTAIN = "CERTAIN"
    LIKELY = "LIKELY"
    POSSIBLE = "POSSIBLE"
    NONE = "NONE"


class Basis(StrEnum):
    """What a suggestion rests on, the strongest first."""

    REFERENCE = "REFERENCE"
    AMOUNT = "AMOUNT"
    SUM = "SUM"
    OLDEST_DUE = "OLDEST_DUE"


CERTAINTIES, BASES = list(Certainty), list(Basis)


@dataclass(frozen=True, slots=True)
class Customer:
    """`accounts` are bank accounts that it paid from before."""

    id: UUID
    name: str = ""
    accounts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Receipt:
    """Money that came in. `customer_id`: whose it is, where that is known already."""

    key: str
    received_on: date
    amount: Decimal
    currency: str
    texts: tuple[str, ...] = ()
    end_to_end_id: str = ""
    name: str = ""
    account: str = ""
    customer_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Suggestion:
    certainty: Certainty
    basis: Basis
    plan: Plan
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Match:
    """`reasons` are those of the first suggestion, or say why there is none."""

    certainty: Certainty
    suggestions: tuple[Suggestion, ...]
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Payers:
    """Who may have paid, and how we know."""

    ids: tuple[UUID, ...] = ()
    why: str = ""
    recorded: bool = False


def of_line(line: Line) -> Receipt:
    """A bank line as a receipt."""
    texts, other = line.references, line.counterparty
    return Receipt(line.key, line.booked_on, line.amount, line.currency, texts, line.end_to_end_id, line.name, other)


def match_all(
    receipts: Iterable[Receipt], items: Iterable[OpenItem], customers: Iterable[Customer]
) -> dict[str, Match]:
    """A match for each receipt, by its key. What is certain takes its items first, then what is likely, the oldest receipt
    first: two equal payments are not both meant for one item. Up to an item's tolerance is written off, or stays over."""
    book = Book(items, customers)
    waiting = sorted(
        {receipt.key: receipt for receipt in receipts}.values(), key=lambda each: (each.received_on, each.key)
    )
    found: dict[str, Match] = {}
    for sure in ({Certainty.CERTAIN}, {Certainty.CERTAIN, Certainty.LIKELY}):
        for receipt in waiting:
            if receipt.key not in found or found[receipt.key].certainty is not Certainty.CERTAIN:
                found[receipt.key] = match = book.match(receipt)
                if match.certainty in sure:
                    book.take(match.suggestions[0].plan)
    return found


class Book:
    """Open items and customers, ready to be looked up. A receipt costs what its text and its payers' items cost."""

    def __init__(self, items: Iterable[OpenItem], customers: Iterable[Customer]) -> None:
        self._items = {item.id: item for item in in_order(items) if item.open > 0}
        self._by_reference: dict[str, set[UUID]] = defaultdict(set)
        # The oldest due first: a dict is an ordered set.
        self._by_customer: dict[tuple[UUID, str], dict[UUID, None]] = defaultdict(dict)
        self._by_amount: dict[tuple[Decimal, str], set[UUID]] = defaultdict(set)
        self._by_account: dict[str, set[UUID]] = defaultdict(set)
        self._by_name: dict[str, set[UUID]] = defaultdict(set)
        for item in self._items.values():
            self._by_customer[item.customer_id, item.currency][item.id] = None
            self._by_amount[item.open, item.currency].add(item.id)
            for reference in filter(None, map(references.normal, item.references)):
                self._by_reference[reference].add(item.id)
        for customer in customers:
            self._by_name[lead_contacts.company(customer.name) or ""].add(customer.id)
            for account in customer.accounts:
                self._by_account[account_number(account)].add(customer.id)

    def take(self, plan: Plan) -> None:
        """Takes what the plan allocates from what is open, and what is then written off."""
        for allocation in plan.allocations:
            item = self._items.pop(allocation.item_id)
            self._by_amount[item.open, item.currency].discard(item.id)
            if item.open - allocation.amount <= item.tolerance:
                del self._by_customer[item.customer_id, item.currency][item.id]
            else:
                self._items[item.id] = rest = replace(item, open=item.open - allocation.amount)
                self._by_amount[rest.open, rest.currency].add(rest.id)

    def match(self, receipt: Receipt) -> Match:
        """The suggestions for one receipt, as if it were the only one."""
        if receipt.amount <= 0:
            return Match(Certainty.NONE, (), ("No money came in.",))
        payers = self._payers(receipt)
        found = self._named(receipt, payers)
        if not any(suggestion.certainty is Certainty.CERTAIN for suggestion in found):
            found = [*found, *self._of_payers(receipt, payers)] or self._of_nobody(receipt)
        if not found:
            why = "nothing is open of who paid" if payers.ids else "who paid is not known"
            return Match(Certainty.NONE, (), (f"No reference is known, and {why}.",))
        best = _best(found)
        return Match(best[0].certainty, best, best[0].reasons)

    def _open(self, ids: Iterable[UUID], currency: str) -> list[OpenItem]:
        """Those of the items that are open in this currency, the oldest due first."""
        known = (self._items.get(id) for id in ids)
        return in_order(item for item in known if item is not None and item.currency == currency)

    def _payers(self, receipt: Receipt) -> _Payers:
        """By what was recorded, else by account, else by name. Of an account of several the name may say which."""
        if receipt.customer_id is not None:
            return _Payers((receipt.customer_id,), "It was recorded for this customer.", recorded=True)
        name = lead_contacts.company(receipt.name) or ""
        named = self._by_name.get(name, set()) if name else set()
        owners = self._by_account.get(account_number(receipt.account), set()) if receipt.account else set()
        for ids, why in (
            (owners & named or owners, "It came from an account of this customer."),
            (named, "Who paid has this customer's name."),
        ):
            if 0 < len(ids) <= MOST_SHARING:
                return _Payers(tuple(sorted(ids, key=str)), why)
        return _Payers()

    def _named(self, receipt: Receipt, payers: _Payers) -> list[Suggestion]:
        """What the texts name: all of it together, and if that is of several customers, of each."""
        written = references.find(" ".join(receipt.texts), self._by_reference)
        sent = references.normal(receipt.end_to_end_id)
        names = [*([sent] if sent in self._by_reference else []), *written]
        clear = [name for name in names if name == sent or references.is_distinct(name)]
        items = self._open((id for name in clear or names for id in self._by_reference[name]), receipt.currency)
        if not items:
            return []
        by_customer: dict[UUID, list[OpenItem]] = defaultdict(list)
        for item in items:
            by_customer[item.customer_id].append(item)
        if len(by_customer) == 1:
            (customer_id,) = by_customer
            return [self._for_named(receipt, items, bool(clear), payers, customer_id)]
        plan, why = allocate(receipt.amount, items), f"It names items of {len(by_customer)} customers."
        tolerance = _tolerance(plan, items)
        whole = len(plan.allocations) == len(items) and plan.settles(tolerance)
        together = Suggestion(
            Certainty.LIKELY if whole else Certainty.POSSIBLE,
            Basis.REFERENCE,
            plan,
            (_names(items), why, _fits(receipt, plan, tolerance)),
        )
        each = [
            self._for_named(receipt, own, False, payers, id) for id, own in islice(by_customer.items(), MOST_SHARING)
        ]
        return [together, *(replace(one, certainty=Certainty.POSSIBLE) for one in each)]

    def _for_named(
        self, receipt: Receipt, items: list[OpenItem], distinct: bool, payers: _Payers, customer_id: UUID
    ) -> Suggestion:
        plan = allocate(receipt.amount, items)
        tolerance = _tolerance(plan, items)
        signs = [plan.settles(tolerance), distinct, customer_id in payers.ids]
        certainty = Certainty.CERTAIN if signs[0] and (signs[1] or signs[2]) else Certainty.LIKELY
        if not any(signs):
            certainty = Certainty.POSSIBLE
        reasons = [_names(items), _fits(receipt, plan, tolerance)]
        if customer_id in payers.ids:
            reasons.append(payers.why)
        elif payers.ids:
            reasons.append("Somebody else seems to have paid it.")
        return Suggestion(certainty, Basis.REFERENCE, plan, tuple(reasons))

    def _of_payers(self, receipt: Receipt, payers: _Payers) -> Iterator[Suggestion]:
        """What fits of each customer who may have paid. Of several customers none is likely."""
        for id in payers.ids:
            ids = self._by_customer.get((id, receipt.currency), {})
            items = [self._items[each] for each in islice(ids, MOST_ITEMS)]
            for suggestion in _fitting(receipt, items, len(ids), recorded=payers.recorded):
                certainty = suggestion.certainty if len(payers.ids) == 1 else Certainty.POSSIBLE
                yield replace(suggestion, certainty=certainty, reasons=(*suggestion.reasons, payers.why))

    def _of_nobody(self, receipt: Receipt) -> list[Suggestion]:
        """Items of anybody with just this amount, if there are few."""
        ids = self._by_amount.get((receipt.amount, receipt.currency), set())
        if len(ids) > MOST_SHARING:
            return []
        why = "Nobody else owes just this amount." if len(ids) == 1 else f"{len(ids)} items have just this amount."
        return [
            Suggestion(Certainty.POSSIBLE, Basis.AMOUNT, allocate(receipt.amount, [item]), (_is_of(item), why))
            for item in self._open(ids, receipt.currency)
        ]


def _fitting(receipt: Receipt, items: list[OpenItem], count: int, *, recorded: bool) -> Iterator[Suggestion]:
    """What of one customer's `count` items the amount may be for: one, several, or as far as it goes, the oldest due first."""
    if not items:
        return
    equal = [item for item in items if item.open == receipt.amount]
    if equal:
        others = f"{len(equal)} items have this amount; this one was due first." if len(equal) > 1 else ""
        reasons = tuple(filter(None, (_is_of(equal[0]), others)))
        certainty = Certainty.POSSIBLE if others else Certainty.LIKELY
        yield Suggestion(certainty, Basis.AMOUNT, allocate(receipt.amount, equal[:1]), reasons)
    near = [] if equal else [item for item in items if abs(item.open - receipt.amount) <= item.tolerance]
    if near:
        plan, others = allocate(receipt.amount, near[:1]), f"{len(near)} items are as near." if len(near) > 1 else ""
        reasons = tuple(filter(None, (_is_about(near[0]), _fits(receipt, plan, near[0].tolerance), others)))
        yield Suggestion(Certainty.POSSIBLE if others else Certainty.LIKELY, Basis.AMOUNT, plan, reasons)
    summed, certainty, why = _summed(receipt.amount, items, count)
    if summed:
        yield Suggestion(certainty, Basis.SUM, allocate(receipt.amount, summed), (_names(summed, "It is"), why))
    plan = allocate(receipt.amount, items)
    certainty = Certainty.LIKELY if recorded else Certainty.POSSIBLE
    fits = _fits(receipt, plan, _tolerance(plan, items))
    yield Suggestion(certainty, Basis.OLDEST_DUE, plan, ("What is due first is paid first.", fits))


def _summed(amount: Decimal, items: list[OpenItem], count: int) -> tuple[list[OpenItem], Certainty, str]:
    """Two or more items that make the amount: the oldest ones in a row, else some of the oldest, as few as will do."""
    for n, total in enumerate(accumulate(item.open for item in items), 1):
        if total == amount and n > 1:
            why = "That is all that is open." if n == count else "These are the oldest."
            return items[:n], Certainty.LIKELY, f"Together they make the amount. {why}"
    for n in range(2, ADDENDS + 1):
        for some in combinations(items[:SUMMED], n):
            if sum(item.open for item in some) == amount:
                return list(some), Certainty.POSSIBLE, "Together they make the amount, as others may."
    return [], Certainty.NONE, ""


def _best(found: Iterable[Suggestion]) -> tuple[Suggestion, ...]:
    """The best first, each plan once."""

    def rank(suggestion: Suggestion) -> tuple[int, int]:
        return CERTAINTIES.index(suggestion.certainty), BASES.index(suggestion.basis)

    by_plan: dict[Plan, Suggestion] = {}
    for suggestion in sorted(found, key=rank):
        by_plan.setdefault(suggestion.plan, suggestion)
    return tuple(islice(by_plan.values(), MOST_SUGGESTIONS))


def _names(items: list[OpenItem], verb: str = "The text names") -> str:
    shown = [item.label or str(item.id) for item in items[:3]]
    more = [f"{len(items) - 3} more"] if len(items) > 3 else []
    return f"{verb} {' and '.join([*shown, *more])}."


def _is_of(item: OpenItem) -> str:
    return f"The amount is what is open of {item.label or item.id}."


def _is_about(item: OpenItem) -> str:
    return f"The amount is about what is open of {item.label or item.id}."


def _tolerance(plan: Plan, items: Iterable[OpenItem]) -> Decimal:
    """That of the item that gets the last part: the only one of which something may stay open."""
    last = plan.allocations[-1].item_id if plan.allocations else None
    return next((item.tolerance for item in items if item.id == last), NOTHING)


def _fits(receipt: Receipt, plan: Plan, tolerance: Decimal) -> str:
    within = f"within the tolerance of {tolerance} {receipt.currency}"
    if plan.rest:
        more = f", {within}; the customer keeps them as credit" if plan.rest <= tolerance else ""
        return f"{plan.rest} {receipt.currency} are left over{more}."
    if plan.short:
        more = f" and are written off, {within}" if plan.short <= tolerance else ""
        return f"{plan.short} {receipt.currency} of it stay open{more}."
    return "The amount settles it."
