"""Leads: who might buy, where they came from, who looks after them, what became of them."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from tortoise import fields

from crmgql.models.base import (
    AmountField,
    CompositeKey,
    Editable,
    Record,
    TrigramIndex,
    amounts,
    check,
    index,
    one_of,
    origin_unique,
    partial,
    unique,
)


class LeadStatus(StrEnum):
    """MERGED: it was a duplicate and lives on in `merged_into`."""

    NEW = "NEW"
    NURTURING = "NURTURING"
    QUALIFIED = "QUALIFIED"
    CONVERTED = "CONVERTED"
    LOST = "LOST"
    MERGED = "MERGED"


OPEN_LEAD_STATUSES = ("NEW", "NURTURING", "QUALIFIED")
OPEN_LEAD = f"status IN {OPEN_LEAD_STATUSES}"
"""Of leads that somebody still works on."""


class DuplicateStatus(StrEnum):
    OPEN = "OPEN"
    MERGED = "MERGED"
    DISMISSED = "DISMISSED"


class Lead(Editable):
    """`normal_email`, `normal_phone` and `domain` are what duplicates are found by; the domain keeps them.

    `routing` is the latest decision; `accept_by` is when an owner who did not accept loses the lead again.
    """

    name = fields.CharField(max_length=200)
    company: Any = fields.CharField(max_length=200, null=True)
    title: Any = fields.CharField(max_length=100, null=True)
    email: Any = fields.CharField(max_length=254, null=True)
    phone: Any = fields.CharField(max_length=40, null=True)
    website: Any = fields.CharField(max_length=500, null=True)
    industry: Any = fields.CharField(max_length=100, null=True)
    region: Any = fields.CharField(max_length=100, null=True)
    country: Any = fields.CharField(max_length=100, null=True)
    city: Any = fields.CharField(max_length=100, null=True)
    segment: Any = fields.CharField(max_length=100, null=True)
    employee_count: Any = fields.IntField(null=True)
    budget_amount: Any = AmountField(null=True)
    currency = fields.CharField(max_length=3, db_default="USD")
    message: Any = fields.TextField(null=True)
    attributes: Any = fields.JSONField(db_default={})
    lead_source: Any = fields.CharField(max_length=50, null=True)
    campaign: Any = fields.ForeignKeyField("crm.Campaign", related_name="leads", null=True, on_delete=fields.RESTRICT)
    intake_source: Any = fields.ForeignKeyField(
        "crm.IntakeSource", related_name="leads", null=True, on_delete=fields.RESTRICT
    )
    score = fields.IntField(db_default=0)
    email_opt_out = fields.BooleanField(db_default=False)
    normal_email: Any = fields.CharField(max_length=254, null=True)
    normal_phone: Any = fields.CharField(max_length=40, null=True)
    domain: Any = fields.CharField(max_length=254, null=True)
    status = fields.CharField(max_length=20, db_default="NEW")
    status_since = fields.DatetimeField()
    lost_reason: Any = fields.CharField(max_length=300, null=True)
    received_at = fields.DatetimeField()
    last_activity_at = fields.DatetimeField()
    owner: Any = fields.ForeignKeyField("crm.User", related_name="leads", null=True, on_delete=fields.RESTRICT)
    assigned_at: Any = fields.DatetimeField(null=True)
    accepted_at: Any = fields.DatetimeField(null=True)
    accept_by: Any = fields.DatetimeField(null=True)
    routing: Any = fields.ForeignKeyField(
        "crm.AssignmentDecision", related_name=False, null=True, on_delete=fields.RESTRICT
    )
    queue: Any = fields.ForeignKeyField("crm.LeadQueue", related_name="leads", null=True, on_delete=fields.RESTRICT)
    queue_deadline: Any = fields.DatetimeField(null=True)
    pool: Any = fields.ForeignKeyField("crm.Pool", related_name="leads", null=True, on_delete=fields.RESTRICT)
    protected_until: Any = fields.DatetimeField(null=True)
    reclaim_warned_at: Any = fields.DatetimeField(null=True)
    customer: Any = fields.ForeignKeyField("crm.Customer", related_name="leads", null=True, on_delete=fields.RESTRICT)
    contact: Any = fields.ForeignKeyField("crm.Contact", related_name="leads", null=True, on_delete=fields.RESTRICT)
    opportunity: Any = fields.ForeignKeyField(
        "crm.Opportunity", related_name="leads", null=True, on_delete=fields.RESTRICT
    )
    converted_at: Any = fields.DatetimeField(null=True)
    merged_into: Any = fields.ForeignKeyField("crm.Lead", related_name="merged", null=True, on_delete=fields.RESTRICT)

    class Meta:
        table = "leads"
        constraints = [
            origin_unique("leads"),
            check("leads_status", one_of("status", LeadStatus)),
            check("leads_lost", "status <> 'LOST' OR lost_reason IS NOT NULL"),
            check("leads_converted", "(converted_at IS NOT NULL) = (status = 'CONVERTED')"),
            check("leads_merged", "(merged_into_id IS NOT NULL) = (status = 'MERGED')"),
            check("leads_merged_other", "merged_into_id <> id"),
            check("leads_one_place", "num_nonnulls(owner_id, queue_id, pool_id) <= 1"),
            check("leads_queue_deadline", "queue_id IS NOT NULL OR queue_deadline IS NULL"),
            check("leads_message_length", "length(message) <= 20000"),
            check("leads_budget_positive", "budget_amount >= 0"),
            check("leads_employees", "employee_count >= 0"),
            *amounts("leads", "budget_amount"),
        ]
        # Beside the key of the opportunity alone, which a lead may have without a customer.
        composite_keys = (
            CompositeKey(
                "leads_opportunity_customer", ("opportunity_id", "customer_id"), "opportunities", ("id", "customer_id")
            ),
        )
        indexes = [
            index("leads_owner", "owner_id", "received_at", "id"),
            partial("leads_open_owner", OPEN_LEAD, "owner_id", "last_activity_at"),
            partial("leads_to_accept", "accept_by IS NOT NULL AND accepted_at IS NULL", "accept_by"),
            partial("leads_queue_due", "queue_deadline IS NOT NULL", "queue_deadline"),
            partial(
                "leads_placeless",
                f"{OPEN_LEAD} AND owner_id IS NULL AND queue_id IS NULL AND pool_id IS NULL",
                "received_at",
            ),
            index("leads_campaign", "campaign_id", "received_at", "id"),
            index("leads_intake_source", "intake_source_id", "received_at", "id"),
            index("leads_routing", "routing_id"),
            index("leads_queue", "queue_id", "received_at", "id"),
            index("leads_pool", "pool_id", "id"),
            index("leads_customer", "customer_id", "id"),
            index("leads_contact", "contact_id", "id"),
            index("leads_opportunity", "opportunity_id", "id"),
            index("leads_merged", "merged_into_id", "id"),
            index("leads_email", "normal_email", "id"),
            index("leads_phone", "normal_phone", "id"),
            index("leads_domain", "domain", "id"),
            index("leads_received", "received_at", "id"),
            index("leads_created", "created_at", "id"),
            TrigramIndex("leads_name_trigrams", "name"),
        ]


class LeadTransition(Record):
    """A change of a lead's status, append-only."""

    lead: Any = fields.ForeignKeyField("crm.Lead", related_name="transitions", on_delete=fields.RESTRICT)
    from_status: Any = fields.CharField(max_length=20, null=True)
    to_status = fields.CharField(max_length=20)
    reason: Any = fields.CharField(max_length=300, null=True)
    seconds_in_status: Any = fields.BigIntField(null=True)
    actor: Any = fields.ForeignKeyField("crm.User", related_name=False, null=True, on_delete=fields.RESTRICT)
    occurred_at = fields.DatetimeField()

    class Meta:
        table = "lead_transitions"
        indexes = [
            index("lead_transitions_lead", "lead_id", "occurred_at", "id"),
            index("lead_transitions_actor", "actor_id", "id"),
            index("lead_transitions_to", "to_status", "occurred_at"),
            index("lead_transitions_occurred", "occurred_at", "id"),
        ]


class LeadDuplicate(Record):
    """Two leads that look like one, with the reasons. `lead` is the later one."""

    lead: Any = fields.ForeignKeyField("crm.Lead", related_name="duplicates", on_delete=fields.RESTRICT)
    other: Any = fields.ForeignKeyField("crm.Lead", related_name="duplicate_of", on_delete=fields.RESTRICT)
    reasons: Any = fields.JSONField(db_default={})
    similarity = fields.IntField()
    status = fields.CharField(max_length=10, db_default="OPEN")
    settled_at: Any = fields.DatetimeField(null=True)

    class Meta:
        table = "lead_duplicates"
        constraints = [
            check("lead_duplicates_status", one_of("status", DuplicateStatus)),
            check("lead_duplicates_other", "lead_id <> other_id"),
            check("lead_duplicates_similarity", "similarity BETWEEN 0 AND 100"),
            unique("lead_duplicates_pair", "least(lead_id, other_id)", "greatest(lead_id, other_id)"),
        ]
        indexes = [
            index("lead_duplicates_lead", "lead_id", "id"),
            index("lead_duplicates_other_lead", "other_id", "id"),
            index("lead_duplicates_created", "created_at", "id"),
        ]
