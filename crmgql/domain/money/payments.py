"""Payments: recorded as received or pending, then received, failed or cancelled."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from crmgql import access
from crmgql.domain.customers import customers
from crmgql.domain.money import receipts
from crmgql.errors import BadUserInput, CurrencyMismatch, IllegalTransition
from crmgql.events import outbox
from crmgql.models import Invoice, Order, Payment
from crmgql.records import checks, money, records
from crmgql.records.columns import ORIGIN, takes
from crmgql.records.money import Money
from crmgql.records.moves import Move, Moves
from crmgql.records.records import Act, Row

CONFLICTS = {
    "payments_provider_reference": ("providerReference", "This provider's payment is recorded already."),
}
MOVES = Moves(
    Payment,
    receive=Move({"PENDING"}, "RECEIVED", "payment.received", "received_at"),
    fail=Move({"PENDING"}, "FAILED", "payment.failed"),
    cancel=Move({"PENDING"}, "CANCELLED", "payment.cancelled"),
)


@takes(Payment, "installments reference provider provider_reference", ORIGIN)
async def record(
    act: Act,
    *,
    amount: Money,
    method: str,
    order_id: UUID | None = None,
    invoice_id: UUID | None = None,
    customer_id: UUID | None = None,
    pending: bool | None = None,
    received_at: datetime | None = None,
    **more: Any,
) -> UUID:
    """Records a payment for an order or an invoice, in its currency, or a prepayment of a customer. `more`: reference, ….

    Raises `CurrencyMismatch`, `IllegalTransition` for what takes no payments, `Conflict` for a payment recorded twice.
    """
    access.require_write(act.viewer, "Payment")
    if pending and received_at is not None:
        raise BadUserInput(
            "A payment that is pending was not received yet; leave one of the two out.", field="receivedAt"
        )
    checks.check_happened(received_at, act.now, "receivedAt")
    currency = amount[1]
    values = {
        **await subject(act, currency, order_id=order_id, invoice_id=invoice_id, customer_id=customer_id),
        "amount": money.amount(amount, field="amount", positive=True),
        "currency": currency,
        "method": method,
        "status": "PENDING" if pending else "RECEIVED",
        "received_at": None if pending else received_at or act.now,
        **more,
    }
    if not 0 <= (values.get("installments") or 1) <= 360:
        raise BadUserInput("Installments are 0 to 360.", field="installments")
    if (values.get("provider") is None) != (values.get("provider_reference") is None):
        raise BadUserInput("Give provider and providerReference together.", field="providerReference")
    kind = "payment.expected" if pending else "payment.received"
    payment = await records.create(act, Payment, values, kind=kind, conflicts=CONFLICTS, payload={"amount": amount})
    await outbox.record_many(act.tx, act.viewer, await receipts.follow(act, [payment["id"]]))
    return payment["id"]  # type: ignore[no-any-return]


async def subject(
    act: Act, currency: str, *, order_id: UUID | None, invoice_id: UUID | None, customer_id: UUID | None
) -> Row:
    """Of a payment in a currency: the customer, the order and the invoice, or the customer alone who pays ahead.

    Raises `CurrencyMismatch`, `IllegalTransition` for what takes no payments, `BadUserInput` where none is named.
    """
    if invoice_id is not None:
        invoice = await _invoice(act, invoice_id, order_id, customer_id, currency)
        customer_id, order_id = invoice["customer_id"], invoice["order_id"]
    elif order_id is not None:
        customer_id = (await _order(act, order_id, customer_id, currency))["customer_id"]
    elif customer_id is not None:
        await customers.living(act, customer_id, field="customerId")
    else:
        raise BadUserInput("Name the order or the invoice, or the customer of a prepayment.", field="orderId")
    return {"customer_id": customer_id, "order_id": order_id, "invoice_id": invoice_id}


async def _order(act: Act, order_id: UUID, customer_id: UUID | None, currency: str) -> Row:
    order = await records.visible(act, Order, order_id, field="orderId", steady=True)
    if customer_id is not None and order["customer_id"] != customer_id:
        raise BadUserInput("The order belongs to another customer.", field="customerId")
    if order["currency"] != currency:
        raise CurrencyMismatch(
            f"The order is in {order['currency']}, the payment in {currency}; record it for the customer, without the order,"
            " and allocate it with paymentAllocate.",
            field="amount",
        )
    if order["status"] in ("DRAFT", "CANCELLED"):
        raise IllegalTransition(f"A {order['status']} order takes no payments; confirm it first.", field="orderId")
    return order


async def _invoice(act: Act, invoice_id: UUID, order_id: UUID | None, customer_id: UUID | None, currency: str) -> Row:
    """The invoice; its payment is one for its order, too."""
    invoice = await records.visible(act, Invoice, invoice_id, field="invoiceId", steady=True)
    if invoice["status"] != "ISSUED":
        raise IllegalTransition(f"A {invoice['status']} invoice takes no payments; issue it first.", field="invoiceId")
    if order_id not in (None, invoice["order_id"]):
        raise BadUserInput("The invoice is of another order.", field="orderId")
    if invoice["order_id"] is not None:
        await _order(act, invoice["order_id"], customer_id, currency)
    elif customer_id not in (None, invoice["customer_id"]):
        raise BadUserInput("The invoice belongs to another customer.", field="customerId")
    elif invoice["currency"] != currency:
        raise CurrencyMismatch(f"The invoice is in {invoice['currency']}, the payment in {currency}.", field="amount")
    return invoice


@takes(Payment, "reference")
async def update(act: Act, *, id: UUID, expected_version: int | None = None, **changes: Any) -> UUID:
    """Changes the reference; other verbs change the status, and nothing changes the amount."""
    access.require_write(act.viewer, "Payment")
    payment = await records.lock(act, Payment, id, expected_version=expected_version)
    await records.change(act, Payment, payment, changes, kind="payment.updated", conflicts=CONFLICTS)
    return id


async def move(
    act: Act, verb: str, *, id: UUID, expected_version: int | None = None, received_at: datetime | None = None
) -> UUID:
    """Receives, fails or cancels a pending payment."""
    payment, move = await MOVES.lock(act, verb, id, expected_version=expected_version)
    checks.check_happened(received_at, act.now, "receivedAt")
    payload = {"amount": (payment["amount"], payment["currency"])}
    await records.change(act, Payment, payment, move.changes(received_at or act.now), kind=move.event, payload=payload)
    await outbox.record_many(act.tx, act.viewer, await receipts.follow(act, [id]))
    return id
