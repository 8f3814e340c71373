"""Pings: a request of the type `webhook.ping`, by which an integrator sees that requests arrive and signatures verify."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import orjson

from crmgql.domain.jobs import jobs
from crmgql.domain.jobs import kinds as job_kinds
from crmgql.domain.webhooks import dispatching, endpoints, signatures
from crmgql.domain.webhooks.attempts import Tried, record, tried
from crmgql.models import WebhookEndpoint
from crmgql.outbound import targets
from crmgql.outbound.client import Client
from crmgql.records import records
from crmgql.records.records import Act, Row

KIND = "webhook.ping"
FIND = "SELECT * FROM webhook_endpoints WHERE id = $1 AND verified_at IS NOT NULL AND status <> 'DELETED'"


async def ping(act: Act, *, id: UUID, expected_version: int | None = None) -> UUID:
    """Has a ping sent, also to an endpoint that is paused or disabled; the log says what came of it. Raises `IllegalTransition`."""
    endpoint, _ = await endpoints.lock(act, "ping", id, expected_version)
    await records.change(act, WebhookEndpoint, endpoint, {}, kind="webhookEndpoint.pinged", touch=True)
    await jobs.enqueue(act, job_kinds.WEBHOOK_PING, job_kinds.PingOf(endpoint_id=id))
    return id


async def pending(act: Act, *, id: UUID) -> Row | None:
    row = await act.tx.connection.fetchrow(FIND, id)
    return None if row is None else dict(row)


async def send(client: Client, endpoint: Row, *, now: datetime) -> Tried:
    """Outside of any transaction."""
    message_id = f"msg_{uuid4().hex}"
    body = orjson.dumps({"id": message_id, "type": KIND, "timestamp": now, "data": {}}).decode()
    pairs = dispatching.pairs(endpoint, now=now)
    headers = signatures.headers(message_id, body, pairs, now=now, ed25519=endpoint["ed25519"])
    came = await client.post(targets.target(endpoint["url"]), headers, body.encode())
    return tried(endpoint, message_id, KIND, headers, body, came, now=now)


async def finish(act: Act, sent: Tried) -> dict[str, Any]:
    """Logs it. Returns the job's result."""
    await record(act.tx.connection, [sent])
    return {"accepted": sent.accepted, "status": sent.response_status, "latencyMs": sent.latency_ms}
