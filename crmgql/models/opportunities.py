"""Opportunities; how they go is in `pipelines`."""

from __future__ import annotations

from typing import Any

from tortoise import fields

from crmgql.models.base import AmountField, CompositeKey, Editable, amounts, check, index, origin_unique, partial
from crmgql.models.customers import one_of
from crmgql.models.pipelines import OpportunityStatus, Risk


class Opportunity(Editable):
    """A deal in the making. It may have no customer yet.

    A trigger fills pipeline, status and `stage_since` from the stage, whoever writes it. `stale_at` is when the next alert is
    due, None when none is; the domain keeps it, and finds by `stale_known` what came in otherwise. An episode of silence
    ends with the next activity.
    """

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
    pipeline: Any = fields.ForeignKeyField("crm.Pipeline", related_name="opportunities", on_delete=fields.RESTRICT)
    stage: Any = fields.ForeignKeyField("crm.Stage", related_name="opportunities", on_delete=fields.RESTRICT)
    status = fields.CharField(max_length=10)
    stage_since: Any = fields.DatetimeField()
    amount: Any = AmountField(null=True)
    currency = fields.CharField(max_length=3, db_default="USD")
    probability: Any = fields.IntField(null=True)
    engaged_on: Any = fields.DateField(null=True)
    expected_close: Any = fields.DateField(null=True)
    closed_on: Any = fields.DateField(null=True)
    lost_reason: Any = fields.CharField(max_length=300, null=True)
    last_activity_at: Any = fields.DatetimeField(null=True)
    stale_at: Any = fields.DatetimeField(null=True)
    stale_known = fields.BooleanField(db_default=False)
    stale_since: Any = fields.DatetimeField(null=True)
    stale_level = fields.IntField(db_default=0)
    stale_episode = fields.IntField(db_default=1)
    snoozed_until: Any = fields.DatetimeField(null=True)
    score = fields.IntField(db_default=0)
    score_factors: Any = fields.JSONField(db_default=[])
    risk = fields.CharField(max_length=10, db_default="LOW")
    risk_factors: Any = fields.JSONField(db_default=[])

    class Meta:
        table = "opportunities"
        constraints = [
            origin_unique("opportunities"),
            check("opportunities_status", one_of("status", OpportunityStatus)),
            check("opportunities_risk", one_of("risk", Risk)),
            check("opportunities_stale_level", "stale_level BETWEEN 0 AND 2"),
            check("opportunities_amount_positive", "amount >= 0"),
            # A composite key does not compare a missing customer, so a contact needs one.
            check("opportunities_contact_needs_customer", "contact_id IS NULL OR customer_id IS NOT NULL"),
            check("opportunities_probability", "probability BETWEEN 0 AND 100"),
            check("opportunities_closed", "(closed_on IS NOT NULL) = (status <> 'OPEN')"),
            *amounts("opportunities", "amount"),
        ]
        composite_keys = (
            CompositeKey(
                "opportunities_contact_customer", ("customer_id", "contact_id"), "contacts", ("customer_id", "id")
            ),
            CompositeKey(
                "opportunities_place",
                ("stage_id", "pipeline_id", "status"),
                "stages",
                ("id", "pipeline_id", "status"),
            ),
        )
        indexes = [
            index("opportunities_customer", "customer_id", "id"),
            index("opportunities_contact", "contact_id", "id"),
            index("opportunities_owner", "owner_id", "id"),
            index("opportunities_product", "product_id", "id"),
            index("opportunities_expected_close", "expected_close", "id"),
            index("opportunities_created", "created_at", "id"),
            index("opportunities_pipeline", "pipeline_id", "id"),
            index("opportunities_stage", "stage_id", "id"),
            partial("opportunities_stale", "status = 'OPEN' AND stale_at IS NOT NULL", "stale_at", "id"),
            partial("opportunities_stale_unknown", "status = 'OPEN' AND NOT stale_known", "id"),
        ]
