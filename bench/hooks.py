"""`python -m bench hooks`: a burst of posts as Stripe signs them, each twice, to one API process, and how a worker books them.

Says whether all were answered and none was lost, how long the answers took, what memory they took, and how long until all
payments were in the books.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg
import uvloop
from rich.console import Console
from rich.table import Table

from bench import data, processes
from crmgql import db
from crmgql.dev import embedded
from crmgql.domain.money.hooks import accounts
from crmgql.domain.webhooks.keys import KEYS
from crmgql.models.names import api_id
from crmgql.records.records import Act
from crmgql.viewer import system

RESULT = Path(__file__).parent / "results" / "hooks.json"
SECRET, WHSEC = "a secret of thirty-two bytes, or more", "whsec_" + "b" * 32
CUSTOMERS, CONNECTIONS, POSTS = 200, 64, 1000
LONGEST_S = 600.0
CUSTOMERS_SQL = (
    "INSERT INTO customers (name, currency) SELECT 'Shop ' || n, 'USD' FROM generate_series(1, $1) n RETURNING id"
)
EVENTS = "SELECT status, count(*) FROM provider_events GROUP BY status"
BOOKED = "SELECT count(*), sum(amount) FROM payments WHERE status = 'RECEIVED' AND provider = 'stripe'"


@dataclass
class Burst:
    """The answers to the posts, and how long each took, in milliseconds."""

    port: int
    statuses: list[int] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)

    async def send(self, posts: asyncio.Queue[bytes]) -> None:
        """One connection's posts, one after the other."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        while not posts.empty():
            started = time.perf_counter()
            writer.write(posts.get_nowait())
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(
                (line[16:] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length: ")), b"0"
            )
            await reader.readexactly(int(length))
            self.waits.append((time.perf_counter() - started) * 1000)
            self.statuses.append(int(head.split()[1]))
        writer.close()


def post(number: int, customer: str) -> bytes:
    """A payment of 10.00 USD of a customer, as it comes over the wire."""
    now = int(time.time())
    intent = {"id": f"pi_{number}", "object": "payment_intent", "amount_received": 1000, "currency": "usd"}
    thing = {**intent, "metadata": {"order": customer}, "payment_method_types": ["card"]}
    event = {"id": f"evt_{number}", "type": "payment_intent.succeeded", "created": now, "livemode": True}
    body = json.dumps({**event, "data": {"object": thing}}).encode()
    made = hmac.new(WHSEC.encode(), f"{now}.".encode() + body, hashlib.sha256).hexdigest()
    head = f"POST /hooks/payments/stripe HTTP/1.1\r\nhost: crm\r\ncontent-length: {len(body)}\r\n"
    return f"{head}stripe-signature: t={now},v1={made}\r\n\r\n".encode() + body


def run(urls: embedded.Servers, console: Console) -> None:
    with tempfile.TemporaryDirectory() as home:
        port = processes.free_port()
        environment = {
            "CRMGQL_DATABASE_URL": urls.database_url,
            "CRMGQL_REDIS_URL": urls.redis_url,
            "CRMGQL_SECRET_KEY": SECRET,
            "CRMGQL_DATA_DIR": home,
            "CRMGQL_PORT": str(port),
            "CRMGQL_LOG_LEVEL": "error",
        }
        data.migrate(urls.database_url)
        customers = uvloop.run(_prepared(urls.database_url))
        serve = [sys.executable, "-m", "crmgql", "serve"]
        with processes.running("crmgql", serve, port, environment, Path(home, "serve.log")) as server:
            before = _resident_mb(server)
            burst, seconds = uvloop.run(_burst(port, customers))
            memory = _resident_mb(server) - before
        metrics = processes.free_port()
        work = [sys.executable, "-m", "crmgql", "worker", "--metrics-port", str(metrics)]
        with processes.running("worker", work, metrics, environment, Path(home, "worker.log")):
            booked_s = uvloop.run(_booked(urls.database_url))
    found = {
        "posts": len(burst.statuses),
        "accepted": burst.statuses.count(200),
        "posts_per_s": round(len(burst.statuses) / seconds),
        "median_ms": round(statistics.median(burst.waits), 1),
        "longest_ms": round(max(burst.waits), 1),
        "memory_mb": round(memory, 1),
        "booked_per_s": round(POSTS / booked_s),
    }
    RESULT.write_text(json.dumps(found, indent=2) + "\n", "utf-8")
    table = Table("of a burst", "measured")
    for name, value in found.items():
        table.add_row(name.replace("_", " "), f"{value:,}")
    console.print(table)


def _resident_mb(server: processes.Server) -> float:
    """Of all of the server's processes together."""
    pages = [Path(f"/proc/{pid}/statm") for pid in processes.tree(server.process.pid)]
    return sum(int(path.read_text().split()[1]) for path in pages if path.exists()) * 4096 / 1e6


async def _prepared(url: str) -> list[str]:
    """The account, and the customers' ids."""
    KEYS.use(SECRET)
    async with db.opened(url) as crm, crm.transaction() as tx:
        await accounts.create(Act(tx, system()), name="Shop", provider="STRIPE", secrets=[WHSEC])
    connection = await asyncpg.connect(url)
    rows = await connection.fetch(CUSTOMERS_SQL, CUSTOMERS)
    await connection.close()
    return [api_id("Customer", row["id"]) for row in rows]


async def _burst(port: int, customers: list[str]) -> tuple[Burst, float]:
    burst, posts = Burst(port), asyncio.Queue[bytes]()
    for number in range(POSTS):
        for _ in range(2):
            posts.put_nowait(post(number, customers[number % CUSTOMERS]))
    started = time.perf_counter()
    await asyncio.gather(*(burst.send(posts) for _ in range(CONNECTIONS)))
    return burst, time.perf_counter() - started


async def _booked(url: str) -> float:
    """Seconds until all is booked. Raises if anything is lost or booked twice."""
    connection = await asyncpg.connect(url)
    started = time.perf_counter()
    while time.perf_counter() - started < LONGEST_S:
        statuses = {row["status"]: row["count"] for row in await connection.fetch(EVENTS)}
        if statuses.keys() <= {"DONE"}:
            break
        await asyncio.sleep(0.2)
    seconds = time.perf_counter() - started
    payments, amount = await connection.fetchrow(BOOKED)
    await connection.close()
    if (statuses, payments, amount) != ({"DONE": POSTS}, POSTS, 10 * POSTS):
        raise AssertionError(f"events {statuses}, payments {payments}, amount {amount}")
    return seconds
