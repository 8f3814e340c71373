"""Where leads come from: campaigns, intake sources; and what follows by rule."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from tortoise import fields

from crmgql.models.base import (
    AmountField,
    Editable,
    TextArrayField,
    amounts,
    check,
    index,
    one_of,
    origin_unique,
    unique,
)


class CampaignChannel(StrEnum):
    EMAIL = "EMAIL"
    SEARCH = "SEARCH"
    SOCIAL = "SOCIAL"
    DISPLAY = "DISPLAY"
    EVENT = "EVENT"
    REFERRAL = "REFERRAL"
    CONTENT = "CONTENT"
    PARTNER = "PARTNER"
    OTHER = "OTHER"


class CampaignStatus(StrEnum):
    PLANNED = "PLANNED"
    ACTIVE = "ACTIVE"
    ENDED = "ENDED"


class FollowUpAction(StrEnum):
    TASK = "TASK"
    EMAIL = "EMAIL"


class Campaign(Editable):
    name = fields.CharField(max_length=200)
    channel = fields.CharField(max_length=20)
    status = fields.CharField(max_length=20, db_default="PLANNED")
    currency = fields.CharField(max_length=3, db_default="USD")
    budget_amount: Any = AmountField(null=True)
    spend_amount: Any = AmountField(null=True)
    starts_on: Any = fields.DateField(null=True)
    ends_on: Any = fields.DateField(null=True)
    owner: Any = fields.ForeignKeyField("crm.User", related_name="campaigns", null=True, on_delete=fields.RESTRICT)

    class Meta:
        table = "campaigns"
        constraints = [
            origin_unique("campaigns"),
            unique("campaigns_name", "lower(name)"),
            check("campaigns_channel", one_of("channel", CampaignChannel)),
            check("campaigns_status", one_of("status", CampaignStatus)),
            check("campaigns_amounts_positive", "budget_amount >= 0 AND spend_amount >= 0"),
            check("campaigns_period", "ends_on >= starts_on"),
            *amounts("campaigns", "budget_amount", "spend_amount"),
        ]
        indexes = [index("campaigns_owner", "owner_id", "id"), index("campaigns_created", "created_at", "id")]


class IntakeSource(Editable):
    """A form, landing page or partner that may hand in leads with its key. Only the key's hash is kept."""

    name = fields.CharField(max_length=100)
    key_hash = fields.CharField(max_length=64)
    hint = fields.CharField(max_length=12)
    active = fields.BooleanField(db_default=True)
    rate_per_minute = fields.IntField(db_default=30)
    allowed_origins = TextArrayField(db_default=[])
    lead_source: Any = fields.CharField(max_length=50, null=True)
    campaign: Any = fields.ForeignKeyField(
        "crm.Campaign", related_name="intake_sources", null=True, on_delete=fields.RESTRICT
    )

    class Meta:
        table = "intake_sources"
        constraints = [
            origin_unique("intake_sources"),
            unique("intake_sources_name", "lower(name)"),
            unique("intake_sources_key", "key_hash"),
            check("intake_sources_rate", "rate_per_minute BETWEEN 1 AND 6000"),
        ]
        indexes = [
            index("intake_sources_campaign", "campaign_id", "id"),
            index("intake_sources_created", "created_at", "id"),
        ]


class FollowUpRule(Editable):
    """What happens so many hours after a lead came into a status, if it still is: a task for the owner or an e-mail."""

    name = fields.CharField(max_length=100)
    lead_status = fields.CharField(max_length=20)
    after_h = fields.IntField()
    action = fields.CharField(max_length=10)
    subject = fields.CharField(max_length=200)
    body: Any = fields.TextField(null=True)
    active = fields.BooleanField(db_default=True)

    class Meta:
        table = "follow_up_rules"
        constraints = [
            origin_unique("follow_up_rules"),
            unique("follow_up_rules_name", "lower(name)"),
            check("follow_up_rules_status", "lead_status IN ('NEW', 'NURTURING', 'QUALIFIED')"),
            check("follow_up_rules_action", one_of("action", FollowUpAction)),
            check("follow_up_rules_after", "after_h >= 0"),
            check("follow_up_rules_body", "action <> 'EMAIL' OR body IS NOT NULL"),
            check("follow_up_rules_body_length", "length(body) <= 20000"),
        ]
        indexes = [index("follow_up_rules_created", "created_at", "id")]
