"""What is due for credits: what other systems got wrong, and what the plan's words say."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from crmgql.domain.compensation.attaining import Quota, quota_of
from crmgql.domain.compensation.dues import Trouble, Why
from crmgql.domain.compensation.periods import Days
from crmgql.models import CompBasis, CompCustomers, CompMeasure, CompPeriod, CompRole, CompTierMode, CompTierUnit
from tests.domain.compensation.told import (
    amounts,
    calculated,
    credit,
    dues,
    fact,
    fixed,
    id,
    pools,
    rule,
    thirds,
    total,
    version,
)

FOUR = version(rule(1, "0.04"))
COLLECTED = {"measure": CompMeasure.COLLECTED, "attains_measure": CompMeasure.COLLECTED}
BASES = {"basis": CompBasis.GROSS, "attains_basis": CompBasis.GROSS}
FEBRUARY, MARCH, APRIL = (date(2026, month, 10) for month in (2, 3, 4))


def collected(net: str, **more: Any) -> list[Any]:
    return [fact(net, CompMeasure.COLLECTED, **more)]


def test_a_credit_note_lowers_the_commission() -> None:
    assert amounts([credit(1, "1000"), credit(2, "-200", 2)], FOUR) == ["40.00", "-8.00"]


def test_so_does_one_by_product() -> None:
    shoes, hats = ({"product_id": id(n), "line": n} for n in (1, 2))
    plan = version(rule(1, "0.04", product_ids=frozenset([id(1)])), rule(2, "0.02", product_ids=frozenset([id(2)])))
    sold = credit(1, [fact("600", **shoes), fact("400", **hats)])
    back = credit(2, [fact("-200", **shoes)], 2)
    assert amounts([sold, back], plan) == ["24.00", "8.00", "-8.00"]


def test_a_month_of_refunds_alone_is_below_zero() -> None:
    found = dues([credit(1, "1000"), credit(2, "-1000", FEBRUARY)], FOUR)
    assert [(each.day.month, str(each.amount)) for each in found] == [(1, "40.00"), (2, "-40.00")]


def test_paid_in_march_and_refunded_in_april() -> None:
    plan = version(rule(1, "0.04"), **COLLECTED)
    paid, back = credit(1, collected("1000"), MARCH), credit(2, collected("-1000"), APRIL)
    assert amounts([paid, back], plan) == ["40.00", "-40.00"]


def test_what_is_reversed_before_anything_was_paid_takes_nothing() -> None:
    plan = version(rule(1, "0.04"), **COLLECTED)
    assert amounts([credit(1, "1000"), credit(2, "-1000", 2)], plan) == []


def test_a_part_that_is_paid_earns_its_part() -> None:
    assert amounts([credit(1, collected("600"))], version(rule(1, "0.04"), **COLLECTED)) == ["24.00"]


def test_a_part_that_is_invoiced_is_shared() -> None:
    first = credit(1, "4000", share_to=Decimal("0.6"))
    second = credit(1, "4000", share_from=Decimal("0.6"))
    assert [amounts([first]), amounts([second])] == [["120.00"], ["80.00"]]
    assert amounts([second], version(rule(1, "0.03"))) == ["48.00"]


def test_three_thirds_are_the_whole() -> None:
    whole = version(rule(1, "1"))
    assert [amounts(each, whole) for each in thirds([credit(1, "100.00")])] == [["33.33"], ["33.33"], ["33.34"]]


def test_three_thirds_of_what_is_taken_back_are_the_whole() -> None:
    history = [credit(1, "100.00"), credit(2, "-50.00", 2), credit(3, "-50.00", 3)]
    found = [amounts(each, version(rule(1, "1"))) for each in thirds(history)]
    assert found == [["33.33", "-16.66", "-16.67"], ["33.33", "-16.67", "-16.66"], ["33.34", "-16.67", "-16.67"]]


@pytest.mark.parametrize(
    ("currency", "net", "due"), [("JPY", "1010", "51"), ("KWD", "10.010", "0.501"), ("USD", "10.10", "0.51")]
)
def test_amounts_have_the_decimals_of_the_orders_currency(currency: str, net: str, due: str) -> None:
    assert amounts([credit(1, net, currency=currency, rate=Decimal("0.3"))]) == [due]


def test_a_full_refund_with_shipping_leaves_nothing() -> None:
    sold = fact("999.99", shipping=Decimal("7.77"), cost=Decimal("500"))
    back = fact("-999.99", shipping=Decimal("-7.77"), cost=Decimal("-500"))
    for basis in CompBasis:
        plan = version(rule(1, "0.0333", "500", "0.1"), basis=basis)
        assert total(dues([credit(1, [sold]), credit(2, [back], MARCH)], plan)) == 0


def test_bases() -> None:
    sold = credit(1, [fact("1000", shipping=Decimal(50), cost=Decimal(600))])
    found = [amounts([sold], version(rule(1, "0.1"), basis=basis)) for basis in CompBasis]
    assert found == [["105.00"], ["100.00"], ["40.00"]]


def test_a_deal_goes_through_tiers() -> None:
    plan = version(rule(1, "0.05", "1000", "0.1"))
    found = dues([credit(1, "800"), credit(2, "600", 2)], plan)
    assert [str(each.amount) for each in found] == ["40.00", "50.00"]
    assert [(str(part.base), str(part.rate), str(part.amount)) for part in found[1].parts] == [
        ("200.00", "0.05", "10.00"),
        ("400.00", "0.1", "40.00"),
    ]
    assert (found[1].attained_before, found[1].attained_after) == (800, 1400)


def test_a_new_period_begins_at_nothing() -> None:
    plan = version(rule(1, "0.05", "1000", "0.1"))
    assert amounts([credit(1, "1500"), credit(2, "500", FEBRUARY)], plan) == ["100.00", "25.00"]
    year = replace(plan, period=CompPeriod.YEAR)
    assert amounts([credit(1, "1500"), credit(2, "500", FEBRUARY)], year) == ["100.00", "50.00"]


def test_in_slabs_a_deal_that_reaches_a_tier_lifts_those_before_it() -> None:
    plan = version(rule(1, "0.05", "1000", "0.1"), tier_mode=CompTierMode.SLAB)
    assert amounts([credit(1, "900", order=1)], plan) == ["45.00"]
    both = [credit(1, "900", order=1), credit(2, "100", 2, order=2)]
    assert amounts(both, plan) == ["90.00", "10.00"]
    assert amounts([*both, credit(3, "-1", 3, order=2)], plan) == ["45.00", "5.00", "-0.05"]


def test_a_refund_is_of_the_tier_that_paid() -> None:
    """Not of the one that attainment is in by then."""
    plan = version(rule(1, "0.05", "1000", "0.1"))
    history = [credit(1, "1000", order=1), credit(2, "1000", 2, order=2)]
    assert amounts([*history, credit(3, "-500", 3, order=1)], plan) == ["50.00", "100.00", "-25.00"]
    assert amounts([*history, credit(3, "-500", MARCH, order=2)], plan)[-1] == "-50.00"


def test_attainment_falls_with_a_refund() -> None:
    plan = version(rule(1, "0.05", "1000", "0.1"))
    history = [credit(1, "1000", order=1), credit(2, "-400", 2, order=1), credit(3, "500", 3, order=2)]
    assert amounts(history, plan) == ["50.00", "-20.00", "30.00"]


def test_an_edit_of_a_closed_deal_adjusts_it_in_its_proportion() -> None:
    plan = version(rule(1, "0.05", "1000", "0.1"), measure=CompMeasure.BOOKED, attains_measure=CompMeasure.BOOKED)
    booked = [credit(n, [fact(net, CompMeasure.BOOKED)], n) for n, net in ((1, "1500"), (2, "-300"), (3, "100"))]
    assert amounts(booked, plan) == ["100.00", "-20.00", "10.00"]


def test_a_refund_larger_than_ever_paid_takes_all_and_no_more() -> None:
    assert amounts([credit(1, "100"), credit(2, "-250", 2)], FOUR) == ["4.00", "-4.00"]


def test_what_only_makes_good_a_refund_from_before_earns_nothing() -> None:
    """A refund's day may be before that of the payment: in sum it is as if it were not."""
    assert amounts([credit(2, "-300", 1), credit(1, "1000", 2), credit(3, "-700", 3)], FOUR) == ["28.00", "-28.00"]


def test_a_loss_that_is_given_back_earns_nothing() -> None:
    plan = version(rule(1, "0.1"), basis=CompBasis.MARGIN)
    sold, back = fact("100", cost=Decimal(150)), fact("-100", cost=Decimal(-150))
    assert amounts([credit(1, [sold]), credit(2, [back], 2)], plan) == []


def test_a_cap_cuts_in_the_middle_of_a_deal() -> None:
    plan = version(rule(1, "0.1"), cap_amount=Decimal(150))
    history = [credit(1, "1000", order=1), credit(2, "1000", 2, order=2), credit(3, "1000", 3, order=3)]
    found = dues([*history, credit(4, "1000", FEBRUARY, order=4)], plan)
    assert [str(each.amount) for each in found] == ["100.00", "50.00", "0.00", "100.00"]
    assert [part.why for part in found[1].parts] == [Why.TIER, Why.CAPPED]
    assert found[1].parts[1].amount == -50


def test_of_what_is_capped_a_refund_takes_its_share_of_what_was_paid() -> None:
    plan = version(rule(1, "0.1"), cap_amount=Decimal(50))
    assert amounts([credit(1, "1000"), credit(2, "-500", FEBRUARY)], plan) == ["50.00", "-25.00"]


def test_what_is_taken_back_leaves_room_under_the_cap() -> None:
    plan = version(rule(1, "0.1"), cap_amount=Decimal(100))
    history = [credit(1, "1000", order=1), credit(2, "-1000", 2, order=1), credit(3, "1000", 3, order=2)]
    assert amounts(history, plan) == ["100.00", "-100.00", "100.00"]


def test_what_an_earlier_month_paid_leaves_none() -> None:
    plan = version(rule(1, "0.1"), cap_amount=Decimal(100))
    history = [credit(1, "1000", order=1), credit(2, "-1000", FEBRUARY, order=1), credit(3, "1500", FEBRUARY, order=2)]
    assert amounts(history, plan) == ["100.00", "-100.00", "100.00"]


def test_a_cap_in_another_currency() -> None:
    plan = version(rule(1, "0.1"), cap_amount=Decimal(10))
    assert amounts([credit(1, "10000", currency="JPY", rate=Decimal("0.0065"))], plan) == ["1000"]
    assert amounts([credit(1, "20000", currency="JPY", rate=Decimal("0.0065"))], plan) == ["1538"]


def test_a_fixed_amount_is_paid_once_an_order() -> None:
    plan = version(fixed(1, "50"), **COLLECTED)
    history = [credit(n, collected(net), n) for n, net in ((1, "100"), (2, "900"), (3, "-250"), (4, "-750"))]
    assert amounts(history, plan) == ["50.00", "-12.50", "-37.50"]
    assert amounts([*history, credit(5, collected("1000"), 5)], plan)[-1] == "50.00"


def test_a_fixed_amount_of_a_deal_that_becomes_large() -> None:
    """It is paid then, and not again by the next version of the plan."""
    first = version(fixed(1, "50", least_deal_amount=Decimal(1000)), n=1, ends_on=date(2026, 1, 31))
    second = version(fixed(2, "60", least_deal_amount=Decimal(1000)), n=2, starts_on=date(2026, 2, 1))
    history = [credit(1, "800"), credit(2, "300", 2), credit(3, "100", 3), credit(4, "100", FEBRUARY)]
    assert amounts(history, first, second) == ["50.00"]
    assert amounts([*history, credit(5, "-1300", MARCH)], first, second) == ["50.00", "-50.00"]


def test_a_fixed_amount_in_the_orders_currency() -> None:
    assert amounts([credit(1, "100", currency="EUR", rate=Decimal("1.10"))], version(fixed(1, "50"))) == ["45.45"]


def test_the_first_of_a_group_that_takes_a_line_pays() -> None:
    shoes = frozenset(["shoes"])
    plan = version(rule(1, "0.1", group="a", categories=shoes), rule(2, "0.05", group="a"), rule(3, "0.01", group="b"))
    sold = credit(1, [fact("100", category="shoes"), fact("200", category="hats", line=2), fact("50", line=3)])
    assert amounts([sold], plan) == ["10.00", "12.50", "3.50"]


def test_new_customers_and_segments() -> None:
    plan = version(rule(1, "0.1", customers=CompCustomers.NEW), rule(2, "0.2", customers=CompCustomers.REPEAT))
    assert amounts([credit(1, [fact("100", is_new=True)])], plan) == ["10.00"]
    assert amounts([credit(1, [fact("100")])], plan) == ["20.00"]
    best = version(rule(1, "0.1", segments=frozenset(["A"])))
    assert [amounts([credit(1, [fact("100", segment=each)])], best) for each in ("A", "B", None)] == [["10.00"], [], []]


def test_extra_for_large_deals_looks_at_the_whole_order() -> None:
    """Though only a part of it is paid so far."""
    plan = version(rule(1, "0.05"), rule(2, "0.01", least_deal_amount=Decimal(1000)), **COLLECTED)
    paid = credit(2, collected("100"), 2)
    assert amounts([credit(1, [fact("999.99", CompMeasure.BOOKED)]), paid], plan) == ["5.00"]
    assert amounts([credit(1, [fact("1000", CompMeasure.BOOKED)]), paid], plan) == ["5.00", "1.00"]


def test_each_rule_gives_back_its_share_of_a_deal_that_grew() -> None:
    """What one rule of a group paid before the deal was large enough for the other is not taken back twice."""
    plan = version(rule(1, "0.1", group="a", least_deal_amount=Decimal(1000)), rule(2, "0.05", group="a"))
    history = [credit(1, "500"), credit(2, "500", 2), credit(3, "-300", 3), credit(4, "-700", 4)]
    assert amounts(history, plan) == ["25.00", "50.00", "-15.00", "-7.50", "-35.00", "-17.50"]


def test_a_managers_override_takes_the_teams_refund_once() -> None:
    """Whoever of the team sold it; what the manager sells counts for another attainment."""
    team, own = rule(1, "0.02", "1000", "0.03", role=CompRole.MANAGER), rule(2, "0.05", "1000", "0.1")
    plan = version(team, own)
    history = [
        credit(1, "800", order=1, role=CompRole.MANAGER),
        credit(2, "900", 2, order=2),
        credit(2, "900", 2, order=2, role=CompRole.MANAGER),
        credit(3, "-800", 3, order=1, role=CompRole.MANAGER),
    ]
    found = dues(history, plan)
    assert [(each.role, str(each.amount)) for each in found] == [
        (CompRole.MANAGER, "16.00"),
        (CompRole.MANAGER, "25.00"),
        (CompRole.OWNER, "45.00"),
        (CompRole.MANAGER, "-16.00"),
    ]


def test_an_overlay_may_be_more_than_all() -> None:
    plan = version(rule(1, "0.05", role=CompRole.OVERLAY))
    assert amounts([credit(1, "1000", role=CompRole.OVERLAY, share_to=Decimal("1.5"))], plan) == ["75.00"]


def test_changed_shares_take_back_and_pay() -> None:
    """Either way of saying it; the event has one amount."""
    sold, facts = credit(1, "1000"), (fact("1000"),)
    back = credit(2, [fact("-1000")], 2)
    again = replace(back, facts=facts, share_from=Decimal(0), share_to=Decimal("0.6"))
    assert amounts([sold, back, again]) == ["50.00", "-20.00"]
    backwards = replace(back, facts=facts, share_from=Decimal(1), share_to=Decimal(0))
    assert amounts([again, sold, backwards]) == ["50.00", "-20.00"]
    refund = replace(again, event_id=id(3), day=MARCH, facts=(fact("-1000"),))
    assert amounts([again, sold, backwards, refund]) == ["50.00", "-20.00", "-30.00"]


def test_two_plans_in_one_month() -> None:
    """Attainment begins anew, the quota is that of the days; what the first paid is taken back as it paid it."""
    half = date(2026, 1, 16)
    first = version(rule(1, "0.05", "1", "0.1", tier_unit=CompTierUnit.QUOTA), n=1, plan=1, ends_on=date(2026, 1, 15))
    second = version(rule(2, "0.2", "1", "0.4", tier_unit=CompTierUnit.QUOTA), n=2, plan=2, starts_on=half)

    def quota(version: Any, days: Days, role: CompRole) -> Fraction | None:
        return quota_of([Quota(Days(date(2026, 1, 1), date(2026, 1, 31)), Decimal(3100))], days)

    history = [credit(1, "2000", order=1), credit(2, "1600", half, order=2), credit(3, "-1000", 20, order=1)]
    assert amounts(history, first, second, quota=quota) == ["125.00", "320.00", "-62.50"]
    assert amounts([*history, credit(4, "1000", 21, order=3)], first, second, quota=quota)[-1] == "200.00"
    more = credit(4, "2000", 21, order=3)
    assert amounts([*history, more], first, second, quota=quota)[-1] == "600.00"


def test_a_new_version_of_the_plan_goes_on_counting() -> None:
    ends = date(2026, 1, 15)
    first = version(rule(1, "0.05", "1000", "0.1"), n=1, ends_on=ends)
    second = version(rule(2, "0.06", "1000", "0.12"), n=2, starts_on=date(2026, 1, 16))
    history = [credit(1, "1000", order=1), credit(2, "100", 20, order=2)]
    assert amounts(history, first, second) == ["50.00", "12.00"]
    assert amounts(history, first, replace(second, plan_id=id(2))) == ["50.00", "6.00"]


def test_of_an_order_that_two_plans_paid_each_gives_back_its_share() -> None:
    first = version(rule(1, "0.05"), n=1, plan=1, ends_on=date(2026, 1, 31))
    second = version(rule(2, "0.1"), n=2, plan=2, starts_on=date(2026, 2, 1), basis=CompBasis.GROSS)
    history = [credit(1, "500"), credit(2, "500", FEBRUARY)]
    assert amounts([*history, credit(3, "-300", MARCH)], first, second) == ["25.00", "50.00", "-7.50", "-15.00"]
    assert total(dues([*history, credit(3, "-1000", MARCH)], first, second)) == 0


def test_days_without_a_plan_earn_nothing_but_give_back() -> None:
    plan = version(rule(1, "0.05"), ends_on=date(2026, 1, 31))
    history = [credit(1, "1000", order=1), credit(2, "1000", FEBRUARY, order=2), credit(3, "-400", FEBRUARY, order=1)]
    assert amounts(history, plan) == ["50.00", "-20.00"]


def test_what_is_taken_back_late_stays_paid() -> None:
    plan = version(rule(1, "0.05", "1000", "0.1"), clawback_months=1)
    sold = credit(1, "1000", date(2026, 1, 31), order=1)
    assert amounts([sold, credit(2, "-500", date(2026, 2, 28), order=1)], plan) == ["50.00", "-25.00"]
    late = credit(2, "-500", date(2026, 3, 1), order=1)
    found = dues([sold, late, credit(3, "1500", date(2026, 3, 2), order=2)], plan)
    assert [str(each.amount) for each in found] == ["50.00", "0.00", "75.00"]
    assert [(part.why, str(part.kept)) for part in found[1].parts] == [(Why.LIMIT_PASSED, "25.00")]
    assert found[1].attained_after == -500


def test_changed_shares_do_not_begin_the_limit_anew() -> None:
    plan = version(rule(1, "0.05"), clawback_months=1)
    back, again = ({"share_from": Decimal(high), "share_to": Decimal(low)} for high, low in ((1, 0), (0, "0.6")))
    change = [credit(2, "1000", FEBRUARY, **each) for each in (back, again)]
    refund = credit(3, "-1000", date(2026, 2, 11), **again)
    assert amounts([credit(1, "1000", date(2026, 1, 10)), *change, refund], plan) == ["50.00", "-20.00", "0.00"]
    assert amounts([credit(1, "1000", date(2026, 1, 11)), *change, refund], plan) == ["50.00", "-20.00", "-30.00"]


def test_a_missing_quota_is_said_once() -> None:
    plan = version(rule(1, "0.05", "1", "0.1", tier_unit=CompTierUnit.QUOTA), rule(2, "0.01"))
    found = calculated([credit(1, "100"), credit(2, "100", 2)], plan)
    assert [str(each.amount) for each in found.dues] == ["1.00", "1.00"]
    assert [(each.code, each.rule_id) for each in found.problems] == [(Trouble.QUOTA_MISSING, id(1))]
    assert found.problems[0].message == (
        'There is no quota from 2026-01-01 to 2026-01-31, and the tiers of "Rule 1" are shares of it; set one.'
    )
    assert amounts([credit(1, "100")], plan, quota=Decimal(50)) == ["7.50", "1.00"]


def test_a_quota_of_nothing_is_reached() -> None:
    plan = version(rule(1, "0.05", "1", "0.1", tier_unit=CompTierUnit.QUOTA))
    assert amounts([credit(1, "100")], plan, quota=Decimal(0)) == ["10.00"]


def test_a_missing_rate_is_said_of_each_event() -> None:
    foreign = credit(1, "100", currency="EUR", rate=None)
    found = calculated([foreign, credit(2, "100", 2, order=2, rate=None)])
    assert [str(each.amount) for each in found.dues] == ["5.00"]
    assert [(each.code, each.event_id) for each in found.problems] == [(Trouble.RATE_MISSING, id(1))]
    assert "no rate from EUR to USD" in found.problems[0].message


def test_what_was_paid_without_its_credits_is_refused() -> None:
    sold, back = credit(1, "1000"), credit(2, "-1000", FEBRUARY)
    paid = pools(dues([sold], FOUR), FOUR)
    window = {"pools": paid, "since": date(2026, 2, 1)}
    assert amounts([sold, back], FOUR, **window) == ["-40.00"]
    with pytest.raises(ValueError, match="before 2026-02-01 are missing"):
        amounts([back], FOUR, **window)


def test_an_amount_with_more_decimals_than_its_currency_is_refused() -> None:
    with pytest.raises(ValueError, match=r"10\.001 has more than 2 decimals"):
        amounts([credit(1, "10.001")])
