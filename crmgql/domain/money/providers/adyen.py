"""Adyen: notifications with a signature per item, and platform webhooks with one over the raw body.

Enters: a post of standard webhooks, a list of `NotificationRequestItem`s, or of a platform webhook, signed in the header
`HmacSignature` (https://docs.adyen.com/development-resources/webhooks/secure-webhooks/verify-hmac-signatures).
Leaves: a fact per item. `EVENTS` says what each event code becomes; codes that are not in it, and all platform webhooks, are UNKNOWN.

An item's signature covers eight fields and nothing else: not its date, its payment method, its `additionalData` or
the number of items. The date orders facts of equal rank; what is told refund from cancellation, or chargeback from inquiry,
by `additionalData` relies on TLS and on nobody knowing the address.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import dataclass, replace
from datetime import datetime

from crmgql.domain.money.providers import minor_units, reading
from crmgql.domain.money.providers.facts import Account, Answer, Fact, Headers, Kind, Provider, Rank
from crmgql.domain.money.providers.reading import Item
from crmgql.domain.money.providers.refusals import BodyInvalid, SignatureMissing, SignatureWrong
from crmgql.errors import SetupError

NAME = "adyen"
SCALES = {"CLP": 2, "CVE": 0, "IDR": 0, "ISK": 2}
"""Where Adyen's decimals are not ISO's (https://docs.adyen.com/development-resources/currency-codes)."""

MOST_ITEMS = 100
KEY_BYTES = 32


@dataclass(frozen=True, slots=True)
class Is:
    """What an event code is. `otherwise`: what it is when `success` is false. `part`: whether it is about a part of a payment,
    a capture, refund or dispute, whose reference it has; else it is about the whole."""

    kind: Kind
    rank: Rank = Rank.ANNOUNCED
    otherwise: tuple[Kind, Rank] = (Kind.NOTED, Rank.ANNOUNCED)
    part: bool = False


NOTED = Is(Kind.NOTED)
CANCELLED = Is(Kind.PAYMENT_FAILED, Rank.ENDED)
EXPIRED = Is(Kind.PAYMENT_FAILED, Rank.ENDED)
REFUNDED = Is(Kind.REFUND_SUCCEEDED, Rank.DONE, (Kind.REFUND_FAILED, Rank.ENDED), part=True)
REFUND_UNDONE = Is(Kind.REFUND_FAILED, Rank.REVERSED, part=True)
CHARGED_BACK = Is(Kind.DISPUTE_OPENED, Rank.HELD, part=True)
UNDEFENDED = Is(Kind.DISPUTE_LOST, Rank.ENDED, part=True)

# All events of a dispute have its reference: https://docs.adyen.com/risk-management/disputes-api/dispute-notifications
EVENTS = {
    "AUTHORISATION": Is(Kind.PAYMENT_AUTHORISED, Rank.HELD, (Kind.PAYMENT_FAILED, Rank.MOVING)),
    "AUTHORISATION_ADJUSTMENT": Is(Kind.PAYMENT_AUTHORISED, Rank.HELD),
    "CANCELLATION": CANCELLED,
    "TECHNICAL_CANCEL": CANCELLED,
    "EXPIRE": EXPIRED,
    "OFFER_CLOSED": EXPIRED,
    "CAPTURE": Is(Kind.PAYMENT_SUCCEEDED, Rank.DONE, (Kind.PAYMENT_FAILED, Rank.MOVING), part=True),
    "CAPTURE_FAILED": Is(Kind.PAYMENT_FAILED, Rank.REVERSED, part=True),
    "REFUND": REFUNDED,
    "REFUND_WITH_DATA": REFUNDED,
    "REFUND_FAILED": REFUND_UNDONE,
    "REFUNDED_REVERSED": REFUND_UNDONE,
    "POSTPONED_REFUND": Is(Kind.REFUND_REQUESTED, part=True),
    "CANCEL_OR_REFUND": NOTED,  # see _row: additionalData says which
    "CHARGEBACK": CHARGED_BACK,
    "DISPUTE_OPENED_WITH_CHARGEBACK": CHARGED_BACK,
    "CHARGEBACK_REVERSED": Is(Kind.DISPUTE_WON, Rank.DONE, part=True),
    "ISSUER_RESPONSE_TIMEFRAME_EXPIRED": Is(Kind.DISPUTE_WON, Rank.REVERSED, part=True),
    "PREARBITRATION_WON": Is(Kind.DISPUTE_WON, Rank.REVERSED, part=True),
    "PREARBITRATION_ISSUER_WITHDRAWN": Is(Kind.DISPUTE_WON, Rank.REVERSED, part=True),
    "SECOND_CHARGEBACK": Is(Kind.DISPUTE_LOST, Rank.REVERSED, part=True),
    "PREARBITRATION_LOST": Is(Kind.DISPUTE_LOST, Rank.REVERSED, part=True),
    "SCHEME_ARBITRATION_WON": Is(Kind.DISPUTE_WON, Rank.LAST, part=True),
    "SCHEME_ARBITRATION_LOST": Is(Kind.DISPUTE_LOST, Rank.LAST, part=True),
    "DISPUTE_DEFENSE_PERIOD_ENDED": NOTED,  # see _row: UNDEFENDED if there was a chargeback
    "NOTIFICATION_OF_CHARGEBACK": NOTED,
    "NOTIFICATION_OF_FRAUD": NOTED,
    "REQUEST_FOR_INFORMATION": NOTED,
    "INFORMATION_SUPPLIED": NOTED,
    "ISSUER_COMMENTS": NOTED,
    "PREARBITRATION_OPEN": NOTED,
    "PREARBITRATION_ACCEPTED": NOTED,  # by whom, the documentation does not say
    "PREARBITRATION_DECLINED": NOTED,
    "SCHEME_ARBITRATION": NOTED,
    "VOID_PENDING_REFUND": NOTED,
    "ORDER_OPENED": NOTED,
    "ORDER_CLOSED": NOTED,
    "MANUAL_REVIEW_ACCEPT": NOTED,
    "MANUAL_REVIEW_REJECT": NOTED,
    "RECURRING_CONTRACT": NOTED,
    "REPORT_AVAILABLE": NOTED,
}


def verify(headers: Headers, body: bytes, account: Account, *, now: datetime) -> None:
    """Each item by its own signature, all of them or none. Adyen signs no time, so `now` is not asked.

    Raises `SignatureMissing`, `SignatureWrong`, `BodyInvalid`, `BodyTooLarge`.
    """
    content = reading.json_object(body)
    if not content.has("notificationItems"):
        return _compare(reading.header(headers, "HmacSignature"), body, account)
    for item in _items(content):
        given = item.maybe_item("additionalData").maybe("hmacSignature")
        if given is None:
            raise SignatureMissing(f"{item.path}additionalData.hmacSignature is missing.")
        _compare(given, signed_text(item).encode(), account)
    return None


def _compare(given: str, signed: bytes, account: Account) -> None:
    made = [signature(secret, signed) for secret in account.shared]
    if sum(hmac.compare_digest(each.encode(), given.encode()) for each in made) == 0:
        raise SignatureWrong("The signature is not one of our keys' over this notification.")


def signature(secret: str, signed: bytes) -> str:
    """Of a text or a body, in base64."""
    return base64.b64encode(hmac.digest(_key(secret), signed, "sha256")).decode()


def signed_text(item: Item) -> str:
    """The eight signed fields, joined by colons and not escaped: so only one of them, the merchant's own, may hold any.

    With a colon in others the same text could be read as another notification.
    """
    amount = item.maybe_item("amount")
    before = [item.text("pspReference"), item.maybe("originalReference") or "", item.text("merchantAccountCode")]
    after = [_written(amount, "value"), amount.maybe("currency") or "", item.text("eventCode")]
    after.append("true" if item.flag("success") else "false")
    if any(":" in each for each in before + after):
        raise BodyInvalid(f"{item.path}merchantReference alone may hold colons.")
    own = item.values.get("merchantReference")
    return ":".join([*before, own if isinstance(own, str) else "", *after])


def _written(amount: Item, name: str) -> str:
    return str(amount.whole(name)) if amount.has(name) else ""


def _key(secret: str) -> bytes:
    try:
        return bytes.fromhex(secret)
    except ValueError:
        raise SetupError("Adyen's HMAC key must be in hexadecimal digits, as its console shows it.") from None


def _items(content: Item) -> list[Item]:
    items = content.items("notificationItems")
    if not 0 < len(items) <= MOST_ITEMS:
        raise content.wrong("notificationItems", f"1 to {MOST_ITEMS} items")
    return [each.item("NotificationRequestItem") for each in items]


def check(account: Account) -> None:
    if not account.shared or not all(len(_key(each)) == KEY_BYTES for each in account.shared):
        raise SetupError(f"Adyen needs the webhook's HMAC key, {2 * KEY_BYTES} hexadecimal digits.")


def read(body: bytes, account: Account) -> list[Fact]:
    """One fact per item, in their order."""
    content = reading.json_object(body)
    if not content.has("notificationItems"):
        return [_platform(content, body)]
    live = content.flag("live")
    return [_fact(item, live, account) for item in _items(content)]


def _platform(content: Item, body: bytes) -> Fact:
    """Balance platform, management, tokens: about no payment of ours. Some have no id, so the bytes are the id."""
    kind = content.text("type")
    times = [each for each in ("timestamp", "createdAt") if content.has(each)]
    data = content.maybe_item("data")
    when = content.time(times[0]) if times else data.time("creationDate")
    return Fact(
        provider=NAME,
        event_id=f"{kind}:{hashlib.sha256(body).hexdigest()}",
        kind=Kind.UNKNOWN,
        raw_kind=kind,
        occurred_at=when,
        live=content.maybe("environment") == "live",
    )


def _fact(item: Item, live: bool, account: Account) -> Fact:
    code, success, own = item.text("eventCode"), item.flag("success"), item.text("pspReference")
    ours = not account.ids or item.text("merchantAccountCode") in account.ids
    row = _row(item, code, account) if ours else None
    plain = Fact(
        provider=NAME,
        event_id=f"{code}:{own}:{'true' if success else 'false'}",  # the pair that Adyen calls a duplicate, and the outcome
        kind=Kind.UNKNOWN,
        raw_kind=code,
        occurred_at=item.time("eventDate"),
        success=success,
        live=live,
    )
    return plain if row is None else _filled(plain, item, row, own)


def _row(item: Item, code: str, account: Account) -> Is | None:
    more, row = item.maybe_item("additionalData"), EVENTS.get(code)
    if code == "CANCEL_OR_REFUND":
        row = {"cancel": CANCELLED, "refund": REFUNDED}.get(more.maybe("modification.action") or "")
    if code == "DISPUTE_DEFENSE_PERIOD_ENDED" and more.has("chargebackReasonCode"):
        row = UNDEFENDED  # of an inquiry that nobody answered, no money was taken yet
    if row is not None and account.captured_at_once:
        return _at_once(row, code)
    return row


def _at_once(row: Is, code: str) -> Is:
    """Where authorised money is taken by itself: what was authorised succeeded, and a cancellation undoes that."""
    if code == "AUTHORISATION":
        return replace(row, kind=Kind.PAYMENT_SUCCEEDED, rank=Rank.DONE)
    return replace(row, rank=Rank.REVERSED) if row is CANCELLED else row


def _filled(plain: Fact, item: Item, row: Is, own: str) -> Fact:
    kind, rank = (row.kind, row.rank) if plain.success else row.otherwise
    original, named = item.maybe("originalReference"), item.maybe("merchantReference")
    # Of a capture or refund it is what we called that; of all else it is what we called the payment.
    modified = row.part and row.kind.family != "DISPUTE"
    money = item.item("amount") if kind is not Kind.NOTED else None
    currency = money.currency("currency") if money else None
    return replace(
        plain,
        kind=kind,
        rank=rank,
        reference=original if row.part else original or own,
        part=own if row.part else None,
        key=named if modified else None,
        order=None if modified else named,
        amount=minor_units.amount(money.units("value"), currency, SCALES) if money and currency else None,
        currency=currency,
        method=item.maybe("paymentMethod"),
    )


PROVIDER = Provider(
    name=NAME,
    verify=verify,
    read=read,
    check=check,
    # The status alone counts since 2023; webhooks set up before want the word.
    accepted=Answer(200, b"[accepted]", "text/plain"),
)
