"""The worker process: arq, with JSON instead of pickle and no kept results. Jobs are thin calls into the domain.

Always holds: a worker that loses Valkey, or finds none, waits for it and works on; only a signal stops it. What it was
doing is undone or done again: every job may run twice.
"""

from __future__ import annotations

import asyncio
import json
import signal
from contextlib import suppress
from typing import Any, cast

import structlog
from arq import cron
from arq.connections import ArqRedis
from arq.worker import Worker
from redis.asyncio import ConnectionPool
from redis.exceptions import RedisError

from crmgql import db
from crmgql.config import Settings
from crmgql.errors import SetupError
from crmgql.workers import housekeeping

log = structlog.get_logger("crmgql")

QUEUE = "crmgql:jobs"
POLL_S = 0.05
ANSWER_S = 5
"""How long Valkey may take for an answer: a cable that was pulled tells nobody."""

FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 30.0
LOST = (RedisError, OSError)
"""What a vanished Valkey looks like, or one that does not let us in."""


def run(settings: Settings) -> None:
    """Works until it is told to stop by SIGTERM or SIGINT. Raises `SetupError` for settings that lack a server."""
    if settings.database_url is None or settings.redis_url is None:
        raise SetupError("Set CRMGQL_DATABASE_URL and CRMGQL_REDIS_URL, or use “crmgql dev”, which starts both.")
    with suppress(asyncio.CancelledError):
        asyncio.run(_run(settings.database_url, settings.redis_url, settings.pool_size))


async def _run(database_url: str, redis_url: str, pool_size: int) -> None:
    task = asyncio.current_task()
    assert task is not None
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    database = await db.connect(database_url, pool_size=pool_size)
    try:
        await _persist(redis_url, database)
    finally:
        await database.close()


async def _persist(redis_url: str, database: db.Database) -> None:
    """Works, and waits where there is no Valkey to work off: twice as long each time, from anew once it was there."""
    attempt = 0
    while True:
        redis = _client(redis_url)
        try:
            await redis.ping()
            attempt = 0
            await _work(redis, database)
        except LOST as error:
            wait_s = min(FIRST_WAIT_S * 2 ** min(attempt, 10), LONGEST_WAIT_S)
            attempt += 1
            log.warning("Valkey does not answer; waiting for it", attempt=attempt, wait_s=wait_s, reason=str(error))
            await asyncio.sleep(wait_s)
        finally:
            await redis.aclose(close_connection_pool=True)


def _client(redis_url: str) -> ArqRedis:
    return ArqRedis(
        ConnectionPool.from_url(redis_url, socket_timeout=ANSWER_S, socket_connect_timeout=ANSWER_S),
        job_serializer=lambda job: json.dumps(job).encode(),
        job_deserializer=json.loads,
        default_queue_name=QUEUE,
    )


async def _work(redis: ArqRedis, database: db.Database) -> None:
    """Raises one of `LOST` when Valkey is gone; no job runs any more when this is left."""
    worker = _worker(redis, database)
    try:
        await worker.async_run()
    finally:
        jobs = list(worker.tasks.values())
        for job in jobs:
            job.cancel()
        await asyncio.gather(*jobs, return_exceptions=True)


def _worker(redis: ArqRedis, database: db.Database) -> Worker:
    return Worker(
        functions=cast(Any, [housekeeping.sweep]),
        cron_jobs=[cron(cast(Any, housekeeping.sweep), minute={7}, run_at_startup=True, unique=True)],
        redis_pool=redis,
        queue_name=QUEUE,
        ctx={"database": database},
        keep_result=0,
        poll_delay=POLL_S,
        job_serializer=redis.job_serializer,
        job_deserializer=redis.job_deserializer,
        handle_signals=False,
    )
