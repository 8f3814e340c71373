"""Events as their readers see them, made once for all subscribers with the same statement and values.

A channel follows the feed while somebody listens: of each page it takes the events that are wanted, reads them with one
statement, and keeps the last answers. A subscriber is a cursor: whoever is behind what is kept reads pages of their own from
the feed until they meet what is kept. So a slow subscriber costs no memory.

Enters: a plan with its values, and which events are wanted. Leaves: `Batch`es, without a gap or a double.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import structlog

from crmgql.engine.followed import Wanted
from crmgql.engine.readings import Delivery, EventReader, Reading, Reads
from crmgql.engine.waking import Waking
from crmgql.events.cursors import Cursor, CursorLost
from crmgql.events.feed import Feed
from crmgql.events.positions import Page

log = structlog.get_logger("crmgql")

KEPT = 2000
"""Answers that a channel keeps."""
PAUSE_S = 1.0
QUICK_S = 1.0
"""Who takes a batch in so long has the next one read meanwhile."""


@dataclass(slots=True)
class Batch:
    """The answers for a stretch of the feed, from behind `start` to `end`, each with its position.

    `whole`: behind the last transaction that ends in it; `end` may be in the middle of one.
    """

    start: Cursor
    end: Cursor
    answers: list[tuple[Cursor, Delivery]]
    whole: Cursor | None = None

    def after(self, at: Cursor) -> list[tuple[Cursor, Delivery]]:
        if at.position <= self.start.position:
            return self.answers
        return [answer for answer in self.answers if answer[0].position > at.position]


class Channel:
    """One statement with its values, and those who listen to it."""

    def __init__(self, feed: Feed, reads: Reads, reading: Reading, wanted: Wanted) -> None:
        self.feed = feed
        self.reader = EventReader(reads, reading)
        self.wanted = wanted
        self.tail: Cursor | None = None
        """Up to where the channel itself has read."""

        self._kinds = wanted.triggers.kinds()
        self._listeners = 0
        self._kept: deque[Batch] = deque()
        self._count = 0
        self._moved = Waking()
        self._task: asyncio.Task[None] | None = None
        self._replays: dict[tuple[Cursor, int | None], asyncio.Task[Batch]] = {}
        self._history = feed.history
        """The one that is kept."""

    @contextmanager
    def listening(self) -> Iterator[None]:
        self._listeners += 1
        if self._task is None:
            self._history = self.feed.history
            self._task = asyncio.create_task(self._follow())
        try:
            yield
        finally:
            self._listeners -= 1
            if not self._listeners:
                self._task.cancel()
                self._task = None
                self._forget()

    @property
    def is_idle(self) -> bool:
        return not self._listeners

    def passed(self, at: Cursor) -> Cursor | None:
        """How far somebody got who has had everything up to `at`, if nothing came since that they want: behind a whole
        transaction, or who waits for the rest of one would not know that it is over."""
        newest = self._kept[-1] if self._kept else None
        if newest is None or at.position < newest.start.position or newest.after(at):
            return None
        return newest.whole

    async def after(self, at: Cursor, *, most: int | None = None) -> AsyncGenerator[Batch]:
        """Batches from the cursor on, for ever; of those that are not kept at most so many answers are read at once.

        Raises `CursorLost`, also later: when a failover changes history.
        """
        history, is_quick = self.feed.history, False
        ahead: asyncio.Task[Batch] | None = None
        while True:
            count = self._moved.count
            following, ahead = ahead if is_quick else None, None
            if history != self.feed.history:
                history, following = self.feed.history, None
                await self.feed.check(at)
            if self._history != self.feed.history:
                self._begin_anew()
            batch = self._kept_after(at)
            if batch is None and self.tail is not None and at.position < self.tail.position:
                batch = await asyncio.shield(following or self._replayed(at, most))
                if is_quick and self.tail is not None and batch.end.position < self.tail.position:
                    ahead = self._replayed(batch.end, most)  # while this one is taken
            if batch is None or batch.end.position == at.position:
                await self._moved.after(count)
                continue
            began = time.monotonic()
            yield batch
            at, is_quick = batch.end, time.monotonic() - began < QUICK_S

    def _kept_after(self, at: Cursor) -> Batch | None:
        for batch in reversed(self._kept):
            if batch.start.position <= at.position < batch.end.position:
                return batch
            if batch.end.position <= at.position:
                return None
        return None

    def _replayed(self, at: Cursor, most: int | None) -> asyncio.Task[Batch]:
        """The next stretch after a cursor, read once for all who stand there at the moment."""

        def forget(done: asyncio.Task[Batch]) -> None:
            del self._replays[at, most]
            if not done.cancelled():
                done.exception()  # who reads ahead may be gone before there is one

        found = self._replays.get((at, most))
        if found is None:
            found = self._replays[at, most] = asyncio.create_task(self._replay(at, most))
            found.add_done_callback(forget)
        return found

    async def _replay(self, at: Cursor, most: int | None) -> Batch:
        page = await self.feed.page(at, kinds=self._kinds)
        return await self._batch(page if most is None else self._cut(page, most))

    def _cut(self, page: Page, most: int) -> Page:
        """The page, or its beginning up to as many events as are wanted."""
        wanted = [number for number, event in enumerate(page.events, 1) if self.wanted.match(event)]
        if len(wanted) <= most:
            return page
        return page.until(wanted[most - 1])

    async def _follow(self) -> None:
        """Reads what is new, while somebody listens."""
        while True:
            try:
                self.tail = await self.feed.head()
                self._moved.wake()
                async for page in self.feed.follow(self.tail):
                    self._keep(await self._batch(page))
            except CursorLost:  # each listener learns from its own cursor whether it is lost
                if self._history == self.feed.history:  # else another one has found it before
                    self.feed.lose_history()
                self._history = self.feed.history
                self._forget()
            except Exception:
                log.exception("a channel stopped reading; it starts again")
                self._forget()
                await asyncio.sleep(PAUSE_S)

    def _begin_anew(self) -> None:
        """What is kept is of a history that is no more."""
        if self._task is not None:
            self._task.cancel()
            self._task = asyncio.create_task(self._follow())
        self._history = self.feed.history
        self._forget()

    def _keep(self, batch: Batch) -> None:
        self.tail = batch.end
        if not batch.answers and self._kept:
            self._kept[-1].end = batch.end  # nobody is woken for nothing
            self._kept[-1].whole = batch.whole or self._kept[-1].whole
            return
        self._kept.append(batch)
        self._count += len(batch.answers)
        while self._count > KEPT and len(self._kept) > 1:
            self._count -= len(self._kept.popleft().answers)
        self._moved.wake()

    def _forget(self) -> None:
        self.tail = None
        self._kept.clear()
        self._count = 0
        self._moved.wake()

    async def _batch(self, page: Page) -> Batch:
        events = [event for event in page.events if self.wanted.match(event)]
        answers: list[tuple[Cursor, Delivery]] = []
        width = self.reader.reading.at_once
        for first in range(0, len(events), width):
            answers += await self.reader.read(events[first : first + width])
        return Batch(page.start, page.end, answers, page.whole)


class Channels:
    """The channels of one process."""

    def __init__(self, reads: Reads) -> None:
        self.reads = reads
        self._open: dict[Hashable, Channel] = {}

    def __len__(self) -> int:
        return len(self._open)

    @contextmanager
    def channel(self, feed: Feed, key: Hashable, reading: Reading, wanted: Wanted) -> Iterator[Channel]:
        """The channel under a key, which holds everything that decides its answers, while somebody listens to it."""
        found = self._open.get(key)
        if found is None:
            found = self._open[key] = Channel(feed, self.reads, reading, wanted)
        try:
            with found.listening():
                yield found
        finally:
            if found.is_idle and self._open.get(key) is found:
                del self._open[key]
