"""In whatever order facts arrive, and however often: the same state. Pure.

Enters: the facts of one payment or payout. Leaves: a `State`, to which each further fact is applied.
Always holds: of each subject (the payment, each capture, refund, dispute, fee) the fact that weighs most stands, by rank, then by the
provider's time. That is a maximum, so the order of arrival can't matter: a final state is never undone by an older or
equally old snapshot, and "created" after the end changes nothing. What changed nothing is counted in `late`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal

from crmgql.domain.money.providers.facts import Fact, Kind, Rank

Subject = tuple[str, str]
"""A family and the part's reference; of what was refunded in all, TOTAL and the currency."""

Sums = dict[str, Decimal]
"""Amounts by currency: a sum never mixes them."""

KINDS = list(Kind)
WHOLE = ""
TOTAL = "TOTAL"


@dataclass(frozen=True, slots=True)
class State:
    """What is known of one payment or payout. Two states are equal if the same is known, however it became known."""

    standing: Mapping[Subject, Fact] = field(default_factory=dict)
    """Of each subject the fact that counts."""
    references: frozenset[str] = frozenset()
    orders: frozenset[str] = frozenset()
    others: frozenset[str] = frozenset()
    """The event ids of what is NOTED or UNKNOWN."""
    late: int = field(default=0, compare=False)
    """Facts that came when something that weighs more stood already, repeated ones included."""

    @property
    def status(self) -> Kind | None:
        """Of the payment, or of the payout; None if only its parts are known."""
        payout, whole = self.standing.get(("PAYOUT", WHOLE)), self.standing.get(("PAYMENT", WHOLE))
        captures = self._of("PAYMENT", parts=True)
        if any(each.moves_money for each in captures):
            return Kind.PAYMENT_SUCCEEDED
        if captures and (whole is None or whole.moves_money or max(each.rank for each in captures) >= Rank.REVERSED):
            return Kind.PAYMENT_FAILED
        found = whole or payout
        return found.kind if found else None

    @property
    def received(self) -> Sums:
        """What came of the payment, before refunds and disputes: its captures, where they are told one by one."""
        captures = self._of("PAYMENT", parts=True)
        return _sum(captures or self._of("PAYMENT", parts=False), Kind.PAYMENT_SUCCEEDED)

    @property
    def refunded(self) -> Sums:
        """What went back: the refunds that succeeded, and what the provider's total has beyond all refunds it named."""
        refunds = self._of("REFUND", parts=True)
        done, named = _sum(refunds, Kind.REFUND_SUCCEEDED), _sum(refunds)
        for (family, currency), fact in self.standing.items():
            beyond = (fact.amount or Decimal(0)) - named.get(currency, Decimal(0))
            if family == TOTAL and beyond > 0:
                done[currency] = done.get(currency, Decimal(0)) + beyond
        return done

    @property
    def refunding(self) -> Sums:
        return _sum(self._of("REFUND", parts=True), Kind.REFUND_REQUESTED)

    @property
    def disputed(self) -> Sums:
        """Taken, and nothing is decided."""
        return _sum(self._of("DISPUTE", parts=True), Kind.DISPUTE_OPENED)

    @property
    def lost(self) -> Sums:
        return _sum(self._of("DISPUTE", parts=True), Kind.DISPUTE_LOST)

    @property
    def fees(self) -> Sums:
        return _sum(self._of("FEE", parts=True))

    def _of(self, family: str, *, parts: bool) -> list[Fact]:
        found = self.standing.items()
        return [fact for (own, part), fact in found if own == family and (part != WHOLE) == parts]


def _sum(facts: Iterable[Fact], kind: Kind | None = None) -> Sums:
    sums: Sums = {}
    for fact in facts:
        if fact.success and fact.amount is not None and fact.currency is not None and kind in (None, fact.kind):
            sums[fact.currency] = sums.get(fact.currency, Decimal(0)) + fact.amount
    return sums


def fold(facts: Iterable[Fact]) -> State:
    """The state after all these facts, the same for each of their permutations."""
    state = State()
    for fact in facts:
        state = apply(state, fact)
    return state


def apply(state: State, fact: Fact) -> State:
    """The state with one more fact."""
    known = frozenset(each for each in (fact.reference, fact.part, *fact.also) if each)
    state = replace(state, references=state.references | known)
    if fact.order:
        state = replace(state, orders=state.orders | {fact.order})
    if fact.kind in (Kind.NOTED, Kind.UNKNOWN):
        return replace(state, others=state.others | {fact.event_id})
    subject = subject_of(fact)
    before = state.standing.get(subject)
    if before is not None and not outweighs(fact, before):
        return replace(state, late=state.late + 1)
    return replace(state, standing={**state.standing, subject: fact})


def subject_of(fact: Fact) -> Subject:
    """What the fact is about, of which one fact counts."""
    if fact.cumulative:
        return TOTAL, fact.currency or WHOLE
    return fact.kind.family, fact.part or WHOLE


def outweighs(fact: Fact, other: Fact) -> bool:
    """Whether a fact counts instead of the other one about the same subject."""
    return _weight(fact) > _weight(other)


def _weight(fact: Fact) -> tuple[object, ...]:
    """Equal only for the same fact: the last ones merely make the order total. A total only grows."""
    first = fact.amount or Decimal(0) if fact.cumulative else fact.rank
    return (
        first,
        fact.occurred_at,
        KINDS.index(fact.kind),
        fact.amount or Decimal(0),
        fact.currency or "",
        fact.event_id,
    )


def by_payment(facts: Iterable[Fact]) -> list[list[Fact]]:
    """The facts in groups that share a reference, directly or by others: some name a charge, some its intent, some a dispute alone.

    Facts without any reference are groups of their own.
    """
    homes: dict[tuple[str, str], int] = {}
    groups: dict[int, tuple[set[tuple[str, str]], list[Fact]]] = {}
    for number, fact in enumerate(facts):
        names = {(fact.provider, each) for each in (fact.reference, fact.part, *fact.also) if each}
        found = [fact]
        for home in {homes[each] for each in names if each in homes}:
            others, before = groups.pop(home)
            names |= others
            found = before + found
        groups[number] = names, found
        homes.update(dict.fromkeys(names, number))
    return [found for _, found in groups.values()]
