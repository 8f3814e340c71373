"""Credit notes: they take back of an invoice what is still owed, and make the customer's credit of what was paid already.

Always holds: what is credited of an invoice is no more than the invoice. A credit note is issued with its number and never changes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any
from uuid import UUID

from crmgql import access
from crmgql.domain.money import numbers, taking_back
from crmgql.domain.money.crediting import Credit, Invoiced
from crmgql.domain.money.invoices import PARTIES
from crmgql.errors import BadUserInput, CreditExceedsInvoiced, IllegalTransition
from crmgql.events import outbox
from crmgql.ledger.postings import new_id, share
from crmgql.models import CreditNote, CreditNoteLine, DocumentKind, Invoice
from crmgql.records import checks, money, records
from crmgql.records.columns import ORIGIN, takes
from crmgql.records.money import Money
from crmgql.records.records import Act, Row

CONFLICTS = {
    "credit_notes_number": ("number", "Another credit note has this number; choose another series."),
    "invoices_credited": ("invoiceId", "More would be credited than the invoice."),
}
# Parameters: customer, invoice. Its lines with what is credited of each.
LINES = """
SELECT l.id, l.description, l.quantity, l.net_amount, coalesce(sum(c.quantity), 0) AS credited_quantity,
    coalesce(sum(c.net_amount), 0) AS credited_amount
FROM invoice_lines l LEFT JOIN credit_note_lines c ON c.customer_id = l.customer_id AND c.invoice_line_id = l.id
WHERE l.customer_id = $1 AND l.invoice_id = $2 GROUP BY l.id"""


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
    require_issued(invoice)
    day = _day(act, issued_on, invoice)
    whole = invoiced(invoice)
    if whole.rest.total == 0:
        raise CreditExceedsInvoiced("All of the invoice is credited already.", field="invoiceId")
    made = [] if lines is None else await _lines(act, invoice, lines)
    if lines is not None:
        credit = whole.of_net(sum((row["net_amount"] for row in made), invoice["total_amount"] * 0), field="lines")
    elif amount is not None:
        sent = money.amount(amount, invoice["currency"], field="amount", positive=True)
        credit = whole.of_total(sent, field="amount")
    else:
        credit = whole.rest
    if credit.total <= 0:
        raise BadUserInput("These lines come to nothing.", field="lines")
    made = made or [_whole(invoice, credit)]
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
    id = await _record(act, values, made)
    await outbox.record_many(act.tx, act.viewer, await taking_back.follow(act, [id]))
    return id


def _day(act: Act, issued_on: date | None, invoice: Row) -> date:
    day = issued_on or act.today
    if not invoice["issued_on"] <= day <= max(act.today, invoice["issued_on"]):
        raise BadUserInput(
            f"A credit note is of a day from its invoice's, {invoice['issued_on']}, to today.", field="issuedOn"
        )
    return day


def require_issued(invoice: Row) -> None:
    """Raises `IllegalTransition`."""
    if invoice["status"] != "ISSUED":
        raise IllegalTransition(f"A {invoice['status']} invoice is not credited; discard it.", field="invoiceId")


def invoiced(invoice: Row) -> Invoiced:
    """An invoice's figures, and what is left of them to credit."""
    whole = Credit(invoice["total_amount"] - invoice["tax_amount"], invoice["tax_amount"])
    tax = invoice["tax_amount"] - invoice["credited_tax_amount"]
    return Invoiced(whole, Credit(invoice["total_amount"] - invoice["credited_amount"] - tax, tax), invoice["currency"])


async def _lines(act: Act, invoice: Row, lines: Sequence[Returned]) -> list[Row]:
    """What is taken back of the invoice's lines, as rows. Raises `CreditExceedsInvoiced`, `BadUserInput`."""
    if not lines:
        raise BadUserInput("Name at least one line.", field="lines")
    left = {row["id"]: row for row in await act.tx.connection.fetch(LINES, invoice["customer_id"], invoice["id"])}
    made: list[Row] = []
    for number, each in enumerate(lines):
        row = left.pop(each.invoice_line_id, None)
        if row is None:
            raise BadUserInput(
                "The invoice has no such line, or it is named twice.", field=f"lines.{number}.invoiceLineId"
            )
        quantity, net = _returned(row, each, invoice["currency"], f"lines.{number}")
        described = {"invoice_line_id": row["id"], "description": row["description"], "currency": invoice["currency"]}
        made.append({**described, "quantity": quantity, "net_amount": net})
    return made


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
