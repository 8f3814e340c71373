"""Claims batches of jobs for one process, and gives back claimed jobs that it will not do.

Always holds: when a claim fails or its answer is lost, its jobs are given back, and their leases need not expire.
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
"""How long after a claim without an answer its jobs may still turn out to be claimed."""


class Claims:
    def __init__(self, database: Database, holder: UUID, clock: Clock, failures: Failures) -> None:
        self.database = database
        self.holder = holder
        self.clock = clock
        self.failures = failures
        self._doubted_until = float("-inf")
        self._one_at_a_time = asyncio.Lock()
        """The search for unknown claims must not run while a claim waits for its answer."""

    async def take(self, queue: str, limit: int) -> list[Lease]:
        """The next jobs of a queue; none while the database fails: the look will find them again."""
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
        """Whether this process may hold jobs that it does not know."""
        return time.monotonic() < self._doubted_until

    async def give_back(self, unwanted: Sequence[Lease]) -> None:
        """Gives back jobs that were claimed and not started. Does not raise."""
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
        """Gives back jobs that this process holds but does not know. Raises database errors."""
        async with self._one_at_a_time, self.database.transaction() as tx:
            ids = list(known)
            await leases.give_back_orphans(tx.connection, holder=self.holder, known=ids, now=self.clock())
