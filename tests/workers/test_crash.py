"""2,000 jobs while workers are killed or stopped until others have their jobs, connections cut and Valkey emptied: none is
lost, none is done twice. In the suite with leases of 3 seconds; `make soak` runs it with those of 30 that workers have."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

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
WORKERS, AT_ONCE = 3, 20
KILLS, PAUSES = 15, 2
SLOW, SLOW_FROM = WORKERS * AT_ONCE, 30_000
"""Slow jobs before each pause: as many as all workers do at once, so that the one that is stopped has some. Their numbers."""


@dataclass(frozen=True)
class Pace:
    """`leases` as the worker takes it. `gap_s`: between two disturbances."""

    leases: str
    gap_s: tuple[float, float]
    enqueue_s: float
    """Between two batches of new jobs, so that some come for as long as the disturbances go on."""

    patience_s: float
    """For what takes about a lease, on a machine that has much else to do."""

    timeout_s: float


SHORT = Pace("short", gap_s=(0.3, 1.2), enqueue_s=0.2, patience_s=240, timeout_s=900)
DEFAULT = Pace("default", gap_s=(3.0, 9.0), enqueue_s=2.0, patience_s=300, timeout_s=1800)

UNFINISHED = "SELECT count(*) FROM jobs WHERE kind LIKE 'test.%' AND status IN ('PENDING', 'RUNNING', 'WAITING')"
SLOW_LEFT = f"""
SELECT EXISTS (SELECT FROM jobs WHERE kind = 'test.mark' AND status <> 'DONE' AND (arguments->>'number')::int >= {SLOW_FROM})"""
HELD = """
SELECT id, attempts FROM jobs
WHERE kind = 'test.mark' AND status = 'RUNNING' AND lease_by = $1 AND (arguments->>'number')::int = ANY ($2)"""
FATE = """
SELECT bool_or(jobs.attempts > held.attempts) AS is_taken, bool_and(jobs.attempts = held.attempts AND status = 'DONE') AS is_over
FROM unnest($1::uuid[], $2::integer[]) AS held (id, attempts) JOIN jobs USING (id)"""


@dataclass(frozen=True)
class Worker:
    """A process, its id in the leases, and the file with its lines."""

    process: processes.Process
    holder: UUID
    journal: Path

    def lines(self) -> list[str]:
        return self.journal.read_text().splitlines() if self.journal.exists() else []

    def slow_begun(self) -> list[int]:
        """The numbers of slow jobs whose transactions it has opened."""
        begun = [int(line.removeprefix("began ")) for line in self.lines() if line.startswith("began ")]
        return [number for number in begun if number >= SLOW_FROM]

    def lost(self) -> int:
        return self.lines().count("lost")


def start(database_url: str, redis_url: str, leases: str, home: Path) -> Worker:
    environment = {
        **os.environ,
        "CRMGQL_DATABASE_URL": database_url,
        "CRMGQL_REDIS_URL": redis_url,
        "CRMGQL_LOG_LEVEL": "error",
        "CRMGQL_WORKER_JOBS": str(AT_ONCE),
    }
    holder = uuid4()
    journal = home / str(holder)
    words = ("tests.workers.crash_worker", leases, str(holder), str(journal))
    return Worker(processes.Process(*words, environment=environment, log=Path(os.devnull)), holder, journal)


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

    def __init__(self, crm: db.Database, database: Any, urls: tuple[str, str], pace: Pace, home: Path) -> None:
        self.crm = crm
        self.database = database
        self.urls = urls
        self.pace = pace
        self.home = home
        self.done: Counter[str] = Counter()
        self.all = [self.start() for _ in range(WORKERS)]

    def start(self) -> Worker:
        return start(*self.urls, self.pace.leases, self.home)

    async def disturb(self, flush: redis.asyncio.Redis) -> None:
        """At random kills a worker and starts another, empties Valkey, or cuts the workers' database connections; then stops
        workers until others have taken their jobs."""
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
        for worker in self.all[:PAUSES]:
            await self.pause(worker)

    async def cut(self) -> None:
        admin = await asyncpg.connect(self.urls[0])
        await admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
            " AND application_name = 'crmgql' AND state <> 'idle' AND query LIKE '%marks%'"
        )
        await admin.close()

    async def kill(self, index: int) -> None:
        self.all[index].process.send_signal(signal.SIGKILL)
        await self.all[index].process.ended()
        self.all[index] = self.start()

    async def pause(self, worker: Worker) -> None:
        """Stops it in the middle of slow jobs, until another worker has taken one of them. Then it goes on, and has to find out:
        it may not end what it had begun."""
        while True:
            held = await self.stopped_inside(worker)
            lost = worker.lost()
            is_taken = await self.is_taken(held)
            worker.process.send_signal(signal.SIGCONT)
            if is_taken:
                break
        async with asyncio.timeout(self.pace.patience_s):
            while worker.lost() == lost:
                await asyncio.sleep(0.02)
        self.done["pause"] += 1

    async def stopped_inside(self, worker: Worker) -> list[asyncpg.Record]:
        """The slow jobs, with their attempts, that it had begun and not ended when it was stopped."""
        while True:
            async with asyncio.timeout(self.pace.patience_s):
                while not await self.held(worker):
                    if not await self.database.fetchval(SLOW_LEFT):
                        await self.enqueue_slow()
                    await asyncio.sleep(0.02)
            worker.process.send_signal(signal.SIGSTOP)
            if held := await self.held(worker):
                return held
            worker.process.send_signal(signal.SIGCONT)

    async def held(self, worker: Worker) -> list[asyncpg.Record]:
        return list(await self.database.fetch(HELD, worker.holder, worker.slow_begun()))

    async def enqueue_slow(self) -> None:
        first = SLOW_FROM + self.done["slow"]
        self.done["slow"] += SLOW
        async with self.crm.transaction() as tx:
            slow = [Mark(number=first + n, slow_ms=2000) for n in range(SLOW)]
            await jobs.enqueue_many(Act(tx, system()), MARK, slow, priority=1)  # before what still waits

    async def is_taken(self, held: list[asyncpg.Record]) -> bool:
        """Waits until another worker has begun with one of them. False when all were about to be ended when it was stopped."""
        ids, attempts = [job["id"] for job in held], [job["attempts"] for job in held]
        async with asyncio.timeout(self.pace.patience_s):
            while True:
                fate = await self.database.fetchrow(FATE, ids, attempts)
                if fate["is_taken"] or fate["is_over"]:
                    return bool(fate["is_taken"])
                await asyncio.sleep(0.02)

    async def stop(self) -> None:
        for worker in self.all:
            worker.process.send_signal(signal.SIGCONT)  # it may stand still if the test has failed
            worker.process.terminate()
        async with asyncio.timeout(60):
            for worker in self.all:
                assert await worker.process.ended() in (0, -signal.SIGTERM)  # the last one may not even have begun


@pytest.mark.parametrize("pace", [SHORT, pytest.param(DEFAULT, marks=pytest.mark.soak)], ids=lambda pace: pace.leases)
async def test_nothing_is_lost_and_nothing_is_done_twice(
    servers, database_url, crm, database, pace: Pace, tmp_path: Path
) -> None:
    await database.execute("CREATE TABLE marks (number bigint NOT NULL, step integer NOT NULL)")
    flush = redis.asyncio.Redis.from_url(servers.redis_url)
    workers = Workers(crm, database, (database_url, servers.redis_url), pace, tmp_path)
    try:
        async with asyncio.timeout(pace.timeout_s):
            await asyncio.gather(enqueue_all(crm, pace), workers.disturb(flush))
            while await database.fetchval(UNFINISHED):
                await asyncio.sleep(0.1)
    finally:
        await workers.stop()
        await flush.aclose()
    assert workers.done["flush"]
    assert workers.done["cut"]
    assert workers.done["pause"] == PAUSES
    ended = dict(await database.fetch("SELECT status, count(*) FROM jobs WHERE kind LIKE 'test.%' GROUP BY status"))
    assert ended == {"DONE": MARKS + WALKS + workers.done["slow"], "DEAD": FAILS}
    marks = Counter((row["number"], row["step"]) for row in await database.fetch("SELECT number, step FROM marks"))
    expected = {(n, 0) for n in range(MARKS)} | {(n + 10_000, step) for n in range(WALKS) for step in range(5)}
    assert marks.keys() == expected | {(n + SLOW_FROM, 0) for n in range(workers.done["slow"])}
    assert set(marks.values()) == {1}
    assert await database.fetchval("SELECT bool_or(attempts > 1) FROM jobs WHERE status = 'DONE'")
