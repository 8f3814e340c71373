"""Does the jobs of one queue in one process: claims a batch, starts it, and claims more as jobs end.

Always holds: at most `at_once` jobs of the queue run here, and every claimed job is started or given back.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from crmgql.workers.attempts import Attempts

LINGER_S = 0.5
"""How long a drain waits at an empty queue: a wake in this time needs no ring."""

GATHER_S = 0.001
"""How long to wait after a job has ended, so that others that end at the same time share the next claim."""

MORE_S = 0.1
"""Shortest time between two calls of `on_more`."""


class Drain:
    """`on_more` is called with the queue when it may have more jobs than this process can take."""

    def __init__(
        self, attempts: Attempts, queue: str, at_once: int, on_more: Callable[[list[str]], None] | None = None
    ) -> None:
        self.attempts = attempts
        self.queue = queue
        self.at_once = at_once
        self.on_more = on_more
        self.is_draining = False
        self._running: set[asyncio.Task[Any]] = set()
        self._woken = asyncio.Event()
        self._is_stopped = False
        self._last_on_more = float("-inf")
        self._ended = asyncio.Event()
        self._ended.set()

    def has_room(self) -> bool:
        return len(self._running) < self.at_once

    def wake(self) -> None:
        """Makes the drain claim: there may be jobs."""
        self._woken.set()

    async def drain(self) -> None:
        """Runs until the queue has been empty for `LINGER_S`. When the drain is running already, wakes it and returns."""
        if self.is_draining or self._is_stopped:
            self.wake()
            return
        self.is_draining = True
        self._ended.clear()
        try:
            while await self._once():
                pass
        finally:
            self.is_draining = False
            self._ended.set()

    async def _once(self) -> bool:
        """Claims as many jobs as there is room for, and waits for room or a wake. False when the drain is to end."""
        self._woken.clear()
        room = self.at_once - len(self._running)
        leases = await self.attempts.claims.take(self.queue, room) if room else []
        if self._is_stopped:
            await self.attempts.claims.give_back(leases)
            return False
        for lease in leases:
            task = self.attempts.start(lease)
            self._running.add(task)
            task.add_done_callback(self._is_done)
        if len(leases) < room:
            return await self._is_woken()
        if not self.has_room():  # false when some have ended during the claim
            self._call_on_more()
            await self._woken.wait()
            await asyncio.sleep(GATHER_S)
        return not self._is_stopped

    def _call_on_more(self) -> None:
        if self.on_more is not None and time.monotonic() - self._last_on_more > MORE_S:
            self._last_on_more = time.monotonic()
            self.on_more([self.queue])

    async def _is_woken(self) -> bool:
        with suppress(TimeoutError):
            async with asyncio.timeout(LINGER_S):
                await self._woken.wait()
        return self._woken.is_set() and not self._is_stopped

    def _is_done(self, task: asyncio.Task[Any]) -> None:
        if not self.has_room():
            self.wake()
        self._running.discard(task)

    async def stop(self, patience_s: float) -> None:
        """Ends the drain; jobs of a claim under way are given back. Waits up to `patience_s`."""
        self._is_stopped = True
        self.wake()
        with suppress(TimeoutError):
            async with asyncio.timeout(patience_s):
                await self._ended.wait()
