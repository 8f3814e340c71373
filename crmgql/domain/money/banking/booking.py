"""Lines that are booked: each becomes a payment that settles what was chosen, or stands for one, a refund or a payout that is there.

Always holds: each line is booked once, and what it stands for has one line. Set-based: the same number of statements for one line
and for five hundred, but for refunds, which end one by one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, time
from typing import Any
from uuid import UUID

from crmgql.domain.money import payouts, receipts, refunds
from crmgql.errors import CrmError
from crmgql.events import outbox
from crmgql.events.canonical import as_json
from crmgql.ledger import book
from crmgql.ledger.postings import new_id
from crmgql.models import PaymentMethod
from crmgql.records import records
from crmgql.records.records import Act, Row

LONGEST_REFERENCE = 100
NOON = time(12)
PAYMENT = (
    *(
        "id",
        "customer_id",
        "order_id",
        "invoice_id",
        "amount",
        "currency",
        "method",
        "status",
        "received_at",
        "reference",
    ),
)
HOLD = "SELECT * FROM bank_lines WHERE id = ANY ($1) AND status = 'OPEN' ORDER BY id FOR NO KEY UPDATE SKIP LOCKED"
HOLD_ITEMS = "SELECT id, free FROM open_items WHERE id = ANY ($1) ORDER BY id FOR NO KEY UPDATE"
HOLD_PAYMENTS = """
SELECT id, status, amount, currency, version FROM payments p
WHERE id = ANY ($1) AND status IN ('PENDING', 'RECEIVED') AND NOT EXISTS (SELECT FROM bank_lines l WHERE l.payment_id = p.id)
ORDER BY id FOR NO KEY UPDATE"""
HOLD_REFUNDS = """
SELECT id, status FROM refunds r
WHERE id = ANY ($1) AND status IN ('REQUESTED', 'UNKNOWN', 'SUCCEEDED') AND NOT EXISTS (SELECT FROM bank_lines l WHERE l.refund_id = r.id)
ORDER BY id FOR NO KEY UPDATE"""
HOLD_PAYOUTS = """
SELECT id FROM payouts p
WHERE id = ANY ($1) AND status IN ('EXPECTED', 'PAID') AND NOT EXISTS (SELECT FROM bank_lines l WHERE l.payout_id = p.id)
ORDER BY id FOR NO KEY UPDATE"""
MAKE = f"""
INSERT INTO payments ({", ".join(PAYMENT)}, created_at, updated_at)
SELECT {", ".join(PAYMENT)}, $2, $2 FROM jsonb_populate_recordset(NULL::payments, $1)"""
RECEIVE = """
UPDATE payments p SET status = 'RECEIVED', received_at = g.received_at, version = version + 1, updated_at = $2
FROM jsonb_to_recordset($1::jsonb) AS g(id uuid, received_at timestamptz) WHERE p.id = g.id
RETURNING p.id, p.customer_id, p.amount, p.currency, p.version, p.received_at"""
BOOK = """
UPDATE bank_lines l SET status = 'BOOKED', status_reason = NULL, settled_at = $2, updated_at = $2, version = version + 1,
    customer_id = g.customer_id, payment_id = g.payment_id, refund_id = g.refund_id, payout_id = g.payout_id
FROM jsonb_to_recordset($1::jsonb) AS g(id uuid, customer_id uuid, payment_id uuid, refund_id uuid, payout_id uuid) WHERE l.id = g.id
RETURNING l.id, l.version"""
STANDS_FOR = ("customer_id", "payment_id", "refund_id", "payout_id")
FORGET = "DELETE FROM bank_suggestions WHERE line_id = ANY ($1)"


@dataclass(frozen=True, slots=True)
class Choice:
    """What a line is: the payment, the refund or the payout that is there, else a payment of the customer, for the order or invoice,
    that settles these items first. `amounts`: how much of each is to be free, for what nobody looks at. A payout is no customer's."""

    line_id: UUID
    customer_id: UUID | None
    order_id: UUID | None = None
    invoice_id: UUID | None = None
    payment_id: UUID | None = None
    refund_id: UUID | None = None
    payout_id: UUID | None = None
    amounts: Mapping[UUID, Any] | None = None

    @property
    def is_new(self) -> bool:
        return self.payment_id is None and self.refund_id is None and self.payout_id is None


async def book_many(act: Act, choices: Sequence[Choice]) -> int:
    """Books those whose line is still open and for which all is still as it was; how many. One that can't be booked, say because
    its day is closed, stays open and keeps no other from it."""
    by_line = {each.line_id: each for each in choices}
    rows = await act.tx.connection.fetch(HOLD, sorted(by_line))
    lines = {row["id"]: dict(row) for row in rows}
    ready = await _still_right(act, [by_line[id] for id in lines])
    try:
        async with records.savepoint(act):
            await book_lines(act, lines, ready)
        return len(ready)
    except CrmError:
        if len(ready) == 1:
            return 0
    done = 0
    for each in ready:
        try:
            async with records.savepoint(act):
                await book_lines(act, lines, [each])
            done += 1
        except CrmError:
            continue
    return done


async def _still_right(act: Act, choices: Sequence[Choice]) -> list[Choice]:
    """Those of the choices of which payment, refund, payout and items are free, all locked."""
    fetch = act.tx.connection.fetch
    payments = {row["id"] for row in await fetch(HOLD_PAYMENTS, _ids(choices, "payment_id"))}
    refunds_there = {row["id"] for row in await fetch(HOLD_REFUNDS, _ids(choices, "refund_id"))}
    payouts_there = {row["id"] for row in await fetch(HOLD_PAYOUTS, _ids(choices, "payout_id"))}
    wanted = sorted({id for each in choices for id in each.amounts or {}})
    free = {row["id"]: row["free"] for row in await fetch(HOLD_ITEMS, wanted)}
    right = []
    for each in choices:
        amounts = each.amounts or {}
        if each.payment_id not in (None, *payments) or each.refund_id not in (None, *refunds_there):
            continue
        if each.payout_id not in (None, *payouts_there):
            continue
        if all(free[id] >= amount for id, amount in amounts.items()):
            for id, amount in amounts.items():
                free[id] -= amount
            right.append(each)
    return right


def _ids(choices: Sequence[Choice], column: str) -> list[UUID]:
    return sorted(id for each in choices if (id := getattr(each, column)) is not None)


async def book_lines(act: Act, lines: Mapping[UUID, Row], choices: Sequence[Choice]) -> None:
    """Books lines, which are locked, as they were chosen. Raises `PeriodClosed`, `RateMissing`, `Conflict`."""
    if not choices:
        return
    at = {each.line_id: await received_at(act, lines[each.line_id]) for each in choices}
    made = {each.line_id: _payment(each, lines[each.line_id], at[each.line_id]) for each in choices if each.is_new}
    if made:
        await act.tx.connection.execute(MAKE, as_json(list(made.values())), act.now)
    arriving = [
        {"id": each.payment_id, "received_at": at[each.line_id]} for each in choices if each.payment_id is not None
    ]
    received = await _receive(act, arriving)
    for each in choices:
        if each.refund_id is not None:
            await _give_back(act, each.refund_id, at[each.line_id])
    await payouts.arrive(act, {each.payout_id: at[each.line_id] for each in choices if each.payout_id is not None})
    told = [_made(row) for row in made.values()] + [_received(row) for row in received]
    await outbox.record_many(act.tx, act.viewer, told)
    planned = {made[each.line_id]["id"]: list(each.amounts or {}) for each in choices if each.is_new}
    changed = [*planned, *(row["id"] for row in received)]
    await outbox.record_many(act.tx, act.viewer, await receipts.follow(act, changed, planned=planned))
    await mark(act, lines, [_marked(each, made) for each in choices])


def _marked(choice: Choice, made: Mapping[UUID, Row]) -> Row:
    payment_id = made[choice.line_id]["id"] if choice.is_new else choice.payment_id
    return {
        "id": choice.line_id,
        "customer_id": choice.customer_id,
        "payment_id": payment_id,
        "refund_id": choice.refund_id,
        "payout_id": choice.payout_id,
    }


async def mark(act: Act, lines: Mapping[UUID, Row], marked: Sequence[Row]) -> None:
    """Says what lines, which are locked, are booked as."""
    rows = await act.tx.connection.fetch(BOOK, as_json(marked), act.now)
    version = {row["id"]: row["version"] for row in rows}
    await act.tx.connection.execute(FORGET, sorted(version))
    events = []
    for each in marked:
        line, named = lines[each["id"]], {name: each.get(name) for name in STANDS_FOR}
        changes: outbox.Changes = {name: (None, id) for name, id in named.items() if id is not None}
        changes |= {"status": (line["status"], "BOOKED"), "settled_at": (line["settled_at"], act.now)}
        if line["status_reason"] is not None:
            changes["status_reason"] = (line["status_reason"], None)
        payload = {"version": version[each["id"]], "amount": (line["amount"], line["currency"])}
        payload |= {name: named[name] for name in STANDS_FOR[1:] if named[name] is not None}
        events.append(outbox.Entry("bankLine.booked", ("BankLine", each["id"]), named["customer_id"], changes, payload))
    await outbox.record_many(act.tx, act.viewer, events)


async def received_at(act: Act, line: Row) -> datetime:
    """Noon of the bank's day, by the company's clock: banks tell no times."""
    own = await book.company_of(act)
    return datetime.combine(line["booked_on"], NOON, own.zone)


def reference(line: Row) -> str | None:
    """What the payer wrote, as far as a payment keeps it."""
    return (" ".join(line["texts"]) or line["end_to_end_id"] or "")[:LONGEST_REFERENCE].strip() or None


def _payment(choice: Choice, line: Row, at: datetime) -> Row:
    return {
        "id": new_id(),
        "customer_id": choice.customer_id,
        "order_id": choice.order_id,
        "invoice_id": choice.invoice_id,
        "amount": line["amount"],
        "currency": line["currency"],
        "method": PaymentMethod.BANK_TRANSFER,
        "status": "RECEIVED",
        "received_at": at,
        "reference": reference(line),
    }


def _made(row: Row) -> outbox.Entry:
    changes: outbox.Changes = {name: (None, value) for name, value in row.items() if name != "id" and value is not None}
    payload = {"version": 1, "amount": (row["amount"], row["currency"])}
    return outbox.Entry("payment.received", ("Payment", row["id"]), row["customer_id"], changes, payload)


async def _receive(act: Act, arriving: Sequence[Row]) -> list[Any]:
    """Those of the payments that were expected, received now; those that were received stay as they are."""
    there = await act.tx.connection.fetch(HOLD_PAYMENTS, [each["id"] for each in arriving])
    pending = {row["id"] for row in there if row["status"] == "PENDING"}
    wanted = [each for each in arriving if each["id"] in pending]
    return await act.tx.connection.fetch(RECEIVE, as_json(wanted), act.now) if wanted else []


def _received(row: Any) -> outbox.Entry:
    changes = {"status": ("PENDING", "RECEIVED"), "received_at": (None, row["received_at"])}
    payload = {"version": row["version"], "amount": (row["amount"], row["currency"])}
    return outbox.Entry("payment.received", ("Payment", row["id"]), row["customer_id"], changes, payload)


async def _give_back(act: Act, id: UUID, at: datetime) -> None:
    """The refund has succeeded, unless that was said before."""
    (row,) = await act.tx.connection.fetch(HOLD_REFUNDS, [id])
    if row["status"] != "SUCCEEDED":
        await refunds.succeed(act, id=id, refunded_at=at)
