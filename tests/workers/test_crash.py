"""2,000 jobs while workers are killed or stopped for longer than their leases, connections cut and Valkey emptied: none is
lost, none is done twice. In the suite with leases of 3 seconds; `make soak` runs it with those of 30 that workers have."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest
import redis.asyncio

from crmgql import db
from crmgql.domain.jobs import jobs
from crmgql.records.records import Act
from crmgql.viewer import system
from tests import processes
from tests.workers.crash_worker import FAIL, MARK, WALK, Mark

MARKS, WALKS, FAILS = 1800, 150, 50
WORKERS = 3
KILLS, PAUSES, MOST_PAUSES = 15, 2, 8
SLOW = 60
"""Slow jobs before each pause: as many as all workers do at once, so that the one that is stopped has some."""


@dataclass(frozen=True)
class Pace:
    """`leases` as the worker takes it; a pause is a third longer than a lease. `gap_s`: between two disturbances."""

    leases: str
    pause_s: float
    gap_s: tuple[float, float]
    enqueue_s: float
    """Between two batches of new jobs, so that some come for as long as the disturbances go on."""

    timeout_s: float


SHORT = Pace("short", pause_s=4.0, gap_s=(0.3, 1.2), enqueue_s=0.2, timeout_s=240)
DEFAULT = Pace("default", pause_s=40.0, gap_s=(3.0, 9.0), enqueue_s=2.0, timeout_s=1200)

UNFINISHED = "SELECT count(*) FROM jobs WHERE kind LIKE 'test.%' AND status NOT IN ('DONE', 'DEAD')"


def start(database_url: str, redis_url: str, leases: str, lost: Path) -> processes.Process:
    environment = {
        **os.environ,
        "CRMGQL_DATABASE_URL": database_url,
        "CRMGQL_REDIS_URL": redis_url,
        "CRMGQL_LOG_LEVEL": "error",
        "CRMGQL_WORKER_JOBS": "20",
    }
    program = "tests.workers.crash_worker"
    return processes.Process(program, leases, str(lost), environment=environment, log=Path(os.devnull))


async def enqueue_all(crm: db.Database, pace: Pace) -> None:
    """Enqueues in small transactions; after each, one that is rolled back, whose job must not run."""
    chance = random.Random(7)
    wanted = [(MARK, n) for n in range(MARKS)] + [(WALK, n + 10_000) for n in range(WALKS)]
    wanted += [(FAIL, n + 20_000) for n in range(FAILS)]
    chance.shuffle(wanted)
    for first in range(0, len(wanted), 20):
        async with crm.transaction() as tx:
            for kind, number in wanted[first : first + 20]:
                slow = chance.choice([0, 0, 5, 20, 100, 400])
                await jobs.enqueue(Act(tx, system()), kind, Mark(number=number, slow_ms=slow))
        try:
            async with crm.transaction() as tx:
                await jobs.enqueue(Act(tx, system()), MARK, Mark(number=-1))
                raise ZeroDivisionError
        except ZeroDivisionError:
            pass
        await asyncio.sleep(pace.enqueue_s)


class Workers:
    """Worker processes that are disturbed; `done` counts how."""

    def __init__(self, database_url: str, redis_url: str, pace: Pace, lost: Path) -> None:
        self.urls = database_url, redis_url
        self.pace = pace
        self.lost = lost
        self.processes: list[processes.Process] = []
        self.done: Counter[str] = Counter()

    def start(self) -> processes.Process:
        return start(*self.urls, self.pace.leases, self.lost)

    async def disturb(self, crm: db.Database, flush: redis.asyncio.Redis) -> None:
        """At random kills a worker and starts another, empties Valkey, or cuts the workers' database connections; then stops
        workers for longer than their leases, while the others live and can take their jobs."""
        chance = random.Random(11)
        while self.done["kill"] < KILLS:
            await asyncio.sleep(chance.uniform(*self.pace.gap_s))
            what = chance.choice(["kill", "kill", "kill", "flush", "cut"])
            self.done[what] += 1
            if what == "flush":
                await flush.flushall()
            elif what == "cut":
                await self.cut()
            else:
                await self.kill(chance.randrange(WORKERS))
        await asyncio.sleep(self.pace.pause_s + 3)  # until all have seen the database answer for a lease's time
        number = 0
        while self.done["lost"] < PAUSES and number < MOST_PAUSES:
            self.done["lost"] += await self.pause(self.processes[number % WORKERS], crm, 30_000 + number * SLOW)
            number += 1

    async def cut(self) -> None:
        admin = await asyncpg.connect(self.urls[0])
        await admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
            " AND application_name = 'crmgql' AND state <> 'idle' AND query LIKE '%marks%'"
        )
        await admin.close()

    async def kill(self, index: int) -> None:
        self.processes[index].send_signal(signal.SIGKILL)
        await self.processes[index].ended()
        self.processes[index] = self.start()

    async def pause(self, worker: processes.Process, crm: db.Database, first: int) -> bool:
        """Whether the worker came back and found leases lost; on a busy machine it may have had no job when it was stopped."""
        async with crm.transaction() as tx:
            slow = [Mark(number=first + n, slow_ms=2000) for n in range(SLOW)]
            await jobs.enqueue_many(Act(tx, system()), MARK, slow)
        await asyncio.sleep(1)
        lost = self.count_lost()
        worker.send_signal(signal.SIGSTOP)
        self.done["pause"] += 1
        await asyncio.sleep(self.pace.pause_s)
        worker.send_signal(signal.SIGCONT)
        deadline = asyncio.get_running_loop().time() + 10
        while self.count_lost() == lost and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.1)
        return self.count_lost() > lost

    def count_lost(self) -> int:
        return self.lost.stat().st_size if self.lost.exists() else 0


@pytest.mark.parametrize("pace", [SHORT, pytest.param(DEFAULT, marks=pytest.mark.soak)], ids=lambda pace: pace.leases)
async def test_nothing_is_lost_and_nothing_is_done_twice(
    servers, database_url, crm, database, pace: Pace, tmp_path: Path
) -> None:
    await database.execute("CREATE TABLE marks (number bigint NOT NULL, step integer NOT NULL)")
    flush = redis.asyncio.Redis.from_url(servers.redis_url)
    workers = Workers(database_url, servers.redis_url, pace, tmp_path / "lost")
    workers.processes = [workers.start() for _ in range(WORKERS)]
    try:
        async with asyncio.timeout(pace.timeout_s):
            await asyncio.gather(enqueue_all(crm, pace), workers.disturb(crm, flush))
            while await database.fetchval(UNFINISHED):
                await asyncio.sleep(0.1)
    finally:
        for worker in workers.processes:
            worker.terminate()
        for worker in workers.processes:
            async with asyncio.timeout(20):
                assert await worker.ended() in (0, -signal.SIGTERM)  # the last one may not even have begun
        await flush.aclose()
    assert workers.done["flush"]
    assert workers.done["cut"]
    assert workers.done["lost"] == PAUSES  # stopped workers came back and could not end their jobs
    ended = dict(await database.fetch("SELECT status, count(*) FROM jobs WHERE kind LIKE 'test.%' GROUP BY status"))
    assert ended == {"DONE": MARKS + WALKS + workers.done["pause"] * SLOW, "DEAD": FAILS}
    marks = Counter((row["number"], row["step"]) for row in await database.fetch("SELECT number, step FROM marks"))
    expected = {(n, 0) for n in range(MARKS)} | {(n + 10_000, step) for n in range(WALKS) for step in range(5)}
    assert marks.keys() == expected | {(n + 30_000, 0) for n in range(workers.done["pause"] * SLOW)}
    assert set(marks.values()) == {1}
    assert await database.fetchval("SELECT bool_or(attempts > 1) FROM jobs WHERE status = 'DONE'")
