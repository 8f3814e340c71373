"""Plans and histories of orders by chance, for tests that compare."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

from hypothesis import strategies as st

from crmgql.domain.compensation.credited import Credit, Fact
from crmgql.domain.compensation.terms import Rule, Tier, Version
from crmgql.models import CompBasis, CompCustomers, CompMeasure, CompPeriod, CompRole, CompTierMode, CompTierUnit
from tests.domain.compensation import told

DAYS = 120
CURRENCIES = {"USD": 2, "JPY": 0, "KWD": 3}
SHARES = [(0, 1), (0, Fraction(1, 3)), (Fraction(1, 3), Fraction(2, 3)), (Fraction(2, 3), 1)]
SHARES += [(Decimal(0), Decimal("0.6")), (Decimal("0.6"), Decimal(1)), (Decimal("0.123456"), Decimal("0.5"))]
SHARES_AFTER = st.sampled_from([(0, Fraction(1, 2)), (Fraction(1, 2), 1)])
RATES = st.sampled_from(["0.01", "0.0375", "0.05", "0.333333", "1", "0"]).map(Decimal)
# Mostly what lets much happen: the same person and measure, few days, new periods within reach.
ROLES = st.sampled_from([CompRole.OWNER] * 6 + [CompRole.OVERLAY, CompRole.MANAGER])
MEASURES = st.sampled_from([CompMeasure.INVOICED] * 3 + [CompMeasure.COLLECTED])
PERIODS = st.sampled_from([CompPeriod.MONTH, CompPeriod.QUARTER, CompPeriod.YEAR])
AFTER = st.sampled_from([0, 1, 5, 14, 15, 30, 31, 45, 58, 59, 89, 90, 100])


@st.composite
def ladders(draw: Any, unit: CompTierUnit) -> tuple[Tier, ...]:
    values = [50, 100, 400, 1000, 5000] if unit is CompTierUnit.AMOUNT else ["0.25", "0.5", "0.999", "1", "1.2"]
    inner = sorted(draw(st.sets(st.sampled_from(values), max_size=3)), key=Decimal)
    edges = [Decimal(0), *(Decimal(each) for each in inner)]
    ends = [*edges[1:], None]
    return tuple(Tier(start, end, draw(RATES)) for start, end in zip(edges, ends, strict=True))


@st.composite
def rules(draw: Any, n: int) -> Rule:
    unit = draw(st.sampled_from([CompTierUnit.AMOUNT, CompTierUnit.QUOTA]))
    more: dict[str, Any] = {
        "group": draw(st.sampled_from(["a", "b"])),
        "role": draw(ROLES),
        "customers": draw(st.sampled_from([CompCustomers.ANY] * 4 + [CompCustomers.NEW, CompCustomers.REPEAT])),
        "categories": draw(st.sampled_from([None] * 4 + [frozenset(["x"]), frozenset(["x", "y"])])),
    }
    if draw(st.integers(0, 4)) == 0:
        return told.fixed(n, draw(st.sampled_from(["10", "33.33", "0.01"])), **more)
    more["least_deal_amount"] = draw(st.sampled_from([None, None, Decimal(100), Decimal(1000)]))
    return replace(told.rule(n), tier_unit=unit, tiers=draw(ladders(unit)), **more)


@st.composite
def version(draw: Any, n: int, plan: int, starts_on: date, ends_on: date | None) -> Version:
    return told.version(
        *(draw(rules(10 * n + k)) for k in range(draw(st.integers(1, 3)))),
        n=n,
        plan=plan,
        starts_on=starts_on,
        ends_on=ends_on,
        measure=draw(MEASURES),
        basis=draw(st.sampled_from(CompBasis)),
        attains_measure=draw(MEASURES),
        attains_basis=draw(st.sampled_from(CompBasis)),
        period=draw(PERIODS),
        tier_mode=draw(st.sampled_from(CompTierMode)),
        cap_amount=draw(st.sampled_from([None, None, Decimal(5), Decimal(100), Decimal(700)])),
        clawback_months=draw(st.sampled_from([None, None, 0, 1, 2])),
    )


@st.composite
def careers(draw: Any) -> list[Version]:
    """One plan, two versions of it, or two plans, perhaps with days without any between them."""
    if draw(st.booleans()):
        return [draw(version(1, 1, told.JANUARY, None))]
    change = told.JANUARY + timedelta(days=draw(AFTER.filter(bool)))
    until = change - timedelta(days=1)
    first = draw(
        version(
            1,
            1,
            told.JANUARY,
            until - timedelta(days=min(draw(st.sampled_from([0, 0, 9])), (until - told.JANUARY).days)),
        )
    )
    second = draw(version(2, draw(st.integers(1, 2)), change, None))
    if draw(st.booleans()):
        same = {name: getattr(first, name) for name in ("currency", "attains_measure", "attains_basis", "period")}
        second = replace(second, **same)
    return [first, second]


@st.composite
def facts(draw: Any, scale: int, lines: int, sign: int) -> tuple[Fact, ...]:
    found = []
    for line in range(draw(st.integers(1, lines))):
        amounts = [Decimal(draw(st.integers(0, most))).scaleb(-scale) for most in (200_000, 5_000, 150_000)]
        net, shipping, cost = (sign * each for each in amounts)
        measures = draw(
            st.sampled_from(
                [tuple(CompMeasure)] * 4 + [(CompMeasure.INVOICED,), (CompMeasure.COLLECTED, CompMeasure.BOOKED)]
            )
        )
        category, is_new = ("x", "y", None)[line % 3], line % 2 == 0
        for measure in measures:
            found.append(Fact(measure, told.id(line), None, category, None, is_new, net, shipping, cost))
    return tuple(found)


def undone(credit: Credit) -> Credit:
    negative = tuple(replace(each, net=-each.net, shipping=-each.shipping, cost=-each.cost) for each in credit.facts)
    return replace(credit, facts=negative)


def changed(own: list[Credit], after: Any, day: date) -> list[Credit]:
    """An event that takes all from the person and credits another share of it."""
    event_id = told.id(4000 + own[0].order_id.int)
    whole = replace(own[0], event_id=event_id, day=day, facts=tuple(fact for each in own for fact in each.facts))
    backwards = replace(whole, share_from=whole.share_to, share_to=whole.share_from)
    return [replace(whole, share_from=after[0], share_to=after[1]), backwards]


@st.composite
def histories(draw: Any, *, most: int = 8) -> list[Credit]:
    """Sales and returns of a few orders, some of them wholly undone, with credits in one role and share of each."""
    credits: list[Credit] = []
    event = 0
    for order in range(draw(st.integers(1, 3))):
        currency = draw(st.sampled_from(list(CURRENCIES)))
        scale, rate = CURRENCIES[currency], draw(st.sampled_from(["1", "1", "7.123456", "0.0065"]))
        role = draw(ROLES)
        low, high = (
            draw(st.sampled_from(SHARES)) if role is CompRole.OWNER else (0, draw(st.sampled_from([1, Decimal("1.5")])))
        )
        own: list[Credit] = []
        for _ in range(draw(st.integers(1, most // 2))):
            event += 1
            day = told.JANUARY + timedelta(days=draw(AFTER))
            sign = draw(st.sampled_from([1, 1, -1]))
            more = {"currency": currency, "rate": Decimal(rate), "share_from": low, "share_to": high}
            found = draw(facts(scale, 3, sign))
            own.append(told.credit(draw(st.integers(0, 9)) * 100 + event, found, day, order=order, role=role, **more))
        if draw(st.integers(0, 3)) == 0:
            own += changed(own, draw(SHARES_AFTER), told.JANUARY + timedelta(days=draw(AFTER)))
        if draw(st.booleans()):
            day = max(each.day for each in own) + timedelta(days=draw(AFTER))
            own += [
                undone(replace(each, event_id=told.id(5000 + 100 * order + n), day=day)) for n, each in enumerate(own)
            ]
        credits += own
    return credits
