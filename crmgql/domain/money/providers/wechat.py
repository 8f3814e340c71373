"""WeChat Pay, API v3: signed over time, nonce and body with the platform's key; the content is encrypted with ours.

Enters: the headers `Wechatpay-Timestamp`, `-Nonce`, `-Signature` and `-Serial`, which names a platform certificate by its serial
number or a public key by its id (PUB_KEY_ID_…): during the change from one to the other both come
(https://pay.weixin.qq.com/doc/v3/merchant/4013053249). Leaves: a fact per post. `EVENTS` says what each event type becomes.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, replace
from datetime import datetime

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from crmgql.domain.money.providers import minor_units, reading, rsa
from crmgql.domain.money.providers.facts import Account, Answer, Fact, Headers, Kind, Provider, Rank
from crmgql.domain.money.providers.reading import Item
from crmgql.domain.money.providers.refusals import (
    ContentSealed,
    KeyUnknown,
    SignatureMissing,
    SignatureWrong,
)
from crmgql.errors import SetupError

NAME = "wechat"
PROBE = "WECHATPAY/SIGNTEST/"
"""WeChat Pay sends wrong signatures that begin so, to see whether we refuse them."""

SCHEME = "WECHATPAY2-SHA256-RSA2048"
ALGORITHM = "AEAD_AES_256_GCM"
KEY_BYTES = 32
NONCE_BYTES = range(8, 129)
MERCHANT_IDS = ("mchid", "sp_mchid", "sub_mchid")


@dataclass(frozen=True, slots=True)
class Is:
    """What an event type is. `states`: those that its content may then have; empty: any."""

    kind: Kind
    rank: Rank = Rank.ANNOUNCED
    states: tuple[str, ...] = ()


EVENTS = {
    "TRANSACTION.SUCCESS": Is(Kind.PAYMENT_SUCCEEDED, Rank.DONE, ("SUCCESS", "REFUND")),
    "TRANSACTION.FAIL": Is(Kind.PAYMENT_FAILED, Rank.MOVING),
    "REFUND.SUCCESS": Is(Kind.REFUND_SUCCEEDED, Rank.DONE, ("SUCCESS",)),
    "REFUND.CLOSED": Is(Kind.REFUND_FAILED, Rank.ENDED),
    # The bank sent it back: somebody has to say where the money shall go, and then it succeeds.
    "REFUND.ABNORMAL": Is(Kind.REFUND_REQUESTED, Rank.MOVING),
    "SECURITY_ECHO.SUCCESS": Is(Kind.NOTED),
}


def verify(headers: Headers, body: bytes, account: Account, *, now: datetime) -> None:
    """Raises `SignatureMissing`, `SignatureOld`, `KeyUnknown`, `SignatureWrong`, `BodyTooLarge`."""
    reading.check_size(body)
    time, nonce, serial, signature = (
        reading.header(headers, f"Wechatpay-{each}") for each in ("Timestamp", "Nonce", "Serial", "Signature")
    )
    reading.check_time(time, now)
    if signature.startswith(PROBE):
        raise SignatureWrong("A probe of WeChat Pay, which must be refused.")
    if _scheme(headers) != SCHEME:
        raise SignatureWrong(f"Signed by another scheme than {SCHEME}.")
    if reading.CONTROL.search(nonce):
        # With a line break in it the same text could be signed for another body.
        raise SignatureWrong("The nonce holds control characters.")
    key = account.public_keys.get(serial)
    if key is None:
        raise KeyUnknown("Wechatpay-Serial names a certificate or key that is not set up.")
    rsa.check(signature, b"\n".join([time.encode(), nonce.encode(), body, b""]), key)


def _scheme(headers: Headers) -> str:
    try:
        return reading.header(headers, "Wechatpay-Signature-Type")
    except SignatureMissing:
        return SCHEME


def check(account: Account) -> None:
    if not account.public_keys or not account.shared:
        raise SetupError("WeChat Pay needs its public keys by serial number or id, and the APIv3 key.")
    for secret in account.shared:
        _cipher(secret)
    for key in account.public_keys.values():
        rsa.public_key(key)


def read(body: bytes, account: Account) -> list[Fact]:
    """One fact. Content of a type that is not in `EVENTS` is not opened."""
    post = reading.json_object(body)
    found = EVENTS.get(post.text("event_type"))
    content = _opened(post.item("resource"), account) if found and found.kind is not Kind.NOTED else Item({})
    if found is None or not _ours(content, account) or not _as_named(content, found):
        return [_plain(post, Kind.UNKNOWN)]
    if found.kind is Kind.NOTED:
        return [_plain(post, Kind.NOTED)]
    return [_fact(post, content, found)]


def _opened(resource: Item, account: Account) -> Item:
    """The object inside, opened with whichever of our keys. Raises `ContentSealed` if there is none."""
    nonce, more = resource.text("nonce").encode(), (resource.maybe("associated_data") or "").encode()
    if resource.text("algorithm") != ALGORITHM or len(nonce) not in NONCE_BYTES:
        raise resource.wrong("algorithm", f"{ALGORITHM}, with a nonce")
    sealed = _ciphertext(resource)
    for key in account.shared:
        try:
            return reading.json_object(_cipher(key).decrypt(nonce, sealed, more))
        except InvalidTag:
            continue
    raise ContentSealed("None of our APIv3 keys opens the content; has it been changed?")


def _cipher(key: str) -> AESGCM:
    if len(key.encode()) != KEY_BYTES:
        raise SetupError(f"The APIv3 key of WeChat Pay has {KEY_BYTES} characters.")
    return AESGCM(key.encode())


def _ciphertext(resource: Item) -> bytes:
    text = resource.values.get("ciphertext")
    try:
        return base64.b64decode(text if isinstance(text, str) else "!", validate=True)
    except (binascii.Error, ValueError):
        raise resource.wrong("ciphertext", "in base64") from None


def _ours(content: Item, account: Account) -> bool:
    named = {content.maybe(each) for each in MERCHANT_IDS} - {None}
    return not account.ids or not named or bool(named & account.ids)


def _as_named(content: Item, found: Is) -> bool:
    """Whether the content is one payment or refund, in a state that the event's type names."""
    state = content.maybe("refund_status") or content.maybe("trade_state")
    return not content.has("sub_orders") and (state is None or not found.states or state in found.states)


def _plain(post: Item, kind: Kind) -> Fact:
    return Fact(
        provider=NAME,
        event_id=post.text("id"),
        kind=kind,
        raw_kind=post.text("event_type"),
        occurred_at=post.time("create_time"),
    )


def _fact(post: Item, content: Item, found: Is) -> Fact:
    refund = found.kind.family == "REFUND"
    plain, money = _plain(post, found.kind), content.item("amount")
    currency = money.currency("currency") if money.has("currency") else "CNY"
    return replace(
        plain,
        occurred_at=content.time("success_time") if content.has("success_time") else plain.occurred_at,
        rank=found.rank,
        reference=content.text("transaction_id"),
        part=content.text("refund_id") if refund else None,
        key=content.maybe("out_refund_no") if refund else None,
        order=content.maybe("out_trade_no"),
        amount=minor_units.amount(money.units("refund" if refund else "total"), currency, {}),
        currency=currency,
        method=content.maybe("trade_type"),
    )


PROVIDER = Provider(name=NAME, verify=verify, read=read, check=check, accepted=Answer(204))
