"""A burst, as an import of a million records makes it, and a few subscribers to all of it: memory must stay flat.

Events are recorded in transactions of ten thousand, faster than so many subscribers can be sent them. Resident memory of the API and of
the worker is looked at each second, from before the first transaction until every subscriber has everything or the time is over.
"""

from __future__ import annotations

import threading
import time
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.feed import company, programs
from bench.feed.company import Company, Running
from bench.feed.fanout import follow
from bench.feed.verdicts import Line, show

GOAL = 1.1
"""The most memory in the last third of the time, as a multiple of the most in the first."""

DOCUMENT = 'subscription { events(kinds: ["customer.updated"]) { cursor kind subject { id } } }'
SETTLE_S = 3.0
SAMPLE_S = 1.0


class Samples:
    """Resident memory in MB of each process, once a second while the context is open."""

    def __init__(self, running: Running) -> None:
        self.pids = {"API": running.api.process.pid, "worker": running.worker.process.pid if running.worker else 0}
        self.taken: dict[str, list[float]] = {name: [] for name in self.pids}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._take, daemon=True)

    def __enter__(self) -> Samples:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _take(self) -> None:
        while True:
            for name, pid in self.pids.items():
                self.taken[name].append(company.rss_kb(pid) / 1024)
            if self._over.wait(SAMPLE_S):
                return


def run(made: Company, console: Console, *, events: int, at_once: int, sockets: int, seconds: float) -> dict[str, Any]:
    """`seconds`: how long the subscribers may take in all."""
    with (
        programs.started("writer", made.environment) as writer,
        company.serving(made) as running,
        programs.started("followers") as followers,
    ):
        follow(followers, running, [company.token(made.admin_id)], sockets, DOCUMENT, marked=False)
        time.sleep(SETTLE_S)
        with Samples(running) as samples:
            time.sleep(SETTLE_S)
            started = time.monotonic()
            followers.begin(do="read", seconds=seconds, each=events)
            written = writer.ask(do="record", events=events, at_once=at_once)
            figures = followers.answer()
            elapsed = time.monotonic() - started
    return _result(console, events, sockets, written, figures, elapsed, samples.taken)


def _result(
    console: Console,
    events: int,
    sockets: int,
    written: dict[str, Any],
    figures: dict[str, Any],
    elapsed: float,
    taken: dict[str, list[float]],
) -> dict[str, Any]:
    memory = {name: _told(each) for name, each in taken.items()}
    result: dict[str, Any] = {
        "events": events,
        "sockets": sockets,
        "recorded_s": round(written["seconds"], 1),
        "watched_s": round(elapsed, 1),
        "least_delivered": figures["least"],
        "deliveries_per_s": round(figures["deliveries"] / elapsed),
        "memory_mb": memory,
    }
    table = Table(title=f"{events:,} events at once, {sockets} subscribers: resident memory, MB")
    for column in ("", "start", "first third, at most", "second", "last", "end"):
        table.add_column(column, justify="right" if column else "left")
    for name, each in memory.items():
        table.add_row(name, *(f"{each[key]:.0f}" for key in ("start", "first", "second", "last", "end")))
    console.print(table)
    lines: list[Line] = [
        (f"{name}: last third / first", each["growth"], f"≤ {GOAL}", each["growth"] <= GOAL)
        for name, each in memory.items()
    ]
    lines += [
        ("recorded, events/s", events / written["seconds"], "", None),
        ("deliveries/s", result["deliveries_per_s"], "", None),
        ("delivered to the last subscriber", figures["least"], "", None),
    ]
    show(console, f"In {elapsed:.0f} s", lines)
    return result


def _told(taken: list[float]) -> dict[str, float]:
    third = max(1, len(taken) // 3)
    first, second, last = max(taken[:third]), max(taken[third:-third] or taken), max(taken[-third:])
    told = {"start": taken[0], "first": first, "second": second, "last": last, "end": taken[-1], "growth": last / first}
    return {name: round(value, 2) for name, value in told.items()}
