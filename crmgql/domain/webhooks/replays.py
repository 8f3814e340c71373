"""Replays: events that an endpoint has behind it are sent again, under the same ids.

Enters: which events. Leaves: an open delivery for each, which the dispatcher sends like any other retry, in the order of its
line. What the owner may not see now is not sent.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from crmgql.domain.webhooks import endpoints
from crmgql.errors import BadUserInput, NotFound
from crmgql.events import cursors, positions, triggers
from crmgql.events.cursors import Cursor
from crmgql.models import WebhookEndpoint
from crmgql.records import records
from crmgql.records.records import Act, Row

MOST = 10_000
MOST_NAMED = 100
LINE = """CASE $2::text WHEN 'ENDPOINT' THEN $1::uuid WHEN 'CUSTOMER' THEN coalesce(e.customer_id, e.subject_id)
    ELSE e.subject_id END"""
AGAIN = """
ON CONFLICT (endpoint_id, message_id) DO UPDATE SET status = 'RETRY', attempts = 0, next_attempt_at = $3, finished_at = NULL,
    created_at = $3
"""
OPEN = f"""
WITH made AS (
    INSERT INTO webhook_deliveries (endpoint_id, message_id, position, kind, line, status, next_attempt_at, created_at)
    SELECT $1, 'evt_' || replace(e.id::text, '-', ''), p.position, e.kind, {LINE}, 'RETRY', $3, $3
    FROM event_positions p JOIN events e ON e.id = p.event_id WHERE {{condition}} {AGAIN} RETURNING 1)
SELECT count(*) FROM made"""
NAMED = OPEN.format(condition="e.id = ANY ($4::uuid[])")
RANGE = OPEN.format(
    condition="""p.position > $4 AND p.position <= $5 AND ($6::text[] IS NULL OR e.kind = ANY ($6))
        AND (cardinality($7::text[]) = 0 OR cardinality(e.changed) = 0 OR e.changed && $7)"""
)
DEAD = """
WITH made AS (
    UPDATE webhook_deliveries SET status = 'RETRY', attempts = 0, next_attempt_at = $2, finished_at = NULL, created_at = $2
    WHERE id IN (SELECT id FROM webhook_deliveries WHERE endpoint_id = $1 AND status = 'DEAD' ORDER BY position LIMIT $3)
    RETURNING 1)
SELECT count(*) FROM made"""


async def replay(
    act: Act,
    *,
    id: UUID,
    events: Sequence[UUID] | None = None,
    after: str | None = None,
    until: str | None = None,
    dead: bool | None = None,
    expected_version: int | None = None,
) -> tuple[UUID, int]:
    """Sends events again: those named, those after a cursor (up to another one), or dead letters. Returns how many.

    Raises `BadUserInput`, `NotFound` for an event that has not come to the endpoint's position yet, and what is wrong with a cursor.
    """
    endpoint, _ = await endpoints.lock(act, "replay", id, expected_version)
    if sum((events is not None, after is not None, bool(dead))) != 1:
        raise BadUserInput("Say what to send again with one of events, after and dead.", field="events")
    if until is not None and after is None:
        raise BadUserInput("A range begins after a cursor: name it in after.", field="until")
    if events is not None:
        count = await _named(act, endpoint, events)
    elif after is not None:
        count = await _range(act, endpoint, cursors.parse(after), None if until is None else cursors.parse(until))
    else:
        count = await act.tx.connection.fetchval(DEAD, id, act.now, MOST)
    await records.change(act, WebhookEndpoint, endpoint, {}, kind="webhookEndpoint.replayed", touch=True)
    return id, count


async def _named(act: Act, endpoint: Row, events: Sequence[UUID]) -> int:
    wanted = list(dict.fromkeys(events))
    if not 1 <= len(wanted) <= MOST_NAMED:
        raise BadUserInput(f"Name 1 to {MOST_NAMED} events.", field="events")
    count = await act.tx.connection.fetchval(NAMED, *_about(act, endpoint), wanted)
    if count != len(wanted):
        raise NotFound("One of these events is not in the feed.", field="events")
    return count  # type: ignore[no-any-return]


async def _range(act: Act, endpoint: Row, after: Cursor, until: Cursor | None) -> int:
    """What comes after the endpoint's own position comes anyway."""
    for cursor in (after, until):
        if cursor is not None:
            await positions.check(act.tx.connection, cursor)
    last = cursors.parse(endpoint["cursor"]).position
    last = last if until is None else min(last, until.position)
    if last - after.position > MOST:
        raise BadUserInput(
            f"There are {last - after.position} positions in this range; at most {MOST} fit: name an earlier until.",
            field="until",
        )
    wanted = triggers.of(endpoint["kinds"], endpoint["fields"])
    kinds = wanted.kinds()
    listed = None if kinds is None else list(kinds)
    values: tuple[Any, ...] = (after.position, last, listed, list(wanted.fields))
    return await act.tx.connection.fetchval(RANGE, *_about(act, endpoint), *values)  # type: ignore[no-any-return]


def _about(act: Act, endpoint: Row) -> tuple[Any, ...]:
    return endpoint["id"], endpoint["order_by"], act.now
