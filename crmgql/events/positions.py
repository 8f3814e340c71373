"""The order of events, in SQL: the relay's pass, and pages of events by position.

Always holds: positions rise by one, an event has at most one, and a transaction's events are neighbours.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from crmgql.db import Connection
from crmgql.events import cursors
from crmgql.events.cursors import NO_EVENT, START, Cursor

PLACE = "SELECT feed_pass()"
WAITING = """
EXISTS (SELECT FROM feed, events WHERE transaction_id >= (pg_snapshot_xmax(pass)::text::bigint + base)::text::xid8)
OR EXISTS (
    SELECT FROM feed, pg_snapshot_xip(pass) AS xip, events
    WHERE transaction_id = (xip::text::bigint + base)::text::xid8)"""
"""Whether events wait for a pass."""

HEAD = "SELECT epoch, position, event_id FROM feed"
STANDING = """
SELECT epoch, position, event_id, (SELECT event_id FROM event_positions WHERE position = $1) AS held,
    (SELECT max(last_position) FROM event_checkpoints WHERE relation = 'events') AS dropped
FROM feed"""
COLUMNS = """p.position, p.epoch, p.event_id, p.is_last, e.kind, e.kind_version, e.subject_type, e.subject_id,
    e.customer_id, e.actor_id, e.changed, e.occurred_at, e.transaction_id::text AS transaction"""
PAGE = f"""
WITH p AS MATERIALIZED (
    SELECT * FROM event_positions WHERE position BETWEEN $1::bigint AND $1::bigint + $2::bigint
    ORDER BY position LIMIT $2::bigint + 1)
SELECT {COLUMNS} FROM p CROSS JOIN LATERAL (SELECT * FROM events WHERE id = p.event_id LIMIT 1) e"""
"""The limits say what PostgreSQL can't know: few positions, and one event for each. Else it reads all events for a page."""

PAGE_OF_KINDS = (
    f"{PAGE} WHERE e.kind = ANY ($3) OR p.position IN ($1, (SELECT max(position) FROM p)) ORDER BY p.position"
)
PAGE_OF_ALL = f"{PAGE} ORDER BY p.position"


BACKLOG = """
SELECT coalesce((SELECT position FROM feed), 0) AS position, (
    SELECT min(occurred_at) FROM (
        SELECT occurred_at FROM feed, events WHERE transaction_id >= (pg_snapshot_xmax(pass)::text::bigint + base)::text::xid8
        UNION ALL
        SELECT occurred_at FROM feed, pg_snapshot_xip(pass) AS xip, events
        WHERE transaction_id = (xip::text::bigint + base)::text::xid8) waiting) AS oldest"""


@dataclass(frozen=True, slots=True)
class Backlog:
    """The newest position, and since when the oldest event waits for one; None: none does."""

    position: int
    oldest: datetime | None


@dataclass(frozen=True, slots=True)
class Placed:
    """An event with its position. `changed`: columns. `is_last`: it is its transaction's last."""

    position: int
    epoch: int
    event_id: UUID
    is_last: bool
    kind: str
    kind_version: int
    subject_type: str
    subject_id: UUID
    customer_id: UUID | None
    actor_id: UUID | None
    changed: Sequence[str]
    occurred_at: datetime
    transaction: str

    @property
    def cursor(self) -> Cursor:
        return Cursor(self.epoch, self.position, self.event_id)


@dataclass(frozen=True, slots=True)
class Page:
    """Events in their order, of the kinds that were asked for, from `start` to behind the last position that was looked at.

    `whole`: behind the last transaction that is known to end in it; `end` may be in the middle of one.
    """

    start: Cursor
    events: list[Placed]
    end: Cursor
    whole: Cursor | None = None

    def until(self, number: int) -> Page:
        """Its beginning, of so many events: one at least."""
        events = self.events[:number]
        return Page(self.start, events, events[-1].cursor, _whole(events))


async def place(connection: Connection) -> int:
    """One pass of the relay. Returns the newest position."""
    return await connection.fetchval(PLACE)  # type: ignore[no-any-return]


async def backlog(connection: Connection) -> Backlog:
    return Backlog(*await connection.fetchrow(BACKLOG))


async def head(connection: Connection) -> Cursor:
    """The newest cursor."""
    return _head(await connection.fetchrow(HEAD))


async def check(connection: Connection, cursor: Cursor) -> None:
    """Raises `CursorExpired` and `CursorOfAnotherHistory`."""
    found = await connection.fetchrow(STANDING, cursor.position)
    newest = _head(found)
    dropped = 0 if found is None else found["dropped"] or 0
    held = None if found is None else found["held"]
    if cursor.position == 0 and cursor.event_id == NO_EVENT and not dropped:
        return
    if held == cursor.event_id:
        return
    if cursor.position <= dropped:
        raise cursors.expired(newest.text())
    raise cursors.of_another_history(newest.text())


async def page(connection: Connection, after: Cursor, *, width: int, kinds: Collection[str] | None = None) -> Page:
    """The events of the next `width` positions. Raises `CursorExpired` and `CursorOfAnotherHistory`."""
    if kinds is None:
        rows = await connection.fetch(PAGE_OF_ALL, after.position, width)
    else:
        rows = await connection.fetch(PAGE_OF_KINDS, after.position, width, list(kinds))
    anchored = bool(rows) and rows[0]["position"] == after.position and rows[0]["event_id"] == after.event_id
    if not anchored:
        await check(connection, after)
    events = [Placed(*row) for row in (rows[1:] if anchored else rows)]
    end = events[-1].cursor if events else after
    whole = _whole(events)
    if kinds is not None:
        events = [event for event in events if event.kind in kinds]
    return Page(after, events, end, whole)


def _whole(events: Sequence[Placed]) -> Cursor | None:
    return next((event.cursor for event in reversed(events) if event.is_last), None)


def _head(row: Any) -> Cursor:
    if row is None or row["position"] == 0:
        return START
    return Cursor(row["epoch"], row["position"], row["event_id"])
