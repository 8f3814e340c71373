"""The worker, as a real process on real servers, and its one job, run twice."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from datetime import timedelta

from crmgql.viewer import system_clock
from crmgql.workers import housekeeping


async def fill(database) -> None:
    user = await database.fetchval("INSERT INTO users (name) VALUES ('Ann') RETURNING id")
    for key, age in (("old", timedelta(days=31)), ("new", timedelta(days=1))):
        await database.execute(
            "INSERT INTO idempotency_records (actor_id, key, mutation, request_hash, result, created_at)"
            " VALUES ($1, $2, 'x', 'x', '{}', $3)",
            user,
            key,
            system_clock() - age,
        )


async def kept(database) -> list[str]:
    return await database.fetchval("SELECT array_agg(key) FROM idempotency_records")


async def test_the_sweep_deletes_what_has_had_its_day_however_often_it_runs(crm, database) -> None:
    await fill(database)
    for _ in range(2):
        await housekeeping.sweep({"database": crm})
        assert await kept(database) == ["new"]


async def test_a_worker_process_sweeps_at_start_and_stops_when_told(servers, database_url, database) -> None:
    await fill(database)
    environment = {**os.environ, "CRMGQL_DATABASE_URL": database_url, "CRMGQL_REDIS_URL": servers.redis_url}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "crmgql", "worker", env=environment, stdout=-3, stderr=-3
    )
    try:
        async with asyncio.timeout(30):
            while await kept(database) != ["new"]:
                await asyncio.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(15):
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
