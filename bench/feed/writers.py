"""What writers pay for the feed: transactions a second of a verb with the bell and the relay, and without both.

Events are recorded either way, as the audit trail needs them too. Rounds alternate; before each one all events have their positions.
"""

from __future__ import annotations

import statistics
from typing import Any

from rich.console import Console

from bench.feed import programs
from bench.feed.company import Company
from bench.feed.programs import Program
from bench.feed.verdicts import Line, show

GOAL = 1.05
WARMUP_S = 1.0


def run(made: Company, console: Console, *, seconds: float, rounds: int) -> dict[str, Any]:
    rates: dict[str, list[float]] = {"with the feed": [], "without": []}
    cpu_us: dict[str, list[float]] = {name: [] for name in rates}
    with programs.started("writer", made.environment) as writer:
        for number in range(rounds):
            for name in list(rates)[:: -1 if number % 2 else 1]:
                found = _with_relay(made, writer, seconds) if name == "with the feed" else _alone(made, writer, seconds)
                rates[name].append(found["per_second"])
                cpu_us[name].append(found["cpu_s"] / found["transactions"] * 1e6)
    pairs = zip(rates["without"], rates["with the feed"], strict=True)
    cost = statistics.median(without / with_feed for without, with_feed in pairs)
    result: dict[str, Any] = {
        "rounds": rounds,
        "seconds_per_round": seconds,
        **{f"per_second, {name}": round(statistics.median(each)) for name, each in rates.items()},
        "by_round": {name: [round(rate) for rate in each] for name, each in rates.items()},
        "writer_cpu_us": {name: round(statistics.median(each)) for name, each in cpu_us.items()},
        "cost": round(cost, 3),
    }
    lines: list[Line] = [(f"transactions/s {name}", statistics.median(each), "", None) for name, each in rates.items()]
    lines += [(f"CPU of the writer {name}, µs", value, "", None) for name, value in result["writer_cpu_us"].items()]
    lines.append(("writers pay, times", cost, f"≤ {GOAL}", cost <= GOAL))
    show(console, f"What writers pay for the feed, {rounds} rounds of {seconds:g} s", lines)
    return result


def _with_relay(made: Company, writer: Program, seconds: float) -> dict[str, Any]:
    with programs.started("relay", made.environment):
        made.wait_for_positions()
        writer.ask(do="update", seconds=WARMUP_S, rings=True)
        return writer.ask(do="update", seconds=seconds, rings=True)


def _alone(made: Company, writer: Program, seconds: float) -> dict[str, Any]:
    writer.ask(do="update", seconds=WARMUP_S, rings=False)
    return writer.ask(do="update", seconds=seconds, rings=False)
