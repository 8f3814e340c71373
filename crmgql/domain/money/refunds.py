"""Refunds: asked for, then succeeded, failed or unknown; or recorded when they have happened already.

A refund that is asked for holds its money, by a pending entry, until it ends. Sending it is somebody else's: the event
`refund.requested` asks for it, and the refund's id is the key that is sent with each attempt.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from crmgql import access
from crmgql.db import Database, Transaction
from crmgql.domain.money import allocations, passing_on, refundable
from crmgql.domain.money.passing_on import PassedOn
from crmgql.domain.money.refundable import Part, Refundable
from crmgql.errors import BadUserInput, IllegalTransition, NotFound, RefundExceedsReceived
from crmgql.events import outbox
from crmgql.ledger import book, items
from crmgql.ledger.accounts import Account
from crmgql.ledger.postings import Entry, Posting, share
from crmgql.models import Allocation, Customer, Dispute, Invoice, Order, Payment, Phase, Purpose, Refund
from crmgql.models.names import api_id
from crmgql.records import checks, money, records
from crmgql.records.columns import ORIGIN, takes
from crmgql.records.days import day_of
from crmgql.records.money import Money
from crmgql.records.moves import Move, Moves
from crmgql.records.records import Act, Row
from crmgql.viewer import Viewer

FACTS = "reason method provider"
CONFLICTS = {
    "refunds_provider_reference": ("providerReference", "This provider's refund is recorded already."),
    "refunds_provider": ("providerReference", "It needs a provider that it is unique for; this refund has none."),
}
MOVES = Moves(
    Refund,
    succeed=Move({"REQUESTED", "UNKNOWN"}, "SUCCEEDED", "refund.succeeded", "ended_at"),
    fail=Move({"REQUESTED", "UNKNOWN", "SUCCEEDED"}, "FAILED", "refund.failed", "ended_at"),
    cancel=Move({"REQUESTED"}, "CANCELLED", "refund.cancelled", "ended_at"),
    mark_unknown=Move({"REQUESTED"}, "UNKNOWN", "refund.unknown"),
)
WORDS = {
    "succeed": "have succeeded",
    "fail": "fail",
    "cancel": "be cancelled",
    "mark_unknown": "become UNKNOWN",
}
SETTLED: dict[str, type[Order | Invoice | Dispute]] = {"order": Order, "invoice": Invoice, "dispute": Dispute}
# Parameters: customer, key of the entry.
POSTED = """
SELECT e.id, p.debit_item_id, p.amount, p.effective_on FROM ledger_entries e JOIN postings p ON p.owner_id = e.owner_id AND p.entry_id = e.id
WHERE e.owner_id = $1 AND e.key = $2 ORDER BY p.n"""


@takes(Refund, FACTS, ORIGIN)
async def request(
    act: Act,
    *,
    payment_id: UUID | None = None,
    customer_id: UUID | None = None,
    amount: Money | None = None,
    allocation_ids: Sequence[UUID] | None = None,
    **more: Any,
) -> UUID:
    """Asks for a refund of a payment, or of a customer's credit; the money is held until the refund ends.

    Without an amount it is all that the named allocations settle, else all that can be refunded of the payment. What is
    allocated is undone as far as it takes: the allocations that are named, in their order, else the latest first; before that comes
    back what is left of what it passed on to other customers, and after that what those settled with it. Method and
    provider are the payment's, unless a method is given. Raises `RefundExceedsReceived`, `IllegalTransition`, `CurrencyMismatch`,
    `PeriodClosed`.
    """
    moment: Row = {"status": "REQUESTED", "requested_at": act.now}
    return await _make(act, payment_id, customer_id, amount, allocation_ids, more | moment, "refund.requested")


@takes(Refund, FACTS, "provider_reference", ORIGIN)
async def record(
    act: Act,
    *,
    payment_id: UUID | None = None,
    customer_id: UUID | None = None,
    amount: Money | None = None,
    allocation_ids: Sequence[UUID] | None = None,
    refunded_at: datetime | None = None,
    **more: Any,
) -> UUID:
    """Records a refund that has happened already, such as cash that was given back. Else as `request`."""
    checks.check_happened(refunded_at, act.now, "refundedAt")
    at = refunded_at or act.now
    moment: Row = {"status": "SUCCEEDED", "requested_at": at, "ended_at": at}
    return await _make(act, payment_id, customer_id, amount, allocation_ids, more | moment, "refund.succeeded")


async def _make(
    act: Act,
    payment_id: UUID | None,
    customer_id: UUID | None,
    amount: Money | None,
    allocation_ids: Sequence[UUID] | None,
    values: Row,
    kind: str,
) -> UUID:
    access.require_write(act.viewer, "Refund")
    values = {name: value for name, value in values.items() if value is not None}
    parts: list[Part] = []
    passed = passing_on.NOTHING
    if payment_id is not None:
        payment = await records.lock(act, Payment, payment_id, field="paymentId")
        records.require_same_customer(payment, customer_id or payment["customer_id"], field="paymentId")
        passing_on.refuse_passed_on(payment, "refund")
        found = await refundable.of_payment(act, payment)
        passed = await passing_on.below(act, payment)
        limit, parts = _chosen(payment, found, passed, amount, allocation_ids)
        values = values if "method" in values else _like(payment) | values
        customer_id, currency = payment["customer_id"], payment["currency"]
    elif customer_id is not None:
        await records.visible(act, Customer, customer_id, field="customerId")
        found, limit, currency = await _of_credit(act, customer_id, amount, allocation_ids)
    else:
        raise BadUserInput("Name the payment, or the customer whose credit is refunded.", field="paymentId")
    if "method" not in values:
        raise BadUserInput("Say by which method a customer's credit is refunded.", field="method")
    values |= {"customer_id": customer_id, "payment_id": payment_id, "amount": limit, "currency": currency}
    refund = await records.create(act, Refund, values, kind=kind, conflicts=CONFLICTS, payload=_payload(values))
    missing = limit - found.free - sum((part.taken for part in parts), Decimal(0))
    if payment_id is not None and not allocation_ids and missing > 0:
        day = day_of(refund["ended_at"] or act.now, (await book.company_of(act)).zone)
        await passing_on.reclaim(act, payment, passed, missing, source=("Refund", refund["id"]), on=day)
        found = await refundable.of_payment(act, payment)
    await _post(act, refund, found, parts)
    return refund["id"]  # type: ignore[no-any-return]


async def _of_credit(
    act: Act, customer_id: UUID, amount: Money | None, allocation_ids: Sequence[UUID] | None
) -> tuple[Refundable, Decimal, str]:
    if amount is None:
        raise BadUserInput("Say how much of the customer's credit is refunded, and in which currency.", field="amount")
    if allocation_ids:
        raise BadUserInput("Allocations are of a payment; name that.", field="paymentId")
    limit, currency = money.amount(amount, field="amount", positive=True), amount[1]
    found = await refundable.of_credit(act, customer_id, currency)
    if limit > found.free:
        raise _exceeds("the customer's credit", found.free, currency)
    return found, limit, currency


def _like(payment: Row) -> Row:
    """What a refund has of its payment, unless something else is said."""
    return {name: payment[name] for name in ("method", "provider")}


def _payload(refund: Row) -> Row:
    facts = {name: refund[name] for name in ("payment_id", "method", "provider") if refund.get(name) is not None}
    return {"amount": (refund["amount"], refund["currency"]), **facts}


def _chosen(
    payment: Row, found: Refundable, passed: PassedOn, amount: Money | None, allocation_ids: Sequence[UUID] | None
) -> tuple[Decimal, list[Part]]:
    """How much is refunded, and which allocations are undone for it; what is missing then was passed on. Raises as `request`."""
    if payment["status"] != "RECEIVED":
        raise IllegalTransition(
            f"A {payment['status']} payment can't be refunded; it has to be received.", field="paymentId"
        )
    currency, nothing = payment["currency"], money.rounded(Decimal(0), payment["currency"])
    named = _named(found.standing, allocation_ids)
    allocated = sum((row["paid_amount"] for row in named or found.standing), nothing)
    most = found.free + allocated + (0 if named else passed.most)
    if amount is None:
        limit = allocated if named else most
    else:
        limit = money.amount(amount, currency, field="amount", positive=True)
    if limit > most or limit <= 0:
        what = "the payment, with these allocations undone," if named else "the payment"
        raise _exceeds(what, most, currency, field="paymentId" if amount is None else "amount")
    return limit, refundable.choose(limit if named else limit - found.free - passed.free, named or found.standing)


def _named(standing: Sequence[Row], ids: Sequence[UUID] | None) -> list[Row]:
    there = {row["id"]: row for row in standing}
    missing = [id for id in ids or () if id not in there]
    if missing:
        text = f"{api_id('Allocation', missing[0])} is no allocation of this payment that stands; read them again."
        raise NotFound(text, field="allocationIds")
    return [there[id] for id in dict.fromkeys(ids or ())]


def _exceeds(what: str, most: Decimal, currency: str, *, field: str = "amount") -> RefundExceedsReceived:
    return RefundExceedsReceived(f"Of {what} {most} {currency} can be refunded, and no more.", field=field)


def _bank(refund: Row) -> Account:
    return Account(Purpose.BANK if refund["provider"] is None else Purpose.CLEARING)


async def _post(act: Act, refund: Row, found: Refundable, parts: Sequence[Part]) -> None:
    """Undoes what has to be, and holds the money, or gives it back if that is done."""
    own = await book.company_of(act)
    source = ("Refund", refund["id"])
    is_done = refund["status"] == "SUCCEEDED"
    day = max(day_of(refund["ended_at"] or act.now, own.zone), found.since)
    made = await refundable.undo(act, found, parts, source=source, on=day, base_currency=own.currency)
    entry = Entry(
        "refund.succeeded" if is_done else "refund.requested",
        f"{'succeeded' if is_done else 'requested'} {refund['id']}",
        source,
        max([day, *(each.row["allocated_on"] for each in made)]),
        list(found.give(refund["amount"], _bank(refund), own.currency)),
        customer_id=refund["customer_id"],
        phase=Phase.POSTED if is_done else Phase.PENDING,
    )
    await outbox.record_many(act.tx, act.viewer, await allocations.post(act, made, after=[entry]))


async def _moved(
    act: Act,
    verb: str,
    id: UUID,
    expected_version: int | None,
    *,
    at: datetime | None = None,
    provider_reference: str | None = None,
    reason: str | None = None,
) -> tuple[Row, Row]:
    """The refund before and after a move, locked."""
    access.require_write(act.viewer, "Refund")
    before = await records.lock(act, Refund, id, expected_version=expected_version)
    move = MOVES.check(verb, before, to=WORDS[verb])
    if reason is not None:
        checks.check_text(reason, "reason", longest=1000)
    facts = {"status_reason": reason, "provider_reference": provider_reference}
    changes = move.changes(at or act.now) | {name: value for name, value in facts.items() if value is not None}
    kind, payload = move.event, _payload(before)
    return before, await records.change(act, Refund, before, changes, kind=kind, conflicts=CONFLICTS, payload=payload)


async def succeed(
    act: Act,
    *,
    id: UUID,
    provider_reference: str | None = None,
    refunded_at: datetime | None = None,
    expected_version: int | None = None,
) -> UUID:
    """The money went back. Raises `IllegalTransition`, `Conflict` for a provider's refund that is recorded, `PeriodClosed`."""
    checks.check_happened(refunded_at, act.now, "refundedAt")
    own = await book.company_of(act)
    _, refund = await _moved(
        act, "succeed", id, expected_version, at=refunded_at, provider_reference=provider_reference
    )
    held = await act.tx.connection.fetch(POSTED, refund["customer_id"], f"requested {id}")
    rests = await items.lock(act, {row["debit_item_id"] for row in held})
    postings = []
    for row in held:
        rest, amount = rests[row["debit_item_id"]], row["amount"]
        base = share(amount, rest.open, rest.base, own.currency)
        postings.append(Posting(_bank(refund), rest.account, refund["currency"], amount, base))
    entry = Entry(
        "refund.succeeded",
        f"succeeded {id}",
        ("Refund", id),
        max(day_of(refund["ended_at"], own.zone), held[0]["effective_on"]),
        postings,
        customer_id=refund["customer_id"],
        resolves_id=held[0]["id"],
    )
    await allocations.post(act, [], after=[entry])
    return id


async def end(act: Act, verb: str, *, id: UUID, reason: str | None = None, expected_version: int | None = None) -> UUID:
    """The refund failed, or is cancelled: its money is the payment's again, and settles what it settled before, as far as that is
    still owed. One that succeeded can fail, too, when the money comes back. Raises `IllegalTransition`, `PeriodClosed`."""
    own = await book.company_of(act)
    before, refund = await _moved(act, verb, id, expected_version, reason=reason)
    customer_id, source, was_done = refund["customer_id"], ("Refund", id), before["status"] == "SUCCEEDED"
    key = f"{'succeeded' if was_done else 'requested'} {id}"
    posted = await act.tx.connection.fetch(POSTED, customer_id, key)
    day = max(act.today, posted[0]["effective_on"])
    undone = await refundable.undone_for(act, [customer_id], id)
    credited = await refundable.credits_for(act, customer_id, id, refund["payment_id"])
    held = {row["debit_item_id"] for row in posted}
    rests = await items.lock(act, held | refundable.items_of(undone) | refundable.items_of(credited))
    if was_done:
        (entry,) = await book.reversals(act, {posted[0]["id"]: day}, kind=MOVES[verb].event)
        items.move(rests, entry.postings)
    else:
        entry = Entry(
            MOVES[verb].event,
            f"ended {id}",
            source,
            day,
            [],
            customer_id=customer_id,
            phase=Phase.VOIDED,
            resolves_id=posted[0]["id"],
        )
        for row in posted:
            rests[row["debit_item_id"]].free += row["amount"]
    given_back = await allocations.undoing(act, credited, on=day, source=source)
    items.move(rests, [posting for each in given_back for posting in each.entry.postings])
    made = refundable.restore(undone, rests, source=source, on=day, base_currency=own.currency)
    await outbox.record_many(act.tx, act.viewer, await allocations.post(act, [*given_back, *made], before=[entry]))
    await passing_on.restore(act, source)
    return id


async def mark_unknown(act: Act, *, id: UUID, reason: str | None = None, expected_version: int | None = None) -> UUID:
    """The refund was sent, and nobody knows what became of it. Its money stays held. Raises `IllegalTransition`."""
    await _moved(act, "mark_unknown", id, expected_version, reason=reason)
    return id


async def dry_run(
    database: Database,
    viewer: Viewer,
    *,
    payment_id: UUID,
    amount: Decimal | None = None,
    allocation_ids: Sequence[UUID] | None = None,
) -> dict[str, Any]:
    """What a refund of a payment would come to: how much, what is held already, which allocations would be undone. Raises as `request`."""
    zone = await database.zone()
    async with database.snapshot() as connection:
        act = Act(Transaction(connection, zone), viewer)
        access.require_write(viewer, "Refund")
        payment = await records.shown(act, Payment, payment_id, field="paymentId")
        passing_on.refuse_passed_on(payment, "refund")
        found = await refundable.of_payment(act, payment, holding=False)
        passed = await passing_on.below(act, payment, holding=False)
        seen = await _seen(act, found.standing)
    currency = payment["currency"]
    limit, parts = _chosen(payment, found, passed, None if amount is None else (amount, currency), allocation_ids)
    undoes = [
        {
            "allocationId": api_id(Allocation.__name__, part.row["id"]),
            **{f"{name}Id": seen.get(part.row[f"{name}_id"]) for name in SETTLED},
            "amount": _money(part.taken, currency),
        }
        for part in parts
    ]
    taken_back = (
        max(limit - found.free - sum(part.taken for part in parts), limit * 0) if not allocation_ids else limit * 0
    )
    return {
        "amount": _money(limit, currency),
        "unallocated": _money(found.free, currency),
        "undoes": undoes,
        "takenBack": _money(taken_back, currency),
    }


async def _seen(act: Act, allocations: Sequence[Row]) -> dict[UUID, str]:
    """The API's ids of the orders, invoices and disputes that are settled, as far as the viewer sees them."""
    found: dict[UUID, str] = {}
    for name, model in SETTLED.items():
        ids = {row[f"{name}_id"] for row in allocations} - {None}
        found |= {id: api_id(model.__name__, id) for id in await records.shown_many(act, model, ids)}
    return found


def _money(amount: Decimal, currency: str) -> dict[str, str]:
    return {"amount": f"{money.rounded(amount, currency):f}", "currency": currency}
