"""`python -m bench ledger`: orders that are confirmed, payments that are recorded and allocated, each with its postings.

Compares, in alternating rounds: the mutations through the engine; the very statements of such a transaction, noted down once and
sent by asyncpg with nothing around them; both by one and by eight at once, on many customers and on one.
"""

from __future__ import annotations

import asyncio
import json
import re
import statistics
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import uvloop
from rich.console import Console
from rich.table import Table

from bench import comparison, data
from crmgql import db
from crmgql.config import Settings
from crmgql.dev import embedded
from crmgql.engine.operations import Engine, Request
from crmgql.ledger.postings import new_id
from crmgql.models.names import api_id
from crmgql.postgres import connection as connections
from crmgql.postgres.connection import Watched
from crmgql.schema import build
from crmgql.viewer import Viewer, Who

RESULT = Path(__file__).parent / "results" / "ledger.json"
LINES, CUSTOMERS, AT_ONCE = 5, 400, 8
GOALS = {"engine / statements": 0.5, "8 / 1 connections": 2.5, "one customer / many": 0.5}
CONFIRM = "mutation($id: ID!) { orderConfirm(input: {id: $id}) { order { status } userErrors { code } } }"
PAY = """mutation($id: ID!) { paymentRecord(input: {orderId: $id, method: CASH, amount: {amount: "50.00", currency: "USD"}})
    { payment { status } userErrors { code } } }"""
PEOPLE = "INSERT INTO users (name, roles) VALUES ('Ann', '{ADMIN}') RETURNING id"
SHOPS = "INSERT INTO customers (name, currency, owner_id) SELECT 'Shop ' || n, 'USD', $2 FROM generate_series(1, $1) n RETURNING id"
ORDERS = """
WITH made AS (
    INSERT INTO orders (customer_id, seller_id, currency, subtotal_amount, shipping_amount, tax_amount, discount_amount, total_amount)
    SELECT customer, $2, 'USD', 50.00, 0.00, 0.00, 0.00, 50.00 FROM unnest($1::uuid[]) AS customer RETURNING id, customer_id
), lines AS (
    INSERT INTO order_lines (customer_id, order_id, position, description, currency, unit_price_amount, discount_amount,
        shipping_amount, line_amount)
    SELECT customer_id, id, n, 'Thing', 'USD', 10.00, 0.00, 0.00, 10.00 FROM made, generate_series(1, $3) n
)
SELECT id FROM made"""
UUIDS = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}")


class Sent(list[tuple[str, tuple[Any, ...], list[Any]]]):
    """Statements, their values, and the rows that they gave. `began`: when, in milliseconds."""

    began = 0


Work = Callable[[UUID], Awaitable[None]]


def run(urls: embedded.Servers, *, rounds: int, console: Console) -> None:
    """Prints a table and writes `results/ledger.json`. Rates are transactions per second, medians of rounds."""
    url = data.sister(urls.database_url, "bench_ledger")
    data.migrate(url)
    figures = uvloop.run(_measure(url, rounds, console))
    result = {"machine": comparison.machine(), "goals": GOALS, **figures}
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=2) + "\n")
    table = Table(title="Per second; ratios are medians over the rounds")
    for column in ("", "engine", "statements", "engine / statements"):
        table.add_column(column, justify="right")
    for name, each in figures["rates"].items():
        table.add_row(name, *(str(each[key]) for key in ("engine", "statements", "ratio")))
    console.print(table)
    console.print({name: figures[name] for name in ("8 / 1 connections", "one customer / many")})


async def _measure(url: str, rounds: int, console: Console) -> dict[str, Any]:
    admin = await asyncpg.connect(url)
    user = await admin.fetchval(PEOPLE)
    shops = [row["id"] for row in await admin.fetch(SHOPS, CUSTOMERS, user)]
    crm = await db.connect(url, pool_size=AT_ONCE)
    engine = build.engine(crm, Settings(log_level="error"))
    viewer = Viewer(user, Who(frozenset({"ADMIN"})))

    async def orders(count: int, *, spread: bool) -> list[UUID]:
        owners = [shops[n % CUSTOMERS if spread else 0] for n in range(count)]
        return [row["id"] for row in await admin.fetch(ORDERS, owners, user, LINES)]

    scripts = {}
    (first,) = await orders(1, spread=True)
    for name, mutation in (("confirm", CONFIRM), ("pay", PAY)):
        scripts[name] = await _noted(engine, mutation, viewer, first)
    bare = [await connections.open_one(url, 60_000) for _ in range(AT_ONCE)]
    seen: dict[str, dict[str, list[float]]] = {}
    for number in range(-1, rounds):
        await admin.execute(
            "ANALYZE"
        )  # as autovacuum does while tables grow; the round before the first is not counted
        for spread, at_once in ((True, 1), (True, AT_ONCE), (False, AT_ONCE)):
            where = f"{at_once} at once, {'many customers' if spread else 'one customer'}"
            for way in ("engine", "statements"):
                ids = await orders(60 * at_once, spread=spread)
                for name, mutation in (("confirm", CONFIRM), ("pay", PAY)):
                    if way == "engine":
                        rate = await _rate(ids, [_asked(engine, mutation, viewer)] * at_once)
                    else:
                        rate = await _rate(ids, [_replayed(each, scripts[name], first) for each in bare[:at_once]])
                    if number >= 0:
                        seen.setdefault(f"{name}, {where}", {}).setdefault(way, []).append(rate)
        console.print(f"round {number + 1} of {rounds}")
    for each in (*bare, admin):
        await each.close()
    await crm.close()
    return _summed(seen)


def _summed(seen: dict[str, dict[str, list[float]]]) -> dict[str, Any]:
    def ratio(upper: list[float], lower: list[float]) -> float:
        return round(statistics.median(a / b for a, b in zip(upper, lower, strict=True)), 2)

    def compared(upper: str, lower: str) -> dict[str, float]:
        return {
            name: ratio(seen[f"{name}, {upper}"]["engine"], seen[f"{name}, {lower}"]["engine"])
            for name in ("confirm", "pay")
        }

    rates = {
        name: {way: round(statistics.median(rates)) for way, rates in ways.items()}
        | {"ratio": ratio(ways["engine"], ways["statements"])}
        for name, ways in seen.items()
    }
    many, one = f"{AT_ONCE} at once, many customers", f"{AT_ONCE} at once, one customer"
    return {
        "rates": rates,
        "8 / 1 connections": compared(many, "1 at once, many customers"),
        "one customer / many": compared(one, many),
    }


async def _rate(ids: list[UUID], workers: list[Work]) -> float:
    """Works all off, each worker one after another; how many a second."""
    left = iter(ids)

    async def work(one: Work) -> None:
        for id in left:
            await one(id)

    started = time.perf_counter()
    await asyncio.gather(*(work(each) for each in workers))
    return len(ids) / (time.perf_counter() - started)


def _asked(engine: Engine, mutation: str, viewer: Viewer) -> Work:
    async def ask(id: UUID) -> None:
        answer = json.loads(await engine.answer(Request(mutation, variables={"id": api_id("Order", id)}), viewer))
        (payload,) = answer["data"].values()
        assert payload["userErrors"] == [], answer

    return ask


async def _noted(engine: Engine, mutation: str, viewer: Viewer, id: UUID) -> Sent:
    """The statements of the mutation, with their values."""
    sent = Sent()
    sent.began = time.time_ns() // 1_000_000
    row, execute, plain = connections.EXECUTE, Watched._execute, Watched.execute

    async def note(self: Any, sql: str, args: tuple[Any, ...], *more: Any, **options: Any) -> Any:
        given = await row(self, sql, args, *more, **options)
        sent.append((sql, tuple(args), given if isinstance(given, list) else []))
        return given

    async def note_plain(self: Any, sql: str, *args: Any, **options: Any) -> Any:
        if not args:
            sent.append((sql, (), []))
        return await plain(self, sql, *args, **options)

    connections.EXECUTE = note  # type: ignore[assignment]
    asyncpg.Connection._execute, Watched.execute = note, note_plain  # type: ignore[method-assign]
    try:
        await _asked(engine, mutation, viewer)(id)
    finally:
        connections.EXECUTE = asyncpg.Connection._execute = row
        Watched._execute, Watched.execute = execute, plain  # type: ignore[method-assign]
    return sent


def _replayed(connection: Any, script: Sent, first: UUID) -> Work:
    """Sends the statements for another order: its ids are exchanged, and those that the transaction made are made anew."""

    async def send(id: UUID) -> None:
        known = _Known(script.began, {str(first): str(id)})
        for sql, values, gave in script:
            if not values:
                await connection.execute(sql)
                continue
            for old, new in zip(gave, await connection.fetch(sql, *known.exchanged(values)), strict=False):
                known.learn(old.values(), new.values())

    return send


def _made_at(uuid: str) -> int:
    return int(uuid.replace("-", "")[:12], 16)


class _Known(dict[str, str]):
    """What stands for the ids of the transaction that was noted down; `began` is when that was, in milliseconds."""

    def __init__(self, began: int, known: dict[str, str]) -> None:
        super().__init__(known)
        self.began = began

    def __missing__(self, id: str) -> str:
        self[id] = str(new_id()) if _made_at(id) >= self.began else id
        return self[id]

    def learn(self, old: Iterable[Any], new: Iterable[Any]) -> None:
        for was, now in zip(old, new, strict=True):
            if isinstance(was, UUID):
                self[str(was)] = str(now)

    def exchanged(self, values: Iterable[Any]) -> Iterator[Any]:
        for value in values:
            if isinstance(value, UUID):
                yield UUID(self[str(value)])
            elif isinstance(value, str):
                yield UUIDS.sub(lambda found: self[found[0]], value)
            elif isinstance(value, list):
                yield list(self.exchanged(value))
            else:
                yield value
