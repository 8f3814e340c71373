"""How long planning takes: an operation seen before, a new one, and one whose text was never parsed."""

from __future__ import annotations

import asyncio
import json
import statistics
import time
import uuid
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.table import Table
from tortoise import Tortoise

from bench import queries
from crmgql import db
from crmgql.engine import documents
from crmgql.planner.plan import Plans
from crmgql.schema import build
from crmgql.viewer import Who

RESULT = Path(__file__).parent / "results" / "planning.json"
LIMITS = documents.Limits(tokens=4000, depth=15, aliases=50, directives=50, introspection=True)


def run(console: Console, *, rounds: int = 5, each: int = 200) -> None:
    """Prints a table and writes `results/planning.json`; medians over rounds, in milliseconds."""
    asyncio.run(_initialise())
    schema, known = build.built()
    plans = Plans(schema._schema, known, size=1000, max_cost=50_000)
    kept = documents.Documents(schema._schema, LIMITS, size=1000)
    who = Who(frozenset({"SELLER"}))
    variables = {"id": f"cus_{uuid.uuid4().hex}"}
    prepared = kept.get(queries.CUSTOMER_360).find(None).prepared

    def unseen_text() -> None:
        fresh = documents.Documents(schema._schema, LIMITS, size=10)
        fresh.get(queries.CUSTOMER_360 + f" # {uuid.uuid4()}")

    figures = {
        "cached operation: find the plan": _median_ms(lambda: plans.plan(prepared, variables, who), rounds, each * 20),
        "new operation: plan it": _median_ms(lambda: plans.make(prepared, variables, who), rounds, each),
        "new text: parse and validate it": _median_ms(unseen_text, rounds, max(1, each // 10)),
    }
    table = Table(title="Planning the 360")
    table.add_column("what")
    table.add_column("ms", justify="right")
    for what, value in figures.items():
        table.add_row(what, f"{value:.4f}")
    console.print(table)
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps({"milliseconds": figures}, indent=2) + "\n")


async def _initialise() -> None:
    config = db.tortoise_config("postgresql://nobody@localhost/none", pool_size=1, statement_timeout_ms=1000)
    await Tortoise.init(config=config, init_connections=False)


def _median_ms(work: Callable[[], object], rounds: int, each: int) -> float:
    work()
    times = []
    for _ in range(rounds):
        started = time.perf_counter()
        for _ in range(each):
            work()
        times.append((time.perf_counter() - started) * 1000 / each)
    return statistics.median(times)
