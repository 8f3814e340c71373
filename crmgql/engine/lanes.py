"""The slow lane: work in pure Python that takes longer than the event loop may be held, such as validating a document.

One thread does it, a piece at a time; the interpreter hands the loop its turn every millisecond (see `serve`). Clients
take turns, one piece each: who sends many pieces waits for his own, and others wait for one piece of his at most.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from crmgql.errors import Throttled

Result = TypeVar("Result")

MOST_WAITING = 100
"""Pieces of one client."""

MOST_CLIENTS = 1000


class Lane:
    """One thread and the pieces that wait for it, by client."""

    def __init__(self, name: str) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._waiting: OrderedDict[Hashable, deque[asyncio.Future[None]]] = OrderedDict()
        self._busy = False
        self._making: dict[Hashable, asyncio.Event] = {}

    async def run(self, client: Hashable, work: Callable[..., Result], *args: Any) -> Result:
        """What the work answers or raises, when it is the client's turn. Raises `Throttled` when too much waits."""
        if self._busy:
            await self._turn(client)
        self._busy = True
        done = asyncio.get_running_loop().run_in_executor(self._thread, work, *args)
        # Also of a caller who is gone, the thread still does the piece: the next one starts when it has ended.
        done.add_done_callback(self._ended)
        try:
            return await asyncio.shield(done)
        finally:
            # What it raises would lead through this frame back to itself, and only the garbage collector frees a circle.
            del done

    async def once(
        self,
        client: Hashable,
        key: Hashable,
        find: Callable[[], Result | None],
        work: Callable[[], Result],
        keep: Callable[[Result], None],
    ) -> Result:
        """What `find` answers, or what the work makes, which is kept: once for all who want it at the same time."""
        found = find()
        if found is None and (making := self._making.get(key)) is not None:
            await making.wait()
            found = find()  # None if it failed, or was too large to be kept
        if found is not None:
            return found
        made = self._making[key] = asyncio.Event()
        try:
            result = await self.run(client, work)
            keep(result)
            return result
        finally:
            made.set()
            if self._making.get(key) is made:
                del self._making[key]

    def _ended(self, done: asyncio.Future[Any]) -> None:
        done.cancelled() or done.exception()  # asked for, as its caller may be gone and Python warns of what nobody asks
        self._next()

    async def _turn(self, client: Hashable) -> None:
        queue = self._waiting.get(client)
        if len(self._waiting) >= MOST_CLIENTS if queue is None else len(queue) >= MOST_WAITING:
            raise Throttled("Too much that takes long to read is waiting already; try again.", retry_after_s=1)
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(client, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._next()
            raise

    def _next(self) -> None:
        """Gives the turn to the client who has waited longest for one."""
        while self._waiting:
            client, queue = self._waiting.popitem(last=False)
            turn = queue.popleft() if queue else None
            if queue:
                self._waiting[client] = queue
            if turn is not None and not turn.done():
                turn.set_result(None)
                return
        self._busy = False

    def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)
