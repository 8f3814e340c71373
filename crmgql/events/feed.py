"""The feed of one process: after a cursor, first from PostgreSQL and then live, without a gap or a double where they meet.

The tail reads new events once for all followers and keeps the last ones. A follower only has a cursor: whoever is behind what
the tail keeps, be it a new one or a slow one, reads pages from PostgreSQL until the tail has what comes next. So a follower costs
no memory, however slow. Without followers nothing is read.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

import structlog
from redis.asyncio import Redis

from crmgql.db import Connection, Database
from crmgql.errors import DATABASES_OWN
from crmgql.events import announcements, positions
from crmgql.events.cursors import Cursor, CursorLost
from crmgql.events.positions import Page

log = structlog.get_logger("crmgql")

WIDTH = 1000
"""Positions in a page."""

KEPT = 5000
"""Events that the tail keeps."""

LOOK_S = 1.0


class Feed:
    """One per process. `run` it beside the requests."""

    def __init__(self, database: Database, valkey: Redis | None) -> None:
        self.database = database
        self.valkey = valkey
        self.followers = 0
        self.newest = 0
        """The newest position that was announced."""

        self.history = 0
        """Counts how often it was found changed, as after a failover."""

        self._tail: Cursor | None = None
        self._kept: deque[Page] = deque()
        self._count = 0
        self._wanted = asyncio.Event()
        self._rung = asyncio.Event()
        self._moved = asyncio.Event()

    @property
    def tail(self) -> Cursor | None:
        """Behind the newest event that was read; None while nobody follows."""
        return self._tail

    async def follow(
        self, after: Cursor | None, *, kinds: Collection[str] | None = None, width: int = WIDTH
    ) -> AsyncIterator[Page]:
        """Pages from the cursor on, or from now on; one may be empty of the kinds. Raises `CursorExpired` and
        `CursorOfAnotherHistory`, also later: when a failover changes history."""
        with self._following():
            if after is None:
                at = await self.head()
            else:
                await self.check(at := after)
            while True:
                moved = self._moved
                page = self._after(at)
                if page is None and not self._is_tail(at):
                    page = await self._read_patiently(at, kinds, width)
                if page is None or page.end == at:
                    await moved.wait()
                    continue
                at = page.end
                if kinds is not None:
                    page = replace(page, events=[event for event in page.events if event.kind in kinds])
                yield page

    async def page(self, after: Cursor, *, kinds: Collection[str] | None = None, width: int = WIDTH) -> Page:
        """One page: what comes after the cursor, empty if nothing does yet. Raises as `follow`."""
        page = self._after(after)
        return await self._read_patiently(after, kinds, width) if page is None else page

    async def head(self) -> Cursor:
        """The newest cursor."""
        async with self.database.reading() as connection:
            await self._check_memory(connection)
            return await positions.head(connection)

    async def check(self, cursor: Cursor) -> None:
        """Raises `CursorExpired` and `CursorOfAnotherHistory`."""
        async with self.database.reading() as connection:
            await positions.check(connection, cursor)
            await self._check_memory(connection)

    async def _check_memory(self, connection: Connection) -> None:
        """Who comes anew gets nothing that the tail keeps of a history which a failover undid, before the tail reads on."""
        if self._tail is not None:
            try:
                await positions.check(connection, self._tail)
            except CursorLost:
                self.lose_history()

    def lose_history(self) -> None:
        """It changed: what is kept is dropped."""
        log.warning("the feed's history changed, as after a failover; followers are checked")
        self.history += 1
        self._forget()

    async def _read_patiently(self, after: Cursor, kinds: Collection[str] | None, width: int) -> Page:
        """A page from PostgreSQL, however long that is away."""
        while True:
            try:
                async with self.database.reading() as connection:
                    return await positions.page(connection, after, width=width, kinds=kinds)
            except DATABASES_OWN:  # already in the log
                await asyncio.sleep(LOOK_S)

    @contextmanager
    def _following(self) -> Iterator[None]:
        self.followers += 1
        self._wanted.set()
        try:
            yield
        finally:
            self.followers -= 1
            if not self.followers:
                self._wanted.clear()

    def _is_tail(self, at: Cursor) -> bool:
        return self._tail is not None and (at.position, at.event_id) == (self._tail.position, self._tail.event_id)

    def _after(self, at: Cursor) -> Page | None:
        """What the tail keeps of what comes after the cursor: a whole page of its, or the rest of one."""
        for page in reversed(self._kept):
            if at.position >= page.end.position:
                return None
            if at.position == page.start.position:
                return page if at.event_id == page.start.event_id else None
            if at.position > page.start.position:
                index = at.position - page.events[0].position
                if page.events[index].event_id != at.event_id:
                    return None
                return replace(page, start=at, events=page.events[index + 1 :])
        return None

    async def run(self) -> None:
        """Until cancelled. Listens and looks while somebody follows."""
        while True:
            await self._wanted.wait()
            listening = (
                None if self.valkey is None else asyncio.create_task(announcements.listen(self.valkey, self._hear))
            )
            try:
                await self._keep_reading()
            finally:
                self._forget()
                if listening is not None:
                    listening.cancel()
                    await asyncio.gather(listening, return_exceptions=True)

    def _hear(self, position: int) -> None:
        self.newest = max(self.newest, position)
        if position == 0 or self._tail is None or position != self._tail.position:
            self._rung.set()

    async def _keep_reading(self) -> None:
        while self.followers:
            self._rung.clear()
            try:
                await self._read()
            except DATABASES_OWN:  # already in the log
                await asyncio.sleep(LOOK_S)
            except CursorLost:
                self.lose_history()
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await self._rung.wait()

    async def _read(self) -> None:
        """Takes up what is new."""
        async with self.database.reading() as connection:
            if self._tail is None:
                self._tail = await positions.head(connection)
                self._wake()
            while True:
                page = await positions.page(connection, self._tail, width=WIDTH)
                if not page.events:
                    return
                self._keep(page)

    def _keep(self, page: Page) -> None:
        self._tail = page.end
        self._kept.append(page)
        self._count += len(page.events)
        while self._count - len(self._kept[0].events) >= KEPT:
            self._count -= len(self._kept.popleft().events)
        self._wake()

    def _forget(self) -> None:
        self._tail = None
        self._kept.clear()
        self._count = 0
        self._wake()

    def _wake(self) -> None:
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()
