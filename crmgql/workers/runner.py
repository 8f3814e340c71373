"""The worker process: connects, starts a drain per queue with heartbeat and upkeep beside them, and stops on a signal.

Always holds: a worker without Valkey or PostgreSQL waits for it and continues; only a signal stops it. Its running jobs are
then given back. The jobs of a killed worker are found by their leases: a job may be started twice, its effect happens once.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Any

import structlog
import uvloop

from crmgql import db, secrets_file
from crmgql.config import Settings
from crmgql.domain.jobs import kinds, schedules
from crmgql.domain.jobs import queues as waiting
from crmgql.domain.webhooks.keys import KEYS
from crmgql.errors import CrmError, DatabaseAway, SetupError
from crmgql.records.records import Act
from crmgql.viewer import system, system_clock
from crmgql.workers import (
    chapters,  # noqa: F401 - importing them declares the handlers
    compensation,
    metrics,
)
from crmgql.workers.attempts import Attempts
from crmgql.workers.compensation import Commissions
from crmgql.workers.dispatcher import Dispatcher
from crmgql.workers.drains import Drain
from crmgql.workers.feed import FeedRelay
from crmgql.workers.relay import Relay, Wanted
from crmgql.workers.rings import LOST, client
from crmgql.workers.upkeep import Upkeep

log = structlog.get_logger("crmgql")

FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 30.0

CONNECTION_S = 30.0
"""How long a job may wait for a database connection while other jobs hold all of them."""

PATIENCE_S = 3.0
"""How long jobs may run on after the signal to stop."""

CANCEL_S = 1.0
"""How long a cancelled task may take before it is cancelled again."""

BULK_AT_ONCE = 2
"""Jobs of the queue `bulk` at once: each may take an hour and a connection."""

Address = tuple[str, int]


def run(settings: Settings, queues: Sequence[str] = kinds.QUEUES, metrics_at: Address | None = None) -> None:
    """Works until SIGTERM or SIGINT. Raises `SetupError` when the settings lack a server."""
    if settings.database_url is None or settings.redis_url is None:
        raise SetupError("Set CRMGQL_DATABASE_URL and CRMGQL_REDIS_URL, or use “crmgql dev”, which starts both.")
    if (secret := secrets_file.known(settings)) is not None:
        KEYS.use(secret)
    process = Process(settings, queues, settings.redis_url)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_run(process, settings.database_url, metrics_at))


async def _run(process: Process, database_url: str, metrics_at: Address | None) -> None:
    """Raises the error that ended the work, if it was not a signal."""
    signalled = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, signalled.set)
    work = asyncio.create_task(process.live(database_url, metrics_at))
    stop = asyncio.create_task(signalled.wait())
    try:
        await asyncio.wait([work, stop], return_when=asyncio.FIRST_COMPLETED)
    finally:
        work.cancel()  # once: what it does at its end must not be cancelled
        await asyncio.wait([work])
        stop.cancel()
    if not work.cancelled():
        work.result()


class Process:
    """One worker process: its state, which outlives connections to Valkey."""

    def __init__(self, settings: Settings, queues: Sequence[str], redis_url: str) -> None:
        self.settings = settings
        self.queues = queues
        self.redis_url = redis_url
        self.wanted = Wanted()
        self.answers = metrics.Answers()
        self.relay: Relay | None = None

    async def live(self, database_url: str, metrics_at: Address | None) -> None:
        """Until cancelled: waits for the database, does jobs; at the end gives running jobs back."""
        database = await _connected(database_url, self.settings)
        try:
            await _seed(database)
            await self._work_on(database, metrics_at)
        finally:
            await database.close()

    async def _work_on(self, database: db.Database, metrics_at: Address | None) -> None:
        attempts = Attempts(database, self.settings)
        drains = {queue: self._drain(attempts, queue) for queue in self.queues}
        database.on_queued = self._ring_bells
        feed = FeedRelay(database, self.redis_url)
        valkey = client(self.redis_url)
        dispatcher = Dispatcher(database, self.settings, valkey, attempts.failures)
        commissions = Commissions(database, valkey, attempts.failures)
        upkeep = Upkeep(
            database,
            attempts.clock,
            self.queues,
            self.wanted,
            attempts.failures,
            self.answers.postgresql,
            {"events": feed.wake, "webhooks": dispatcher.wake, compensation.NAME: commissions.wake},
        )
        async with AsyncExitStack() as stack:
            stack.push_async_callback(valkey.aclose, close_connection_pool=True)
            if metrics_at is not None:
                await stack.enter_async_context(metrics.served(self._page(attempts, dispatcher), *metrics_at))
            works = [attempts.beat(), upkeep.run(), feed.run(), commissions.run()]
            if KEYS.is_known:
                works.append(dispatcher.run())
            else:
                log.warning("this worker sends no webhooks: CRMGQL_SECRET_KEY is not set")
            beside = [asyncio.create_task(each) for each in works]
            work = asyncio.create_task(self._persist(drains))
            try:
                await asyncio.wait([work])
                work.result()
            finally:
                await ended(work, every_s=2 * CANCEL_S)
                await asyncio.gather(*(drain.stop(PATIENCE_S) for drain in drains.values()))
                await attempts.finish(PATIENCE_S)
                await ended(*beside)
                await dispatcher.stop(PATIENCE_S)

    def _drain(self, attempts: Attempts, queue: str) -> Drain:
        at_once = self.settings.worker_jobs
        return Drain(attempts, queue, min(at_once, BULK_AT_ONCE) if queue == "bulk" else at_once, self._ring_bells)

    def _ring_bells(self, queues: Sequence[str] | set[str]) -> None:
        if self.relay is not None:
            self.relay.bells.ring(queues)

    def _page(self, attempts: Attempts, dispatcher: Dispatcher) -> metrics.Page:
        async def depths() -> waiting.Depths:
            async with attempts.database.reserved() as connection:
                return await waiting.depths(connection, queues=kinds.QUEUES, now=attempts.clock())

        running = attempts.running
        return metrics.Page(attempts.tally, self.answers, lambda: len(running), depths, dispatcher.metrics)

    async def _persist(self, drains: dict[str, Drain]) -> None:
        """Relays for as long as Valkey answers, else waits for it: twice as long each time until it answers again."""
        attempt = 0
        while True:
            redis = client(self.redis_url)
            try:
                await redis.ping()
                attempt = 0
                self.relay = Relay(redis, drains, self.wanted, self.answers.valkey)
                await _work(self.relay)
            except LOST as error:
                wait_s, attempt = _wait_s(attempt), attempt + 1
                log.warning("Valkey does not answer; waiting for it", attempt=attempt, wait_s=wait_s, reason=str(error))
                await asyncio.sleep(wait_s)
            finally:
                self.relay = None
                await redis.aclose(close_connection_pool=True)


def _wait_s(attempt: int) -> float:
    """Before another try to connect."""
    return min(FIRST_WAIT_S * 2.0 ** min(attempt, 10), LONGEST_WAIT_S)


async def _work(relay: Relay) -> None:
    """Raises one of `LOST` when Valkey is gone; running drains need only the database, and continue."""
    works = [relay.run(), relay.listen(), *(rings.run() for rings in relay.rings.values())]
    parts = [asyncio.create_task(work) for work in works]
    try:
        await asyncio.wait(parts, return_when=asyncio.FIRST_EXCEPTION)
        for part in parts:
            if part.done():
                part.result()
    finally:
        await ended(*parts)
        await relay.bells.stop()
        await asyncio.gather(*(rings.let_go() for rings in relay.rings.values()))


async def _connected(url: str, settings: Settings) -> db.Database:
    """Waits for PostgreSQL, twice as long each time. Raises `SetupError` when it refuses the connection."""
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
            wait_s, attempt = _wait_s(attempt), attempt + 1
            log.warning(
                "PostgreSQL does not answer; waiting for it", attempt=attempt, wait_s=wait_s, reason=error.message
            )
            await asyncio.sleep(wait_s)


async def ended(*tasks: asyncio.Task[Any], every_s: float = CANCEL_S) -> None:
    """Cancels tasks until they have ended. Once is not enough: before Python 3.12 `asyncio.wait_for`, which the Redis client
    calls for each command, loses a cancellation that arrives together with the answer."""
    while left := [task for task in tasks if not task.done()]:
        for task in left:
            task.cancel()
        await asyncio.wait(left, timeout=every_s)
    for task in tasks:
        task.cancelled() or task.exception()  # reads the exception, so that asyncio does not warn


async def _seed(database: db.Database) -> None:
    """Makes the built-in schedules. If the database is away, the next start makes them."""
    try:
        async with database.transaction() as tx:
            await schedules.seed(Act(tx, system(system_clock)))
    except CrmError as error:
        log.warning("schedules not checked", reason=error.message)
