"""What a worker does beside its jobs: expired leases and due schedules."""

from __future__ import annotations

import asyncio
import os
import signal
from datetime import datetime, timedelta

import pytest

from crmgql import db
from crmgql.domain.jobs import kinds, leases
from crmgql.postgres import connection
from crmgql.viewer import system_clock
from crmgql.workers import upkeep
from crmgql.workers.failures import Failures
from crmgql.workers.relay import Wanted
from crmgql.workers.upkeep import Upkeep
from tests.jobs import NOW, put, row, status, until


def keeping(database: db.Database, wanted: Wanted | None = None) -> Upkeep:
    return Upkeep(database, system_clock, kinds.QUEUES, wanted or Wanted(), Failures())


THEIRS = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> $1"


async def test_leases_that_ran_out_and_schedules_that_are_due(crm, database, monkeypatch) -> None:
    monkeypatch.setattr(leases, "LEASE", timedelta(seconds=1.5))
    monkeypatch.setattr(upkeep, "LOOK_S", 0.05)
    past = system_clock() - timedelta(seconds=1)
    going = asyncio.create_task(keeping(crm).run())

    async def lose() -> None:
        id = await put(database, status="RUNNING", lease_until=past)

        async def found() -> bool:
            return await status(database, id) == "PENDING"

        await until(found)

    async def schedule(name: str) -> None:
        sql = "INSERT INTO schedules (name, kind, every_s, next_at) VALUES ($1, $2, 3600, $3) RETURNING id"
        id = await database.fetchval(sql, name, kinds.HOUSEKEEPING.name, past)

        async def made() -> bool:
            return await database.fetchval("SELECT count(*) FROM jobs WHERE schedule_id = $1", id) == 1

        await until(made)

    try:
        await lose()
        await schedule("before")
        await database.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        await lose()
        await schedule("after")
        assert not going.done()
    finally:
        going.cancel()
        await asyncio.gather(going, return_exceptions=True)


class Hand:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now

    def pass_(self, steady: upkeep.Steadiness, seconds: int) -> None:
        """Time in which the database answers once a second."""
        for _ in range(seconds):
            self.now += timedelta(seconds=1)
            steady.answered()


def test_how_long_the_database_has_answered() -> None:
    clock = Hand()
    steady = upkeep.Steadiness(clock)
    assert steady.lasts() == timedelta(0)
    steady.answered()
    clock.pass_(steady, 30)
    assert steady.lasts() == timedelta(seconds=30)
    steady.failed()
    assert steady.lasts() == timedelta(0)
    clock.pass_(steady, 6)
    assert steady.lasts() == timedelta(seconds=5)
    clock.now += timedelta(seconds=10)  # a slow answer
    steady.answered()
    assert steady.lasts() == timedelta(seconds=15)


@pytest.mark.parametrize("jump", [11, 3600, -1])
def test_who_slept_knows_nothing_of_the_time_before(jump: int) -> None:
    """A machine that was suspended, or whose clock was set: neither answers nor leases say anything."""
    clock = Hand()
    steady = upkeep.Steadiness(clock)
    clock.pass_(steady, 60)
    clock.now += timedelta(seconds=jump)
    assert steady.lasts() == timedelta(0)
    steady.answered()
    assert steady.lasts() == timedelta(0)
    clock.pass_(steady, 5)
    assert steady.lasts() == timedelta(seconds=5)


async def test_a_lease_that_ran_out_while_the_database_did_not_answer_is_not_taken(
    crm, database, database_url, monkeypatch
) -> None:
    """Its worker is alive, and extends the lease as soon as the database answers."""
    monkeypatch.setattr(connection, "GRACE_S", 0.1)
    monkeypatch.setattr(leases, "LEASE", timedelta(seconds=1.5))
    monkeypatch.setattr(upkeep, "LOOK_S", 0.05)
    swept = await db.connect(database_url, pool_size=2, statement_timeout_ms=300)
    going = asyncio.create_task(keeping(swept).run())
    try:
        await asyncio.sleep(1.8)  # long enough to take leases from now on
        pids = [row["pid"] for row in await database.fetch(THEIRS, await database.fetchval("SELECT pg_backend_pid()"))]
        stopping = system_clock()
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        id = await put(database, status="RUNNING", lease_until=system_clock() - timedelta(seconds=1))
        await asyncio.sleep(0.8)
        for pid in pids:
            os.kill(pid, signal.SIGCONT)

        async def taken() -> bool:
            job = await row(database, id)
            return (job["status"], job["failures"], job["error_code"]) == ("PENDING", 1, "JOB_LEASE_LOST")

        await until(taken)  # a worker that has died
        assert system_clock() - stopping >= leases.LEASE  # new connections may be answered before the old ones are
    finally:
        going.cancel()
        await asyncio.gather(going, return_exceptions=True)
        await swept.close()
