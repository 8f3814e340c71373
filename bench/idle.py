"""What an installation costs while nothing happens: statements and Valkey commands a second, and its share of a core.

One API process, one worker with all queues, PostgreSQL and Valkey. Statements are what pg_stat_statements counts, where it is
loaded, and transactions what the server counts; commands are Valkey's own count, less those that ask for it; processor time is
the kernel's, of each process with all below it.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

import asyncpg
import redis.asyncio
from rich.console import Console
from rich.table import Table

from bench import processes
from crmgql import migrate
from crmgql.dev.embedded import Servers
from crmgql.dev.processes import Server

RESULT = Path(__file__).parent / "results" / "idle.json"
SETTLE_S = 45.0
"""What a fresh installation does first: its schedules all run once."""

TRANSACTIONS = """
SELECT sum(xact_commit + xact_rollback)::bigint FROM pg_stat_database WHERE datname = current_database()"""
STATEMENTS = "SELECT sum(calls)::bigint FROM pg_stat_statements WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())"
TICKS = os.sysconf("SC_CLK_TCK")


def run(urls: Servers, seconds: float, console: Console) -> None:
    """Prints a table and writes `results/idle.json`."""
    asyncio.run(migrate.migrate(urls.database_url))
    environment = {
        "CRMGQL_DATABASE_URL": urls.database_url,
        "CRMGQL_REDIS_URL": urls.redis_url,
        "CRMGQL_LOG_LEVEL": "warning",
        "CRMGQL_SECRET_KEY": "idle" * 8,
    }
    port = processes.free_port()
    folder = processes.ROOT / ".crmgql" / "bench"
    folder.mkdir(parents=True, exist_ok=True)
    program = [sys.executable, "-m", "crmgql"]
    with processes.running(
        "the API", [*program, "serve"], port, {**environment, "CRMGQL_PORT": str(port)}, folder / "idle-api.log"
    ) as api:
        metrics = processes.free_port()
        command = [*program, "worker", "--metrics-port", str(metrics)]
        with processes.running("the worker", command, metrics, environment, folder / "idle-worker.log") as worker:
            pids = {"API": api.process.pid, "worker": worker.process.pid}
            pids |= {_name(each): each.process.pid for each in urls.running}
            figures = asyncio.run(_measure(urls, pids, seconds))
    _print(figures, seconds, console)


def _name(server: Server) -> str:
    return "Valkey" if server.url.startswith("redis") else "PostgreSQL"


async def _measure(urls: Servers, pids: dict[str, int], seconds: float) -> dict[str, float]:
    database = await asyncpg.connect(urls.database_url)
    valkey = redis.asyncio.Redis.from_url(urls.redis_url)
    counted = await _has_statements(database)
    try:
        await asyncio.sleep(SETTLE_S)
        before = await _counts(database, valkey, pids, counted)
        await asyncio.sleep(seconds)
        after = await _counts(database, valkey, pids, counted)
    finally:
        await valkey.aclose()
        await database.close()
    return {name: (after[name] - before[name]) / seconds for name in before}


async def _has_statements(database: asyncpg.Connection) -> bool:
    try:
        await database.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
        await database.fetchval("SELECT count(*) FROM pg_stat_statements")
    except asyncpg.PostgresError:
        return False
    return True


async def _counts(
    database: asyncpg.Connection, valkey: redis.asyncio.Redis, pids: dict[str, int], counted: bool
) -> dict[str, float]:
    found: dict[str, float] = {"transactions": await database.fetchval(TRANSACTIONS)}
    if counted:
        found["statements"] = await database.fetchval(STATEMENTS)
    commands = await valkey.info("commandstats")
    found["commands"] = sum(each["calls"] for name, each in commands.items() if not name.startswith("cmdstat_info"))
    for name, pid in pids.items():
        found[f"{name} cores"] = sum(_seconds(each) for each in processes.tree(pid))
    return found


def _seconds(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / TICKS


def _print(figures: dict[str, float], seconds: float, console: Console) -> None:
    cores = {name: value for name, value in figures.items() if name.endswith("cores")}
    figures["all cores"] = sum(cores.values())
    table = Table(title=f"Idle for {seconds:.0f} s")
    table.add_column("a second")
    table.add_column("", justify="right")
    for name, value in figures.items():
        table.add_row(name, f"{value * 100:.2f} %" if name.endswith("cores") else f"{value:.2f}")
    console.print(table)
    RESULT.write_text(json.dumps({"seconds": seconds, **figures}, indent=2) + "\n")
