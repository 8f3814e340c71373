"""Invoices and credit notes as they are printed: from their rows, under the viewer's rules, to facts, to the bytes of a PDF.
`statements` has statements of account.

Always holds: what is printed is what was issued, and nothing of what happened later. So the same document in the same language is the
same bytes, and need not be kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time
from decimal import Decimal
from typing import Any
from uuid import UUID

from crmgql import access
from crmgql.db import Connection
from crmgql.domain.money.pdf import documents
from crmgql.domain.money.pdf.documents import Issuer, ItemLine, Recipient, Tax
from crmgql.errors import IllegalTransition, NotFound
from crmgql.viewer import Viewer

INVOICE = """
SELECT i.*, c.language, companies.locale, o.number AS order_number
FROM ({own}) AS i JOIN customers c ON c.id = i.customer_id CROSS JOIN companies
LEFT JOIN orders o ON o.customer_id = i.customer_id AND o.id = i.order_id WHERE i.id = {id}"""
CREDIT_NOTE = """
SELECT n.*, c.language, companies.locale, i.number AS invoice_number
FROM ({own}) AS n JOIN customers c ON c.id = n.customer_id CROSS JOIN companies
JOIN invoices i ON i.customer_id = n.customer_id AND i.id = n.invoice_id WHERE n.id = {id}"""
# Parameters: customer, invoice or credit note.
LINES = """
SELECT description, quantity, unit_price_amount, discount_amount, line_amount FROM invoice_lines
WHERE customer_id = $1 AND invoice_id = $2 ORDER BY position, id"""
INSTALMENTS = """
SELECT due_on, amount, paid_before_amount FROM instalments WHERE customer_id = $1 AND invoice_id = $2 ORDER BY position, id"""
NOTE_LINES = """
SELECT description, quantity, net_amount FROM credit_note_lines
WHERE customer_id = $1 AND credit_note_id = $2 ORDER BY position, id"""
FINEST = Decimal("0.000001")
"""Of a price for one, as it is printed."""


@dataclass(frozen=True, slots=True)
class Paper:
    """A document that is to be printed, in which language, and of which moment."""

    document: documents.Document
    locale: str
    made_at: datetime

    @property
    def name(self) -> str:
        """The file's name: the document's number, or whose statement it is until when, as far as file names can say it."""
        if isinstance(self.document, documents.Invoice):
            said = self.document.number
        else:
            said = f"{self.document.recipient.name}-{self.document.last_day}"
        plain = "".join(each if each.isalnum() or each in "-_." else "-" for each in said)
        return f"{plain}.pdf"


async def invoice(connection: Connection, viewer: Viewer, id: UUID) -> Paper:
    """An issued invoice. Raises `Forbidden`, `NotFound`, `IllegalTransition` for one that is not issued."""
    row = await _read(connection, viewer, "Invoice", INVOICE, id)
    if row["status"] != "ISSUED":
        raise IllegalTransition(f"This invoice is {row['status']}; only issued ones are printed.", field="id")
    lines = await connection.fetch(LINES, row["customer_id"], id)
    parts = await connection.fetch(INSTALMENTS, row["customer_id"], id)
    nothing = row["total_amount"] * 0
    document = documents.Invoice(
        number=row["number"],
        issued_on=row["issued_on"],
        currency=row["currency"],
        issuer=issuer(row),
        recipient=recipient(row),
        lines=tuple(_line(each) for each in lines) or (_whole(row),),
        subtotal=row["subtotal_amount"],
        discount=row["discount_amount"],
        shipping=row["shipping_amount"],
        taxes=_taxes(row["tax_amount"], row["total_amount"] - row["tax_amount"]),
        total=row["total_amount"],
        paid=sum((each["paid_before_amount"] for each in parts), nothing),
        instalments=tuple(
            documents.Instalment(each["due_on"], each["amount"], each["amount"] - each["paid_before_amount"])
            for each in parts
        ),
        order=row["order_number"] or "",
        notes=row["note"] or "",
    )
    return _paper(row, document)


async def credit_note(connection: Connection, viewer: Viewer, id: UUID) -> Paper:
    """A credit note. Raises `Forbidden`, `NotFound`."""
    row = await _read(connection, viewer, "CreditNote", CREDIT_NOTE, id)
    lines = await connection.fetch(NOTE_LINES, row["customer_id"], id)
    document = documents.Invoice(
        kind="CREDIT_NOTE",
        number=row["number"],
        issued_on=row["issued_on"],
        currency=row["currency"],
        issuer=issuer(row),
        recipient=recipient(row),
        lines=tuple(_returned(each) for each in lines),
        subtotal=row["net_amount"],
        taxes=_taxes(row["tax_amount"], row["net_amount"]),
        total=row["total_amount"],
        corrects=row["invoice_number"],
        notes=row["reason"],
    )
    return _paper(row, document)


def printed(paper: Paper) -> bytes:
    """The PDF. It takes a third of a second of the processor: call it in a thread."""
    from crmgql.domain.money.pdf import printing  # takes as long, and most processes never print

    return printing.print_document(paper.document, locale=paper.locale, made_at=paper.made_at).content


def locale_of(language: str | None, company: str) -> str:
    """The locale of who reads a language: the company's own, if that is of the language or none is known."""
    if language is None or company.lower().startswith(language.lower()):
        return company
    return {"EN": "en-GB", "ZH": "zh-CN"}[language]


async def _read(connection: Connection, viewer: Viewer, record: str, template: str, id: UUID) -> Mapping[str, Any]:
    access.require_read(viewer.who, record)
    sql, values = access.statement(template, viewer, selects={"own": access.visible(record, viewer.who)}, id=id)
    row = await connection.fetchrow(sql, *values)
    if row is None:
        noun = "invoice" if record == "Invoice" else "credit note"
        raise NotFound(f"There is no such {noun}, or you may not see it.", field="id")
    return row  # type: ignore[no-any-return]


def _paper(row: Mapping[str, Any], document: documents.Invoice) -> Paper:
    made_at = datetime.combine(row["issued_on"], time(), UTC)
    return Paper(document, locale_of(row["language"], row["locale"]), made_at)


def issuer(row: Mapping[str, Any]) -> Issuer:
    """The company, by columns such as `issuer_name`."""
    return Issuer(row["issuer_name"], _address(row["issuer_address"]), row["issuer_tax_id"] or "")


def recipient(row: Mapping[str, Any]) -> Recipient:
    """The customer, by columns such as `recipient_name`."""
    return Recipient(row["recipient_name"], _address(row["recipient_address"]), row["recipient_tax_id"] or "")


def _address(text: str | None) -> tuple[str, ...]:
    return tuple((text or "").splitlines())


def _taxes(amount: Decimal, net: Decimal) -> tuple[Tax, ...]:
    return (Tax(amount, net),) if amount else ()


def _line(row: Mapping[str, Any]) -> ItemLine:
    return ItemLine(
        row["description"],
        row["quantity"],
        row["unit_price_amount"],
        row["line_amount"],
        discount=row["discount_amount"],
    )


def _whole(row: Mapping[str, Any]) -> ItemLine:
    """One that was imported has no lines."""
    return ItemLine(row["number"], Decimal(1), row["subtotal_amount"], row["subtotal_amount"])


def _returned(row: Mapping[str, Any]) -> ItemLine:
    quantity = row["quantity"] or Decimal(1)
    price = (row["net_amount"] / quantity).quantize(FINEST)
    return ItemLine(row["description"], quantity, price, row["net_amount"])
