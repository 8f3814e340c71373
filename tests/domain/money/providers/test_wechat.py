"""WeChat Pay: certificates and public keys by their ids, encrypted content, and what becomes of each event type."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as ec_key
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from crmgql.domain.money import providers
from crmgql.domain.money.providers.facts import Account, Kind, Rank
from crmgql.domain.money.providers.refusals import BodyInvalid, ContentSealed, KeyUnknown, SignatureWrong
from crmgql.errors import SetupError
from tests.domain.money.providers import posts
from tests.domain.money.providers.posts import ACCOUNTS, KEY_ID, NOW, REFUND, SERIAL, TRANSACTION, Post


def certificate(key: RSAPrivateKey) -> str:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Tenpay.com sign")])
    made = x509.CertificateBuilder(name, name, key.public_key(), int(SERIAL, 16), NOW, NOW + timedelta(days=1))
    return made.sign(key, SHA256()).public_bytes(Encoding.PEM).decode()


def test_while_keys_change_certificate_and_public_key_are_taken() -> None:
    old, new = posts.private_key(), posts.private_key()
    account = Account(public_keys={SERIAL: certificate(old), KEY_ID: posts.public(new)}, shared=(posts.API_KEY,))
    providers.get("wechat").check(account)
    posts.wechat("TRANSACTION.SUCCESS", TRANSACTION, key=old, serial=SERIAL).verify(account)
    posts.wechat("TRANSACTION.SUCCESS", TRANSACTION, key=new, serial=KEY_ID).verify(account)
    with pytest.raises(SignatureWrong):  # each key under its own id alone
        posts.wechat("TRANSACTION.SUCCESS", TRANSACTION, key=old, serial=KEY_ID).verify(account)
    with pytest.raises(KeyUnknown, match="not set up"):
        posts.wechat("TRANSACTION.SUCCESS", TRANSACTION, key=new, serial="PUB_KEY_ID_9").verify(account)


def test_a_probe_is_refused() -> None:
    post = posts.wechat("TRANSACTION.SUCCESS", TRANSACTION)
    probe = "WECHATPAY/SIGNTEST/" + post.headers["Wechatpay-Signature"]
    with pytest.raises(SignatureWrong, match="probe"):
        post.with_header("Wechatpay-Signature", probe).verify()


def test_another_scheme_is_refused() -> None:
    post = posts.wechat("TRANSACTION.SUCCESS", TRANSACTION)
    post.with_header("Wechatpay-Signature-Type", "WECHATPAY2-SHA256-RSA2048").verify()
    with pytest.raises(SignatureWrong, match="another scheme"):
        post.with_header("Wechatpay-Signature-Type", "WECHATPAY2-SM2-WITH-SM3").verify()


def test_one_signature_does_not_fit_two_bodies() -> None:
    """What is signed are lines: a line break in the nonce would take the first line of the body into it."""
    signed = b"first\nsecond"
    signature = posts.rsa_signature(posts.WECHATS, posts.TIME.encode() + b"\nnonce1\n" + signed + b"\n")
    post = Post(
        "wechat",
        signed,
        {**posts.wechat("TRANSACTION.SUCCESS", TRANSACTION).headers, "Wechatpay-Signature": signature},
    )
    post.verify()
    with pytest.raises(SignatureWrong, match="control"):
        replace(post, body=b"second").with_header("Wechatpay-Nonce", "nonce1\nfirst").verify()


def test_a_payment() -> None:
    fact = posts.wechat("TRANSACTION.SUCCESS", TRANSACTION).fact()
    assert (fact.kind, fact.rank, fact.moves_money) == (Kind.PAYMENT_SUCCEEDED, Rank.DONE, True)
    assert (fact.event_id, fact.reference, fact.order) == (
        "EV-2026030122332087",
        TRANSACTION["transaction_id"],
        "A-1",
    )
    assert (str(fact.amount), fact.currency, fact.method) == ("10.00", "CNY", "JSAPI")
    assert fact.occurred_at == datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("kind", "found", "rank"),
    [
        ("REFUND.SUCCESS", Kind.REFUND_SUCCEEDED, Rank.DONE),
        ("REFUND.ABNORMAL", Kind.REFUND_REQUESTED, Rank.MOVING),
        ("REFUND.CLOSED", Kind.REFUND_FAILED, Rank.ENDED),
    ],
)
def test_a_refund(kind: str, found: Kind, rank: Rank) -> None:
    fact = posts.wechat(kind, REFUND).fact()
    assert (fact.kind, fact.rank, fact.amount, fact.currency) == (found, rank, Decimal("4.00"), "CNY")
    assert (fact.reference, fact.part, fact.key) == (REFUND["transaction_id"], REFUND["refund_id"], "ref_1")


@pytest.mark.parametrize(
    ("kind", "content", "found"),
    [
        ("TRANSACTION.SUCCESS", {**TRANSACTION, "trade_state": "REFUND"}, Kind.PAYMENT_SUCCEEDED),
        ("TRANSACTION.SUCCESS", {**TRANSACTION, "trade_state": "PAYERROR"}, Kind.UNKNOWN),
        ("TRANSACTION.FAIL", {**TRANSACTION, "trade_state": "PAYERROR"}, Kind.PAYMENT_FAILED),
        ("REFUND.SUCCESS", {**REFUND, "refund_status": "PROCESSING"}, Kind.UNKNOWN),
        ("REFUND.CLOSED", {**REFUND, "refund_status": "CLOSED"}, Kind.REFUND_FAILED),
    ],
)
def test_a_success_whose_content_says_otherwise_moves_no_money(kind: str, content: Any, found: Kind) -> None:
    assert posts.wechat(kind, content).fact().kind is found


@pytest.mark.parametrize(("kind", "found"), [("COMPLAINT.CREATE", Kind.UNKNOWN), ("SECURITY_ECHO.SUCCESS", Kind.NOTED)])
def test_what_is_about_no_money_is_kept_and_not_opened(kind: str, found: Kind) -> None:
    post = posts.wechat(kind, {}, api_key="f" * 32)
    assert post.fact().kind is found


def test_while_the_api_key_changes_both_are_tried() -> None:
    post = posts.wechat("TRANSACTION.SUCCESS", TRANSACTION, api_key="f" * 32)
    account = ACCOUNTS["wechat"]
    [fact] = post.read(replace(account, shared=(posts.API_KEY, "f" * 32)))
    assert fact.kind is Kind.PAYMENT_SUCCEEDED
    with pytest.raises(ContentSealed):
        post.read(account)
    with pytest.raises(SetupError):
        post.read(replace(account, shared=("short",)))


def test_payments_to_another_merchant_and_of_several_at_once_are_kept() -> None:
    post = posts.wechat("TRANSACTION.SUCCESS", TRANSACTION)
    account = replace(ACCOUNTS["wechat"], ids=frozenset(["1"]))
    assert posts.kinds(post.read(account)) == [Kind.UNKNOWN]
    assert posts.kinds(post.read(replace(account, ids=frozenset([posts.MCHID])))) == [Kind.PAYMENT_SUCCEEDED]
    combined = {"combine_out_trade_no": "C-1", "sub_orders": [TRANSACTION]}
    assert posts.wechat("TRANSACTION.SUCCESS", combined).fact().kind is Kind.UNKNOWN


@pytest.mark.parametrize(
    "change",
    [
        {"algorithm": "AES-128-ECB"},
        {"nonce": ""},
        {"nonce": "short"},
        {"nonce": "n" * 200},
        {"ciphertext": "no base64!"},
        {"ciphertext": None},
        {"ciphertext": ["a"]},
    ],
)
def test_what_can_not_be_opened_at_all_is_refused(change: dict[str, Any]) -> None:
    post = posts.wechat("TRANSACTION.SUCCESS", TRANSACTION)
    content = json.loads(post.body)
    content["resource"].update(change)
    with pytest.raises(BodyInvalid):
        replace(post, body=json.dumps(content).encode()).read()


@pytest.mark.parametrize("change", [{"ciphertext": ""}, {"ciphertext": "AAAA"}, {"associated_data": "another"}])
def test_what_was_changed_does_not_open(change: dict[str, Any]) -> None:
    post = posts.wechat("TRANSACTION.SUCCESS", TRANSACTION)
    content = json.loads(post.body)
    content["resource"].update(change)
    with pytest.raises(ContentSealed):
        replace(post, body=json.dumps(content).encode()).read()


@pytest.mark.parametrize(
    "content",
    [
        {},
        {**TRANSACTION, "amount": {"total": 10.5}},
        {**TRANSACTION, "amount": {"total": -1}},
        {**TRANSACTION, "amount": 1000},
        {**TRANSACTION, "transaction_id": None},
        {**TRANSACTION, "success_time": "20260301200000"},
    ],
)
def test_content_that_makes_no_sense_is_refused(content: Any) -> None:
    with pytest.raises(BodyInvalid):
        posts.wechat("TRANSACTION.SUCCESS", content).read()


@pytest.mark.parametrize("key", [generate_private_key(65537, 1024), ec_key(SECP256R1())], ids=["short", "no RSA"])
def test_weak_keys_are_refused_at_the_start(key: Any) -> None:
    text = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    with pytest.raises(SetupError, match="RSA of 2048 bits"):
        providers.get("wechat").check(replace(ACCOUNTS["wechat"], public_keys={"1": text}))
