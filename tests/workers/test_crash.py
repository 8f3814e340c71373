"""2,000 jobs while workers are killed or stopped for longer than their leases, connections cut and Valkey emptied: none is
lost, none is done twice. In the suite with leases of 3 seconds; `make soak` runs it with those of 30 that workers have."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
from collections import Counter
from dataclasses import dataclass

import asyncpg
import pytest
import redis.asyncio

from crmgql import db
from crmgql.domain.jobs import jobs
from crmgql.records.records import Act
from crmgql.viewer import system
from tests.workers.crash_worker import FAIL, MARK, WALK, Mark

MARKS, WALKS, FAILS = 1800, 150, 50
WORKERS = 3
KILLS, PAUSES = 15, 4


@dataclass(frozen=True)
class Pace:
    """`leases` as the worker takes it; a pause is a third longer than a lease. `gap_s`: between two disturbances."""

    leases: str
    pause_s: float
    gap_s: tuple[float, float]
    enqueue_s: float
    """Between two batches of new jobs, so that some come for as long as the disturbances go on."""

    timeout_s: float


SHORT = Pace("short", pause_s=4.0, gap_s=(0.3, 1.2), enqueue_s=0.15, timeout_s=240)
DEFAULT = Pace("default", pause_s=40.0, gap_s=(3.0, 9.0), enqueue_s=1.5, timeout_s=1200)

UNFINISHED = "SELECT count(*) FROM jobs WHERE kind LIKE 'test.%' AND status NOT IN ('DONE', 'DEAD')"


async def start(database_url: str, redis_url: str, leases: str) -> asyncio.subprocess.Process:
    environment = {
        **os.environ,
        "CRMGQL_DATABASE_URL": database_url,
        "CRMGQL_REDIS_URL": redis_url,
        "CRMGQL_LOG_LEVEL": "error",
        "CRMGQL_WORKER_JOBS": "20",
    }
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.workers.crash_worker", leases, env=environment, stdout=-3, stderr=-3
    )


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


async def disturb(
    workers: list[asyncio.subprocess.Process],
    database_url: str,
    redis_url: str,
    flush: redis.asyncio.Redis,
    pace: Pace,
) -> Counter[str]:
    """Kills a worker and starts another, or stops one for a while, or empties Valkey, or cuts the workers' database
    connections, at random. Returns how often it did each."""
    chance = random.Random(11)
    done: Counter[str] = Counter()
    resuming: list[asyncio.Task[None]] = []
    admin = await asyncpg.connect(database_url)
    while done["kill"] < KILLS or done["pause"] < PAUSES:
        await asyncio.sleep(chance.uniform(*pace.gap_s))
        what = chance.choice(["kill", "kill", "kill", "flush", "cut", "pause"])
        done[what] += 1
        if what == "flush":
            await flush.flushall()
        elif what == "cut":
            await admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
                " AND application_name = 'crmgql' AND pid IN (SELECT pid FROM pg_stat_activity"
                "   WHERE state <> 'idle' AND query LIKE '%marks%')"
            )
        elif what == "pause":
            paused = chance.choice(workers)  # it may be killed meanwhile, as by somebody who finds it hanging
            paused.send_signal(signal.SIGSTOP)
            resuming.append(asyncio.create_task(resume(paused, pace.pause_s)))
        else:
            index = chance.randrange(len(workers))
            workers[index].send_signal(signal.SIGKILL)
            await workers[index].wait()
            workers[index] = await start(database_url, redis_url, pace.leases)
    await asyncio.gather(*resuming)
    await admin.close()
    return done


async def resume(worker: asyncio.subprocess.Process, after_s: float) -> None:
    await asyncio.sleep(after_s)
    if worker.returncode is None:
        worker.send_signal(signal.SIGCONT)


@pytest.mark.parametrize("pace", [SHORT, pytest.param(DEFAULT, marks=pytest.mark.soak)], ids=lambda pace: pace.leases)
async def test_nothing_is_lost_and_nothing_is_done_twice(servers, database_url, crm, database, pace: Pace) -> None:
    await database.execute("CREATE TABLE marks (number bigint NOT NULL, step integer NOT NULL)")
    redis_url = servers.redis_url
    flush = redis.asyncio.Redis.from_url(redis_url)
    workers = [await start(database_url, redis_url, pace.leases) for _ in range(WORKERS)]
    try:
        async with asyncio.timeout(pace.timeout_s):
            disturbing = disturb(workers, database_url, redis_url, flush, pace)
            _, disturbed = await asyncio.gather(enqueue_all(crm, pace), disturbing)
            while await database.fetchval(UNFINISHED):
                await asyncio.sleep(0.1)
    finally:
        for worker in workers:
            if worker.returncode is None:
                worker.send_signal(signal.SIGTERM)
        for worker in workers:
            async with asyncio.timeout(20):
                assert await worker.wait() in (0, -signal.SIGTERM)  # the last one may not even have begun
        await flush.aclose()
    assert disturbed["kill"] >= KILLS
    assert disturbed["pause"] >= PAUSES
    assert disturbed["flush"]
    ended = dict(await database.fetch("SELECT status, count(*) FROM jobs WHERE kind LIKE 'test.%' GROUP BY status"))
    assert ended == {"DONE": MARKS + WALKS, "DEAD": FAILS}
    marks = Counter((row["number"], row["step"]) for row in await database.fetch("SELECT number, step FROM marks"))
    expected = {(n, 0) for n in range(MARKS)} | {(n + 10_000, step) for n in range(WALKS) for step in range(5)}
    assert marks.keys() == expected
    assert set(marks.values()) == {1}
    assert await database.fetchval("SELECT bool_or(attempts > 1) FROM jobs WHERE status = 'DONE'")
