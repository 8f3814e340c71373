"""One stream of events to many WebSockets, beside a bare Starlette loop that sends the same bytes to as many sockets.

Both servers are one Granian process on uvloop; the same clients, in a process of their own, count what arrives, from the first
delivery to the last. crmgql's events are committed meanwhile, by verbs, one in each transaction, faster than they can be
delivered. The bare loop is measured in three ways: socket by socket; with a task for each socket, which is faster, as Granian's threads
then wake the event loop less often; and with a task for each socket that hands over all texts at once, which it can, as it has them
all from the beginning. Rounds alternate.
"""

from __future__ import annotations

import statistics
import sys
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import orjson
from rich.console import Console
from rich.table import Table

from bench import processes
from bench.feed import company, programs
from bench.feed.company import Company, Running
from bench.feed.programs import Program
from bench.feed.verdicts import word

GOAL = 0.6
DOCUMENT = (
    'subscription { events(kinds: ["interaction.logged"]) { cursor kind occurredAt actor { id name } customer { id name }'
    " subject { id ... on Interaction { kind subject occurredAt author { id name } } } } }"
)
PATIENCE_S = 60.0
ROOM = str(20_000)
OURS, LOOP, TASKS, ROWS = "crmgql", "bare loop", "bare tasks", "bare rows"
FLOORS = {LOOP: "/send", TASKS: "/send?at_once", ROWS: "/send?at_once&in_rows"}


def run(made: Company, console: Console, *, sockets: int, events: int, rounds: int) -> dict[str, Any]:
    """Deliveries a second of both, and their ratio."""
    with (
        programs.started("writer", made.environment) as writer,
        company.serving(made) as running,
        bare() as floor,
        programs.started("followers") as ours,
        programs.started("followers") as theirs,
    ):
        follow(ours, running, [company.token(made.admin_id)], sockets, DOCUMENT)
        warm_up(ours, writer)
        theirs.ask(do="open", port=floor.port, tokens=["none"], sockets=sockets, query=DOCUMENT, variables=[{}])
        texts = _texts(ours, writer)
        measured: dict[str, list[dict[str, float]]] = {name: [] for name in (OURS, *FLOORS)}
        for number in range(rounds):
            for name in list(measured)[:: -1 if number % 2 else 1]:
                if name == OURS:
                    found = _ours(running, ours, writer, events, first=1 + number * events)
                else:
                    found = theirs_rate(floor, theirs, [texts[n % len(texts)] for n in range(events)], FLOORS[name])
                measured[name].append(found)
                console.print(f"round {number + 1} of {rounds}, {name}: {found['per_second']:,.0f} deliveries/s")
    return _result(measured, console, sockets, events)


def follow(
    followers: Program,
    running: Running,
    tokens: list[str],
    sockets: int,
    query: str,
    variables: Sequence[dict[str, Any]] = ({},),
    *,
    sse: bool = False,
    marked: bool = True,
) -> None:
    """Opens the sockets, and waits until the server has all subscriptions.

    One comes first: a hundred that bring a new document at the same moment are told to try again, which clients do and this one does not.
    """
    how = {"port": running.port, "query": query, "variables": list(variables), "sse": sse, "marked": marked}
    followers.ask(do="open", tokens=tokens[-1:], sockets=1, **how)
    running.wait_for(1)
    followers.ask(do="open", tokens=tokens, sockets=sockets - 1, **how)
    running.wait_for(sockets)


def warm_up(followers: Program, writer: Program, *, customers: int = 1) -> None:
    """Records events, of so many customers, until every socket has had one."""
    for _ in range(30):
        followers.begin(do="read", seconds=PATIENCE_S, warm=True)
        writer.ask(do="warm_up", customers=customers)
        if followers.answer()["warm"]:
            return
    raise RuntimeError("not every socket gets events")


@contextmanager
def bare() -> Iterator[processes.Server]:
    """The bare loop, with the settings that crmgql gives to the same server."""
    port = processes.free_port()
    command = [
        *(sys.executable, "-m", "granian", "bench.peers.sockets:app", "--interface", "asgi", "--host", "127.0.0.1"),
        *("--port", str(port), "--workers", "1", "--loop", "uvloop", "--backlog", "2048", "--backpressure", ROOM),
        *("--runtime-mode", "st", "--no-access-log", "--log-level", "warning"),
    ]
    with processes.running("the bare loop", command, port, {}, company.log("feed-bare")) as server:
        yield server


def _texts(ours: Program, writer: Program) -> list[str]:
    """What crmgql sends of a few events, for the bare loop to send."""
    ours.begin(do="read", seconds=PATIENCE_S, each=3, keep=True)
    writer.ask(do="log", first=999_990, events=3)
    texts: list[str] = ours.answer()["texts"]
    return texts


def _ours(running: Running, followers: Program, writer: Program, events: int, first: int) -> dict[str, float]:
    before_s = company.cpu_s(running.api.process.pid)
    followers.begin(do="read", seconds=PATIENCE_S, each=events)
    writer.ask(do="log", first=first, events=events)
    return _rate(followers.answer(), events, company.cpu_s(running.api.process.pid) - before_s)


def theirs_rate(floor: processes.Server, followers: Program, texts: list[str], path: str) -> dict[str, float]:
    """The bare loop's, from the first delivery to the last."""
    before_s = company.cpu_s(floor.process.pid)
    followers.begin(do="read", seconds=PATIENCE_S, each=len(texts))
    request = urllib.request.Request(f"http://127.0.0.1:{floor.port}{path}", data=orjson.dumps(texts), method="POST")
    urllib.request.urlopen(request, timeout=30).close()
    return _rate(followers.answer(), len(texts), company.cpu_s(floor.process.pid) - before_s)


def _rate(figures: dict[str, Any], events: int, server_cpu_s: float) -> dict[str, float]:
    if figures["least"] != events:
        raise RuntimeError(f"a socket had {figures['least']} deliveries of {events}")
    seconds = figures["last_s"] - figures["first_s"]
    return {
        "per_second": figures["deliveries"] / seconds,
        "bytes": figures["bytes"] / figures["deliveries"],
        "client_cores": figures["cpu_s"] / seconds,
        "server_us": server_cpu_s / figures["deliveries"] * 1e6,
    }


def _result(measured: dict[str, list[dict[str, float]]], console: Console, sockets: int, events: int) -> dict[str, Any]:
    table = Table(title=f"{events} events to {sockets:,} WebSockets")
    for column in ("", "deliveries/s", "min", "max", "bytes", "CPU of the server, µs each", "cores of the clients"):
        table.add_column(column, justify="right" if column else "left")
    result: dict[str, Any] = {"sockets": sockets, "events": events, "rounds": len(measured[OURS]), "goal": GOAL}
    for name, rounds in measured.items():
        median = {key: statistics.median(each[key] for each in rounds) for key in rounds[0]}
        rates = [each["per_second"] for each in rounds]
        result[name] = {key: round(value, 2) for key, value in median.items()}
        table.add_row(
            name,
            *(f"{value:,.0f}" for value in (median["per_second"], min(rates), max(rates), median["bytes"])),
            *(f"{median[key]:.1f}" for key in ("server_us", "client_cores")),
        )
    console.print(table)
    for floor in FLOORS:
        pairs = zip(measured[OURS], measured[floor], strict=True)
        ratio = statistics.median(one["per_second"] / other["per_second"] for one, other in pairs)
        result[f"ratio to {floor}"] = round(ratio, 3)
        console.print(f"crmgql = {ratio:.2f} × {floor}, goal ≥ {GOAL}: {word(ratio >= GOAL)}")
    return result
