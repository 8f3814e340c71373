"""arq's side: a ring is put into arq's queue, and arq calls the drain of that queue. See the package for what is gone around.

The only place that enqueues, and the only one that knows arq.
"""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import time
from collections.abc import Awaitable, Callable
from typing import Any, cast
from uuid import uuid4

from arq import func
from arq.connections import ArqRedis
from arq.constants import job_key_prefix
from arq.jobs import serialize_job
from arq.worker import Worker
from redis.asyncio import ConnectionPool

from crmgql.workers.bells import ANSWER_S, LOST

__all__ = ["LOST", "ArqRedis", "Rings", "client", "queue_name"]

FUNCTION = "drain"
STALE_MS = 60_000
"""A ring that was not taken up in this time is forgotten."""

NO_TIMEOUT_S = 86_400
"""arq's own: ours are per kind, and the lease tells who is dead."""

AT_ONCE = 5
"""Rings that arq answers at once: one that comes while the drain goes on is answered by it at once."""

LET_GO_S = 1.0
"""How long arq may take to end its side of a ring."""

PROBES = {
    getattr(socket, name): value
    for name, value in {"TCP_KEEPIDLE": 5, "TCP_KEEPINTVL": 2, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": 10_000}.items()
    if hasattr(socket, name)
}
"""Options of a TCP socket that make the kernel give up on a silent peer after some ten seconds, where it knows them."""


def queue_name(queue: str) -> str:
    return f"crmgql:{queue}"


def client(redis_url: str) -> ArqRedis:
    """A cable that was pulled tells nobody: the kernel probes connections, the relay sees whether Valkey answers."""
    probing = {} if redis_url.startswith("unix") else {"socket_keepalive": True, "socket_keepalive_options": PROBES}
    return ArqRedis(
        ConnectionPool.from_url(redis_url, socket_connect_timeout=ANSWER_S, **probing),
        job_serializer=lambda job: json.dumps(job).encode(),
        job_deserializer=json.loads,
    )


class Rings:
    """Of one queue: `ring` tells arq, and arq calls `answer`, in this process or in another one."""

    def __init__(self, redis: ArqRedis, queue: str, answer: Callable[[], Awaitable[None]]) -> None:
        logging.getLogger("arq.worker").setLevel(logging.WARNING)  # each job has a line of ours
        self.redis = redis
        self.queue = queue
        self._worker = _worker(redis, queue, answer)

    async def ring(self) -> None:
        """Raises one of `LOST`, `TimeoutError` included, for a Valkey that hangs."""
        id, at_ms = uuid4().hex, time.time_ns() // 1_000_000
        body = serialize_job(FUNCTION, (), {}, None, at_ms, serializer=self.redis.job_serializer)
        name = queue_name(self.queue)
        async with self.redis.pipeline(transaction=False) as pipe:
            pipe.zremrangebyscore(name, "-inf", at_ms - STALE_MS)
            pipe.set(job_key_prefix + id, body, px=STALE_MS)
            pipe.zadd(name, {id: at_ms})
            async with asyncio.timeout(ANSWER_S):
                await pipe.execute()
        self._worker.rung.set()

    async def run(self) -> None:
        """Until cancelled; raises what a lost Valkey raises."""
        self._worker.rung.set()  # what others have rung before
        await self._worker.async_run()

    async def let_go(self) -> None:
        """Ends arq's side of what still goes on; the drain itself goes on."""
        tasks = list(self._worker.tasks.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=LET_GO_S)


class _Told(Worker):
    """arq's worker, which looks into its queue when it is told to, instead of all the time."""

    rung: asyncio.Event

    async def main(self) -> None:
        self.ctx["redis"] = self.pool
        while True:
            await self.rung.wait()
            self.rung.clear()
            try:
                await self._poll_iteration()
            finally:
                for task in self.tasks.values():
                    task.add_done_callback(_heard)


def _heard(done: asyncio.Task[Any]) -> None:
    """arq's side of a ring may fail, as Valkey is gone: nobody needs to be warned of it."""
    if not done.cancelled():
        done.exception()


async def _answered(answer: Callable[[], Awaitable[None]]) -> None:
    await answer()


def _worker(redis: ArqRedis, queue: str, answer: Callable[[], Awaitable[None]]) -> _Told:
    going: set[asyncio.Task[None]] = set()

    async def drain(context: dict[str, Any]) -> None:
        task = asyncio.create_task(_answered(answer))
        going.add(task)
        task.add_done_callback(going.discard)
        await asyncio.shield(task)  # what arq stops is only arq's side of it

    worker = _Told(
        functions=cast(Any, [func(cast(Any, drain), name=FUNCTION, timeout=NO_TIMEOUT_S, max_tries=1000)]),
        redis_pool=redis,
        queue_name=queue_name(queue),
        max_jobs=AT_ONCE,
        job_timeout=NO_TIMEOUT_S,
        keep_result=0,
        job_serializer=redis.job_serializer,
        job_deserializer=redis.job_deserializer,
        handle_signals=False,
        log_results=False,
    )
    worker.rung = asyncio.Event()
    return worker
