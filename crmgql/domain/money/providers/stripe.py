"""Stripe: events as snapshots of objects, signed over the raw body (https://docs.stripe.com/webhooks#verify-manually).

Enters: the header `Stripe-Signature` with `t` and one `v1` per live secret, and the event. Leaves: a fact for what the event
is about and one for each fee in it. `EVENTS` says what each type becomes; types that are not in it are UNKNOWN.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from crmgql.domain.money.providers import minor_units, reading
from crmgql.domain.money.providers.facts import Account, Answer, Fact, Headers, Kind, Provider, Rank
from crmgql.domain.money.providers.reading import Item
from crmgql.domain.money.providers.refusals import SignatureMissing, SignatureWrong
from crmgql.errors import SetupError

NAME = "stripe"
MOST_SIGNATURES = 20
SCALES = {"ISK": 2, "UGX": 2, "MGA": 0}
"""Where Stripe's smallest unit is not ISO's: 500 is 5 ISK, 5 UGX and 500 MGA. UGX is also in its list of currencies without
decimals; the special case is the later word (https://docs.stripe.com/currencies#special-cases)."""

ORDER_KEYS = ("order", "order_id")
"""Where in `metadata` the merchant's own order reference is looked for."""


@dataclass(frozen=True, slots=True)
class Is:
    """What an event or a status is: its kind, how far it is, and the field with its amount."""

    kind: Kind
    rank: Rank = Rank.ANNOUNCED
    amount: str = "amount"
    cumulative: bool = False


NOTED = Is(Kind.NOTED)
AUTHORISED = Is(Kind.PAYMENT_AUTHORISED, Rank.HELD)
REFUNDS = {  # https://docs.stripe.com/api/refunds/object#refund_object-status
    "pending": Is(Kind.REFUND_REQUESTED, Rank.MOVING),
    "requires_action": Is(Kind.REFUND_REQUESTED, Rank.MOVING),
    "succeeded": Is(Kind.REFUND_SUCCEEDED, Rank.DONE),
    "failed": Is(Kind.REFUND_FAILED, Rank.REVERSED),
    "canceled": Is(Kind.REFUND_FAILED, Rank.REVERSED),
}
DISPUTES = {  # warnings are inquiries: no money is taken
    "needs_response": Is(Kind.DISPUTE_OPENED, Rank.HELD),
    "under_review": Is(Kind.DISPUTE_OPENED, Rank.HELD),
    "won": Is(Kind.DISPUTE_WON, Rank.DONE),
    "lost": Is(Kind.DISPUTE_LOST, Rank.DONE),
    "warning_needs_response": NOTED,
    "warning_under_review": NOTED,
    "warning_closed": NOTED,
    "prevented": NOTED,
}
PAYOUTS = {
    "pending": Is(Kind.PAYOUT_EXPECTED),
    "in_transit": Is(Kind.PAYOUT_EXPECTED, Rank.MOVING),
    "paid": Is(Kind.PAYOUT_PAID, Rank.DONE),
    "failed": Is(Kind.PAYOUT_FAILED, Rank.REVERSED),  # some banks return what was paid
    "canceled": Is(Kind.PAYOUT_FAILED, Rank.ENDED),
}
EVENTS: Mapping[str, Is | Mapping[str, Is]] = {
    "payment_intent.created": Is(Kind.PAYMENT_EXPECTED),
    "payment_intent.requires_action": Is(Kind.PAYMENT_EXPECTED),
    "payment_intent.processing": Is(Kind.PAYMENT_EXPECTED, Rank.MOVING),
    "payment_intent.payment_failed": Is(Kind.PAYMENT_FAILED, Rank.MOVING),
    "payment_intent.amount_capturable_updated": Is(Kind.PAYMENT_AUTHORISED, Rank.HELD, "amount_capturable"),
    "payment_intent.canceled": Is(Kind.PAYMENT_FAILED, Rank.ENDED),
    "payment_intent.succeeded": Is(Kind.PAYMENT_SUCCEEDED, Rank.DONE, "amount_received"),
    "payment_intent.partially_funded": NOTED,
    "charge.pending": Is(Kind.PAYMENT_EXPECTED, Rank.MOVING),
    "charge.succeeded": Is(Kind.PAYMENT_SUCCEEDED, Rank.DONE, "amount_captured"),  # AUTHORISED until it is captured
    "charge.captured": Is(Kind.PAYMENT_SUCCEEDED, Rank.DONE, "amount_captured"),
    "charge.failed": Is(Kind.PAYMENT_FAILED, Rank.MOVING),
    "charge.expired": Is(Kind.PAYMENT_FAILED, Rank.ENDED),
    "charge.updated": NOTED,
    "charge.refunded": Is(Kind.REFUND_SUCCEEDED, Rank.DONE, "amount_refunded", cumulative=True),
    "charge.refund.updated": REFUNDS,
    "refund.created": REFUNDS,
    "refund.updated": REFUNDS,
    "refund.failed": REFUNDS,
    "charge.dispute.created": DISPUTES,
    "charge.dispute.updated": DISPUTES,
    "charge.dispute.closed": DISPUTES,
    "charge.dispute.funds_withdrawn": DISPUTES,
    "charge.dispute.funds_reinstated": DISPUTES,
    "payout.created": PAYOUTS,
    "payout.updated": PAYOUTS,
    "payout.paid": PAYOUTS,
    "payout.failed": PAYOUTS,
    "payout.canceled": PAYOUTS,
    "payout.reconciliation_completed": NOTED,
    # These tell of a payment or refund that its own events tell of, too: the order's reference is what they add.
    "checkout.session.completed": NOTED,
    "checkout.session.async_payment_succeeded": NOTED,
    "checkout.session.async_payment_failed": NOTED,
    "checkout.session.expired": NOTED,
    "invoice.created": NOTED,
    "invoice.updated": NOTED,
    "invoice.finalized": NOTED,
    "invoice.paid": NOTED,
    "invoice.payment_succeeded": NOTED,
    "invoice.payment_failed": NOTED,
    "invoice.voided": NOTED,
    "credit_note.created": NOTED,
    "balance.available": NOTED,
    # What a platform earns of its sellers' payments: no fee that we pay, and no payment of our customers.
    "application_fee.created": NOTED,
    "application_fee.refunded": NOTED,
}


def verify(headers: Headers, body: bytes, account: Account, *, now: datetime) -> None:
    """Raises `SignatureMissing`, `SignatureOld`, `SignatureWrong`, `BodyTooLarge`."""
    reading.check_size(body)
    time, given = _parts(reading.header(headers, "Stripe-Signature"))
    reading.check_time(time, now)
    signed = time.encode() + b"." + body
    made = [hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest().encode() for secret in account.shared]
    # Without a short cut: all pairs are compared.
    if sum(hmac.compare_digest(each, other) for each in made for other in given) == 0:
        raise SignatureWrong("None of the signatures is one of our secrets' over this body.")


def _parts(text: str) -> tuple[str, list[bytes]]:
    """Signed time, and signatures of the scheme v1: others are of test mode, or to come."""
    parts = [part.partition("=")[::2] for part in text.split(",")]
    times = [value for name, value in parts if name == "t"]
    given = [value.encode() for name, value in parts if name == "v1"][:MOST_SIGNATURES]
    if len(times) != 1 or not given:
        raise SignatureMissing("Stripe-Signature must hold one t and at least one v1.")
    return times[0], given


def check(account: Account) -> None:
    if not account.shared or not all(each.startswith("whsec_") for each in account.shared):
        raise SetupError("Stripe needs the endpoint's signing secret, which begins with whsec_.")


def read(body: bytes, account: Account) -> list[Fact]:
    """One fact of the event, and one for each fee in it."""
    event = reading.json_object(body)
    kind = event.text("type")
    if kind not in EVENTS or not _ours(event, account):
        return [_plain(event, Kind.UNKNOWN)]
    thing = event.item("data").item("object")
    row = EVENTS[kind]
    found = row if isinstance(row, Is) else row.get(thing.maybe("status") or "")
    if found is None:
        return [_plain(event, Kind.UNKNOWN)]
    if kind == "charge.succeeded" and not thing.flag("captured"):
        found = AUTHORISED
    return [_fact(event, thing, found), *_fees(event, thing)]


def _ours(event: Item, account: Account) -> bool:
    """Events of connected accounts name them: their money is ours only if we say so."""
    return not event.has("account") or event.text("account") in account.ids


def _plain(event: Item, kind: Kind) -> Fact:
    return Fact(
        provider=NAME,
        event_id=event.text("id"),
        kind=kind,
        raw_kind=event.text("type"),
        # Events of the second version are told in their own way, and none of them is of money yet.
        occurred_at=event.time("created") if event.maybe("object") == "v2.core.event" else event.seconds("created"),
        live=event.flag("livemode"),
    )


def _fact(event: Item, thing: Item, found: Is) -> Fact:
    references = _references(thing)
    currency = None if found.kind is Kind.NOTED else thing.currency("currency")
    return replace(
        _plain(event, found.kind),
        rank=found.rank,
        reference=references[0] if references else None,
        also=tuple(references[1:]),
        part=thing.text("id") if found.kind.family in ("REFUND", "DISPUTE") and not found.cumulative else None,
        key=event.maybe_item("request").maybe("idempotency_key") if event.text("type") == "refund.created" else None,
        order=_order(thing),
        amount=_amount(thing, found, currency) if currency else None,
        currency=currency,
        cumulative=found.cumulative,
        method=_method(thing),
    )


def _amount(thing: Item, found: Is, currency: str) -> Decimal:
    # A payout is less than nothing when Stripe takes a negative balance from the bank.
    units = thing.whole(found.amount) if found.kind.family == "PAYOUT" else thing.units(found.amount)
    return minor_units.amount(units, currency, SCALES)


def _references(thing: Item) -> list[str]:
    """Of the payment: its intent, else its charge, then the other one. A payout's own id."""
    own = thing.maybe("id") if thing.maybe("object") in ("payment_intent", "charge", "payout") else None
    found = [_id(thing, "payment_intent"), own, _id(thing, "charge"), _id(thing, "latest_charge")]
    return list(dict.fromkeys(each for each in found if each))


def _id(thing: Item, name: str) -> str | None:
    """An object's id, whether it is expanded or not."""
    return thing.maybe(name) or thing.maybe_item(name).maybe("id")


def _order(thing: Item) -> str | None:
    metadata = thing.maybe_item("metadata")
    found = [thing.maybe("client_reference_id"), *(metadata.maybe(key) for key in ORDER_KEYS)]
    return next((each for each in found if each), None)


def _method(thing: Item) -> str | None:
    types = thing.values.get("payment_method_types")
    only = Item({"only": types[0]}) if isinstance(types, list) and len(types) == 1 else Item({})
    return thing.maybe_item("payment_method_details").maybe("type") or only.maybe("only")


def _fees(event: Item, thing: Item) -> list[Fact]:
    """Of the balance transactions in the object: a dispute has its own, others only where Stripe was asked to expand them."""
    found = thing.items("balance_transactions") if thing.has("balance_transactions") else []
    if isinstance(thing.values.get("balance_transaction"), dict):
        found.append(thing.item("balance_transaction"))
    return [_fee(event, thing, each) for each in found if each.has("fee") and each.whole("fee")]


def _fee(event: Item, thing: Item, transaction: Item) -> Fact:
    references = _references(thing)
    currency = transaction.currency("currency")
    return replace(
        _plain(event, Kind.FEE),
        event_id=f"{event.text('id')}/{transaction.text('id')}",
        occurred_at=transaction.seconds("created"),
        rank=Rank.DONE,
        reference=references[0] if references else None,
        also=tuple(references[1:]),
        part=transaction.text("id"),
        amount=minor_units.amount(transaction.whole("fee"), currency, SCALES),
        currency=currency,
    )


PROVIDER = Provider(name=NAME, verify=verify, read=read, check=check, accepted=Answer(200))
