"""Disputes: money of a payment that the customer's bank took back, until they are won or lost."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from crmgql import access
from crmgql.domain.money import allocations, passing_on, refundable
from crmgql.domain.money.allocating import allocated
from crmgql.domain.money.refundable import Refundable
from crmgql.errors import DisputeExceedsPayment, IllegalTransition
from crmgql.events import outbox
from crmgql.ledger import book, items, rates
from crmgql.ledger.accounts import Account
from crmgql.ledger.items import Rest
from crmgql.ledger.postings import Entry, Item, Posting
from crmgql.models import Dispute, Payment, Purpose
from crmgql.records import checks, money, records
from crmgql.records.columns import ORIGIN, takes
from crmgql.records.days import day_of
from crmgql.records.money import Money
from crmgql.records.moves import Move, Moves
from crmgql.records.records import Act, Row

FACTS = "reason provider provider_reference"
CONFLICTS = {
    "disputes_provider_reference": ("providerReference", "This provider's dispute is recorded already."),
    "disputes_provider": ("providerReference", "It needs a provider that it is unique for; this dispute has none."),
}
MOVES = Moves(
    Dispute,
    win=Move({"OPEN"}, "WON", "dispute.won", "ended_at"),
    lose=Move({"OPEN"}, "LOST", "dispute.lost", "ended_at"),
)
DISPUTED = (
    "SELECT coalesce(sum(amount), 0) FROM disputes WHERE customer_id = $1 AND payment_id = $2 AND status <> 'WON'"
)
RECEIVED = "SELECT opened_on FROM open_items WHERE customer_id = $1 AND payment_id = $2 AND purpose = 'UNEARNED'"
ITEM = "SELECT id, opened_on FROM open_items WHERE customer_id = $1 AND dispute_id = $2 AND purpose = 'DISPUTED'"


@takes(Dispute, FACTS, ORIGIN)
async def open(
    act: Act,
    *,
    payment_id: UUID,
    amount: Money | None = None,
    fee: Money | None = None,
    opened_at: datetime | None = None,
    **more: Any,
) -> UUID:
    """Records a chargeback, and what the provider took for it. Without an amount it is what of the payment is not disputed yet.

    Raises `DisputeExceedsPayment`, `IllegalTransition`, `CurrencyMismatch`, `Conflict` for one that is recorded already,
    `RateMissing`, `PeriodClosed`.
    """
    access.require_write(act.viewer, "Dispute")
    payment = await records.lock(act, Payment, payment_id, field="paymentId")
    if payment["status"] != "RECEIVED":
        raise IllegalTransition(
            f"A {payment['status']} payment can't be disputed; it has to be received.", field="paymentId"
        )
    passing_on.refuse_passed_on(payment, "dispute")
    checks.check_happened(opened_at, act.now, "openedAt")
    currency = payment["currency"]
    values = {
        "customer_id": payment["customer_id"],
        "payment_id": payment_id,
        "amount": await _amount(act, payment, amount),
        "fee_amount": None if fee is None else money.amount(fee, currency, field="fee", positive=True),
        "currency": currency,
        "opened_at": opened_at or act.now,
        **more,
        "provider": more.get("provider") or payment["provider"],
    }
    kind, payload = "dispute.opened", _payload(values)
    dispute = await records.create(act, Dispute, values, kind=kind, conflicts=CONFLICTS, payload=payload)
    await allocations.post(act, [], after=[await _opening(act, dispute)])
    return dispute["id"]  # type: ignore[no-any-return]


async def _amount(act: Act, payment: Row, amount: Money | None) -> Decimal:
    disputed = await act.tx.connection.fetchval(DISPUTED, payment["customer_id"], payment["id"])
    most = payment["amount"] - disputed
    wanted = most if amount is None else money.amount(amount, payment["currency"], field="amount", positive=True)
    if wanted > most or wanted <= 0:
        raise DisputeExceedsPayment(
            f"Of the payment {most} {payment['currency']} is not disputed yet, and no more.",
            field="paymentId" if amount is None else "amount",
        )
    return wanted


def _payload(dispute: Row) -> Row:
    fee = dispute["fee_amount"]
    fees = {} if fee is None else {"fee": (fee, dispute["currency"])}
    return {"amount": (dispute["amount"], dispute["currency"]), "payment_id": dispute["payment_id"], **fees}


def _bank(dispute: Row) -> Account:
    return Account(Purpose.BANK if dispute["provider"] is None else Purpose.CLEARING)


async def _opening(act: Act, dispute: Row) -> Entry:
    own = await book.company_of(act)
    currency, customer_id = dispute["currency"], dispute["customer_id"]
    since = await act.tx.connection.fetchval(RECEIVED, customer_id, dispute["payment_id"])
    day = max(day_of(dispute["opened_at"], own.zone), since)  # not before there was something to take back
    rate = (await rates.on_day(act, currency, day)).rate
    item = Item(Purpose.DISPUTED, currency, payment_id=dispute["payment_id"], dispute_id=dispute["id"])
    moves = [(item.account, dispute["amount"]), (Account(Purpose.FEES), dispute["fee_amount"])]
    postings = [
        Posting(_bank(dispute), to, currency, amount, rates.converted(amount, rate, own.currency))
        for to, amount in moves
        if amount is not None
    ]
    key, source = f"disputed {dispute['id']}", ("Dispute", dispute["id"])
    return Entry("dispute.opened", key, source, day, postings, customer_id=customer_id, items=[item])


async def win(act: Act, *, id: UUID, ended_at: datetime | None = None, expected_version: int | None = None) -> UUID:
    """The money is back. Raises `IllegalTransition`, `PeriodClosed`."""
    dispute, move = await MOVES.lock(act, "win", id, expected_version=expected_version)
    checks.check_happened(ended_at, act.now, "endedAt")
    own = await book.company_of(act)
    disputed, since = await _item(act, dispute)
    after = move.changes(ended_at or act.now)
    back = Posting(disputed.account, _bank(dispute), dispute["currency"], disputed.open, disputed.base)
    day = max(day_of(after["ended_at"], own.zone), since)
    entry = Entry(move.event, f"won {id}", ("Dispute", id), day, [back], customer_id=dispute["customer_id"])
    await records.change(act, Dispute, dispute, after, kind=move.event, payload=_payload(dispute))
    await allocations.post(act, [], after=[entry])
    return id


async def _item(act: Act, dispute: Row) -> tuple[Rest, Any]:
    row = await act.tx.connection.fetchrow(ITEM, dispute["customer_id"], dispute["id"])
    return (await items.lock(act, [row["id"]]))[row["id"]], row["opened_on"]


async def lose(act: Act, *, id: UUID, ended_at: datetime | None = None, expected_version: int | None = None) -> UUID:
    """The money is gone: it is taken from what is left of the payment, and of what it passed on to other customers; then from what it
    settled, the latest allocations first; then from what those settled with it.

    What was refunded, or is held by a refund, is not there any more: that the customer has twice, and owes from that day on. Raises
    `IllegalTransition`, `PeriodClosed`.
    """
    dispute, move = await MOVES.lock(act, "lose", id, expected_version=expected_version)
    checks.check_happened(ended_at, act.now, "endedAt")
    own = await book.company_of(act)
    payment = await records.lock(act, Payment, dispute["payment_id"])
    found = await refundable.of_payment(act, payment)
    disputed, since = await _item(act, dispute)
    after = move.changes(ended_at or act.now)
    day = max(day_of(after["ended_at"], own.zone), since, found.since)
    source = ("Dispute", id)
    passed = await passing_on.below(act, payment)
    parts = refundable.choose(dispute["amount"] - found.free - passed.free, found.standing)
    missing = dispute["amount"] - found.free - sum((part.taken for part in parts), Decimal(0))
    if passed.holders and missing > 0:
        await passing_on.reclaim(act, payment, passed, missing, source=source, on=day)
        found = await refundable.of_payment(act, payment)
    made = await refundable.undo(act, found, parts, source=source, on=day, base_currency=own.currency)
    day = max([day, *(each.row["allocated_on"] for each in made)])
    postings = list(_taken(dispute["amount"], disputed, found, own.currency))
    owed, opens = disputed.open, []
    if owed > 0:
        documents = {"payment_id": payment["id"], "dispute_id": id}
        opens = [Item(Purpose.RECEIVABLE, dispute["currency"], due_on=day, **documents)]
        postings.append(Posting(disputed.account, opens[0].account, dispute["currency"], owed, disputed.base))
    entry = Entry(move.event, f"lost {id}", source, day, postings, customer_id=dispute["customer_id"], items=opens)
    payload = _payload(dispute) | ({"owed": (owed, dispute["currency"])} if opens else {})
    await records.change(act, Dispute, dispute, after, kind=move.event, payload=payload)
    await outbox.record_many(act.tx, act.viewer, await allocations.post(act, made, after=[entry]))
    return id


def _taken(amount: Decimal, disputed: Rest, found: Refundable, base_currency: str) -> Iterator[Posting]:
    """The postings that take what is disputed from the payment's rests, as far as they go; all rests follow."""
    for rest in found.rests:
        part = min(amount, rest.free)
        if part > 0:
            amount -= part
            yield from allocated(part, disputed, rest, base_currency)
