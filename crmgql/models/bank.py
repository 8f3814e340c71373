"""Our accounts at banks, their statements, what each line of them is, and what it may be."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from tortoise import fields

from crmgql.models.base import (
    AmountField,
    CompositeKey,
    Editable,
    Record,
    TextArrayField,
    UuidArrayField,
    amounts,
    check,
    index,
    one_of,
    origin_unique,
    partial,
    unique,
)


class BankFileFormat(StrEnum):
    CAMT_053 = "CAMT_053"
    CSV = "CSV"


class BankLineStatus(StrEnum):
    """BOOKED: it is a payment, a refund or a payout. SUSPENSE: nobody knew whose it is. IGNORED: it is no matter of customers."""

    OPEN = "OPEN"
    BOOKED = "BOOKED"
    SUSPENSE = "SUSPENSE"
    IGNORED = "IGNORED"


class MatchCertainty(StrEnum):
    CERTAIN = "CERTAIN"
    LIKELY = "LIKELY"
    POSSIBLE = "POSSIBLE"


class MatchBasis(StrEnum):
    """What a suggestion rests on, the strongest first."""

    REFERENCE = "REFERENCE"
    AMOUNT = "AMOUNT"
    SUM = "SUM"
    OLDEST_DUE = "OLDEST_DUE"


class BankAccount(Editable):
    """An account of ours in one currency. `layout`: how its bank writes CSV files, without account and currency."""

    name = fields.CharField(max_length=100)
    number = fields.CharField(max_length=50)
    currency = fields.CharField(max_length=3)
    layout: Any = fields.JSONField(null=True)

    class Meta:
        table = "bank_accounts"
        constraints = [
            origin_unique("bank_accounts"),
            unique("bank_accounts_number", "number", "currency"),
            unique("bank_accounts_name", "lower(name)"),
            unique("bank_accounts_currency", "id", "currency"),
            check("bank_accounts_number_plain", "number ~ '^[^[:space:]]+$' AND number = upper(number)"),
            *amounts("bank_accounts"),
        ]
        indexes = [index("bank_accounts_created", "created_at", "id")]


class BankStatement(Record):
    """What one file said of an account: never changed. `digest` makes it known again.

    `line_count` are all its lines, `known_count` those that another statement had brought already, `skipped_count` what moved no money.
    """

    account: Any = fields.ForeignKeyField("crm.BankAccount", related_name="statements", on_delete=fields.RESTRICT)
    digest = fields.CharField(max_length=64)
    format = fields.CharField(max_length=10)
    reference: Any = fields.CharField(max_length=500, null=True)
    currency = fields.CharField(max_length=3)
    opening_amount: Any = AmountField(null=True)
    opening_on: Any = fields.DateField(null=True)
    moved_amount = AmountField()
    closing_amount: Any = AmountField(null=True)
    closing_on: Any = fields.DateField(null=True)
    first_on: Any = fields.DateField(null=True)
    last_on: Any = fields.DateField(null=True)
    line_count = fields.IntField()
    known_count = fields.IntField()
    skipped_count = fields.IntField()

    class Meta:
        table = "bank_statements"
        constraints = [
            unique("bank_statements_once", "account_id", "digest"),
            unique("bank_statements_account", "account_id", "id"),
            check("bank_statements_format", one_of("format", BankFileFormat)),
            check("bank_statements_balanced", "opening_amount + moved_amount = closing_amount"),
            check("bank_statements_opening", "(opening_amount IS NULL) = (opening_on IS NULL)"),
            check("bank_statements_closing", "(closing_amount IS NULL) = (closing_on IS NULL)"),
            check("bank_statements_counts", "known_count BETWEEN 0 AND line_count AND skipped_count >= 0"),
            *amounts("bank_statements", "opening_amount", "moved_amount", "closing_amount"),
        ]
        composite_keys = (
            CompositeKey(
                "bank_statements_currency_of_account", ("account_id", "currency"), "bank_accounts", ("id", "currency")
            ),
        )
        indexes = [
            index("bank_statements_by_account", "account_id", "id"),
            index("bank_statements_created", "created_at", "id"),
        ]


class BankLine(Editable):
    """One movement on an account, positive where money came in. What the bank says never changes; what became of it does.

    `key` makes it known again in whatever file it comes. `customer`: whose money it is, once that is booked; a payout is nobody's.
    A payout has one line that brought it, and one that took it back where the bank did.
    """

    account: Any = fields.ForeignKeyField("crm.BankAccount", related_name="lines", on_delete=fields.RESTRICT)
    statement: Any = fields.ForeignKeyField("crm.BankStatement", related_name="lines", on_delete=fields.RESTRICT)
    key = fields.CharField(max_length=64)
    booked_on = fields.DateField()
    value_on: Any = fields.DateField(null=True)
    amount = AmountField()
    currency = fields.CharField(max_length=3)
    name: Any = fields.CharField(max_length=500, null=True)
    counterparty: Any = fields.CharField(max_length=500, null=True)
    texts = TextArrayField()
    end_to_end_id: Any = fields.CharField(max_length=500, null=True)
    bank_id: Any = fields.CharField(max_length=1100, null=True)
    kind: Any = fields.CharField(max_length=500, null=True)
    is_reversal = fields.BooleanField()
    place = fields.CharField(max_length=100)

    status = fields.CharField(max_length=10, db_default="OPEN")
    status_reason: Any = fields.CharField(max_length=1000, null=True)
    settled_at: Any = fields.DatetimeField(null=True)
    customer: Any = fields.ForeignKeyField("crm.Customer", related_name=False, null=True, on_delete=fields.RESTRICT)
    payment: Any = fields.ForeignKeyField("crm.Payment", related_name=False, null=True, on_delete=fields.RESTRICT)
    refund: Any = fields.ForeignKeyField("crm.Refund", related_name=False, null=True, on_delete=fields.RESTRICT)
    suspense: Any = fields.ForeignKeyField(
        "crm.SuspenseReceipt", related_name=False, null=True, on_delete=fields.RESTRICT
    )
    payout: Any = fields.ForeignKeyField("crm.Payout", related_name="lines", null=True, on_delete=fields.RESTRICT)

    class Meta:
        table = "bank_lines"
        constraints = [
            origin_unique("bank_lines"),
            unique("bank_lines_once", "account_id", "key"),
            unique("bank_lines_payment_once", "payment_id", where="payment_id IS NOT NULL"),
            unique("bank_lines_refund_once", "refund_id", where="refund_id IS NOT NULL"),
            unique("bank_lines_suspense_once", "suspense_id", where="suspense_id IS NOT NULL"),
            unique("bank_lines_payout_once", "payout_id", "(amount > 0)", where="payout_id IS NOT NULL"),
            check("bank_lines_moves", "amount <> 0"),
            check("bank_lines_status", one_of("status", BankLineStatus)),
            check("bank_lines_booked", "(status = 'BOOKED') = (num_nonnulls(payment_id, refund_id, payout_id) = 1)"),
            check("bank_lines_whose", "(customer_id IS NULL) = (num_nonnulls(payment_id, refund_id) = 0)"),
            check("bank_lines_suspended", "(status = 'SUSPENSE') = (suspense_id IS NOT NULL)"),
            check("bank_lines_ignored", "(status = 'IGNORED') = (status_reason IS NOT NULL)"),
            check("bank_lines_settled", "(status = 'OPEN') = (settled_at IS NULL)"),
            *amounts("bank_lines", "amount"),
        ]
        composite_keys = (
            CompositeKey(
                "bank_lines_statement", ("account_id", "statement_id"), "bank_statements", ("account_id", "id")
            ),
            CompositeKey(
                "bank_lines_currency_of_account", ("account_id", "currency"), "bank_accounts", ("id", "currency")
            ),
            CompositeKey("bank_lines_payment", ("customer_id", "payment_id"), "payments", ("customer_id", "id")),
            CompositeKey("bank_lines_refund", ("customer_id", "refund_id"), "refunds", ("customer_id", "id")),
        )
        indexes = [
            index("bank_lines_by_account", "account_id", "id"),
            index("bank_lines_by_statement", "statement_id", "id"),
            index("bank_lines_booked_on", "booked_on", "id"),
            index("bank_lines_by_status", "status", "id"),
            index("bank_lines_created", "created_at", "id"),
            partial("bank_lines_of_customer", "customer_id IS NOT NULL", "customer_id", "id"),
        ]


class BankSuggestion(Record):
    """What a line that is open may be, the likeliest first. They are made anew whenever lines are matched.

    A suggestion is for one customer: a payment or refund that is recorded already, or items that are open, of which `labels` are the
    numbers, settled in the order of `item_ids`; `order` or `invoice` where it is one. Or it is a payout. `amount` of the line settles something,
    `rest_amount` would be left over, `short_amount` of what it settles would stay open.
    """

    line: Any = fields.ForeignKeyField("crm.BankLine", related_name="suggestions", on_delete=fields.RESTRICT)
    n = fields.IntField()
    certainty = fields.CharField(max_length=10)
    basis = fields.CharField(max_length=10)
    reasons = TextArrayField()
    labels = TextArrayField()
    currency = fields.CharField(max_length=3)
    amount = AmountField()
    rest_amount = AmountField()
    short_amount = AmountField()
    customer: Any = fields.ForeignKeyField("crm.Customer", related_name=False, null=True, on_delete=fields.RESTRICT)
    order: Any = fields.ForeignKeyField("crm.Order", related_name=False, null=True, on_delete=fields.RESTRICT)
    invoice: Any = fields.ForeignKeyField("crm.Invoice", related_name=False, null=True, on_delete=fields.RESTRICT)
    payment: Any = fields.ForeignKeyField("crm.Payment", related_name=False, null=True, on_delete=fields.RESTRICT)
    refund: Any = fields.ForeignKeyField("crm.Refund", related_name=False, null=True, on_delete=fields.RESTRICT)
    payout: Any = fields.ForeignKeyField("crm.Payout", related_name=False, null=True, on_delete=fields.RESTRICT)
    item_ids = UuidArrayField()

    class Meta:
        table = "bank_suggestions"
        constraints = [
            unique("bank_suggestions_n", "line_id", "n"),
            check("bank_suggestions_certainty", one_of("certainty", MatchCertainty)),
            check("bank_suggestions_whose", "(customer_id IS NULL) = (payout_id IS NOT NULL)"),
            check("bank_suggestions_basis", one_of("basis", MatchBasis)),
            *amounts("bank_suggestions", "amount", "rest_amount", "short_amount"),
        ]
        composite_keys = (
            CompositeKey("bank_suggestions_order", ("customer_id", "order_id"), "orders", ("customer_id", "id")),
            CompositeKey("bank_suggestions_invoice", ("customer_id", "invoice_id"), "invoices", ("customer_id", "id")),
            CompositeKey("bank_suggestions_payment", ("customer_id", "payment_id"), "payments", ("customer_id", "id")),
            CompositeKey("bank_suggestions_refund", ("customer_id", "refund_id"), "refunds", ("customer_id", "id")),
        )
        indexes = [
            index("bank_suggestions_created", "created_at", "id"),
            index("bank_suggestions_of_customer", "customer_id", "id"),
            *(
                partial(f"bank_suggestions_by_{name}", f"{name}_id IS NOT NULL", f"{name}_id", "id")
                for name in ("order", "invoice", "payment", "refund", "payout")
            ),
        ]
