"""Webhooks per second: one worker process with signatures, to a receiver on this machine that says yes at once.

The events are in the feed before; the time is from the first request to the last. That is the whole path: page of the feed,
the owner's rules, signature, request, log, position.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import statistics
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import asyncpg
from rich.console import Console
from rich.table import Table

from crmgql import db, migrate
from crmgql.dev.embedded import Servers
from crmgql.domain.webhooks.keys import KEYS, new_salt
from crmgql.events import cursors, outbox, positions
from crmgql.viewer import Viewer, Who

RESULT = Path(__file__).parent / "results" / "webhooks.json"
SECRET = "a secret of 32 bytes or more, for measurements"
CUSTOMERS, GOAL = 200, 500
ANSWER = b"HTTP/1.1 204 No Content\r\n\r\n"


@dataclass(frozen=True)
class Case:
    name: str
    endpoints: int
    order_by: str
    ed25519: bool = False


CASES = (
    Case("one endpoint, one order for all", 1, "ENDPOINT"),
    Case("one endpoint, in order per customer", 1, "CUSTOMER"),
    Case("the same, with Ed25519", 1, "CUSTOMER", ed25519=True),
    Case("ten endpoints, in order per customer", 10, "CUSTOMER"),
)


class Receiver(asyncio.Protocol):
    """Counts requests, and says yes."""

    count = 0
    times: list[float] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.buffer = b""

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            head = self.buffer[:end].lower()
            length = int(head.partition(b"content-length: ")[2].split(b"\r\n", 1)[0])
            if len(self.buffer) < end + 4 + length:
                return
            self.buffer = self.buffer[end + 4 + length :]
            Receiver.times.append(time.perf_counter())
            self.transport.write(ANSWER)  # type: ignore[attr-defined]


def run(urls: Servers, *, rounds: int, events: int, console: Console) -> None:
    """Prints a table and writes `results/webhooks.json`; medians over rounds."""
    asyncio.run(_run(urls, rounds, events, console))


async def _run(urls: Servers, rounds: int, events: int, console: Console) -> None:
    await migrate.migrate(urls.database_url)
    await db.know_models()
    KEYS.use(SECRET)
    server = await asyncio.get_running_loop().create_server(Receiver, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    database = await asyncpg.connect(urls.database_url)
    owner = await database.fetchval("INSERT INTO users (name, roles) VALUES ('Owner', '{ADMIN}') RETURNING id")
    figures: dict[str, list[float]] = {case.name: [] for case in CASES}
    try:
        await _happen(urls, database, owner, events)
        async with _worker(urls):
            for _ in range(rounds):
                for case in CASES:
                    figures[case.name].append(await _rate(case, database, url, owner, events))
    finally:
        await database.close()
        server.close()
    _print({name: statistics.median(rates) for name, rates in figures.items()}, console, rounds, events)


async def _happen(urls: Servers, database: asyncpg.Connection, owner: UUID, events: int) -> None:
    """Events about customers, in the feed."""
    made = await database.fetch(
        "INSERT INTO customers (name, currency) SELECT 'Acme ' || n, 'EUR' FROM generate_series(1, $1::int) n RETURNING id",
        CUSTOMERS,
    )
    ids = [made[n % CUSTOMERS]["id"] for n in range(events)]
    payload, changes = {"version": 2}, {"name": ("A", "B"), "website": (None, "https://example.com")}
    entries = [outbox.Entry("customer.updated", ("Customer", id), id, changes, payload) for id in ids]
    opened = await db.connect(urls.database_url, pool_size=2)
    async with opened.transaction() as tx:
        await outbox.record_many(tx, Viewer(owner, Who(frozenset({"ADMIN"}))), entries)
    await opened.close()
    await positions.place(database)


@asynccontextmanager
async def _worker(urls: Servers) -> AsyncIterator[None]:
    environment = {
        **os.environ,
        "CRMGQL_DATABASE_URL": urls.database_url,
        "CRMGQL_REDIS_URL": urls.redis_url,
        "CRMGQL_SECRET_KEY": SECRET,
        "CRMGQL_WEBHOOK_NETWORKS": "127.0.0.1",
        "CRMGQL_LOG_LEVEL": "warning",
    }
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "crmgql", "worker", env=environment)
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        await process.wait()


async def _rate(case: Case, database: asyncpg.Connection, url: str, owner: UUID, events: int) -> float:
    """Requests per second, from the first to the last."""
    Receiver.times.clear()
    salt = new_salt()
    await database.execute(
        """INSERT INTO webhook_endpoints
            (url, api_version, order_by, ed25519, owner_id, status, verified_at, kinds, key_salt, public_key, cursor)
        SELECT $1, '2026-11', $2, $3, $4, 'ACTIVE', now(), '{customer.*}', $5, $6, $7 FROM generate_series(1, $8::int)""",
        *(url, case.order_by, case.ed25519, owner, salt, KEYS.pair(salt).public_key, cursors.START.text()),
        case.endpoints,
    )
    wanted = events * case.endpoints
    async with asyncio.timeout(600):
        while len(Receiver.times) < wanted:  # noqa: ASYNC110 - what is waited for happens in another process
            await asyncio.sleep(0.05)
    rate = (wanted - 1) / (Receiver.times[wanted - 1] - Receiver.times[0])
    await database.execute("UPDATE webhook_endpoints SET status = 'DELETED'")
    return rate


def _print(figures: dict[str, float], console: Console, rounds: int, events: int) -> None:
    table = Table(title=f"Webhooks per second, {rounds} rounds of {events} events; goal: {GOAL}")
    table.add_column("")
    table.add_column("per second", justify="right")
    for name, rate in figures.items():
        table.add_row(name, f"{rate:.0f}")
    console.print(table)
    RESULT.write_text(json.dumps({"rounds": rounds, "events": events, "per_second": figures}, indent=2) + "\n")
