"""What is done with customers: interactions, tasks, tickets."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from tortoise import fields

from crmgql.models.base import CompositeKey, Editable, check, index, one_of, origin_unique, unique


class InteractionKind(StrEnum):
    CALL = "CALL"
    EMAIL = "EMAIL"
    MEETING = "MEETING"
    CHAT = "CHAT"
    NOTE = "NOTE"


class TicketStatus(StrEnum):
    OPEN = "OPEN"
    PENDING = "PENDING"
    RESOLVED = "RESOLVED"
    CLOSED = "CLOSED"


OPEN_TICKET = "status IN ('OPEN', 'PENDING')"
"""Of tickets that are still to be resolved."""


class TicketPriority(StrEnum):
    LOW = "LOW"
    NORMAL = "NORMAL"
    HIGH = "HIGH"
    URGENT = "URGENT"


class Interaction(Editable):
    customer: Any = fields.ForeignKeyField("crm.Customer", related_name="interactions", on_delete=fields.RESTRICT)
    contact: Any = fields.ForeignKeyField(
        "crm.Contact", related_name="interactions", null=True, on_delete=fields.RESTRICT
    )
    opportunity: Any = fields.ForeignKeyField(
        "crm.Opportunity", related_name="interactions", null=True, on_delete=fields.RESTRICT
    )
    author: Any = fields.ForeignKeyField("crm.User", related_name="interactions", null=True, on_delete=fields.RESTRICT)
    kind = fields.CharField(max_length=20)
    subject = fields.CharField(max_length=200)
    body: Any = fields.TextField(null=True)
    occurred_at = fields.DatetimeField()

    class Meta:
        table = "interactions"
        constraints = [
            origin_unique("interactions"),
            check("interactions_kind", one_of("kind", InteractionKind)),
            check("interactions_body_length", "length(body) <= 20000"),
        ]
        composite_keys = (
            CompositeKey(
                "interactions_contact_customer", ("customer_id", "contact_id"), "contacts", ("customer_id", "id")
            ),
            CompositeKey(
                "interactions_opportunity_customer",
                ("customer_id", "opportunity_id"),
                "opportunities",
                ("customer_id", "id"),
            ),
        )
        indexes = [
            index("interactions_customer_occurred", "customer_id", "occurred_at", "id"),
            index("interactions_contact", "contact_id", "occurred_at", "id"),
            index("interactions_opportunity", "opportunity_id", "occurred_at", "id"),
            index("interactions_author", "author_id", "occurred_at", "id"),
            index("interactions_occurred", "occurred_at", "id"),
        ]


class Ticket(Editable):
    customer: Any = fields.ForeignKeyField("crm.Customer", related_name="tickets", on_delete=fields.RESTRICT)
    contact: Any = fields.ForeignKeyField("crm.Contact", related_name="tickets", null=True, on_delete=fields.RESTRICT)
    order: Any = fields.ForeignKeyField("crm.Order", related_name="tickets", null=True, on_delete=fields.RESTRICT)
    assignee: Any = fields.ForeignKeyField("crm.User", related_name="tickets", null=True, on_delete=fields.RESTRICT)
    subject = fields.CharField(max_length=200)
    description: Any = fields.TextField(null=True)
    status = fields.CharField(max_length=20, db_default="OPEN")
    priority = fields.CharField(max_length=20, db_default="NORMAL")
    resolved_at: Any = fields.DatetimeField(null=True)

    class Meta:
        table = "tickets"
        constraints = [
            origin_unique("tickets"),
            check("tickets_status", one_of("status", TicketStatus)),
            check("tickets_priority", one_of("priority", TicketPriority)),
            check("tickets_resolved", "(resolved_at IS NOT NULL) = (status IN ('RESOLVED', 'CLOSED'))"),
            check("tickets_description_length", "length(description) <= 20000"),
        ]
        composite_keys = (
            CompositeKey("tickets_contact_customer", ("customer_id", "contact_id"), "contacts", ("customer_id", "id")),
            CompositeKey("tickets_order_customer", ("customer_id", "order_id"), "orders", ("customer_id", "id")),
        )
        indexes = [
            index("tickets_customer", "customer_id", "id"),
            index("tickets_contact", "contact_id", "id"),
            index("tickets_order", "order_id", "id"),
            index("tickets_assignee", "assignee_id", "id"),
            index("tickets_created", "created_at", "id"),
        ]


class TaskStatus(StrEnum):
    OPEN = "OPEN"
    DONE = "DONE"
    CANCELLED = "CANCELLED"


class Task(Editable):
    """Something a person is to do by a time."""

    subject = fields.CharField(max_length=200)
    description: Any = fields.CharField(max_length=2000, null=True)
    status = fields.CharField(max_length=10, db_default="OPEN")
    due_at: Any = fields.DatetimeField(null=True)
    done_at: Any = fields.DatetimeField(null=True)
    assignee: Any = fields.ForeignKeyField("crm.User", related_name="tasks", null=True, on_delete=fields.RESTRICT)
    customer: Any = fields.ForeignKeyField("crm.Customer", related_name="tasks", null=True, on_delete=fields.RESTRICT)
    lead: Any = fields.ForeignKeyField("crm.Lead", related_name="tasks", null=True, on_delete=fields.RESTRICT)
    opportunity: Any = fields.ForeignKeyField(
        "crm.Opportunity", related_name="tasks", null=True, on_delete=fields.RESTRICT
    )
    dedupe_key: Any = fields.CharField(max_length=200, null=True)

    class Meta:
        table = "tasks"
        constraints = [
            origin_unique("tasks"),
            check("tasks_status", one_of("status", TaskStatus)),
            check("tasks_done", "(done_at IS NOT NULL) = (status = 'DONE')"),
            unique("tasks_once", "dedupe_key", where="dedupe_key IS NOT NULL"),
        ]
        # Beside the key of the opportunity alone: a task without a customer is compared with nothing here.
        composite_keys = (
            CompositeKey(
                "tasks_opportunity_customer", ("opportunity_id", "customer_id"), "opportunities", ("id", "customer_id")
            ),
        )
        indexes = [
            index("tasks_assignee", "assignee_id", "due_at", "id"),
            index("tasks_customer", "customer_id", "id"),
            index("tasks_lead", "lead_id", "id"),
            index("tasks_opportunity", "opportunity_id", "id"),
            index("tasks_due", "due_at", "id"),
            index("tasks_created", "created_at", "id"),
        ]
