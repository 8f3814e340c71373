"""Rings arq for jobs that are due. The only place that enqueues.

Each worker process relays; rows are taken with SKIP LOCKED, so that each is rung by one. A queue in arq is kept short: arq
knows no priorities, so what is important must not have to wait behind a thousand others.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Sequence
from typing import Any
from uuid import UUID

import structlog
from arq.connections import ArqRedis
from arq.constants import in_progress_key_prefix, job_key_prefix, retry_key_prefix
from arq.jobs import serialize_job

from crmgql.db import Database
from crmgql.domain.jobs import leases
from crmgql.domain.jobs.leases import Ring
from crmgql.errors import CrmError
from crmgql.viewer import Clock

log = structlog.get_logger("crmgql")

POLL_S = 0.05
SWEEP_S = 5.0
ANSWER_S = 5
"""How long Valkey may take for an answer. It is asked at every sweep."""

KEPT_MS = 86_400_000
"""A ring that lies about longer is forgotten by Valkey; the job is rung again."""

HEAD = 200
"""arq looks at no more than the head of a queue; what lies dead there would block it."""

FUNCTION = "attempt"


def queue_name(queue: str) -> str:
    return f"crmgql:{queue}"


class Relay:
    """From `jobs` to arq, for the queues of one worker process. `room`: how many may wait in each of arq's queues;
    `heard`: rings, as (job, attempts), that the process has been told of by arq."""

    def __init__(
        self,
        database: Database,
        redis: ArqRedis,
        queues: Sequence[str],
        *,
        room: int,
        clock: Clock,
        heard: list[tuple[UUID, int]] | None = None,
    ) -> None:
        self.heard = [] if heard is None else heard
        self.database = database
        self.redis = redis
        self.queues = list(queues)
        self.room = room
        self.clock = clock

    async def run(self) -> None:
        """Until cancelled. Raises what a lost Valkey raises; a lost database is waited for."""
        swept = float("-inf")
        while True:
            try:
                await self.take_out()
                await self.ring()
                if time.monotonic() - swept > SWEEP_S:
                    swept = time.monotonic()
                    await self.ring_lost()
                    await self.forget()
            except CrmError as error:
                log.warning("relay waits for the database", reason=error.message)
                await asyncio.sleep(1)
            await asyncio.sleep(POLL_S)

    async def ring(self) -> None:
        """What is due and was not rung yet."""
        now = self.clock()
        async with self.database.connection() as connection:
            for queue in await leases.due_queues(connection, queues=self.queues, now=now):
                rings = await leases.ring(connection, queue=queue, now=now, room=self.room)
                try:
                    await self._ring(rings)
                except BaseException:
                    await leases.unring(connection, rings)
                    raise

    async def ring_lost(self) -> None:
        """What was rung so long ago that Valkey may have lost it."""
        async with self.database.connection() as connection:
            rings = await leases.ring_lost(connection, queues=self.queues, now=self.clock())
        await self._ring(rings)

    async def _ring(self, rings: Sequence[Ring]) -> None:
        """All at once; a ring that is there already stays as it is."""
        if not rings:
            return
        at_ms = time.time_ns() // 1_000_000
        async with self.redis.pipeline(transaction=False) as pipe:
            for each in rings:
                id = f"{each.job_id}:{each.attempts}"
                arguments = (str(each.job_id), each.attempts)
                body = serialize_job(FUNCTION, arguments, {}, None, at_ms, serializer=self.redis.job_serializer)
                pipe.set(job_key_prefix + id, body, px=KEPT_MS, nx=True)
                pipe.zadd(queue_name(each.queue), {id: at_ms}, nx=True)
            await self._answered(pipe.execute())

    async def take_out(self) -> None:
        """Takes rings that were heard out of arq's queues. arq does so only when a job ends, and until then looks at
        each of them again at every poll, which costs more than the jobs."""
        if not self.heard:
            return
        ids = [f"{job_id}:{attempts}" for job_id, attempts in self.heard]
        self.heard.clear()
        async with self.redis.pipeline(transaction=False) as pipe:
            for queue in self.queues:
                pipe.zrem(queue_name(queue), *ids)
            await self._answered(pipe.execute())

    async def forget(self) -> None:
        """Takes rings out of arq of which nothing can come any more: those that a worker was killed over.

        arq itself would keep them at the head of the queue until its largest time-out has passed.
        """
        for queue in self.queues:
            names = await self._answered(self.redis.zrange(queue_name(queue), 0, HEAD - 1))
            rings = [ring for name in names if (ring := _read(name.decode(), queue)) is not None]
            if not rings:
                continue
            async with self.database.connection() as connection:
                dead = await leases.forgotten(connection, rings)
            ids = [f"{each.job_id}:{each.attempts}" for each in dead]
            if ids:
                prefixes = (job_key_prefix, in_progress_key_prefix, retry_key_prefix)
                async with self.redis.pipeline(transaction=False) as pipe:
                    pipe.zrem(queue_name(queue), *ids)
                    pipe.delete(*(prefix + id for id in ids for prefix in prefixes))
                    await self._answered(pipe.execute())

    async def _answered(self, asked: Awaitable[Any]) -> Any:
        """Raises `TimeoutError` for a Valkey that hangs. Who asks here asks for all: a time-out on each command of arq's
        would cost a third of what a worker does."""
        async with asyncio.timeout(ANSWER_S):
            return await asked


def _read(id: str, queue: str) -> Ring | None:
    try:
        job_id, attempts = id.split(":")
        return Ring(UUID(job_id), int(attempts), queue)
    except ValueError:
        return None
