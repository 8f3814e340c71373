"""Wakes thousands who wait for the same, some at a time: all at once, they would hold the event loop until the last one has begun."""

from __future__ import annotations

import asyncio
from collections import deque

AT_ONCE = 50


class Waking:
    """`count` rises with each `wake`: who read it before looking knows whether something came meanwhile."""

    def __init__(self) -> None:
        self.count = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._due: deque[asyncio.Future[None]] = deque()

    async def after(self, count: int) -> None:
        """Returns once `wake` was called after `count` was read."""
        if count != self.count:
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        await turn

    def wake(self) -> None:
        self.count += 1
        begin = not self._due
        self._due += self._waiting
        self._waiting.clear()
        if begin and self._due:
            self._some()

    def _some(self) -> None:
        for _ in range(min(AT_ONCE, len(self._due))):
            turn = self._due.popleft()
            if not turn.done():  # it is when its task was cancelled
                turn.set_result(None)
        if self._due:
            asyncio.get_running_loop().call_soon(self._some)
