"""The outbox and the audit trail (append-only), idempotency records, import runs."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from tortoise import fields

from crmgql.models.base import Record, check, index, unique
from crmgql.models.customers import one_of


class Event(Record):
    """Something that happened, written in the transaction that did it. `position` is given in commit order."""

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


class IdempotencyRecord(Record):
    """The outcome of a mutation under a client's key. Same body: same record again; other body: a conflict."""

    actor: Any = fields.ForeignKeyField("crm.User", related_name="idempotency_records", on_delete=fields.RESTRICT)
    key = fields.CharField(max_length=200)
    mutation = fields.CharField(max_length=60)
    request_hash = fields.CharField(max_length=64)
    result: Any = fields.JSONField()

    class Meta:
        table = "idempotency_records"
        constraints = [unique("idempotency_records_key", "actor_id", "key")]


class ImportStatus(StrEnum):
    RUNNING = "RUNNING"
    DONE = "DONE"


class ImportRun(Record):
    """How far one step of an import came; written in the transaction of each batch, so that a rerun resumes."""

    source = fields.CharField(max_length=50)
    step = fields.CharField(max_length=100)
    fingerprint = fields.CharField(max_length=64)
    status = fields.CharField(max_length=20)
    lines_done = fields.BigIntField(db_default=0)
    accepted = fields.BigIntField(db_default=0)
    rejected = fields.BigIntField(db_default=0)
    finished_at: Any = fields.DatetimeField(null=True)

    class Meta:
        table = "import_runs"
        constraints = [
            unique("import_runs_step", "source", "step", "fingerprint"),
            check("import_runs_status", one_of("status", ImportStatus)),
        ]
