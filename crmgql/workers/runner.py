"""The worker process: arq's workers, one per queue, and what keeps them and their jobs going.

Always holds: a worker that loses Valkey or PostgreSQL, or finds none, waits for it and works on; only a signal stops it.
What it was doing then is given back, and what a kill interrupts is found by its lease: every job may be started twice,
none is done twice.
"""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import socket
from collections.abc import Sequence
from typing import Any, cast
from uuid import UUID

import structlog
import uvloop
from arq import func
from arq.connections import ArqRedis
from arq.worker import Worker
from redis.asyncio import ConnectionPool
from redis.exceptions import RedisError

from crmgql import db
from crmgql.config import Settings
from crmgql.domain.jobs import kinds, schedules
from crmgql.errors import CrmError, DatabaseAway, SetupError
from crmgql.records.records import Act
from crmgql.viewer import system, system_clock
from crmgql.workers import chapters as _bodies  # noqa: F401 - importing them is what declares
from crmgql.workers import upkeep
from crmgql.workers.attempts import Attempts
from crmgql.workers.relay import ANSWER_S, FUNCTION, POLL_S, Relay, queue_name

log = structlog.get_logger("crmgql")

FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 30.0
LOST = (RedisError, OSError)
"""What a vanished Valkey looks like, or one that does not let us in."""

PROBES = {
    getattr(socket, name): value
    for name, value in {"TCP_KEEPIDLE": 5, "TCP_KEEPINTVL": 2, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": 10_000}.items()
    if hasattr(socket, name)
}
"""Options of a TCP socket that make the kernel give up on a silent peer after some ten seconds, where it knows them."""

CONNECTION_S = 30.0
"""How long a job may wait for a database connection: others hold theirs for as long as they take."""

PATIENCE_S = 3.0
"""How long jobs may go on when the worker is told to stop."""

CANCEL_S = 1.0
"""How long a cancelled task may take before it is cancelled again."""

NO_TIMEOUT_S = 86_400
"""arq's own: ours are per kind, and the lease tells who is dead."""

BULK_AT_ONCE = 2
LEAST_ROOM = 200
"""Jobs that may wait in an arq queue: enough for what is done between two polls, few enough for priorities to hold."""


def run(settings: Settings, queues: Sequence[str] = kinds.QUEUES) -> None:
    """Works until it is told to stop by SIGTERM or SIGINT. Raises `SetupError` for settings that lack a server."""
    if settings.database_url is None or settings.redis_url is None:
        raise SetupError("Set CRMGQL_DATABASE_URL and CRMGQL_REDIS_URL, or use “crmgql dev”, which starts both.")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_run(settings, settings.database_url, settings.redis_url, queues))


async def _run(settings: Settings, database_url: str, redis_url: str, queues: Sequence[str]) -> None:
    """Raises what ended the work, if that was not a signal."""
    logging.getLogger("arq.worker").setLevel(logging.WARNING)  # each job has a line of ours
    told = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    work = asyncio.create_task(_live(settings, database_url, redis_url, queues))
    stop = asyncio.create_task(told.wait())
    try:
        await asyncio.wait([work, stop], return_when=asyncio.FIRST_COMPLETED)
    finally:
        work.cancel()  # once: what it does at its end must not be cancelled
        await asyncio.wait([work])
        stop.cancel()
    if not work.cancelled():
        work.result()


async def _live(settings: Settings, database_url: str, redis_url: str, queues: Sequence[str]) -> None:
    """Until cancelled: waits for the database, works, gives back what it does."""
    database = await _connected(database_url, settings)
    try:
        await _seed(database)
        await _work_on(Attempts(database, settings), redis_url, queues)
    finally:
        await database.close()


async def _work_on(attempts: Attempts, redis_url: str, queues: Sequence[str]) -> None:
    beside = [asyncio.create_task(attempts.beat()), asyncio.create_task(upkeep.run(attempts.database, attempts.clock))]
    work = asyncio.create_task(_persist(redis_url, attempts, queues))
    try:
        await asyncio.wait([work])
        work.result()
    finally:
        await ended(work, every_s=2 * CANCEL_S)
        await attempts.finish(PATIENCE_S)
        await ended(*beside)


async def _connected(url: str, settings: Settings) -> db.Database:
    """Waits where there is no PostgreSQL yet: twice as long each time. Raises `SetupError` for one that refuses us."""
    attempt = 0
    while True:
        try:
            return await db.connect(
                url,
                pool_size=settings.pool_size,
                statement_timeout_ms=settings.statement_timeout_ms,
                wait_s=CONNECTION_S,
            )
        except DatabaseAway as error:
            wait_s = min(FIRST_WAIT_S * 2 ** min(attempt, 10), LONGEST_WAIT_S)
            attempt += 1
            log.warning(
                "PostgreSQL does not answer; waiting for it", attempt=attempt, wait_s=wait_s, reason=error.message
            )
            await asyncio.sleep(wait_s)


async def ended(*tasks: asyncio.Task[Any], every_s: float = CANCEL_S) -> None:
    """Cancels tasks until they have ended. Once is not enough: until Python 3.12 `asyncio.wait_for`, which the Redis client
    calls for each command, loses a cancellation that comes together with its answer."""
    while left := [task for task in tasks if not task.done()]:
        for task in left:
            task.cancel()
        await asyncio.wait(left, timeout=every_s)
    for task in tasks:
        task.cancelled() or task.exception()  # heard, so that nobody is warned of it


async def _seed(database: db.Database) -> None:
    """The schedules that a fresh installation has. A database that is away now has them, or gets them next time."""
    try:
        async with database.transaction() as tx:
            await schedules.seed(Act(tx, system(system_clock)))
    except CrmError as error:
        log.warning("schedules not checked", reason=error.message)


async def _persist(redis_url: str, attempts: Attempts, queues: Sequence[str]) -> None:
    """Works, and waits where there is no Valkey to work off: twice as long each time, from anew once it was there."""
    attempt = 0
    while True:
        redis = client(redis_url)
        try:
            await redis.ping()
            attempt = 0
            await _work(redis, attempts, queues)
        except LOST as error:
            wait_s = min(FIRST_WAIT_S * 2 ** min(attempt, 10), LONGEST_WAIT_S)
            attempt += 1
            log.warning("Valkey does not answer; waiting for it", attempt=attempt, wait_s=wait_s, reason=str(error))
            await asyncio.sleep(wait_s)
        finally:
            await redis.aclose(close_connection_pool=True)


def client(redis_url: str) -> ArqRedis:
    """A cable that was pulled tells nobody: the kernel probes connections, the relay sees whether Valkey answers."""
    probing = {} if redis_url.startswith("unix") else {"socket_keepalive": True, "socket_keepalive_options": PROBES}
    return ArqRedis(
        ConnectionPool.from_url(redis_url, socket_connect_timeout=ANSWER_S, **probing),
        job_serializer=lambda job: json.dumps(job).encode(),
        job_deserializer=json.loads,
    )


async def _work(redis: ArqRedis, attempts: Attempts, queues: Sequence[str]) -> None:
    """Raises one of `LOST` when Valkey is gone; what runs then needs only the database, and goes on."""
    at_once = attempts.settings.worker_jobs
    relay = Relay(
        attempts.database,
        redis,
        queues,
        room=max(LEAST_ROOM, 4 * at_once),
        clock=attempts.clock,
        heard=attempts.claims.heard,
    )
    workers = [_worker(redis, attempts, queue) for queue in queues]
    parts = [asyncio.create_task(relay.run()), *(asyncio.create_task(each.async_run()) for each in workers)]
    try:
        await asyncio.wait(parts, return_when=asyncio.FIRST_EXCEPTION)
        for part in parts:
            if part.done():
                part.result()
    finally:
        await ended(*parts)
        for each in workers:
            _let_go(each)


def _let_go(worker: Worker) -> None:
    """arq's side of what still runs may fail, as Valkey is gone: nobody needs to hear of it."""
    for task in worker.tasks.values():
        task.add_done_callback(lambda done: done.cancelled() or done.exception())


def _worker(redis: ArqRedis, attempts: Attempts, queue: str) -> Worker:
    async def attempt(context: dict[str, Any], job_id: str, number: int) -> None:
        await attempts.attempt(UUID(job_id), number)

    at_once = attempts.settings.worker_jobs
    return Worker(
        functions=cast(Any, [func(cast(Any, attempt), name=FUNCTION, timeout=NO_TIMEOUT_S, max_tries=1000)]),
        redis_pool=redis,
        queue_name=queue_name(queue),
        max_jobs=min(at_once, BULK_AT_ONCE) if queue == "bulk" else at_once,
        job_timeout=NO_TIMEOUT_S,
        keep_result=0,
        poll_delay=POLL_S,
        job_serializer=redis.job_serializer,
        job_deserializer=redis.job_deserializer,
        handle_signals=False,
        log_results=False,
    )
