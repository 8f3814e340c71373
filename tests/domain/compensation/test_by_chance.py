"""What is due, compared with what a patient clerk works out, and what must hold for any history."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from crmgql.domain.compensation.attaining import Quota, quota_of
from crmgql.domain.compensation.credited import Credit
from crmgql.domain.compensation.differences import differences
from crmgql.domain.compensation.periods import Days, FiscalStart, period_of
from crmgql.domain.compensation.terms import Version
from crmgql.domain.compensation.tiers import Ladder
from crmgql.models import CompPeriod, CompRole, CompTierMode, CompTierUnit
from tests.domain.compensation import chance, slow, told

EACH_MONTH = Decimal(700)


def quota(version: Version, days: Days, role: CompRole) -> Fraction | None:
    """700 each month of the year."""
    months = [period_of(date(2026, month, 1), CompPeriod.MONTH, FiscalStart()) for month in range(1, 13)]
    return quota_of([Quota(each, EACH_MONTH) for each in months], days)


def calculated(credits: Sequence[Credit], versions: Sequence[Version], **more: Any) -> Any:
    return told.calculated(credits, *versions, quota=quota, **more)


@given(chance.histories(), chance.careers())
def test_a_patient_clerk_finds_the_same(credits: list[Credit], versions: list[Version]) -> None:
    found = {each.key: Fraction(each.amount) for each in calculated(credits, versions).dues if each.amount}
    assert found == slow.Clerk(credits, versions, slow.monthly(Fraction(EACH_MONTH))).work()


@given(chance.histories(), chance.careers(), st.randoms(use_true_random=False))
def test_the_order_in_which_credits_are_given_is_no_matter(
    credits: list[Credit], versions: list[Version], dice: random.Random
) -> None:
    found = calculated(credits, versions)
    dice.shuffle(credits)
    assert calculated(credits, versions) == found


@given(chance.histories(), chance.careers())
def test_calculated_twice_nothing_is_posted(credits: list[Credit], versions: list[Version]) -> None:
    dues = calculated(credits, versions).dues
    changes = differences(dues, [])
    assert differences(calculated(credits, versions).dues, [each.posted for each in changes]) == []


@given(chance.histories(), chance.careers(), st.data())
def test_posted_step_by_step_it_is_the_same_as_at_once(
    credits: list[Credit], versions: list[Version], data: Any
) -> None:
    """Events come in any order; each time the differences are posted."""
    posted: list[Any] = []
    cuts = data.draw(st.lists(st.integers(0, len(credits)), max_size=3))
    known = data.draw(st.permutations(credits))
    for n in [*sorted(cuts), len(credits)]:
        posted += [each.posted for each in differences(calculated(known[:n], versions).dues, posted)]
    sums: dict[Any, Decimal] = defaultdict(Decimal)
    for each in posted:
        sums[each.event_id, each.order_id, each.rule_id, each.role] += each.amount
    due = {each.key: each.amount for each in calculated(credits, versions).dues if each.amount}
    assert {key: amount for key, amount in sums.items() if amount} == due


@given(chance.histories(), chance.careers(), st.integers(0, chance.DAYS))
def test_a_window_finds_what_the_whole_finds(credits: list[Credit], versions: list[Version], since: int) -> None:
    begin = told.stints(*versions).begin(told.JANUARY + timedelta(days=since))
    whole = calculated(credits, versions)
    before = [each for each in whole.dues if each.day < begin]
    window = calculated(credits, versions, since=begin, pools=told.pools(before, *versions))
    assert window.dues == [each for each in whole.dues if each.day >= begin]


@given(chance.histories(), chance.careers())
def test_a_full_refund_leaves_nothing(credits: list[Credit], versions: list[Version]) -> None:
    """By any plan that takes back without a limit."""
    versions = [replace(each, clawback_months=None) for each in versions]
    last = max(each.day for each in credits)
    back = [chance.undone(replace(each, event_id=told.id(9000 + n), day=last)) for n, each in enumerate(credits)]
    dues = calculated([*credits, *back], versions).dues
    by_order: dict[Any, Decimal] = defaultdict(Decimal)
    for each in dues:
        by_order[each.order_id] += each.amount
    assert not any(by_order.values())


@given(chance.histories(), chance.careers())
def test_never_more_is_taken_back_than_was_paid(credits: list[Credit], versions: list[Version]) -> None:
    paid: dict[Any, Decimal] = defaultdict(Decimal)
    for each in calculated(credits, versions).dues:
        paid[each.order_id, each.rule_id, each.role] += each.amount
        assert paid[each.order_id, each.rule_id, each.role] >= 0
        assert sum(part.amount for part in each.parts) == each.amount
        assert sum(part.base for part in each.parts) == each.base


@given(
    st.lists(st.integers(1, 10**7), min_size=1, max_size=4),
    st.lists(st.integers(1, 10), min_size=1, max_size=5),
    st.sampled_from(["0.0375", "0.05", "0.333333", "1"]),
    st.sampled_from(["USD", "JPY", "KWD"]),
    st.integers(0, 100),
)
def test_splits_sum_to_the_whole(cents: list[int], weights: list[int], rate: str, currency: str, back: int) -> None:
    """Also when a part is taken back."""
    edges = [Fraction(sum(weights[:n]), sum(weights)) for n in range(len(weights) + 1)]
    scale = chance.CURRENCIES[currency]
    nets = [str(Decimal(each).scaleb(-scale)) for each in cents]
    nets.append(str(-Decimal(sum(cents) * back // 100).scaleb(-scale)))
    plan = told.version(told.rule(1, rate), currency=currency)

    def of(low: Fraction, high: Fraction) -> list[Decimal]:
        shares = {"share_from": low, "share_to": high, "currency": currency}
        dues = told.dues([told.credit(n, net, n, **shares) for n, net in enumerate(nets, 1) if Decimal(net)], plan)
        return [each.amount for each in dues]

    persons = [of(low, high) for low, high in pairwise(edges)]
    sums = [sum(each) for each in zip(*persons, strict=True)]
    assert sums[: len(cents)] == of(Fraction(0), Fraction(1))[: len(cents)]
    if back == 100 or all(sum(each) > 0 for each in persons):
        assert sum(sums) == sum(of(Fraction(0), Fraction(1)))  # of who has little, no more is taken than there is
    assert min(min(each[: len(cents)]) for each in persons) >= 0


@given(chance.ladders(CompTierUnit.AMOUNT), st.integers(-5_000, 20_000), st.integers(1, 20_000))
def test_a_step_is_paid_cent_by_cent(tiers: Any, start: int, length: int) -> None:
    end = start + length
    steps = Ladder(tiers, 100).through(start, end)
    paid = sum(each.share * each.rate for each in steps) * length
    assert paid == slow.by_cents(tiers, start, end)
    assert sum(each.share for each in steps) == 1


@given(chance.histories(), chance.careers())
def test_marginal_tiers_of_one_rate_are_no_tiers(credits: list[Credit], versions: list[Version]) -> None:
    """Attainment, quotas and slabs make no difference where every tier pays the same."""

    def flat(version: Version, mode: CompTierMode, *edges: str) -> Version:
        rules = tuple(replace(each, tiers=told.tiers(*edges) if each.tiers else ()) for each in version.rules)
        return replace(version, rules=rules, tier_mode=mode)

    many = [flat(each, CompTierMode.MARGINAL, "0.05", "100", "0.05", "1000", "0.05") for each in versions]
    slabs = [flat(each, CompTierMode.SLAB, "0.05", "100", "0.05") for each in versions]
    one = [flat(each, CompTierMode.MARGINAL, "0.05") for each in versions]
    found = [[(each.key, each.amount) for each in calculated(credits, plan).dues] for plan in (many, slabs, one)]
    assert found[0] == found[1] == found[2]
