"""A server as an operator starts it: a process of its own, on a free port, over a migrated database.

Clients are made with `verify=False`, as reading the machine's certificates takes longer than a test.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import httpx
import pytest
import pytest_asyncio

from crmgql.dev import embedded
from crmgql.domain.people import tokens
from tests import processes

SECRET = "a secret of thirty-two bytes, or more"
ORIGIN = "https://app.example.com"
MAX_BODY = 20_000
COMFORT = {"CRMGQL_INTROSPECTION": "anyone", "CRMGQL_GET_QUERIES": "true", "CRMGQL_IDE": "true"}
"""As `crmgql dev` has it; `HARDENED` are the defaults."""
HARDENED = dict.fromkeys(COMFORT, "")


@dataclass
class Served:
    """A started server."""

    url: str
    port: int
    process: subprocess.Popen[bytes] | processes.Process
    log_path: Path

    @property
    def log(self) -> str:
        return self.log_path.read_text()

    def stop(self, number: signal.Signals = signal.SIGTERM, *, timeout_s: float = 60) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(timeout_s)


Serve = Callable[..., AbstractContextManager[Served]]


@pytest_asyncio.fixture(scope="session")
async def http_database_url(servers: embedded.Servers, template: str) -> str:
    """One database for the tests of this folder, which change next to nothing; it goes with the servers."""
    address, _, options = servers.database_url.partition("?")
    base = address.rpartition("/")[0]
    name = f"http_{uuid.uuid4().hex}"
    admin = await asyncpg.connect(f"{base}/postgres?{options}")
    await admin.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
    await admin.close()
    return f"{base}/{name}?{options}"


@pytest_asyncio.fixture(scope="session")
async def token(http_database_url: str) -> str:
    """An administrator's access token."""
    return await administrator(http_database_url)


async def administrator(database_url: str) -> str:
    """A new administrator's access token."""
    return (await logged_in(database_url, "Ada", "ADMIN")).token()


@dataclass
class LoggedIn:
    """A user with a session."""

    user_id: uuid.UUID
    family: uuid.UUID

    @property
    def refresh_token(self) -> str:
        return f"refresh {self.family}"

    def token(self, *, seconds: float = 3600) -> str:
        """An access token that ends in so many seconds."""
        now = datetime.now(UTC) - timedelta(hours=1) + timedelta(seconds=seconds)
        return tokens.issue_access(SECRET, user_id=self.user_id, family=self.family, now=now, minutes=60)


async def logged_in(database_url: str, name: str, *roles: str) -> LoggedIn:
    family, now = uuid.uuid4(), datetime.now(UTC)
    connection = await asyncpg.connect(database_url)
    user_id = await connection.fetchval(
        "INSERT INTO users (name, email, roles) VALUES ($1, $2, $3) RETURNING id",
        name, f"{name.lower()}@example.com", list(roles),
    )  # fmt: skip
    await connection.execute(
        "INSERT INTO sessions (family, token_hash, expires_at, user_id) VALUES ($1, $2, $3, $4)",
        family, tokens.digest(LoggedIn(user_id, family).refresh_token), now + timedelta(days=1), user_id,
    )  # fmt: skip
    await connection.close()
    return LoggedIn(user_id, family)


@pytest_asyncio.fixture
async def ada(http_database_url: str) -> LoggedIn:
    """An administrator of the test's own."""
    return await logged_in(http_database_url, f"Ada{time.monotonic_ns()}", "ADMIN")


@pytest_asyncio.fixture
async def bo(http_database_url: str) -> LoggedIn:
    """A seller of the test's own."""
    return await logged_in(http_database_url, f"Bo{time.monotonic_ns()}", "SELLER")


@pytest.fixture(scope="session")
def serve(servers: embedded.Servers, http_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Serve:
    """`with serve(CRMGQL_WORKERS="2") as served`: a server of the test's own; `program` is Python that starts one,
    `module` one whose `main` does."""

    @contextmanager
    def started(
        *, ready: bool = True, program: str = "", module: str = "crmgql.__main__", **variables: str
    ) -> Iterator[Served]:
        home, port = tmp_path_factory.mktemp("serve"), free_port()
        given = {
            "CRMGQL_DATABASE_URL": http_database_url,
            "CRMGQL_REDIS_URL": servers.redis_url,
            "CRMGQL_DATA_DIR": str(home),
            "CRMGQL_PORT": str(port),
            "CRMGQL_SECRET_KEY": SECRET,
            "CRMGQL_POOL_SIZE": "2",
            "CRMGQL_LOG_FORMAT": "json",
            **COMFORT,
            **variables,
        }
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("CRMGQL_")}
        process = _started(program, module, {**inherited, **given}, home / "log")
        served = Served(f"http://127.0.0.1:{given['CRMGQL_PORT']}", port, process, home / "log")
        try:
            if ready:
                wait_until_up(served)
            yield served
        finally:
            served.stop()

    return started


def _started(
    program: str, module: str, environment: dict[str, str], log_path: Path
) -> subprocess.Popen[bytes] | processes.Process:
    if not program:
        return processes.Process(module, "serve", environment=environment, log=log_path)
    with log_path.open("wb") as log:
        return subprocess.Popen([sys.executable, "-c", program], env=environment, stdout=log, stderr=log)


@pytest.fixture(scope="session")
def served(serve: Serve) -> Iterator[Served]:
    """The server that most tests ask."""
    with serve(
        CRMGQL_MAX_BODY_BYTES=str(MAX_BODY),
        CRMGQL_MAX_BATCH="3",
        CRMGQL_CORS_ORIGINS=ORIGIN,
        CRMGQL_TRUSTED_PROXIES="127.0.0.0/8",
    ) as started:
        yield started


@pytest.fixture(scope="session")
def otherwise(serve: Serve) -> Iterator[Served]:
    """A server with every other setting the other way round, and no Valkey."""
    with serve(
        CRMGQL_IDE="false",
        CRMGQL_CORS_ORIGINS="*",
        CRMGQL_REDIS_URL="redis://127.0.0.1:1/0",
        CRMGQL_LOG_LEVEL="debug",
    ) as started:
        yield started


@pytest.fixture
def client(served: Served) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=served.url, timeout=60, verify=False, headers={"accept": "application/json"}) as client:
        yield client


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until_up(served: Served, *, patience_s: float = 120) -> None:
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        assert served.process.poll() is None, served.log
        try:
            if httpx.get(f"{served.url}/healthz", verify=False).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.05)
    raise AssertionError(served.log)
