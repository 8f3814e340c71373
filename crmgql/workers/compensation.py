"""What each worker process does for commissions, beside its jobs: documents of orders become facts and credits.

    new position announced ┐
    the look of the worker ┴▶ take orders ─▶ facts and credits, until none waits

It asks nothing while nothing happens. All workers do it at once, each for other orders.
"""

from __future__ import annotations

import asyncio
from time import monotonic
from uuid import UUID

from redis.asyncio import Redis

from crmgql.db import Database
from crmgql.domain.compensation import crediting
from crmgql.domain.jobs import queues
from crmgql.errors import DATABASES_OWN
from crmgql.events import announcements
from crmgql.records.records import Act
from crmgql.viewer import Clock, system, system_clock
from crmgql.workers.failures import Failures

NAME = "commissions"
SPACING_S = 0.1
"""Between two looks for orders, however often events are announced."""

ASIDE_S = 60.0
"""How long an order whose events can't be worked out is left alone; the others go on."""

queues.watch(NAME, crediting.WAITING)


class Crediting:
    """`run` it beside the jobs; `wake` it when documents of orders were written."""

    def __init__(self, database: Database, valkey: Redis, failures: Failures, clock: Clock = system_clock) -> None:
        self.database = database
        self.valkey = valkey
        self.failures = failures
        self.clock = clock
        self._aside: dict[UUID, float] = {}
        self._wanted = asyncio.Event()

    def wake(self) -> None:
        self._wanted.set()

    async def run(self) -> None:
        """Until cancelled."""
        listening = asyncio.create_task(announcements.listen(self.valkey, lambda _: self.wake()))
        try:
            while True:
                await self._wanted.wait()
                self._wanted.clear()
                await self._work()
                await asyncio.sleep(SPACING_S)
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)

    async def _work(self) -> None:
        """Until nothing waits. Where orders can't be worked out together, each is by itself."""
        most = crediting.AT_ONCE
        taken: list[UUID] = []
        while True:
            try:
                taken = []
                async with self.database.transaction() as tx:
                    act = Act(tx, system(self.clock))
                    taken = await crediting.take(act, most, but=self._left_alone())
                    if taken:
                        await crediting.work_out(act, taken)
            except DATABASES_OWN:  # already in the log; the look finds them
                return
            except Exception as trouble:
                self.failures.note("commission events are not worked out", trouble, orders=len(taken))
                if len(taken) == 1:
                    self._aside[taken[0]] = monotonic() + ASIDE_S
                most = 1
                if not taken:
                    return
                continue
            if not taken:
                return

    def _left_alone(self) -> list[UUID]:
        now = monotonic()
        self._aside = {order: until for order, until in self._aside.items() if until > now}
        return list(self._aside)
