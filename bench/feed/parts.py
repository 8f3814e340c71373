"""What is measured of the feed. Each part has a company, servers and clients of its own; `quick` shows that a part works: its
figures mean nothing and are not kept.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from rich.console import Console

from bench import comparison
from bench.feed import burst, company, fanout, latency, memory, polls, replay, webhooks, writers
from bench.feed.company import Company

RESULT = comparison.RESULTS / "feed.json"
Part = Callable[[Company, Console, bool], dict[str, Any]]
PARTS: dict[str, Part] = {
    "fanout": lambda made, console, quick: fanout.run(
        made, console, sockets=200 if quick else 2000, events=20 if quick else 30, rounds=2 if quick else 5
    ),
    "latency": lambda made, console, quick: latency.run(
        made, console, sockets=50 if quick else 500, per_s=20 if quick else 100, seconds=5 if quick else 30
    ),
    "memory": lambda made, console, quick: memory.run(made, console, sockets=100 if quick else 2000),
    "replay": lambda made, console, quick: replay.run(
        made, console, events=5000 if quick else 100_000, rounds=1 if quick else 3
    ),
    "burst": lambda made, console, quick: burst.run(
        made,
        console,
        events=20_000 if quick else 1_000_000,
        at_once=2000 if quick else 10_000,
        sockets=2 if quick else 20,
        seconds=15 if quick else 170,
    ),
    "polls": lambda made, console, quick: polls.run(
        made, console, pollers=200 if quick else 10_000, events=3 if quick else 10, pause_s=2.0 if quick else 3.0
    ),
    "writers": lambda made, console, quick: writers.run(
        made, console, seconds=1.0 if quick else 6.0, rounds=2 if quick else 9
    ),
    "webhooks": lambda made, console, quick: webhooks.run(made, console, messages=500 if quick else 20_000),
}


def run(names: Sequence[str], console: Console, *, quick: bool) -> None:
    """Prints tables and writes `results/feed.json`."""
    for name in names:
        with company.founded() as made:
            result = PARTS[name](made, console, quick)
        if not quick:
            _keep(name, result)


def _keep(name: str, result: dict[str, Any]) -> None:
    """Parts that were not measured now stay as they are, each with the machine that it was measured on."""
    known = json.loads(RESULT.read_text(encoding="utf-8")) if RESULT.exists() else {}
    comparison.write(RESULT.name, known | {name: {"machine": comparison.machine(), **result}})
