"""What each worker process sees to beside its jobs: leases that ran out, schedules that are due."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

import structlog

from crmgql.db import Database
from crmgql.domain.jobs import leases, schedules
from crmgql.errors import DATABASES_OWN
from crmgql.records.records import Act
from crmgql.viewer import Clock, system

log = structlog.get_logger("crmgql")

LOOK_S = 1.0
EXPIRE_S = 5.0
TICK_S = 1.0
STALL = 3
"""A longer time without an answer than this part of a lease is a stall: the database's, this process's own, or the whole
machine's. In a shorter one, who lives loses no lease."""


class Steadiness:
    """How long the database has answered this process without a break, by the clock of the leases.

    While it does not, workers that live can't lengthen their leases: those that ran out then say nothing.
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
        """Nothing while it does not answer, and when nobody has asked it lately."""
        now = self._clock()
        return timedelta(0) if self._since is None or self._is_stalled(now) else now - self._since

    def _is_stalled(self, now: datetime) -> bool:
        return self._last is None or not timedelta(0) <= now - self._last <= leases.LEASE / STALL


async def run(database: Database, clock: Clock) -> None:
    """Until cancelled. Trouble is logged and tried again: it must not end what else the process does."""
    steady = Steadiness(clock)

    async def look() -> None:
        await database.ping()
        steady.answered()

    async def expire() -> None:
        async with database.transaction() as tx:
            if steady.lasts() < leases.LEASE:  # asked in here: getting here may be what took so long
                return
            lost = await leases.expire(tx.connection, now=clock())
        if lost:
            log.warning("took jobs from workers that fell silent", jobs=lost)

    async def tick() -> None:
        async with database.transaction() as tx:
            await schedules.tick(Act(tx, system(clock)))

    work = ((LOOK_S, "database", look), (EXPIRE_S, "leases", expire), (TICK_S, "schedules", tick))
    await asyncio.gather(*(_each(*each, steady) for each in work))


async def _each(seconds: float, what: str, work: Callable[[], Awaitable[None]], steady: Steadiness) -> None:
    while True:
        try:
            await work()
        except DATABASES_OWN:  # which is in the log already
            steady.failed()
        except Exception as trouble:
            log.warning("upkeep failed", what=what, reason=repr(trouble))
        await asyncio.sleep(seconds)
