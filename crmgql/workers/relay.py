"""Turns "this queue may have jobs", from bells and from the look, into a running drain: wakes it, or rings arq.

Always holds: a worker receives bells only of queues that it has room for, so that others receive the rest.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime

from crmgql.workers import bells
from crmgql.workers.bells import Bells
from crmgql.workers.drains import Drain
from crmgql.workers.rings import ArqRedis, Rings

FULL_S = 0.1
"""While a queue has no room, how often to check again: the bell of a queue that has room again must not wait."""


class Wanted:
    """Queues that may have jobs; remembered while Valkey is away."""

    def __init__(self) -> None:
        self.queues: set[str] = set()
        self._added = asyncio.Event()

    def add(self, queue: str) -> None:
        self.queues.add(queue)
        self._added.set()

    def expect(self, due: Mapping[str, datetime], now: datetime) -> None:
        """Adds each queue at the time its first job is due."""
        for queue, at in due.items():
            if at <= now:
                self.add(queue)
            else:
                asyncio.get_running_loop().call_later((at - now).total_seconds() + 0.001, self.add, queue)

    async def take(self) -> set[str]:
        """Waits until there is one; returns all, and forgets them."""
        await self._added.wait()
        self._added.clear()
        queues, self.queues = self.queues, set()
        return queues


class Relay:
    """For the queues of one worker process and one connection to Valkey. `answered` is called after each answer of Valkey."""

    def __init__(
        self,
        redis: ArqRedis,
        drains: Mapping[str, Drain],
        wanted: Wanted,
        answered: Callable[[], None] = lambda: None,
    ) -> None:
        self.answered = answered
        self.redis = redis
        self.drains = drains
        self.wanted = wanted
        self.bells = Bells(redis)
        self.rings = {queue: Rings(redis, queue, drain.drain) for queue, drain in drains.items()}

    async def run(self) -> None:
        """Relays until cancelled. Raises one of `LOST`."""
        while True:
            for queue in await self.wanted.take():
                try:
                    await self.relay(queue)
                except BaseException:
                    self.wanted.add(queue)
                    raise

    async def relay(self, queue: str) -> None:
        """Wakes the drain if it is running; else rings arq, which starts it."""
        drain = self.drains[queue]
        if drain.is_draining:
            drain.wake()
        else:
            await self.rings[queue].ring()

    async def listen(self) -> None:
        """Receives bells until cancelled. Raises one of `LOST`."""
        while True:
            queues = [queue for queue, drain in self.drains.items() if drain.has_room()]
            if not queues:
                async with asyncio.timeout(bells.ANSWER_S):
                    await self.redis.ping()
                self.answered()
                await asyncio.sleep(FULL_S)
                continue
            block_s = bells.BLOCK_S if len(queues) == len(self.drains) else FULL_S
            queue = await bells.receive(self.redis, queues, block_s)
            self.answered()
            if queue is None:
                continue
            if self.drains[queue].has_room():
                self.wanted.add(queue)
            else:
                self.bells.ring([queue])  # for another worker
                self.drains[queue].wake()
