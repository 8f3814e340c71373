"""The attempts of one worker process: it starts them, extends their leases, stops them when asked to, and ends them.

Always holds: an attempt never raises, whatever its handler does. When its end can't be written, the attempt tries again as
long as the process lives, and keeps the lease; after that the lease expires and another worker takes the job.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import Any
from uuid import UUID, uuid4

import structlog

from crmgql.config import Settings
from crmgql.db import Database
from crmgql.domain.jobs import leases
from crmgql.domain.jobs.kinds import KindUnknown
from crmgql.domain.jobs.leases import Lease, LeaseLost
from crmgql.errors import DATABASES_OWN, CrmError, TimedOut, Unavailable
from crmgql.postgres.stacks import unbroken
from crmgql.records import records
from crmgql.viewer import Clock, system_clock
from crmgql.workers.claims import Claims
from crmgql.workers.ends import Ends
from crmgql.workers.failures import Failures
from crmgql.workers.handlers import HANDLERS, Run
from crmgql.workers.metrics import Tally

log = structlog.get_logger("crmgql")

BEAT_S = 3.0
"""Interval at which leases are extended and cancel requests read."""


FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 10.0
"""Waits before another try to write the end of an attempt."""

GIVE_BACK_S = 5.0
"""How long a worker that stops may try to give a job back."""


class JobTimedOut(CrmError):
    code = "JOB_TIMED_OUT"


class Attempts:
    """`holder` identifies this process in the leases."""

    def __init__(self, database: Database, settings: Settings, clock: Clock = system_clock) -> None:
        self.database = database
        self.settings = settings
        self.clock = clock
        self.holder = uuid4()
        self.running: dict[UUID, asyncio.Task[Any]] = {}
        self.failures = Failures()
        self.claims = Claims(database, self.holder, clock, self.failures)
        self.ends = Ends(database, self.holder, clock)
        self.tally = Tally()
        self._stopped: dict[UUID, bool] = {}
        """Jobs that the heartbeat stopped: whether their lease was lost, else they were cancelled."""
        self._ending: set[UUID] = set()
        """Jobs whose end is being written: they are not stopped any more."""

    def start(self, lease: Lease) -> asyncio.Task[None]:
        """Starts an attempt; its lease is extended from now on."""
        task = self.running[lease.id] = asyncio.create_task(self.perform(lease))
        return task

    async def perform(self, lease: Lease) -> None:
        """Does a job that this process holds. Raises only when the worker itself stops."""
        task = asyncio.current_task()
        assert task is not None
        self.running[lease.id] = task
        started = time.perf_counter()
        try:
            outcome = await self._outcome(lease)
        finally:
            if self.running.get(lease.id) is task:  # this process may have claimed a later attempt
                del self.running[lease.id]
                self._stopped.pop(lease.id, None)
                self._ending.discard(lease.id)
        seconds = time.perf_counter() - started
        self.tally.note(lease.kind, outcome, seconds)
        ms = round(seconds * 1000, 1)
        log.info("job", kind=lease.kind, job=str(lease.id), attempt=lease.attempts, outcome=outcome, ms=ms)

    async def _outcome(self, lease: Lease) -> str:
        """Does the job; writes its end unless the handler's transaction did. Returns a word for log and metrics."""
        try:
            await self._work(lease)
        except asyncio.CancelledError:
            if lease.id in self._stopped:
                await self._end(lease, "cancelled")
                return "lease lost" if self._stopped[lease.id] else "cancelled"
            await unbroken(self._give_back(lease))
            raise
        except LeaseLost:
            await self._end(lease, "cancelled")  # finds its row only if a cancel request ended the lease
            return "lease lost"
        except records.COLLIDED:
            await self._end(lease, "failed", Unavailable("Too many changed the same records at once."))
            return "collided"
        except DATABASES_OWN as error:
            await self._end(lease, "put back", error)
            return error.code
        except CrmError as error:
            await self._end(lease, "failed", error)
            return error.code
        except Exception as error:
            self.failures.note("job failed", error, kind=lease.kind, job=str(lease.id))
            await self._end(lease, "failed")
            return "failed"
        return "done"

    async def _work(self, lease: Lease) -> None:
        handler = HANDLERS.get(lease.kind)
        if handler is None:
            raise KindUnknown(f"No job of the kind {lease.kind!r} is known here; drop it, or retry it with its worker.")
        run = Run(self.database, self.settings, self.clock, lease, self.ends)
        limit = asyncio.timeout(handler.kind.timeout_s)
        try:
            async with limit:
                await handler.perform(run)
        except (TimeoutError, TimedOut):
            if not limit.expired():
                raise
            raise JobTimedOut(f"It took longer than {handler.kind.timeout_s} s.") from None

    async def _end(self, lease: Lease, how: str, error: CrmError | None = None) -> None:
        """Writes the end; tries again until the database takes it."""
        self._ending.add(lease.id)
        wait_s = FIRST_WAIT_S
        while True:
            try:
                await self._write(lease, how, error)
            except (*DATABASES_OWN, *records.COLLIDED) as trouble:
                log.warning("job not ended yet", job=str(lease.id), wait_s=wait_s, reason=repr(trouble))
                await asyncio.sleep(wait_s)
                wait_s = min(2 * wait_s, LONGEST_WAIT_S)
            except Exception as trouble:
                log.warning("job not ended; its lease will run out", job=str(lease.id), reason=repr(trouble))
                return
            else:
                return

    async def _write(self, lease: Lease, how: str, error: CrmError | None) -> None:
        async with self.database.transaction() as tx:
            if how == "cancelled":
                await leases.cancelled(tx.connection, lease, now=self.clock())
            elif how == "given back":
                await leases.give_back(tx.connection, lease, now=self.clock())
            elif isinstance(error, DATABASES_OWN):
                await leases.put_back(tx.connection, lease, now=self.clock(), error=error)
            else:
                await leases.failed(tx.connection, lease, now=self.clock(), error=error)

    async def _give_back(self, lease: Lease) -> None:
        """Returns after `GIVE_BACK_S` at the latest: the process is stopping."""
        try:
            async with asyncio.timeout(GIVE_BACK_S):
                await self._end(lease, "given back")
        except TimeoutError:
            log.warning("job not given back; its lease will run out", job=str(lease.id))

    async def beat(self) -> None:
        """Until cancelled: extends the leases, and stops jobs that were cancelled or lost."""
        while True:
            await asyncio.sleep(BEAT_S)
            try:
                await self._beat()
            except Exception as trouble:
                self.failures.note("heartbeat missed", trouble)

    async def _beat(self) -> None:
        if self.claims.in_doubt:
            await self.claims.give_back_orphans(self.running)
        if not self.running:
            return
        async with self.database.reserved() as connection:  # jobs may hold all others for long
            stop = await leases.beat(connection, holder=self.holder, job_ids=list(self.running), now=self.clock())
        for job_id, is_lost in stop.items():
            task = self.running.get(job_id)
            if task is not None and job_id not in self._ending:
                self._stopped[job_id] = is_lost
                task.cancel()

    async def finish(self, patience_s: float) -> None:
        """Waits for running jobs; stops those that take longer than `patience_s` and gives them back."""
        tasks = list(self.running.values())
        if tasks:
            await asyncio.wait(tasks, timeout=patience_s)
        tasks = list(self.running.values())
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError, Exception):
                await task
