"""How many posts a minute: counted in Valkey, so that all processes count together, or here while Valkey is away.

Enters: a name and its limit. Leaves: nothing, or the seconds to wait. Counts are of whole minutes of the clock; losing them
lets a few more posts through and nothing else.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter
from datetime import datetime

import redis.asyncio
import structlog
from redis.exceptions import RedisError

log = structlog.get_logger("crmgql")

MINUTE_S = 60
PATIENCE_S = 0.5
REST_S = 10.0
"""For so long Valkey is not asked again after it did not answer: nobody's post should wait for it twice."""

MOST_NAMES = 50_000
"""Names counted in this process; beyond, the minute starts anew rather than filling the memory."""


class Throttle:
    """The counters of one process."""

    def __init__(self, valkey: redis.asyncio.Redis, prefix: str) -> None:
        self._valkey = valkey
        self._prefix = prefix
        self._resting_until = 0.0
        self._minute = 0
        self._counts: Counter[str] = Counter()

    async def take(self, limits: dict[str, int], now: datetime) -> int | None:
        """Counts one post under each name. The seconds until the next minute when one is past its limit, else None."""
        minute, second = divmod(now.timestamp(), MINUTE_S)
        counts = await self._count(list(limits), int(minute))
        within = all(count <= limit for count, limit in zip(counts, limits.values(), strict=True))
        return None if within else max(1, math.ceil(MINUTE_S - second))

    async def _count(self, names: list[str], minute: int) -> list[int]:
        if time.monotonic() >= self._resting_until:
            try:
                async with asyncio.timeout(PATIENCE_S):
                    return await self._count_together(names, minute)
            except (RedisError, OSError, TimeoutError) as error:
                self._resting_until = time.monotonic() + REST_S
                log.warning("counting posts in this process only", error=str(error))
        return self._count_here(names, minute)

    async def _count_together(self, names: list[str], minute: int) -> list[int]:
        async with self._valkey.pipeline(transaction=False) as pipeline:
            for name in names:
                key = f"{self._prefix}:{minute}:{name}"
                pipeline.incr(key)
                pipeline.expire(key, 2 * MINUTE_S)
            return [int(count) for count in (await pipeline.execute())[::2]]

    def _count_here(self, names: list[str], minute: int) -> list[int]:
        if minute != self._minute or len(self._counts) > MOST_NAMES:
            self._minute = minute
            self._counts.clear()
        self._counts.update(names)
        return [self._counts[name] for name in names]
