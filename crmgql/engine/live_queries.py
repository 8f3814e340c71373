"""Live queries: the answer of a query, and again when something in it changed, at most twice a second.

What could change an answer are events of the types that it reads, or of the customers that it is about; nobody looks without
one. The same statement with the same values is run once for all who wait for it; who reads slowly gets the newest answer, not
each of them. A job's progress has no events: it is looked at while somebody watches.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Hashable, Iterator
from contextlib import contextmanager, suppress

import structlog

from crmgql.errors import DATABASES_OWN, CrmError
from crmgql.events.cursors import Cursor, CursorLost
from crmgql.events.feed import Feed
from crmgql.events.kinds import KINDS
from crmgql.events.positions import Placed
from crmgql.planner.interests import Interest

log = structlog.get_logger("crmgql")

APART_S = 0.5
PAUSE_S = 1.0

WITH_EVENTS = frozenset(kind.subject for kind in KINDS.values())
"""Types whose changes have events of their own; those of others come with the event of a record that they belong to."""

Ask = Callable[[], Awaitable[tuple[bytes, bool]]]
"""The answer as of now, and whether it is the last one."""


def concerns(interest: Interest, event: Placed) -> bool:
    """Whether an event may change an answer."""
    if interest.customers is not None and event.customer_id is not None:
        return event.customer_id in interest.customers
    return event.subject_type in interest.types or not interest.types <= WITH_EVENTS or event.subject_type == "Gap"


class LiveQuery:
    """One statement with its values, and those who wait for its next answer. Without an `interest` it is asked again and again."""

    def __init__(self, feed: Feed, ask: Ask, interest: Interest | None) -> None:
        self.feed = feed
        self.ask = ask
        self.interest = interest
        self._listeners = 0
        self._task: asyncio.Task[None] | None = None
        self._body: bytes | None = None
        self._error: CrmError | None = None
        self._number = 0
        self._is_over = False
        self._moved = asyncio.Event()
        self._changed = asyncio.Event()

    @property
    def is_idle(self) -> bool:
        return not self._listeners

    @contextmanager
    def listening(self) -> Iterator[None]:
        self._listeners += 1
        if self._task is None:
            self._task = asyncio.create_task(self._run())
        try:
            yield
        finally:
            self._listeners -= 1
            if not self._listeners:
                self._task.cancel()

    async def answers(self) -> AsyncGenerator[bytes]:
        """The answer as soon as there is one, and each time it changed. Raises what refused it."""
        seen = 0
        while True:
            moved = self._moved
            if self._error is not None:
                raise self._error
            if self._body is not None and self._number != seen:
                seen = self._number
                yield self._body
            elif self._is_over:
                return
            else:
                await moved.wait()

    async def _run(self) -> None:
        watching: asyncio.Task[None] | None = None
        try:
            if self.interest is not None:
                at = await self._head()  # before the first question: what happens after it is noticed
                watching = asyncio.create_task(self._watch(self.interest, at))
            while not self._is_over and self._error is None:
                self._changed.clear()
                started = time.monotonic()
                await self._ask()
                await asyncio.sleep(max(0.0, started + APART_S - time.monotonic()))
                if self.interest is not None:
                    await self._changed.wait()
        finally:
            if watching is not None:
                watching.cancel()
                await asyncio.gather(watching, return_exceptions=True)

    async def _ask(self) -> None:
        try:
            body, self._is_over = await self.ask()
        except DATABASES_OWN:  # already in the log
            await asyncio.sleep(PAUSE_S)
            self._changed.set()
            return
        except CrmError as error:
            self._error = error
        else:
            if body != self._body:
                self._body = body
                self._number += 1
            elif not self._is_over:
                return
        self._wake()

    async def _head(self) -> Cursor:
        while True:
            try:
                return await self.feed.head()
            except DATABASES_OWN:  # already in the log
                await asyncio.sleep(PAUSE_S)

    async def _watch(self, interest: Interest, at: Cursor) -> None:
        """Says when the answer may have changed."""
        while True:
            with suppress(*DATABASES_OWN, CursorLost):
                async for page in self.feed.follow(at):
                    if any(concerns(interest, event) for event in page.events):
                        self._changed.set()
                    at = page.end
            await asyncio.sleep(PAUSE_S)
            at = await self._head()
            self._changed.set()

    def _wake(self) -> None:
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()


class LiveQueries:
    """Those of one process."""

    def __init__(self) -> None:
        self._open: dict[Hashable, LiveQuery] = {}

    def __len__(self) -> int:
        return len(self._open)

    @contextmanager
    def query(self, feed: Feed, key: Hashable, ask: Ask, interest: Interest | None) -> Iterator[LiveQuery]:
        """The one under a key, which holds everything that decides its answer."""
        found = self._open.get(key)
        if found is None:
            found = self._open[key] = LiveQuery(feed, ask, interest)
        try:
            with found.listening():
                yield found
        finally:
            if found.is_idle and self._open.get(key) is found:
                del self._open[key]
