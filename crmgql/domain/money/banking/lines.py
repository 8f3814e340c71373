"""What people say lines of statements are: a suggestion, an order's or an invoice's payment, a prepayment, a payment, a refund or a
payout that is there, money of nobody that is known, or nothing for us.

Always holds: a line is booked once, and stays what it was booked as, but for a payout, which can be released; one that was ignored
may be booked later.
"""

from __future__ import annotations

from uuid import UUID

from crmgql import access
from crmgql.domain.money import payments, payouts, refunds, suspense
from crmgql.domain.money.banking import booking
from crmgql.domain.money.banking.booking import Choice
from crmgql.errors import BadUserInput, Conflict, IllegalTransition, NotFound
from crmgql.models import BankLine, Customer, Payment, PaymentMethod, Payout, Refund
from crmgql.records import checks, records
from crmgql.records.records import Act, Row

SUGGESTION = "SELECT * FROM bank_suggestions WHERE id = $1 AND line_id = $2"
TAKEN = "SELECT true FROM bank_lines WHERE payment_id = $1 OR refund_id = $1"
PAID_BY = "SELECT true FROM bank_lines WHERE payout_id = $1 AND (amount > 0) = $2"
OPEN_STATUSES = ("OPEN", "IGNORED")
LONGEST_PAYER = 200


async def accept(
    act: Act,
    *,
    id: UUID,
    suggestion_id: UUID | None = None,
    order_id: UUID | None = None,
    invoice_id: UUID | None = None,
    customer_id: UUID | None = None,
    payment_id: UUID | None = None,
    refund_id: UUID | None = None,
    payout_id: UUID | None = None,
    expected_version: int | None = None,
) -> UUID:
    """Books a line as what is named, which is one thing.

    Raises `IllegalTransition` for a line that is booked, `Conflict` for what another line stands for, `CurrencyMismatch`,
    `PeriodClosed`, `RateMissing`; `NotFound` for a suggestion that was made anew.
    """
    access.require_write(act.viewer, "BankLine")
    access.require_write(act.viewer, "Payment")
    named = [suggestion_id, order_id, invoice_id, customer_id, payment_id, refund_id, payout_id]
    if sum(each is not None for each in named) != 1:
        raise BadUserInput(
            "Name one of suggestionId, orderId, invoiceId, customerId, paymentId, refundId and payoutId.",
            field="suggestionId",
        )
    line = await _open(act, id, expected_version)
    if suggestion_id is not None:
        found = await act.tx.connection.fetchrow(SUGGESTION, suggestion_id, id)
        if found is None:
            raise NotFound("The line has no such suggestion any more; read them again.", field="suggestionId")
        payment_id, refund_id, payout_id = found["payment_id"], found["refund_id"], found["payout_id"]
        if payment_id is None and refund_id is None and payout_id is None:
            return await _suggested(act, line, found)
    if payout_id is not None:
        return await _payout(act, line, payout_id)
    if refund_id is not None:
        return await _refund(act, line, refund_id)
    if line["amount"] < 0:
        raise BadUserInput("Money went out: it is a refund, or no matter of customers.", field="refundId")
    if payment_id is None:
        payment_id = await payments.record(
            act,
            amount=(line["amount"], line["currency"]),
            method=PaymentMethod.BANK_TRANSFER,
            order_id=order_id,
            invoice_id=invoice_id,
            customer_id=customer_id,
            received_at=await booking.received_at(act, line),
            reference=booking.reference(line),
        )
        payment = await records.shown(act, Payment, payment_id, field="paymentId")
    else:
        payment = await _payment(act, line, payment_id)
    await _mark(act, line, payment["customer_id"], payment_id=payment_id)
    return id


async def to_suspense(act: Act, *, id: UUID, expected_version: int | None = None) -> UUID:
    """Records money of an open line of which nobody knows whose it is; it is assigned, or returned, as any in suspense.

    Raises `IllegalTransition` for a line that is booked, `BadUserInput` for money that went out, `PeriodClosed`, `RateMissing`.
    """
    access.require_write(act.viewer, "BankLine")
    line = await _open(act, id, expected_version)
    if line["amount"] < 0:
        raise BadUserInput("Money went out: it is a refund, or no matter of customers.", field="id")
    payload = {"amount": (line["amount"], line["currency"])}
    receipt_id = await suspense.receive(
        act,
        amount=payload["amount"],
        method=PaymentMethod.BANK_TRANSFER,
        received_at=await booking.received_at(act, line),
        payer=line["name"] and line["name"][:LONGEST_PAYER],
        reference=booking.reference(line),
    )
    changes = {"status": "SUSPENSE", "status_reason": None, "settled_at": act.now, "suspense_id": receipt_id}
    await records.change(
        act, BankLine, line, changes, kind="bankLine.suspended", payload=payload | {"suspense_id": receipt_id}
    )
    await act.tx.connection.execute(booking.FORGET, [id])
    return id


async def ignore(act: Act, *, id: UUID, reason: str, expected_version: int | None = None) -> UUID:
    """Says that a line is no matter of customers, such as the bank's fee, and why. Raises `IllegalTransition`."""
    access.require_write(act.viewer, "BankLine")
    checks.check_text(reason, "reason", longest=1000, required=True)
    line = await _open(act, id, expected_version)
    changes = {"status": "IGNORED", "status_reason": reason, "settled_at": act.now}
    payload = {"amount": (line["amount"], line["currency"])}
    await records.change(act, BankLine, line, changes, kind="bankLine.ignored", payload=payload)
    await act.tx.connection.execute(booking.FORGET, [id])
    return id


async def release(act: Act, *, id: UUID, reason: str, expected_version: int | None = None) -> UUID:
    """Takes back that a line is a payout: that one is expected again, what was posted is taken back today, and the line is ignored,
    with the reason, until somebody books it otherwise.

    Raises `IllegalTransition` for a line that is no payout, `PeriodClosed`.
    """
    access.require_write(act.viewer, "BankLine")
    access.require_write(act.viewer, "Payout")
    checks.check_text(reason, "reason", longest=1000, required=True)
    line = await records.lock(act, BankLine, id, expected_version=expected_version)
    if line["payout_id"] is None:
        hint = "a payment is refunded, and money in suspense returned"
        raise IllegalTransition(f"Only a line that is booked as a payout can be released; {hint}.", field="id")
    payout = await records.lock(act, Payout, line["payout_id"])
    if payout["status"] == "PAID" and payout["net_amount"] == line["amount"]:
        await payouts.release(act, id=payout["id"])
    changes = {"status": "IGNORED", "status_reason": reason, "settled_at": act.now, "payout_id": None}
    payload = {"amount": (line["amount"], line["currency"]), "payout_id": payout["id"]}
    await records.change(act, BankLine, line, changes, kind="bankLine.released", payload=payload)
    return id


async def _open(act: Act, id: UUID, expected_version: int | None) -> Row:
    """The line, locked. Raises `IllegalTransition` for one that is booked."""
    line = await records.lock(act, BankLine, id, expected_version=expected_version)
    if line["status"] not in OPEN_STATUSES:
        raise IllegalTransition(f"A line that is {line['status']} stays as it was booked.", field="id")
    return line


async def _suggested(act: Act, line: Row, found: Row) -> UUID:
    """Books a suggestion of open items: as far as they are still open, whatever they were when it was made."""
    await records.visible(act, Customer, found["customer_id"], field="suggestionId")
    amounts = dict.fromkeys(found["item_ids"])
    choice = Choice(line["id"], found["customer_id"], found["order_id"], found["invoice_id"], amounts=amounts)
    await booking.book_lines(act, {line["id"]: line}, [choice])
    return line["id"]  # type: ignore[no-any-return]


async def _payment(act: Act, line: Row, id: UUID) -> Row:
    """The payment that a line stands for, received by now. Raises `Conflict`, `IllegalTransition`, `BadUserInput`."""
    payment = await records.lock(act, Payment, id, field="paymentId")
    await _check_fits(act, line, payment, line["amount"], "payment")
    if payment["status"] == "PENDING":
        await payments.move(act, "receive", id=id, received_at=await booking.received_at(act, line))
    elif payment["status"] != "RECEIVED":
        raise IllegalTransition(f"A {payment['status']} payment did not come in.", field="paymentId")
    return payment


async def _refund(act: Act, line: Row, id: UUID) -> UUID:
    """The refund has succeeded, and the line stands for it. Raises `Conflict`, `IllegalTransition`, `BadUserInput`."""
    refund = await records.lock(act, Refund, id, field="refundId")
    await _check_fits(act, line, refund, -line["amount"], "refund")
    if refund["status"] != "SUCCEEDED":
        await refunds.succeed(act, id=id, refunded_at=await booking.received_at(act, line))
    await _mark(act, line, refund["customer_id"], refund_id=id)
    return line["id"]  # type: ignore[no-any-return]


async def _payout(act: Act, line: Row, id: UUID) -> UUID:
    """The payout has arrived, and the line stands for it; or the bank took it back. Raises `Conflict`, `IllegalTransition`,
    `BadUserInput`."""
    access.require_write(act.viewer, "Payout")
    payout = await records.lock(act, Payout, id, field="payoutId")
    net, amount = payout["net_amount"], line["amount"]
    if payout["currency"] != line["currency"] or abs(net) != abs(amount):
        told = f"{net} {payout['currency']}, the line {amount} {line['currency']}"
        raise BadUserInput(f"The payout is {told}; choose one of the same amount.", field="payoutId")
    if await act.tx.connection.fetchval(PAID_BY, id, amount > 0):
        raise Conflict("Another line stands for this payout already.", field="payoutId")
    if amount == net:
        if payout["status"] == "FAILED":
            raise IllegalTransition("A FAILED payout did not come in; record another.", field="payoutId")
        await payouts.arrive(act, {id: await booking.received_at(act, line)})
    elif payout["status"] == "EXPECTED":
        raise IllegalTransition("The bank took back what did not come in yet; it is EXPECTED.", field="payoutId")
    elif payout["status"] == "PAID":
        await payouts.fail(act, id=id, reason="The bank took it back.")
    await booking.mark(act, {line["id"]: line}, [{"id": line["id"], "payout_id": id}])
    return line["id"]  # type: ignore[no-any-return]


async def _check_fits(act: Act, line: Row, record: Row, amount: object, noun: str) -> None:
    if record["provider"] is not None:
        raise BadUserInput(f"The {noun} went by {record['provider']}, not by the bank.", field=f"{noun}Id")
    if (record["amount"], record["currency"]) != (amount, line["currency"]):
        told = f"{record['amount']} {record['currency']}, the line {line['amount']} {line['currency']}"
        raise BadUserInput(f"The {noun} is {told}; choose one of the same amount.", field=f"{noun}Id")
    if await act.tx.connection.fetchval(TAKEN, record["id"]):
        raise Conflict(f"Another line stands for this {noun} already.", field=f"{noun}Id")


async def _mark(
    act: Act, line: Row, customer_id: UUID, *, payment_id: UUID | None = None, refund_id: UUID | None = None
) -> None:
    row = {"id": line["id"], "customer_id": customer_id, "payment_id": payment_id, "refund_id": refund_id}
    await booking.mark(act, {line["id"]: line}, [row])
