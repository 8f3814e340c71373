"""Bells: a process that commits a job rings the bell of its queue, and one worker with room receives it at once.

A bell is a sorted set with one member in Valkey: ringing twice has the effect of ringing once, and the worker that has waited
longest takes the member. Best effort: a job without a bell is found by the look, within a second.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Sequence

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

log = structlog.get_logger("crmgql")

PREFIX = "crmgql:bell:"
SPACING_S = 0.025
"""Shortest time between two rings of one process: each costs a writer half a millisecond. The first after a pause is rung at once."""

ANSWER_S = 5.0
BLOCK_S = 2.0
"""How long Valkey blocks one wait for a bell."""

LOST = (RedisError, OSError)


class Bells:
    """Rings for one process. `ring` can be `Database.on_queued`."""

    def __init__(self, valkey: Redis) -> None:
        self.valkey = valkey
        self._wanted: set[str] = set()
        self._last = float("-inf")
        self._ringing: asyncio.Task[None] | None = None

    def ring(self, queues: Iterable[str]) -> None:
        """Neither waits nor raises; when Valkey fails, the look finds the jobs."""
        self._wanted.update(queues)
        if self._ringing is None or self._ringing.done():
            self._ringing = asyncio.create_task(self._work())

    async def _work(self) -> None:
        while self._wanted:
            if (wait_s := self._last + SPACING_S - time.monotonic()) > 0:
                await asyncio.sleep(wait_s)
            queues, self._wanted = self._wanted, set()
            self._last = time.monotonic()
            try:
                async with asyncio.timeout(ANSWER_S):
                    for queue in queues:
                        await self.valkey.zadd(PREFIX + queue, {"1": 0})
            except LOST as error:
                log.debug("bell not rung", queues=sorted(queues), reason=str(error))

    async def stop(self) -> None:
        """Rings the bells that were asked for, for at most a second."""
        if self._ringing is not None:
            await asyncio.wait([self._ringing], timeout=1)
            self._ringing.cancel()


async def receive(valkey: Redis, queues: Sequence[str], block_s: float = BLOCK_S) -> str | None:
    """The queue whose bell was rung; None when none was for `block_s`. Raises one of `LOST`."""
    async with asyncio.timeout(block_s + ANSWER_S):
        found = await valkey.bzpopmin([PREFIX + queue for queue in queues], timeout=block_s)
    return None if found is None else str(found[0].decode().removeprefix(PREFIX))
