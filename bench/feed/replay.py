"""A replay: one client that goes on from an old cursor, until it has had everything that happened since, over each transport.

Beside it a bare Starlette loop that sends as many texts of the length to one WebSocket: one after the other, and 64 at once, as crmgql does.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from http.client import HTTPConnection, HTTPResponse
from typing import Any
from urllib.parse import urlencode

from rich.console import Console

from bench.feed import company, programs
from bench.feed.company import Company, Running
from bench.feed.fanout import FLOORS, LOOP, bare, theirs_rate
from bench.feed.verdicts import Line, show

GOAL = 10_000
AT_ONCE = 10_000
PATIENCE_S = 150.0
KIND = "customer.updated"
MARK = f'"kind":"{KIND}"'.encode()
DOCUMENT = (
    f'subscription($after: Cursor) {{ events(after: $after, kinds: ["{KIND}"]) {{ cursor kind occurredAt actor {{ id }}'
    " changed subject { id ... on Customer { name status version } } } }"
)
IN_ROWS = "/send?in_rows"
PAGE = 500
PIECE = 262_144
Figures = dict[str, float]
Replayed = Callable[[Company, Running, str, int], tuple[float, int]]
"""Asks for so many events after a cursor. Answers the seconds that it took, and the bytes."""


def run(made: Company, console: Console, *, events: int, rounds: int) -> dict[str, Any]:
    measured: dict[str, list[Figures]] = {name: [] for name in TRANSPORTS}
    floors: dict[str, list[float]] = {FLOORS[LOOP]: [], IN_ROWS: []}
    with programs.started("writer", made.environment) as writer, company.serving(made) as running:
        start = made.head().text()
        writer.ask(do="record", events=events, at_once=min(AT_ONCE, events))
        made.wait_for_positions()
        for number in range(rounds):
            for name, replayed in list(TRANSPORTS.items())[:: -1 if number % 2 else 1]:
                measured[name].append(_measured(replayed, made, running, start, events))
                console.print(
                    f"round {number + 1} of {rounds}, {name}: {measured[name][-1]['per_second']:,.0f} events/s"
                )
            for path, rates in floors.items():
                rates.append(_bare_rate(path, round(measured[SOCKET][-1]["bytes"]), events))
    result: dict[str, Any] = {
        "events": events,
        "rounds": rounds,
        **{name: _medians(each) for name, each in measured.items()},
    }
    result["bare_loop_per_second"] = round(statistics.median(floors[FLOORS[LOOP]]))
    result["bare_loop_in_rows_per_second"] = round(statistics.median(floors[IN_ROWS]))
    ours = [each["per_second"] for each in measured[SOCKET]]
    for key, path in (("ratio", FLOORS[LOOP]), ("ratio_in_rows", IN_ROWS)):
        result[key] = round(statistics.median(one / other for one, other in zip(ours, floors[path], strict=True)), 3)
    show(console, f"Replay of {events:,} events to one client", _lines(result))
    return result


def _lines(result: dict[str, Any]) -> list[Line]:
    lines: list[Line] = []
    for name in TRANSPORTS:
        rate = result[name]["per_second"]
        lines.append((f"{name}, events/s", rate, f"≥ {GOAL:,}", rate >= GOAL))
        lines.append((f"{name}, cores of the API", result[name]["cores"], "", None))
    lines.append(("a bare loop, one socket, texts/s", result["bare_loop_per_second"], "", None))
    lines.append(("the same, 64 at once", result["bare_loop_in_rows_per_second"], "", None))
    return lines


def _medians(rounds: list[Figures]) -> dict[str, Any]:
    return {
        "per_second": round(statistics.median(each["per_second"] for each in rounds)),
        "per_second_by_round": [round(each["per_second"]) for each in rounds],
        "cores": round(statistics.median(each["cores"] for each in rounds), 2),
        "bytes": round(rounds[0]["bytes"]),
    }


def _measured(replayed: Replayed, made: Company, running: Running, start: str, events: int) -> Figures:
    pid = running.api.process.pid
    before_s = company.cpu_s(pid)
    seconds, size = replayed(made, running, start, events)
    cores = (company.cpu_s(pid) - before_s) / seconds
    return {"per_second": events / seconds, "cores": cores, "bytes": size / events}


def _over_socket(made: Company, running: Running, start: str, events: int) -> tuple[float, int]:
    """From the subscription to the last event."""
    with programs.started("followers") as followers:
        read = {"seconds": PATIENCE_S, "each": events}
        figures = followers.ask(
            do="open",
            port=running.port,
            tokens=[company.token(made.admin_id)],
            sockets=1,
            query=DOCUMENT,
            variables=[{"after": start}],
            marked=False,
            then=read,
        )
    if figures["deliveries"] != events:
        raise RuntimeError(f"{figures['deliveries']} deliveries of {events}")
    return figures["last_s"] - figures["started_s"], figures["bytes"]


def _over_event_stream(made: Company, running: Running, start: str, events: int) -> tuple[float, int]:
    body = json.dumps({"query": DOCUMENT, "variables": {"after": start}})
    headers = {"Accept": "text/event-stream", "Content-Type": "application/json"}
    return _streamed(_connected(made, running), ("POST", "/graphql", body, headers), events)


def _over_lines(made: Company, running: Running, start: str, events: int) -> tuple[float, int]:
    path = f"/events?{urlencode({'after': start, 'kinds': KIND})}"
    return _streamed(_connected(made, running), ("GET", path, None, {"Accept": "application/jsonl"}), events)


def _over_pages(made: Company, running: Running, start: str, events: int) -> tuple[float, int]:
    path = f"/events?{urlencode({'after': start, 'kinds': KIND, 'first': PAGE})}"
    connection, found, size = _connected(made, running), 0, 0
    started = time.monotonic()
    while found < events:
        connection.request("GET", path, headers=connection.bearer)
        page = _answer(connection).read()
        found, size = found + page.count(MARK), size + len(page)
        path = json.loads(page)["next"]
    return _ended(connection, started, found, events), size


def _streamed(
    connection: Connection, asked: tuple[str, str, str | None, dict[str, str]], events: int
) -> tuple[float, int]:
    method, path, body, headers = asked
    started, found, size, rest = time.monotonic(), 0, 0, b""
    connection.request(method, path, body, headers | connection.bearer)
    response = _answer(connection)
    while found < events and (piece := response.read1(PIECE)):
        size += len(piece)
        piece = rest + piece
        found += piece.count(MARK)
        rest = piece[-len(MARK) + 1 :]
    return _ended(connection, started, found, events), size


class Connection(HTTPConnection):
    bearer: dict[str, str]


def _connected(made: Company, running: Running) -> Connection:
    connection = Connection("127.0.0.1", running.port, timeout=PATIENCE_S)
    connection.bearer = {"Authorization": f"Bearer {company.token(made.admin_id)}"}
    return connection


def _answer(connection: Connection) -> HTTPResponse:
    response = connection.getresponse()
    if response.status != 200:
        raise RuntimeError(f"refused: {response.read()!r}")
    return response


def _ended(connection: Connection, started: float, found: int, events: int) -> float:
    seconds = time.monotonic() - started
    connection.close()
    if found != events:
        raise RuntimeError(f"{found} events of {events}")
    return seconds


def _bare_rate(path: str, length: int, events: int) -> float:
    text = '{"id":"1","type":"next","payload":{"event-000001":"'
    text += "x" * (length - len(text) - 3) + '"}}'
    with bare() as floor, programs.started("followers") as followers:
        followers.ask(do="open", port=floor.port, tokens=["none"], sockets=1, query=DOCUMENT, variables=[{}])
        return theirs_rate(floor, followers, [text] * events, path)["per_second"]


SOCKET = "WebSocket"
TRANSPORTS: dict[str, Replayed] = {
    SOCKET: _over_socket,
    "server-sent events": _over_event_stream,
    "JSON Lines": _over_lines,
    "pages": _over_pages,
}
