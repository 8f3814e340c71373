"""`make bench`: the same 360 from every server, in alternating rounds; the table and `results/360.json`."""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.table import Table

from bench import data, processes, queries, servers
from crmgql.dev import embedded

RESULTS = processes.ROOT / "bench" / "results"
CONNECTIONS = 8
COMPARED = 50  # customers whose answers are compared in full
GOALS = (("postgraphile", 3.0), ("dataloader", 20.0), ("floor", 0.85))  # crmgql must do so many times as much


@dataclass
class Measured:
    """A server, the requests it is sent, the length of each answer, and what its rounds gave."""

    peer: servers.Peer
    requests: list[str]
    lengths: list[int]
    rounds: list[dict[str, float]] = field(default_factory=list)
    memory_mb: float = 0.0

    def median(self, figure: str) -> float:
        return statistics.median(one[figure] for one in self.rounds)


def run(
    urls: embedded.Servers, names: Sequence[str], *, rounds: int, measured_s: float, warmup_s: float, console: Console
) -> dict[str, Any]:
    """Check that all answers are equal, measure in alternating rounds, print and write the result."""
    ids = data.sample(urls.database_url)
    with ExitStack() as stack:
        peers = {name: stack.enter_context(servers.PEERS[name](urls)) for name in names}
        console.print("comparing answers")
        measured = _compared(peers, ids)
        for number in range(rounds):
            for name, one in list(measured.items())[:: -1 if number % 2 else 1]:  # nobody is always the first
                console.print(f"round {number + 1} of {rounds}: {name}")
                one.rounds.append(
                    processes.drive(
                        {
                            "port": one.peer.server.port,
                            "requests": one.requests,
                            "lengths": one.lengths,
                            "connections": CONNECTIONS,
                            "warmup_s": warmup_s,
                            "measured_s": measured_s,
                            "seed": number,
                        }
                    )
                )
        for one in measured.values():
            one.memory_mb = one.peer.server.peak_memory_mb()
    result = _result(measured, rounds, measured_s)
    console.print(_table(measured))
    for name, goal in GOALS:
        if name in measured and "crmgql" in measured:
            reached = result["ratios"][name]
            console.print(f"crmgql = {reached:.2f} × {name}, goal ≥ {goal:g}: {'met' if reached >= goal else 'MISSED'}")
    write("360.json", result)
    return result


def write(name: str, result: dict[str, Any]) -> None:
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / name).write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


def machine() -> dict[str, Any]:
    """What the figures depend on."""
    model = "unknown"
    for line in Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else ():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "cpu": model,
        "cores": os.cpu_count(),
        "system": platform.system(),
        "python": platform.python_version(),
    }


def _compared(peers: dict[str, servers.Peer], ids: list[str]) -> dict[str, Measured]:
    """Ask every server for every customer: answers must be equal, and their lengths are kept to check each later one."""
    measured = {}
    expected: list[Any] = []
    for name, peer in peers.items():
        requests = [peer.ask(digits) for digits in ids]
        answers = _answers(peer, requests)
        rows = [queries.normalised(json.loads(answer)["data"]["customer"]) for answer in answers[:COMPARED]]
        expected = expected or rows
        for row, other in zip(rows, expected, strict=True):
            if row is None or row != other:
                raise RuntimeError(f"{name} answers differently:\n{str(row)[:500]}\n{str(other)[:500]}")
            counts = [len(order["payments"]["nodes"]) for order in row["orders"]["nodes"]]
            assert min(counts, default=0) > 0, f"{name}: an answer without payments"
        measured[name] = Measured(peer, requests, [len(answer) for answer in answers])
    return measured


def _answers(peer: servers.Peer, requests: list[str]) -> list[bytes]:
    answers = []
    with httpx.Client(base_url=f"http://127.0.0.1:{peer.server.port}", timeout=30, trust_env=False) as client:
        for request in requests:
            head, _, body = request.partition("\r\n\r\n")
            headers = dict(line.split(": ", 1) for line in head.split("\r\n")[1:])
            answer = client.post("/graphql", content=body.encode(), headers=headers | {"Accept-Encoding": "identity"})
            if answer.status_code != 200:
                raise RuntimeError(f"{peer.title}: {answer.status_code} {answer.text[:500]}")
            answers.append(answer.content)
    return answers


def _result(measured: dict[str, Measured], rounds: int, measured_s: float) -> dict[str, Any]:
    own = measured.get("crmgql")
    return {
        "machine": machine(),
        "connections": CONNECTIONS,
        "rounds": rounds,
        "seconds_per_round": measured_s,
        "servers": {
            name: {
                "title": one.peer.title,
                "requests_per_second": round(one.median("per_second"), 1),
                "requests_per_second_by_round": [round(single["per_second"], 1) for single in one.rounds],
                "p50_ms": round(one.median("p50_ms"), 3),
                "p95_ms": round(one.median("p95_ms"), 3),
                "peak_memory_mb": round(one.memory_mb, 1),
                "answer_bytes": round(statistics.mean(one.lengths)),
            }
            for name, one in measured.items()
        },
        # Of each round's figures first, since both of a round saw the same neighbours on the machine.
        "ratios": {
            name: round(
                statistics.median(
                    mine["per_second"] / theirs["per_second"]
                    for mine, theirs in zip(own.rounds, one.rounds, strict=True)
                ),
                3,
            )
            for name, one in measured.items()
            if own and one is not own
        },
    }


def _table(measured: dict[str, Measured]) -> Table:
    reference = measured.get("crmgql") or next(iter(measured.values()))
    table = Table(title="customer 360, 8 connections")
    for heading in ("server", "requests/s", "min–max", "p50 ms", "p95 ms", "peak MB", "relative"):
        table.add_column(heading, justify="left" if heading == "server" else "right", no_wrap=True)
    for one in measured.values():
        speeds = [single["per_second"] for single in one.rounds]
        table.add_row(
            one.peer.title,
            f"{one.median('per_second'):,.0f}",
            f"{min(speeds):,.0f}–{max(speeds):,.0f}",
            f"{one.median('p50_ms'):.2f}",
            f"{one.median('p95_ms'):.2f}",
            f"{one.memory_mb:.0f}",
            f"{one.median('per_second') / reference.median('per_second'):.3f}",
        )
    return table
