"""How an amount goes over what is open: never more than there is, never more than is open, the oldest due first."""

from __future__ import annotations

import random
from datetime import date, timedelta
from decimal import Decimal
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crmgql.domain.money.plans import OpenItem, Plan, Rule, allocate, in_order
from crmgql.errors import CurrencyMismatch

DAY = date(2026, 1, 1)
CUSTOMER = UUID(int=1)
AMOUNTS = st.decimals("0.01", "99999.99", places=2)


def item(n: int, open: str, due: int | None = 0, opened: int = 0, currency: str = "EUR") -> OpenItem:
    """Due and opened so many days after the first of January."""
    due_on = None if due is None else DAY + timedelta(days=due)
    return OpenItem(UUID(int=n), CUSTOMER, currency, Decimal(open), DAY + timedelta(days=opened), due_on)


@st.composite
def items(draw: st.DrawFn) -> list[OpenItem]:
    days = st.integers(0, 5)
    return [
        OpenItem(
            UUID(int=n),
            CUSTOMER,
            "EUR",
            draw(AMOUNTS),
            DAY + timedelta(days=draw(days)),
            draw(st.none() | st.just(DAY)),
        )
        for n in range(draw(st.integers(0, 12)))
    ]


def parts(plan: Plan) -> list[tuple[int, Decimal]]:
    return [(each.item_id.int, each.amount) for each in plan.allocations]


def test_three_instalments_get_what_was_received_the_oldest_due_first() -> None:
    instalments = [item(3, "100.00", due=59), item(1, "100.00", due=0), item(2, "100.00", due=31)]
    plan = allocate(Decimal("150.00"), instalments)
    assert parts(plan) == [(1, Decimal("100.00")), (2, Decimal("50.00"))]
    assert (plan.rest, plan.short, plan.settles()) == (0, Decimal("50.00"), False)


def test_what_is_above_all_is_left() -> None:
    plan = allocate(Decimal("250.00"), [item(1, "100.00"), item(2, "100.00")])
    assert (plan.rest, plan.short, plan.settles()) == (Decimal("50.00"), 0, False)


def test_an_item_without_a_due_date_is_due_when_it_was_opened() -> None:
    assert [each.id.int for each in in_order([item(1, "1.00", due=9), item(2, "1.00", due=None, opened=3)])] == [2, 1]


def test_the_oldest_opened_may_come_first() -> None:
    late, early = item(1, "1.00", due=1, opened=0), item(2, "1.00", due=0, opened=1)
    assert parts(allocate(Decimal("1.00"), [early, late], Rule.OLDEST_OPENED)) == [(1, Decimal("1.00"))]


@pytest.mark.parametrize(
    ("received", "settles"), [("44.99", False), ("45.00", True), ("45.50", True), ("46.01", False)]
)
def test_half_a_unit_may_be_written_off_or_stay_over(received: str, settles: bool) -> None:
    assert allocate(Decimal(received), [item(1, "45.50")]).settles(Decimal("0.50")) == settles


def test_currencies_are_not_mixed() -> None:
    with pytest.raises(CurrencyMismatch):
        allocate(Decimal("1.00"), [item(1, "1.00"), item(2, "1.00", currency="USD")])


def test_nothing_received_allocates_nothing() -> None:
    assert allocate(Decimal("-1.00"), [item(1, "1.00")]) == Plan((), Decimal(0), Decimal(0))


@given(AMOUNTS, items(), st.sampled_from(Rule), st.randoms(use_true_random=False))
def test_laws(amount: Decimal, open_items: list[OpenItem], rule: Rule, chance: random.Random) -> None:
    plan = allocate(amount, open_items, rule)
    opens = {each.id: each.open for each in open_items}
    allocated = sum((each.amount for each in plan.allocations), Decimal(0))
    assert allocated + plan.rest == amount
    assert all(0 < each.amount <= opens[each.item_id] for each in plan.allocations)
    assert plan.rest == 0 or allocated == sum(opens.values()), "something is left only if nothing is open"
    assert plan.short == sum(opens[each.item_id] for each in plan.allocations) - allocated
    assert sum(each.amount < opens[each.item_id] for each in plan.allocations) <= 1, "at most one is paid in part"
    shuffled = chance.sample(open_items, len(open_items))
    assert allocate(amount, shuffled, rule) == plan
