"""Adyen: published vectors, items by their own signatures, and what becomes of each event code."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from crmgql.domain.money.providers import adyen, order
from crmgql.domain.money.providers.facts import Account, Fact, Kind, Rank
from crmgql.domain.money.providers.refusals import BodyInvalid, SignatureMissing, SignatureWrong
from tests.domain.money.providers import posts
from tests.domain.money.providers.posts import Post

MAIN_KEY = "74F490DD33F7327BAECC88B2947C011FC02D014A473AAA33A8EC93E4DC069174"
SAVED = [f"python_hmac/{name}_notification.json" for name in ("mixed", "colon", "backslash", "forwardslash")]


def fact(code: str, **values: Any) -> Fact:
    return posts.adyen_post(posts.adyen_item(code, **values)).fact()


def test_the_nine_published_vectors_hold() -> None:
    vectors = json.loads(posts.published("adyen_webhooks/hmac_vectors.json").read_bytes())
    assert len(vectors) == 9
    for vector in vectors:
        account = Account(shared=("00" * 32, vector["hex_key"]))
        post = _post(vector)
        if post.body.startswith(b"{"):
            post.verify(account)
            with pytest.raises(SignatureWrong):
                post.verify(Account(shared=("00" * 32,)))
        else:  # a published signature of what is no webhook
            assert adyen.signature(vector["hex_key"], post.body) == vector["expected"]


def _post(vector: Any) -> Post:
    if vector["scheme"] == "raw_body":
        return Post("adyen", vector["payload"].encode(), {"hmacsignature": vector["expected"]})
    item = vector["item"]
    return posts.adyen_post(
        {**item, "additionalData": {**item.get("additionalData", {}), "hmacSignature": vector["expected"]}}
    )


@pytest.mark.parametrize("name", [*SAVED, "other/hmac-validation-webhook.json"])
def test_slashes_and_colons_in_the_merchants_reference_are_signed_as_they_are(name: str) -> None:
    item = json.loads(posts.published(f"adyen_webhooks/{name}").read_bytes())
    post = posts.adyen_post(item)
    post.verify(Account(shared=(MAIN_KEY,)))
    [found] = post.read()
    assert (found.kind, found.order, found.amount) == (
        Kind.PAYMENT_AUTHORISED,
        item["merchantReference"],
        Decimal("10.00"),
    )


def test_what_the_notifications_beside_the_repository_are() -> None:
    folder = posts.published("adyen_webhooks/notification")
    found = {}
    for path in folder.iterdir():
        try:
            [read] = adyen.read(path.read_bytes(), Account())
            found[path.stem] = (read.kind.value, str(read.amount), read.reference, read.part, read.moves_money)
        except BodyInvalid:
            found[path.stem] = ("BodyInvalid",)
    moved = {name: value for name, value in found.items() if value[0] not in ("UNKNOWN", "BodyInvalid")}
    authorised = ("PAYMENT_AUTHORISED", "101.00", "123456789", None, False)
    assert moved == {
        "authorisation-true": authorised,
        "authorisation-true-additional-attribute": authorised,
        "cancellation-true": ("PAYMENT_FAILED", "5.00", "8313547924770610", None, False),
        "capture-true": ("PAYMENT_SUCCEEDED", "236.23", "ORIGINAL_PSP", "PSP_REFERENCE", True),
        "capture-false": ("PAYMENT_FAILED", "236.23", "ORIGINAL_PSP", "PSP_REFERENCE", False),
        "refund-true": ("REFUND_SUCCEEDED", "15.00", "ORIGINAL_PSP", "PSP_REFERENCE", True),
        "refund-false": ("REFUND_FAILED", "15.00", "ORIGINAL_PSP", "PSP_REFERENCE", False),
        "chargeback": ("DISPUTE_OPENED", "10.00", "9913333333333333", "9915555555555555", True),
        "offer-closed": ("PAYMENT_FAILED", "272.11", "8532565401975321", None, False),
    }
    # Terminals talk of themselves; platform webhooks are kept.
    assert {name for name, value in found.items() if value == ("BodyInvalid",)} == {
        "display-notification",
        "event-notification",
        "event-notification-additional-attribute",
        "event-invalid-notification",
    }
    assert len(found) == 21


def test_one_wrong_item_refuses_the_whole_post() -> None:
    good, bad = posts.adyen_item("CAPTURE"), posts.adyen_item("REFUND", key="00" * 32)
    posts.adyen_post(good, good).verify()
    with pytest.raises(SignatureWrong):
        posts.adyen_post(good, bad).verify()
    with pytest.raises(SignatureMissing):
        posts.adyen_post(good, {**good, "additionalData": {}}).verify()
    for items in ([], [good] * 101):
        with pytest.raises(BodyInvalid):
            posts.adyen_post(*items).verify()


def test_a_platform_webhook_is_signed_over_its_bytes_and_kept() -> None:
    body = b'{"type":"balancePlatform.transfer.created","timestamp":"2026-03-01T13:00:00+01:00","environment":"test"}'
    made = adyen.signature(posts.HEX_KEY, body)
    post = Post("adyen", body, {"HmacSignature": made})
    found = post.fact()
    assert (found.kind, found.raw_kind, found.live) == (Kind.UNKNOWN, "balancePlatform.transfer.created", False)
    assert found.event_id == post.fact().event_id
    for other in (Post("adyen", body + b" ", post.headers), post.with_header("HmacSignature", made + "=")):
        with pytest.raises(SignatureWrong):
            other.verify()
    with pytest.raises(SignatureMissing):
        Post("adyen", body, {}).verify()


def test_one_signature_does_not_fit_two_notifications() -> None:
    """The fields are joined by colons and not escaped: with colons in them, they could be split elsewhere."""
    item = posts.adyen_item("REFUND", originalReference="PSP0", merchantReference="x:y")
    moved = {
        **item,
        "pspReference": "PSP1:PSP0",
        "originalReference": "Shop",
        "merchantAccountCode": "x",
        "merchantReference": "y",
    }
    with pytest.raises(BodyInvalid, match="alone may hold colons"):
        posts.adyen_post(moved).verify()


@pytest.mark.parametrize(
    ("code", "kind", "rank", "part"),
    [
        ("AUTHORISATION", Kind.PAYMENT_AUTHORISED, Rank.HELD, None),
        ("EXPIRE", Kind.PAYMENT_FAILED, Rank.ENDED, None),
        ("CAPTURE", Kind.PAYMENT_SUCCEEDED, Rank.DONE, "PSP1"),
        ("CAPTURE_FAILED", Kind.PAYMENT_FAILED, Rank.REVERSED, "PSP1"),
        ("REFUND", Kind.REFUND_SUCCEEDED, Rank.DONE, "PSP1"),
        ("REFUND_FAILED", Kind.REFUND_FAILED, Rank.REVERSED, "PSP1"),
        ("REFUNDED_REVERSED", Kind.REFUND_FAILED, Rank.REVERSED, "PSP1"),
        ("CHARGEBACK", Kind.DISPUTE_OPENED, Rank.HELD, "PSP1"),
        ("CHARGEBACK_REVERSED", Kind.DISPUTE_WON, Rank.DONE, "PSP1"),
        ("SECOND_CHARGEBACK", Kind.DISPUTE_LOST, Rank.REVERSED, "PSP1"),
        ("SCHEME_ARBITRATION_WON", Kind.DISPUTE_WON, Rank.LAST, "PSP1"),
        ("NOTIFICATION_OF_CHARGEBACK", Kind.NOTED, Rank.ANNOUNCED, None),
        ("REPORT_AVAILABLE", Kind.NOTED, Rank.ANNOUNCED, None),
        ("TELEPORTED", Kind.UNKNOWN, Rank.ANNOUNCED, None),
    ],
)
def test_what_each_code_is(code: str, kind: Kind, rank: Rank, part: str | None) -> None:
    found = fact(code, originalReference="PSP0")
    assert (found.kind, found.rank, found.part, found.raw_kind) == (kind, rank, part, code)
    assert found.reference == (None if kind is Kind.UNKNOWN else "PSP0")


@pytest.mark.parametrize("code", sorted(adyen.EVENTS))
def test_without_success_no_code_moves_money(code: str) -> None:
    more = {"modification.action": "refund", "chargebackReasonCode": "10.4"}
    for success in ("false", False):
        found = fact(code, success=success, originalReference="PSP0", additionalData=more)
        assert not found.moves_money
        assert found.kind in (Kind.NOTED, Kind.PAYMENT_FAILED, Kind.REFUND_FAILED)


def test_the_outcome_is_part_of_an_events_id() -> None:
    """Adyen corrects itself by sending the same code and reference with another outcome."""
    assert fact("CAPTURE").event_id == fact("CAPTURE", eventDate="2026-03-01T14:00:00+01:00").event_id
    assert fact("CAPTURE").event_id != fact("CAPTURE", success="false").event_id


def test_an_account_that_captures_at_once_tells_it_with_the_authorisation() -> None:
    post = posts.adyen_post(posts.adyen_item("AUTHORISATION"))
    [found] = post.read(Account(captured_at_once=True))
    assert (found.kind, found.rank, found.moves_money) == (Kind.PAYMENT_SUCCEEDED, Rank.DONE, True)
    refused = posts.adyen_post(posts.adyen_item("AUTHORISATION", success="false"))
    assert posts.kinds(refused.read(Account(captured_at_once=True))) == [Kind.PAYMENT_FAILED]


@pytest.mark.parametrize("code", ["CANCELLATION", "TECHNICAL_CANCEL", "CANCEL_OR_REFUND"])
def test_a_cancellation_undoes_what_is_captured_at_once(code: str) -> None:
    """It came before the capture, of which Adyen does not tell."""
    items = [
        posts.adyen_item("AUTHORISATION", pspReference="PSP0"),
        posts.adyen_item(code, originalReference="PSP0", additionalData={"modification.action": "cancel"}),
    ]
    for ordered in (items, items[::-1]):
        read = posts.adyen_post(*ordered).read(Account(captured_at_once=True))
        assert order.fold(read).status is Kind.PAYMENT_FAILED


@pytest.mark.parametrize(
    ("action", "kind"), [("cancel", Kind.PAYMENT_FAILED), ("refund", Kind.REFUND_SUCCEEDED), ("both", Kind.UNKNOWN)]
)
def test_cancel_or_refund_is_what_it_became(action: str, kind: Kind) -> None:
    assert fact("CANCEL_OR_REFUND", additionalData={"modification.action": action}).kind is kind


def test_an_inquiry_that_nobody_answered_took_no_money() -> None:
    assert fact("DISPUTE_DEFENSE_PERIOD_ENDED", additionalData={"rfiReasonCode": "1"}).kind is Kind.NOTED
    found = fact("DISPUTE_DEFENSE_PERIOD_ENDED", additionalData={"chargebackReasonCode": "10.4"})
    assert (found.kind, found.rank) == (Kind.DISPUTE_LOST, Rank.ENDED)


def test_a_dispute_that_names_no_payment_has_its_own_reference() -> None:
    found = fact("CHARGEBACK_REVERSED")
    assert (found.reference, found.part, found.order) == (None, "PSP1", "A-1")


def test_what_we_called_a_refund_is_not_what_we_called_the_order() -> None:
    refund, payment = fact("REFUND", merchantReference="ref_1"), fact("AUTHORISATION", merchantReference="A-1")
    assert (refund.key, refund.order) == ("ref_1", None)
    assert (payment.key, payment.order) == (None, "A-1")


def test_another_merchant_of_the_same_company_is_not_us() -> None:
    post = posts.adyen_post(posts.adyen_item("CAPTURE"))
    assert posts.kinds(post.read(Account(ids=frozenset(["Shop"])))) == [Kind.PAYMENT_SUCCEEDED]
    assert posts.kinds(post.read(Account(ids=frozenset(["Another"])))) == [Kind.UNKNOWN]


@pytest.mark.parametrize(
    ("currency", "value", "amount"),
    [
        ("EUR", "1000", "10.00"),
        ("JPY", 500, "500"),
        ("KWD", 5120, "5.120"),
        ("CLP", 500, "5"),
        ("ISK", 500, "5"),
        ("CVE", 500, "500.00"),
        ("IDR", 500, "500.00"),
    ],
)
def test_currencies_that_adyen_writes_in_its_own_way(currency: str, value: Any, amount: str) -> None:
    assert str(fact("CAPTURE", amount={"value": value, "currency": currency}).amount) == amount


@pytest.mark.parametrize(
    "values",
    [
        {"amount": {"value": 10.5, "currency": "EUR"}},
        {"amount": {"value": -1, "currency": "EUR"}},
        {"amount": None},
        {"eventDate": "yesterday"},
        {"eventDate": "2026-03-01T13:00:00"},
        {"eventDate": "0001-01-01T00:00:00+23:59"},
        {"success": "perhaps"},
        {"pspReference": ""},
        {"pspReference": "a\u0000b"},
        {"pspReference": "x" * 300},
    ],
)
def test_what_makes_no_sense_is_refused(values: Any) -> None:
    item = {**posts.adyen_item("CAPTURE"), **values}
    with pytest.raises(BodyInvalid):
        posts.adyen_post(item).read()
