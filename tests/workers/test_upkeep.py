"""What a worker sees to beside its jobs, for as long as it lives."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from crmgql.domain import kinds
from crmgql.viewer import system_clock
from crmgql.workers import upkeep

from ..jobs import put, status, until


async def test_leases_that_ran_out_and_schedules_that_are_due(crm, database, monkeypatch) -> None:
    monkeypatch.setattr(upkeep, "EXPIRE_S", 0.05)
    monkeypatch.setattr(upkeep, "TICK_S", 0.05)
    past = system_clock() - timedelta(seconds=1)
    going = asyncio.create_task(upkeep.run(crm, system_clock))

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
