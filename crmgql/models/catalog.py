"""Products."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from tortoise import fields

from crmgql.models.base import AmountField, Editable, amounts, check, index, one_of, origin_unique, partial, unique


class ProductStatus(StrEnum):
    DRAFT = "DRAFT"
    ACTIVE = "ACTIVE"
    END_OF_LIFE = "END_OF_LIFE"


class Recognition(StrEnum):
    """When what is sold of a product becomes revenue."""

    AT_CONFIRMATION = "AT_CONFIRMATION"
    ON_SHIPMENT = "ON_SHIPMENT"
    OVER_TIME = "OVER_TIME"


MONTHS = (
    "CASE recognition WHEN 'OVER_TIME' THEN recognition_months IS NOT NULL AND recognition_months BETWEEN 1 AND 120"
    " ELSE recognition_months IS NULL END"
)


class Product(Editable):
    """`recognition_months`: over how many months from the confirmation, where it is OVER_TIME. `counts_as_revenue`: whether
    reports of revenue count it."""

    sku: Any = fields.CharField(max_length=64, null=True)
    name = fields.CharField(max_length=200)
    category: Any = fields.CharField(max_length=100, null=True)
    description: Any = fields.TextField(null=True)
    status = fields.CharField(max_length=20, db_default="ACTIVE")
    specs: Any = fields.JSONField(db_default={})
    price_amount: Any = AmountField(null=True)
    cost_amount: Any = AmountField(null=True)
    currency = fields.CharField(max_length=3, db_default="USD")
    recognition = fields.CharField(max_length=20, db_default="AT_CONFIRMATION")
    recognition_months: Any = fields.IntField(null=True)
    counts_as_revenue = fields.BooleanField(db_default=True)

    class Meta:
        table = "products"
        constraints = [
            origin_unique("products"),
            unique("products_sku", "sku"),
            check("products_status", one_of("status", ProductStatus)),
            check("products_recognition", one_of("recognition", Recognition)),
            check("products_recognition_months", MONTHS),
            check("products_price_positive", "price_amount >= 0"),
            check("products_cost_positive", "cost_amount >= 0"),
            check("products_description_length", "length(description) <= 20000"),
            *amounts("products", "price_amount", "cost_amount"),
        ]
        indexes = [
            index("products_name", "name", "id"),
            index("products_category", "category", "id"),
            index("products_created", "created_at", "id"),
            partial("products_deferred", "recognition <> 'AT_CONFIRMATION'", "id"),
        ]
