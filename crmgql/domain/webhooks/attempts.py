"""The log of attempts: each request to an endpoint, what came back, how long it took.

Enters: what was sent, and an `Answer` or `Failure`. Leaves: rows, many by one statement. Signatures and challenges are
left out of the headers; of the body only its SHA-256 is kept.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson

from crmgql.db import Connection, Transaction
from crmgql.outbound.client import Answer, Failure, Headers
from crmgql.records import purges
from crmgql.records.records import Row

UNLOGGED = frozenset({"webhook-signature", "webhook-challenge", "set-cookie"})
RECORD = """
INSERT INTO webhook_attempts (endpoint_id, message_id, kind, number, url, request_headers, request_sha256,
    response_status, response_headers, response_body, latency_ms, accepted, error_code, error_message, attempted_at)
SELECT endpoint_id, message_id, kind, number, url, request_headers::jsonb, request_sha256,
    response_status, response_headers::jsonb, response_body, latency_ms, accepted, error_code, error_message, attempted_at
FROM unnest($1::uuid[], $2::text[], $3::text[], $4::int[], $5::text[], $6::text[], $7::text[], $8::int[], $9::text[],
    $10::text[], $11::int[], $12::boolean[], $13::text[], $14::text[], $15::timestamptz[]) AS tried (
    endpoint_id, message_id, kind, number, url, request_headers, request_sha256, response_status, response_headers,
    response_body, latency_ms, accepted, error_code, error_message, attempted_at)"""

PURGE = purges.sql("webhook_attempts", "created_at < $1", order="created_at")
PURGE_DELIVERIES = purges.sql("webhook_deliveries", "finished_at < $1", order="finished_at")


@dataclass(frozen=True, slots=True)
class Tried:
    """A row of the log, in the order of its columns."""

    endpoint_id: UUID
    message_id: str
    kind: str
    number: int
    url: str
    request_headers: str
    request_sha256: str
    response_status: int | None
    response_headers: str | None
    response_body: str | None
    latency_ms: int
    accepted: bool
    error_code: str | None
    error_message: str | None
    attempted_at: datetime

    def values(self) -> tuple[Any, ...]:
        return tuple(getattr(self, name) for name in self.__slots__)


def tried(
    endpoint: Row,
    message_id: str,
    kind: str,
    headers: Headers,
    body: str,
    came: Answer | Failure,
    *,
    now: datetime,
    number: int = 1,
) -> Tried:
    sent = orjson.dumps({name: value for name, value in headers if name not in UNLOGGED}).decode()
    digest = hashlib.sha256(body.encode()).hexdigest()
    about = (endpoint["id"], message_id, kind, number, endpoint["url"], sent, digest)
    if isinstance(came, Failure):
        return Tried(*about, None, None, None, came.latency_ms, False, came.code, came.message[:500], now)
    got = orjson.dumps(
        {name: _storable(value) for name, value in came.headers.items() if name not in UNLOGGED}
    ).decode()
    text = _storable(came.body.decode("utf-8", "replace"))
    return Tried(*about, came.status, got, text, came.latency_ms, came.is_accepted, None, None, now)


async def record(connection: Connection, rows: Sequence[Tried]) -> None:
    """Writes the rows, by one statement."""
    if rows:
        await connection.execute(RECORD, *map(list, zip(*(row.values() for row in rows), strict=True)))


def _storable(text: str) -> str:
    """PostgreSQL's texts have no NUL."""
    return text.replace("\x00", "\ufffd")


async def purge(tx: Transaction, *, before: datetime, limit: int) -> int:
    """Deletes up to `limit` attempts that are older. Returns how many."""
    return await tx.connection.fetchval(PURGE, before, limit)  # type: ignore[no-any-return]


async def purge_deliveries(tx: Transaction, *, before: datetime, limit: int) -> int:
    """Deletes up to `limit` deliveries that ended earlier, dead letters too. Returns how many."""
    return await tx.connection.fetchval(PURGE_DELIVERIES, before, limit)  # type: ignore[no-any-return]
