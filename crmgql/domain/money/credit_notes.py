"""Credit notes: they take back of an invoice what is still owed, and make the customer's credit of what was paid already.

Always holds: what is credited of an invoice is no more than the invoice. A credit note is issued with its number and never changes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any
from uuid import UUID

from crmgql import access
from crmgql.domain.money import crediting, numbers, write_offs
from crmgql.domain.money.crediting import Credit, Invoiced, Owed
from crmgql.domain.money.invoices import PARTIES
from crmgql.domain.sales import deferrals, recognition
from crmgql.domain.sales.recognition import Waiting
from crmgql.errors import BadUserInput, Conflict, CreditExceedsInvoiced, IllegalTransition
from crmgql.events import outbox
from crmgql.ledger import book, items, periods, rates
from crmgql.ledger.accounts import Account
from crmgql.ledger.items import Rest
from crmgql.ledger.postings import Entry, Item, Posting, new_id, share
from crmgql.models import CreditNote, CreditNoteLine, DocumentKind, Invoice, Purpose
from crmgql.records import aside, checks, money, records
from crmgql.records.columns import ORIGIN, takes
from crmgql.records.money import Money
from crmgql.records.records import Act, Row

CONFLICTS = {
    "credit_notes_number": ("number", "Another credit note has this number; choose another series."),
    "invoices_credited": ("invoiceId", "More would be credited than the invoice."),
}
# Parameters: customer, invoice. Its lines with what is credited of each.
LINES = """
SELECT l.id, l.order_line_id, l.description, l.quantity, l.net_amount, coalesce(sum(c.quantity), 0) AS credited_quantity,
    coalesce(sum(c.net_amount), 0) AS credited_amount
FROM invoice_lines l LEFT JOIN credit_note_lines c ON c.customer_id = l.customer_id AND c.invoice_line_id = l.id
WHERE l.customer_id = $1 AND l.invoice_id = $2 GROUP BY l.id"""
HOLD_ORDER = "SELECT FROM orders WHERE customer_id = $1 AND id = $2 FOR NO KEY UPDATE"
# Parameters: customer, invoice, its order or null. The receivables of the invoice, then what is owed for its order apart from invoices:
# what of the invoice was settled before it was issued is there, if it is owed again.
OWED = """
SELECT id, NULL::numeric AS most, 0::numeric AS kept, due_on FROM open_items
WHERE customer_id = $1 AND invoice_id = $2 AND purpose = 'RECEIVABLE'
UNION ALL
SELECT i.id, (SELECT sum(paid_before_amount) FROM instalments WHERE customer_id = $1 AND invoice_id = $2),
    o.total_amount - o.invoiced_amount, NULL
FROM orders o JOIN open_items i ON i.customer_id = o.customer_id AND i.order_id = o.id AND i.invoice_id IS NULL AND i.purpose = 'RECEIVABLE'
WHERE o.customer_id = $1 AND o.id = $3
ORDER BY due_on, id"""
# Parameters: customer, order. The rate that the order is booked at.
RATE = "SELECT rate FROM revenue_records WHERE customer_id = $1 AND order_id = $2 ORDER BY revision DESC LIMIT 1"


@dataclass(frozen=True, slots=True)
class Returned:
    """What of an invoice's line is taken back: a quantity, an amount without tax, or without either all that is left of it."""

    invoice_line_id: UUID
    quantity: Decimal | None = None
    net: Money | None = None


@takes(CreditNote, "reason", ORIGIN)
async def issue(
    act: Act,
    *,
    invoice_id: UUID,
    lines: Sequence[Returned] | None = None,
    amount: Money | None = None,
    issued_on: date | None = None,
    series: str | None = None,
    **more: Any,
) -> UUID:
    """Takes back lines of an invoice, an amount with the tax in it, or all that is left, and gives the credit note its number.

    Raises `CreditExceedsInvoiced`, `IllegalTransition` for an invoice that is not issued, `PeriodClosed`.
    """
    access.require_write(act.viewer, "CreditNote")
    if lines is not None and amount is not None:
        raise BadUserInput("A credit note is of lines or of an amount, not of both.", field="amount")
    checks.check_text(more["reason"], "reason", longest=1000, required=True)
    invoice = await records.lock(act, Invoice, invoice_id, field="invoiceId")
    if invoice["status"] != "ISSUED":
        raise IllegalTransition(f"A {invoice['status']} invoice is not credited; discard it.", field="invoiceId")
    day = _day(act, issued_on, invoice)
    invoiced = _invoiced(invoice)
    if invoiced.rest.total == 0:
        raise CreditExceedsInvoiced("All of the invoice is credited already.", field="invoiceId")
    made, by_line = ([], {}) if lines is None else await _lines(act, invoice, lines)
    if lines is not None:
        credit = invoiced.of_net(sum((row["net_amount"] for row in made), invoice["total_amount"] * 0), field="lines")
    elif amount is not None:
        sent = money.amount(amount, invoice["currency"], field="amount", positive=True)
        credit = invoiced.of_total(sent, field="amount")
    else:
        credit = invoiced.rest
    if credit.total <= 0:
        raise BadUserInput("These lines come to nothing.", field="lines")
    made = made or [_whole(invoice, credit)]
    later = await _later(act, invoice, credit, by_line)
    number = await numbers.take(act, DocumentKind.CREDIT_NOTE, day, series=series)
    values = {
        "id": new_id(),
        "customer_id": invoice["customer_id"],
        "invoice_id": invoice_id,
        "currency": invoice["currency"],
        "net_amount": credit.net,
        "tax_amount": credit.tax,
        "total_amount": credit.total,
        "issued_on": day,
        **number.columns,
        **dict(await act.tx.connection.fetchrow(PARTIES, invoice["customer_id"])),
        **more,
    }
    await _post(act, invoice, values, credit, later)
    id = await _record(act, values, made)
    if later.parts:
        await deferrals.credit(act, invoice["customer_id"], invoice["order_id"], later.parts)
    return id


def _day(act: Act, issued_on: date | None, invoice: Row) -> date:
    day = issued_on or act.today
    if not invoice["issued_on"] <= day <= max(act.today, invoice["issued_on"]):
        raise BadUserInput(
            f"A credit note is of a day from its invoice's, {invoice['issued_on']}, to today.", field="issuedOn"
        )
    return day


def _invoiced(invoice: Row) -> Invoiced:
    whole = Credit(invoice["total_amount"] - invoice["tax_amount"], invoice["tax_amount"])
    tax = invoice["tax_amount"] - invoice["credited_tax_amount"]
    return Invoiced(whole, Credit(invoice["total_amount"] - invoice["credited_amount"] - tax, tax), invoice["currency"])


@dataclass(frozen=True, slots=True)
class _Later:
    """What a credit note takes of revenue that is not recognised yet, in both currencies."""

    amount: Decimal
    base: Decimal
    parts: Sequence[Waiting]


async def _later(act: Act, invoice: Row, credit: Credit, by_line: Mapping[UUID | None, Decimal]) -> _Later:
    """Of its lines, or without any of all that the order brings later, what is due last first."""
    if invoice["order_id"] is None:
        return _Later(Decimal(0), Decimal(0), [])
    key = invoice["customer_id"], invoice["order_id"]
    await act.tx.connection.execute(HOLD_ORDER, *key)
    parts = await deferrals.waiting(act, *key)
    own = await book.company_of(act)

    def taken() -> _Later:
        before = sum((part.credited_base for part in parts), Decimal(0))
        amount = recognition.credit(parts, by_line or {None: credit.net}, own.currency)
        base = sum((part.credited_base for part in parts), Decimal(0)) - before
        return _Later(amount, base, parts if amount else [])

    return await aside.done(taken, rows=len(parts) * len(by_line or {None: credit.net}))


async def _lines(act: Act, invoice: Row, lines: Sequence[Returned]) -> tuple[list[Row], dict[UUID | None, Decimal]]:
    """What is taken back of the invoice's lines, as rows, and by the order's lines. Raises `CreditExceedsInvoiced`, `BadUserInput`."""
    if not lines:
        raise BadUserInput("Name at least one line.", field="lines")
    left = {row["id"]: row for row in await act.tx.connection.fetch(LINES, invoice["customer_id"], invoice["id"])}
    made: list[Row] = []
    by_line: dict[UUID | None, Decimal] = {}
    for number, each in enumerate(lines):
        row = left.pop(each.invoice_line_id, None)
        if row is None:
            raise BadUserInput(
                "The invoice has no such line, or it is named twice.", field=f"lines.{number}.invoiceLineId"
            )
        quantity, net = _returned(row, each, invoice["currency"], f"lines.{number}")
        described = {"invoice_line_id": row["id"], "description": row["description"], "currency": invoice["currency"]}
        made.append({**described, "quantity": quantity, "net_amount": net})
        if row["order_line_id"] is not None:
            by_line[row["order_line_id"]] = by_line.get(row["order_line_id"], Decimal(0)) + net
    return made, by_line


def _returned(row: Mapping[str, Any], wanted: Returned, currency: str, at: str) -> tuple[Decimal | None, Decimal]:
    quantity, net = row["quantity"] - row["credited_quantity"], row["net_amount"] - row["credited_amount"]
    if wanted.quantity is not None and wanted.net is not None:
        raise BadUserInput("A line is taken back by quantity or by amount, not by both.", field=f"{at}.net")
    if wanted.net is not None:
        sent = money.amount(wanted.net, currency, field=f"{at}.net", positive=True)
        if sent > net:
            raise CreditExceedsInvoiced(f"Of the line {net} {currency} is left to credit.", field=f"{at}.net")
        return None, sent
    if wanted.quantity is None:
        return quantity if quantity > 0 else None, net
    if wanted.quantity <= 0:
        raise BadUserInput(f"Must be more than 0, not {wanted.quantity}.", field=f"{at}.quantity")
    if wanted.quantity > quantity:
        raise CreditExceedsInvoiced(f"Of the line {quantity} is left to credit.", field=f"{at}.quantity")
    return wanted.quantity, share(wanted.quantity, quantity, net, currency)


def _whole(invoice: Row, credit: Credit) -> Row:
    described = {
        "invoice_line_id": None,
        "description": f"Invoice {invoice['number']}",
        "currency": invoice["currency"],
    }
    return {**described, "quantity": None, "net_amount": credit.net}


async def _post(act: Act, invoice: Row, note: Row, credit: Credit, later: _Later) -> None:
    own, day = await book.company_of(act), note["issued_on"]
    owed = await _owed(act, invoice)
    undone, kept = await _unwritten(act, invoice, owed, credit, on=day)
    parts = list(crediting.spread(credit, [each.room for each in owed.values()]))
    first = list(crediting.deferred(parts, later.amount))
    postings = [
        each
        for taken, part, deferred in zip(owed.values(), parts, first, strict=False)
        for each in _taken(taken.rest, part, deferred, own.currency)
    ]
    opened = []
    if parts[-1].total:
        item = Item(Purpose.CREDIT, invoice["currency"], invoice_id=invoice["id"], credit_note_id=note["id"])
        opened.append(item)
        rate = await _rate(act, invoice)
        postings += _given(item, parts[-1], first[-1], rate, own.currency)
    postings += _mended(postings, later, invoice["currency"])
    entry = Entry(
        kind="creditNote.issued",
        key=f"credit note {note['id']}",
        source=("CreditNote", note["id"]),
        effective_on=day,
        postings=postings,
        customer_id=invoice["customer_id"],
        items=opened,
    )
    again = [
        write_offs.again(row, left, owed[row["item_id"]].rest, on=day, base_currency=own.currency) for row, left in kept
    ]
    entries = periods.adjusting(act, [*(each.entry for each in undone), entry, *(each.entry for each in again)])
    posted = await book.post(act, entries, refusals={"open_items_not_over": _collided})
    del posted[len(undone)]
    await outbox.record_many(act.tx, act.viewer, await write_offs.record(act, [*undone, *again], posted))


async def _owed(act: Act, invoice: Row) -> dict[UUID, Owed]:
    """What is owed of the invoice, by receivable, what is due first first; locked."""
    found = await act.tx.connection.fetch(OWED, invoice["customer_id"], invoice["id"], invoice["order_id"])
    rests = await items.lock(act, [row["id"] for row in found])
    total = invoice["total_amount"]
    return {
        row["id"]: Owed(rests[row["id"]], total if row["most"] is None else row["most"], row["kept"]) for row in found
    }


async def _unwritten(
    act: Act, invoice: Row, owed: Mapping[UUID, Owed], credit: Credit, *, on: date
) -> tuple[list[write_offs.Made], list[tuple[Row, Decimal]]]:
    """What undoes write-offs of what is credited: nobody paid that, so it becomes no credit. And those of which a part stays
    written off, with it."""
    short = credit.total - sum((each.room for each in owed.values()), Decimal(0))
    if short <= 0:
        return [], []
    standing = await write_offs.standing(act, invoice["customer_id"], invoice["id"], invoice["order_id"])
    chosen = list(crediting.unwritten(short, owed, standing))
    undone = await write_offs.undoing(act, [row for row, _ in chosen], on=on)
    rests = {id: each.rest for id, each in owed.items()}
    items.move(rests, [posting for each in undone for posting in each.entry.postings])
    return undone, [(row, left) for row, left in chosen if left]


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


async def _rate(act: Act, invoice: Row) -> Decimal:
    if invoice["order_id"] is not None:
        return await act.tx.connection.fetchval(RATE, invoice["customer_id"], invoice["order_id"])  # type: ignore[no-any-return]
    return (await rates.on_day(act, invoice["currency"], invoice["issued_on"])).rate


async def _record(act: Act, values: Row, lines: Sequence[Row]) -> UUID:
    payload = {
        "amount": (values["total_amount"], values["currency"]),
        **{name: values[name] for name in ("number", "issued_on", "invoice_id")},
    }
    note = await records.create(act, CreditNote, values, kind="creditNote.issued", conflicts=CONFLICTS, payload=payload)
    owner = {"customer_id": note["customer_id"], "credit_note_id": note["id"]}
    rows = [{**owner, "position": position, **row} for position, row in enumerate(lines, start=1)]
    await records.insert_many(act, CreditNoteLine, rows, each=lambda number: f"lines.{number}.")
    return note["id"]  # type: ignore[no-any-return]
