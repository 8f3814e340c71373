"""Ends that share a commit: those of jobs whose effects, if any, are committed before.

A handler that works in one transaction ends its job in that transaction: no other job's failure can undo its effect. A long
handler has committed its steps, and one that writes nothing has no effect: one statement ends all of these that are over at
the same time, each under its own lease. A job that this statement did not end is ended alone, which raises the reason.
"""

from __future__ import annotations

import asyncio
from uuid import UUID

from crmgql.db import Database
from crmgql.domain.jobs import leases
from crmgql.domain.jobs.leases import Lease, Result
from crmgql.errors import DATABASES_OWN
from crmgql.viewer import Clock

Waiting = list[tuple[Lease, Result, asyncio.Future[None]]]
MOST = 500
"""Ends in one statement."""


class Ends:
    def __init__(self, database: Database, holder: UUID, clock: Clock) -> None:
        self.database = database
        self.holder = holder
        self.clock = clock
        self._waiting: Waiting = []
        self._writing: asyncio.Task[None] | None = None

    async def done(self, lease: Lease, result: Result) -> None:
        """Ends a job as done; its effects are committed. Raises `LeaseLost` and database errors."""
        ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((lease, result, ended))
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write())
        await ended

    async def _write(self) -> None:
        """One statement at a time; ends that arrive during it share the next one."""
        while self._waiting:
            some, self._waiting = self._waiting[:MOST], self._waiting[MOST:]
            try:
                async with self.database.connection() as connection:
                    over = await leases.done_together(
                        connection, [each[:2] for each in some], holder=self.holder, now=self.clock()
                    )
            except DATABASES_OWN as trouble:
                for _, _, ended in some:
                    if not ended.done():
                        ended.set_exception(trouble)
                continue
            except Exception:  # a result can't be written: each alone finds out which
                over = set()
            for lease, result, ended in some:
                if lease.id not in over:
                    await self._alone(lease, result, ended)
                elif not ended.done():
                    ended.set_result(None)

    async def _alone(self, lease: Lease, result: Result, ended: asyncio.Future[None]) -> None:
        try:
            async with self.database.transaction() as tx:
                await leases.done(tx.connection, lease, now=self.clock(), result=result)
        except Exception as error:
            if not ended.done():
                ended.set_exception(error)
        else:
            if not ended.done():
                ended.set_result(None)
