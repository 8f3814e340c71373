"""Webhooks to a receiver on this machine: signed deliveries a second of one worker process, from the first to the last.

The events have happened before; the worker starts and sends. The receiver checks signatures of a tenth of the requests.
"""

from __future__ import annotations

import time
from typing import Any

from rich.console import Console

from bench.feed import company, programs
from bench.feed.company import Company
from bench.feed.programs import Program
from bench.feed.verdicts import Line, show
from crmgql.domain.webhooks.keys import KEYS, new_salt

GOAL = 500
PATIENCE_S = 120.0
ENDPOINT = """
INSERT INTO webhook_endpoints (url, api_version, kinds, order_by, ed25519, status, verified_at, owner_id, cursor, key_salt, public_key)
VALUES ($1, '2026-11', '{customer.updated}', $2, $3, 'ACTIVE', now(), $4, $5, $6, $7)"""
WAYS = {
    "one endpoint, in order by customer": (1, "CUSTOMER", False),
    "ten endpoints, each in order": (10, "ENDPOINT", False),
    "one endpoint by customer, Ed25519 too": (1, "CUSTOMER", True),
}


def run(made: Company, console: Console, *, messages: int) -> dict[str, Any]:
    KEYS.use(company.SECRET)
    result: dict[str, Any] = {"messages": messages}
    with (
        programs.started("writer", made.environment) as writer,
        programs.started("receiver") as receiver,
    ):
        port = receiver.answer()["port"]
        for name, (endpoints, order_by, ed25519) in WAYS.items():
            made.fetch("UPDATE webhook_endpoints SET status = 'DELETED'")
            secrets = _endpoints(made, port, endpoints, order_by, ed25519=ed25519)
            result[name] = _sent(made, writer, receiver, secrets, messages)
    lines: list[Line] = []
    for name in WAYS:
        rate = result[name]["per_second"]
        lines.append((f"deliveries/s: {name}", rate, f"≥ {GOAL}", rate >= GOAL))
        lines.append(("… cores of the worker", result[name]["worker_cores"], "", None))
    show(console, f"{messages:,} signed webhooks, one worker process", lines)
    return result


def _endpoints(made: Company, port: int, number: int, order_by: str, *, ed25519: bool) -> dict[str, str]:
    """Makes endpoints that have answered their challenge; the secret of each path."""
    cursor, secrets = made.head().text(), {}
    for each in range(number):
        pair = KEYS.pair(salt := new_salt())
        path = f"/hooks/{order_by.lower()}/{each}"
        url = f"http://127.0.0.1:{port}{path}"
        made.fetch(ENDPOINT, url, order_by, ed25519, made.admin_id, cursor, salt, pair.public_key)
        secrets[path] = pair.secret
    return secrets


def _sent(
    made: Company, writer: Program, receiver: Program, secrets: dict[str, str], messages: int
) -> dict[str, float]:
    each = messages // len(secrets)
    receiver.ask(do="listen", secrets=secrets)
    writer.ask(do="record", events=each, at_once=1000)
    with company.serving(made, CRMGQL_WEBHOOK_NETWORKS="127.0.0.0/8") as running:
        assert running.worker is not None
        before_s, started = company.cpu_s(running.worker.process.pid), time.monotonic()
        got = receiver.ask(do="wait", messages=each * len(secrets), seconds=PATIENCE_S)
        cores = (company.cpu_s(running.worker.process.pid) - before_s) / (time.monotonic() - started)
    if got["messages"] != each * len(secrets):
        raise RuntimeError(f"{got['messages']} webhooks of {each * len(secrets)} came")
    return {
        "per_second": round(got["messages"] / got["seconds"]),
        "repeated": got["requests"] - got["messages"],
        "verified": got["verified"],
        "worker_cores": round(cores, 2),
    }
