"""A queue worked off by one process: a batch is claimed, done so many at once, and the next one claimed as places get free.

Always holds: never more than `at_once` jobs of the queue are under way here, and nothing is claimed that is not started.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from crmgql.workers.attempts import Attempts

LINGER_S = 0.5
"""How long an empty queue is waited at: who is told meanwhile needs no ring."""

GATHER_S = 0.001
"""How long places that get free wait for others that do."""

MORE_S = 0.1
"""The least time between two calls of `on_more`."""


class Drain:
    """`on_more` is called when there may be more than this process can take."""

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
        self._told_of_more = float("-inf")
        self._ended = asyncio.Event()
        self._ended.set()

    def has_room(self) -> bool:
        return len(self._running) < self.at_once

    def wake(self) -> None:
        """There may be something to claim."""
        self._woken.set()

    async def drain(self) -> None:
        """Until the queue has been empty for a while. Returns at once where the drain goes on already."""
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
        """Claims what there is room for, and waits until there may be something to claim; False when it is time to end."""
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
        if not self.has_room():  # else some have ended while these were claimed
            self._tell_of_more()
            await self._woken.wait()
            await asyncio.sleep(GATHER_S)
        return not self._is_stopped

    def _tell_of_more(self) -> None:
        if self.on_more is not None and time.monotonic() - self._told_of_more > MORE_S:
            self._told_of_more = time.monotonic()
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
        """Claims nothing any more; what was being claimed is given back."""
        self._is_stopped = True
        self.wake()
        with suppress(TimeoutError):
            async with asyncio.timeout(patience_s):
                await self._ended.wait()
