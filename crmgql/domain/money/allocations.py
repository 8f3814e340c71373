"""Allocations: what of a payment settles which order, made by hand or as orders and payments come, and undone.

By hand the order may be in another currency than the payment.

Enters: a payment's rests and what is open of orders, both locked. Leaves: an entry and a row of `allocations` for each part, and
an event. Always holds: nothing is allocated above the rest of either side. Set-based: the same number of statements for one
order and for five hundred.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from typing import Any
from uuid import UUID

from crmgql import access
from crmgql.domain.money import exchanging, write_offs
from crmgql.domain.money.allocating import allocated
from crmgql.domain.money.exchanging import Cross, Pair
from crmgql.domain.money.write_offs import Owed, Short
from crmgql.domain.sales import revenue
from crmgql.errors import (
    AllocationExceedsOpen,
    AllocationExceedsPayment,
    BadUserInput,
    IllegalTransition,
)
from crmgql.events import outbox
from crmgql.events.canonical import as_json
from crmgql.ledger import book, items, periods, rates
from crmgql.ledger.items import Rest
from crmgql.ledger.postings import Entry, new_id
from crmgql.models import Allocation, Order, Payment
from crmgql.records import money, records
from crmgql.records.money import Money
from crmgql.records.records import Act, Row

# Parameters: customer, the payment's currency, payment, order or null for all, the orders' currency. Rests of the payment, then what
# is open, the oldest ordered first.
RESTS = """
SELECT i.id, NULL::uuid AS order_id, i.payment_id, i.opened_on, NULL::timestamptz AS ordered_at, i.due_on
FROM open_items i WHERE i.payment_id = $3 AND i.customer_id = $1 AND i.currency = $2 AND i.open > 0 AND i.purpose IN ('UNEARNED', 'CREDIT')
UNION ALL
SELECT i.id, i.order_id, NULL, i.opened_on, o.ordered_at, i.due_on
FROM open_items i JOIN orders o ON o.customer_id = i.customer_id AND o.id = i.order_id AND o.committed
WHERE i.owner_id = $1 AND i.currency = $5 AND i.open > 0 AND i.purpose = 'RECEIVABLE' AND ($4::uuid IS NULL OR i.order_id = $4)
ORDER BY ordered_at, order_id, due_on, id"""
# Parameters: orders. Where a payment that names one has something left, or credit names one: the rests, oldest first, and what is
# open of the order.
NAMED = """
WITH paid AS (
    SELECT i.id, i.customer_id, p.order_id, p.id AS payment_id, i.opened_on, NULL::date AS due_on
    FROM orders o JOIN payments p ON p.customer_id = o.customer_id AND p.order_id = o.id AND p.status = 'RECEIVED'
    JOIN open_items i ON i.payment_id = p.id AND i.currency = o.currency AND i.open > 0 AND i.purpose IN ('UNEARNED', 'CREDIT')
    WHERE o.id = ANY ($1) AND o.committed
    UNION
    SELECT i.id, i.customer_id, i.order_id, i.payment_id, i.opened_on, NULL
    FROM orders o JOIN open_items i ON i.customer_id = o.customer_id AND i.order_id = o.id AND i.currency = o.currency
        AND i.purpose = 'CREDIT' AND i.payment_id IS NOT NULL AND i.open > 0
    WHERE o.id = ANY ($1) AND o.committed
)
SELECT * FROM paid
UNION ALL
SELECT i.id, i.customer_id, i.order_id, NULL, i.opened_on, i.due_on FROM open_items i
WHERE (i.customer_id, i.order_id) IN (SELECT customer_id, order_id FROM paid) AND i.open > 0 AND i.purpose = 'RECEIVABLE'
ORDER BY customer_id, order_id, due_on, opened_on, id"""
RECORD = """
INSERT INTO allocations (id, customer_id, order_id, payment_id, undoes_id, item_id, source_item_id, currency, amount, paid_currency,
    paid_amount, rate_id, paid_rate_id, allocated_on, entry_id)
SELECT a.id, a.customer_id, a.order_id, a.payment_id, a.undoes_id, a.item_id, a.source_item_id, a.currency, a.amount, a.paid_currency,
    a.paid_amount, a.rate_id, a.paid_rate_id, a.allocated_on, a.entry_id
FROM jsonb_to_recordset($1::jsonb) AS a(id uuid, customer_id uuid, order_id uuid, payment_id uuid, undoes_id uuid, item_id uuid,
    source_item_id uuid, currency text, amount numeric, paid_currency text, paid_amount numeric, rate_id uuid, paid_rate_id uuid,
    allocated_on date, entry_id uuid)"""


Document = tuple[str, UUID]
"""The type and id of what an entry is of."""


@dataclass(frozen=True, slots=True)
class Made:
    """A part of a payment that settles a part of an order, or that no longer does, and the entry that posts it.

    `rest`: what is left of the receivable that a payment settles for the first time.
    """

    row: Row
    entry: Entry
    rest: Rest | None = None


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
                part = Pair(amount, amount)
                yield make(part, order, payment, customer_id=customer_id, on=day, base_currency=base_currency)
                limit -= amount


def make(
    part: Pair,
    order: Side,
    payment: Side,
    *,
    customer_id: UUID,
    on: date,
    base_currency: str,
    source: Document | None = None,
    **used: UUID | None,
) -> Made:
    """The allocation of a part that fits both rests, which go down. `source`: the document for which it is made, if not the
    payment; `used`: the ids of the rates."""
    id = new_id()
    if order.rest.currency == payment.rest.currency:
        postings = list(allocated(part.owed, order.rest, payment.rest, base_currency))
    else:
        postings = list(exchanging.exchanged(part, payment.rest, order.rest, base_currency))
    source = source or ("Payment", payment.document_id)
    entry = Entry("payment.allocated", f"allocated {id}", source, on, postings, customer_id=customer_id)
    row = {
        "id": id,
        "customer_id": customer_id,
        "order_id": order.document_id,
        "payment_id": payment.document_id,
        "item_id": order.rest.account.item_id,
        "source_item_id": payment.rest.account.item_id,
        "currency": order.rest.currency,
        "amount": part.owed,
        "paid_currency": payment.rest.currency,
        "paid_amount": part.paid,
        "allocated_on": on,
        **used,
    }
    return Made(row, entry, order.rest)


def again(
    row: Row, room: Pair, rests: Mapping[UUID, Rest], *, on: date, base_currency: str, source: Document | None = None
) -> list[Made]:
    """What of an allocation that was undone settles the same order again, at its own rate: as much as there is room for. It is one
    allocation, or none where the smallest amount of a currency would have to be split: that stays free."""
    paid, owed = rests[row["source_item_id"]], rests[row["item_id"]]
    whole = Pair(row["paid_amount"], row["amount"])
    most = Pair(min(whole.paid, room.paid), min(whole.owed, room.owed))
    if not (most.paid and most.owed):
        return []
    try:
        part = exchanging.within(whole, most, paid.currency, owed.currency)
    except BadUserInput:
        return []
    sides = Side(row["order_id"], owed, on), Side(row["payment_id"], paid, on)
    used = {name: row[name] for name in ("rate_id", "paid_rate_id")}
    given: Row = {"customer_id": row["customer_id"], "on": on, "base_currency": base_currency, "source": source, **used}
    return [make(part, sides[0], sides[1], **given)]


async def post(
    act: Act,
    made: Sequence[Made],
    *,
    before: Sequence[Entry] = (),
    after: Sequence[Entry] = (),
    refusals: book.Refusals | None = None,
    written_off: Sequence[write_offs.Made] | None = None,
) -> list[outbox.Entry]:
    """Posts the entries, in their order between those `before` and `after`, and records the allocations. The caller records the
    events. Raises as `book.post`.

    Unless `written_off` says what is written off and no longer is: what payments leave open of a receivable within the tolerance,
    and what completes allocations that are undone.
    """
    if written_off is None:
        undone = [(each.row["customer_id"], each.row["undoes_id"]) for each in made if each.row.get("undoes_id")]
        completing = await write_offs.completing(act, undone)
        written_off = [*completing, *await write_offs.by_rule(act, list(_paid(made).values()))]
    entries = [*before, *(each.entry for each in made), *after, *(each.entry for each in written_off)]
    posted = await book.post(act, periods.adjusting(act, entries), refusals=refusals)
    posted, others = posted[len(before) :], posted[len(entries) - len(written_off) :]
    rows = [each.row | {"entry_id": entry.id} for each, entry in zip(made, posted, strict=False)]
    if rows:
        await act.tx.connection.execute(RECORD, as_json(rows))
    return [*(_event(row) for row in rows), *await write_offs.record(act, written_off, others)]


def _paid(made: Sequence[Made]) -> dict[UUID, Owed]:
    """By receivable what is left of it, with the allocation that settled the last part."""
    found = {}
    for each in made:
        row = each.row
        if each.rest is not None:
            found[row["item_id"]] = Owed(row["customer_id"], row["order_id"], each.rest, row["allocated_on"], row["id"])
    return found


def _event(row: Row) -> outbox.Entry:
    kind = "allocation.undone" if row.get("undoes_id") else "allocation.made"
    payload = {
        "amount": (row["amount"], row["currency"]),
        "paid": (row["paid_amount"], row["paid_currency"]),
        "order_id": row["order_id"],
        "payment_id": row["payment_id"],
    }
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
    order_amount: Money | None = None,
    expected_version: int | None = None,
) -> UUID:
    """Settles an order, or without one the customer's open orders in its currency, the oldest first, with what is left of a payment.

    Without an amount it is as much as fits, which may be nothing where no order is named. For an order in another currency,
    `order_amount` is what the amount settles of it; where one of the two is left out, it follows at the day's rates. `write_off`:
    what is written off of the named order in the same act. Raises `AllocationExceedsOpen`, `AllocationExceedsPayment`,
    `CurrencyMismatch`, `IllegalTransition`, `PeriodClosed`, `RateMissing`; as `write_offs.write_off` does.
    """
    access.require_write(act.viewer, "Payment")
    payment = await records.lock(act, Payment, id, expected_version=expected_version)
    if payment["status"] != "RECEIVED":
        raise IllegalTransition(f"A {payment['status']} payment settles nothing; it has to be received.", field="id")
    own, currency = await book.company_of(act), payment["currency"]
    limit = None if amount is None else money.amount(amount, currency, field="amount", positive=True)
    if order_id is None and write_off is not None:
        raise BadUserInput("Name the order of which something is written off.", field="orderId")
    order_currency = currency if order_id is None else await _currency_to_settle(act, payment, order_id)
    owed, paid = await _rests(act, payment, order_id, order_currency)
    if order_currency != currency:
        wanted = order_amount and money.amount(order_amount, order_currency, field="orderAmount", positive=True)
        made = await _exchange(act, payment, owed, paid, limit, wanted, (currency, order_currency), own.currency)
    elif order_amount is not None:
        raise BadUserInput(
            "It is for an order in another currency than the payment's; leave it out.", field="orderAmount"
        )
    else:
        if limit is not None or order_id is not None:
            _check_left(limit, paid, currency, field="amount" if limit else "id")
            _check_open(limit, owed, currency, is_named=order_id is not None, field="amount" if limit else "orderId")
        fits = limit if limit is not None else sum((each.rest.free for each in paid), Decimal(0))
        made = list(
            spread(fits, owed, paid, customer_id=payment["customer_id"], on=act.today, base_currency=own.currency)
        )
    if made:
        payload = {"amount": (sum(each.row["paid_amount"] for each in made), currency)}
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
    return await write_offs.by_hand(act, left, owed[0].rest.currency, short, inside="writeOff.")


async def _currency_to_settle(act: Act, payment: Row, order_id: UUID) -> str:
    """That of the order, if the payment may settle it."""
    order = await records.visible(act, Order, order_id, field="orderId", steady=True)
    records.require_same_customer(order, payment["customer_id"], field="orderId")
    if order["status"] in ("DRAFT", "CANCELLED"):
        raise IllegalTransition(f"A {order['status']} order is not owed; confirm it first.", field="orderId")
    return order["currency"]  # type: ignore[no-any-return]


async def _exchange(
    act: Act,
    payment: Row,
    owed: Sequence[Side],
    paid: Sequence[Side],
    limit: Decimal | None,
    wanted: Decimal | None,
    currencies: tuple[str, str],
    base_currency: str,
) -> list[Made]:
    """What settles an order in another currency: both amounts as given, or at the rates of the day."""
    field = "amount" if limit else "orderAmount" if wanted else "orderId"
    pair = Pair(limit or Decimal(0), wanted or Decimal(0))
    used: Row = {}
    _check_left(pair.paid, paid, currencies[0], field=field)
    _check_open(pair.owed, owed, currencies[1], is_named=True, field=field)
    day = max(act.today, *(each.since for each in (*owed, *paid)))
    if not (limit and wanted):
        found = await rates.on_days(act, {(each, day) for each in currencies})
        cross = Cross(*((each, found[each, day]) for each in currencies))
        left, open_ = (sum((each.rest.free for each in side), Decimal(0)) for side in (paid, owed))
        pair = exchanging.fitting(cross, left, open_, paid=limit, owed=wanted)
        used = {"rate_id": cross.owed[1].id, "paid_rate_id": cross.paid[1].id}
        _check_left(pair.paid, paid, currencies[0], field=field)
        _check_open(pair.owed, owed, currencies[1], is_named=True, field=field)
    made = []
    for i, j, part in exchanging.parts(pair, [each.rest for each in paid], [each.rest for each in owed]):
        sides = owed[j], paid[i]
        made.append(make(part, *sides, customer_id=payment["customer_id"], on=day, base_currency=base_currency, **used))
    return made


async def _rests(act: Act, payment: Row, order_id: UUID | None, currency: str) -> tuple[list[Side], list[Side]]:
    """What is open in the currency and what is left, locked. Orders that the viewer may not see are left alone."""
    given = (payment["customer_id"], payment["currency"], payment["id"], order_id, currency)
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


def _check_left(limit: Decimal | None, paid: Sequence[Side], currency: str, *, field: str) -> None:
    left = sum((each.rest.free for each in paid), money.rounded(Decimal(0), currency))
    if left < (limit or 0) or not left:
        raise AllocationExceedsPayment(f"Of the payment {left} {currency} is left, and no more.", field=field)


def _check_open(limit: Decimal | None, owed: Sequence[Side], currency: str, *, is_named: bool, field: str) -> None:
    open_ = sum((each.rest.free for each in owed), money.rounded(Decimal(0), currency))
    if open_ < (limit or 0) or not open_:
        whose = "the order" if is_named else "orders of the customer"
        raise AllocationExceedsOpen(f"For {whose} {open_} {currency} is still owed, and no more.", field=field)


async def undo(act: Act, *, id: UUID) -> UUID:
    """Takes an allocation back as it was, base amounts included, and the write-off that completes it; the id of the one that
    undoes it.

    Raises `ReversedAlready`, `IllegalTransition` for one that undoes another, `PeriodClosed`.
    """
    access.require_write(act.viewer, "Allocation")
    undone = await records.shown(act, Allocation, id, field="id")
    if undone["undoes_id"] is not None:
        raise IllegalTransition("It undoes another allocation, and stays; allocate anew instead.", field="id")
    (made,) = await undoing(act, [undone])
    await outbox.record_many(act.tx, act.viewer, await post(act, [made]))
    return made.row["id"]  # type: ignore[no-any-return]


async def undoing(
    act: Act, rows: Sequence[Row], *, on: date | None = None, source: Document | None = None
) -> list[Made]:
    """What undoes these allocations on a day, or today, to be posted, in their order; `source` as for `make`. None is undone
    before the day on which it was made."""
    days = {row["entry_id"]: max(on or act.today, row["allocated_on"]) for row in rows}
    reversals = await book.reversals(act, days, kind="payment.unallocated") if rows else []
    entries = {each.reverses_id: each for each in reversals}
    return [_undoing(row, entries[row["entry_id"]], source or ("Payment", row["payment_id"])) for row in rows]


def _undoing(row: Row, entry: Entry, source: Document) -> Made:
    kept = {name: value for name, value in row.items() if name not in ("created_at", "entry_id")}
    made = kept | {"id": new_id(), "undoes_id": row["id"], "allocated_on": entry.effective_on}
    return Made(made, replace(entry, source=source))


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
