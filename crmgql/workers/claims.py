"""Claims jobs for the attempts of one process: those that ask within two milliseconds share a statement."""

from __future__ import annotations

import asyncio
from uuid import UUID

import structlog

from crmgql.db import Database
from crmgql.domain.jobs import leases
from crmgql.domain.jobs.leases import Lease
from crmgql.viewer import Clock

log = structlog.get_logger("crmgql")

GATHER_S = 0.002
"""arq starts its jobs one after the other, a fraction of a millisecond apart."""

AGAIN_S = 1.0
"""What could not be given back is tried again after this time."""

Asked = dict[tuple[UUID, int], asyncio.Future[Lease | None]]


class Claims:
    def __init__(self, database: Database, holder: UUID, clock: Clock) -> None:
        self.database = database
        self.holder = holder
        self.clock = clock
        self.heard: list[tuple[UUID, int]] = []
        """Rings that were asked about, claimed or not: the relay takes them out of arq."""

        self._asked: Asked = {}
        self._unwanted: set[tuple[UUID, int]] = set()
        """Rings that may be claimed for us, and that nobody here does."""

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
        """One statement at a time, so that giving back never meets a new claim of the same job."""
        while self._asked or self._unwanted:
            await asyncio.sleep(GATHER_S)
            if not await self._unclaim():
                await asyncio.sleep(AGAIN_S)
            asked, self._asked = self._asked, {}
            if asked:
                await self._claim(asked)

    async def _claim(self, asked: Asked) -> None:
        taken: list[Lease] = []
        try:
            async with self.database.connection() as connection:
                taken = await leases.claim(connection, rings=list(asked), holder=self.holder, now=self.clock())
        except Exception as trouble:  # the answer may be what was lost
            log.warning("jobs not claimed", jobs=len(asked), reason=repr(trouble))
            self._unwanted |= asked.keys()
        found = {(lease.id, lease.attempts - 1): lease for lease in taken}
        for key, answer in asked.items():
            if not answer.done():
                answer.set_result(lease := found.pop(key, None))
                if lease is not None:
                    self._unwanted.discard(key)
        self._unwanted |= found.keys()  # who asked was stopped meanwhile
        self.heard += asked

    async def _unclaim(self) -> bool:
        """Gives back what is unwanted; False where that must be tried again."""
        if not self._unwanted:
            return True
        try:
            async with self.database.transaction() as tx:
                await leases.unclaim(tx.connection, list(self._unwanted), holder=self.holder, now=self.clock())
        except Exception as trouble:  # those who asked after it still wait for their answers
            log.warning("jobs not given back; trying again", jobs=len(self._unwanted), reason=repr(trouble))
            return False
        self._unwanted.clear()
        return True
