"""Jobs per second, from the first enqueued to the last done, beside arq's own no-op jobs; and how soon a job starts.

On all sides one driver enqueues one job after the other from several tasks while one worker process does them, with the
same `max_jobs`. For crmgql that is the whole path: row, ring, claim, handler, end. Its no-op jobs share their ends' commits;
those that write a row (`row`) end in that row's transaction, a commit each.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import statistics
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from arq.connections import ArqRedis
from redis.asyncio import ConnectionPool
from rich.console import Console
from rich.table import Table

from bench.peers.jobs import NOOP, QUEUE, ROW, TABLE
from crmgql import db, migrate
from crmgql.dev.embedded import Servers
from crmgql.domain.jobs import jobs, kinds
from crmgql.records.records import Act
from crmgql.viewer import system
from crmgql.workers.bells import Bells

RESULT = Path(__file__).parent / "results" / "jobs.json"
MAX_JOBS = (10, 100)
PEERS = ("arq", "crmgql", "row", "arq-uvloop")
KINDS = {"crmgql": NOOP, "row": ROW}
AT_ONCE = 8
"""Tasks of the driver that enqueue."""

LEFT = "SELECT count(*) FROM jobs WHERE kind = $1 AND status <> 'DONE'"
PICKUP_MS = """
SELECT extract(epoch FROM started_at - due_at)::float8 * 1000 AS ms FROM jobs WHERE kind = 'bench.noop' ORDER BY id"""


def run(urls: Servers, *, rounds: int, each: int, console: Console) -> None:
    """Prints a table and writes `results/jobs.json`; medians over alternating rounds."""
    asyncio.run(_run(urls, rounds, each, console))


async def _run(urls: Servers, rounds: int, each: int, console: Console) -> None:
    await migrate.migrate(urls.database_url)
    database = await db.connect(urls.database_url, pool_size=AT_ONCE)
    async with database.connection() as connection:
        await connection.execute(TABLE)
    redis = ArqRedis(ConnectionPool.from_url(urls.redis_url), default_queue_name=QUEUE)
    database.on_queued = Bells(redis).ring  # as the API does
    figures: dict[str, dict[str, float]] = {}
    try:
        for max_jobs in MAX_JOBS:
            rates: dict[str, list[float]] = {name: [] for name in PEERS}
            for number in range(rounds):
                for name in PEERS[:: -1 if number % 2 else 1]:
                    async with _worker(name, urls, max_jobs):
                        rates[name].append(await _rate(name, database, redis, each))
            medians = {name: statistics.median(rate) for name, rate in rates.items()}
            ours = medians["crmgql"]
            ratios = {"ratio": ours / medians["arq"], "ratio_uvloop": ours / medians["arq-uvloop"]}
            ratios["ratio_row"] = medians["row"] / medians["arq"]
            figures[f"max_jobs {max_jobs}"] = {**medians, **ratios}
        async with _worker("crmgql", urls, 10):
            figures["pickup ms"] = await _pickup(database)
    finally:
        await redis.aclose(close_connection_pool=True)
        await database.close()
    _print(figures, console, rounds, each)


@asynccontextmanager
async def _worker(name: str, urls: Servers, max_jobs: int) -> AsyncIterator[None]:
    environment = {
        **os.environ,
        "CRMGQL_DATABASE_URL": urls.database_url,
        "CRMGQL_REDIS_URL": urls.redis_url,
        "CRMGQL_WORKER_JOBS": str(max_jobs),
        "CRMGQL_LOG_LEVEL": "warning",
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "bench.peers.jobs",
        "crmgql" if name in KINDS else name,
        env=environment,
        stdout=-3,
        stderr=-3,
    )
    try:
        await asyncio.sleep(2.5)
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        await process.wait()


async def _rate(name: str, database: db.Database, redis: ArqRedis, each: int) -> float:
    """Jobs per second, from the first enqueued to the last done."""

    async def ours() -> None:
        async with database.transaction() as tx:
            await jobs.enqueue(Act(tx, system()), KINDS[name], kinds.Nothing())

    async def arqs() -> None:
        await redis.enqueue_job("noop")

    async def left() -> int:
        if name not in KINDS:
            return int(await redis.zcard(QUEUE))
        async with database.connection() as connection:
            return int(await connection.fetchval(LEFT, KINDS[name].name))

    started = time.perf_counter()
    await asyncio.gather(*(_repeat(ours if name in KINDS else arqs, each // AT_ONCE) for _ in range(AT_ONCE)))
    async with asyncio.timeout(120):
        while await left():  # noqa: ASYNC110 - what is waited for happens in another process
            await asyncio.sleep(0.05)
    return each // AT_ONCE * AT_ONCE / (time.perf_counter() - started)


async def _repeat(work: Callable[[], Awaitable[None]], times: int) -> None:
    for _ in range(times):
        await work()


async def _pickup(database: db.Database) -> dict[str, float]:
    """Milliseconds from due to claimed, of single jobs at random moments."""
    async with database.connection() as connection:
        await connection.execute("DELETE FROM jobs WHERE kind = 'bench.noop'")
    chance = random.Random(1)
    for _ in range(150):
        async with database.transaction() as tx:
            await jobs.enqueue(Act(tx, system()), NOOP, kinds.Nothing())
        await asyncio.sleep(chance.uniform(0.05, 0.15))
    await asyncio.sleep(1)
    async with database.connection() as connection:
        times = sorted(row["ms"] for row in await connection.fetch(PICKUP_MS))
    return {"p50": statistics.median(times), "p95": times[int(len(times) * 0.95)]}


def _print(figures: dict[str, dict[str, float]], console: Console, rounds: int, each: int) -> None:
    table = Table(title=f"Jobs per second, {rounds} rounds of {each} jobs")
    columns = (
        "",
        "crmgql",
        "arq, no-op",
        "ratio",
        "arq on uvloop",
        "ratio on uvloop",
        "crmgql, a row each",
        "ratio to arq",
    )
    for name in columns:
        table.add_column(name, justify="right" if name else "left")
    for what, values in figures.items():
        if "ratio" in values:
            uvloop = f"{values['arq-uvloop']:.0f}", f"{values['ratio_uvloop']:.2f}"
            row = f"{values['row']:.0f}", f"{values['ratio_row']:.2f}"
            noop = f"{values['crmgql']:.0f}", f"{values['arq']:.0f}", f"{values['ratio']:.2f}"
            table.add_row(what, *noop, *uvloop, *row)
    console.print(table)
    pickup = figures["pickup ms"]
    console.print(f"Taken up after {pickup['p50']:.0f} ms (p50), {pickup['p95']:.0f} ms (p95).")
    RESULT.write_text(json.dumps({"rounds": rounds, "jobs": each, **figures}, indent=2) + "\n")
