"""From "there may be work in this queue" to a drain that works it off: the bells, the look, and what rings arq.

Always holds: a worker hears only the bells of queues that it has room for, so that what it can't take is another's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime

from crmgql.workers import bells
from crmgql.workers.bells import Bells
from crmgql.workers.drains import Drain
from crmgql.workers.rings import ArqRedis, Rings

FULL_S = 0.05
"""While no queue has room, whether one has is looked at so often."""


class Wanted:
    """Queues in which there is work, as this process has learned; kept while Valkey is away."""

    def __init__(self) -> None:
        self.queues: set[str] = set()
        self._told = asyncio.Event()

    def add(self, queue: str) -> None:
        self.queues.add(queue)
        self._told.set()

    def expect(self, due: Mapping[str, datetime], now: datetime) -> None:
        """Adds each queue when its first job is due."""
        for queue, at in due.items():
            if at <= now:
                self.add(queue)
            else:
                asyncio.get_running_loop().call_later((at - now).total_seconds() + 0.001, self.add, queue)

    async def take(self) -> set[str]:
        """Waits until there are some."""
        await self._told.wait()
        self._told.clear()
        queues, self.queues = self.queues, set()
        return queues


class Relay:
    """For the queues of one worker process, by their drains, and for as long as Valkey is there.

    `answered` is called each time that Valkey has answered.
    """

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
        """Until cancelled. Raises what a lost Valkey raises."""
        while True:
            for queue in await self.wanted.take():
                try:
                    await self.relay(queue)
                except BaseException:
                    self.wanted.add(queue)
                    raise

    async def relay(self, queue: str) -> None:
        """A drain that goes on is told; else arq is rung, and calls one."""
        drain = self.drains[queue]
        if drain.is_draining:
            drain.wake()
        else:
            await self.rings[queue].ring()

    async def listen(self) -> None:
        """Until cancelled. Raises what a lost Valkey raises."""
        while True:
            queues = [queue for queue, drain in self.drains.items() if drain.has_room()]
            if not queues:
                await asyncio.sleep(FULL_S)
                continue
            queue = await bells.heard(self.redis, queues)
            self.answered()
            if queue is None:
                continue
            if self.drains[queue].has_room():
                self.wanted.add(queue)
            else:
                self.bells.ring([queue])  # another worker's
                self.drains[queue].wake()
