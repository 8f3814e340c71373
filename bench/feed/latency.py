"""From a commit to its delivery: verbs at a steady rate, and a few hundred subscribers.

The writer takes the time when its transaction is committed, the client when it has the delivery in hand; both of the machine's
monotonic clock. Every delivery counts, also the last of the subscribers.
"""

from __future__ import annotations

import tempfile
from array import array
from pathlib import Path
from typing import Any

from rich.console import Console

from bench.feed import company, programs
from bench.feed.company import Company
from bench.feed.fanout import DOCUMENT, PATIENCE_S, follow, warm_up
from bench.feed.verdicts import show

P50_MS, P99_MS = 30.0, 250.0


def run(made: Company, console: Console, *, sockets: int, per_s: float, seconds: float) -> dict[str, Any]:
    events = int(per_s * seconds)
    with (
        programs.started("writer", made.environment) as writer,
        company.serving(made) as running,
        programs.started("followers") as followers,
        tempfile.TemporaryDirectory() as folder,
    ):
        follow(followers, running, [company.token(made.admin_id)], sockets, DOCUMENT)
        warm_up(followers, writer)
        file = Path(folder, "samples")
        servers = {"API": running.api.process.pid, "worker": running.worker.process.pid if running.worker else 0}
        before_s = {name: company.cpu_s(pid) for name, pid in servers.items()}
        followers.begin(do="read", seconds=seconds + PATIENCE_S, each=events, file=str(file))
        written = writer.ask(do="log", first=1, events=events, per_s=per_s)
        figures = followers.answer()
        cores = {name: (company.cpu_s(pid) - before_s[name]) / written["seconds"] for name, pid in servers.items()}
        waits = _waits_ms(file, figures["deliveries"], written["committed"])
    if figures["least"] != events:
        raise RuntimeError(f"a socket had {figures['least']} deliveries of {events}")
    result = {
        "sockets": sockets,
        "events_per_s": round(events / written["seconds"], 1),
        "deliveries": len(waits),
        **{f"p{share:g}_ms": round(waits[int(len(waits) * share / 100)], 1) for share in (50, 90, 99, 99.9)},
        "longest_ms": round(waits[-1], 1),
        "cores": {**{name: round(each, 2) for name, each in cores.items()}, "clients": round(figures["cpu_s"] / written["seconds"], 2)},
    }  # fmt: skip
    title = f"From commit to delivery: {sockets} subscribers, {result['events_per_s']:g} events/s for {seconds:g} s"
    rows = [
        ("p50, ms", result["p50_ms"], f"≤ {P50_MS:g}", result["p50_ms"] <= P50_MS),
        ("p99, ms", result["p99_ms"], f"≤ {P99_MS:g}", result["p99_ms"] <= P99_MS),
        ("longest, ms", result["longest_ms"], "", None),
        *((f"cores: {name}", value, "", None) for name, value in result["cores"].items()),
    ]
    show(console, title, rows)
    return result


def _waits_ms(file: Path, deliveries: int, committed: dict[str, float]) -> list[float]:
    numbers, times = array("I"), array("d")
    with file.open("rb") as samples:
        numbers.fromfile(samples, deliveries)
        times.fromfile(samples, deliveries)
    at = {int(number): seconds for number, seconds in committed.items()}
    return sorted((time - at[number]) * 1000 for number, time in zip(numbers, times, strict=True))
