"""How many statements one viewer may run at once, so that the database's connections never are one viewer's alone.

A viewer has three quarters of a pool's connections. Statements that read many rows for their answer, such as sums over
a large table, have half of the connections together, whoever asks: those who ask for little wait for none of them.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Hashable

from crmgql.errors import Throttled

MOST_WAITING = 500
PATIENCE_S = 10.0


class Shares:
    """The statements of one process that are running and waiting."""

    def __init__(self, connections: int) -> None:
        self.each = max(1, connections * 3 // 4)
        self.heavy_together = max(1, connections // 2)
        self._running: dict[Hashable, int] = {}
        self._heavy = 0
        self._waiting: OrderedDict[tuple[Hashable, bool], deque[asyncio.Future[None]]] = OrderedDict()

    async def take(self, viewer: Hashable, *, heavy: bool = False) -> None:
        """Waits until the viewer may run a statement; `give` it back. Raises `Throttled` when too many wait, or too long."""
        if self._fits(viewer, heavy):
            self._start(viewer, heavy)
        else:
            await self._turn(viewer, heavy)

    def give(self, viewer: Hashable, *, heavy: bool = False) -> None:
        left = self._running[viewer] - 1
        if left:
            self._running[viewer] = left
        else:
            del self._running[viewer]
        self._heavy -= heavy
        if self._waiting:
            self._serve()

    def _fits(self, viewer: Hashable, heavy: bool) -> bool:
        return self._running.get(viewer, 0) < self.each and not (heavy and self._heavy >= self.heavy_together)

    def _start(self, viewer: Hashable, heavy: bool) -> None:
        self._running[viewer] = self._running.get(viewer, 0) + 1
        self._heavy += heavy

    async def _turn(self, viewer: Hashable, heavy: bool) -> None:
        queue = self._waiting.setdefault((viewer, heavy), deque())
        if len(queue) >= MOST_WAITING:
            raise Throttled("Too many of your requests are waiting already; send fewer at once.", retry_after_s=1)
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue.append(turn)
        try:
            async with asyncio.timeout(PATIENCE_S):
                await turn
        except (asyncio.CancelledError, TimeoutError) as error:
            if turn.done() and not turn.cancelled():
                self.give(viewer, heavy=heavy)
            else:
                self._serve()  # who stood behind this one may fit
            if isinstance(error, TimeoutError):
                raise Throttled("Your other requests take all of your share; send fewer.", retry_after_s=1) from None
            raise

    def _serve(self) -> None:
        """Starts what fits now, one of each viewer in turn. What is heavy keeps nothing that is light waiting."""
        for key in list(self._waiting):
            queue = self._waiting[key]
            while queue and queue[0].done():
                queue.popleft()
            if queue and self._fits(*key):
                self._start(*key)
                queue.popleft().set_result(None)
                self._waiting.move_to_end(key)
            if not queue:
                del self._waiting[key]
