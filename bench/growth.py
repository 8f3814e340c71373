"""`make bench-growth`: does an answer take longer when there is a hundred times more data that was not asked for?"""

from __future__ import annotations

import statistics
from contextlib import ExitStack
from typing import Any

from rich.console import Console
from rich.table import Table

from bench import comparison, data, processes, queries, servers
from crmgql.dev import embedded

SMALL_CUSTOMERS = 10_000
STATUSES = ("CUSTOMER", "DORMANT", "CHURNED")
GOAL = 1.3  # p50 of the large over p50 of the small


def run(
    urls: embedded.Servers, large: data.Shape, *, rounds: int, measured_s: float, warmup_s: float, console: Console
) -> dict[str, Any]:
    """Load both databases, measure both queries on both in alternating rounds, one request at a time."""
    shapes = {"small": data.Shape(SMALL_CUSTOMERS, large.orders), "large": large}
    with ExitStack() as stack:
        asked: dict[tuple[str, str], tuple[int, list[str]]] = {}
        for size, shape in shapes.items():
            url = data.sister(urls.database_url, f"bench_{size}")
            data.prepare(url, shape, console)
            peer = stack.enter_context(servers.crmgql(embedded.Servers(url, urls.redis_url)))
            port, token = peer.server.port, peer.token
            ids = data.sample(url)
            asked["360", size] = (
                port,
                [queries.request(queries.CUSTOMER_360, {"id": f"cus_{digits}"}, token=token) for digits in ids],
            )
            asked["list", size] = (
                port,
                [queries.request(queries.CUSTOMER_LIST, {"status": status}, token=token) for status in STATUSES],
            )
        p50s: dict[tuple[str, str], list[float]] = {key: [] for key in asked}
        for number in range(rounds):
            console.print(f"round {number + 1} of {rounds}")
            for key, (port, requests) in asked.items():
                spec = {"port": port, "requests": requests, "lengths": None, "connections": 1, "seed": number}
                answer = processes.drive(spec | {"warmup_s": warmup_s, "measured_s": measured_s})
                p50s[key].append(answer["p50_ms"])
    result: dict[str, Any] = {
        "machine": comparison.machine(),
        "customers": {size: shape.customers for size, shape in shapes.items()},
        "orders_per_customer": large.orders,
        "p50_ms": {
            query: {size: round(statistics.median(p50s[query, size]), 3) for size in shapes}
            for query in ("360", "list")
        },
    }
    result["ratios"] = {
        query: round(
            statistics.median(b / a for a, b in zip(p50s[query, "small"], p50s[query, "large"], strict=True)), 3
        )
        for query in ("360", "list")
    }
    table = Table(title="p50 in ms, one connection, as a seller")
    for heading in (
        "query",
        f"{SMALL_CUSTOMERS:,} customers",
        f"{large.customers:,} customers",
        "ratio",
        f"goal ≤ {GOAL}",
    ):
        table.add_column(heading, justify="left" if heading == "query" else "right")
    for query, ratio in result["ratios"].items():
        values = result["p50_ms"][query]
        verdict = "met" if ratio <= GOAL else "MISSED"
        table.add_row(query, f"{values['small']:.3f}", f"{values['large']:.3f}", f"{ratio:.3f}", verdict)
    console.print(table)
    comparison.write("growth.json", result)
    return result
