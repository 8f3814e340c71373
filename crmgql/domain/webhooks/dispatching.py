"""Endpoints as the dispatcher has them: leased, read, written, given back. SQL and nothing else.

Always holds: one process at a time sends to an endpoint, as long as its lease lasts; what it writes counts only if it still
holds it. A lease that is not given back runs out, and whoever takes the endpoint then goes on from what is written.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from crmgql.db import Connection
from crmgql.domain.jobs import queues
from crmgql.domain.webhooks.keys import KEYS, Pair
from crmgql.domain.webhooks.messages import Message
from crmgql.events.cursors import Cursor
from crmgql.viewer import Clock, Viewer, Who

LEASE = timedelta(seconds=10)
WORK = """e.status = 'ACTIVE' AND (e.lease_until IS NULL OR e.lease_until < {now}) AND (e.retry_at IS NULL OR e.retry_at <= {now})
    AND (e.lease_by IS NOT NULL
        OR substr(e.cursor, 13, 16) < (SELECT lpad(to_hex(position), 16, '0') FROM feed)
        OR EXISTS (SELECT FROM webhook_deliveries d
            WHERE d.endpoint_id = e.id AND d.status = 'RETRY' AND d.next_attempt_at <= {now}))"""
"""Whether an endpoint that nobody holds has something to send: an event behind its position, or one to try again."""

queues.watch("webhooks", f"EXISTS (SELECT FROM webhook_endpoints e WHERE {WORK.format(now='$2')})")

TAKE = f"""
WITH free AS (
    SELECT id FROM webhook_endpoints e WHERE {WORK.format(now="$2")}
    ORDER BY random() LIMIT $4 FOR NO KEY UPDATE SKIP LOCKED)
UPDATE webhook_endpoints e SET lease_by = $1, lease_until = $3 FROM free WHERE e.id = free.id RETURNING e.id"""
LOOK = """
SELECT e.*, u.active AS owner_active, u.roles AS owner_roles, k.scopes AS key_scopes,
    k.revoked_at IS NOT NULL OR k.expires_at <= $3 AS key_ended,
    coalesce(s.kinds, e.kinds) AS wanted_kinds, coalesce(s.fields, e.fields) AS wanted_fields,
    NOT s.active AS subscription_ended
FROM webhook_endpoints e JOIN users u ON u.id = e.owner_id LEFT JOIN api_keys k ON k.id = e.api_key_id
LEFT JOIN event_subscriptions s ON s.id = e.subscription_id
WHERE e.id = $1 AND e.lease_by = $2"""
ADVANCE = """
UPDATE webhook_endpoints SET lease_until = $3, cursor = $4, failures = $5, failing_since = $6, retry_at = $7, delivered_at = $8
WHERE id = $1 AND lease_by = $2 RETURNING true"""
RELEASE = """
UPDATE webhook_endpoints SET lease_by = CASE WHEN $4 THEN lease_by END, lease_until = CASE WHEN $4 THEN $3::timestamptz END
WHERE id = $1 AND lease_by = $2"""
WRITE = """
INSERT INTO webhook_deliveries AS d
    (endpoint_id, created_at, message_id, position, kind, line, status, attempts, next_attempt_at, finished_at)
SELECT $1, $2, * FROM unnest($3::text[], $4::bigint[], $5::text[], $6::uuid[], $7::text[], $8::int[], $9::timestamptz[], $10::timestamptz[])
ON CONFLICT (endpoint_id, message_id) DO UPDATE SET status = excluded.status, attempts = excluded.attempts,
    next_attempt_at = excluded.next_attempt_at, finished_at = excluded.finished_at
WHERE d.endpoint_id = $1"""
OPEN = "endpoint_id = $1 AND status IN ('WAITING', 'RETRY')"
HELD = f"""
SELECT DISTINCT ON (line) line, next_attempt_at FROM webhook_deliveries WHERE {OPEN} ORDER BY line, position"""
IN_LINE = f"""
SELECT message_id, attempts, created_at FROM webhook_deliveries WHERE {OPEN} AND line = $2 ORDER BY position LIMIT $3"""


GIVE_UP = """
UPDATE webhook_deliveries SET status = 'DEAD', next_attempt_at = NULL, finished_at = $3
WHERE endpoint_id = $1 AND message_id = ANY ($2)"""


class LeaseLost(Exception):
    """Somebody else holds the endpoint: it took this process too long to answer."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """What is written of a message that was not accepted at once."""

    message: Message
    status: str
    next_attempt_at: datetime | None = None
    finished_at: datetime | None = None

    def values(self) -> tuple[Any, ...]:
        message = self.message
        about = (message.id, message.cursor.position, message.kind, message.line)
        return (*about, self.status, message.attempts, self.next_attempt_at, self.finished_at)


@dataclass(slots=True)
class Health:
    """How an endpoint has been answering."""

    failures: int = 0
    failing_since: datetime | None = None
    retry_at: datetime | None = None
    delivered_at: datetime | None = None

    def values(self) -> tuple[Any, ...]:
        return (self.failures, self.failing_since, self.retry_at, self.delivered_at)


async def take(connection: Connection, holder: UUID, *, now: datetime, limit: int) -> list[UUID]:
    """Leases endpoints that have something to send; their ids."""
    return [row["id"] for row in await connection.fetch(TAKE, holder, now, now + LEASE, limit)]


async def look(connection: Connection, id: UUID, holder: UUID, *, now: datetime) -> Any:
    """The endpoint as it is now, with its owner's roles. Raises `LeaseLost`."""
    row = await connection.fetchrow(LOOK, id, holder, now)
    if row is None:
        raise LeaseLost
    return row


def viewer(endpoint: Any, clock: Clock) -> Viewer:
    """Whose rules decide what it gets."""
    scopes = None if endpoint["key_scopes"] is None else frozenset(endpoint["key_scopes"])
    return Viewer(endpoint["owner_id"], Who(frozenset(endpoint["owner_roles"]), scopes), endpoint["api_key_id"], clock)


def ended(endpoint: Any) -> str | None:
    """Why nothing can be sent to it any more."""
    if not endpoint["owner_active"]:
        return "Its owner is not active any more."
    if endpoint["key_ended"]:
        return "The API key that made it was revoked or has expired."
    if endpoint["subscription_ended"]:
        return "Its subscription was switched off or deleted."
    if KEYS.pair(endpoint["key_salt"]).public_key != endpoint["public_key"]:
        return "CRMGQL_SECRET_KEY is another one than before: give it a new secret."
    return None


def pairs(endpoint: Any, *, now: datetime) -> list[Pair]:
    """What its requests are signed with now: of the old secret too while it is being rotated."""
    salts = [endpoint["key_salt"]]
    if endpoint["old_key_until"] is not None and now < endpoint["old_key_until"]:
        salts.append(endpoint["old_key_salt"])
    return [KEYS.pair(salt) for salt in salts]


async def advance(
    connection: Connection,
    id: UUID,
    holder: UUID,
    cursor: Cursor,
    health: Health,
    deliveries: Sequence[Delivery],
    *,
    now: datetime,
) -> None:
    """Writes how far it is and what was not accepted, and extends the lease. Raises `LeaseLost`."""
    if not await connection.fetchval(ADVANCE, id, holder, now + LEASE, cursor.text(), *health.values()):
        raise LeaseLost
    if deliveries:
        await connection.execute(WRITE, id, now, *map(list, zip(*(each.values() for each in deliveries), strict=True)))


async def release(connection: Connection, id: UUID, holder: UUID, *, now: datetime, unfinished: bool) -> None:
    """Gives the endpoint back. `unfinished`: whoever looks next finds something to do."""
    await connection.execute(RELEASE, id, holder, now, unfinished)


async def held(connection: Connection, id: UUID, *, now: datetime) -> dict[UUID, datetime]:
    """The lines with an open delivery, and when the first one of each is due."""
    return {row["line"]: row["next_attempt_at"] or now for row in await connection.fetch(HELD, id)}


async def in_line(connection: Connection, id: UUID, line: UUID, *, limit: int) -> list[Any]:
    """The first open deliveries of a line."""
    return await connection.fetch(IN_LINE, id, line, limit)  # type: ignore[no-any-return]


async def give_up(connection: Connection, id: UUID, message_ids: Sequence[str], *, now: datetime) -> None:
    """Ends deliveries that nothing can be sent of any more."""
    await connection.execute(GIVE_UP, id, message_ids, now)
