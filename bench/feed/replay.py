"""A replay: one WebSocket that goes on from an old cursor, until it has had everything that happened since.

Beside it a bare Starlette loop that sends as many texts of the length to one socket: each waits until the server has written the
one before.
"""

from __future__ import annotations

import statistics
from typing import Any

from rich.console import Console

from bench.feed import company, programs
from bench.feed.company import Company, Running
from bench.feed.fanout import FLOORS, LOOP, bare, theirs_rate
from bench.feed.verdicts import show

GOAL = 10_000
AT_ONCE = 10_000
PATIENCE_S = 150.0
DOCUMENT = (
    'subscription($after: Cursor) { events(after: $after, kinds: ["customer.updated"]) { cursor kind occurredAt actor { id }'
    " changed subject { id ... on Customer { name status version } } } }"
)


def run(made: Company, console: Console, *, events: int, rounds: int) -> dict[str, Any]:
    with programs.started("writer", made.environment) as writer, company.serving(made) as running:
        start = made.head().text()
        writer.ask(do="record", events=events, at_once=min(AT_ONCE, events))
        made.wait_for_positions()
        measured, floors = [], []
        for _ in range(rounds):
            measured.append(_replayed(made, running, start, events))
            floors.append(_bare_rate(round(measured[-1]["bytes"]), events))
    rates = [each["per_second"] for each in measured]
    result: dict[str, Any] = {
        "events": events,
        "rounds": rounds,
        "per_second": round(statistics.median(rates)),
        "per_second_by_round": [round(rate) for rate in rates],
        "cores_of_the_api": round(statistics.median(each["cores"] for each in measured), 2),
        "bytes": round(measured[0]["bytes"]),
        "bare_loop_per_second": round(statistics.median(floors)),
        "ratio": round(statistics.median(rate / floor for rate, floor in zip(rates, floors, strict=True)), 3),
    }
    rate = result["per_second"]
    lines = [
        ("events/s", rate, f"≥ {GOAL:,}", rate >= GOAL),
        ("cores of the API", result["cores_of_the_api"], "", None),
        ("a bare loop sends to one socket, texts/s", result["bare_loop_per_second"], "", None),
    ]
    show(console, f"Replay of {events:,} events over one WebSocket", lines)
    return result


def _replayed(made: Company, running: Running, start: str, events: int) -> dict[str, float]:
    """From the subscription to the last event."""
    pid = running.api.process.pid
    with programs.started("followers") as followers:
        before_s, tokens = company.cpu_s(pid), [company.token(made.admin_id)]
        read = {"seconds": PATIENCE_S, "each": events}
        figures = followers.ask(
            do="open", port=running.port, tokens=tokens, sockets=1, query=DOCUMENT, variables=[{"after": start}], marked=False, then=read
        )  # fmt: skip
    if figures["deliveries"] != events:
        raise RuntimeError(f"{figures['deliveries']} deliveries of {events}")
    seconds = figures["last_s"] - figures["started_s"]
    return {
        "per_second": events / seconds,
        "cores": (company.cpu_s(pid) - before_s) / seconds,
        "bytes": figures["bytes"] / events,
    }


def _bare_rate(length: int, events: int) -> float:
    text = '{"id":"1","type":"next","payload":{"event-000001":"'
    text += "x" * (length - len(text) - 3) + '"}}'
    with bare() as floor, programs.started("followers") as followers:
        followers.ask(do="open", port=floor.port, tokens=["none"], sockets=1, query=DOCUMENT, variables=[{}])
        return theirs_rate(floor, followers, [text] * events, FLOORS[LOOP])["per_second"]
