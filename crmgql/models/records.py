"""Records that verbs keep for themselves: what a request with an idempotency key came to."""

from __future__ import annotations

from typing import Any

from tortoise import fields

from crmgql.models.base import Record, index, unique


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
        indexes = [index("idempotency_records_created", "created_at", "id")]
