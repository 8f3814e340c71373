"""What credit notes are in the books: from what is owed of their invoices, and of what was paid as the customer's credit.

Enters: credit notes with their lines as they have just been written, by a verb or an import. Leaves: their entries; what they take
of revenue that is not recognised yet is taken off its schedule. Set-based: the same number of statements for one and for five thousand.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

from crmgql.domain.money import crediting
from crmgql.domain.money.crediting import Credit
from crmgql.domain.sales import deferrals, recognition
from crmgql.domain.sales.recognition import Waiting
from crmgql.errors import Conflict
from crmgql.ledger import book, items, periods, rates
from crmgql.ledger.accounts import Account
from crmgql.ledger.items import Rest
from crmgql.ledger.postings import Entry, Item, Posting, share
from crmgql.models import Purpose
from crmgql.records import money
from crmgql.records.records import Act, Row

# Parameters: credit notes. With their invoices, and the rate at which an invoice's order is booked.
STATE = """
SELECT n.id, n.customer_id, n.invoice_id, n.currency, n.net_amount, n.tax_amount, n.issued_on, i.status, i.order_id,
    i.currency AS invoice_currency, i.issued_on AS invoiced_on, booked.rate
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
# Parameters: customers, invoices. What is owed of them, by due dates.
OWED = """
SELECT o.invoice_id, o.id FROM unnest($1::uuid[], $2::uuid[]) AS i(customer_id, id)
CROSS JOIN LATERAL (
    SELECT * FROM open_items WHERE customer_id = i.customer_id AND invoice_id = i.id AND purpose = 'RECEIVABLE' AND open > 0 OFFSET 0
) AS o ORDER BY o.invoice_id, o.due_on, o.id"""


@dataclass(frozen=True, slots=True)
class _Later:
    """What a credit note takes of revenue that is not recognised yet, in both currencies."""

    amount: Decimal
    base: Decimal


async def follow(act: Act, note_ids: Collection[UUID]) -> None:
    """Posts the credit notes.

    Raises `PeriodClosed`, `RateMissing`, and `Conflict` for one of an invoice that is not issued, in another currency, or of a later day.
    """
    rows = [dict(row) for row in await act.tx.connection.fetch(STATE, sorted(set(note_ids)))]
    for row in rows:
        _check(row)
    own = await book.company_of(act)
    waiting = await deferrals.waiting(act, {_order(row) for row in rows if row["order_id"] is not None})
    by_line = await _by_line(act, rows) if any(waiting.values()) else {}
    later = {row["id"]: _taken_later(row, waiting.get(_order(row), ()), by_line, own.currency) for row in rows}
    owed = await _owed(act, rows)
    alone = {(row["currency"], row["invoiced_on"]) for row in rows if row["order_id"] is None}
    on_days = await rates.on_days(act, alone) if alone else {}
    entries = []
    for row in rows:
        rate = row["rate"] if row["order_id"] is not None else on_days[row["currency"], row["invoiced_on"]].rate
        entries.append(_entry(row, owed[row["invoice_id"]], later[row["id"]], rate, own.currency))
    await book.post(act, periods.adjusting(act, entries), refusals={"open_items_not_over": _collided})
    touched = {_order(row) for row in rows if later[row["id"]].amount}
    await deferrals.credit(act, {order: waiting[order] for order in sorted(touched)})


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


async def _owed(act: Act, rows: Sequence[Row]) -> dict[UUID, list[Rest]]:
    """What is owed of each invoice, locked. Credit notes of the same invoice share its rests."""
    keys = sorted({(row["customer_id"], row["invoice_id"]) for row in rows})
    found: Any = await act.tx.connection.fetch(OWED, *map(list, zip(*keys, strict=True))) if keys else []
    rests = await items.lock(act, [row["id"] for row in found])
    owed: dict[UUID, list[Rest]] = defaultdict(list)
    for row in found:
        owed[row["invoice_id"]].append(rests[row["id"]])
    return owed


def _entry(row: Row, owed: Sequence[Rest], later: _Later, rate: Decimal, base_currency: str) -> Entry:
    parts = list(crediting.spread(Credit(row["net_amount"], row["tax_amount"]), [rest.free for rest in owed]))
    first = list(crediting.deferred(parts, later.amount))
    postings = [
        each
        for rest, part, deferred in zip(owed, parts, first, strict=False)
        for each in _taken(rest, part, deferred, base_currency)
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
