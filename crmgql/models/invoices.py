"""Invoices with their lines and instalments, credit notes, and the series of their numbers."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from tortoise import fields
from tortoise.models import Model

from crmgql.models.base import (
    AmountField,
    CompositeKey,
    Document,
    Record,
    Undescribed,
    amounts,
    check,
    index,
    one_of,
    origin_unique,
    unique,
)


class InvoiceStatus(StrEnum):
    """Whether one is paid is not a status: its items say so."""

    DRAFT = "DRAFT"
    ISSUED = "ISSUED"
    DISCARDED = "DISCARDED"


class DocumentKind(StrEnum):
    INVOICE = "INVOICE"
    CREDIT_NOTE = "CREDIT_NOTE"


BEFORE = {"before": "nullif(n - 1, 0)"}
"""The number before, which has to be there: numbers of a series have no gaps."""

SEQUENCE = ("series", "year", "n")
IN_SERIES = "num_nulls(series, year, n) IN (0, 3) AND coalesce(n > 0, true)"
PARTICULARS = (
    "issuer_name",
    "issuer_address",
    "issuer_tax_id",
    "recipient_name",
    "recipient_address",
    "recipient_tax_id",
)
AT_ISSUE = "number, issued_on, due_on, issuer_name, recipient_name"
DUNNING = "overdue_on, dunning_level, dunned_on, dunning_stop_reason"
"""What becomes of an issued invoice that is not paid in time."""


class NumberSeries(Model, metaclass=Undescribed):
    """The last number of a series in a year, and the day of its document. Whoever gives a number holds the row until the commit."""

    company_id = fields.UUIDField(primary_key=True)
    kind = fields.CharField(max_length=20)
    code = fields.CharField(max_length=10)
    year = fields.IntField()
    last_n = fields.IntField()
    last_on = fields.DateField()

    class Meta:
        table = "number_series"
        primary_key = ("company_id", "kind", "code", "year")
        constraints = [
            check("number_series_kind", one_of("kind", DocumentKind)),
            check("number_series_last_n", "last_n > 0"),
        ]
        composite_keys = (CompositeKey("number_series_company_id_fkey", ("company_id",), "companies", ("id",)),)


class Invoice(Document):
    """A draft, or an invoice that was issued and never changes again: only what was credited of it is added up here, and what was done
    because it was not paid in time is noted.

    Of an order it is a part: an order's invoices come to no more than its total. `order_revision`: that of the order's revenue
    record which its figures were worked out from.
    """

    customer: Any = fields.ForeignKeyField("crm.Customer", related_name="invoices", on_delete=fields.RESTRICT)
    order: Any = fields.ForeignKeyField("crm.Order", related_name="invoices", null=True, on_delete=fields.RESTRICT)
    order_revision: Any = fields.IntField(null=True)
    status = fields.CharField(max_length=20, db_default="DRAFT")
    currency = fields.CharField(max_length=3)
    subtotal_amount = AmountField()
    shipping_amount = AmountField()
    tax_amount = AmountField()
    discount_amount = AmountField()
    total_amount = AmountField()
    credited_amount = AmountField(db_default=0)
    credited_tax_amount = AmountField(db_default=0)
    payment_terms: Any = fields.CharField(max_length=200, null=True)
    issued_on: Any = fields.DateField(null=True)
    due_on: Any = fields.DateField(null=True)
    note: Any = fields.CharField(max_length=2000, null=True)
    overdue_on: Any = fields.DateField(null=True)
    dunning_level: Any = fields.IntField(null=True)
    dunned_on: Any = fields.DateField(null=True)
    dunning_stop_reason: Any = fields.CharField(max_length=1000, null=True)

    class Meta:
        table = "invoices"
        stored = BEFORE
        constraints = [
            origin_unique("invoices"),
            unique("invoices_number", "number"),
            unique("invoices_sequence", *SEQUENCE),
            unique("invoices_customer_id", "customer_id", "id"),
            unique("invoices_one_draft", "customer_id", "order_id", where="status = 'DRAFT'"),
            check("invoices_status", one_of("status", InvoiceStatus)),
            check(
                "invoices_issued",
                f"CASE status WHEN 'ISSUED' THEN num_nulls({AT_ISSUE}) = 0 ELSE num_nonnulls({AT_ISSUE}, n) = 0 END",
            ),
            check("invoices_in_series", IN_SERIES),
            check("invoices_due", "due_on >= issued_on"),
            check("invoices_dunned", f"status = 'ISSUED' OR num_nonnulls({DUNNING}) = 0"),
            check("invoices_total", "total_amount = subtotal_amount + shipping_amount + tax_amount - discount_amount"),
            check(
                "invoices_amounts_positive",
                "subtotal_amount >= 0 AND shipping_amount >= 0 AND tax_amount >= 0 AND discount_amount >= 0 AND total_amount > 0",
            ),
            check(
                "invoices_credited",
                "credited_amount BETWEEN 0 AND total_amount AND credited_tax_amount BETWEEN 0 AND tax_amount"
                " AND credited_amount - credited_tax_amount BETWEEN 0 AND total_amount - tax_amount",
            ),
            *amounts("invoices", "subtotal_amount", "shipping_amount", "tax_amount", "discount_amount", "total_amount"),
        ]
        composite_keys = (
            CompositeKey("invoices_before", ("series", "year", "before"), "invoices", SEQUENCE),
            CompositeKey("invoices_order_customer", ("customer_id", "order_id"), "orders", ("customer_id", "id")),
            CompositeKey("invoices_order_currency", ("order_id", "currency"), "orders", ("id", "currency")),
        )
        indexes = [
            index("invoices_by_customer", "customer_id", "issued_on", "id"),
            index("invoices_by_order", "customer_id", "order_id", "id"),
            index("invoices_issued_on", "issued_on", "id"),
            index("invoices_due_on", "due_on", "id"),
            index("invoices_created", "created_at", "id"),
        ]


class InvoiceLine(Record):
    """A line, or a part of an order's line. `net_amount` is line + shipping − its part of the invoice's discount, so that the
    lines' sum to the invoice's total without tax.

    `order_line_id`: the order's line, which is gone where the order was changed since."""

    customer: Any = fields.ForeignKeyField("crm.Customer", related_name="invoice_lines", on_delete=fields.RESTRICT)
    invoice: Any = fields.ForeignKeyField("crm.Invoice", related_name="lines", on_delete=fields.RESTRICT)
    order_line_id: Any = fields.UUIDField(null=True)
    product: Any = fields.ForeignKeyField(
        "crm.Product", related_name="invoice_lines", null=True, on_delete=fields.RESTRICT
    )
    position = fields.IntField()
    description = fields.CharField(max_length=300)
    quantity = fields.DecimalField(max_digits=14, decimal_places=3)
    currency = fields.CharField(max_length=3)
    unit_price_amount = AmountField()
    discount_amount = AmountField()
    shipping_amount = AmountField()
    line_amount = AmountField()
    net_amount = AmountField()

    class Meta:
        table = "invoice_lines"
        constraints = [
            unique("invoice_lines_position", "customer_id", "invoice_id", "position"),
            unique("invoice_lines_customer_id", "customer_id", "id"),
            check("invoice_lines_quantity_positive", "quantity > 0"),
            *amounts(
                "invoice_lines", "unit_price_amount", "discount_amount", "shipping_amount", "line_amount", "net_amount"
            ),
        ]
        composite_keys = (
            CompositeKey("invoice_lines_invoice", ("customer_id", "invoice_id"), "invoices", ("customer_id", "id")),
        )
        indexes = [
            index("invoice_lines_by_invoice", "customer_id", "invoice_id", "position", "id"),
            index("invoice_lines_product", "product_id", "id"),
            index("invoice_lines_created", "created_at", "id"),
        ]


class Instalment(Record):
    """A part of an invoice that is due on a day. `item_id` is what is owed of it: all but what was paid before it was issued."""

    customer: Any = fields.ForeignKeyField("crm.Customer", related_name="instalments", on_delete=fields.RESTRICT)
    invoice: Any = fields.ForeignKeyField("crm.Invoice", related_name="instalments", on_delete=fields.RESTRICT)
    position = fields.IntField()
    due_on = fields.DateField()
    currency = fields.CharField(max_length=3)
    amount = AmountField()
    paid_before_amount = AmountField()
    item_id: Any = fields.UUIDField(null=True)

    class Meta:
        table = "instalments"
        constraints = [
            unique("instalments_position", "customer_id", "invoice_id", "position"),
            check("instalments_amount_positive", "amount > 0 AND paid_before_amount BETWEEN 0 AND amount"),
            check("instalments_item", "(item_id IS NULL) = (paid_before_amount = amount)"),
            *amounts("instalments", "amount", "paid_before_amount"),
        ]
        composite_keys = (
            CompositeKey("instalments_invoice", ("customer_id", "invoice_id"), "invoices", ("customer_id", "id")),
            CompositeKey("instalments_item_id", ("item_id",), "open_items", ("id",)),
        )
        indexes = [
            index("instalments_by_invoice", "customer_id", "invoice_id", "position", "id"),
            index("instalments_due_on", "due_on", "id"),
            index("instalments_created", "created_at", "id"),
        ]


class CreditNote(Document):
    """What is taken back of an invoice, for good: net and tax. It never changes."""

    customer: Any = fields.ForeignKeyField("crm.Customer", related_name="credit_notes", on_delete=fields.RESTRICT)
    invoice: Any = fields.ForeignKeyField("crm.Invoice", related_name="credit_notes", on_delete=fields.RESTRICT)
    reason = fields.CharField(max_length=1000)
    currency = fields.CharField(max_length=3)
    net_amount = AmountField()
    tax_amount = AmountField()
    total_amount = AmountField()
    issued_on = fields.DateField()

    class Meta:
        table = "credit_notes"
        stored = BEFORE
        constraints = [
            origin_unique("credit_notes"),
            unique("credit_notes_number", "number"),
            unique("credit_notes_sequence", *SEQUENCE),
            unique("credit_notes_customer_id", "customer_id", "id"),
            check("credit_notes_issued", "num_nulls(number, issuer_name, recipient_name) = 0"),
            check("credit_notes_in_series", IN_SERIES),
            check("credit_notes_total", "total_amount = net_amount + tax_amount"),
            check("credit_notes_amounts_positive", "net_amount >= 0 AND tax_amount >= 0 AND total_amount > 0"),
            *amounts("credit_notes", "net_amount", "tax_amount", "total_amount"),
        ]
        composite_keys = (
            CompositeKey("credit_notes_before", ("series", "year", "before"), "credit_notes", SEQUENCE),
            CompositeKey("credit_notes_invoice", ("customer_id", "invoice_id"), "invoices", ("customer_id", "id")),
        )
        indexes = [
            index("credit_notes_by_customer", "customer_id", "issued_on", "id"),
            index("credit_notes_by_invoice", "customer_id", "invoice_id", "id"),
            index("credit_notes_issued_on", "issued_on", "id"),
            index("credit_notes_created", "created_at", "id"),
        ]


class CreditNoteLine(Record):
    """What of a line is taken back, without tax. One without an invoice's line is of the invoice as a whole."""

    customer: Any = fields.ForeignKeyField("crm.Customer", related_name="credit_note_lines", on_delete=fields.RESTRICT)
    credit_note: Any = fields.ForeignKeyField("crm.CreditNote", related_name="lines", on_delete=fields.RESTRICT)
    invoice_line: Any = fields.ForeignKeyField(
        "crm.InvoiceLine", related_name="credit_note_lines", null=True, on_delete=fields.RESTRICT
    )
    position = fields.IntField()
    description = fields.CharField(max_length=300)
    quantity: Any = fields.DecimalField(max_digits=14, decimal_places=3, null=True)
    currency = fields.CharField(max_length=3)
    net_amount = AmountField()

    class Meta:
        table = "credit_note_lines"
        constraints = [
            unique("credit_note_lines_position", "customer_id", "credit_note_id", "position"),
            check("credit_note_lines_quantity_positive", "quantity > 0"),
            *amounts("credit_note_lines", "net_amount"),
        ]
        composite_keys = (
            CompositeKey(
                "credit_note_lines_note", ("customer_id", "credit_note_id"), "credit_notes", ("customer_id", "id")
            ),
            CompositeKey(
                "credit_note_lines_invoice_line",
                ("customer_id", "invoice_line_id"),
                "invoice_lines",
                ("customer_id", "id"),
            ),
        )
        indexes = [
            index("credit_note_lines_by_note", "customer_id", "credit_note_id", "position", "id"),
            index("credit_note_lines_invoice_line_id", "customer_id", "invoice_line_id", "id"),
            index("credit_note_lines_created", "created_at", "id"),
        ]
