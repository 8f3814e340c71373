"""Stripe: published events, rotation of secrets, and what becomes of each type."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from crmgql.domain.money.providers import stripe
from crmgql.domain.money.providers.facts import Account, Kind, Rank
from crmgql.domain.money.providers.refusals import BodyInvalid, SignatureMissing, SignatureWrong
from tests.domain.money.providers import posts
from tests.domain.money.providers.posts import Post

INTENT = {
    "id": "pi_1",
    "object": "payment_intent",
    "amount": 1000,
    "amount_received": 900,
    "amount_capturable": 800,
    "currency": "eur",
    "latest_charge": "ch_1",
    "metadata": {"order": "A-1"},
    "payment_method_types": ["card"],
}
CHARGE = {
    "id": "ch_1",
    "object": "charge",
    "payment_intent": "pi_1",
    "amount": 1000,
    "amount_captured": 1000,
    "amount_refunded": 250,
    "captured": True,
    "currency": "eur",
    "payment_method_details": {"type": "sepa_debit"},
}
REFUND = {
    "id": "re_1",
    "object": "refund",
    "charge": "ch_1",
    "payment_intent": "pi_1",
    "amount": 250,
    "currency": "eur",
}
DISPUTE = {
    "id": "dp_1",
    "object": "dispute",
    "charge": "ch_1",
    "payment_intent": None,
    "amount": 1000,
    "currency": "eur",
}
PAYOUT = {"id": "po_1", "object": "payout", "amount": 1100, "currency": "eur"}


def test_the_signatures_of_the_27_events_beside_the_repository_hold() -> None:
    given = json.loads(posts.published("stripe_events/signatures.txt.json").read_bytes())
    account, now = Account(shared=(given["secret"],)), datetime.fromtimestamp(1735689600, UTC)
    assert len(given["headers"]) == 27
    for name, signature in given["headers"].items():
        body = posts.published(f"stripe_events/{name}").read_bytes()
        post = Post("stripe", body, {"stripe-signature": signature})
        post.verify(account, now)
        with pytest.raises(SignatureWrong):
            post.verify(Account(shared=("whsec_other",)), now)
        [fact] = post.read(account)
        assert (fact.raw_kind, fact.occurred_at, fact.live) == (json.loads(body)["type"], now, False)


def test_what_the_events_beside_the_repository_are() -> None:
    found = {}
    for name in json.loads(posts.published("stripe_events/signatures.txt.json").read_bytes())["headers"]:
        [fact] = stripe.read(posts.published(f"stripe_events/{name}").read_bytes(), Account())
        found[name.removesuffix(".json")] = (fact.kind.value, str(fact.amount), fact.reference)
    intent, charge, payout = (
        "pi_1PgafyB7WZ01zgkWSjxsAJo3",
        "ch_1PgafuB7WZ01zgkWXYmPNZs8",
        "po_1Pgc79B7WZ01zgkWu1KToYf4",
    )
    moving = {name: value for name, value in found.items() if value[0] not in ("NOTED", "UNKNOWN")}
    assert moving == {
        "payment_intent.created": ("PAYMENT_EXPECTED", "10.99", intent),
        "payment_intent.succeeded": ("PAYMENT_SUCCEEDED", "10.99", intent),
        "payment_intent.payment_failed": ("PAYMENT_FAILED", "10.99", intent),
        "charge.succeeded": ("PAYMENT_AUTHORISED", "1.00", intent),  # it is not captured
        "charge.failed": ("PAYMENT_FAILED", "1.00", charge),
        "charge.refunded_partial": ("REFUND_SUCCEEDED", "0.50", intent),
        "charge.refunded_full": ("REFUND_SUCCEEDED", "1.00", intent),
        "refund.created": ("REFUND_SUCCEEDED", "1.00", charge),
        "charge.dispute.created": ("DISPUTE_OPENED", "10.00", charge),
        "charge.dispute.closed_lost": ("DISPUTE_LOST", "10.00", charge),
        "charge.dispute.closed_won": ("DISPUTE_WON", "10.00", charge),
        "payout.created": ("PAYOUT_EXPECTED", "11.00", payout),
        "payout.paid": ("PAYOUT_PAID", "11.00", payout),
        "payout.failed": ("PAYOUT_FAILED", "11.00", payout),
    }
    assert {name for name, value in found.items() if value[0] == "UNKNOWN"} == {
        "customer.created",
        "customer.deleted",
        "customer.subscription.created",
        "customer.subscription.deleted",
        "transfer.created",
        "transfer.reversed",
    }


def test_while_secrets_are_rotated_both_are_taken() -> None:
    post = posts.stripe("payment_intent.succeeded", INTENT, secret="whsec_new")
    post.verify(Account(shared=("whsec_old", "whsec_new")))
    old = posts.stripe("payment_intent.succeeded", INTENT, secret="whsec_old").headers["Stripe-Signature"]
    both = f"{post.headers['Stripe-Signature']},{old.partition(',')[2]}"
    for secret in ("whsec_old", "whsec_new"):
        post.with_header("Stripe-Signature", both).verify(Account(shared=(secret,)))


def test_other_schemes_than_v1_are_no_signatures() -> None:
    """v0 is a test scheme: taking it would let a weaker one stand in."""
    post = posts.stripe("payment_intent.succeeded", INTENT)
    given = post.headers["Stripe-Signature"]
    for header in (
        given.replace("v1=", "v0="),
        given.partition(",")[2],
        f"{given},t=1",
        f"t={posts.TIME},v1=",
        "v1",
        "",
    ):
        with pytest.raises((SignatureMissing, SignatureWrong)):
            post.with_header("Stripe-Signature", header).verify()
    post.with_header("Stripe-Signature", f"{given},v0=00,v2=00").verify()


@pytest.mark.parametrize(
    ("kind", "thing", "found", "rank", "amount"),
    [
        ("payment_intent.created", INTENT, Kind.PAYMENT_EXPECTED, Rank.ANNOUNCED, "10.00"),
        ("payment_intent.processing", INTENT, Kind.PAYMENT_EXPECTED, Rank.MOVING, "10.00"),
        ("payment_intent.payment_failed", INTENT, Kind.PAYMENT_FAILED, Rank.MOVING, "10.00"),
        ("payment_intent.amount_capturable_updated", INTENT, Kind.PAYMENT_AUTHORISED, Rank.HELD, "8.00"),
        ("payment_intent.canceled", INTENT, Kind.PAYMENT_FAILED, Rank.ENDED, "10.00"),
        ("payment_intent.succeeded", INTENT, Kind.PAYMENT_SUCCEEDED, Rank.DONE, "9.00"),
        ("charge.succeeded", CHARGE, Kind.PAYMENT_SUCCEEDED, Rank.DONE, "10.00"),
        ("charge.succeeded", {**CHARGE, "captured": False}, Kind.PAYMENT_AUTHORISED, Rank.HELD, "10.00"),
        ("charge.captured", {**CHARGE, "amount_captured": 700}, Kind.PAYMENT_SUCCEEDED, Rank.DONE, "7.00"),
        ("charge.refunded", CHARGE, Kind.REFUND_SUCCEEDED, Rank.DONE, "2.50"),
        ("refund.created", {**REFUND, "status": "pending"}, Kind.REFUND_REQUESTED, Rank.MOVING, "2.50"),
        ("refund.updated", {**REFUND, "status": "succeeded"}, Kind.REFUND_SUCCEEDED, Rank.DONE, "2.50"),
        ("refund.failed", {**REFUND, "status": "failed"}, Kind.REFUND_FAILED, Rank.REVERSED, "2.50"),
        ("charge.dispute.created", {**DISPUTE, "status": "needs_response"}, Kind.DISPUTE_OPENED, Rank.HELD, "10.00"),
        ("charge.dispute.funds_reinstated", {**DISPUTE, "status": "won"}, Kind.DISPUTE_WON, Rank.DONE, "10.00"),
        ("charge.dispute.closed", {**DISPUTE, "status": "lost"}, Kind.DISPUTE_LOST, Rank.DONE, "10.00"),
        ("payout.updated", {**PAYOUT, "status": "in_transit"}, Kind.PAYOUT_EXPECTED, Rank.MOVING, "11.00"),
        ("payout.paid", {**PAYOUT, "status": "paid", "amount": -1100}, Kind.PAYOUT_PAID, Rank.DONE, "-11.00"),
    ],
)
def test_what_each_event_is(kind: str, thing: Any, found: Kind, rank: Rank, amount: str) -> None:
    fact = posts.stripe(kind, thing).fact()
    assert (fact.kind, fact.rank, str(fact.amount), fact.currency) == (found, rank, amount, "EUR")


def test_all_facts_of_a_payment_name_it() -> None:
    """By its intent where Stripe says it, else by its charge, which the intent's own event names too."""
    intent, charge = posts.stripe("payment_intent.succeeded", INTENT), posts.stripe("charge.succeeded", CHARGE)
    assert (
        (intent.fact().reference, intent.fact().also)
        == ("pi_1", ("ch_1",))
        == (
            charge.fact().reference,
            charge.fact().also,
        )
    )
    expanded = {**REFUND, "status": "succeeded", "payment_intent": INTENT}
    assert posts.stripe("refund.updated", expanded).fact().reference == "pi_1"
    dispute = posts.stripe("charge.dispute.created", {**DISPUTE, "status": "needs_response"}).fact()
    assert (dispute.reference, dispute.part) == ("ch_1", "dp_1")
    assert (intent.fact().order, intent.fact().method, charge.fact().method) == ("A-1", "card", "sepa_debit")


def test_a_refund_is_known_by_the_key_we_sent() -> None:
    request = {"id": "req_1", "idempotency_key": "ref_1"}
    fact = posts.stripe("refund.created", {**REFUND, "status": "succeeded"}, request=request).fact()
    assert (fact.key, fact.part, fact.reference) == ("ref_1", "re_1", "pi_1")


def test_an_inquiry_takes_no_money() -> None:
    fact = posts.stripe("charge.dispute.created", {**DISPUTE, "status": "warning_needs_response"}).fact()
    assert (fact.kind, fact.moves_money, fact.amount) == (Kind.NOTED, False, None)


def test_each_fee_of_a_dispute_is_a_fact() -> None:
    """In the currency in which Stripe takes it; what it gives back is less than nothing."""
    taken = {"id": "txn_1", "fee": 1500, "currency": "usd", "created": 1772366400}
    back = {"id": "txn_2", "fee": -1500, "currency": "usd", "created": 1772366500}
    free = {"id": "txn_3", "fee": 0, "currency": "usd", "created": 1772366500}
    thing = {**DISPUTE, "status": "won", "balance_transactions": [taken, back, free]}
    dispute, *fees = posts.stripe("charge.dispute.closed", thing).read()
    assert dispute.kind is Kind.DISPUTE_WON
    assert [(fee.kind, fee.event_id, fee.part, fee.amount, fee.currency, fee.reference) for fee in fees] == [
        (Kind.FEE, "evt_1/txn_1", "txn_1", Decimal("15.00"), "USD", "ch_1"),
        (Kind.FEE, "evt_1/txn_2", "txn_2", Decimal("-15.00"), "USD", "ch_1"),
    ]


@pytest.mark.parametrize(
    ("currency", "units", "amount"),
    [
        ("usd", 1099, "10.99"),
        ("jpy", 500, "500"),
        ("kwd", 5120, "5.120"),
        ("isk", 500, "5"),
        ("ugx", 500, "5"),
        ("mga", 500, "500.00"),
        ("huf", 1045, "10.45"),
        ("twd", 1045, "10.45"),
    ],
)
def test_currencies_that_stripe_writes_in_its_own_way(currency: str, units: int, amount: str) -> None:
    thing = {**INTENT, "currency": currency, "amount_received": units}
    assert str(posts.stripe("payment_intent.succeeded", thing).fact().amount) == amount


def test_half_a_krona_is_refused_not_rounded() -> None:
    with pytest.raises(BodyInvalid, match=r"ISK has 0 decimals; 5\.50 has more"):
        posts.stripe("payment_intent.succeeded", {**INTENT, "currency": "isk", "amount_received": 550}).read()


@pytest.mark.parametrize(
    "thing",
    [
        {**INTENT, "amount_received": 10.5},
        {**INTENT, "amount_received": -1},
        {**INTENT, "amount_received": True},
        {**INTENT, "amount_received": None},
        {**INTENT, "amount_received": 10**17},
        {**INTENT, "amount_received": 10**30},
        {**INTENT, "currency": "euro"},
        {**INTENT, "currency": None},
        [],
        None,
    ],
)
def test_what_can_not_be_money_is_refused(thing: Any) -> None:
    with pytest.raises(BodyInvalid):
        posts.stripe("payment_intent.succeeded", thing).read()


def test_a_type_or_status_that_is_not_known_yet_is_kept() -> None:
    thin = {"object": "v2.core.event", "created": "2026-03-01T12:00:00.000Z"}
    for post in (
        posts.stripe("payment_intent.teleported", {"anything": 1}),
        posts.stripe("v2.money_management.adjustment.created", {}, **thin),
        posts.stripe("refund.updated", {**REFUND, "status": None}),
        posts.stripe("refund.updated", {**REFUND, "status": "pondering"}),
    ):
        fact = post.fact()
        assert (fact.kind, fact.moves_money, fact.event_id) == (Kind.UNKNOWN, False, "evt_1")
    assert fact.raw_kind == "refund.updated"


def test_money_of_a_connected_account_is_not_ours() -> None:
    post = posts.stripe("payment_intent.succeeded", INTENT, account="acct_seller")
    assert post.fact().kind is Kind.UNKNOWN
    [ours] = post.read(Account(shared=(posts.SECRET,), ids=frozenset(["acct_seller"])))
    assert ours.kind is Kind.PAYMENT_SUCCEEDED


def test_a_checkout_names_the_order_of_its_payment() -> None:
    thing = {"id": "cs_1", "object": "checkout.session", "payment_intent": "pi_1", "client_reference_id": "A-7"}
    fact = posts.stripe("checkout.session.completed", thing).fact()
    assert (fact.kind, fact.reference, fact.order, fact.moves_money) == (Kind.NOTED, "pi_1", "A-7", False)
