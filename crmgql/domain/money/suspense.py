"""Suspense: money that came in and of which nobody knows whose it is; assigned to a customer, or returned.

Always holds: it is a liability of the company until it ends, once: as a payment with all of it, which takes it over at the same
base amount and day, or at the bank again.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Any
from uuid import UUID

from crmgql import access
from crmgql.domain.money import payments, receipts
from crmgql.domain.money.receipts import Taken
from crmgql.errors import BadUserInput
from crmgql.events import outbox
from crmgql.ledger import book, items, periods, rates
from crmgql.ledger.accounts import Account
from crmgql.ledger.items import Rest
from crmgql.ledger.postings import Entry, Item, Posting
from crmgql.models import Payment, Purpose, SuspenseReceipt
from crmgql.records import checks, money, records
from crmgql.records.columns import ORIGIN, takes
from crmgql.records.days import day_of
from crmgql.records.money import Money
from crmgql.records.moves import Move, Moves
from crmgql.records.records import Act, Row

CONFLICTS = {
    "suspense_receipts_provider_reference": ("providerReference", "This provider's payment is recorded already."),
}
MOVES = Moves(
    SuspenseReceipt,
    assign=Move({"OPEN"}, "ASSIGNED", "suspense.assigned", "ended_at"),
    give_back=Move({"OPEN"}, "RETURNED", "suspense.returned", "ended_at"),
)
TRANSFER = Account(Purpose.TRANSFER)
ITEM = "SELECT id, opened_on FROM open_items WHERE suspense_id = $1"
TOLD = ("method", "received_at", "reference", "provider", "provider_reference")
"""What the payment has of the receipt, besides the amount."""


@takes(SuspenseReceipt, "payer reference provider provider_reference", ORIGIN)
async def receive(act: Act, *, amount: Money, method: str, received_at: datetime | None = None, **more: Any) -> UUID:
    """Records money of nobody that is known. `more`: payer, reference, provider, ….

    Raises `Conflict` for a provider's payment that is recorded, `RateMissing`, `PeriodClosed`.
    """
    access.require_write(act.viewer, "SuspenseReceipt")
    if (more.get("provider") is None) != (more.get("provider_reference") is None):
        raise BadUserInput("Give provider and providerReference together.", field="providerReference")
    checks.check_happened(received_at, act.now, "receivedAt")
    currency, exact = amount[1], money.amount(amount, field="amount", positive=True)
    values = {"amount": exact, "currency": currency, "method": method, "received_at": received_at or act.now, **more}
    return (await record(act, values))["id"]  # type: ignore[no-any-return]


async def record(act: Act, values: Row) -> Row:
    """The receipt with these values, in the books. Raises as `receive`."""
    exact, currency = values["amount"], values["currency"]
    payload = {"amount": (exact, currency)}
    receipt = await records.create(
        act, SuspenseReceipt, values, kind="suspense.received", conflicts=CONFLICTS, payload=payload
    )
    own = await book.company_of(act)
    day = day_of(receipt["received_at"], own.zone)
    base = rates.converted(exact, (await rates.on_day(act, currency, day)).rate, own.currency)
    item = Item(Purpose.SUSPENSE, currency, suspense_id=receipt["id"])
    posting = Posting(item.account, _bank(receipt), currency, exact, base)
    source = ("SuspenseReceipt", receipt["id"])
    entry = Entry("suspense.received", f"received {receipt['id']}", source, day, [posting], items=[item])
    await book.post(act, periods.adjusting(act, [entry]))
    return receipt


async def assign(
    act: Act,
    *,
    id: UUID,
    customer_id: UUID | None = None,
    order_id: UUID | None = None,
    invoice_id: UUID | None = None,
    expected_version: int | None = None,
) -> UUID:
    """Makes it a payment of a customer, for an order, an invoice or ahead, which is allocated as any other.

    Raises `IllegalTransition` for what has ended or takes no payments, `CurrencyMismatch`, `PeriodClosed`.
    """
    access.require_write(act.viewer, "Payment")
    receipt, _ = await MOVES.lock(act, "assign", id, expected_version=expected_version)
    named: Row = {"order_id": order_id, "invoice_id": invoice_id, "customer_id": customer_id}
    values = {
        **await payments.subject(act, receipt["currency"], **named),
        "amount": receipt["amount"],
        "currency": receipt["currency"],
        "suspense_id": id,
        **{column: receipt[column] for column in TOLD},
    }
    payload = {"amount": (receipt["amount"], receipt["currency"])}
    payment = await records.create(
        act, Payment, values, kind="payment.received", conflicts=payments.CONFLICTS, payload=payload
    )
    taken = {payment["id"]: await take_over(act, receipt, payment["id"])}
    await outbox.record_many(act.tx, act.viewer, await receipts.follow(act, [payment["id"]], taken=taken))
    return id


async def take_over(act: Act, receipt: Row, payment_id: UUID) -> Taken:
    """Ends an open receipt, which is locked, as a payment with all of it; what `receipts.follow` posts of that."""
    move, (rest, day) = MOVES["assign"], await _rest(act, receipt["id"])
    payload = {"amount": (receipt["amount"], receipt["currency"]), "payment_id": payment_id}
    await records.change(act, SuspenseReceipt, receipt, move.changes(act.now), kind=move.event, payload=payload)
    return Taken(rest.base, day, _ending(receipt, move.event, rest, TRANSFER, on=day))


async def give_back(act: Act, *, id: UUID, reason: str, expected_version: int | None = None) -> UUID:
    """Records that it went back to whoever sent it. Raises `IllegalTransition` for what has ended, `PeriodClosed`."""
    checks.check_text(reason, "reason", longest=1000, required=True)
    receipt, move = await MOVES.lock(act, "give_back", id, expected_version=expected_version)
    rest, day = await _rest(act, id)
    entry = _ending(receipt, move.event, rest, _bank(receipt), on=day)
    changes = move.changes(act.now) | {"status_reason": reason}
    payload = {"amount": (receipt["amount"], receipt["currency"])}
    await records.change(act, SuspenseReceipt, receipt, changes, kind=move.event, payload=payload)
    await book.post(act, periods.adjusting(act, [entry]))
    return id


def _bank(receipt: Row) -> Account:
    return Account(Purpose.BANK if receipt["provider"] is None else Purpose.CLEARING)


async def _rest(act: Act, id: UUID) -> tuple[Rest, date]:
    """What lies in suspense, locked, and the day on which it ends: today, not before it came."""
    row = await act.tx.connection.fetchrow(ITEM, id)
    return (await items.lock(act, [row["id"]]))[row["id"]], max(act.today, row["opened_on"])


def _ending(receipt: Row, kind: str, rest: Rest, to: Account, *, on: date) -> Entry:
    posting = Posting(to, rest.account, rest.currency, rest.open, rest.base)
    return Entry(kind, f"ended {receipt['id']}", ("SuspenseReceipt", receipt["id"]), on, [posting])
