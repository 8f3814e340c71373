"""Alipay: a form, signed over its fields with RSA2 (https://opendocs.alipay.com/open/270/105902).

Enters: fields in the charset that they name. Leaves: a fact about the payment, and one about all that was refunded of it.
`TRADES` says what each trade status becomes. Alipay's key may be the same for many merchants: whose money it is says `app_id`,
which is therefore among `Account.ids`; facts of others are UNKNOWN.
"""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from urllib.parse import unquote_to_bytes

from crmgql.domain.money.providers import minor_units, reading, rsa
from crmgql.domain.money.providers.facts import Account, Answer, Fact, Headers, Kind, Provider, Rank
from crmgql.domain.money.providers.reading import Item
from crmgql.domain.money.providers.refusals import BodyInvalid, SignatureMissing, SignatureWrong
from crmgql.errors import SetupError

NAME = "alipay"
CHINA = timezone(timedelta(hours=8))
"""Its times don't say their zone, and China has had no summer time since 1991."""

CHARSETS = {"utf-8": "utf-8", "gbk": "gbk", "gb2312": "gbk", "gb18030": "gb18030"}
MOST_FIELDS = 200
FIELD = re.compile(rb"[A-Za-z0-9_]{1,64}")
AMOUNT = re.compile(r"[0-9]{1,15}(\.[0-9]{1,3})?", re.ASCII)
UNSIGNED = (b"sign", b"sign_type")
PAID = (Kind.PAYMENT_SUCCEEDED, Rank.DONE, "gmt_payment")
CLOSED = (Kind.PAYMENT_FAILED, Rank.ENDED, "gmt_close")
TRADES = {
    "WAIT_BUYER_PAY": (Kind.PAYMENT_EXPECTED, Rank.ANNOUNCED, "gmt_create"),
    "TRADE_SUCCESS": PAID,
    "TRADE_FINISHED": PAID,
    "TRADE_CLOSED": CLOSED,  # PAID if it was paid before: then it is closed because all was refunded
}


def verify(headers: Headers, body: bytes, account: Account, *, now: datetime) -> None:
    """Over all fields but `sign` and `sign_type`, decoded, by name. Alipay repeats posts for 25 hours: `now` is not asked.

    Raises `SignatureMissing`, `SignatureWrong`, `BodyInvalid`, `BodyTooLarge`.
    """
    fields = form_fields(body)
    if fields.get(b"sign_type") != b"RSA2" or not fields.get(b"sign"):
        raise SignatureMissing("The post must have a sign, and RSA2 as its sign_type.")
    signed = b"&".join(name + b"=" + fields[name] for name in sorted(fields) if name not in UNSIGNED)
    signature = fields[b"sign"].decode("ascii", "replace")
    for key in account.public_keys.values():
        try:
            return rsa.check(signature, signed, key)
        except SignatureWrong:
            continue
    raise SignatureWrong("The sign is not one of Alipay's keys' over these fields.")


def form_fields(body: bytes) -> dict[bytes, bytes]:
    """The form's fields, decoded and in bytes still: the signature is over bytes."""
    reading.check_size(body)
    pairs = [part.partition(b"=") for part in body.split(b"&")]
    if len(pairs) > MOST_FIELDS or not all(FIELD.fullmatch(name) and equals for name, equals, _ in pairs):
        raise BodyInvalid(f"The body must be a form of at most {MOST_FIELDS} fields.")
    fields = {name: unquote_to_bytes(value.replace(b"+", b" ")) for name, _, value in pairs}
    if len(fields) != len(pairs):
        raise BodyInvalid("The form has a field twice.")
    return fields


def check(account: Account) -> None:
    if not account.public_keys or not account.ids:
        raise SetupError("Alipay needs its public key, and the app_id of each app of ours.")
    for key in account.public_keys.values():
        rsa.public_key(key)


def read(body: bytes, account: Account) -> list[Fact]:
    """The payment's fact, and a second one if anything of it was refunded."""
    form = _decoded(form_fields(body))
    found = TRADES.get(form.text("trade_status")) if form.maybe("notify_type") == "trade_status_sync" else None
    if found is None or form.text("app_id") not in account.ids:
        return [_plain(form)]
    refunded = _amount(form, "refund_fee") if form.maybe("refund_fee") else Decimal(0)
    if found is CLOSED and (form.maybe("gmt_payment") or refunded):
        found = PAID
    payment = _fact(form, *found, _amount(form, "total_amount"))
    return [payment, _refund(form, refunded)] if refunded else [payment]


def _decoded(fields: dict[bytes, bytes]) -> Item:
    charset = CHARSETS.get(fields.get(b"charset", b"utf-8").decode("ascii", "replace").lower())
    if charset is None:
        raise BodyInvalid(f"The charset must be one of {', '.join(CHARSETS)}.")
    try:
        return Item({name.decode("ascii"): value.decode(charset) for name, value in fields.items()})
    except UnicodeDecodeError:
        raise BodyInvalid(f"The fields are not in {charset}.") from None


def _plain(form: Item) -> Fact:
    return Fact(
        provider=NAME,
        event_id=form.text("notify_id"),
        kind=Kind.UNKNOWN,
        raw_kind=form.maybe("trade_status") or form.maybe("notify_type") or "-",
        occurred_at=form.time("notify_time", CHINA),
    )


def _fact(form: Item, kind: Kind, rank: Rank, when: str, amount: Decimal) -> Fact:
    return replace(
        _plain(form),
        kind=kind,
        occurred_at=form.time(when if form.maybe(when) else "notify_time", CHINA),
        rank=rank,
        reference=form.text("trade_no"),
        order=form.maybe("out_trade_no"),
        amount=amount,
        currency=_currency(form),
        method=NAME,
    )


def _refund(form: Item, refunded: Decimal) -> Fact:
    fact = _fact(form, Kind.REFUND_SUCCEEDED, Rank.DONE, "gmt_refund", refunded)
    return replace(fact, event_id=f"{fact.event_id}/refund", key=form.maybe("out_biz_no"), cumulative=True)


def _currency(form: Item) -> str:
    return form.currency("trans_currency") if form.maybe("trans_currency") else "CNY"


def _amount(form: Item, name: str) -> Decimal:
    text = form.text(name)
    if not AMOUNT.fullmatch(text):
        raise form.wrong(name, "an amount such as 88.88")
    return minor_units.exact(Decimal(text), _currency(form))


PROVIDER = Provider(name=NAME, verify=verify, read=read, check=check, accepted=Answer(200, b"success", "text/plain"))
