"""What is due to one person for credits. Pure.

Enters: credits, the versions that the person has, quotas, and what was paid for the orders before the window. Leaves: what is due, by
event, rule and role, and what could not be calculated. Always holds: the order in which credits are given does not matter; no more is
taken back of an order than was paid for it; when nothing of an order is credited any more, nothing is due for it in sum; what is due
in a window is the same as in a calculation from the beginning.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from typing import NamedTuple
from uuid import UUID

from crmgql.currencies import scale as usual_scale
from crmgql.domain.compensation import paying
from crmgql.domain.compensation.attaining import Stints
from crmgql.domain.compensation.counting import Count, QuotaOf
from crmgql.domain.compensation.credited import Change, Credit, Lines, Standing
from crmgql.domain.compensation.dues import Due, Key, Pool, Problem, Trouble
from crmgql.domain.compensation.exact import exact
from crmgql.domain.compensation.paying import Plan, Turn
from crmgql.domain.compensation.periods import Days
from crmgql.domain.compensation.pools import Paid, paid_before
from crmgql.domain.compensation.rules import Takers
from crmgql.domain.compensation.terms import Rule, Version, attains
from crmgql.models import CompRole, CompRuleKind


@dataclass(frozen=True, slots=True)
class Calculated:
    """What is due, in the order of events, and each problem once."""

    dues: list[Due]
    problems: list[Problem]


def calculate(
    credits: Iterable[Credit],
    stints: Stints,
    quota_of: QuotaOf,
    pools: Mapping[Key, Pool],
    *,
    since: date = date.min,
    scale_of: Callable[[str], int] = usual_scale,
) -> Calculated:
    """What is due from `since` on, which is where a stint begins (`Stints.begin`).

    Credits before it say what was credited of the orders in the window: of these all are needed. `pools` are what was paid for them
    before it.

    Raises `ValueError` for an amount with more decimals than its currency, and for a pool without the credits that it was paid for.
    """
    ordered = sorted(credits, key=_place)
    earlier = [credit for credit in ordered if credit.day < since]
    in_window = ordered[len(earlier) :]
    _check_known(earlier, in_window, pools, since)
    calculation = _Calculation(stints, quota_of, pools, scale_of)
    calculation.remember(earlier)
    return calculation.run(in_window)


def _check_known(earlier: Sequence[Credit], in_window: Sequence[Credit], pools: Iterable[Key], since: date) -> None:
    """Raises `ValueError` if orders in the window have a pool, but not the credits that it was paid for."""
    known = {(credit.order_id, credit.role) for credit in earlier}
    paid = {(order_id, role) for order_id, _, role in pools}
    missing = next((each for each in in_window if (each.order_id, each.role) in paid - known), None)
    if missing is not None:
        raise ValueError(f"The credits of order {missing.order_id} before {since} are missing.")


def _place(credit: Credit) -> tuple[object, ...]:
    """The total order: an event that changes shares takes back before it pays."""
    forwards = credit.share_from <= credit.share_to
    net = sum(fact.net for fact in credit.facts)
    return credit.day, credit.event_id, (net >= 0) == forwards, credit.role, credit.order_id, credit.share_from, net


class _Order(NamedTuple):
    """What of an order is credited in a role, and what each rule has paid for it."""

    standing: Standing
    paid: dict[UUID, Paid]


class _Calculation:
    def __init__(
        self, stints: Stints, quota_of: QuotaOf, pools: Mapping[Key, Pool], scale_of: Callable[[str], int]
    ) -> None:
        self._stints, self._quota_of, self._scale_of = stints, quota_of, scale_of
        self._pools: dict[tuple[UUID, CompRole], dict[UUID, Pool]] = defaultdict(dict)
        for (order_id, rule_id, role), pool in pools.items():
            self._pools[order_id, role][rule_id] = pool
        self._orders: dict[tuple[UUID, CompRole], _Order] = {}
        self._takers: dict[tuple[UUID, CompRole], Takers] = {}
        self._counts: dict[Days, Count] = {}
        self._dues: dict[tuple[UUID, UUID, UUID, CompRole], Due] = {}
        self._problems: dict[tuple[object, ...], Problem] = {}

    def remember(self, earlier: Iterable[Credit]) -> None:
        for credit in earlier:
            scale = self._scale_of(credit.currency)
            self._order(credit, scale).standing.add(Lines(credit, scale))

    def _order(self, credit: Credit, scale: int) -> _Order:
        key = credit.order_id, credit.role
        found = self._orders.get(key)
        if found is None:
            found = self._orders[key] = _Order(Standing(), {})
            for rule_id, pool in self._pools.pop(key, {}).items():
                found.paid[rule_id] = paid_before(rule_id, pool, scale)
                found.standing.ask(pool.version, self._takers_of(pool.version, credit.role))
        return found

    def run(self, credits: Iterable[Credit]) -> Calculated:
        turns = [self._turn(credit) for credit in credits]
        for turn in turns:
            self._pay(turn)
        return Calculated(list(self._dues.values()), list(self._problems.values()))

    def _turn(self, credit: Credit) -> Turn:
        """A credit with the plan of its day, to whose total it adds."""
        scale = self._scale_of(credit.currency)
        lines = Lines(credit, scale)
        stint = self._stints.of(credit.day)
        if stint is None:
            return Turn(credit, lines, scale, None)
        version = stint.version
        rate = 1 if credit.rate is None and credit.currency == version.currency else credit.rate
        if rate is None:
            self._miss_rate(credit, version)
            return Turn(credit, lines, scale, None)
        if stint.days not in self._counts:
            self._counts[stint.days] = Count(stint.days, self._quota_of, self._scale_of(version.currency))
        count = self._counts[stint.days]
        unit = exact(rate) if scale == count.scale else exact(Fraction(rate) * 10**count.scale / 10**scale)
        step = exact(lines.all(version.attains_measure, version.attains_basis) * lines.share * unit)
        count.totals[attains(credit.role)] += step
        return Turn(credit, lines, scale, Plan(version, count, unit, step))

    def _pay(self, turn: Turn) -> None:
        """Takes back first, so that a cap leaves again what was taken."""
        credit, plan = turn.credit, turn.plan
        order = self._order(credit, turn.scale)
        if plan is None:
            self._take_back(turn, order.standing.add(turn.lines), order.paid)
            return
        takers = self._takers_of(plan.version, credit.role)
        order.standing.ask(plan.version, takers)
        changes = order.standing.add(turn.lines)
        attained = plan.count.attained
        before = attained[attains(credit.role)]
        after = attained[attains(credit.role)] = exact(before + plan.step)
        turn.attain(before, after, plan.count.scale)
        self._take_back(turn, changes, order.paid)
        self._earn(turn, plan, takers, changes, order)

    def _take_back(self, turn: Turn, changes: Mapping[UUID, Change], paid: Mapping[UUID, Paid]) -> None:
        for rule_id, change in changes.items():
            if change.after < change.before and rule_id in paid and (paid[rule_id].amount or paid[rule_id].whole):
                self._owe(paying.take_back(turn, rule_id, change, paid[rule_id]))

    def _earn(self, turn: Turn, plan: Plan, takers: Takers, changes: Mapping[UUID, Change], order: _Order) -> None:
        """Pays by the rules in their order, which is that in which a cap leaves something."""
        deal = order.standing.deal(plan.version.basis) * plan.unit if takers.are_limited else None
        taken = None if deal is None else turn.lines.take(plan.version, takers, Fraction(deal) / 10**plan.count.scale)
        for rule in takers.rules:
            change = changes.get(rule.id)
            if change is None or change.after <= change.before:
                continue
            whole = change.whole if taken is None else taken.get(rule.id, 0)
            if whole <= 0:
                continue
            is_fixed = rule.kind == CompRuleKind.FIXED
            if is_fixed and not _is_first(rule, plan.version, change, order.paid):
                continue
            steps = [] if is_fixed else plan.count.steps(plan.version, rule, *turn.step)
            if steps is None:
                self._miss_quota(plan, rule)
                continue
            pool = order.paid.setdefault(rule.id, Paid(plan.version, is_fixed))
            self._owe(paying.earn(turn, plan, rule, change, whole, steps, pool))

    def _owe(self, due: Due) -> None:
        key = due.key
        before = self._dues.get(key)
        self._dues[key] = due if before is None else before.followed_by(due)

    def _takers_of(self, version: Version, role: CompRole) -> Takers:
        key = version.id, role
        if key not in self._takers:
            self._takers[key] = Takers(version, role)
        return self._takers[key]

    def _miss_rate(self, credit: Credit, version: Version) -> None:
        message = (
            f"On {credit.day} there is no rate from {credit.currency} to {version.currency}, the currency of the plan; "
            "record one of this day or before."
        )
        days = Days(credit.day, credit.day)
        self._problems[credit.event_id, version.id] = Problem(
            Trouble.RATE_MISSING, version.id, days, message, event_id=credit.event_id
        )

    def _miss_quota(self, plan: Plan, rule: Rule) -> None:
        days = plan.count.days
        whose = "The team has" if rule.role == CompRole.MANAGER else "There is"
        message = f'{whose} no quota from {days.first_on} to {days.last_on}, and the tiers of "{rule.name}" are shares of it; set one.'
        self._problems[days, rule.id] = Problem(Trouble.QUOTA_MISSING, plan.version.id, days, message, rule.id)


def _is_first(rule: Rule, version: Version, change: Change, paid: Mapping[UUID, Paid]) -> bool:
    """Whether a FIXED rule pays now: nothing of the order was credited before, or the order has only now become large enough."""
    if not change.before:
        return True
    has_paid = any(
        each.whole and (rule_id == rule.id or (each.is_fixed and each.version.id != version.id))
        for rule_id, each in paid.items()
    )
    return rule.least_deal_amount is not None and not has_paid
