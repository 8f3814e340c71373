"""Claims jobs for the attempts of one process: those that ask within two milliseconds share a statement."""

from __future__ import annotations

import asyncio
from uuid import UUID

import structlog

from crmgql.db import Database
from crmgql.domain import leases
from crmgql.domain.leases import Lease
from crmgql.viewer import Clock

log = structlog.get_logger("crmgql")

GATHER_S = 0.002
"""arq starts its jobs one after the other, a fraction of a millisecond apart."""

Asked = dict[tuple[UUID, int], asyncio.Future[Lease | None]]


class Claims:
    def __init__(self, database: Database, holder: UUID, clock: Clock) -> None:
        self.database = database
        self.holder = holder
        self.clock = clock
        self.heard: list[tuple[UUID, int]] = []
        """Rings that were asked about, claimed or not: the relay takes them out of arq."""

        self._asked: Asked = {}
        self._working: asyncio.Task[None] | None = None

    async def take(self, job_id: UUID, attempts: int) -> Lease | None:
        """The job, if this attempt at it is still to be made. None as well while the database is away: it is rung again."""
        if (job_id, attempts) in self._asked:
            return None  # rung twice
        answer: asyncio.Future[Lease | None] = asyncio.get_running_loop().create_future()
        self._asked[job_id, attempts] = answer
        if self._working is None or self._working.done():
            self._working = asyncio.create_task(self._work())
        return await answer

    async def _work(self) -> None:
        while self._asked:
            await asyncio.sleep(GATHER_S)
            asked, self._asked = self._asked, {}
            taken: list[Lease] = []
            try:
                async with self.database.connection() as connection:
                    taken = await leases.claim(connection, rings=list(asked), holder=self.holder, now=self.clock())
            except Exception as trouble:
                log.warning("jobs not claimed", jobs=len(asked), reason=repr(trouble))
            found = {(lease.id, lease.attempts - 1): lease for lease in taken}
            for key, answer in asked.items():
                if not answer.done():
                    answer.set_result(found.pop(key, None))
            for lease in found.values():
                await self._give_back(lease)
            self.heard += asked

    async def _give_back(self, lease: Lease) -> None:
        """Who asked was stopped meanwhile."""
        try:
            async with self.database.transaction() as tx:
                await leases.give_back(tx.connection, lease, now=self.clock())
        except Exception as trouble:  # those who asked after it still wait for their answers
            log.warning("job not given back; its lease will run out", job=str(lease.id), reason=repr(trouble))
