"""What each line may be, worked out of the candidates. Pure.

Always holds: a line that is certain is booked by itself; of any other a person decides. Nothing is certain while a payment that
somebody recorded may be the same money.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from crmgql.domain.money import matching
from crmgql.domain.money.banking import arrivals
from crmgql.domain.money.banking.arrivals import Arrival
from crmgql.domain.money.banking.candidates import Candidates
from crmgql.domain.money.matching import BASES, CERTAINTIES, Certainty, Match, Receipt, Suggestion
from crmgql.domain.money.plans import NOTHING, OpenItem, Plan
from crmgql.records.records import Row

MOST = matching.MOST_SUGGESTIONS


@dataclass(frozen=True, slots=True)
class Found:
    """One suggestion: for one customer a payment or refund that is there, or items that are open, in this order; or a payout."""

    suggestion: Suggestion
    customer_id: UUID | None
    labels: tuple[str, ...]
    order_id: UUID | None = None
    invoice_id: UUID | None = None
    payment_id: UUID | None = None
    refund_id: UUID | None = None
    payout_id: UUID | None = None

    @property
    def certainty(self) -> Certainty:
        return self.suggestion.certainty

    @property
    def is_there(self) -> bool:
        """Whether it is recorded already."""
        return (self.payment_id or self.refund_id or self.payout_id) is not None

    @property
    def item_ids(self) -> list[UUID]:
        """The open items, none for what is there."""
        return [] if self.is_there else [each.item_id for each in self.suggestion.plan.allocations]


@dataclass(frozen=True, slots=True)
class Finding:
    """A line with what it may be, the likeliest first."""

    line: Row
    found: Sequence[Found]

    @property
    def certain(self) -> Found | None:
        return self.found[0] if self.found and self.found[0].certainty is Certainty.CERTAIN else None


def find(given: Candidates) -> list[Finding]:
    """For each line, in their order. Reversals are an accountant's: what they take back is not to be guessed."""
    came = [line for line in given.lines if line["amount"] > 0 and not line["is_reversal"]]
    went = [line for line in given.lines if line["amount"] < 0 and not line["is_reversal"]]
    known = {item.id: item for each in (given.owed, given.recorded, given.refunds) for item in each}
    there = [
        _exact(_matched(came, given.recorded, given), known, is_refund=False),
        _exact(_matched(went, given.refunds, given), known, is_refund=True),
        _paid_out([*came, *went], given),
    ]
    by_line = {line["id"]: [one for each in there for one in each.get(line["id"], ())] for line in given.lines}
    left = [line for line in came if not _is_certain(by_line[line["id"]])]
    owed = _of_items(_matched(left, given.owed, given), known, given)
    found = []
    for line in given.lines:
        own = by_line[line["id"]]
        may_be_there = any(each.certainty is not Certainty.POSSIBLE for each in own)
        others = [_doubtful(each) if may_be_there else each for each in owed.get(line["id"], ())]
        found.append(Finding(line, sorted([*own, *others], key=_rank)[:MOST]))
    return found


def _paid_out(lines: Sequence[Row], given: Candidates) -> dict[UUID, list[Found]]:
    found = arrivals.match(lines, given.payouts)
    return {line["id"]: [_arrived(each, line) for each in found[line["id"]]] for line in lines}


def _matched(lines: Sequence[Row], items: Sequence[OpenItem], given: Candidates) -> dict[str, Match]:
    return matching.match_all([_receipt(line) for line in lines], items, given.customers)


def _receipt(line: Row) -> Receipt:
    return Receipt(
        str(line["id"]),
        line["booked_on"],
        abs(line["amount"]),
        line["currency"],
        tuple(line["texts"]),
        line["end_to_end_id"] or "",
        line["name"] or "",
        line["counterparty"] or "",
    )


def _exact(matches: dict[str, Match], there: dict[UUID, OpenItem], *, is_refund: bool) -> dict[UUID, list[Found]]:
    """Suggestions of one record with just the line's amount."""

    def made(suggestion: Suggestion) -> Found:
        id, found = suggestion.plan.allocations[0].item_id, _found(suggestion, there)
        return replace(found, refund_id=id) if is_refund else replace(found, payment_id=id)

    def fits(suggestion: Suggestion) -> bool:
        return len(suggestion.plan.allocations) == 1 and suggestion.plan.settles()

    return {UUID(key): [made(each) for each in match.suggestions if fits(each)] for key, match in matches.items()}


def _of_items(matches: dict[str, Match], there: dict[UUID, OpenItem], given: Candidates) -> dict[UUID, list[Found]]:
    """Suggestions of one customer; the order or the invoice is named where it is one."""

    def named() -> Iterator[tuple[UUID, list[Found]]]:
        for key, match in matches.items():
            yield UUID(key), [_named(each, there, given) for each in match.suggestions if _is_of_one(each, there)]

    return dict(named())


def _named(suggestion: Suggestion, there: dict[UUID, OpenItem], given: Candidates) -> Found:
    documents = [given.documents[each.item_id] for each in suggestion.plan.allocations]
    orders, invoices = ({each[n] for each in documents} for n in (0, 1))
    found = _found(suggestion, there)
    if len(invoices) == 1 and (invoice := invoices.pop()) is not None:
        return replace(found, invoice_id=invoice, order_id=documents[0][0])
    return replace(found, order_id=orders.pop()) if len(orders) == 1 else found


def _found(suggestion: Suggestion, there: dict[UUID, OpenItem]) -> Found:
    items = [there[each.item_id] for each in suggestion.plan.allocations]
    return Found(suggestion, items[0].customer_id, tuple(dict.fromkeys(item.label for item in items if item.label)))


def _arrived(arrival: Arrival, line: Row) -> Found:
    """A payout settles nothing: what would be left over or stay open is how far it differs from the line."""
    amount, net = abs(line["amount"]), abs(arrival.payout.net)
    plan = Plan((), max(amount - net, NOTHING), max(net - amount, NOTHING))
    suggestion = Suggestion(arrival.certainty, arrival.basis, plan, arrival.reasons)
    return Found(suggestion, None, (arrival.payout.reference,), payout_id=arrival.payout.id)


def _is_of_one(suggestion: Suggestion, there: dict[UUID, OpenItem]) -> bool:
    return len({there[each.item_id].customer_id for each in suggestion.plan.allocations}) == 1


def _is_certain(found: Iterable[Found]) -> bool:
    return any(each.certainty is Certainty.CERTAIN for each in found)


def _doubtful(found: Found) -> Found:
    """As likely at most, where the money may be recorded already."""
    if found.certainty is not Certainty.CERTAIN:
        return found
    reasons = (*found.suggestion.reasons, "What is recorded already may be the same money.")
    return replace(found, suggestion=replace(found.suggestion, certainty=Certainty.LIKELY, reasons=reasons))


def _rank(found: Found) -> tuple[int, int, bool]:
    return CERTAINTIES.index(found.certainty), BASES.index(found.suggestion.basis), not found.is_there
