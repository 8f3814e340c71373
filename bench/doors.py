"""How long others wait while somebody tries to jam the doors: per attack the longest wait of two other clients.

One client asks for `/healthz`, another, logged in, for himself; both all the time. An attack runs for some seconds, several
times in turn with the others; it prints the medians of the longest waits. `together`: all attacks at once, and the memory.
"""

from __future__ import annotations

import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from weakref import WeakSet

import asyncpg
import uvloop
from rich.console import Console
from rich.table import Table

from bench import processes
from bench.attacks import Attack, attacks, post
from crmgql.dev import embedded

SECRET = "a secret of thirty-two bytes, or more"
ATTACKER, OTHER = "manager@demo.example", "admin@demo.example"
PAUSE_S = 0.005
CALM_MS, REST_S = 10.0, 10.0
RULESET = (
    "SELECT 'rrs_' || replace(id::text, '-', '') FROM routing_rulesets ORDER BY (status = 'ACTIVE') DESC, id LIMIT 1"
)
OPEN = {"CRMGQL_INTROSPECTION": "anyone", "CRMGQL_LOG_LEVEL": "error", "CRMGQL_LOG_FORMAT": "json"}


@dataclass
class Target:
    """A server under attack."""

    port: int
    pid: int
    token: str
    attacks: list[Attack]


@dataclass
class Probe:
    """Clients of good will and how long each of their requests took, in milliseconds."""

    target: Target
    waits: list[float] = field(default_factory=list)
    failures: int = 0

    @contextmanager
    def running(self) -> Iterator[None]:
        stop = threading.Event()
        me = post("/graphql", b'{"query":"{ me { id } }"}', self.target.token)
        requests = (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", me)
        threads = [threading.Thread(target=self._ask, args=(each, stop), daemon=True) for each in requests]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            stop.set()
            for thread in threads:
                thread.join()

    def _ask(self, request: bytes, stop: threading.Event) -> None:
        connection = _connected(self.target.port)
        while not stop.is_set():
            started = time.perf_counter()
            try:
                connection.sendall(request)
                ok = _answered(connection) == 200
            except OSError:
                ok = False
                connection.close()
                connection = _connected(self.target.port)
            self.failures += not ok
            self.waits.append((time.perf_counter() - started) * 1000)
            time.sleep(PAUSE_S)
        connection.close()

    @property
    def longest(self) -> float:
        return max(self.waits)


@contextmanager
def attacking(target: Target, attack: Attack) -> Iterator[None]:
    """The attack's clients, each on a connection of its own, for as long as the context is open."""
    stop = threading.Event()
    numbers = iter(range(1 << 40))
    lock = threading.Lock()
    connections: WeakSet[socket.socket] = WeakSet()

    def number() -> int:
        with lock:
            return next(numbers)

    def work() -> None:
        while not stop.is_set():
            with suppress(OSError), _connected(target.port) as connection:
                connections.add(connection)
                while not stop.is_set():
                    _send(connection, attack, number(), stop)
                    _answered(connection, stop)

    threads = [threading.Thread(target=work, daemon=True) for _ in range(attack.clients)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for connection in list(connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join(5)


def longest_wait(target: Target, attack: Attack, seconds: float) -> float:
    """Of the other clients, in milliseconds. Raises when one of them was refused."""
    probe = Probe(target)
    with attacking(target, attack):
        time.sleep(0.15)
        with probe.running():
            time.sleep(seconds)
    if probe.failures:
        raise AssertionError(f"{probe.failures} requests of others were refused during {attack.name!r}")
    return probe.longest


def rest(target: Target) -> None:
    """Waits until the server has worked off what the last attack left behind: the next one is measured alone."""
    quick, deadline = 0, time.monotonic() + REST_S
    with _connected(target.port) as connection:
        while quick < 5 and time.monotonic() < deadline:
            started = time.perf_counter()
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            _answered(connection)
            quick = quick + 1 if (time.perf_counter() - started) * 1000 < CALM_MS else 0
            time.sleep(PAUSE_S)


def rss_mb(pid: int) -> float:
    """Resident memory of the largest process of a server."""
    pages = [Path(f"/proc/{each}/statm") for each in processes.tree(pid)]
    return max(int(path.read_text().split()[1]) for path in pages if path.exists()) * os.sysconf("SC_PAGE_SIZE") / 1e6


def run(console: Console, *, rounds: int, seconds: float, together_s: float, checkout: Path | None) -> None:
    with _target(checkout or processes.ROOT, hardened=checkout is None) as target:
        quiet = Attack("nothing", "nobody", lambda number: [b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"], 0)
        listed = [quiet, *target.attacks]
        waits: dict[int, list[float]] = {at: [] for at in range(len(listed))}
        start_mb = rss_mb(target.pid)
        for _ in range(rounds):
            for at, attack in enumerate(listed):
                rest(target)
                probe = Probe(target)
                with attacking(target, attack):
                    time.sleep(0.3)
                    with probe.running():
                        time.sleep(seconds)
                waits[at].append(probe.longest)
        table = Table("what was sent", "by", "others waited (ms)", "allowed")
        for at, attack in enumerate(listed):
            allowed = f"{attack.allowed_ms:.0f}" if attack is not quiet else ""
            table.add_row(attack.name, attack.who, f"{statistics.median(waits[at]):,.0f}", allowed)
        console.print(table)
        console.print(f"memory: {start_mb:,.0f} MB at the start, {rss_mb(target.pid):,.0f} MB at the end")
        if together_s:
            _together(target, together_s, console)


def _together(target: Target, seconds: float, console: Console) -> None:
    started, probe = time.monotonic(), Probe(target)
    with ExitStack() as stack:
        for attack in target.attacks:
            stack.enter_context(attacking(target, attack))
        stack.enter_context(probe.running())
        while (passed := time.monotonic() - started) < seconds:
            time.sleep(min(15.0, seconds - passed))
            console.print(f"all at once for {time.monotonic() - started:,.0f} s: {rss_mb(target.pid):,.0f} MB")
        waits = sorted(probe.waits)
    console.print(
        f"others waited {statistics.median(waits):,.0f} ms (median), {waits[int(len(waits) * 0.99)]:,.0f} ms (99 %), "
        f"{waits[-1]:,.0f} ms (longest); {probe.failures} of {len(waits)} refused"
    )


@contextmanager
def _target(checkout: Path, *, hardened: bool) -> Iterator[Target]:
    """A server of a checkout over a demo company of its own."""
    with tempfile.TemporaryDirectory() as home, embedded.start(Path(home), throwaway=True) as servers:
        port = processes.free_port()
        environment = {
            **os.environ,
            "CRMGQL_DATABASE_URL": servers.database_url,
            "CRMGQL_REDIS_URL": servers.redis_url,
            "CRMGQL_SECRET_KEY": SECRET,
            "CRMGQL_DATA_DIR": home,
            "CRMGQL_PORT": str(port),
            **(OPEN if hardened else {}),
        }
        for command in (["migrate"], ["demo"]):
            subprocess.run([sys.executable, "-m", "crmgql", *command], cwd=checkout, env=environment, check=True)
        tokens = [
            subprocess.run(
                [sys.executable, "-m", "crmgql", "token", "--email", email, "--minutes", "600"],
                cwd=checkout, env=environment, check=True, capture_output=True, text=True,
            ).stdout.strip()
            for email in (ATTACKER, OTHER)
        ]  # fmt: skip
        ruleset = uvloop.run(one(servers.database_url, RULESET))
        log = Path(home, "serve.log")
        serve = [sys.executable, "-m", "crmgql", "serve"]
        with processes.running("crmgql", serve, port, environment, log, cwd=checkout) as server:
            yield Target(port, server.process.pid, tokens[1], list(attacks(tokens[0], ruleset or "")))


async def one(url: str, sql: str) -> str | None:
    connection = await asyncpg.connect(url)
    try:
        found: str | None = await connection.fetchval(sql)
        return found
    finally:
        await connection.close()


def _connected(port: int) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=60)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def _send(connection: socket.socket, attack: Attack, number: int, stop: threading.Event) -> None:
    pieces: Sequence[bytes] = attack.make(number)
    for at, piece in enumerate(pieces):
        if at and stop.wait(attack.pause_s):
            return
        connection.sendall(piece)


def _answered(connection: socket.socket, stop: threading.Event | None = None) -> int:
    """The status of an answer that was read to its end."""
    head = b""
    while b"\r\n\r\n" not in head:
        if stop is not None and stop.is_set():
            raise ConnectionError
        part = connection.recv(65_536)
        if not part:
            raise ConnectionError
        head += part
    head, _, body = head.partition(b"\r\n\r\n")
    lines = head.lower().split(b"\r\n")
    length = next((int(line[15:]) for line in lines if line.startswith(b"content-length:")), 0)
    left = length - len(body)
    while left > 0:
        part = connection.recv(min(left, 1 << 20))
        if not part:
            raise ConnectionError
        left -= len(part)
    if b"connection: close" in lines:
        connection.close()
    return int(head[9:12])
