"""What an idle subscriber costs: resident memory of the API with and without so many, each on a connection of its own.

Beside it what a bare Starlette loop costs for as many WebSockets: that much is the server's, whoever uses it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from rich.console import Console

from bench.feed import company, programs
from bench.feed.company import Company
from bench.feed.fanout import DOCUMENT, bare, follow
from bench.feed.verdicts import Line, show

GOAL_KB = 60.0
SETTLE_S = 3.0
WARM = 50
"""Subscribers that come and go first: what is made once, such as the plan, is nobody's own."""

ONE, SAME, OWN = "one user", "users with the same sight", "users with sights of their own"


def run(made: Company, console: Console, *, sockets: int) -> dict[str, Any]:
    """Of one user's subscribers, of users whose answers are the same, and of users who see records of their own."""
    tokens = {
        ONE: [company.token(made.admin_id)],
        SAME: made.people(sockets, "FINANCE"),
        OWN: made.people(sockets, "SELLER"),
    }
    found = {f"WebSockets, {name}": _each_kb(made, each, sockets) for name, each in tokens.items()}
    found[f"event streams, {ONE}"] = _each_kb(made, tokens[ONE], sockets, sse=True)
    floor_kb = _bare_kb(sockets)
    lines: list[Line] = [(f"kB each: {name}", kb, f"≤ {GOAL_KB:g}", kb <= GOAL_KB) for name, kb in found.items()]
    lines.append(("kB each: WebSockets of a bare loop on the same server", floor_kb, "", None))
    show(console, f"{sockets:,} idle subscribers", lines)
    return {"sockets": sockets, "kb_each": found | {"WebSockets of a bare loop": floor_kb}}


def _each_kb(made: Company, tokens: list[str], sockets: int, *, sse: bool = False) -> float:
    with company.serving(made, worker=False) as running:

        def open_some(number: int) -> Callable[[programs.Program], object]:
            return lambda followers: follow(followers, running, tokens, number, DOCUMENT, sse=sse)

        return _grown_kb(running.api.process.pid, sockets, open_some(WARM), open_some(sockets))


def _bare_kb(sockets: int) -> float:
    with bare() as floor:

        def open_some(number: int) -> Callable[[programs.Program], object]:
            asked = {"port": floor.port, "tokens": ["none"], "sockets": number, "query": DOCUMENT, "variables": [{}]}
            return lambda followers: followers.ask(do="open", **asked)

        return _grown_kb(floor.process.pid, sockets, open_some(WARM), open_some(sockets))


def _grown_kb(pid: int, sockets: int, *opens: Callable[[programs.Program], object]) -> float:
    """What the last opening adds, for each socket, after those before have come and gone."""
    before_kb = after_kb = 0
    for each in opens:
        before_kb = company.rss_kb(pid)
        with programs.started("followers") as followers:
            each(followers)
            time.sleep(SETTLE_S)
            after_kb = company.rss_kb(pid)
        time.sleep(SETTLE_S)
    return round((after_kb - before_kb) / sockets, 1)
