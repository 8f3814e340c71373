"""What one rule pays for one credit, or takes back, and the parts of it.

Enters: a credit in its turn, and what it changes for the rule. Leaves: what is due; pool and count are what they are afterwards.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from uuid import UUID

from crmgql.domain.compensation import exact
from crmgql.domain.compensation.counting import Count
from crmgql.domain.compensation.credited import Change, Credit, Lines
from crmgql.domain.compensation.dues import Due, Part, Why, effective
from crmgql.domain.compensation.exact import Exact
from crmgql.domain.compensation.pools import Paid
from crmgql.domain.compensation.terms import Rule, Version
from crmgql.domain.compensation.tiers import Step
from crmgql.models import CompRuleKind

NOTHING = Decimal(0)
ALL = Decimal(1)
RATE_DECIMALS = 6


@dataclass(frozen=True, slots=True)
class Plan:
    """What pays on the day of a credit. `unit`: what a unit of the order's currency is in units of the version's; `step`: of
    attainment, in the latter."""

    version: Version
    count: Count
    unit: Exact
    step: Exact


@dataclass(slots=True)
class Turn:
    """A credit in its turn, with its plan if there is one, and attainment before and after it: exactly, and as it is shown."""

    credit: Credit
    lines: Lines
    scale: int
    plan: Plan | None
    step: tuple[Exact, Exact] = (0, 0)
    attained: tuple[Decimal, Decimal] = (NOTHING, NOTHING)

    def attain(self, before: Exact, after: Exact, scale: int) -> None:
        """`scale`: decimals of the version's currency, in units of which these are."""
        self.step = before, after
        self.attained = exact.amount(exact.half_up(before), scale), exact.amount(exact.half_up(after), scale)

    def cut(self, whole: Exact) -> int:
        return exact.cut(whole, self.lines.share_from, self.lines.share_to)

    def amount(self, units: int) -> Decimal:
        return exact.amount(units, self.scale)

    def due(self, version: Version, rule_id: UUID, base: int, amount: int, whole: int, parts: Sequence[Part]) -> Due:
        base_amount, due_amount = self.amount(base), self.amount(amount)
        return Due(
            self.credit.event_id,
            self.credit.order_id,
            version.id,
            rule_id,
            self.credit.role,
            self.credit.day,
            self.credit.currency,
            _shown(self.lines.share),
            base_amount,
            effective(due_amount, base_amount),
            due_amount,
            self.amount(whole),
            *self.attained,
            tuple(parts),
        )


def earn(turn: Turn, plan: Plan, rule: Rule, change: Change, taken: int, steps: Sequence[Step], paid: Paid) -> Due:
    """What the rule pays for lines that come to `taken` before the share: of it what brings what is credited above 0.

    The whole amount is cut by the share; the cap leaves what it leaves. A FIXED rule has no steps.
    """
    base = taken * _part(change)
    rate = sum((each.share * each.rate for each in steps), 0) if len(steps) > 1 else steps[0].rate if steps else 0
    full = base * rate if rule.kind == CompRuleKind.PERCENT else _in_units(rule, plan)
    amount, whole, cut_base = turn.cut(full), exact.half_up(full), turn.cut(base)
    key = turn.credit.order_id, rule.id, turn.credit.role
    left = plan.count.pay(key, amount, plan.unit, plan.version.cap_amount)
    parts = list(_tiers(turn, steps, cut_base, amount, rate)) if steps else [_fixed(turn, cut_base, amount)]
    if left < amount:
        whole = exact.share_of(whole, left, amount)
        parts.append(Part(Why.CAPPED, NOTHING, NOTHING, turn.amount(left - amount)))
    paid.book(turn.credit.event_id, turn.credit.day, left, whole)
    return turn.due(plan.version, rule.id, cut_base, left, whole, parts)


def take_back(turn: Turn, rule_id: UUID, change: Change, paid: Paid) -> Due:
    """What is taken back of what the rule paid, as it was paid, for lines of which less is credited now."""
    base = turn.cut(-change.whole * _part(change))
    amount, whole = paid.taken_back(change, turn.lines)
    share = _shown(1 - Fraction(change.after) / change.before if change.after else 1)
    if paid.is_kept(turn.credit.day):
        part = Part(Why.LIMIT_PASSED, turn.amount(-base), share, NOTHING, kept=turn.amount(amount))
        return turn.due(paid.version, rule_id, -base, 0, 0, [part])
    part = Part(Why.TAKEN_BACK, turn.amount(-base), share, turn.amount(-amount))
    paid.book(turn.credit.event_id, turn.credit.day, -amount, -whole)
    if turn.plan is not None:
        turn.plan.count.take_back((turn.credit.order_id, rule_id, turn.credit.role), amount)
    return turn.due(paid.version, rule_id, -base, -amount, -whole, [part])


def _part(change: Change) -> Exact:
    """What part of a credit lies above 0 of what is credited for the rule."""
    above = change.after - change.before
    return 1 if above == change.moved else exact.exact(Fraction(above) / change.moved)


def _fixed(turn: Turn, base: int, amount: int) -> Part:
    return Part(Why.FIXED, turn.amount(base), NOTHING, turn.amount(amount))


def _in_units(rule: Rule, plan: Plan) -> Exact:
    """The amount of a FIXED rule in units of the order's currency."""
    one: int = 10**plan.count.scale
    return Fraction(rule.amount or 0) * one / plan.unit


def _shown(share: Exact) -> Decimal:
    return ALL if share == 1 else exact.decimal(share, RATE_DECIMALS)


def _tiers(turn: Turn, steps: Sequence[Step], base: int, amount: int, rate: Exact) -> Iterator[Part]:
    """The tiers' parts of base and amount, rounded so that they sum to both."""
    if len(steps) == 1:
        tier = steps[0].tier
        yield Part(Why.TIER, turn.amount(base), tier.rate, turn.amount(amount), tier)
        return
    reached: Exact = 0
    earned: Exact = 0
    base_before = amount_before = 0
    for step in steps:
        reached += step.share
        earned += step.share * step.rate
        base_after = exact.share_of(base, reached, 1)
        amount_after = exact.share_of(amount, earned, rate) if rate else 0
        base_part, amount_part = turn.amount(base_after - base_before), turn.amount(amount_after - amount_before)
        yield Part(Why.TIER, base_part, step.tier.rate, amount_part, step.tier)
        base_before, amount_before = base_after, amount_after
