"""Which payout of a provider a bank line is. Pure.

Enters: open lines, and payouts that no line has brought yet. Leaves: for each line the payouts that it may be, the likeliest first, with
reasons in words. Always holds: a payout is certain for one line at most. As for customers' money, `CERTAIN` needs a reference: it
names the payout, and the line has its amount. What names a payout with another amount is told of, and booked by nobody.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal
from uuid import UUID

from crmgql.domain.money import references
from crmgql.domain.money.matching import BASES, CERTAINTIES, MOST_SHARING, Basis, Certainty
from crmgql.records.records import Row

NEAR = timedelta(days=10)
"""So far from its day a payout of just the amount is looked for."""

SOON = timedelta(days=5)
"""So far from its day it mostly comes."""


@dataclass(frozen=True, slots=True)
class Payout:
    """`net` is less than 0 where the provider takes money. `due_on`: when it should arrive, or was paid."""

    id: UUID
    provider: str
    reference: str
    net: Decimal
    currency: str
    due_on: date


@dataclass(frozen=True, slots=True)
class Arrival:
    payout: Payout
    certainty: Certainty
    basis: Basis
    reasons: tuple[str, ...]


def match(lines: Sequence[Row], payouts: Iterable[Payout]) -> dict[UUID, list[Arrival]]:
    """What each line may have brought. Of two lines that name the same payout the earlier one is it."""
    by_reference: dict[str, list[Payout]] = defaultdict(list)
    by_amount: dict[tuple[Decimal, str], list[Payout]] = defaultdict(list)
    for payout in payouts:
        by_reference[references.normal(payout.reference)].append(payout)
        by_amount[payout.net, payout.currency].append(payout)
    by_reference.pop("", None)
    found: dict[UUID, list[Arrival]] = {}
    taken: set[UUID] = set()
    for line in sorted(lines, key=lambda each: (each["booked_on"], str(each["id"]))):
        named = [_once(each, taken) for each in _named(line, by_reference)]
        taken |= {each.payout.id for each in named if each.certainty is Certainty.CERTAIN}
        if not any(each.certainty is Certainty.CERTAIN for each in named):
            known = {each.payout.id for each in named}
            alike = [each for each in by_amount[line["amount"], line["currency"]] if each.id not in known]
            named += _alike(line, alike)
        found[line["id"]] = sorted(named, key=_rank)
    return {
        id: [each for each in arrivals if each.payout.id not in taken or each.certainty is Certainty.CERTAIN]
        for id, arrivals in found.items()
    }


def _once(arrival: Arrival, taken: set[UUID]) -> Arrival:
    if arrival.certainty is Certainty.CERTAIN and arrival.payout.id in taken:
        return replace(arrival, certainty=Certainty.LIKELY)
    return arrival


def _named(line: Row, by_reference: dict[str, list[Payout]]) -> Iterator[Arrival]:
    """Payouts whose reference the line names, in its currency."""
    sent = references.normal(line["end_to_end_id"] or "")
    written = references.find(" ".join(line["texts"]), by_reference)
    names = dict.fromkeys([*([sent] if sent in by_reference else []), *written])
    pairs = [(name, each) for name in names for each in by_reference[name] if each.currency == line["currency"]]
    for name, payout in pairs:
        is_clear = name == sent or references.is_distinct(name)
        if payout.net == line["amount"]:
            certainty = Certainty.CERTAIN if is_clear and len(pairs) == 1 else Certainty.LIKELY
            why = "The amount is its net."
        elif is_clear and (payout.net > 0) == (line["amount"] > 0):
            certainty, why = Certainty.LIKELY, _differs(line["amount"], payout)
        else:
            continue
        yield Arrival(payout, certainty, Basis.REFERENCE, (f"The text names payout {payout.reference}.", why))


def _differs(amount: Decimal, payout: Payout) -> str:
    difference = abs(amount) - abs(payout.net)
    more = "more" if difference > 0 else "less"
    return f"It is {abs(difference)} {payout.currency} {more} than its net of {payout.net} {payout.currency}."


def _alike(line: Row, payouts: Sequence[Payout]) -> Iterator[Arrival]:
    """Payouts of just the line's amount, about its day; likely where the line names the provider, and there is one."""
    near = [each for each in payouts if abs(line["booked_on"] - each.due_on) <= NEAR]
    if len(near) > MOST_SHARING:
        return
    said = references.normal(" ".join([line["name"] or "", *line["texts"]]))
    for payout in near:
        reasons = [f"The amount is the net of payout {payout.reference}.", f"It was expected on {payout.due_on}."]
        says = references.normal(payout.provider) in said
        if says:
            reasons.append(f"The line names {payout.provider}.")
        if len(near) > 1:
            reasons.append(f"{len(near)} payouts have this amount.")
        is_likely = says and len(near) == 1 and abs(line["booked_on"] - payout.due_on) <= SOON
        certainty = Certainty.LIKELY if is_likely else Certainty.POSSIBLE
        yield Arrival(payout, certainty, Basis.AMOUNT, tuple(reasons))


def _rank(arrival: Arrival) -> tuple[int, int, str]:
    return CERTAINTIES.index(arrival.certainty), BASES.index(arrival.basis), str(arrival.payout.id)
