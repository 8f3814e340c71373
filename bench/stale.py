"""`python -m bench stale`: the stale sweep where one open opportunity in a hundred is due.

Compares the query that finds what is due with a bare index scan of the same rows (one that reads the table's rows; one
that reads the index alone is shown beside it), at two sizes, and times whole sweeps with all that they write.
"""

from __future__ import annotations

import json
import statistics
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import uvloop
from rich.console import Console
from rich.table import Table

from bench import comparison, data
from crmgql import db
from crmgql.dev import embedded
from crmgql.domain.opportunities import stale_alerts
from crmgql.records.records import Act
from crmgql.viewer import system

RESULT = Path(__file__).parent / "results" / "stale.json"
NOW = datetime(2026, 11, 2, 12, tzinfo=UTC)
DUE_SHARE, BATCH = 100, 1000
GOAL = 2.0
LOAD = """
INSERT INTO opportunities (name, owner_id, stage_id, stage_since, amount, currency, stale_known, stale_at)
SELECT 'Deal ' || i, owners[1 + i % array_length(owners, 1)], stage_id,
    $2::timestamptz - interval '49 hours', (i % 5000)::numeric(8, 2), 'EUR', true,
    $2::timestamptz - interval '48 hours' + CASE WHEN i % $3 = 0 THEN interval '47 hours' * (hashint4(i) & 1023) / 1024.0
        ELSE interval '49 hours' + interval '1000 hours' * (hashint4(i) & 1023) / 1024.0 END
FROM generate_series(1, $1::int) i,
    (SELECT array_agg(id ORDER BY id) AS owners FROM users WHERE 'SELLER' = ANY (roles)) u,
    (SELECT s.id AS stage_id FROM stages s JOIN pipelines p ON p.id = pipeline_id WHERE is_default AND position = 2) s"""
PEOPLE = """
WITH managers AS (INSERT INTO users (name, roles) SELECT 'Manager ' || i, '{MANAGER}' FROM generate_series(1, 10) i RETURNING id),
teams AS (INSERT INTO teams (name, manager_id) SELECT 'Team', id FROM managers RETURNING id)
INSERT INTO users (name, roles, team_id) SELECT 'Seller', '{SELLER}', id FROM teams, generate_series(1, 20)"""
FORGET = """
UPDATE opportunities SET stale_known = false
WHERE id IN (SELECT id FROM opportunities WHERE stale_level = 0 ORDER BY id LIMIT $1)"""
BARE = "SELECT stale_at, id FROM opportunities WHERE status = 'OPEN' AND stale_at <= $1 LIMIT $2"
INDEX_ONLY = "SET LOCAL enable_indexonlyscan = {}; SET LOCAL enable_bitmapscan = off; SET LOCAL enable_seqscan = off"


def run(urls: embedded.Servers, large: int, *, rounds: int, console: Console) -> None:
    """Prints a table and writes `results/stale.json`. Times are the server's, in milliseconds, medians of rounds."""
    sizes = {}
    for size in (large // 10, large):
        url = data.sister(urls.database_url, f"bench_stale_{size}")
        data.migrate(url)
        sizes[size] = uvloop.run(_measure(url, size, rounds, console))
        console.print(f"{size:,} open: {sizes[size]}")
    small, big = sizes[large // 10], sizes[large]
    result: dict[str, Any] = {
        "machine": comparison.machine(),
        "open": sizes,
        "found_over_bare_scan": round(big["find_all_ms"] / big["bare_scan_all_ms"], 3),
        "found_and_locked_over_bare_scan": round(big["find_and_lock_all_ms"] / big["bare_scan_all_ms"], 3),
        "goal": GOAL,
        "find_a_batch_large_over_small": round(big["find_and_lock_batch_ms"] / small["find_and_lock_batch_ms"], 3),
    }
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=2) + "\n")
    table = Table(title="The stale sweep")
    for column in ("", *(f"{size:,} open" for size in sizes)):
        table.add_column(column, justify="right")
    for name in big:
        table.add_row(name, *(str(each[name]) for each in sizes.values()))
    console.print(table)
    console.print(
        f"finding / bare index scan: {result['found_over_bare_scan']}, with the locks"
        f" {result['found_and_locked_over_bare_scan']} (goal ≤ {GOAL});"
        f" a batch at {large:,} / at {large // 10:,}: {result['find_a_batch_large_over_small']}"
    )


async def _measure(url: str, size: int, rounds: int, console: Console) -> dict[str, Any]:
    connection = await asyncpg.connect(url)
    await connection.execute(PEOPLE)
    started = time.monotonic()
    await connection.execute(LOAD, size, NOW, DUE_SHARE)
    await connection.execute("VACUUM ANALYZE opportunities")
    console.print(f"loaded {size:,} opportunities in {time.monotonic() - started:.0f} s")
    due = size // DUE_SHARE
    figures = {
        "due": due,
        "bare_index_only_scan_all_ms": await _server_ms(connection, BARE, due, rounds, "on"),
        "bare_scan_all_ms": await _server_ms(connection, BARE, due, rounds),
        "find_all_ms": await _server_ms(connection, stale_alerts.DUE, due, rounds),
        "find_and_lock_all_ms": await _server_ms(connection, stale_alerts.TAKE, due, rounds),
        "bare_scan_batch_ms": await _server_ms(connection, BARE, BATCH, rounds),
        "find_batch_ms": await _server_ms(connection, stale_alerts.DUE, BATCH, rounds),
        "find_and_lock_batch_ms": await _server_ms(connection, stale_alerts.TAKE, BATCH, rounds),
    }
    figures |= await _sweep(url)
    written = await connection.fetchval("SELECT count(*) FROM stale_alerts")
    assert written == due == await connection.fetchval("SELECT count(*) FROM notifications"), written
    figures |= await _work_out(connection, url, min(size, 20 * BATCH))
    await connection.close()
    return figures


async def _server_ms(connection: Any, sql: str, limit: int, rounds: int, index_only: str = "off") -> float:
    """The execution time that the server reports; locks are rolled back."""
    times = []
    for _ in range(rounds + 1):
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute(INDEX_ONLY.format(index_only))
        plan = await connection.fetchval(f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {sql}", NOW, limit)
        await transaction.rollback()
        times.append(float(json.loads(plan)[0]["Execution Time"]))
    return round(statistics.median(times[1:]), 3)


async def _once(database: db.Database) -> tuple[int, float]:
    """A whole sweep in batches, a transaction each: how many, and in how many milliseconds."""
    started, swept = time.perf_counter(), 0
    while True:
        async with database.transaction() as tx:
            step = await stale_alerts.sweep(Act(tx, system(lambda: NOW)), limit=BATCH)
        swept += step
        if not step:
            return swept, (time.perf_counter() - started) * 1000


async def _work_out(connection: Any, url: str, count: int) -> dict[str, Any]:
    """How fast a sweep works out what came in by import, or stands in a stage whose hours changed."""
    await connection.execute(FORGET, count)
    database = await db.connect(url, pool_size=2)
    swept, elapsed_ms = await _once(database)
    await database.close()
    return {"worked_out_per_s": round(swept / elapsed_ms * 1000)}


async def _sweep(url: str) -> dict[str, Any]:
    """A sweep of all that is due, and one that finds nothing."""
    database = await db.connect(url, pool_size=2)
    swept, elapsed_ms = await _once(database)
    empty = [(await _once(database))[1] for _ in range(5)]
    await database.close()
    return {
        "sweep_ms": round(elapsed_ms, 1),
        "sweep_alerts_per_s": round(swept / elapsed_ms * 1000),
        "sweep_of_nothing_ms": round(statistics.median(empty), 3),
    }
