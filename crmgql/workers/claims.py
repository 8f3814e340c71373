"""Claims batches of jobs for one process, and gives back what was claimed and can't be done here.

Always holds: whatever the database says became of a claim, no lease of this process is left to run out for it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Sequence
from uuid import UUID

from crmgql.db import Database
from crmgql.domain.jobs import leases
from crmgql.domain.jobs.leases import Lease
from crmgql.viewer import Clock
from crmgql.workers.failures import Failures

DOUBT_S = leases.LEASE.total_seconds()
"""How long after a claim whose answer was lost it may still be found to have happened."""


class Claims:
    def __init__(self, database: Database, holder: UUID, clock: Clock, failures: Failures) -> None:
        self.database = database
        self.holder = holder
        self.clock = clock
        self.failures = failures
        self._doubted_until = float("-inf")
        self._one_at_a_time = asyncio.Lock()
        """What looks for claims that nobody knows of must not meet one whose answer is under way."""

    async def take(self, queue: str, limit: int) -> list[Lease]:
        """The next jobs of a queue; none as well while the database is away: the look tells of them again."""
        async with self._one_at_a_time:
            try:
                async with self.database.connection() as connection:
                    found = await leases.claim(
                        connection, queue=queue, limit=limit, holder=self.holder, now=self.clock()
                    )
            except asyncio.CancelledError:
                self._doubt()
                raise
            except Exception as trouble:
                self._doubt()
                self.failures.note("jobs not claimed", trouble)
                return []
        return found

    def _doubt(self) -> None:
        self._doubted_until = time.monotonic() + DOUBT_S

    @property
    def in_doubt(self) -> bool:
        """Whether jobs may have been claimed that nobody here knows of."""
        return time.monotonic() < self._doubted_until

    async def give_back(self, unwanted: Sequence[Lease]) -> None:
        """What was claimed and was not begun."""
        if not unwanted:
            return
        try:
            async with self.database.transaction() as tx:
                for lease in unwanted:
                    await leases.give_back(tx.connection, lease, now=self.clock())
        except Exception as trouble:
            self._doubt()
            self.failures.note("jobs not given back", trouble)

    async def give_back_orphans(self, known: Iterable[UUID]) -> None:
        """What we hold by the database's word, and know nothing of. Raises what the database does."""
        async with self._one_at_a_time, self.database.transaction() as tx:
            ids = list(known)
            await leases.give_back_orphans(tx.connection, holder=self.holder, known=ids, now=self.clock())
