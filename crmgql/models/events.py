"""The outbox and the audit trail, both append-only."""

from __future__ import annotations

from typing import Any

from tortoise import fields

from crmgql.models.base import Record, index, unique


class Event(Record):
    """Something that happened, written in the transaction that did it. The relay assigns `position` in commit order."""

    position: Any = fields.BigIntField(null=True)
    kind = fields.CharField(max_length=60)
    customer: Any = fields.ForeignKeyField("crm.Customer", related_name="events", null=True, on_delete=fields.RESTRICT)
    subject_id = fields.UUIDField()
    subject_type = fields.CharField(max_length=40)
    actor: Any = fields.ForeignKeyField("crm.User", related_name="events", null=True, on_delete=fields.RESTRICT)
    payload: Any = fields.JSONField(db_default={})
    occurred_at = fields.DatetimeField()

    class Meta:
        table = "events"
        constraints = [unique("events_position", "position")]
        indexes = [
            index("events_customer", "customer_id", "id"),
            index("events_subject", "subject_id", "id"),
            index("events_actor", "actor_id", "id"),
        ]


class AuditEntry(Record):
    """Who changed what: the changed columns, before and after."""

    actor: Any = fields.ForeignKeyField("crm.User", related_name="audit_entries", null=True, on_delete=fields.RESTRICT)
    api_key: Any = fields.ForeignKeyField(
        "crm.ApiKey", related_name="audit_entries", null=True, on_delete=fields.RESTRICT
    )
    customer: Any = fields.ForeignKeyField(
        "crm.Customer", related_name="audit_entries", null=True, on_delete=fields.RESTRICT
    )
    action = fields.CharField(max_length=60)
    subject_id = fields.UUIDField()
    subject_type = fields.CharField(max_length=40)
    changes: Any = fields.JSONField(db_default={})
    occurred_at = fields.DatetimeField()

    class Meta:
        table = "audit_entries"
        indexes = [
            index("audit_entries_customer", "customer_id", "id"),
            index("audit_entries_subject", "subject_id", "id"),
            index("audit_entries_actor", "actor_id", "id"),
            index("audit_entries_api_key", "api_key_id", "id"),
        ]
