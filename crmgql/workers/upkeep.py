"""What each worker process sees to beside its jobs: leases that ran out, schedules that are due."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from crmgql.db import Database
from crmgql.domain import leases, schedules
from crmgql.domain.records import Act
from crmgql.viewer import Clock, system

log = structlog.get_logger("crmgql")

EXPIRE_S = 5.0
TICK_S = 1.0


async def run(database: Database, clock: Clock) -> None:
    """Until cancelled. Trouble is logged and tried again: it must not end what else the process does."""

    async def expire() -> None:
        async with database.transaction() as tx:
            lost = await leases.expire(tx.connection, now=clock())
        if lost:
            log.warning("took jobs from workers that fell silent", jobs=lost)

    async def tick() -> None:
        async with database.transaction() as tx:
            await schedules.tick(Act(tx, system(clock)))

    await asyncio.gather(_each(EXPIRE_S, "leases", expire), _each(TICK_S, "schedules", tick))


async def _each(seconds: float, what: str, work: Callable[[], Awaitable[None]]) -> None:
    while True:
        try:
            await work()
        except Exception as trouble:
            log.warning("upkeep failed", what=what, reason=repr(trouble))
        await asyncio.sleep(seconds)
