"""The adapter to arq: puts a ring into arq's queue, and arq calls the drain of that queue. The package's docstring says why.

The only module that enqueues in arq, and the only one that imports it.
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
"""A ring that arq has not started in this time is removed."""

NO_TIMEOUT_S = 86_400
"""arq's time-out, never reached: kinds have their own, and a lease shows that its worker is dead."""

AT_ONCE = 5
"""Rings that arq handles at once: while the drain runs, another ring only wakes it and returns."""

LET_GO_S = 1.0
"""How long to wait for arq's tasks after cancelling them."""

PROBES = {
    getattr(socket, name): value
    for name, value in {"TCP_KEEPIDLE": 5, "TCP_KEEPINTVL": 2, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": 10_000}.items()
    if hasattr(socket, name)
}
"""TCP socket options, where the system has them, that close a connection after some ten seconds without an answer."""


def queue_name(queue: str) -> str:
    return f"crmgql:{queue}"


def client(redis_url: str) -> ArqRedis:
    """A client without time-outs per command: the kernel probes the connection, and the relay limits its waits."""
    probing = {} if redis_url.startswith("unix") else {"socket_keepalive": True, "socket_keepalive_options": PROBES}
    return ArqRedis(
        ConnectionPool.from_url(redis_url, socket_connect_timeout=ANSWER_S, **probing),
        job_serializer=lambda job: json.dumps(job).encode(),
        job_deserializer=json.loads,
    )


class Rings:
    """The rings of one queue: after `ring` arq calls `answer`, in this process or in another one."""

    def __init__(self, redis: ArqRedis, queue: str, answer: Callable[[], Awaitable[None]]) -> None:
        logging.getLogger("arq.worker").setLevel(logging.WARNING)  # `attempts` logs each job
        self.redis = redis
        self.queue = queue
        self._worker = _worker(redis, queue, answer)

    async def ring(self) -> None:
        """Raises one of `LOST`; when Valkey hangs, `TimeoutError`, which is one of them."""
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
        """Runs arq's worker until cancelled. Raises one of `LOST`."""
        self._worker.rung.set()  # there may be rings from before
        await self._worker.async_run()

    async def let_go(self) -> None:
        """Cancels arq's tasks; a running drain continues."""
        tasks = list(self._worker.tasks.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=LET_GO_S)


class _Worker(Worker):
    """arq's worker, but it reads its queue when `rung` is set instead of polling."""

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
                    task.add_done_callback(_retrieve)


def _retrieve(done: asyncio.Task[Any]) -> None:
    """Reads the task's exception, so that asyncio does not warn: arq's task fails when Valkey is gone."""
    if not done.cancelled():
        done.exception()


async def _answered(answer: Callable[[], Awaitable[None]]) -> None:
    await answer()


def _worker(redis: ArqRedis, queue: str, answer: Callable[[], Awaitable[None]]) -> _Worker:
    going: set[asyncio.Task[None]] = set()

    async def drain(context: dict[str, Any]) -> None:
        task = asyncio.create_task(_answered(answer))
        going.add(task)
        task.add_done_callback(going.discard)
        await asyncio.shield(task)  # cancelling arq's task must not cancel the drain

    worker = _Worker(
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
