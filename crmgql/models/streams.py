"""Subscriptions to events that have a name, the documents that are registered for them, and exports."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from tortoise import fields

from crmgql.models.base import (
    CompositeKey,
    Editable,
    Record,
    TextArrayField,
    check,
    index,
    one_of,
    origin_unique,
    unique,
)

LEASED = "num_nulls(lease_token, lease_until, pulled) IN (0, 3) AND (lease_by IS NULL OR lease_token IS NOT NULL)"


class DocumentPurpose(StrEnum):
    """PAYLOAD: a fragment on `Event`, which says what a subscription delivers."""

    PAYLOAD = "PAYLOAD"


class ReadAs(StrEnum):
    """EVENT: what the event itself recorded, the same whenever it is read. DELIVERY: records as they are when it is read."""

    EVENT = "EVENT"
    DELIVERY = "DELIVERY"


class RegisteredDocument(Record):
    """A GraphQL document, kept once by the SHA-256 of its text in hexadecimal digits. It never changes."""

    hash = fields.CharField(max_length=64)
    text = fields.TextField()
    purpose = fields.CharField(max_length=20)
    created_by: Any = fields.ForeignKeyField("crm.User", related_name="documents", null=True, on_delete=fields.RESTRICT)

    class Meta:
        table = "documents"
        constraints = [
            unique("documents_hash", "hash"),
            check("documents_hash_of_text", "hash = encode(sha256(convert_to(text, 'UTF8')), 'hex')"),
            check("documents_purpose", one_of("purpose", DocumentPurpose)),
            check("documents_length", "length(text) <= 16384"),
        ]
        indexes = [index("documents_created_by", "created_by_id", "id")]


class EventSubscription(Editable):
    """What somebody follows: which events, what of them, as whom, and how far it has come.

    The owner's rights decide what is read, within `scopes` where an API key made it. `cursor` is the managed cursor: what
    is before it is committed; `pulled` is how far the holder of the lease was handed events.
    """

    name = fields.CharField(max_length=100)
    owner: Any = fields.ForeignKeyField("crm.User", related_name="event_subscriptions", on_delete=fields.RESTRICT)
    scopes: Any = TextArrayField(null=True)
    document_hash = fields.CharField(max_length=64)
    kinds = TextArrayField(db_default=[])
    watched = TextArrayField(source_field="fields", db_default=[])
    condition: Any = fields.JSONField(source_field="filter", null=True)
    read_as = fields.CharField(max_length=10, db_default="DELIVERY")
    active = fields.BooleanField(db_default=True)
    cursor = fields.CharField(max_length=60)
    position = fields.BigIntField()
    lease_by: Any = fields.CharField(max_length=100, null=True)
    lease_token: Any = fields.CharField(max_length=43, null=True)
    lease_until: Any = fields.DatetimeField(null=True)
    pulled: Any = fields.CharField(max_length=60, null=True)
    deleted_at: Any = fields.DatetimeField(null=True)

    class Meta:
        table = "event_subscriptions"
        generated = {"position": "('x' || substr(cursor, 13, 16))::bit(64)::bigint"}
        composite_keys = [CompositeKey("event_subscriptions_document", ("document_hash",), "documents", ("hash",))]
        constraints = [
            origin_unique("event_subscriptions"),
            unique("event_subscriptions_name", "owner_id", "name", where="deleted_at IS NULL"),
            check("event_subscriptions_read_as", one_of("read_as", ReadAs)),
            check("event_subscriptions_cursor", "cursor ~ '^evc_[0-9a-f]{56}$'"),
            check("event_subscriptions_leased", LEASED),
        ]
        indexes = [
            index("event_subscriptions_owner", "owner_id", "id"),
            index("event_subscriptions_document", "document_hash"),
            index("event_subscriptions_created", "created_at", "id"),
        ]


class Export(Record):
    """All records of a type that its owner sees and a filter lets through, of one moment.

    `document` says what is wanted of each. `scopes` are those of the API key that asked, `roles` those that the owner had when
    it was written. `cursor` is where the feed stood at that moment. Without `finished_at` it is still being written.
    """

    owner: Any = fields.ForeignKeyField("crm.User", related_name="exports", on_delete=fields.RESTRICT)
    job: Any = fields.ForeignKeyField("crm.Job", related_name="exports", null=True, on_delete=fields.RESTRICT)
    record_type = fields.CharField(max_length=40)
    document = fields.TextField()
    condition: Any = fields.JSONField(source_field="filter", null=True)
    scopes: Any = TextArrayField(null=True)
    roles: Any = TextArrayField(null=True)
    record_count = fields.BigIntField(db_default=0)
    size_bytes = fields.BigIntField(db_default=0)
    crc32: Any = fields.BigIntField(null=True)
    cursor: Any = fields.CharField(max_length=60, null=True)
    started_at: Any = fields.DatetimeField(null=True)
    finished_at: Any = fields.DatetimeField(null=True)
    expires_at: Any = fields.DatetimeField(null=True)

    class Meta:
        table = "exports"
        constraints = [
            check("exports_document_length", "length(document) <= 16384"),
            check("exports_finished", "(finished_at IS NULL) = (expires_at IS NULL)"),
            check("exports_whole", "finished_at IS NULL OR num_nulls(cursor, roles, crc32) = 0"),
        ]
        indexes = [
            index("exports_owner", "owner_id", "id"),
            index("exports_job", "job_id"),
            index("exports_created", "created_at", "id"),
            index("exports_expires", "expires_at"),
        ]


class ExportChunk(Record):
    """Some of an export's lines, compressed."""

    export: Any = fields.ForeignKeyField("crm.Export", related_name="chunks", on_delete=fields.RESTRICT)
    number = fields.IntField()
    body = fields.BinaryField()

    class Meta:
        table = "export_chunks"
        constraints = [unique("export_chunks_number", "export_id", "number")]
