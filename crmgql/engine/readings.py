"""How channels read events: with one statement for many, under the rights of those who follow, as bodies of answers.

Enters: events with their positions. Leaves: of each that may be seen its answer, and of each whose subject left the followers'
sight only that. Always holds: what takes too long is read in halves; however long the database is away, nothing is left out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import asyncpg

from crmgql.access.sights import ENTERED, SEEN
from crmgql.db import Database
from crmgql.errors import DATABASES_OWN, TimedOut
from crmgql.events.cursors import Cursor
from crmgql.events.positions import Placed
from crmgql.models.names import api_id

MOST_AT_ONCE = 500
"""Events read by one statement."""

PAUSE_S = 1.0
SHARED_S = 1.0
"""How long rows stay for others who ask for the same."""

TRIES = 3
"""How often an event is read that takes too long, before its subscribers get an error in its place."""

TOOK_TOO_LONG = b'{"data":null,"errors":[{"message":"Reading this event took too long; ask for less of it.","extensions":{"code":"TIMEOUT"}}]}'

NONE: frozenset[str] = frozenset()
Values = Callable[[Sequence[UUID], str], list[Any]]
"""Ids of events, and what these did to the sight of their subjects → the parameters of the statement."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """An answer, as the body of a response, and the cursor behind it; None where there is nothing to go on from. `kind` is that
    of the event, if it is about one."""

    body: bytes
    cursor: str | None
    kind: str | None = None


@dataclass(frozen=True, slots=True)
class Sights:
    """How it is found out what events did to the sight of their subjects. `deciding`: by type, the fields that it hangs on."""

    sql: str
    values: Callable[[Sequence[UUID]], list[Any]]
    deciding: Mapping[str, frozenset[str]]
    left: Callable[[Mapping[str, Any]], bytes] | None
    """The body for a subject that left the sight; None: nobody gets one."""

    def asks(self, event: Placed) -> bool:
        return not self.deciding.get(event.subject_type, NONE).isdisjoint(event.changed)


@dataclass(frozen=True, slots=True)
class Shared:
    """How events are read of which everybody with the same rights sees the same, by the types of their subjects."""

    sql: str
    values: Values
    subjects: frozenset[str]


@dataclass(frozen=True, slots=True)
class Reading:
    """How events are read. `cost`: nodes of one event at most, of which one statement may read `most`.

    `shared`: where the statement binds something of the viewer's, one without it, for the events that need it not.
    """

    sql: str
    values: Values
    sights: Sights
    cost: int
    most: int
    shared: Shared | None = None

    @property
    def at_once(self) -> int:
        return max(1, min(MOST_AT_ONCE, self.most // max(1, self.cost)))


class Reads:
    """The statements of one process's channels."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._shared: dict[Hashable, asyncio.Task[list[asyncpg.Record]]] = {}

    async def rows(self, sql: str, values: list[Any]) -> list[asyncpg.Record]:
        async with self.database.following() as connection:
            return await connection.fetch(sql, *values)  # type: ignore[no-any-return]

    async def shared_rows(self, sql: str, values: list[Any]) -> list[asyncpg.Record]:
        """The same for all who ask the same at about the same time."""
        key = (sql, frozen(values))
        found = self._shared.get(key)
        if found is None:
            found = self._shared[key] = asyncio.create_task(self.rows(sql, values))
            found.add_done_callback(lambda done: self._forget(key, done))
        return await asyncio.shield(found)

    def _forget(self, key: Hashable, done: asyncio.Task[list[asyncpg.Record]]) -> None:
        failed = done.cancelled() or done.exception() is not None
        asyncio.get_running_loop().call_later(0 if failed else SHARED_S, self._shared.pop, key, None)


class EventReader:
    """Reads events as one `Reading` says."""

    def __init__(self, reads: Reads, reading: Reading) -> None:
        self.reads = reads
        self.reading = reading

    async def read(self, events: Sequence[Placed]) -> list[tuple[Cursor, Delivery]]:
        """The answers for some events, those left out that may not be seen. However long the database is away."""
        tries = 0
        while True:
            try:
                return [(event.cursor, each) for event, each in await self._fetched(events)]
            except TimedOut:
                tries += 1
                if len(events) > 1:
                    half = len(events) // 2
                    return [*await self.read(events[:half]), *await self.read(events[half:])]
                if tries == TRIES:
                    return [(events[0].cursor, Delivery(TOOK_TOO_LONG, events[0].cursor.text()))]
            except DATABASES_OWN:  # already in the log
                await asyncio.sleep(PAUSE_S)

    async def _fetched(self, events: Sequence[Placed]) -> list[tuple[Placed, Delivery]]:
        entered, gone = await self._sight(events)
        bodies = await self._bodies([each for each in events if each not in entered and each not in gone], SEEN)
        if entered:
            bodies |= await self._bodies(entered, ENTERED)
        if gone and self.reading.sights.left is not None:
            bodies |= {event.event_id: self.reading.sights.left(known(event)) for event in gone}
        return [
            (event, Delivery(bodies[event.event_id], event.cursor.text(), event.kind))
            for event in events
            if event.event_id in bodies
        ]

    async def _sight(self, events: Sequence[Placed]) -> tuple[list[Placed], list[Placed]]:
        """The events whose subjects came into sight, and those whose subjects left it."""
        sights = self.reading.sights
        asked = {event.event_id: event for event in events if sights.asks(event)}
        if not asked:
            return [], []
        rows = await self.reads.rows(sights.sql, sights.values(list(asked)))
        entered = [asked[id] for id, before, now in rows if now and not before]
        return entered, [asked[id] for id, before, now in rows if before and not now]

    async def _bodies(self, events: Sequence[Placed], sight: str) -> dict[UUID, bytes]:
        if not events:
            return {}
        ids, shared = [event.event_id for event in events], self.reading.shared
        if shared is not None and all(event.subject_type in shared.subjects for event in events):
            rows = await self.reads.shared_rows(shared.sql, shared.values(ids, sight))
        else:
            rows = await self.reads.rows(self.reading.sql, self.reading.values(ids, sight))
        return {row[0]: b'{"data":%b}' % row[1].encode() for row in rows}


def known(event: Placed) -> dict[str, Any]:
    """What somebody gets of an event whose subject they see no more, by field."""
    return {
        "id": api_id("Event", event.event_id),
        "kind": event.kind,
        "kindVersion": event.kind_version,
        "subjectType": event.subject_type,
        "subjectId": api_id(event.subject_type, event.subject_id),
        "occurredAt": event.occurred_at.isoformat(),
        "cursor": event.cursor.text(),
        "isLast": event.is_last,
        "transactionId": event.transaction,
    }


def frozen(values: list[Any]) -> Hashable:
    """The values of a statement as a key."""
    return tuple(tuple(value) if isinstance(value, list) else value for value in values)
