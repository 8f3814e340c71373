"""From a commit to its delivery: verbs at a steady rate, and a few hundred subscribers.

The writer takes the time when its transaction is committed, the client when it has the delivery in hand; both of the machine's
monotonic clock. Every delivery counts, also the last of the subscribers. Two ways to follow: all of them everything, which is as many
deliveries as the two rates multiplied, and each of them one customer, as screens do.
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
from bench.feed.verdicts import Line, show
from crmgql.models.names import api_id

P50_MS, P99_MS = 30.0, 250.0
EVERYTHING, A_CUSTOMER = "everybody follows everything", "everybody follows one of a hundred customers"
OF_A_CUSTOMER = DOCUMENT.replace(
    'subscription { events(kinds: ["interaction.logged"])',
    "subscription($id: ID!) { events: customerChanged(id: $id)",
)


def run(made: Company, console: Console, *, sockets: int, per_s: float, seconds: float) -> dict[str, Any]:
    return {way: _measured(made, console, way, sockets, per_s, seconds) for way in (A_CUSTOMER, EVERYTHING)}


def _measured(made: Company, console: Console, way: str, sockets: int, per_s: float, seconds: float) -> dict[str, Any]:
    customers = 1 if way == EVERYTHING else len(made.customer_ids)
    each = int(per_s * seconds) // customers
    ids = [{"id": api_id("Customer", id)} for id in made.customer_ids]
    with (
        programs.started("writer", made.environment) as writer,
        company.serving(made) as running,
        programs.started("followers") as followers,
        tempfile.TemporaryDirectory() as folder,
    ):
        tokens, query = [company.token(made.admin_id)], DOCUMENT if way == EVERYTHING else OF_A_CUSTOMER
        follow(followers, running, tokens, sockets, query, [{}] if way == EVERYTHING else ids)
        warm_up(followers, writer, customers=customers)
        file = Path(folder, "samples")
        servers = {"API": running.api.process.pid, "worker": running.worker.process.pid if running.worker else 0}
        before_s = {name: company.cpu_s(pid) for name, pid in servers.items()}
        followers.begin(do="read", seconds=seconds + PATIENCE_S, each=each, file=str(file))
        written = writer.ask(do="log", first=1, events=each * customers, per_s=per_s)
        figures = followers.answer()
        spent_s = {name: company.cpu_s(pid) - before_s[name] for name, pid in servers.items()}
        waits = _waits_ms(file, figures["deliveries"], written["committed"])
    if figures["least"] < each:
        raise RuntimeError(f"a socket had {figures['least']} deliveries of {each}")
    spent_s["clients"] = figures["cpu_s"]
    return _result(console, way, sockets, written, waits, spent_s)


def _result(
    console: Console,
    way: str,
    sockets: int,
    written: dict[str, Any],
    waits: list[float],
    spent_s: dict[str, float],
) -> dict[str, Any]:
    seconds, events = written["seconds"], len(written["committed"])
    result: dict[str, Any] = {
        "sockets": sockets,
        "events_per_s": round(events / seconds, 1),
        "deliveries_per_s": round(len(waits) / seconds),
        **{f"p{share:g}_ms": round(waits[int(len(waits) * share / 100)], 1) for share in (50, 90, 99, 99.9)},
        "longest_ms": round(waits[-1], 1),
        "cores": {name: round(each / seconds, 2) for name, each in spent_s.items()},
    }
    lines: list[Line] = [
        ("p50, ms", result["p50_ms"], f"≤ {P50_MS:g}", result["p50_ms"] <= P50_MS),
        ("p99, ms", result["p99_ms"], f"≤ {P99_MS:g}", result["p99_ms"] <= P99_MS),
        ("longest, ms", result["longest_ms"], "", None),
        ("deliveries/s", result["deliveries_per_s"], "", None),
        *((f"cores: {name}", value, "", None) for name, value in result["cores"].items()),
    ]
    title = f"From commit to delivery: {sockets} subscribers, {result['events_per_s']:g} events/s for {seconds:.0f} s; {way}"
    show(console, title, lines)
    return result


def _waits_ms(file: Path, deliveries: int, committed: dict[str, float]) -> list[float]:
    numbers, times = array("I"), array("d")
    with file.open("rb") as samples:
        numbers.fromfile(samples, deliveries)
        times.fromfile(samples, deliveries)
    at = {int(number): seconds for number, seconds in committed.items()}
    return sorted((time - at[number]) * 1000 for number, time in zip(numbers, times, strict=True))
