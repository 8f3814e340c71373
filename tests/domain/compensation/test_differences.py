"""What is posted, so that what is posted is what is due; and why, in words."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

from crmgql.domain.compensation.differences import differences
from crmgql.domain.compensation.explaining import explanation
from crmgql.models import CompBasis, CompMeasure, CompPeriod, CompTierMode, CompTierUnit
from tests.domain.compensation.told import credit, dues, fact, fixed, id, rule, version

FOUR = version(rule(1, "0.04"))
SOLD, BACK = credit(1, "1000"), credit(2, "-200", 2)


def posted(changes: Any) -> Any:
    return [each.posted for each in changes]


def told_of(changes: Any) -> list[tuple[str, int, str]]:
    return [(each.kind, each.event_id.int, str(each.amount)) for each in changes]


def test_first_it_is_earned_or_taken_back() -> None:
    changes = differences(dues([SOLD, BACK], FOUR), [])
    assert told_of(changes) == [("EARN", 1, "40.00"), ("CLAWBACK", 2, "-8.00")]
    assert [(str(each.base), each.day.day, each.currency) for each in changes] == [
        ("1000.00", 1, "USD"),
        ("-200.00", 2, "USD"),
    ]


def test_done_again_there_is_nothing_to_post() -> None:
    found = dues([SOLD, BACK], FOUR)
    assert differences(found, posted(differences(found, []))) == []


def test_later_it_is_adjusted() -> None:
    """A late event of an earlier day moves those after it."""
    plan = version(rule(1, "0.04", "1000", "0.08"))
    before = posted(differences(dues([credit(2, "1000", 5, order=2)], plan), []))
    changes = differences(dues([credit(2, "1000", 5, order=2), credit(1, "500", 2, order=1)], plan), before)
    assert told_of(changes) == [("EARN", 1, "20.00"), ("ADJUST", 2, "20.00")]
    assert changes[1].due is not None
    assert changes[1].due.amount == 60


def test_a_slab_that_is_reached_adjusts_those_before() -> None:
    plan = version(rule(1, "0.05", "1000", "0.1"), tier_mode=CompTierMode.SLAB)
    first, second = credit(1, "900", order=1), credit(2, "100", 2, order=2)
    before = posted(differences(dues([first], plan), []))
    assert told_of(differences(dues([first, second], plan), before)) == [("ADJUST", 1, "45.00"), ("EARN", 2, "10.00")]


def test_what_is_not_due_any_more_is_taken_to_nothing() -> None:
    """Another plan from then on has other rules: only the difference is paid."""
    before = posted(differences(dues([SOLD], FOUR), []))
    changes = differences(dues([SOLD], version(rule(2, "0.05"), n=2)), before)
    assert sorted(told_of(changes)) == [("ADJUST", 1, "-40.00"), ("EARN", 1, "50.00")]
    gone = next(each for each in changes if each.due is None)
    assert (gone.rule_id, gone.version_id, gone.base, gone.whole_amount) == (id(1), id(1), -1000, -40)
    after = before + posted(changes)
    assert told_of(differences([], after)) == [("ADJUST", 1, "-50.00")]


def test_what_pays_nothing_is_not_posted() -> None:
    assert differences(dues([SOLD], version(rule(1, "0"))), []) == []


def words(credits: Any, plan: Any, **more: Any) -> list[str]:
    rules = {each.id for each in plan.rules}
    found = [each for each in dues(credits, plan, **more) if each.rule_id in rules]
    return [line.words for due in found for line in explanation(due, plan, order="S-1007")]


def test_a_seller_reads_why() -> None:
    plan = version(
        rule(1, "0.05", "1000", "0.0875", name="Sales"),
        fixed(2, "50", name="Welcome"),
        cap_amount=Decimal("150"),
        clawback_months=1,
    )
    shared = {"share_to": Decimal("0.6")}
    history = [
        credit(1, "2500", **shared),
        credit(2, "-500", 2, **shared),
        credit(3, "-500", date(2026, 3, 1), **shared),
    ]
    assert words(history, plan) == [
        "S-1007, Sales: 1,000.00 USD of net invoiced (60 % of the order), attainment from 0 USD to 1,000 USD, at 5 %: 50.00 USD.",
        "S-1007, Sales: 500.00 USD of net invoiced (60 % of the order), attainment from 1,000 USD on, at 8.75 %: 43.75 USD.",
        "S-1007, Welcome: 1,500.00 USD of net invoiced (60 % of the order), once an order: 30.00 USD.",
        "S-1007, Sales: 300.00 USD of net invoiced (60 % of the order) less: 20 % of what was paid for it is taken back: -18.75 USD.",
        "S-1007, Welcome: 300.00 USD of net invoiced (60 % of the order) less: 20 % of what was paid for it is taken back: -6.00 USD.",
        "S-1007, Sales: 300.00 USD of net invoiced (60 % of the order) less, more than 1 month after it was paid: 18.75 USD stay paid.",
        "S-1007, Welcome: 300.00 USD of net invoiced (60 % of the order) less, more than 1 month after it was paid: 6.00 USD stay paid.",
    ]


def test_caps_and_quotas_in_words() -> None:
    plan = version(
        rule(1, "0.1", "0.8", "0.2", name="Sales", tier_unit=CompTierUnit.QUOTA),
        measure=CompMeasure.COLLECTED,
        attains_measure=CompMeasure.COLLECTED,
        basis=CompBasis.MARGIN,
        period=CompPeriod.QUARTER,
        cap_amount=Decimal("90"),
    )
    sold = credit(1, [fact("1200", CompMeasure.COLLECTED, cost=Decimal(200))])
    assert words([sold], plan, quota=Decimal(2000)) == [
        "S-1007, Sales: 1,000.00 USD of margin collected, attainment from 0 % of the quota to 80 % of the quota, at 10 %: 100.00 USD.",
        "S-1007, Sales: 10.00 USD are above the cap of 90 USD a quarter and are not paid.",
    ]


def test_the_lines_sum_to_what_is_due() -> None:
    plan = version(rule(1, "0.0333", "10", "0.07", "33.33", "0.0111"), cap_amount=Decimal("2.50"))
    (due,) = dues([credit(1, "99.99")], plan)
    lines = explanation(due, plan, order="S-1")
    assert sum(each.amount for each in lines) == due.amount == Decimal("2.50")
    assert {(each.order, each.share, each.measure, each.basis) for each in lines} == {
        ("S-1", 1, CompMeasure.INVOICED, CompBasis.NET)
    }
    assert [each.tier and each.tier.from_value for each in lines] == [0, 10, Decimal("33.33"), None]


def test_changed_shares_are_explained_as_both() -> None:
    back = replace(credit(2, "1000", 2), share_from=Decimal(1), share_to=Decimal(0))
    again = replace(credit(2, "1000", 2), share_to=Decimal("0.5"))
    found = dues([SOLD, back, again], FOUR)[1]
    assert [str(part.amount) for part in found.parts] == ["-40.00", "20.00"]
    assert (found.share, found.base, found.rate) == (Decimal("-0.5"), -500, Decimal("0.04"))
