"""What each worker process does for commissions, beside its jobs: documents of orders become credits, credits commissions.

    new position announced ┐
    the look of the worker ┴▶ take orders ─▶ facts and credits ─▶ take people ─▶ commissions, until nothing waits

It asks nothing while nothing happens. All workers do it at once, each for other orders and people.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from time import monotonic
from typing import Any
from uuid import UUID

from redis.asyncio import Redis

from crmgql.db import Database
from crmgql.domain.compensation import crediting, posting
from crmgql.domain.jobs import queues
from crmgql.errors import DATABASES_OWN
from crmgql.events import announcements
from crmgql.records.records import Act
from crmgql.viewer import Clock, system, system_clock
from crmgql.workers.failures import Failures

NAME = "commissions"
SPACING_S = 0.1
"""Between two looks for something to do, however often events are announced."""

ASIDE_S = 60.0
"""How long what can't be worked out is left alone, for whatever reason; the others go on."""

queues.watch(NAME, f"{crediting.WAITING} OR {posting.WAITING}")


class Line:
    """One of the two kinds of work. `take` holds the next ones in a transaction, which `work` does then."""

    def __init__(
        self, what: str, at_once: int, take: Callable[..., Awaitable[Collection[UUID]]], work: Callable[..., Any]
    ) -> None:
        self.what = what
        self.at_once = at_once
        self._take = take
        self._work = work
        self._aside: dict[UUID, float] = {}

    async def step(self, act: Act, most: int, taken: list[UUID]) -> None:
        """Does the next ones; `taken` gets who they are, also where that fails."""
        now = monotonic()
        self._aside = {id: until for id, until in self._aside.items() if until > now}
        found = await self._take(act, most, but=list(self._aside))
        taken.extend(found)
        if found:
            await self._work(act, found)

    def put_aside(self, id: UUID) -> None:
        self._aside[id] = monotonic() + ASIDE_S


class Commissions:
    """`run` it beside the jobs; `wake` it when documents of orders were written, or plans changed."""

    def __init__(self, database: Database, valkey: Redis, failures: Failures, clock: Clock = system_clock) -> None:
        self.database = database
        self.valkey = valkey
        self.failures = failures
        self.clock = clock
        self.lines = (
            Line("orders", crediting.AT_ONCE, crediting.take, crediting.work_out),
            Line("people", posting.AT_ONCE, posting.take, posting.post),
        )
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
                for line in self.lines:
                    await self.work_off(line)
                await asyncio.sleep(SPACING_S)
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)

    async def work_off(self, line: Line) -> None:
        """Until nothing waits. What can't be done together is done one by one, and what can't be done alone is put aside."""
        most = line.at_once
        while True:
            taken: list[UUID] = []
            try:
                async with self.database.transaction() as tx:
                    await line.step(Act(tx, system(self.clock)), most, taken)
            except DATABASES_OWN:  # already in the log; the look finds them
                return
            except Exception as trouble:
                self.failures.note("commissions are not worked out", trouble, of=line.what, together=len(taken))
                if not taken:
                    return
                if len(taken) == 1:
                    line.put_aside(taken[0])
                most = 1
                continue
            if not taken:
                return
