"""Payments, what settles what, what is written off, and what customers owe and have."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from tortoise import fields
from tortoise.fields.db_defaults import SqlDefault
from tortoise.models import Model

from crmgql.models.base import (
    UUIDV7,
    AmountField,
    CompositeKey,
    Dependencies,
    Editable,
    Record,
    TransactionIdField,
    Undescribed,
    UuidArrayField,
    amounts,
    check,
    index,
    one_of,
    origin_unique,
    partial,
    unique,
)


class PaymentMethod(StrEnum):
    CREDIT_CARD = "CREDIT_CARD"
    DEBIT_CARD = "DEBIT_CARD"
    BANK_TRANSFER = "BANK_TRANSFER"
    DIRECT_DEBIT = "DIRECT_DEBIT"
    BOLETO = "BOLETO"
    VOUCHER = "VOUCHER"
    WALLET = "WALLET"
    CASH = "CASH"
    CHECK = "CHECK"
    OTHER = "OTHER"


class PaymentStatus(StrEnum):
    PENDING = "PENDING"
    RECEIVED = "RECEIVED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


class SuspenseStatus(StrEnum):
    OPEN = "OPEN"
    ASSIGNED = "ASSIGNED"
    RETURNED = "RETURNED"


class SuspenseReceipt(Editable):
    """Money that came in and of which nobody knows whose it is. `payer`, `reference`: what whoever paid said.

    It ends as a payment of a customer, or it goes back; until then it lies in the company's own books.
    """

    amount = AmountField()
    currency = fields.CharField(max_length=3)
    method = fields.CharField(max_length=20)
    status = fields.CharField(max_length=20, db_default="OPEN")
    status_reason: Any = fields.CharField(max_length=1000, null=True)
    received_at = fields.DatetimeField()
    ended_at: Any = fields.DatetimeField(null=True)
    payer: Any = fields.CharField(max_length=200, null=True)
    reference: Any = fields.CharField(max_length=100, null=True)
    provider: Any = fields.CharField(max_length=50, null=True)
    provider_reference: Any = fields.CharField(max_length=200, null=True)

    class Meta:
        table = "suspense_receipts"
        constraints = [
            origin_unique("suspense_receipts"),
            unique("suspense_receipts_provider_reference", "provider", "provider_reference"),
            check("suspense_receipts_amount_positive", "amount > 0"),
            check("suspense_receipts_method", one_of("method", PaymentMethod)),
            check("suspense_receipts_status", one_of("status", SuspenseStatus)),
            check("suspense_receipts_ended", "(ended_at IS NULL) = (status = 'OPEN')"),
            *amounts("suspense_receipts", "amount"),
        ]
        indexes = [
            index("suspense_receipts_received", "received_at", "id"),
            index("suspense_receipts_created", "created_at", "id"),
        ]


class Payment(Editable):
    """Money that came in, or should. Without an order it is a prepayment. `suspense`: what it was before anybody knew whose it is.

    `paid_from`: the payment of another customer, such as the parent company, that passed this on. It takes over as much at the same
    base amount; nothing arrives at the bank.
    """

    customer: Any = fields.ForeignKeyField("crm.Customer", related_name="payments", on_delete=fields.RESTRICT)
    order: Any = fields.ForeignKeyField("crm.Order", related_name="payments", null=True, on_delete=fields.RESTRICT)
    invoice: Any = fields.ForeignKeyField("crm.Invoice", related_name="payments", null=True, on_delete=fields.RESTRICT)
    amount = AmountField()
    currency = fields.CharField(max_length=3)
    method = fields.CharField(max_length=20)
    status = fields.CharField(max_length=20, db_default="RECEIVED")
    installments = fields.IntField(db_default=1)
    received_at: Any = fields.DatetimeField(null=True)
    reference: Any = fields.CharField(max_length=100, null=True)
    provider: Any = fields.CharField(max_length=50, null=True)
    provider_reference: Any = fields.CharField(max_length=200, null=True)
    suspense: Any = fields.ForeignKeyField(
        "crm.SuspenseReceipt", related_name="payments", null=True, on_delete=fields.RESTRICT
    )
    paid_from: Any = fields.ForeignKeyField(
        "crm.Payment", related_name="passed_on", null=True, on_delete=fields.RESTRICT
    )

    class Meta:
        table = "payments"
        constraints = [
            origin_unique("payments"),
            unique("payments_suspense_once", "suspense_id", where="suspense_id IS NOT NULL"),
            unique("payments_provider_reference", "provider", "provider_reference"),
            unique("payments_customer_id", "customer_id", "id"),
            unique("payments_id_currency", "id", "currency"),
            check("payments_amount_positive", "amount >= 0"),
            check("payments_method", one_of("method", PaymentMethod)),
            check("payments_status", one_of("status", PaymentStatus)),
            check("payments_received", "status <> 'RECEIVED' OR received_at IS NOT NULL"),
            check("payments_installments", "installments BETWEEN 0 AND 360"),
            check(
                "payments_paid_from",
                "paid_from_id IS NULL OR (status = 'RECEIVED' AND num_nonnulls(suspense_id, provider_reference) = 0)",
            ),
            *amounts("payments", "amount"),
        ]
        composite_keys = (
            CompositeKey("payments_order_customer", ("customer_id", "order_id"), "orders", ("customer_id", "id")),
            CompositeKey("payments_invoice_customer", ("customer_id", "invoice_id"), "invoices", ("customer_id", "id")),
            CompositeKey("payments_order_currency", ("order_id", "currency"), "orders", ("id", "currency")),
            CompositeKey("payments_paid_from_currency", ("paid_from_id", "currency"), "payments", ("id", "currency")),
        )
        statistics = (Dependencies("payments_keys", ("customer_id", "order_id")),)
        indexes = [
            index("payments_customer_received", "customer_id", "received_at", "id"),
            index("payments_order", "customer_id", "order_id", "received_at", "id"),
            index("payments_invoice", "customer_id", "invoice_id", "received_at", "id"),
            index("payments_received", "received_at", "id"),
            index("payments_created", "created_at", "id"),
            partial("payments_passed_on", "paid_from_id IS NOT NULL", "paid_from_id", "id"),
        ]


ALLOCATED = ("item_id", "source_item_id", "currency", "amount", "paid_currency", "paid_amount")
"""What an allocation and the one that undoes it have in common, besides the customer; the items say which documents they are of."""

ONE_CURRENCY = "currency <> paid_currency OR (amount = paid_amount AND num_nonnulls(rate_id, paid_rate_id) = 0)"


class Allocation(Record):
    """A part of a payment, or of a credit note's credit, that settles a part of an order, an invoice or a lost dispute. It is never
    changed: undoing it is another row with the same figures, whose entry reverses that of the row that it undoes.

    `amount` is in the currency of what is owed, `paid_amount` in the payment's. Where these differ, `rate_id` and `paid_rate_id`
    are the exchange rates of the two; without them the base currency's own, or the two amounts were given. An imported one is of a
    `source`; where it is of several items, the first of them has its `external_id`.

    What was taken over from a merged customer names no document: those are the merged one's, as the item's entry says.
    """

    customer: Any = fields.ForeignKeyField("crm.Customer", related_name="allocations", on_delete=fields.RESTRICT)
    order: Any = fields.ForeignKeyField("crm.Order", related_name="allocations", null=True, on_delete=fields.RESTRICT)
    invoice: Any = fields.ForeignKeyField(
        "crm.Invoice", related_name="allocations", null=True, on_delete=fields.RESTRICT
    )
    dispute: Any = fields.ForeignKeyField(
        "crm.Dispute", related_name="allocations", null=True, on_delete=fields.RESTRICT
    )
    payment: Any = fields.ForeignKeyField(
        "crm.Payment", related_name="allocations", null=True, on_delete=fields.RESTRICT
    )
    credit_note: Any = fields.ForeignKeyField(
        "crm.CreditNote", related_name="allocations", null=True, on_delete=fields.RESTRICT
    )
    undoes: Any = fields.ForeignKeyField(
        "crm.Allocation", related_name="undone_by", null=True, on_delete=fields.RESTRICT
    )
    item_id = fields.UUIDField()
    source_item_id = fields.UUIDField()
    currency = fields.CharField(max_length=3)
    amount = AmountField()
    paid_currency = fields.CharField(max_length=3)
    paid_amount = AmountField()
    rate_id: Any = fields.UUIDField(null=True)
    paid_rate_id: Any = fields.UUIDField(null=True)
    allocated_on = fields.DateField()
    entry_id = fields.UUIDField()
    source: Any = fields.CharField(max_length=50, null=True)
    external_id: Any = fields.CharField(max_length=200, null=True)

    class Meta:
        table = "allocations"
        constraints = [
            origin_unique("allocations"),
            check("allocations_amount_positive", "amount > 0 AND paid_amount > 0"),
            check("allocations_paid", ONE_CURRENCY),
            check("allocations_source", "num_nonnulls(payment_id, credit_note_id) <= 1"),
            unique("allocations_entry_once", "customer_id", "entry_id"),
            unique("allocations_customer_id", "customer_id", "id"),
            unique("allocations_undone_once", "customer_id", "undoes_id"),
            unique("allocations_figures", "customer_id", "id", *ALLOCATED),
            *amounts("allocations", "amount"),
            *amounts("allocations", "paid_amount", currency="paid_currency"),
        ]
        composite_keys = (
            CompositeKey("allocations_order", ("customer_id", "order_id"), "orders", ("customer_id", "id")),
            CompositeKey("allocations_invoice", ("customer_id", "invoice_id"), "invoices", ("customer_id", "id")),
            CompositeKey("allocations_dispute", ("customer_id", "dispute_id"), "disputes", ("customer_id", "id")),
            CompositeKey(
                "allocations_credit_note", ("customer_id", "credit_note_id"), "credit_notes", ("customer_id", "id")
            ),
            CompositeKey("allocations_payment", ("customer_id", "payment_id"), "payments", ("customer_id", "id")),
            CompositeKey("allocations_entry", ("customer_id", "entry_id"), "ledger_entries", ("owner_id", "id")),
            CompositeKey("allocations_item", ("item_id",), "open_items", ("id",)),
            CompositeKey("allocations_source_item", ("source_item_id",), "open_items", ("id",)),
            CompositeKey("allocations_rate", ("rate_id",), "fx_rates", ("id",)),
            CompositeKey("allocations_paid_rate", ("paid_rate_id",), "fx_rates", ("id",)),
            CompositeKey(
                "allocations_undoes",
                ("customer_id", "undoes_id", *ALLOCATED),
                "allocations",
                ("customer_id", "id", *ALLOCATED),
            ),
        )
        indexes = [
            index("allocations_by_order", "customer_id", "order_id", "id"),
            index("allocations_by_payment", "customer_id", "payment_id", "id"),
            index("allocations_by_invoice", "customer_id", "invoice_id", "id"),
            index("allocations_by_credit_note", "customer_id", "credit_note_id", "id"),
            index("allocations_by_dispute", "customer_id", "dispute_id", "id"),
            index("allocations_created", "created_at", "id"),
        ]


class WriteOffAccount(StrEnum):
    """Where the amount goes: bad debts and small differences, or what no one owes."""

    WRITE_OFF = "WRITE_OFF"
    ROUNDING = "ROUNDING"


WRITTEN_OFF = ("item_id", "currency", "amount", "account")
"""What a write-off and the one that undoes it have in common, besides the customer; the item says which documents it is of."""


class WriteOff(Record):
    """A part of an order, an invoice or a lost dispute that nobody asks for any more. It is never changed: undoing it is another row with
    the same figures, whose entry reverses that of the row that it undoes.

    `allocation`: the one that it completes, with which it is undone. The reason goes when the customer is erased.
    """

    customer: Any = fields.ForeignKeyField("crm.Customer", related_name="write_offs", on_delete=fields.RESTRICT)
    order: Any = fields.ForeignKeyField("crm.Order", related_name="write_offs", null=True, on_delete=fields.RESTRICT)
    invoice: Any = fields.ForeignKeyField(
        "crm.Invoice", related_name="write_offs", null=True, on_delete=fields.RESTRICT
    )
    dispute: Any = fields.ForeignKeyField(
        "crm.Dispute", related_name="write_offs", null=True, on_delete=fields.RESTRICT
    )
    allocation: Any = fields.ForeignKeyField(
        "crm.Allocation", related_name="write_offs", null=True, on_delete=fields.RESTRICT
    )
    undoes: Any = fields.ForeignKeyField("crm.WriteOff", related_name="undone_by", null=True, on_delete=fields.RESTRICT)
    item_id = fields.UUIDField()
    currency = fields.CharField(max_length=3)
    amount = AmountField()
    account = fields.CharField(max_length=10, db_default="WRITE_OFF")
    reason: Any = fields.CharField(max_length=1000, null=True)
    written_off_on = fields.DateField()
    entry_id = fields.UUIDField()

    class Meta:
        table = "write_offs"
        constraints = [
            check("write_offs_amount_positive", "amount > 0"),
            check("write_offs_account", one_of("account", WriteOffAccount)),
            unique("write_offs_entry_once", "customer_id", "entry_id"),
            unique("write_offs_undone_once", "customer_id", "undoes_id"),
            unique("write_offs_figures", "customer_id", "id", *WRITTEN_OFF),
            *amounts("write_offs", "amount"),
        ]
        composite_keys = (
            CompositeKey("write_offs_order", ("customer_id", "order_id"), "orders", ("customer_id", "id")),
            CompositeKey("write_offs_invoice", ("customer_id", "invoice_id"), "invoices", ("customer_id", "id")),
            CompositeKey("write_offs_dispute", ("customer_id", "dispute_id"), "disputes", ("customer_id", "id")),
            CompositeKey(
                "write_offs_allocation", ("customer_id", "allocation_id"), "allocations", ("customer_id", "id")
            ),
            CompositeKey("write_offs_entry", ("customer_id", "entry_id"), "ledger_entries", ("owner_id", "id")),
            CompositeKey("write_offs_item", ("item_id",), "open_items", ("id",)),
            CompositeKey(
                "write_offs_undoes",
                ("customer_id", "undoes_id", *WRITTEN_OFF),
                "write_offs",
                ("customer_id", "id", *WRITTEN_OFF),
            ),
        )
        indexes = [
            index("write_offs_by_order", "customer_id", "order_id", "id"),
            index("write_offs_by_invoice", "customer_id", "invoice_id", "id"),
            index("write_offs_by_dispute", "customer_id", "dispute_id", "id"),
            index("write_offs_by_allocation", "customer_id", "allocation_id"),
            index("write_offs_created", "created_at", "id"),
        ]


class CustomerStanding(Model, metaclass=Undescribed):
    """What a customer owes and has in one currency, kept by triggers at each commit: to filter and order customers by.

    `owed` and `booked` are what the books have; orders on hold count in neither `outstanding`, `overdue` nor `lifetime_value`,
    and what credit that names an order covers of it is not outstanding.
    `overdue` is what was due before `next_due_on`, the first due day that does not count yet; a job moves it on at midnight.
    A customer always has the standing in its own currency. Lists read it; values that are shown are computed.
    """

    customer_id = fields.UUIDField(primary_key=True)
    currency = fields.CharField(max_length=3)
    owed = AmountField()
    booked = AmountField()
    credit_balance = AmountField()
    unearned = AmountField()
    outstanding = AmountField()
    overdue = AmountField()
    lifetime_value = AmountField()
    oldest_due_on: Any = fields.DateField(null=True)
    next_due_on: Any = fields.DateField(null=True)

    class Meta:
        table = "customer_standings"
        primary_key = ("customer_id", "currency")
        composite_keys = (CompositeKey("customer_standings_customer", ("customer_id",), "customers", ("id",)),)
        indexes = [
            index("customer_standings_outstanding", "outstanding", "customer_id"),
            index("customer_standings_overdue", "overdue", "customer_id"),
            index("customer_standings_oldest_due", "oldest_due_on", "customer_id"),
            index("customer_standings_next_due", "next_due_on", "customer_id"),
            index("customer_standings_credit", "credit_balance", "customer_id"),
            index("customer_standings_unearned", "unearned", "customer_id"),
            index("customer_standings_lifetime", "lifetime_value", "customer_id"),
        ]


class StandingMove(Model, metaclass=Undescribed):
    """What a statement of a transaction that still runs adds to a customer's standing: the commit takes it, so there is none after it.

    `order_ids`: the orders that lead further, where the customer's policy is to refuse what passes its credit limit.
    """

    customer_id = fields.UUIDField(primary_key=True)
    transaction_id = TransactionIdField(db_default=SqlDefault("pg_current_xact_id()"))
    id = fields.UUIDField(db_default=UUIDV7)
    currency = fields.CharField(max_length=3)
    owed = AmountField(db_default=0)
    booked = AmountField(db_default=0)
    credit_balance = AmountField(db_default=0)
    unearned = AmountField(db_default=0)
    order_ids: Any = UuidArrayField(db_default=SqlDefault("'{}'"))

    class Meta:
        table = "standing_moves"
        primary_key = ("transaction_id", "customer_id", "id")


class CommitCheck(Model, metaclass=Undescribed):
    """What a statement of a transaction that still runs wrote and the commit looks at, once for all notes of a kind; there is none after it.

    `source`: the constraint in whose name it is refused. `is_first`: the note whose deferred trigger takes all of them.
    """

    transaction_id = TransactionIdField(primary_key=True, db_default=SqlDefault("pg_current_xact_id()"))
    kind = fields.CharField(max_length=20)
    id = fields.UUIDField(db_default=UUIDV7)
    source = fields.CharField(max_length=63)
    is_first = fields.BooleanField()
    customer_ids: Any = UuidArrayField()
    subject_ids: Any = UuidArrayField()

    class Meta:
        table = "commit_checks"
        primary_key = ("transaction_id", "id")


class TransferMove(Model, metaclass=Undescribed):
    """What a transaction that still runs moved between owners: at the commit it has to be nothing, in each currency, and goes."""

    transaction_id = TransactionIdField(primary_key=True, db_default=SqlDefault("pg_current_xact_id()"))
    id = fields.UUIDField(db_default=UUIDV7)
    currency = fields.CharField(max_length=3)
    amount = AmountField()
    base_amount = AmountField()

    class Meta:
        table = "transfer_moves"
        primary_key = ("transaction_id", "id")
