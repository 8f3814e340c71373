"""Refunds and disputes: money of payments that goes back, or that a customer's bank takes back."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from tortoise import fields

from crmgql.models.base import AmountField, CompositeKey, Editable, amounts, check, index, one_of, origin_unique, unique
from crmgql.models.money import PaymentMethod


class RefundStatus(StrEnum):
    """UNKNOWN: it was sent and nobody knows what became of it. REQUESTED and UNKNOWN ones hold their money."""

    REQUESTED = "REQUESTED"
    UNKNOWN = "UNKNOWN"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


class DisputeStatus(StrEnum):
    OPEN = "OPEN"
    WON = "WON"
    LOST = "LOST"


class Refund(Editable):
    """Money that goes back: of a payment, or without one of a customer's credit. Only its status and what belongs to it change.

    `reason`: why it is asked for; `status_reason`: why it failed, or is unknown.
    """

    customer: Any = fields.ForeignKeyField("crm.Customer", related_name="refunds", on_delete=fields.RESTRICT)
    payment: Any = fields.ForeignKeyField("crm.Payment", related_name="refunds", null=True, on_delete=fields.RESTRICT)
    amount = AmountField()
    currency = fields.CharField(max_length=3)
    method = fields.CharField(max_length=20)
    status = fields.CharField(max_length=20, db_default="REQUESTED")
    reason: Any = fields.CharField(max_length=1000, null=True)
    status_reason: Any = fields.CharField(max_length=1000, null=True)
    provider: Any = fields.CharField(max_length=50, null=True)
    provider_reference: Any = fields.CharField(max_length=200, null=True)
    requested_at = fields.DatetimeField()
    ended_at: Any = fields.DatetimeField(null=True)

    class Meta:
        table = "refunds"
        constraints = [
            origin_unique("refunds"),
            unique("refunds_provider_reference", "provider", "provider_reference"),
            unique("refunds_customer_id", "customer_id", "id"),
            check("refunds_amount_positive", "amount > 0"),
            check("refunds_method", one_of("method", PaymentMethod)),
            check("refunds_status", one_of("status", RefundStatus)),
            check("refunds_ended", "(ended_at IS NULL) = (status = 'REQUESTED' OR status = 'UNKNOWN')"),
            check("refunds_provider", "provider_reference IS NULL OR provider IS NOT NULL"),
            *amounts("refunds", "amount"),
        ]
        composite_keys = (
            CompositeKey("refunds_payment", ("customer_id", "payment_id"), "payments", ("customer_id", "id")),
            CompositeKey("refunds_payment_currency", ("payment_id", "currency"), "payments", ("id", "currency")),
        )
        indexes = [
            index("refunds_by_payment", "customer_id", "payment_id", "id"),
            index("refunds_created", "created_at", "id"),
        ]


class Dispute(Editable):
    """A chargeback: the customer's bank took money of a payment back. While it is OPEN, nobody knows whose the money is."""

    customer: Any = fields.ForeignKeyField("crm.Customer", related_name="disputes", on_delete=fields.RESTRICT)
    payment: Any = fields.ForeignKeyField("crm.Payment", related_name="disputes", on_delete=fields.RESTRICT)
    amount = AmountField()
    fee_amount = AmountField(null=True)
    currency = fields.CharField(max_length=3)
    status = fields.CharField(max_length=20, db_default="OPEN")
    reason: Any = fields.CharField(max_length=1000, null=True)
    provider: Any = fields.CharField(max_length=50, null=True)
    provider_reference: Any = fields.CharField(max_length=200, null=True)
    opened_at = fields.DatetimeField()
    ended_at: Any = fields.DatetimeField(null=True)

    class Meta:
        table = "disputes"
        constraints = [
            origin_unique("disputes"),
            unique("disputes_provider_reference", "provider", "provider_reference"),
            unique("disputes_customer_id", "customer_id", "id"),
            check("disputes_amount_positive", "amount > 0"),
            check("disputes_fee_positive", "fee_amount > 0"),
            check("disputes_status", one_of("status", DisputeStatus)),
            check("disputes_ended", "(ended_at IS NULL) = (status = 'OPEN')"),
            check("disputes_provider", "provider_reference IS NULL OR provider IS NOT NULL"),
            *amounts("disputes", "amount", "fee_amount"),
        ]
        composite_keys = (
            CompositeKey("disputes_payment", ("customer_id", "payment_id"), "payments", ("customer_id", "id")),
            CompositeKey("disputes_payment_currency", ("payment_id", "currency"), "payments", ("id", "currency")),
        )
        indexes = [
            index("disputes_by_payment", "customer_id", "payment_id", "id"),
            index("disputes_created", "created_at", "id"),
        ]
