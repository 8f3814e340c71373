"""Commissions (thin: plans, tiers and statements come later)."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from tortoise import fields

from crmgql.models.base import (
    AmountField,
    CompositeKey,
    Dependencies,
    Editable,
    amounts,
    check,
    index,
    one_of,
    origin_unique,
)


class CommissionStatus(StrEnum):
    PENDING = "PENDING"
    EARNED = "EARNED"
    PAID = "PAID"
    CANCELLED = "CANCELLED"


class Commission(Editable):
    customer: Any = fields.ForeignKeyField("crm.Customer", related_name="commissions", on_delete=fields.RESTRICT)
    order: Any = fields.ForeignKeyField("crm.Order", related_name="commissions", null=True, on_delete=fields.RESTRICT)
    payment: Any = fields.ForeignKeyField(
        "crm.Payment", related_name="commissions", null=True, on_delete=fields.RESTRICT
    )
    seller: Any = fields.ForeignKeyField("crm.User", related_name="commissions", on_delete=fields.RESTRICT)
    base_amount = AmountField()
    rate = fields.DecimalField(max_digits=9, decimal_places=6)
    amount = AmountField()
    currency = fields.CharField(max_length=3)
    status = fields.CharField(max_length=20, db_default="PENDING")
    earned_at = fields.DatetimeField()

    class Meta:
        table = "commissions"
        constraints = [
            origin_unique("commissions"),
            check("commissions_status", one_of("status", CommissionStatus)),
            check("commissions_rate", "rate BETWEEN 0 AND 1"),
            *amounts("commissions", "base_amount", "amount"),
        ]
        composite_keys = (
            CompositeKey("commissions_order_customer", ("customer_id", "order_id"), "orders", ("customer_id", "id")),
            CompositeKey(
                "commissions_payment_customer", ("customer_id", "payment_id"), "payments", ("customer_id", "id")
            ),
            CompositeKey("commissions_payment_currency", ("payment_id", "currency"), "payments", ("id", "currency")),
        )
        statistics = (
            Dependencies("commissions_payment_keys", ("customer_id", "payment_id")),
            Dependencies("commissions_order_keys", ("customer_id", "order_id")),
        )
        indexes = [
            index("commissions_customer_earned", "customer_id", "earned_at", "id"),
            index("commissions_order", "customer_id", "order_id", "earned_at", "id"),
            index("commissions_payment", "customer_id", "payment_id", "earned_at", "id"),
            index("commissions_seller", "seller_id", "earned_at", "id"),
            index("commissions_earned", "earned_at", "id"),
            index("commissions_created", "created_at", "id"),
        ]
