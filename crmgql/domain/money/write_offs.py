"""Write-offs: what of an order, invoice or lost dispute nobody asks for any more, with its reason; by hand, by rule after a payment, and
undone.

Enters: what is open of orders, invoices and disputes, locked. Leaves: an entry and a row of `write_offs` for each receivable, and an event. Always
holds: nothing is written off above what is open. What somebody writes off of one order with its invoices, or of an invoice without
an order, or of a dispute, is, all in all, within the company's tolerance or approved; by rule it is within the tolerance for each invoice. Set-based: the same number of statements for one receivable and for five hundred.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any
from uuid import UUID

from crmgql import access
from crmgql.domain.money import sides
from crmgql.domain.money.sides import Named
from crmgql.errors import BadUserInput, IllegalTransition, WriteOffExceedsOpen
from crmgql.events import outbox
from crmgql.events.canonical import as_json
from crmgql.ledger import book, items, periods
from crmgql.ledger.accounts import Account
from crmgql.ledger.book import Posted
from crmgql.ledger.items import Rest
from crmgql.ledger.postings import Entry, Posting, new_id, share
from crmgql.models import Purpose, WriteOff
from crmgql.records import checks, money, records
from crmgql.records.money import Money
from crmgql.records.records import Act, Row

NOTHING = Decimal(0)
Document = tuple[UUID | None, UUID | None, UUID | None]
"""An order and an invoice, or a dispute; in the invoice's place the receivable that has none of them."""

UNNAMED = "Name the order, the invoice or the dispute of which something is written off."

LONGEST_REASON = 1000

# Parameters: customer, order, invoice or dispute, the others null, or the items that took it over. What is open of it, by due date.
OPEN = """
SELECT id, order_id, invoice_id, dispute_id, opened_on FROM open_items
WHERE owner_id = $1 AND customer_id = $1 AND CASE WHEN $5::uuid[] IS NULL
        THEN ($2::uuid IS NULL OR order_id = $2) AND ($3::uuid IS NULL OR invoice_id = $3) AND ($4::uuid IS NULL OR dispute_id = $4)
        ELSE id = ANY ($5) END
    AND purpose = 'RECEIVABLE' AND open > 0 ORDER BY due_on, id"""
# Parameters: customers, orders, invoices without one, disputes, and receivables without any. What is written off of each, by invoice, and
# not undone.
LIVE = """
SELECT w.order_id, own.invoice_id, w.dispute_id, sum(CASE WHEN w.undoes_id IS NULL THEN w.amount ELSE -w.amount END) AS amount
FROM unnest($1::uuid[], $2::uuid[]) AS o(customer_id, id) JOIN write_offs w ON w.customer_id = o.customer_id
    AND (w.order_id = o.id OR w.order_id IS NULL AND coalesce(w.invoice_id, w.dispute_id, w.item_id) = o.id)
    CROSS JOIN LATERAL (
        SELECT coalesce(w.invoice_id, CASE WHEN num_nonnulls(w.order_id, w.dispute_id) = 0 THEN w.item_id END) AS invoice_id
    ) AS own
GROUP BY w.order_id, own.invoice_id, w.dispute_id"""
# Parameters: customers, their allocations. What completes these and is not undone.
COMPLETING = """
SELECT w.* FROM write_offs w JOIN unnest($1::uuid[], $2::uuid[]) AS a(customer_id, id) ON a.customer_id = w.customer_id AND a.id = w.allocation_id
WHERE w.undoes_id IS NULL
    AND NOT EXISTS (SELECT FROM write_offs u WHERE u.customer_id = w.customer_id AND u.undoes_id = w.id)"""
# Parameters: customers, invoices, their orders or null. What is written off of either and not undone, the latest first.
STANDING = """
SELECT of.n, w.* FROM unnest($1::uuid[], $2::uuid[], $3::uuid[]) WITH ORDINALITY AS of(customer_id, invoice_id, order_id, n)
JOIN write_offs w ON w.customer_id = of.customer_id
    AND (w.invoice_id = of.invoice_id OR w.order_id = of.order_id AND w.invoice_id IS NULL)
WHERE w.undoes_id IS NULL AND NOT EXISTS (SELECT FROM write_offs u WHERE u.customer_id = w.customer_id AND u.undoes_id = w.id)
ORDER BY of.n, w.entry_id DESC"""
RECORD = """
INSERT INTO write_offs (id, customer_id, order_id, invoice_id, dispute_id, allocation_id, undoes_id, item_id, currency, amount, account,
    reason, written_off_on, entry_id)
SELECT w.id, w.customer_id, w.order_id, w.invoice_id, w.dispute_id, w.allocation_id, w.undoes_id, w.item_id, w.currency, w.amount, w.account,
    w.reason, w.written_off_on, w.entry_id
FROM jsonb_to_recordset($1::jsonb) AS w(id uuid, customer_id uuid, order_id uuid, invoice_id uuid, dispute_id uuid, allocation_id uuid,
    undoes_id uuid, item_id uuid, currency text, amount numeric, account text, reason text, written_off_on date, entry_id uuid)"""


@dataclass(frozen=True, slots=True)
class Made:
    """A write-off of one receivable, and the entry that posts it."""

    row: Row
    entry: Entry


@dataclass(frozen=True, slots=True)
class Short:
    """What is written off of an order, an invoice or a dispute, and why. Without an amount: all that is open."""

    amount: Money | None
    reason: str
    account: str | None = None


@dataclass(frozen=True, slots=True)
class Owed:
    """A receivable; its rest goes down as it is written off, not before the day `since`. `documents`: order, invoice and dispute, by column.

    `allocation_id`: the allocation that a write-off of it completes.
    """

    customer_id: UUID
    documents: Row
    rest: Rest
    since: date
    allocation_id: UUID | None = None

    @property
    def whole(self) -> UUID:
        """The order, the invoice that has none, or the dispute; what was taken over from a merged customer stands by itself."""
        return next(id for id in self.document if id is not None)

    @property
    def document(self) -> Document:
        order, invoice, dispute = (self.documents[column] for column in sides.OWED)
        return order, invoice or (None if order or dispute else self.rest.account.item_id), dispute


async def write_off(
    act: Act,
    *,
    order_id: UUID | None = None,
    invoice_id: UUID | None = None,
    dispute_id: UUID | None = None,
    reason: str,
    amount: Money | None = None,
    account: str | None = None,
) -> UUID:
    """Writes off what is open of an order, an invoice or a lost dispute, or the amount of it, what is due first; the id of the first
    receivable's.

    Raises `WriteOffExceedsOpen`, `IllegalTransition` for what is not owed, `PeriodClosed`; `Forbidden` without
    `writeOff.approve` where more is written off, all in all, than the company's tolerance.
    """
    access.require_write(act.viewer, "WriteOff")
    named = await sides.to_settle(act, order_id, invoice_id, dispute_id, alone=True)
    if named is None:
        raise BadUserInput(UNNAMED, field="orderId")
    documents = (order_id, invoice_id, dispute_id)
    found = await act.tx.connection.fetch(OPEN, named.customer_id, *documents, named.item_ids)
    rests = await items.lock(act, [row["id"] for row in found])
    owed = [Owed(named.customer_id, _documents(row), rests[row["id"]], row["opened_on"]) for row in found]
    made = await by_hand(act, owed, named, Short(amount, reason, account))
    posted = await book.post(act, periods.adjusting(act, [each.entry for each in made]))
    await outbox.record_many(act.tx, act.viewer, await record(act, made, posted))
    return made[0].row["id"]  # type: ignore[no-any-return]


def _documents(row: Any) -> Row:
    return {column: row[column] for column in sides.OWED}


async def by_hand(act: Act, owed: Sequence[Owed], named: Named, short: Short, *, inside: str = "") -> list[Made]:
    """What is to be posted where somebody writes off a part of an order, an invoice or a dispute, which is held alone: over its receivables, which
    are locked, in their order.

    `inside`: the input in which the fields are that errors name. Raises as `write_off`.
    """
    currency = named.currency
    checks.check_text(short.reason, f"{inside}reason", longest=LONGEST_REASON, required=True)
    own = await book.company_of(act)
    open_ = sum((each.rest.free for each in owed), money.rounded(NOTHING, currency))
    left, field = open_, named.field
    if short.amount is not None:
        left, field = money.amount(short.amount, currency, field=f"{inside}amount", positive=True), f"{inside}amount"
    if left > open_ or not open_:
        raise WriteOffExceedsOpen(f"For the {named.noun} {open_} {currency} is still owed, and no more.", field=field)
    before = sum((await _written_off(act, owed)).values(), NOTHING)  # of the order with all its invoices
    if before + left > own.tolerances.get(currency, NOTHING):
        access.require(act.viewer, "writeOff.approve", "Writing off more than the company's tolerance", field=field)
    made = []
    for each in owed:
        part = min(left, each.rest.free)
        if part > 0:
            day = max(act.today, each.since)
            made.append(_make(part, each, day, own.currency, short.reason, short.account))
            left -= part
    return made


async def by_rule(act: Act, owed: Sequence[Owed]) -> list[Made]:
    """What is to be posted of receivables of which a part was just paid: what is left, where that is within the tolerance."""
    own = await book.company_of(act)
    short = [
        each
        for each in owed
        if NOTHING < each.rest.open == each.rest.free <= own.tolerances.get(each.rest.currency, NOTHING)
    ]
    if not short:
        return []
    before, made = await _written_off(act, short), []
    for each in short:
        tolerance, part = own.tolerances[each.rest.currency], each.rest.open
        if before.get(each.document, NOTHING) + part <= tolerance:
            before[each.document] = before.get(each.document, NOTHING) + part
            reason = f"Within the tolerance of {tolerance} {each.rest.currency}."
            made.append(_make(part, each, each.since, own.currency, reason, None))
    return made


async def _written_off(act: Act, owed: Collection[Owed]) -> dict[Document, Decimal]:
    """Of the orders, of invoices without one, and of disputes: what was written off and not undone, by document."""
    wholes = {(each.customer_id, each.whole) for each in owed}
    rows = await act.tx.connection.fetch(LIVE, *map(list, zip(*sorted(wholes), strict=True)))
    return {(row["order_id"], row["invoice_id"], row["dispute_id"]): row["amount"] for row in rows}


def _make(amount: Decimal, owed: Owed, day: date, base_currency: str, reason: str, account: str | None) -> Made:
    id, rest = new_id(), owed.rest
    expense = Purpose(account or Purpose.WRITE_OFF)
    base = share(amount, rest.open, rest.base, base_currency)
    posting = Posting(rest.account, Account(expense), rest.currency, amount, base)
    rest.open, rest.free, rest.base = rest.open - amount, rest.free - amount, rest.base - base
    source = ("WriteOff", id)
    entry = Entry("order.writtenOff", f"written off {id}", source, day, [posting], customer_id=owed.customer_id)
    row = {
        "id": id,
        "customer_id": owed.customer_id,
        **owed.documents,
        "allocation_id": owed.allocation_id,
        "item_id": rest.account.item_id,
        "currency": rest.currency,
        "amount": amount,
        "account": expense,
        "reason": reason,
        "written_off_on": day,
    }
    return Made(row, entry)


async def undo(act: Act, *, id: UUID) -> UUID:
    """Takes a write-off back as it was, base amount included; the id of the one that undoes it.

    Raises `ReversedAlready`, `IllegalTransition` for one that undoes another, `PeriodClosed`.
    """
    access.require_write(act.viewer, "WriteOff")
    undone = await records.shown(act, WriteOff, id, field="id")
    if undone["undoes_id"] is not None:
        raise IllegalTransition("It undoes another write-off, and stays; write off anew instead.", field="id")
    (made,) = await undoing(act, [undone])
    posted = await book.post(act, periods.adjusting(act, [made.entry]))
    await outbox.record_many(act.tx, act.viewer, await record(act, [made], posted))
    return made.row["id"]  # type: ignore[no-any-return]


async def completing(act: Act, allocations: Collection[tuple[UUID, UUID]]) -> list[Made]:
    """What takes back the write-offs that complete these allocations, each a customer and an id, to be posted."""
    if not allocations:
        return []
    rows = await act.tx.connection.fetch(COMPLETING, *map(list, zip(*allocations, strict=True)))
    return await undoing(act, [dict(row) for row in rows])


async def standing(act: Act, invoices: Sequence[tuple[UUID, UUID, UUID | None]]) -> list[list[Row]]:
    """What is written off of each invoice, and of its order apart from invoices, the latest first. Each is given as customer, invoice,
    order."""
    found: list[list[Row]] = [[] for _ in invoices]
    keys = map(list, zip(*invoices, strict=True))
    for row in await act.tx.connection.fetch(STANDING, *keys) if invoices else []:
        kept = dict(row)
        found[kept.pop("n") - 1].append(kept)
    return found


def again(row: Row, amount: Decimal, rest: Rest, *, on: date, base_currency: str) -> Made:
    """A part of a write-off that was undone, written off anew, to be posted; the rest follows."""
    documents = {column: row[column] for column in sides.OWED}
    owed = Owed(row["customer_id"], documents, rest, on, row["allocation_id"])
    return _make(amount, owed, max(on, row["written_off_on"]), base_currency, row["reason"], row["account"])


async def undoing(act: Act, rows: Sequence[Row], *, on: Mapping[UUID, date] | None = None) -> list[Made]:
    """What takes back these write-offs, each on its day by its id, or today, to be posted; none before the day on which it was made."""
    by_entry = {row["entry_id"]: row for row in rows}
    days = {
        entry_id: max((on or {}).get(row["id"], act.today), row["written_off_on"]) for entry_id, row in by_entry.items()
    }
    made = []
    for entry in await book.reversals(act, days, kind="order.writeOffUndone") if days else []:
        undone = by_entry[entry.reverses_id]
        row = undone | {"id": new_id(), "undoes_id": undone["id"], "written_off_on": entry.effective_on}
        made.append(Made({name: value for name, value in row.items() if name != "created_at"}, entry))
    return made


async def record(act: Act, made: Sequence[Made], posted: Sequence[Posted]) -> list[outbox.Entry]:
    """Records what was posted, in the same order. The events are the caller's to record."""
    rows = [each.row | {"entry_id": entry.id} for each, entry in zip(made, posted, strict=True)]
    if rows:
        await act.tx.connection.execute(RECORD, as_json(rows))
    return [_event(row) for row in rows]


def _event(row: Row) -> outbox.Entry:
    kind = "writeOff.undone" if row.get("undoes_id") else "writeOff.made"
    payload = {"amount": (row["amount"], row["currency"]), "account": row["account"]}
    payload |= {column: row[column] for column in (*sides.OWED, "undoes_id") if row.get(column)}
    changes = {column: (None, value) for column, value in row.items() if column != "id" and value is not None}
    return outbox.Entry(kind, ("WriteOff", row["id"]), row["customer_id"], changes, payload)
