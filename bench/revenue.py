"""`python -m bench revenue`: revenue by month and by other groups, beside a plain GROUP BY that adds up the same rows.

The plain ones: over the postings, by month and accounts, which is all that the report reads; and over orders and payments, by month,
which is what would be asked without books.
"""

from __future__ import annotations

import json
import statistics
import time
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
from crmgql.schema import build
from crmgql.viewer import Viewer, Who

GOAL = 2.0
PLAIN = {
    "postings": """
        SELECT date_trunc('month', effective_on), debit, credit, currency, sum(amount) FROM postings
        WHERE phase = 'POSTED' GROUP BY 1, 2, 3, 4""",
    "orders and payments": """
        SELECT date_trunc('month', ordered_at), currency, sum(subtotal_amount - discount_amount) FROM orders
        WHERE committed GROUP BY 1, 2 UNION ALL
        SELECT date_trunc('month', received_at), currency, sum(amount) FROM payments WHERE status = 'RECEIVED' GROUP BY 1, 2""",
}
GROUPED = {
    "month": "groupBy: [MONTH]",
    "month, one quarter": 'groupBy: [MONTH], since: "2026-01-01", until: "2026-03-31"',
    "month, in base currency": "groupBy: [MONTH], convertTo: BASE",
    "largest 100 customers": "groupBy: [CUSTOMER], first: 100",
    "product": "groupBy: [PRODUCT]",
    "month and seller": "groupBy: [MONTH, SELLER], first: 1000",
}
FIGURES = "booked recognised received refunded cost margin"


def run(urls: embedded.Servers, shape: data.Shape, *, rounds: int, console: Console) -> dict[str, Any]:
    """Prints a table and writes `results/revenue.json`: milliseconds, medians of alternating rounds."""
    data.prepare(urls.database_url, shape, console)
    seconds = uvloop.run(_measure(urls.database_url, rounds))
    table = Table(title=f"{shape.customers * shape.orders:,} orders")
    for heading in ("", "ms (median)", "min–max", "× plain over postings"):
        table.add_column(heading, justify="right")
    medians = {name: statistics.median(each) * 1000 for name, each in seconds.items()}
    for name, each in seconds.items():
        span = f"{min(each) * 1000:,.0f}–{max(each) * 1000:,.0f}"
        table.add_row(name, f"{medians[name]:,.0f}", span, f"{medians[name] / medians['postings']:.2f}")
    console.print(table)
    console.print(f"goal: by month ≤ {GOAL} × plain over postings")
    result = {"machine": comparison.machine(), "orders": shape.customers * shape.orders, "goal": GOAL, "ms": medians}
    comparison.write("revenue.json", result)
    return result


async def _measure(url: str, rounds: int) -> dict[str, list[float]]:
    crm = await db.connect(url, pool_size=1)
    engine = build.engine(crm, Settings(log_level="error"))
    connection = await asyncpg.connect(url)
    await connection.execute("VACUUM ANALYZE")
    seconds: dict[str, list[float]] = {name: [] for name in (*PLAIN, *GROUPED)}
    for _ in range(rounds + 1):  # the first one warms up
        for name, sql in PLAIN.items():
            started = time.perf_counter()
            await connection.fetch(sql)
            seconds[name].append(time.perf_counter() - started)
        for name, arguments in GROUPED.items():
            started = time.perf_counter()
            await _ask(engine, arguments)
            seconds[name].append(time.perf_counter() - started)
    await connection.close()
    await crm.close()
    return {name: each[1:] for name, each in seconds.items()}


async def _ask(engine: Engine, arguments: str) -> None:
    shown = " ".join(f"{name} {{ amount }}" for name in FIGURES.split())
    query = f"{{ revenue({arguments}) {{ groups {{ month currency {shown} }} }} }}"
    viewer = Viewer(UUID(int=0), Who(frozenset({"ADMIN"})))
    answer = json.loads(await engine.answer(Request(query), viewer))
    assert answer["data"]["revenue"]["groups"], answer
