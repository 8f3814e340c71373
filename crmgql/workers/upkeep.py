"""What each worker process does beside its jobs: expired leases, due schedules, and queues and events without a bell.

One statement a second, the look, finds out whether there is any of these and that the database answers; only then
transactions follow.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta

import structlog

from crmgql.db import Database
from crmgql.domain.jobs import leases, queues, schedules
from crmgql.errors import DATABASES_OWN
from crmgql.records.records import Act
from crmgql.viewer import Clock, system
from crmgql.workers.failures import Failures
from crmgql.workers.relay import Wanted

log = structlog.get_logger("crmgql")

LOOK_S = 1.0
STALL = 3
"""More than this part of a lease without an answer is a stall of the database, of this process or of the machine. In a shorter
one no living worker loses a lease."""


class Steadiness:
    """How long the database has answered this process without a break, by the clock of the leases.

    While it does not answer, living workers can't extend their leases, so an expired lease does not show a dead worker.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._since: datetime | None = None
        self._last: datetime | None = None

    def answered(self) -> None:
        now = self._clock()
        if self._since is None or self._is_stalled(now):
            self._since = now
        self._last = now

    def failed(self) -> None:
        self._since = None

    def lasts(self) -> timedelta:
        """Zero while the database does not answer, and when it was not asked lately."""
        now = self._clock()
        return timedelta(0) if self._since is None or self._is_stalled(now) else now - self._since

    def _is_stalled(self, now: datetime) -> bool:
        return self._last is None or not timedelta(0) <= now - self._last <= leases.LEASE / STALL


class Upkeep:
    """`answered` is called after each answer to the look, those of `waking` when what they are for waits: see `queues.WATCHED`."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        names: Sequence[str],
        wanted: Wanted,
        failures: Failures,
        answered: Callable[[], None] = lambda: None,
        waking: Mapping[str, Callable[[], None]] | None = None,
    ) -> None:
        self.waking = waking or {}
        self.database = database
        self.clock = clock
        self.names = names
        self.wanted = wanted
        self.failures = failures
        self.answered = answered
        self.steady = Steadiness(clock)
        self._beside: dict[str, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Looks every second until cancelled. Errors are logged; they do not end the process."""
        try:
            while True:
                await self._try("look", self.look)
                await asyncio.sleep(LOOK_S)
        finally:
            for task in self._beside.values():
                task.cancel()
            await asyncio.gather(*self._beside.values(), return_exceptions=True)

    async def look(self) -> None:
        """Asks once; passes due queues on, and starts `expire` and `tick` if needed. Raises database errors."""
        if self.database.troubles.disk_full:
            await self.database.ping()
        async with self.database.reserved() as connection:  # jobs may use all others: busy is not away
            found = await queues.look(
                connection, queues=self.names, now=self.clock(), ahead=timedelta(seconds=LOOK_S * 1.1)
            )
        self.steady.answered()
        self.answered()
        self.wanted.expect(found.due, self.clock())
        for what in found.watched & self.waking.keys():
            self.waking[what]()
        if found.lease_ran_out and self.steady.lasts() >= leases.LEASE:
            self._start("leases", self.expire)
        if found.schedule_due:
            self._start("schedules", self.tick)

    def _start(self, what: str, work: Callable[[], Awaitable[None]]) -> None:
        """Starts a task, one of each at a time: the look must go on while they wait for a connection."""
        going = self._beside.get(what)
        if going is None or going.done():
            self._beside[what] = asyncio.create_task(self._try(what, work))

    async def expire(self) -> None:
        async with self.database.transaction() as tx:
            if self.steady.lasts() < leases.LEASE:  # again, as waiting for the transaction may have taken long
                return
            lost = await leases.expire(tx.connection, now=self.clock())
        if lost:
            log.warning("leases expired; jobs will be tried again", jobs=lost)

    async def tick(self) -> None:
        async with self.database.transaction() as tx:
            await schedules.tick(Act(tx, system(self.clock)))

    async def _try(self, what: str, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except DATABASES_OWN:  # already in the log
            self.steady.failed()
        except Exception as trouble:
            self.failures.note("upkeep failed", trouble, part=what)
