"""Opportunities (pipelines and stage history come later)."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from tortoise import fields

from crmgql.models.base import AmountField, CompositeKey, Editable, amounts, check, index, origin_unique
from crmgql.models.customers import one_of


class OpportunityStage(StrEnum):
    PROSPECTING = "PROSPECTING"
    ENGAGING = "ENGAGING"
    PROPOSAL = "PROPOSAL"
    NEGOTIATION = "NEGOTIATION"
    WON = "WON"
    LOST = "LOST"


class Opportunity(Editable):
    """A deal in the making. It may have no customer yet."""

    customer: Any = fields.ForeignKeyField(
        "crm.Customer", related_name="opportunities", null=True, on_delete=fields.RESTRICT
    )
    contact: Any = fields.ForeignKeyField(
        "crm.Contact", related_name="opportunities", null=True, on_delete=fields.RESTRICT
    )
    owner: Any = fields.ForeignKeyField("crm.User", related_name="opportunities", null=True, on_delete=fields.RESTRICT)
    product: Any = fields.ForeignKeyField(
        "crm.Product", related_name="opportunities", null=True, on_delete=fields.RESTRICT
    )
    name = fields.CharField(max_length=200)
    stage = fields.CharField(max_length=20, db_default="PROSPECTING")
    amount: Any = AmountField(null=True)
    currency = fields.CharField(max_length=3, db_default="USD")
    probability: Any = fields.IntField(null=True)
    engaged_on: Any = fields.DateField(null=True)
    expected_close: Any = fields.DateField(null=True)
    closed_on: Any = fields.DateField(null=True)
    lost_reason: Any = fields.CharField(max_length=300, null=True)

    class Meta:
        table = "opportunities"
        constraints = [
            origin_unique("opportunities"),
            check("opportunities_stage", one_of("stage", OpportunityStage)),
            check("opportunities_amount_positive", "amount >= 0"),
            # A composite key does not compare a missing customer, so a contact needs one.
            check("opportunities_contact_needs_customer", "contact_id IS NULL OR customer_id IS NOT NULL"),
            check("opportunities_probability", "probability BETWEEN 0 AND 100"),
            check("opportunities_closed", "(closed_on IS NOT NULL) = (stage IN ('WON', 'LOST'))"),
            *amounts("opportunities", "amount"),
        ]
        composite_keys = (
            CompositeKey(
                "opportunities_contact_customer", ("customer_id", "contact_id"), "contacts", ("customer_id", "id")
            ),
        )
        indexes = [
            index("opportunities_customer", "customer_id", "id"),
            index("opportunities_contact", "contact_id", "id"),
            index("opportunities_owner", "owner_id", "id"),
            index("opportunities_product", "product_id", "id"),
            index("opportunities_expected_close", "expected_close", "id"),
            index("opportunities_created", "created_at", "id"),
        ]
