"""Plans, credits and what is due, as tests tell of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import Any
from uuid import UUID

from crmgql.domain.compensation.attaining import Stints
from crmgql.domain.compensation.calculation import Calculated, calculate
from crmgql.domain.compensation.credited import Credit, Fact
from crmgql.domain.compensation.dues import Due, Key, Pool
from crmgql.domain.compensation.periods import FiscalStart
from crmgql.domain.compensation.terms import Assigned, Rule, Tier, Version
from crmgql.models import CompBasis, CompMeasure, CompPeriod, CompRole, CompRuleKind, CompTierMode

JANUARY = date(2026, 1, 1)
START = FiscalStart()
ONE, TWO, THREE = (UUID(int=n) for n in (1, 2, 3))


def id(n: int) -> UUID:
    return UUID(int=n)


def tiers(*edges: str) -> tuple[Tier, ...]:
    """From rates and the values between them: "0.05", "1000", "0.08"."""
    rates, values = edges[::2], ["0", *edges[1::2]]
    ends = [Decimal(value) for value in values[1:]] + [None]
    return tuple(Tier(Decimal(value), end, Decimal(rate)) for value, end, rate in zip(values, ends, rates, strict=True))


def rule(n: int = 1, *edges: str, **more: Any) -> Rule:
    """A percentage by tiers; 5 % of everything without any."""
    values = {"position": n, "name": f"Rule {n}", "group": f"group {n}", "tiers": tiers(*(edges or ("0.05",)))} | more
    return Rule(id=id(n), **values)


def fixed(n: int, amount: str, **more: Any) -> Rule:
    return rule(n, kind=CompRuleKind.FIXED, amount=Decimal(amount), **({"tiers": ()} | more))


def version(*rules: Rule, n: int = 1, plan: int = 1, **more: Any) -> Version:
    values: dict[str, Any] = {
        "starts_on": JANUARY,
        "ends_on": None,
        "currency": "USD",
        "measure": CompMeasure.INVOICED,
        "basis": CompBasis.NET,
        "attains_measure": CompMeasure.INVOICED,
        "attains_basis": CompBasis.NET,
        "period": CompPeriod.MONTH,
        "tier_mode": CompTierMode.MARGINAL,
        "cap_amount": None,
        "clawback_months": None,
    }
    return Version(id=id(n), plan_id=id(plan), rules=rules or (rule(),), **(values | more))


def fact(net: str, measure: CompMeasure = CompMeasure.INVOICED, *, line: int = 1, **more: Any) -> Fact:
    values: dict[str, Any] = {
        "product_id": None,
        "category": None,
        "segment": None,
        "is_new": False,
        "shipping": Decimal(0),
        "cost": Decimal(0),
    }
    return Fact(measure=measure, line_id=id(line), net=Decimal(net), **(values | more))


def credit(
    event: int,
    what: str | Sequence[Fact],
    on: date | int = 1,
    *,
    order: int = 1,
    role: CompRole = CompRole.OWNER,
    **more: Any,
) -> Credit:
    """Of an amount that is invoiced, or of facts; on a day of January 2026, or another. All of it if no share is named."""
    values: dict[str, Any] = {"currency": "USD", "rate": Decimal(1), "share_from": Decimal(0), "share_to": Decimal(1)}
    facts = (fact(what),) if isinstance(what, str) else tuple(what)
    day = on if isinstance(on, date) else JANUARY + timedelta(days=on - 1)
    return Credit(event_id=id(event), day=day, order_id=id(order), role=role, facts=facts, **(values | more))


def stints(*versions: Version) -> Stints:
    """That of a person who has one plan from January 2026 on, or each from when it starts to when it ends."""
    return Stints([Assigned(each.starts_on, each.ends_on, each) for each in versions], START)


def calculated(
    credits: Iterable[Credit],
    *versions: Version,
    quota: Any = None,
    pools: Mapping[Key, Pool] | None = None,
    since: date = date.min,
) -> Calculated:
    quota_of = quota if callable(quota) else lambda version, days, role: quota
    return calculate(credits, stints(*(versions or (version(),))), quota_of, pools or {}, since=since)


def dues(credits: Iterable[Credit], *versions: Version, **more: Any) -> list[Due]:
    found = calculated(credits, *versions, **more)
    assert not found.problems
    return found.dues


def amounts(credits: Iterable[Credit], *versions: Version, **more: Any) -> list[str]:
    return [str(due.amount) for due in dues(credits, *versions, **more)]


def total(found: Iterable[Due]) -> Decimal:
    return sum((each.amount for each in found), Decimal(0))


def pools(found: Iterable[Due], *versions: Version) -> dict[Key, Pool]:
    """What these dues leave, as they are summed when they are posted."""
    by_id = {each.id: each for each in versions}
    made: dict[Key, Pool] = {}
    for due in found:
        key = due.order_id, due.rule_id, due.role
        before = made.get(key, Pool(by_id[due.version_id], Decimal(0), Decimal(0), date.min))
        earned_on = max(before.earned_on, due.day) if due.amount > 0 else before.earned_on
        amount, whole = before.amount + due.amount, before.whole_amount + due.whole_amount
        made[key] = Pool(before.version, amount, whole, earned_on)
    return made


def thirds(credits: Iterable[Credit]) -> list[list[Credit]]:
    """The same for each of three people who share alike."""
    edges = [Fraction(n, 3) for n in range(4)]
    return [[replace(each, share_from=low, share_to=high) for each in credits] for low, high in pairwise(edges)]
