"""The outbox and the audit trail, both append-only and by month; where the stream stands; who was erased."""

from __future__ import annotations

from typing import Any

from tortoise import fields
from tortoise.fields.db_defaults import SqlDefault
from tortoise.models import Model

from crmgql.models.base import (
    Record,
    SnapshotField,
    TextArrayField,
    TransactionIdField,
    check,
    index,
    unique,
)

BOTH = "kept || coalesce(personal::jsonb, '{}'::jsonb)"
WHOLE = "(personal IS NULL) = (salt IS NULL) AND (personal IS NULL OR commitment IS NOT NULL)"

PLAIN = " AND ".join(f"{name} !~ '[\\x01-\\x1f\\x7f\\\\]'" for name in ("action", "subject_type", "commitment"))
"""No tab, line break or backslash: the text that is hashed need escape nothing of these."""


class Event(Record):
    """Something that happened, written in the transaction that did it. `payload` is `kept` and `personal` together.

    `personal` and its `salt` go when the person is erased; `commitment`, a hash over both, stays.
    """

    transaction_id = TransactionIdField(db_default=SqlDefault("pg_current_xact_id()"))
    kind = fields.CharField(max_length=60)
    kind_version = fields.IntField(db_default=1)
    customer: Any = fields.ForeignKeyField("crm.Customer", related_name="events", null=True, on_delete=fields.RESTRICT)
    subject_id = fields.UUIDField()
    subject_type = fields.CharField(max_length=40)
    actor: Any = fields.ForeignKeyField("crm.User", related_name="events", null=True, on_delete=fields.RESTRICT)
    changed = TextArrayField(db_default=[])
    kept: Any = fields.JSONField(db_default={})
    personal: Any = fields.TextField(null=True)
    salt: Any = fields.BinaryField(null=True)
    commitment: Any = fields.CharField(max_length=100, null=True)
    payload: Any = fields.JSONField(db_default={})
    occurred_at = fields.DatetimeField()

    class Meta:
        table = "events"
        partitioned = "RANGE (id)"
        generated = {"payload": BOTH}
        constraints = [check("events_personal", WHOLE)]
        indexes = [
            index("events_customer", "customer_id", "id"),
            index("events_subject", "subject_id", "id"),
            index("events_actor", "actor_id", "id"),
            index("events_transaction", "transaction_id"),
        ]


class AuditEntry(Record):
    """Who changed what: the changed columns, before and after. Its id is its event's."""

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
    kept: Any = fields.JSONField(db_default={})
    personal: Any = fields.TextField(null=True)
    salt: Any = fields.BinaryField(null=True)
    commitment: Any = fields.CharField(max_length=100, null=True)
    changes: Any = fields.JSONField(db_default={})
    occurred_at = fields.DatetimeField()

    class Meta:
        table = "audit_entries"
        partitioned = "RANGE (id)"
        generated = {"changes": BOTH}
        constraints = [check("audit_entries_personal", WHOLE), check("audit_entries_plain", PLAIN)]
        indexes = [
            index("audit_entries_customer", "customer_id", "id"),
            index("audit_entries_subject", "subject_id", "id"),
            index("audit_entries_actor", "actor_id", "id"),
            index("audit_entries_api_key", "api_key_id", "id"),
        ]


class EventPosition(Model):
    """An event's place in the stream, in commit order; `is_last`: it is the last one of its transaction."""

    position = fields.BigIntField(primary_key=True, generated=False)
    event_id = fields.UUIDField()
    epoch = fields.IntField()
    is_last = fields.BooleanField()

    class Meta:
        table = "event_positions"
        constraints = [
            unique("event_positions_event", "event_id"),
            check("event_positions_positive", "position > 0"),
        ]


class Feed(Model):
    """Where the relay stands: one row. `pass`: what the last pass saw; `event_id` is that of the newest position.

    `server` and `timeline` say which history the positions are of; `base` is added to this server's transaction numbers.
    """

    id = fields.IntField(primary_key=True, generated=False)
    position = fields.BigIntField()
    event_id: Any = fields.UUIDField(null=True)
    epoch = fields.IntField()
    last_pass = SnapshotField(source_field="pass")
    server = fields.CharField(max_length=40)
    timeline = fields.CharField(max_length=8)
    base = fields.BigIntField()

    class Meta:
        table = "feed"
        constraints = [
            check("feed_one", "id = 1"),
            check("feed_head", "position >= 0 AND (position = 0) = (event_id IS NULL)"),
        ]


class EventCheckpoint(Record):
    """What is kept of a month whose rows were dropped."""

    relation = fields.CharField(max_length=40)
    month = fields.DateField()
    rows = fields.BigIntField()
    first_id: Any = fields.UUIDField(null=True)
    last_id: Any = fields.UUIDField(null=True)
    first_position: Any = fields.BigIntField(null=True)
    last_position: Any = fields.BigIntField(null=True)
    heads: Any = fields.JSONField(db_default={})

    class Meta:
        table = "event_checkpoints"
        constraints = [unique("event_checkpoints_month", "relation", "month")]


class Erasure(Record):
    """A person was erased: by whom, why, when."""

    actor: Any = fields.ForeignKeyField("crm.User", related_name="erasures", null=True, on_delete=fields.RESTRICT)
    reason: Any = fields.CharField(max_length=300, null=True)
    erased_at = fields.DatetimeField()

    class Meta:
        table = "erasures"
        indexes = [index("erasures_actor", "actor_id", "id")]


class Tombstone(Record):
    """A record that was blanked with its person; its rows of events and audit may be blanked too."""

    erasure: Any = fields.ForeignKeyField("crm.Erasure", related_name="tombstones", on_delete=fields.RESTRICT)
    subject_type = fields.CharField(max_length=40)
    subject_id = fields.UUIDField()

    class Meta:
        table = "tombstones"
        indexes = [
            index("tombstones_erasure", "erasure_id", "id"),
            index("tombstones_subject", "subject_id"),
        ]
