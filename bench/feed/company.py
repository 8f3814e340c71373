"""What the feed is measured on: a company of its own in embedded servers, its people with tokens, the API and the worker."""

from __future__ import annotations

import os
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import uvloop

from bench import data, processes
from bench.processes import Server
from crmgql.dev import embedded
from crmgql.domain.people import tokens
from crmgql.events import positions
from crmgql.events.cursors import Cursor

SECRET = "a key that only this measurement knows"
LIMITS = dict.fromkeys(
    (
        "CRMGQL_MAX_STREAMS",
        "CRMGQL_MAX_STREAMS_PER_VIEWER",
        "CRMGQL_MAX_STRANGERS_PER_ADDRESS",
        "CRMGQL_MAX_SUBSCRIPTIONS_PER_VIEWER",
    ),
    "20000",
)
"""All subscribers come from one address, and most are one user's."""

PATIENCE_S = 120.0
PEOPLE = """
WITH people AS (
    INSERT INTO users (name, email, roles) SELECT 'User ' || i, lower($2) || i || '@bench.example', ARRAY[$2]
    FROM generate_series(1, $1::int) i RETURNING id
), opened AS (
    INSERT INTO sessions (family, token_hash, expires_at, user_id)
    SELECT id, id::text, now() + interval '1 day', id FROM people
)
SELECT id FROM people ORDER BY id"""
CUSTOMERS = """
INSERT INTO customers (name, currency) SELECT 'Customer ' || i, 'EUR' FROM generate_series(1, $1::int) i RETURNING id"""
GAUGES = ("crmgql_subscriptions", "crmgql_streams")


@dataclass(frozen=True)
class Company:
    """`admin_id` records the events. Its people are made when a measurement needs them."""

    urls: embedded.Servers
    admin_id: UUID
    customer_ids: Sequence[UUID]

    @property
    def environment(self) -> dict[str, str]:
        return {
            "CRMGQL_DATABASE_URL": self.urls.database_url,
            "CRMGQL_REDIS_URL": self.urls.redis_url,
            "CRMGQL_SECRET_KEY": SECRET,
            "CRMGQL_LOG_LEVEL": "warning",
            "BENCH_ADMIN": str(self.admin_id),
            "BENCH_CUSTOMERS": ",".join(map(str, self.customer_ids)),
            **LIMITS,
        }

    def people(self, number: int, role: str) -> list[str]:
        """So many users of a role; their access tokens."""
        return [token(each["id"]) for each in self.fetch(PEOPLE, number, role)]

    def fetch(self, sql: str, *values: Any) -> list[Any]:
        return uvloop.run(_fetch(self.urls.database_url, sql, *values))

    def head(self) -> Cursor:
        """The newest cursor."""
        return uvloop.run(_head(self.urls.database_url))

    def wait_for_positions(self) -> None:
        """Until every event has a position."""
        deadline = time.monotonic() + PATIENCE_S
        while self.fetch(f"SELECT {positions.WAITING} AS waiting")[0]["waiting"]:
            if time.monotonic() > deadline:
                raise RuntimeError("events get no positions")
            time.sleep(0.1)


@dataclass(frozen=True)
class Running:
    """The API, and the worker where there is one."""

    api: Server
    worker: Server | None

    @property
    def port(self) -> int:
        return self.api.port

    def gauge(self, name: str) -> float:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=30) as answer:
            for line in answer.read().decode().splitlines():
                if line.startswith(f"{name} "):
                    return float(line.rpartition(" ")[2])
        raise RuntimeError(f"there is no {name}")

    def wait_for(self, subscriptions: int) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while (found := self.gauge("crmgql_subscriptions")) != subscriptions:
            if time.monotonic() > deadline:
                raise RuntimeError(f"{found:.0f} subscriptions instead of {subscriptions}")
            time.sleep(0.2)


@contextmanager
def founded(customers: int = 100) -> Iterator[Company]:
    """A company in servers that keep nothing."""
    with embedded.start(processes.ROOT / ".crmgql" / "bench", throwaway=True) as urls:
        data.migrate(urls.database_url)
        fetch = partial(_fetch, urls.database_url)
        admin = uvloop.run(fetch(PEOPLE, 1, "ADMIN"))[0]["id"]
        yield Company(urls, admin, [row["id"] for row in uvloop.run(fetch(CUSTOMERS, customers))])


@contextmanager
def serving(company: Company, *, worker: bool = True, **settings: str) -> Iterator[Running]:
    """The API in one process and, unless told otherwise, one worker. `settings` are environment variables besides."""
    environment = company.environment | settings
    port, metrics = processes.free_port(), processes.free_port()
    program = [sys.executable, "-m", "crmgql"]
    with ExitStack() as stack:
        api = processes.running(
            "the API", [*program, "serve"], port, environment | {"CRMGQL_PORT": str(port)}, log("feed-api")
        )
        serving = stack.enter_context(api)
        working = None
        if worker:
            command = [*program, "worker", "--metrics-port", str(metrics)]
            working = stack.enter_context(
                processes.running("the worker", command, metrics, environment, log("feed-worker"))
            )
        yield Running(serving, working)


def token(user_id: UUID) -> str:
    return tokens.issue_access(SECRET, user_id=user_id, family=user_id, now=datetime.now(UTC), minutes=600)


def log(name: str) -> Path:
    directory = Path(tempfile.gettempdir()) / f"crmgql-bench-{os.getuid()}"
    directory.mkdir(mode=0o700, exist_ok=True)
    return directory / f"{name}.log"


def rss_kb(pid: int) -> int:
    """Resident memory of a process and all below it."""
    return sum(_rss_kb(each) for each in processes.tree(pid))


def cpu_s(pid: int) -> float:
    """Processor time of a process and all below it."""
    return sum(_cpu_s(each) for each in processes.tree(pid))


def _rss_kb(pid: int) -> int:
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE") // 1024


def _cpu_s(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def _fetch(url: str, sql: str, *values: Any) -> list[Any]:
    connection = await asyncpg.connect(url)
    try:
        return list(await connection.fetch(sql, *values))
    finally:
        await connection.close()


async def _head(url: str) -> Cursor:
    connection = await asyncpg.connect(url)
    try:
        return await positions.head(connection)
    finally:
        await connection.close()
