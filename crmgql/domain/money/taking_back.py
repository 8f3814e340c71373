"""What credit notes are in the books: from what is owed of their invoices, from what was written off of it, which is undone first, and of
what was paid as the customer's credit.

Enters: credit notes with their lines as they have just been written, by a verb or an import. Leaves: their entries; what they take
of revenue that is not recognised yet is taken off its schedule. Set-based: the same number of statements for one and for five thousand.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

from crmgql.domain.money import crediting, write_offs
from crmgql.domain.money.crediting import Credit, Owed
from crmgql.domain.sales import deferrals, recognition
from crmgql.domain.sales.recognition import Waiting
from crmgql.errors import Conflict
from crmgql.events import outbox
from crmgql.ledger import book, items, periods, rates
from crmgql.ledger.accounts import Account
from crmgql.ledger.items import Rest
from crmgql.ledger.postings import Entry, Item, Posting, share
from crmgql.models import Purpose
from crmgql.records import aside, money
from crmgql.records.records import Act, Row

# Parameters: credit notes. With their invoices, and the rate at which an invoice's order is booked.
STATE = """
SELECT n.id, n.customer_id, n.invoice_id, n.currency, n.net_amount, n.tax_amount, n.issued_on, i.status, i.order_id,
    i.currency AS invoice_currency, i.issued_on AS invoiced_on, i.total_amount AS invoiced_amount, booked.rate
FROM credit_notes n JOIN invoices i ON i.customer_id = n.customer_id AND i.id = n.invoice_id
LEFT JOIN LATERAL (
    SELECT rate FROM revenue_records WHERE customer_id = i.customer_id AND order_id = i.order_id ORDER BY revision DESC LIMIT 1
) AS booked ON true
WHERE n.id = ANY ($1) ORDER BY n.issued_on, n.id"""
# Parameters: customers, credit notes. What they take back of lines of orders.
LINES = """
SELECT c.credit_note_id, l.order_line_id, sum(c.net_amount) AS net_amount
FROM unnest($1::uuid[], $2::uuid[]) AS note(customer_id, id)
JOIN credit_note_lines c ON c.customer_id = note.customer_id AND c.credit_note_id = note.id
JOIN invoice_lines l ON l.customer_id = c.customer_id AND l.id = c.invoice_line_id
WHERE l.order_line_id IS NOT NULL GROUP BY c.credit_note_id, l.order_line_id"""
# Parameters: customers, invoices, their orders or null. The receivables of each invoice, then what is owed for its order apart from
# invoices: what of the invoice was settled before it was issued is there, if it is owed again.
OWED = """
SELECT of.invoice_id, i.id, NULL::numeric AS most, 0::numeric AS kept, i.due_on
FROM unnest($1::uuid[], $2::uuid[], $3::uuid[]) AS of(customer_id, invoice_id, order_id)
CROSS JOIN LATERAL (
    SELECT * FROM open_items WHERE customer_id = of.customer_id AND invoice_id = of.invoice_id AND purpose = 'RECEIVABLE' OFFSET 0
) AS i
UNION ALL
SELECT of.invoice_id, i.id,
    (SELECT sum(paid_before_amount) FROM instalments WHERE customer_id = of.customer_id AND invoice_id = of.invoice_id),
    o.total_amount - o.invoiced_amount, NULL
FROM unnest($1::uuid[], $2::uuid[], $3::uuid[]) AS of(customer_id, invoice_id, order_id)
CROSS JOIN LATERAL (SELECT * FROM orders WHERE customer_id = of.customer_id AND id = of.order_id OFFSET 0) AS o
CROSS JOIN LATERAL (
    SELECT * FROM open_items WHERE customer_id = o.customer_id AND order_id = o.id AND invoice_id IS NULL AND purpose = 'RECEIVABLE' OFFSET 0
) AS i
ORDER BY invoice_id, due_on, id"""


@dataclass(frozen=True, slots=True)
class _Later:
    """What a credit note takes of revenue that is not recognised yet, in both currencies."""

    amount: Decimal
    base: Decimal


@dataclass(frozen=True, slots=True)
class _Unwritten:
    """The write-offs that a credit note undoes, and what of them stays written off: those rows, each with how much."""

    undone: Sequence[write_offs.Made] = ()
    kept: Sequence[tuple[Row, Decimal]] = ()


async def follow(act: Act, note_ids: Collection[UUID]) -> list[outbox.Entry]:
    """Posts the credit notes. The events of write-offs are the caller's to record.

    Raises `PeriodClosed`, `RateMissing`, and `Conflict` for one of an invoice that is not issued, in another currency, or of a later day,
    and for two at once of what is written off in part: what one undoes the other has to find.
    """
    rows = [dict(row) for row in await act.tx.connection.fetch(STATE, sorted(set(note_ids)))]
    for row in rows:
        _check(row)
    own = await book.company_of(act)
    waiting = await deferrals.waiting(act, {_order(row) for row in rows if row["order_id"] is not None})
    by_line = await _by_line(act, rows) if any(waiting.values()) else {}

    def taken() -> dict[UUID, _Later]:
        return {row["id"]: _taken_later(row, waiting.get(_order(row), ()), by_line, own.currency) for row in rows}

    later = await aside.done(taken, rows=sum(map(len, waiting.values())) * max(map(len, by_line.values()), default=1))
    owed = await _owed(act, rows)
    unwritten = await _unwritten(act, rows, owed)
    alone = {(row["currency"], row["invoiced_on"]) for row in rows if row["order_id"] is None}
    on_days = await rates.on_days(act, alone) if alone else {}
    entries: list[Entry] = []
    written: dict[int, write_offs.Made] = {}
    for row in rows:
        rate = row["rate"] if row["order_id"] is not None else on_days[row["currency"], row["invoiced_on"]].rate
        found, each = owed[row["invoice_id"]], unwritten.get(row["id"], _Unwritten())
        items.move(
            {id: one.rest for id, one in found.items()}, [p for made in each.undone for p in made.entry.postings]
        )
        own_entry = _entry(row, list(found.values()), later[row["id"]], rate, own.currency)
        given: Row = {"on": row["issued_on"], "base_currency": own.currency}
        again = [write_offs.again(one, left, found[one["item_id"]].rest, **given) for one, left in each.kept]
        for made in each.undone:
            written[len(entries)] = made
            entries.append(made.entry)
        entries.append(own_entry)
        for made in again:
            written[len(entries)] = made
            entries.append(made.entry)
    posted = await book.post(act, periods.adjusting(act, entries), refusals={"open_items_not_over": _collided})
    touched = {_order(row) for row in rows if later[row["id"]].amount}
    await deferrals.credit(act, {order: waiting[order] for order in sorted(touched)})
    return await write_offs.record(act, list(written.values()), [posted[place] for place in written])


def _check(row: Row) -> None:
    if row["status"] != "ISSUED":
        raise Conflict(f"A {row['status']} invoice is not credited.", field="invoiceId")
    if row["currency"] != row["invoice_currency"]:
        raise Conflict(f"The invoice is in {row['invoice_currency']}, and so are its credit notes.", field="currency")
    if row["issued_on"] < row["invoiced_on"]:
        reason = f"The invoice is of {row['invoiced_on']}; a credit note of it can't be of an earlier day."
        raise Conflict(reason, field="issuedOn")


def _order(row: Row) -> tuple[UUID, UUID]:
    return row["customer_id"], row["order_id"]


async def _by_line(act: Act, rows: Sequence[Row]) -> dict[UUID, dict[UUID | None, Decimal]]:
    found: dict[UUID, dict[UUID | None, Decimal]] = defaultdict(dict)
    keys = [row["customer_id"] for row in rows], [row["id"] for row in rows]
    for row in await act.tx.connection.fetch(LINES, *keys):
        found[row["credit_note_id"]][row["order_line_id"]] = row["net_amount"]
    return found


def _taken_later(
    row: Row, parts: Sequence[Waiting], by_line: Mapping[UUID, Mapping[UUID | None, Decimal]], base_currency: str
) -> _Later:
    """Of its lines, or without any of all that the order brings later, what is due last first. The parts keep what is credited of them."""
    before = sum((part.credited_base for part in parts), Decimal(0))
    amount = recognition.credit(parts, by_line.get(row["id"]) or {None: row["net_amount"]}, base_currency)
    return _Later(amount, sum((part.credited_base for part in parts), Decimal(0)) - before)


def _keys(rows: Sequence[Row]) -> list[list[Any]]:
    """Customers, invoices and their orders, each invoice once."""
    keys = {row["invoice_id"]: (row["customer_id"], row["invoice_id"], row["order_id"]) for row in rows}
    return [list(each) for each in zip(*keys.values(), strict=True)]


async def _owed(act: Act, rows: Sequence[Row]) -> dict[UUID, dict[UUID, Owed]]:
    """What is owed of each invoice, by receivable, what is due first first; locked. Credit notes of the same share its rests."""
    found: Any = await act.tx.connection.fetch(OWED, *_keys(rows)) if rows else []
    rests = await items.lock(act, {row["id"] for row in found})
    totals = {row["invoice_id"]: row["invoiced_amount"] for row in rows}
    owed: dict[UUID, dict[UUID, Owed]] = defaultdict(dict)
    for row in found:
        most = totals[row["invoice_id"]] if row["most"] is None else row["most"]
        owed[row["invoice_id"]][row["id"]] = Owed(rests[row["id"]], most, row["kept"])
    return owed


def _whole(row: Row) -> UUID:
    """The order of an invoice, or the invoice that has none."""
    return row["order_id"] or row["invoice_id"]  # type: ignore[no-any-return]


async def _unwritten(act: Act, rows: Sequence[Row], owed: Mapping[UUID, Mapping[UUID, Owed]]) -> dict[UUID, _Unwritten]:
    """What undoes write-offs of what is credited: nobody paid that, so it becomes no credit."""
    room = {id: sum((each.room for each in found.values()), Decimal(0)) for id, found in owed.items()}
    short: dict[UUID, Decimal] = {}
    for row in rows:
        left = room.get(row["invoice_id"], Decimal(0))
        total = row["net_amount"] + row["tax_amount"]
        short[row["id"]] = total - left
        room[row["invoice_id"]] = max(left - total, Decimal(0))
    standing = await write_offs.standing(
        act, [(row["customer_id"], row["invoice_id"], row["order_id"]) for row in rows]
    )
    notes = Counter(_whole(row) for row in rows)
    if any(there and notes[_whole(row)] > 1 for row, there in zip(rows, standing, strict=True)):
        raise Conflict(
            "Of an order or an invoice with write-offs one credit note is posted at a time.", field="invoiceId"
        )
    chosen = {
        row["id"]: list(crediting.unwritten(short[row["id"]], owed[row["invoice_id"]], there))
        for row, there in zip(rows, standing, strict=True)
        if short[row["id"]] > 0 and there
    }
    issued = {row["id"]: row["issued_on"] for row in rows}
    days = {one["id"]: issued[id] for id, found in chosen.items() for one, _ in found}
    undone = await write_offs.undoing(act, [one for found in chosen.values() for one, _ in found], on=days)
    by_id = {made.row["undoes_id"]: made for made in undone}
    return {
        id: _Unwritten([by_id[one["id"]] for one, _ in found], [(one, left) for one, left in found if left])
        for id, found in chosen.items()
    }


def _entry(row: Row, owed: Sequence[Owed], later: _Later, rate: Decimal, base_currency: str) -> Entry:
    parts = list(crediting.spread(Credit(row["net_amount"], row["tax_amount"]), [each.room for each in owed]))
    first = list(crediting.deferred(parts, later.amount))
    postings = [
        each
        for taken, part, deferred in zip(owed, parts, first, strict=False)
        for each in _taken(taken.rest, part, deferred, base_currency)
    ]
    opened = []
    if parts[-1].total:
        item = Item(Purpose.CREDIT, row["currency"], invoice_id=row["invoice_id"], credit_note_id=row["id"])
        opened.append(item)
        postings += _given(item, parts[-1], first[-1], rate, base_currency)
    postings += _mended(postings, later, row["currency"])
    return Entry(
        kind="creditNote.issued",
        key=f"credit note {row['id']}",
        source=("CreditNote", row["id"]),
        effective_on=row["issued_on"],
        postings=postings,
        customer_id=row["customer_id"],
        items=opened,
    )


def _collided() -> Conflict:
    return Conflict("What is owed of the invoice has changed a moment ago; try again.", field="invoiceId")


def _purposes(part: Credit, deferred: Decimal) -> tuple[tuple[Purpose, Decimal], ...]:
    return (Purpose.DEFERRED, deferred), (Purpose.REFUNDS, part.net - deferred), (Purpose.TAX, part.tax)


def _taken(rest: Rest, part: Credit, deferred: Decimal, base_currency: str) -> Iterator[Posting]:
    """From what is owed; `deferred` of its net is no revenue yet."""
    for purpose, amount in _purposes(part, deferred):
        if amount:
            base = share(amount, rest.open, rest.base, base_currency)
            rest.open, rest.free, rest.base = rest.open - amount, rest.free - amount, rest.base - base
            yield Posting(rest.account, Account(purpose), rest.currency, amount, base)


def _given(item: Item, part: Credit, deferred: Decimal, rate: Decimal, base_currency: str) -> Iterator[Posting]:
    """Of what was paid, at the rate that it was booked at."""
    for purpose, amount in _purposes(part, deferred):
        if amount:
            base = rates.converted(amount, rate, base_currency)
            yield Posting(item.account, Account(purpose), item.currency, amount, base)


def _mended(postings: Sequence[Posting], later: _Later, currency: str) -> Iterator[Posting]:
    """Has what leaves DEFERRED be worth what it was worth there: what is owed was rounded by itself."""
    surplus = sum((each.base for each in postings if each.target.purpose is Purpose.DEFERRED), Decimal(0)) - later.base
    if surplus:
        nothing = money.rounded(Decimal(0), currency)
        moved = Posting(Account(Purpose.DEFERRED), Account(Purpose.REFUNDS), currency, nothing, abs(surplus))
        yield moved if surplus > 0 else moved.back
