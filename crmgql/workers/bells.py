"""Bells: whoever has committed a job rings its queue's, and one worker that has room hears it, at once.

A bell is a sorted set with one member in Valkey: ringing it twice is ringing it once, taking the member is hearing it, and
whoever waits for it longest hears it first. Best effort: what no bell told of is found by the look, within a second.
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
SPACING_S = 0.005
"""The least time between two rings of one process: who commits a thousand jobs a second need not say so a thousand times."""

ANSWER_S = 5.0
BLOCK_S = 2.0
"""How long one wait for a bell takes at the most, on Valkey's side."""

LOST = (RedisError, OSError)


class Bells:
    """One process's hand on the bells. `ring` may be `Database.on_queued`."""

    def __init__(self, valkey: Redis) -> None:
        self.valkey = valkey
        self._wanted: set[str] = set()
        self._last = float("-inf")
        self._ringing: asyncio.Task[None] | None = None

    def ring(self, queues: Iterable[str]) -> None:
        """Neither waits nor raises; what Valkey does not take is left to the look."""
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
        """Rings what is still to be rung."""
        if self._ringing is not None:
            await asyncio.wait([self._ringing], timeout=1)
            self._ringing.cancel()


async def heard(valkey: Redis, queues: Sequence[str]) -> str | None:
    """The queue whose bell was rung; None when none was for `BLOCK_S`. Raises one of `LOST`."""
    async with asyncio.timeout(BLOCK_S + ANSWER_S):
        found = await valkey.bzpopmin([PREFIX + queue for queue in queues], timeout=BLOCK_S)
    return None if found is None else str(found[0].decode().removeprefix(PREFIX))
