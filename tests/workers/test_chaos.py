"""Connections are cut, jobs stopped, taken over and cancelled: an effect exists exactly when its job is DONE, and once."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from crmgql.config import Settings
from crmgql.domain.jobs import jobs, kinds, leases
from crmgql.errors import Conflict, CrmError
from crmgql.records.records import Act
from crmgql.viewer import system_clock
from crmgql.workers.attempts import Attempts
from crmgql.workers.handlers import Run, handler, long_handler
from tests.jobs import Numbered, acting, attempt, kind, undone

COUNT, STEPS = 80, 3
EFFECT = "INSERT INTO teams (name) VALUES ($1)"
LIVE = "SELECT id, attempts FROM jobs WHERE status = 'PENDING'"
CUT = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() ORDER BY random() LIMIT 1"""


@pytest.fixture(autouse=True)
def kinds_of_this_test() -> Iterator[None]:
    with undone():
        yield


def declare(dice: random.Random) -> None:
    async def dawdle() -> None:
        await asyncio.sleep(dice.random() * 0.12)
        if dice.random() < 0.1:
            raise Conflict("As it happens.")

    @handler(kinds.declare(kind("once", max_failures=10_000)))
    async def once(act: Act, arguments: Numbered) -> None:
        await act.tx.connection.execute(EFFECT, f"{arguments.n}")
        await dawdle()

    @long_handler(kinds.declare(kind("steps", max_failures=10_000)))
    async def steps(run: Run, arguments: Numbered) -> None:
        for step in range(run.done, STEPS):
            async with run.step() as act:
                await act.tx.connection.execute(EFFECT, f"{arguments.n}.{step}")
                await dawdle()
                run.progress(done=step + 1)


class Chaos:
    def __init__(self, crm: Any, database: asyncpg.Connection, dice: random.Random) -> None:
        self.crm = crm
        self.database = database
        self.dice = dice
        self.workers = [Attempts(crm, Settings(log_level="error")) for _ in range(3)]
        self.going: set[asyncio.Task[None]] = set()

    async def ring(self) -> None:
        """Starts attempts at pending jobs in several workers, some twice or with a wrong attempt number."""
        for row in await self.database.fetch(LIVE):
            for _ in range(self.dice.choice((1, 1, 2))):
                if len(self.going) < 12:
                    number = row["attempts"] - self.dice.choice((0, 0, 0, 0, 1))
                    self.start(attempt(self.dice.choice(self.workers), row["id"], number))

    def start(self, attempt: Any) -> None:
        going = asyncio.create_task(attempt)
        self.going.add(going)
        going.add_done_callback(self.going.discard)

    async def trouble(self) -> None:
        """Makes one kind of trouble, at random."""
        what = self.dice.choice(("cut", "stop", "silent", "beat", "cancel"))
        if what == "cut":
            await self.database.execute(CUT)
        elif what == "stop" and self.going:
            self.dice.choice(list(self.going)).cancel()
        elif what == "silent":
            async with self.crm.transaction() as tx:
                await leases.expire(tx.connection, now=system_clock() + timedelta(hours=1), limit=2)
        elif what == "beat":
            await self.dice.choice(self.workers)._beat()
        elif what == "cancel" and self.dice.random() < 0.3:
            some = await self.database.fetchval("SELECT id FROM jobs ORDER BY random() LIMIT 1")
            async with acting(self.crm) as act:
                await jobs.cancel(act, id=some)

    async def rage(self, rounds: int) -> None:
        for _ in range(rounds):
            await self.ring()
            with suppress(CrmError):  # its own connection was the one that was cut, or the job is over
                await self.trouble()
            await asyncio.sleep(self.dice.random() * 0.03)

    async def calm(self) -> None:
        """Without further trouble, waits until all jobs have ended."""
        async with asyncio.timeout(60):
            while await self.database.fetchval("SELECT count(*) FROM jobs WHERE finished_at IS NULL"):
                await self.ring()
                await asyncio.gather(*self.going, return_exceptions=True)
                async with self.crm.transaction() as tx:
                    await leases.expire(tx.connection, now=system_clock() + timedelta(hours=1))


@pytest.mark.parametrize("seed", range(3))
async def test_each_effect_once_whatever_happens(crm, database, seed: int) -> None:
    dice = random.Random(seed)
    declare(dice)
    async with acting(crm) as act:
        for n in range(COUNT):
            known: Any = kinds.find("steps" if n % 2 else "once")
            await jobs.enqueue(act, known, Numbered(n=n), due_at=system_clock())
    chaos = Chaos(crm, database, dice)
    await chaos.rage(150)
    await chaos.calm()
    found = Counter(row["name"] for row in await database.fetch("SELECT name FROM teams"))
    assert set(found.values()) <= {1}
    ends = Counter[str]()
    for job in await database.fetch("SELECT (arguments->>'n')::int AS n, status, progress_done FROM jobs"):
        ends[job["status"]] += 1
        n, steps = job["n"], [f"{job['n']}.{step}" in found for step in range(STEPS)]
        assert (f"{n}" in found) == (n % 2 == 0 and job["status"] == "DONE")
        if n % 2:
            assert steps == [step < job["progress_done"] for step in range(STEPS)]
            assert job["status"] != "DONE" or all(steps)
    assert ends.keys() <= {"DONE", "CANCELLED"}
    assert ends["DONE"] > COUNT / 2
