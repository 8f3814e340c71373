"""Facts in any order, late and repeated, end in the same state."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crmgql.domain.money.providers import order
from crmgql.domain.money.providers.facts import Fact, Kind, Rank
from tests.domain.money.providers import posts
from tests.domain.money.providers.posts import NOW

CREATED = Fact(
    provider="stripe",
    event_id="evt_1",
    kind=Kind.PAYMENT_EXPECTED,
    raw_kind="created",
    occurred_at=NOW,
    reference="pi_1",
    amount=Decimal("100.00"),
    currency="EUR",
)
DECLINED = replace(CREATED, event_id="evt_2", kind=Kind.PAYMENT_FAILED, rank=Rank.MOVING)
AUTHORISED = replace(CREATED, event_id="evt_3", kind=Kind.PAYMENT_AUTHORISED, rank=Rank.HELD)
SUCCEEDED = replace(CREATED, event_id="evt_4", kind=Kind.PAYMENT_SUCCEEDED, rank=Rank.DONE, also=("ch_1",), order="A-1")
PART: dict[str, Any] = {"part": "re_1", "amount": Decimal("30.00")}
ASKED = replace(CREATED, event_id="evt_5", kind=Kind.REFUND_REQUESTED, rank=Rank.MOVING, **PART)
REFUNDED = replace(ASKED, event_id="evt_6", kind=Kind.REFUND_SUCCEEDED, rank=Rank.DONE)
BOUNCED = replace(ASKED, event_id="evt_7", kind=Kind.REFUND_FAILED, rank=Rank.REVERSED)
IN_ALL = replace(REFUNDED, event_id="evt_8", part=None, cumulative=True)
DISPUTED = replace(CREATED, event_id="evt_9", kind=Kind.DISPUTE_OPENED, rank=Rank.HELD, reference="ch_1", part="dp_1")
WON = replace(DISPUTED, event_id="evt_10", kind=Kind.DISPUTE_WON, rank=Rank.DONE)
LOST = replace(DISPUTED, event_id="evt_11", kind=Kind.DISPUTE_LOST, rank=Rank.DONE)
TOLD = replace(CREATED, event_id="evt_12", kind=Kind.NOTED, amount=None, currency=None)
EUR = Decimal("1.00")


def euro(amount: str) -> dict[str, Decimal]:
    return {"EUR": Decimal(amount)}


def every_order(*facts: Fact) -> order.State:
    """The state, after it was found to be the same in each order."""
    states = [order.fold(each) for each in permutations(facts)]
    assert all(state == states[0] for state in states)
    return states[0]


def later(fact: Fact, seconds: int = 1) -> Fact:
    return replace(fact, occurred_at=fact.occurred_at + timedelta(seconds=seconds))


def test_created_succeeded_failed_refunded_disputed_in_all_orders_of_one_second() -> None:
    """All have the same time: only their ranks tell them apart."""
    state = every_order(CREATED, DECLINED, SUCCEEDED, REFUNDED, DISPUTED, TOLD)
    assert (state.status, state.received, state.refunded, state.disputed) == (
        Kind.PAYMENT_SUCCEEDED,
        euro("100.00"),
        euro("30.00"),
        euro("100.00"),
    )
    assert (state.references, state.orders, state.others) == ({"pi_1", "ch_1", "re_1", "dp_1"}, {"A-1"}, {"evt_12"})


def test_a_final_state_is_not_undone_by_what_is_newer_and_less() -> None:
    """A month-old `created` that is sent again, and one that claims to be newer."""
    for created in (later(CREATED, -30 * 86400), CREATED, later(CREATED, 86400)):
        state = order.apply(order.fold([SUCCEEDED]), created)
        assert state.status is Kind.PAYMENT_SUCCEEDED
        assert state.late == 1
    assert order.fold([CREATED, SUCCEEDED]).late == 0


def test_what_is_sent_again_changes_nothing() -> None:
    once = order.fold([CREATED, SUCCEEDED, REFUNDED])
    again = order.fold([CREATED, SUCCEEDED, CREATED, SUCCEEDED, REFUNDED, REFUNDED])
    assert again == once
    assert again.late == 3


def test_an_attempt_that_failed_is_followed_by_the_next_one() -> None:
    tried = replace(later(DECLINED), event_id="evt_20", kind=Kind.PAYMENT_EXPECTED)
    assert every_order(CREATED, DECLINED, tried).status is Kind.PAYMENT_EXPECTED
    assert every_order(CREATED, tried, later(DECLINED, 2)).status is Kind.PAYMENT_FAILED
    assert every_order(CREATED, DECLINED, AUTHORISED).status is Kind.PAYMENT_AUTHORISED


def test_cancelled_after_success_stays_a_success() -> None:
    cancelled = later(replace(DECLINED, rank=Rank.ENDED), 60)
    assert every_order(AUTHORISED, cancelled).status is Kind.PAYMENT_FAILED
    assert every_order(AUTHORISED, SUCCEEDED, cancelled).status is Kind.PAYMENT_SUCCEEDED


def test_a_refund_that_comes_back_is_no_refund() -> None:
    state = every_order(SUCCEEDED, ASKED, REFUNDED, BOUNCED)
    assert (state.refunded, state.refunding) == ({}, {})
    assert every_order(SUCCEEDED, ASKED).refunding == euro("30.00")


@pytest.mark.parametrize(
    ("facts", "refunded"),
    [
        ([IN_ALL], "30.00"),
        ([REFUNDED, IN_ALL], "30.00"),  # told twice, refunded once
        ([REFUNDED, replace(IN_ALL, amount=Decimal("50.00"))], "50.00"),  # another one of 20.00 is to be told yet
        ([IN_ALL, replace(IN_ALL, event_id="evt_30", amount=Decimal("50.00"))], "50.00"),
        ([BOUNCED, IN_ALL], None),  # the total was told before it came back
    ],
)
def test_refunds_one_by_one_and_in_all(facts: list[Fact], refunded: str | None) -> None:
    assert every_order(SUCCEEDED, *facts).refunded == (euro(refunded) if refunded else {})


def test_a_dispute_ends_as_it_was_last_decided() -> None:
    assert every_order(DISPUTED, WON).disputed == {}
    assert every_order(DISPUTED, WON, later(LOST)).lost == euro("100.00")
    assert every_order(DISPUTED, later(WON), LOST).lost == {}
    second = replace(LOST, event_id="evt_40", rank=Rank.REVERSED)
    assert every_order(DISPUTED, later(WON), second).lost == euro("100.00")


def test_captures_are_added_up() -> None:
    """And an authorised payment has received what was captured of it, not what was authorised."""
    captures = [
        replace(SUCCEEDED, event_id=f"evt_{n}", part=f"cap_{n}", amount=Decimal(amount))
        for n, amount in enumerate(["40.00", "25.00"])
    ]
    state = every_order(AUTHORISED, *captures)
    assert (state.status, state.received) == (Kind.PAYMENT_SUCCEEDED, euro("65.00"))
    failed = replace(captures[0], event_id="evt_50", kind=Kind.PAYMENT_FAILED, rank=Rank.REVERSED)
    assert every_order(AUTHORISED, *captures, failed).received == euro("25.00")


def test_a_capture_that_fails_undoes_what_was_taken_at_once() -> None:
    failed = replace(SUCCEEDED, event_id="evt_60", part="cap_1", kind=Kind.PAYMENT_FAILED, rank=Rank.REVERSED)
    state = every_order(SUCCEEDED, failed)
    assert (state.status, state.received) == (Kind.PAYMENT_FAILED, {})
    refused = replace(failed, rank=Rank.MOVING)
    assert every_order(AUTHORISED, refused).status is Kind.PAYMENT_AUTHORISED
    assert every_order(SUCCEEDED, refused).status is Kind.PAYMENT_FAILED


def test_a_payout_that_the_bank_returned_was_not_paid() -> None:
    paid = replace(CREATED, kind=Kind.PAYOUT_PAID, rank=Rank.DONE, reference="po_1")
    returned = replace(paid, event_id="evt_70", kind=Kind.PAYOUT_FAILED, rank=Rank.REVERSED)
    assert every_order(replace(paid, event_id="evt_71", kind=Kind.PAYOUT_EXPECTED), paid).status is Kind.PAYOUT_PAID
    assert every_order(paid, returned).status is Kind.PAYOUT_FAILED


def test_sums_never_mix_currencies() -> None:
    fee = replace(CREATED, event_id="evt_80", kind=Kind.FEE, rank=Rank.DONE, part="txn_1", amount=EUR)
    other = replace(fee, event_id="evt_81", part="txn_2", currency="USD", amount=Decimal("2.00"))
    assert every_order(fee, other).fees == {"EUR": EUR, "USD": Decimal("2.00")}


facts = st.builds(
    Fact,
    provider=st.just("stripe"),
    event_id=st.integers(0, 10**6).map(str),
    kind=st.sampled_from(Kind),
    raw_kind=st.just("x"),
    occurred_at=st.integers(0, 2).map(lambda seconds: NOW + timedelta(seconds=seconds)),
    rank=st.sampled_from(Rank),
    success=st.booleans(),
    reference=st.sampled_from([None, "pi_1", "ch_1"]),
    also=st.sampled_from([(), ("ch_1",)]),
    part=st.sampled_from([None, "a", "b"]),
    order=st.sampled_from([None, "A-1"]),
    amount=st.sampled_from([None, Decimal("1.00"), Decimal("2.00")]),
    currency=st.sampled_from([None, "EUR", "USD"]),
    cumulative=st.booleans(),
)


@given(st.lists(facts, max_size=8, unique_by=lambda fact: fact.event_id), st.data())
def test_any_facts_in_any_order_with_any_of_them_again(found: list[Fact], data: st.DataObject) -> None:
    again = data.draw(st.lists(st.sampled_from(found), max_size=5)) if found else []
    mixed = data.draw(st.permutations([*found, *again]))
    assert order.fold(mixed) == order.fold(found)


@pytest.mark.parametrize("fact", [SUCCEEDED, IN_ALL])
@pytest.mark.parametrize(
    "change", [{"event_id": "evt_5"}, {"amount": Decimal(5)}, {"amount": None}, {"currency": "KWD"}]
)
def test_of_two_that_differ_in_almost_nothing_the_same_one_counts(fact: Fact, change: dict[str, Any]) -> None:
    every_order(fact, replace(fact, **change))


def test_what_did_not_succeed_moves_nothing() -> None:
    failed = [replace(fact, success=False) for fact in (SUCCEEDED, REFUNDED, LOST)]
    assert not any(fact.moves_money for fact in failed)
    state = every_order(*failed)
    assert (state.received, state.refunded, state.lost) == ({}, {}, {})


@given(st.lists(facts, max_size=8), st.data())
def test_groups_are_the_same_in_any_order(found: list[Fact], data: st.DataObject) -> None:
    def groups(turned: list[Fact]) -> list[list[str]]:
        return sorted(sorted(repr(fact) for fact in group) for group in order.by_payment(turned))

    assert groups(found) == groups(data.draw(st.permutations(found)))


def test_facts_that_know_other_names_of_a_payment_find_each_other() -> None:
    stranger = replace(CREATED, event_id="evt_90", reference="pi_2")
    other = replace(CREATED, event_id="evt_91", provider="adyen")
    for turned in permutations([CREATED, DISPUTED, SUCCEEDED, stranger, other]):
        sizes = sorted(len(group) for group in order.by_payment(turned))
        assert sizes == [1, 1, 3]


def test_a_thousand_at_once_are_a_payment_each() -> None:
    many = [
        replace(fact, reference=f"pi_{n}", also=(), event_id=f"{fact.event_id}/{n}")
        for fact in (SUCCEEDED, CREATED)
        for n in range(1000)
    ]
    states = [order.fold(group) for group in order.by_payment(many)]
    assert len(states) == 1000
    assert {state.status for state in states} == {Kind.PAYMENT_SUCCEEDED}


def test_posts_of_adyen_in_all_orders() -> None:
    """As read: authorised, captured, refunded, charged back, defended, charged back again."""
    items = [
        posts.adyen_item("AUTHORISATION", pspReference="PSP0"),
        posts.adyen_item("CAPTURE", pspReference="CAP", originalReference="PSP0"),
        posts.adyen_item("REFUND", pspReference="REF", originalReference="PSP0"),
        posts.adyen_item("REFUND_FAILED", pspReference="REF", originalReference="PSP0"),
        posts.adyen_item("CHARGEBACK", pspReference="DIS", originalReference="PSP0"),
        posts.adyen_item("CHARGEBACK_REVERSED", pspReference="DIS"),
        posts.adyen_item("SECOND_CHARGEBACK", pspReference="DIS"),
    ]
    state = every_order(*posts.adyen_post(*items).read())
    assert (state.status, state.received, state.refunded, state.lost) == (
        Kind.PAYMENT_SUCCEEDED,
        euro("10.00"),
        {},
        euro("10.00"),
    )
