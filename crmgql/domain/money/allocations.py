"""Allocations: what of a payment settles which order, made by hand or as orders and payments come, and undone.

Enters: a payment's rests and what is open of orders, both locked. Leaves: an entry and a row of `allocations` for each part, and
an event. Always holds: nothing is allocated above the rest of either side. Set-based: the same number of statements for one
order and for five hundred.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any
from uuid import UUID

from crmgql import access
from crmgql.domain.money import write_offs
from crmgql.domain.money.allocating import allocated
from crmgql.domain.money.write_offs import Owed, Short
from crmgql.domain.sales import revenue
from crmgql.errors import (
    AllocationExceedsOpen,
    AllocationExceedsPayment,
    BadUserInput,
    CurrencyMismatch,
    IllegalTransition,
)
from crmgql.events import outbox
from crmgql.events.canonical import as_json
from crmgql.ledger import book, items, periods
from crmgql.ledger.items import Rest
from crmgql.ledger.postings import Entry, new_id
from crmgql.models import Allocation, Order, Payment
from crmgql.records import money, records
from crmgql.records.money import Money
from crmgql.records.records import Act, Row

# Parameters: customer, currency, payment, order or null for all. Rests of the payment, then what is open, the oldest ordered first.
RESTS = """
SELECT i.id, NULL::uuid AS order_id, i.payment_id, i.opened_on, NULL::timestamptz AS ordered_at, i.due_on
FROM open_items i WHERE i.payment_id = $3 AND i.customer_id = $1 AND i.currency = $2 AND i.open > 0 AND i.purpose IN ('UNEARNED', 'CREDIT')
UNION ALL
SELECT i.id, i.order_id, NULL, i.opened_on, o.ordered_at, i.due_on
FROM open_items i JOIN orders o ON o.customer_id = i.customer_id AND o.id = i.order_id AND o.committed
WHERE i.owner_id = $1 AND i.currency = $2 AND i.open > 0 AND i.purpose = 'RECEIVABLE' AND ($4::uuid IS NULL OR i.order_id = $4)
ORDER BY ordered_at, order_id, due_on, id"""
# Parameters: orders. Where a payment that names one has something left: the rests, oldest first, and what is open of the order.
NAMED = """
WITH paid AS (
    SELECT i.id, i.customer_id, p.order_id, p.id AS payment_id, i.opened_on, NULL::date AS due_on
    FROM orders o JOIN payments p ON p.customer_id = o.customer_id AND p.order_id = o.id AND p.status = 'RECEIVED'
    JOIN open_items i ON i.payment_id = p.id AND i.currency = o.currency AND i.open > 0 AND i.purpose IN ('UNEARNED', 'CREDIT')
    WHERE o.id = ANY ($1) AND o.committed
)
SELECT * FROM paid
UNION ALL
SELECT i.id, i.customer_id, i.order_id, NULL, i.opened_on, i.due_on FROM open_items i
WHERE (i.customer_id, i.order_id) IN (SELECT customer_id, order_id FROM paid) AND i.open > 0 AND i.purpose = 'RECEIVABLE'
ORDER BY customer_id, order_id, due_on, opened_on, id"""
RECORD = """
INSERT INTO allocations (id, customer_id, order_id, payment_id, undoes_id, item_id, source_item_id, currency, amount, allocated_on, entry_id)
SELECT a.id, a.customer_id, a.order_id, a.payment_id, a.undoes_id, a.item_id, a.source_item_id, a.currency, a.amount, a.allocated_on,
    a.entry_id
FROM jsonb_to_recordset($1::jsonb) AS a(id uuid, customer_id uuid, order_id uuid, payment_id uuid, undoes_id uuid, item_id uuid,
    source_item_id uuid, currency text, amount numeric, allocated_on date, entry_id uuid)"""


@dataclass(frozen=True, slots=True)
class Made:
    """A part of a payment that settles a part of an order, the entry that posts it, and what is left of the receivable."""

    row: Row
    entry: Entry
    rest: Rest


@dataclass(frozen=True, slots=True)
class Side:
    """What is open of an order, or left of a payment, and the day since when it is there. Its rest goes down as it is allocated."""

    document_id: UUID
    rest: Rest
    since: date


def spread(
    limit: Decimal, owed: Sequence[Side], paid: Sequence[Side], *, customer_id: UUID, on: date, base_currency: str
) -> Iterator[Made]:
    """As much as fits of the limit, in the order of what is owed and, for each, of what is paid; not before either was there."""
    for order in owed:
        for payment in paid:
            amount = min(limit, order.rest.free, payment.rest.free)
            if amount > 0:
                day = max(on, order.since, payment.since)
                yield _make(amount, order, payment, customer_id, day, base_currency)
                limit -= amount


def _make(amount: Decimal, order: Side, payment: Side, customer_id: UUID, day: date, base_currency: str) -> Made:
    id = new_id()
    postings = list(allocated(amount, order.rest, payment.rest, base_currency))
    source = ("Payment", payment.document_id)
    entry = Entry("payment.allocated", f"allocated {id}", source, day, postings, customer_id=customer_id)
    row = {
        "id": id,
        "customer_id": customer_id,
        "order_id": order.document_id,
        "payment_id": payment.document_id,
        "item_id": order.rest.account.item_id,
        "source_item_id": payment.rest.account.item_id,
        "currency": order.rest.currency,
        "amount": amount,
        "allocated_on": day,
    }
    return Made(row, entry, order.rest)


async def post(
    act: Act,
    made: Sequence[Made],
    *,
    before: Sequence[Entry] = (),
    written_off: Sequence[write_offs.Made] | None = None,
) -> list[outbox.Entry]:
    """Posts the entries, in their order behind those `before`, and records the allocations. What these leave open of a
    receivable is written off where it is within the tolerance, unless `written_off` says what is. The caller records the events.
    """
    if written_off is None:
        written_off = await write_offs.by_rule(act, list(_paid(made).values()))
    entries = [*before, *(each.entry for each in made), *(each.entry for each in written_off)]
    posted = await book.post(act, periods.adjusting(act, entries))
    end = len(before) + len(made)
    rows = [each.row | {"entry_id": entry.id} for each, entry in zip(made, posted[len(before) : end], strict=True)]
    if rows:
        await act.tx.connection.execute(RECORD, as_json(rows))
    return [_event("allocation.made", row) for row in rows] + await write_offs.record(act, written_off, posted[end:])


def _paid(made: Sequence[Made]) -> dict[UUID, Owed]:
    """By receivable what is left of it, with the allocation that settled the last part."""
    found = {}
    for each in made:
        row = each.row
        found[row["item_id"]] = Owed(row["customer_id"], row["order_id"], each.rest, row["allocated_on"], row["id"])
    return found


def _event(kind: str, row: Row) -> outbox.Entry:
    payload = {"amount": (row["amount"], row["currency"]), "order_id": row["order_id"], "payment_id": row["payment_id"]}
    undoes = {"undoes_id": row["undoes_id"]} if row.get("undoes_id") else {}
    changes = {column: (None, value) for column, value in row.items() if column != "id"}
    return outbox.Entry(kind, ("Allocation", row["id"]), row["customer_id"], changes, payload | undoes)


async def allocate(
    act: Act,
    *,
    id: UUID,
    order_id: UUID | None = None,
    amount: Money | None = None,
    write_off: Short | None = None,
    expected_version: int | None = None,
) -> UUID:
    """Settles an order, or without one the customer's open orders, the oldest first, with what is left of a payment.

    Without an amount it is as much as fits, which may be nothing where no order is named. `write_off`: what is written off of
    the named order in the same act. Raises `AllocationExceedsOpen`, `AllocationExceedsPayment`, `CurrencyMismatch`,
    `IllegalTransition`, `PeriodClosed`; as `write_offs.write_off` does.
    """
    access.require_write(act.viewer, "Payment")
    payment = await records.lock(act, Payment, id, expected_version=expected_version)
    currency = payment["currency"]
    if payment["status"] != "RECEIVED":
        raise IllegalTransition(f"A {payment['status']} payment settles nothing; it has to be received.", field="id")
    limit = None if amount is None else money.amount(amount, currency, field="amount", positive=True)
    if order_id is not None:
        await _require_takes(act, payment, order_id)
    elif write_off is not None:
        raise BadUserInput("Name the order of which something is written off.", field="orderId")
    owed, paid = await _rests(act, payment, order_id)
    _check(limit, owed, paid, currency, order_id is not None)
    fits = limit if limit is not None else sum((each.rest.free for each in paid), Decimal(0))
    own = await book.company_of(act)
    made = list(spread(fits, owed, paid, customer_id=payment["customer_id"], on=act.today, base_currency=own.currency))
    if made:
        payload = {"amount": (sum(each.row["amount"] for each in made), currency)}
        await records.change(act, Payment, payment, {}, kind="payment.allocated", payload=payload, touch=True)
        written_off = None if write_off is None else await _written_off(act, payment, owed, made, write_off)
        await outbox.record_many(act.tx, act.viewer, await post(act, made, written_off=written_off))
    return id


async def _written_off(
    act: Act, payment: Row, owed: Sequence[Side], made: Sequence[Made], short: Short
) -> list[write_offs.Made]:
    """What is written off of the order, of which a part was just allocated."""
    paid = {each.rest.account: each for each in _paid(made).values()}
    left = [
        paid.get(each.rest.account) or Owed(payment["customer_id"], each.document_id, each.rest, each.since)
        for each in owed
    ]
    return await write_offs.by_hand(act, left, payment["currency"], short, inside="writeOff.")


async def _require_takes(act: Act, payment: Row, order_id: UUID) -> None:
    order = await records.visible(act, Order, order_id, field="orderId", steady=True)
    records.require_same_customer(order, payment["customer_id"], field="orderId")
    if order["currency"] != payment["currency"]:
        raise CurrencyMismatch(
            f"The order is in {order['currency']}, the payment in {payment['currency']}.", field="orderId"
        )
    if order["status"] in ("DRAFT", "CANCELLED"):
        raise IllegalTransition(f"A {order['status']} order is not owed; confirm it first.", field="orderId")


async def _rests(act: Act, payment: Row, order_id: UUID | None) -> tuple[list[Side], list[Side]]:
    """What is open and what is left, locked. Orders that the viewer may not see are left alone."""
    given = (payment["customer_id"], payment["currency"], payment["id"], order_id)
    found = await act.tx.connection.fetch(RESTS, *given)
    seen = await records.visible_many(act, Order, [row["order_id"] for row in found if row["order_id"] is not None])
    found = [row for row in found if row["order_id"] is None or row["order_id"] in seen]
    owed, paid = _sides(found, await items.lock(act, [row["id"] for row in found]))
    return owed, sorted(paid, key=lambda each: each.rest.account.purpose, reverse=True)  # UNEARNED before CREDIT


def _sides(found: Sequence[Any], rests: Mapping[UUID, Rest]) -> tuple[list[Side], list[Side]]:
    """What is owed, and what is paid: the rows with a payment."""
    owed = [Side(row["order_id"], rests[row["id"]], row["opened_on"]) for row in found if row["payment_id"] is None]
    paid = [Side(row["payment_id"], rests[row["id"]], row["opened_on"]) for row in found if row["payment_id"]]
    return owed, paid


def _check(limit: Decimal | None, owed: Sequence[Side], paid: Sequence[Side], currency: str, is_named: bool) -> None:
    nothing = money.rounded(Decimal(0), currency)
    left, open_ = (sum((each.rest.free for each in side), nothing) for side in (paid, owed))
    if limit is None and not is_named:
        return
    if left < (limit or nothing) or not left:
        raise AllocationExceedsPayment(
            f"Of the payment {left} {currency} is left, and no more.", field="amount" if limit else "id"
        )
    if open_ < (limit or nothing) or not open_:
        whose = "the order" if is_named else "orders of the customer"
        raise AllocationExceedsOpen(
            f"For {whose} {open_} {currency} is still owed, and no more.", field="amount" if limit else "orderId"
        )


async def undo(act: Act, *, id: UUID) -> UUID:
    """Takes an allocation back as it was, base amounts included, and the write-off that completes it; the id of the one that
    undoes it.

    Raises `ReversedAlready`, `IllegalTransition` for one that undoes another, `PeriodClosed`.
    """
    access.require_write(act.viewer, "Allocation")
    undone = await records.shown(act, Allocation, id, field="id")
    if undone["undoes_id"] is not None:
        raise IllegalTransition("It undoes another allocation, and stays; allocate anew instead.", field="id")
    day = max(act.today, undone["allocated_on"])
    (entry,) = await book.reversals(act, {undone["entry_id"]: day}, kind="payment.unallocated")
    completing = await write_offs.completing(act, undone["customer_id"], [id])
    posted, *others = await book.post(act, periods.adjusting(act, [entry, *(each.entry for each in completing)]))
    row = undone | {"id": new_id(), "undoes_id": id, "entry_id": posted.id, "allocated_on": day}
    row.pop("created_at")
    await act.tx.connection.execute(RECORD, as_json([row]))
    events = [_event("allocation.undone", row), *await write_offs.record(act, completing, others)]
    await outbox.record_many(act.tx, act.viewer, events)
    return row["id"]  # type: ignore[no-any-return]


@revenue.when_owed
async def settle(act: Act, days: Mapping[UUID, date]) -> Sequence[outbox.Entry]:
    """Allocates what is left of payments that name these orders, of which more is owed since a day; in two statements."""
    found = await act.tx.connection.fetch(NAMED, sorted(days))
    rows: dict[tuple[UUID, UUID], list[Any]] = defaultdict(list)
    for row in found:
        rows[row["customer_id"], row["order_id"]].append(row)
    rests = await items.lock(act, [row["id"] for row in found])
    own = await book.company_of(act)
    made: list[Made] = []
    for (customer_id, order_id), each in rows.items():
        owed, paid = _sides(each, rests)
        limit = sum((side.rest.free for side in paid), Decimal(0))
        made += spread(limit, owed, paid, customer_id=customer_id, on=days[order_id], base_currency=own.currency)
    return await post(act, made)
