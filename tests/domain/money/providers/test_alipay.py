"""Alipay: the form in its charset, and what becomes of each trade status."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from crmgql.domain.money.providers.facts import Account, Kind, Rank
from crmgql.domain.money.providers.refusals import BodyInvalid, SignatureMissing, SignatureWrong
from tests.domain.money.providers import posts


@pytest.mark.parametrize("charset", ["utf-8", "gbk", "GBK", "gb2312"])
def test_the_signature_is_over_the_bytes_of_the_charset(charset: str) -> None:
    post = posts.alipay(charset=charset, out_trade_no="订单-1")
    assert post.fact().order == "订单-1"


def test_the_order_of_the_fields_does_not_matter() -> None:
    post = posts.alipay()
    turned = replace(post, body=b"&".join(reversed(post.body.split(b"&"))))
    assert turned.body != post.body
    turned.verify()


def test_the_key_is_taken_as_the_console_shows_it_or_as_pem() -> None:
    older = posts.private_key()
    for keys in ({"": posts.public(posts.ALIPAYS)}, {"old": posts.bare(older), "new": posts.bare(posts.ALIPAYS)}):
        posts.alipay().verify(Account(public_keys=keys))
    with pytest.raises(SignatureWrong):
        posts.alipay(older).verify()


@pytest.mark.parametrize("old", [b"sign_type=RSA2", b"sign="])
def test_only_rsa2_is_a_signature(old: bytes) -> None:
    """RSA with SHA-1 was the first one; MD5 has a shared key."""
    post = posts.alipay()
    for new in (b"sign_type=RSA", b"sign_type=MD5", b"sign_typ=RSA2", b"x"):
        with pytest.raises((SignatureMissing, SignatureWrong, BodyInvalid)):
            replace(post, body=post.body.replace(old, new, 1)).verify()


def test_a_field_that_comes_twice_is_refused() -> None:
    """Else one of them could be signed and the other one read."""
    post = posts.alipay()
    with pytest.raises(BodyInvalid, match="twice"):
        replace(post, body=post.body + b"&total_amount=0.01").verify()


@pytest.mark.parametrize(
    "body", [b"", b"a", b"a=1&", b"=1", b"a.b=1", b"&".join(b"f%d=1" % n for n in range(201)), b'{"a":1}']
)
def test_what_is_no_form_is_refused(body: bytes) -> None:
    post = replace(posts.alipay(), body=body)
    for use in (post.verify, post.read):
        with pytest.raises(BodyInvalid):
            use()


def test_a_payment() -> None:
    fact = posts.alipay().fact()
    assert (fact.kind, fact.rank, fact.moves_money) == (Kind.PAYMENT_SUCCEEDED, Rank.DONE, True)
    assert (fact.reference, fact.order) == ("2026030122001004330000121536", "A-1")
    assert (str(fact.amount), fact.currency) == ("88.88", "CNY")
    assert fact.occurred_at == datetime(2026, 3, 1, 12, 0, tzinfo=UTC)  # 20:00 in China


@pytest.mark.parametrize(
    ("status", "paid", "kind", "rank"),
    [
        ("WAIT_BUYER_PAY", None, Kind.PAYMENT_EXPECTED, Rank.ANNOUNCED),
        ("TRADE_SUCCESS", "2026-03-01 20:00:00", Kind.PAYMENT_SUCCEEDED, Rank.DONE),
        ("TRADE_FINISHED", "2026-03-01 20:00:00", Kind.PAYMENT_SUCCEEDED, Rank.DONE),
        ("TRADE_CLOSED", None, Kind.PAYMENT_FAILED, Rank.ENDED),
        ("TRADE_TELEPORTED", None, Kind.UNKNOWN, Rank.ANNOUNCED),
    ],
)
def test_what_each_status_is(status: str, paid: str | None, kind: Kind, rank: Rank) -> None:
    fact = posts.alipay(trade_status=status, gmt_payment=paid, refund_fee="0.00").fact()
    assert (fact.kind, fact.rank) == (kind, rank)


@pytest.mark.parametrize("status", ["TRADE_SUCCESS", "TRADE_CLOSED"])
def test_a_refund_tells_of_all_that_was_refunded(status: str) -> None:
    """A trade is closed when nobody paid, and also when all was refunded: then it was paid all the same."""
    post = posts.alipay(
        trade_status=status, refund_fee="30.50", gmt_refund="2026-03-02 08:00:00.123", out_biz_no="ref_1"
    )
    post.verify()
    payment, refund = post.read()
    assert (payment.kind, payment.amount) == (Kind.PAYMENT_SUCCEEDED, Decimal("88.88"))
    assert (refund.kind, refund.amount, refund.cumulative) == (Kind.REFUND_SUCCEEDED, Decimal("30.50"), True)
    assert (refund.key, refund.reference) == ("ref_1", payment.reference)
    assert refund.occurred_at == datetime(2026, 3, 2, 0, 0, 0, 123000, tzinfo=UTC)
    assert payment.event_id != refund.event_id


def test_a_payment_to_another_app_is_not_ours_though_alipay_signed_it() -> None:
    post = posts.alipay(app_id="2000000000000000")
    assert (post.fact().kind, post.fact().moves_money) == (Kind.UNKNOWN, False)


def test_other_notifications_are_kept() -> None:
    assert posts.alipay(notify_type="fund_auth_freeze").fact().kind is Kind.UNKNOWN


@pytest.mark.parametrize("amount", ["88.888", "1e3", "-1.00", "", "88,88", "９", "1" * 16, "NaN"])
def test_what_is_no_amount_is_refused(amount: str) -> None:
    with pytest.raises(BodyInvalid):
        posts.alipay(total_amount=amount).read()


@pytest.mark.parametrize("charset", ["latin-1", "utf-8"])
def test_what_is_not_in_its_charset_is_refused(charset: str) -> None:
    body = posts.form({"charset": charset, "trade_status": "TRADE_SUCCESS"}) + b"&out_trade_no=%FF"
    with pytest.raises(BodyInvalid, match=r"charset|are not in utf-8"):
        replace(posts.alipay(), body=body).read()
