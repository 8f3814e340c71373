"""Payouts of payment providers, and what reconciliation finds: where records of money disagree, or somebody should look."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from tortoise import fields

from crmgql.models.base import (
    AmountField,
    Editable,
    Record,
    amounts,
    check,
    index,
    one_of,
    origin_unique,
    partial,
    unique,
)


class PayoutStatus(StrEnum):
    """EXPECTED: on its way to the bank. FAILED: it did not arrive, or went back."""

    EXPECTED = "EXPECTED"
    PAID = "PAID"
    FAILED = "FAILED"


class ReconciliationKind(StrEnum):
    """ORDER_PAYMENT_MISMATCH: long after an order, more or less was paid than it comes to. ORDER_PAID_NOT_OWED: there is money for an
    order of which nothing is owed: it was cancelled, is a draft still or has no lines. DUPLICATE_PAYMENT: the same amount a
    second time within a day, and not all of it needed. AMOUNT_MISMATCH: the provider received another amount than is
    recorded. PAYOUT_DIFFERS: its parts do not add up. PAYOUT_LATE: it should have arrived. PAYOUT_BANK_DIFFERS: the bank
    brought another amount, or what it brought failed. UNEXPLAINED_CLEARING: no payout brought what
    lies at providers for long. SUSPENSE_OPEN: nobody has said for a week whose money it is. LEDGER: the books contradict
    themselves. OVERDUE: due and not paid. UNUSUAL_PAYMENT: far more than what the customer usually pays. LOW_MARGIN: an order brings
    less than the company wants."""

    ORDER_PAYMENT_MISMATCH = "ORDER_PAYMENT_MISMATCH"
    ORDER_PAID_NOT_OWED = "ORDER_PAID_NOT_OWED"
    DUPLICATE_PAYMENT = "DUPLICATE_PAYMENT"
    AMOUNT_MISMATCH = "AMOUNT_MISMATCH"
    PAYOUT_DIFFERS = "PAYOUT_DIFFERS"
    PAYOUT_LATE = "PAYOUT_LATE"
    PAYOUT_BANK_DIFFERS = "PAYOUT_BANK_DIFFERS"
    UNEXPLAINED_CLEARING = "UNEXPLAINED_CLEARING"
    SUSPENSE_OPEN = "SUSPENSE_OPEN"
    LEDGER = "LEDGER"
    OVERDUE = "OVERDUE"
    UNUSUAL_PAYMENT = "UNUSUAL_PAYMENT"
    LOW_MARGIN = "LOW_MARGIN"


class ReconciliationStatus(StrEnum):
    OPEN = "OPEN"
    CLOSED = "CLOSED"


class Payout(Editable):
    """What a payment provider pays into our bank: charges less refunds and fees, and what it keeps back or gives free, `reserve`.

    `net` is less than 0 where the provider takes money. `fees_booked`: its fees are in the books already, payment by payment.
    """

    provider = fields.CharField(max_length=50)
    reference = fields.CharField(max_length=200)
    currency = fields.CharField(max_length=3)
    gross_amount: Any = AmountField(null=True)
    refunds_amount: Any = AmountField(null=True)
    fees_amount: Any = AmountField(null=True)
    reserve_amount: Any = AmountField(null=True)
    net_amount = AmountField()
    fees_booked = fields.BooleanField(db_default=True)
    arrives_on: Any = fields.DateField(null=True)
    status = fields.CharField(max_length=10, db_default="EXPECTED")
    status_reason: Any = fields.CharField(max_length=1000, null=True)
    paid_at: Any = fields.DatetimeField(null=True)

    class Meta:
        table = "payouts"
        constraints = [
            origin_unique("payouts"),
            unique("payouts_reference", "provider", "reference"),
            check("payouts_net", "net_amount <> 0"),
            check("payouts_parts", "gross_amount >= 0 AND refunds_amount >= 0 AND fees_amount >= 0"),
            check("payouts_fees", "fees_booked OR (fees_amount IS NOT NULL AND fees_amount > 0)"),
            check("payouts_status", one_of("status", PayoutStatus)),
            check("payouts_paid", "status <> 'PAID' OR paid_at IS NOT NULL"),
            *amounts("payouts", "gross_amount", "refunds_amount", "fees_amount", "reserve_amount", "net_amount"),
        ]
        indexes = [index("payouts_created", "created_at", "id"), index("payouts_arrives", "arrives_on", "id")]


class ReconciliationRun(Record):
    """One time that everything was looked at. `customers`: how many so far; `found`: what there was, old and new."""

    reconciled_on = fields.DateField()
    finished_at: Any = fields.DatetimeField(null=True)
    customers = fields.BigIntField(db_default=0)
    found = fields.BigIntField(db_default=0)
    opened = fields.BigIntField(db_default=0)
    closed = fields.BigIntField(db_default=0)

    class Meta:
        table = "reconciliation_runs"
        constraints = [
            check("reconciliation_runs_counts", "customers >= 0 AND found >= 0 AND opened >= 0 AND closed >= 0")
        ]
        indexes = [index("reconciliation_runs_created", "created_at", "id")]


class ReconciliationException(Editable):
    """Something that somebody should look at. It is one row while it lasts, and as often as it comes back.

    `run`: the one that found it, the last time that it was new. Closed by somebody, it says by whom and why, and stays so for the
    same amount; without, it was gone. `owner_id`: whose books it is about, as of an entry. `amount` may be less than 0.
    """

    run: Any = fields.ForeignKeyField("crm.ReconciliationRun", related_name="exceptions", on_delete=fields.RESTRICT)
    kind = fields.CharField(max_length=30)
    owner_id = fields.UUIDField()
    customer: Any = fields.ForeignKeyField("crm.Customer", related_name=False, null=True, on_delete=fields.RESTRICT)
    subject_type = fields.CharField(max_length=30)
    subject_id = fields.UUIDField()
    amount: Any = AmountField(null=True)
    currency = fields.CharField(max_length=3)
    finding = fields.CharField(max_length=500)
    status = fields.CharField(max_length=10, db_default="OPEN")
    found_at = fields.DatetimeField()
    closed_at: Any = fields.DatetimeField(null=True)
    closed_by: Any = fields.ForeignKeyField("crm.User", related_name=False, null=True, on_delete=fields.RESTRICT)
    reason: Any = fields.CharField(max_length=1000, null=True)

    class Meta:
        table = "reconciliation_exceptions"
        constraints = [
            origin_unique("reconciliation_exceptions"),
            unique("reconciliation_exceptions_once", "kind", "subject_id", "currency"),
            check("reconciliation_exceptions_kind", one_of("kind", ReconciliationKind)),
            check("reconciliation_exceptions_status", one_of("status", ReconciliationStatus)),
            check("reconciliation_exceptions_owner", "customer_id = owner_id"),
            check("reconciliation_exceptions_closed", "(closed_at IS NOT NULL) = (status = 'CLOSED')"),
            check("reconciliation_exceptions_by", "closed_by_id IS NULL OR closed_at IS NOT NULL"),
            *amounts("reconciliation_exceptions", "amount"),
        ]
        indexes = [
            partial("reconciliation_exceptions_open", "status = 'OPEN'", "kind", "owner_id"),
            index("reconciliation_exceptions_run", "run_id", "id"),
            index("reconciliation_exceptions_found", "found_at", "id"),
            index("reconciliation_exceptions_customer", "customer_id", "id"),
            index("reconciliation_exceptions_closer", "closed_by_id", "id"),
            index("reconciliation_exceptions_created", "created_at", "id"),
        ]
