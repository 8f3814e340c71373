"""Webhooks: endpoints that get events, what is under way to them, and a log of every attempt."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from tortoise import fields

from crmgql.models.base import Editable, Record, TextArrayField, check, index, one_of, origin_unique, partial, unique


class WebhookStatus(StrEnum):
    """PENDING: it has not answered its challenge yet. DISABLED: the system stopped it; `status_reason` says why."""

    PENDING = "PENDING"
    ACTIVE = "ACTIVE"
    PAUSED = "PAUSED"
    DISABLED = "DISABLED"
    DELETED = "DELETED"


class WebhookOrder(StrEnum):
    """Among which events the order is kept: all of the endpoint's, those of a customer, or those of a record."""

    ENDPOINT = "ENDPOINT"
    CUSTOMER = "CUSTOMER"
    SUBJECT = "SUBJECT"


class WebhookPayload(StrEnum):
    """WHOLE: with the event's data. THIN: ids only, for those who fetch."""

    WHOLE = "WHOLE"
    THIN = "THIN"


class WebhookDeliveryStatus(StrEnum):
    """WAITING: behind an earlier one of its line. RETRY: tried, to be tried again. DEAD: given up."""

    WAITING = "WAITING"
    RETRY = "RETRY"
    DELIVERED = "DELIVERED"
    DEAD = "DEAD"


class WebhookEndpoint(Editable):
    """A URL that gets events, as its owner may see them; within the scopes of `api_key` if that made it.

    `fields` are those whose change counts. `key_salt` is what its keys are derived from, the old one's are used
    beside them until `old_key_until`. The dispatcher writes the second half, without a new `version`: `cursor` is the last
    event that is delivered or has a delivery's row, `failures` are those in a row since `failing_since`, and until
    `retry_at` nothing is sent.
    """

    url = fields.CharField(max_length=500)
    description: Any = fields.CharField(max_length=500, null=True)
    kinds = TextArrayField(db_default=[])
    watched = TextArrayField(source_field="fields", db_default=[])
    api_version = fields.CharField(max_length=10)
    order_by = fields.CharField(max_length=10, db_default="ENDPOINT")
    payload = fields.CharField(max_length=10, db_default="WHOLE")
    ed25519 = fields.BooleanField(db_default=False)
    owner: Any = fields.ForeignKeyField("crm.User", related_name="webhook_endpoints", on_delete=fields.RESTRICT)
    api_key: Any = fields.ForeignKeyField("crm.ApiKey", related_name=False, null=True, on_delete=fields.RESTRICT)
    subscription_id: Any = fields.UUIDField(null=True)
    status = fields.CharField(max_length=10, db_default="PENDING")
    status_reason: Any = fields.CharField(max_length=300, null=True)
    challenged_at: Any = fields.DatetimeField(null=True)
    verified_at: Any = fields.DatetimeField(null=True)
    key_salt = fields.CharField(max_length=32)
    public_key = fields.CharField(max_length=60)
    old_key_salt: Any = fields.CharField(max_length=32, null=True)
    old_public_key: Any = fields.CharField(max_length=60, null=True)
    old_key_until: Any = fields.DatetimeField(null=True)

    cursor = fields.CharField(max_length=60)
    failures = fields.IntField(db_default=0)
    failing_since: Any = fields.DatetimeField(null=True)
    retry_at: Any = fields.DatetimeField(null=True)
    delivered_at: Any = fields.DatetimeField(null=True)
    lease_by: Any = fields.UUIDField(null=True)
    lease_until: Any = fields.DatetimeField(null=True)

    class Meta:
        table = "webhook_endpoints"
        constraints = [
            origin_unique("webhook_endpoints"),
            check("webhook_endpoints_status", one_of("status", WebhookStatus)),
            check("webhook_endpoints_order_by", one_of("order_by", WebhookOrder)),
            check("webhook_endpoints_payload", one_of("payload", WebhookPayload)),
            check("webhook_endpoints_active", "status <> 'ACTIVE' OR verified_at IS NOT NULL"),
            check("webhook_endpoints_old_key", "num_nulls(old_key_salt, old_public_key, old_key_until) IN (0, 3)"),
            check("webhook_endpoints_failing", "(failures = 0) = (failing_since IS NULL)"),
            check("webhook_endpoints_lease", "(lease_by IS NULL) = (lease_until IS NULL)"),
        ]
        indexes = [
            index("webhook_endpoints_owner", "owner_id", "id"),
            partial("webhook_endpoints_api_key", "api_key_id IS NOT NULL", "api_key_id", "id"),
            index("webhook_endpoints_created", "created_at", "id"),
            partial("webhook_endpoints_active_ones", "status = 'ACTIVE'", "id"),
        ]


class WebhookDelivery(Record):
    """An event that an endpoint did not accept at its first attempt, or that waits behind one. `line`: whose order it keeps.

    `message_id` is the event's id, `evt_…`, as the receiver has it.
    """

    endpoint: Any = fields.ForeignKeyField("crm.WebhookEndpoint", related_name="deliveries", on_delete=fields.RESTRICT)
    message_id = fields.CharField(max_length=40)
    position = fields.BigIntField()
    kind = fields.CharField(max_length=60)
    line = fields.UUIDField()
    status = fields.CharField(max_length=10)
    attempts = fields.IntField(db_default=0)
    next_attempt_at: Any = fields.DatetimeField(null=True)
    finished_at: Any = fields.DatetimeField(null=True)

    class Meta:
        table = "webhook_deliveries"
        constraints = [
            unique("webhook_deliveries_once", "endpoint_id", "message_id"),
            check("webhook_deliveries_status", one_of("status", WebhookDeliveryStatus)),
            check("webhook_deliveries_finished", "(finished_at IS NULL) = (status IN ('WAITING', 'RETRY'))"),
            check("webhook_deliveries_due", "(next_attempt_at IS NULL) = (status <> 'RETRY')"),
        ]
        indexes = [
            partial("webhook_deliveries_open", "status IN ('WAITING', 'RETRY')", "endpoint_id", "position"),
            partial("webhook_deliveries_due", "status = 'RETRY'", "next_attempt_at"),
            partial("webhook_deliveries_ended", "finished_at IS NOT NULL", "finished_at", "id"),
            index("webhook_deliveries_endpoint", "endpoint_id", "id"),
        ]


class WebhookAttempt(Record):
    """One request to an endpoint, and what came of it. `message_id` is the event's id, `evt_…`, or of a challenge or ping `msg_…`.

    Of the body only its SHA-256 is kept: it is personal, and the event still has it.
    """

    endpoint: Any = fields.ForeignKeyField("crm.WebhookEndpoint", related_name="attempts", on_delete=fields.RESTRICT)
    message_id = fields.CharField(max_length=40)
    kind = fields.CharField(max_length=60)
    number = fields.IntField()
    url = fields.CharField(max_length=500)
    request_headers: Any = fields.JSONField(db_default={})
    request_sha256 = fields.CharField(max_length=64)
    response_status: Any = fields.IntField(null=True)
    response_headers: Any = fields.JSONField(null=True)
    response_body: Any = fields.TextField(null=True)
    latency_ms = fields.IntField()
    accepted = fields.BooleanField()
    error_code: Any = fields.CharField(max_length=30, null=True)
    error_message: Any = fields.CharField(max_length=500, null=True)
    attempted_at = fields.DatetimeField()

    class Meta:
        table = "webhook_attempts"
        constraints = [
            check("webhook_attempts_answer", "(response_status IS NULL) = (error_code IS NOT NULL AND NOT accepted)"),
            check("webhook_attempts_body_length", "length(response_body) <= 4096"),
        ]
        indexes = [
            index("webhook_attempts_endpoint", "endpoint_id", "id"),
            index("webhook_attempts_message", "message_id", "id"),
            index("webhook_attempts_created", "created_at", "id"),
        ]
