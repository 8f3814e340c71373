"""Allocations: what of a payment settles which order, invoice or lost dispute, made by hand or as orders and payments come, and undone.

By hand what is owed may be in another currency than the payment.

Enters: a payment's rests, or credit, and what is open of orders, invoices and disputes, all locked. Leaves: an entry and a row of `allocations` for each part, and
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
from crmgql.domain.money import exchanging, sides, write_offs
from crmgql.domain.money.allocating import allocated
from crmgql.domain.money.exchanging import Cross, Pair
from crmgql.domain.money.sides import OWED, PAID, Named, Side
from crmgql.domain.money.write_offs import Owed, Short
from crmgql.domain.sales import revenue
from crmgql.errors import (
    BadUserInput,
    IllegalTransition,
)
from crmgql.events import outbox
from crmgql.events.canonical import as_json
from crmgql.ledger import book, items, periods, rates
from crmgql.ledger.items import Rest
from crmgql.ledger.postings import Entry, new_id
from crmgql.models import Allocation, Payment
from crmgql.records import money, records
from crmgql.records.money import Money
from crmgql.records.records import Act, Row

# Parameters: orders. Where a payment that names one has something left, or credit names one: the rests, oldest first, and what is
# open of the order. OFFSET 0: as in `receipts.OWED`.
NAMED = """
WITH paid AS (
    SELECT i.id, i.purpose, i.customer_id, p.order_id, NULL::uuid AS invoice_id, NULL::uuid AS dispute_id, p.id AS payment_id,
        NULL::uuid AS credit_note_id, i.opened_on, NULL::date AS due_on
    FROM orders o
    CROSS JOIN LATERAL (SELECT * FROM payments WHERE customer_id = o.customer_id AND order_id = o.id OFFSET 0) p
    CROSS JOIN LATERAL (SELECT * FROM open_items WHERE payment_id = p.id OFFSET 0) i
    WHERE o.id = ANY ($1) AND o.committed AND p.status = 'RECEIVED' AND i.currency = o.currency AND i.open > 0
        AND i.purpose IN ('UNEARNED', 'CREDIT')
    UNION
    SELECT i.id, i.purpose, i.customer_id, i.order_id, NULL, NULL, i.payment_id, NULL, i.opened_on, NULL
    FROM orders o CROSS JOIN LATERAL (SELECT * FROM open_items WHERE customer_id = o.customer_id AND order_id = o.id OFFSET 0) i
    WHERE o.id = ANY ($1) AND o.committed AND i.currency = o.currency AND i.purpose = 'CREDIT' AND i.payment_id IS NOT NULL AND i.open > 0
)
SELECT * FROM paid
UNION ALL
SELECT i.id, i.purpose, i.customer_id, i.order_id, i.invoice_id, NULL, NULL, NULL, i.opened_on, i.due_on
FROM (SELECT DISTINCT customer_id, order_id FROM paid) o
CROSS JOIN LATERAL (SELECT * FROM open_items WHERE customer_id = o.customer_id AND order_id = o.order_id OFFSET 0) i
WHERE i.open > 0 AND i.purpose = 'RECEIVABLE'
ORDER BY customer_id, order_id, due_on, opened_on, id"""
RECORD = """
INSERT INTO allocations (id, customer_id, order_id, invoice_id, dispute_id, payment_id, credit_note_id, undoes_id, item_id, source_item_id,
    currency, amount, paid_currency, paid_amount, rate_id, paid_rate_id, allocated_on, entry_id, source, external_id)
SELECT a.id, a.customer_id, a.order_id, a.invoice_id, a.dispute_id, a.payment_id, a.credit_note_id, a.undoes_id, a.item_id, a.source_item_id,
    a.currency, a.amount, a.paid_currency, a.paid_amount, a.rate_id, a.paid_rate_id, a.allocated_on, a.entry_id, a.source, a.external_id
FROM jsonb_to_recordset($1::jsonb) AS a(id uuid, customer_id uuid, order_id uuid, invoice_id uuid, dispute_id uuid, payment_id uuid,
    credit_note_id uuid, undoes_id uuid, item_id uuid, source_item_id uuid, currency text, amount numeric, paid_currency text,
    paid_amount numeric, rate_id uuid, paid_rate_id uuid, allocated_on date, entry_id uuid, source text, external_id text)"""
NOT_UNDONE = frozenset({"created_at", "entry_id", "source", "external_id"})
"""What an allocation does not have in common with what undoes it."""
Document = tuple[str, UUID]
"""The type and id of what an entry is of."""


@dataclass(frozen=True, slots=True)
class Made:
    """A part of a payment, or of a credit, that settles a part of an order or an invoice, or the undoing of one, and the entry that
    posts it. `rest`: what is left of the receivable, where it is settled for the first time."""

    row: Row
    entry: Entry
    rest: Rest | None = None


def spread(
    limit: Decimal, owed: Sequence[Side], paid: Sequence[Side], *, customer_id: UUID, on: date, base_currency: str
) -> Iterator[Made]:
    """As much as fits of the limit, in the order of what is owed and, for each, of what is paid; not before either was there."""
    for receivable in owed:
        for source in paid:
            amount = min(limit, receivable.rest.free, source.rest.free)
            if amount > 0:
                day = max(on, receivable.since, source.since)
                part = Pair(amount, amount)
                yield make(part, receivable, source, customer_id=customer_id, on=day, base_currency=base_currency)
                limit -= amount


def make(
    part: Pair,
    owed: Side,
    paid: Side,
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
    if owed.rest.currency == paid.rest.currency:
        postings = list(allocated(part.owed, owed.rest, paid.rest, base_currency))
    else:
        postings = list(exchanging.exchanged(part, paid.rest, owed.rest, base_currency))
    kind = "payment.allocated" if paid.documents["payment_id"] else "credit.allocated"
    entry = Entry(
        kind, f"allocated {id}", source or _document(paid.documents, customer_id), on, postings, customer_id=customer_id
    )
    row = {
        "id": id,
        "customer_id": customer_id,
        **owed.documents,
        **paid.documents,
        "item_id": owed.rest.account.item_id,
        "source_item_id": paid.rest.account.item_id,
        "currency": owed.rest.currency,
        "amount": part.owed,
        "paid_currency": paid.rest.currency,
        "paid_amount": part.paid,
        "allocated_on": on,
        **used,
    }
    return Made(row, entry, owed.rest)


def again(
    row: Row, room: Pair, rests: Mapping[UUID, Rest], *, on: date, base_currency: str, source: Document | None = None
) -> list[Made]:
    """What of an allocation that was undone settles the same again, at its own rate: as much as there is room for. It is one
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
    sides = (
        Side({column: row[column] for column in OWED}, owed, on),
        Side({column: row[column] for column in PAID}, paid, on),
    )
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
            documents = {column: row[column] for column in OWED}
            found[row["item_id"]] = Owed(row["customer_id"], documents, each.rest, row["allocated_on"], row["id"])
    return found


def _document(paid: Row, customer_id: UUID) -> Document:
    """What an allocation takes from: credit that was taken over from a merged customer is of the customer."""
    payment_id, credit_note_id = (paid[column] for column in PAID)
    if payment_id:
        return ("Payment", payment_id)
    return ("CreditNote", credit_note_id) if credit_note_id else ("Customer", customer_id)


def _event(row: Row) -> outbox.Entry:
    kind = "allocation.undone" if row.get("undoes_id") else "allocation.made"
    payload = {"amount": (row["amount"], row["currency"]), "paid": (row["paid_amount"], row["paid_currency"])}
    payload |= {column: row[column] for column in (*OWED, *PAID, "undoes_id") if row.get(column)}
    changes = {column: (None, value) for column, value in row.items() if column != "id" and value is not None}
    return outbox.Entry(kind, ("Allocation", row["id"]), row["customer_id"], changes, payload)


async def allocate(
    act: Act,
    *,
    id: UUID,
    order_id: UUID | None = None,
    invoice_id: UUID | None = None,
    dispute_id: UUID | None = None,
    amount: Money | None = None,
    write_off: Short | None = None,
    order_amount: Money | None = None,
    expected_version: int | None = None,
) -> UUID:
    """Settles an order, an invoice or what is owed of a lost dispute, or without one all that the customer owes in its currency, the
    oldest first, with what is left of a payment.

    Without an amount it is as much as fits, which may be nothing where none is named. For what is in another currency,
    `order_amount` is what the amount settles of it; where one of the two is left out, it follows at the day's rates. `write_off`:
    what is written off of the named one in the same act. Raises `AllocationExceedsOpen`, `AllocationExceedsPayment`,
    `CurrencyMismatch`, `IllegalTransition`, `PeriodClosed`, `RateMissing`; as `write_offs.write_off` does.
    """
    access.require_write(act.viewer, "Payment")
    payment = await records.lock(act, Payment, id, expected_version=expected_version)
    if payment["status"] != "RECEIVED":
        raise IllegalTransition(f"A {payment['status']} payment settles nothing; it has to be received.", field="id")
    own, currency = await book.company_of(act), payment["currency"]
    limit = None if amount is None else money.amount(amount, currency, field="amount", positive=True)
    named = await sides.to_settle(
        act, order_id, invoice_id, dispute_id, customer_id=payment["customer_id"], alone=write_off is not None
    )
    order_currency = currency if named is None else named.currency
    owed, paid = await sides.rests(act, payment, named, payment_id=id)
    if named is not None and order_currency != currency:
        wanted = order_amount and money.amount(order_amount, order_currency, field="orderAmount", positive=True)
        made = await _exchange(act, payment, named, owed, paid, limit, wanted, own.currency)
    elif order_amount is not None:
        raise BadUserInput(
            "It is for what is owed in another currency than the payment's; leave it out.", field="orderAmount"
        )
    else:
        if limit is not None or named is not None:
            sides.check_left(limit, paid, currency, field="amount" if limit else "id")
            sides.check_open(limit, owed, currency, named, field="amount" if limit or named is None else named.field)
        fits = limit if limit is not None else sum((each.rest.free for each in paid), Decimal(0))
        made = list(
            spread(fits, owed, paid, customer_id=payment["customer_id"], on=act.today, base_currency=own.currency)
        )
    if made:
        payload = {"amount": (sum(each.row["paid_amount"] for each in made), currency)}
        await records.change(act, Payment, payment, {}, kind="payment.allocated", payload=payload, touch=True)
        written_off = None if write_off is None else await shortened(act, named, owed, made, write_off)
        await outbox.record_many(act.tx, act.viewer, await post(act, made, written_off=written_off))
    return id


async def shortened(
    act: Act, named: Named | None, owed: Sequence[Side], made: Sequence[Made], short: Short
) -> list[write_offs.Made]:
    """What is written off of the order, invoice or dispute, of which a part was just allocated."""
    if named is None:
        raise BadUserInput(write_offs.UNNAMED, field="orderId")
    paid = {each.rest.account: each for each in _paid(made).values()}
    left = [
        paid.get(each.rest.account) or Owed(named.customer_id, each.documents, each.rest, each.since) for each in owed
    ]
    return await write_offs.by_hand(act, left, named, short, inside="writeOff.")


async def _exchange(
    act: Act,
    payment: Row,
    named: Named,
    owed: Sequence[Side],
    paid: Sequence[Side],
    limit: Decimal | None,
    wanted: Decimal | None,
    base_currency: str,
) -> list[Made]:
    """What settles an order, invoice or dispute in another currency: both amounts as given, or at the rates of the day."""
    day = max([act.today, *(each.since for each in (*owed, *paid))])
    pair, used = await exchange_pair(act, payment["currency"], named, owed, paid, limit, wanted, day)
    given: Row = {"customer_id": payment["customer_id"], "on": day, "base_currency": base_currency, **used}
    return exchange(pair, owed, paid, **given)


async def exchange_pair(
    act: Act,
    currency: str,
    named: Named,
    owed: Sequence[Side],
    paid: Sequence[Side],
    limit: Decimal | None,
    wanted: Decimal | None,
    day: date,
) -> tuple[Pair, Row]:
    """How much of what is left, in its currency, settles how much of what is named, and the ids of the rates, if they made one of the
    amounts. Raises `AllocationExceedsOpen`, `AllocationExceedsPayment`, `BadUserInput`, `RateMissing`."""
    currencies = (currency, named.currency)
    field = "amount" if limit else "orderAmount" if wanted else named.field
    pair = Pair(limit or Decimal(0), wanted or Decimal(0))
    sides.check_left(pair.paid, paid, currencies[0], field=field)
    sides.check_open(pair.owed, owed, currencies[1], named, field=field)
    if limit and wanted:
        return pair, {}
    found = await rates.on_days(act, {(each, day) for each in currencies})
    cross = Cross(*((each, found[each, day]) for each in currencies))
    left, open_ = (sum((each.rest.free for each in side), Decimal(0)) for side in (paid, owed))
    pair = exchanging.fitting(cross, left, open_, paid=limit, owed=wanted)
    sides.check_left(pair.paid, paid, currencies[0], field=field)
    sides.check_open(pair.owed, owed, currencies[1], named, field=field)
    return pair, {"rate_id": cross.owed[1].id, "paid_rate_id": cross.paid[1].id}


def exchange(pair: Pair, owed: Sequence[Side], paid: Sequence[Side], **given: Any) -> list[Made]:
    """The allocations of a pair, for which there is room on both sides; `given` as for `make`."""
    parts = exchanging.parts(pair, [each.rest for each in paid], [each.rest for each in owed])
    return [make(part, owed[j], paid[i], **given) for i, j, part in parts]


async def undo(act: Act, *, id: UUID) -> UUID:
    """Takes an allocation back as it was, base amounts included, and the write-off that completes it; the id of the one that
    undoes it.

    Raises `ReversedAlready`, `IllegalTransition` for one that undoes another, `PeriodClosed`.
    """
    made = await taking_back(act, id)
    await outbox.record_many(act.tx, act.viewer, await post(act, [made]))
    return made.row["id"]  # type: ignore[no-any-return]


async def taking_back(act: Act, id: UUID) -> Made:
    """What takes an allocation back, to be posted. Raises `IllegalTransition` for one that undoes another."""
    access.require_write(act.viewer, "Allocation")
    undone = await records.shown(act, Allocation, id, field="id")
    if undone["undoes_id"] is not None:
        raise IllegalTransition("It undoes another allocation, and stays; allocate anew instead.", field="id")
    return (await undoing(act, [undone]))[0]


async def undoing(
    act: Act, rows: Sequence[Row], *, on: date | None = None, source: Document | None = None
) -> list[Made]:
    """What undoes these allocations on a day, or today, to be posted, in their order; `source` as for `make`. None is undone
    before the day on which it was made."""
    days = {row["entry_id"]: max(on or act.today, row["allocated_on"]) for row in rows}
    reversals = await book.reversals(act, days, kind="payment.unallocated") if rows else []
    entries = {each.reverses_id: each for each in reversals}
    return [_undoing(row, entries[row["entry_id"]], source or _document(row, row["customer_id"])) for row in rows]


def _undoing(row: Row, entry: Entry, source: Document) -> Made:
    kept = {name: value for name, value in row.items() if name not in NOT_UNDONE}
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
        owed, paid = sides.parted(each, rests)
        limit = sum((side.rest.free for side in paid), Decimal(0))
        made += spread(limit, owed, paid, customer_id=customer_id, on=days[order_id], base_currency=own.currency)
    return await post(act, made)
