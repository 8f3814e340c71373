"""Only the provider's own bytes are taken: no byte of body or signature can be another one."""

from __future__ import annotations

import base64
import string
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from urllib.parse import quote_plus

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from crmgql.domain.money import providers
from crmgql.domain.money.providers.alipay import form_fields
from crmgql.domain.money.providers.facts import Account
from crmgql.domain.money.providers.refusals import (
    BodyInvalid,
    BodyTooLarge,
    KeyUnknown,
    ProviderUnknown,
    SignatureMissing,
    SignatureOld,
    SignatureWrong,
)
from crmgql.errors import CrmError, SetupError
from tests.domain.money.providers import posts
from tests.domain.money.providers.posts import NOW, Post

POSTS = posts.every_provider()
WHOLE = [post for post in POSTS if post.provider in ("stripe", "wechat")]
BY_NAME = {post.provider: post for post in POSTS}
SIGNED_BY_ADYEN = (b"PSP1", b"PSP0", b"Shop", b"A-1", b"1000", b"EUR", b"CAPTURE", b'"success": "true"')


def names(post: Post) -> str:
    return post.provider


@pytest.mark.parametrize("post", POSTS, ids=names)
def test_what_the_provider_signed_is_taken_and_has_its_answer(post: Post) -> None:
    post.verify()
    provider = providers.get(post.provider)
    provider.check(posts.ACCOUNTS[post.provider])
    answer = provider.accepted
    assert (answer.status, answer.body) == {
        "stripe": (200, b""),
        "adyen": (200, b"[accepted]"),
        "alipay": (200, b"success"),
        "wechat": (204, b""),
    }[post.provider]


def test_a_provider_that_nobody_knows_is_refused() -> None:
    with pytest.raises(ProviderUnknown, match="adyen, alipay, stripe, wechat"):
        providers.get("paypal")


@pytest.mark.parametrize("post", WHOLE, ids=names)
@given(data=st.data())
def test_another_byte_anywhere_in_the_body_is_refused(post: Post, data: st.DataObject) -> None:
    at, bit = data.draw(st.integers(0, len(post.body) - 1)), data.draw(st.integers(0, 7))
    with pytest.raises(SignatureWrong):
        replace(post, body=flipped(post.body, at, bit)).verify()


@pytest.mark.parametrize("post", WHOLE, ids=names)
@given(more=st.binary(min_size=1, max_size=5))
def test_bytes_added_or_left_out_are_refused(post: Post, more: bytes) -> None:
    for body in (post.body + more, more + post.body, post.body[: -len(more)]):
        with pytest.raises(SignatureWrong):
            replace(post, body=body).verify()


@pytest.mark.parametrize("post", WHOLE, ids=names)
@given(data=st.data())
@settings(max_examples=300)
def test_another_character_anywhere_in_a_signed_header_is_refused(post: Post, data: st.DataObject) -> None:
    """Base64 and hexadecimal digits can be spelled in several ways: each signature has one."""
    name = data.draw(st.sampled_from(sorted(post.headers)))
    value = post.headers[name]
    at, other = data.draw(st.integers(0, len(value) - 1)), data.draw(st.sampled_from(string.printable + "é公"))
    assume(value[at] != other)
    with pytest.raises((SignatureWrong, SignatureMissing, SignatureOld, KeyUnknown)):
        post.with_header(name, value[:at] + other + value[at + 1 :]).verify()


@pytest.mark.parametrize("last", range(1, 16))
def test_a_signature_has_no_other_spelling(last: int) -> None:
    """256 bytes in base64 end with four bits that mean nothing."""
    digits = string.ascii_uppercase + string.ascii_lowercase + string.digits + "+/"
    for name in ("wechat", "alipay"):
        post = BY_NAME[name]
        given = post.headers["Wechatpay-Signature"] if name == "wechat" else form_fields(post.body)[b"sign"].decode()
        other = given[:-3] + digits[digits.index(given[-3]) ^ last] + "=="
        assert base64.b64decode(other) == base64.b64decode(given)
        body = post.body.replace(quote_plus(given).encode(), quote_plus(other).encode())
        with pytest.raises(SignatureWrong):
            replace(post.with_header("Wechatpay-Signature", other), body=body).verify()


@given(data=st.data())
@settings(max_examples=300)
def test_alipays_fields_are_all_signed(data: st.DataObject) -> None:
    """Another byte of the form is another field, or the same one written otherwise (%2b, %2B)."""
    post = BY_NAME["alipay"]
    body = flipped(post.body, data.draw(st.integers(0, len(post.body) - 1)), data.draw(st.integers(0, 7)))
    with suppress(BodyInvalid):
        assume(form_fields(body) != form_fields(post.body))
    with pytest.raises((SignatureWrong, SignatureMissing, BodyInvalid)):
        replace(post, body=body).verify()


@given(data=st.data())
def test_the_eight_fields_that_adyen_signs_can_not_be_changed(data: st.DataObject) -> None:
    post = BY_NAME["adyen"]
    field = data.draw(st.sampled_from(SIGNED_BY_ADYEN))
    at = post.body.index(field) + data.draw(st.integers(0, len(field) - 1))
    with pytest.raises((SignatureWrong, BodyInvalid)):
        replace(post, body=flipped(post.body, at, data.draw(st.integers(0, 7)))).verify()


@given(data=st.data())
def test_another_byte_in_adyens_signature_is_refused(data: st.DataObject) -> None:
    post = BY_NAME["adyen"]
    start = post.body.index(b'"hmacSignature": "') + len(b'"hmacSignature": "')
    at = start + data.draw(st.integers(0, 43))
    with pytest.raises((SignatureWrong, SignatureMissing, BodyInvalid)):
        replace(post, body=flipped(post.body, at, data.draw(st.integers(0, 7)))).verify()


def flipped(body: bytes, at: int, bit: int) -> bytes:
    return body[:at] + bytes([body[at] ^ 1 << bit]) + body[at + 1 :]


@pytest.mark.parametrize("post", POSTS, ids=names)
def test_without_keys_nothing_is_taken(post: Post) -> None:
    with pytest.raises((SignatureWrong, KeyUnknown)):
        post.verify(Account())
    with pytest.raises(SetupError):
        providers.get(post.provider).check(Account())


@pytest.mark.parametrize("post", WHOLE, ids=names)
def test_an_unsigned_post_is_refused(post: Post) -> None:
    for name in post.headers:
        with pytest.raises(SignatureMissing):
            replace(post, headers={each: value for each, value in post.headers.items() if each != name}).verify()


@pytest.mark.parametrize("post", POSTS, ids=names)
def test_headers_may_be_written_in_any_case(post: Post) -> None:
    replace(post, headers={name.upper(): value for name, value in post.headers.items()}).verify()


@pytest.mark.parametrize("post", WHOLE, ids=names)
@pytest.mark.parametrize("sign", [1, -1])
def test_a_time_of_300_seconds_from_now_is_taken_and_more_is_not(post: Post, sign: int) -> None:
    post.verify(now=NOW + sign * timedelta(seconds=300))
    with pytest.raises(SignatureOld):
        post.verify(now=NOW + sign * timedelta(seconds=301))


@pytest.mark.parametrize("post", POSTS, ids=names)
def test_too_large_a_body_is_refused(post: Post) -> None:
    large = replace(post, body=post.body + b" " * 1024 * 1024)
    for use in (large.verify, large.read):
        with pytest.raises(BodyTooLarge):
            use()


@pytest.mark.parametrize(
    ("name", "account", "message"),
    [
        ("stripe", Account(shared=("sk_live_1",)), "whsec_"),
        ("adyen", Account(shared=("no hex",)), "hexadecimal"),
        ("adyen", Account(shared=("00ff",)), "64 hexadecimal"),
        ("alipay", Account(public_keys={"": posts.bare(posts.ALIPAYS)}), "app_id"),
        ("alipay", Account(public_keys={"": "nothing"}, ids=frozenset("1")), "can't be read"),
        ("wechat", Account(public_keys={"1": posts.public(posts.WECHATS)}, shared=("short",)), "32 characters"),
    ],
)
def test_an_account_that_can_not_work_is_told_of_at_the_start(name: str, account: Account, message: str) -> None:
    with pytest.raises(SetupError, match=message):
        providers.get(name).check(account)


def test_no_secret_is_shown() -> None:
    assert posts.SECRET not in repr(posts.ACCOUNTS["stripe"])


@pytest.mark.parametrize("post", POSTS, ids=names)
@given(body=st.binary(max_size=200), headers=st.dictionaries(st.text(max_size=20), st.text(max_size=20), max_size=4))
def test_whatever_a_stranger_sends_gets_a_coded_refusal(post: Post, body: bytes, headers: dict[str, str]) -> None:
    with pytest.raises(CrmError):
        replace(post, body=body, headers={**post.headers, **headers}).verify()
    with pytest.raises(CrmError):
        replace(post, body=body, headers=headers).verify()
