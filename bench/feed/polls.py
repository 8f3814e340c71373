"""Thousands of long-pollers behind a caching nginx: how soon each has an event, and how often the API reads it."""

from __future__ import annotations

import json
import time
import urllib.request
from contextlib import ExitStack
from typing import Any

from rich.console import Console

from bench.feed import company, nginx, programs
from bench.feed.company import Company, Running
from bench.feed.verdicts import Line, show

P99_MS = 1000.0
PROCESSES = 2
"""Of the pollers."""

WAIT_S = 25
SETTLE_S = 3.0
EVENTS = """
SELECT p.position, i.subject FROM event_positions p JOIN events e ON e.id = p.event_id JOIN interactions i ON i.id = e.subject_id"""
READS = """
SELECT query, calls FROM pg_stat_statements
WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database()) AND query LIKE 'WITH "l0"%events%'"""


def run(made: Company, console: Console, *, pollers: int, events: int, pause_s: float) -> dict[str, Any]:
    """`pause_s`: between two events."""
    made.fetch("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
    with (
        programs.started("writer", made.environment) as writer,
        company.serving(made, CRMGQL_SHARED_EVENTS="true", CRMGQL_TRUSTED_PROXIES="127.0.0.1/32") as running,
        nginx.before(running.port) as proxy,
        ExitStack() as stack,
    ):
        clients = [stack.enter_context(programs.started("pollers")) for _ in range(PROCESSES)]
        token = company.token(made.admin_id)
        path = _first(running, token)
        for each in clients:
            each.ask(do="open", port=proxy.port, number=pollers // PROCESSES, token=token, path=path)
        time.sleep(SETTLE_S)
        writer.ask(do="log", first=0, events=1)  # what is asked for the first time, such as the plan, is made
        time.sleep(SETTLE_S)
        made.fetch("SELECT pg_stat_statements_reset()")
        pids = {"API": running.api.process.pid, "nginx": proxy.process.pid}
        before_s = {name: company.cpu_s(pid) for name, pid in pids.items()}
        seconds = events * pause_s + SETTLE_S
        for each in clients:
            each.begin(do="read", seconds=seconds)
        committed = writer.ask(do="log", first=1, events=events, per_s=1 / pause_s)["committed"]
        found = [each.answer() for each in clients]
        cores = {name: round((company.cpu_s(pid) - before_s[name]) / seconds, 2) for name, pid in pids.items()}
        reads = sum(row["calls"] for row in made.fetch(READS))
    cores["clients"] = round(sum(each["cpu_s"] for each in found) / seconds, 2)
    return _result(made, console, pollers, events, committed, found, reads, cores)


def _first(running: Running, token: str) -> str:
    """Where to ask from now on, as a client learns it."""
    path = f"/events?kinds=interaction.logged&wait={WAIT_S}"
    request = urllib.request.Request(f"http://127.0.0.1:{running.port}{path}")
    request.add_header("Authorization", f"Bearer {token}")
    with urllib.request.urlopen(request, timeout=30) as answer:
        following: str = json.load(answer)["next"]
    return following


def _result(
    made: Company,
    console: Console,
    pollers: int,
    events: int,
    committed: dict[str, float],
    found: list[dict[str, Any]],
    reads: int,
    cores: dict[str, float],
) -> dict[str, Any]:
    numbers = {row["position"]: row["subject"].removeprefix("event-").lstrip("0") for row in made.fetch(EVENTS)}
    waits = sorted(
        (time - committed[numbers[int(position)]]) * 1000
        for each in found
        for position, times in each["arrived"].items()
        for time in times
    )
    if len(waits) != pollers * events:
        raise RuntimeError(f"{len(waits)} answers with events, not {pollers * events}")
    result: dict[str, Any] = {
        "pollers": pollers,
        "events": events,
        **{f"p{share}_ms": round(waits[len(waits) * share // 100], 1) for share in (50, 90, 99)},
        "longest_ms": round(waits[-1], 1),
        "reads_per_event": round(reads / events, 2),
        "empty_answers": sum(each["empty"] for each in found),
        "cores": cores,
    }
    lines: list[Line] = [
        ("p50, ms", result["p50_ms"], "", None),
        ("p99, ms", result["p99_ms"], f"≤ {P99_MS:g}", result["p99_ms"] <= P99_MS),
        ("longest, ms", result["longest_ms"], "", None),
        ("SQL reads of each event", result["reads_per_event"], "1", result["reads_per_event"] <= 1),
        *((f"cores: {name}", value, "", None) for name, value in cores.items()),
    ]
    show(console, f"{pollers:,} long-pollers behind nginx, {events} events", lines)
    return result
