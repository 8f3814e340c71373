"""Databases to measure on: migrated, loaded with the demo company, kept or thrown away."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import util
from pathlib import Path

import asyncpg
import uvloop
from rich.console import Console
from rich.progress import Progress

from bench import processes
from crmgql.dev import demo, embedded

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
SEED = 360
SELLER = "seller@demo.example"
SAMPLE = 500
PASSWORD_HASH = "!"  # nobody logs in by password here


@dataclass(frozen=True)
class Shape:
    """How many customers, and how many orders each; an order has 2 payments with a commission each."""

    customers: int
    orders: int


@contextlib.contextmanager
def servers(reuse: Path | None, database_url: str | None, redis_url: str | None) -> Iterator[embedded.Servers]:
    """PostgreSQL and Valkey: the given ones, or embedded ones that keep nothing unless `reuse` names their directory."""
    if database_url:
        yield embedded.Servers(database_url, redis_url or "")
        return
    with embedded.start(reuse or processes.ROOT / ".crmgql" / "bench", throwaway=reuse is None) as started:
        yield started


def prepare(url: str, shape: Shape, console: Console) -> None:
    """Migrate and load, unless exactly this is there already."""
    if uvloop.run(_holds(url, shape)):
        console.print(f"using the loaded database: {shape.customers:,} customers × {shape.orders} orders")
        return
    migrate(url)
    started = time.monotonic()
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("loading", total=None)

        def show(step: str, done: int, total: int) -> None:
            progress.update(task, description=f"loading {step}", completed=done, total=total)

        uvloop.run(_load(url, shape, show))
    seconds = time.monotonic() - started
    console.print(f"loaded {shape.customers:,} customers × {shape.orders} orders in {seconds:.0f} s")


def migrate(url: str) -> None:
    """Create the tables: by the product's own command, or from its SQL while there is none."""
    if util.find_spec("crmgql.cli.commands"):
        processes.run_crmgql(["migrate"], {"CRMGQL_DATABASE_URL": url})
    else:
        uvloop.run(_run_migrations(url))


def sister(url: str, name: str) -> str:
    """The URL of another database on the same server, created if absent."""
    uvloop.run(_create(url, name))
    return re.sub(r"^(\w+://[^/?]*/)[^?]*", rf"\g<1>{name}", url)


def sample(url: str) -> list[str]:
    """Ids of customers that the seller owns, in an order that has nothing to do with where they lie."""
    return uvloop.run(_sample(url))


async def _holds(url: str, shape: Shape) -> bool:
    connection = await asyncpg.connect(url)
    try:
        if not await connection.fetchval("SELECT to_regclass('customers')"):
            return False
        counted = await connection.fetchrow("SELECT (SELECT count(*) FROM customers), (SELECT count(*) FROM orders)")
        if tuple(counted) == (0, 0):
            return False
        if tuple(counted) != (shape.customers, shape.customers * shape.orders):
            raise SystemExit(
                f"the database holds {counted[0]} customers and {counted[1]} orders, not {shape}: use another"
            )
        return True
    finally:
        await connection.close()


async def _load(url: str, shape: Shape, show: demo.Progress) -> None:
    connection = await asyncpg.connect(url)
    try:
        await demo.load(
            connection,
            customers=shape.customers,
            orders_per_customer=shape.orders,
            seed=SEED,
            now=NOW,
            password_hash=PASSWORD_HASH,
            progress=show,
        )
        # For every server alike: pages come from memory or an SSD, so reading one at random costs little more.
        name = await connection.fetchval("SELECT quote_ident(current_database())")
        await connection.execute(f"ALTER DATABASE {name} SET random_page_cost = 1.1")
        await connection.execute("CHECKPOINT")
    finally:
        await connection.close()


async def _run_migrations(url: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        if not await connection.fetchval("SELECT to_regclass('customers')"):
            for path in sorted((processes.ROOT / "crmgql" / "migrations").glob("*.sql")):
                await connection.execute(path.read_text(encoding="utf-8"))
    finally:
        await connection.close()


async def _create(url: str, name: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        if not await connection.fetchval("SELECT true FROM pg_database WHERE datname = $1", name):
            await connection.execute(f'CREATE DATABASE "{name}"')
    finally:
        await connection.close()


async def _sample(url: str) -> list[str]:
    connection = await asyncpg.connect(url)
    try:
        rows = await connection.fetch(
            "SELECT c.id FROM customers c JOIN users u ON u.id = c.owner_id WHERE u.email = $1"
            " ORDER BY md5(c.id::text) LIMIT $2",
            SELLER,
            SAMPLE,
        )
    finally:
        await connection.close()
    if len(rows) < SAMPLE:
        raise SystemExit(f"{SELLER} owns {len(rows)} customers, {SAMPLE} are needed: load more customers")
    return [row["id"].hex for row in rows]
