"""Real servers for every test: one throwaway PostgreSQL and Valkey per run, a fresh migrated database per test."""

from __future__ import annotations

import asyncio
import queue
import threading
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio

from crmgql import db, migrate
from crmgql.config import Settings
from crmgql.dev import embedded
from crmgql.engine.operations import Engine
from crmgql.schema import build
from crmgql.viewer import Viewer, Who

NOW = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
TEMPLATE = "crmgql_template"
SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[embedded.Servers]:
    """PostgreSQL and Valkey, started once and thrown away."""
    with embedded.start(tmp_path_factory.mktemp("servers"), throwaway=True) as started:
        yield started


@pytest_asyncio.fixture(scope="session")
async def template(servers: embedded.Servers) -> str:
    """The name of a migrated, empty database, to copy."""
    async with administering(servers.database_url) as admin:
        await admin.execute(f"CREATE DATABASE {TEMPLATE}")
    await migrate.migrate(named(servers.database_url, TEMPLATE))
    return TEMPLATE


@pytest.fixture(scope="session")
def spares(servers: embedded.Servers, template: str) -> Iterator[Spares]:
    """Databases that are ready before a test asks for one."""
    made = Spares(servers.database_url, template)
    yield made
    made.stop()


@pytest_asyncio.fixture
async def database_url(servers: embedded.Servers, spares: Spares) -> AsyncIterator[str]:
    """The URL of a migrated, empty database of this test's own."""
    name = await asyncio.to_thread(spares.take)
    yield named(servers.database_url, name)
    spares.used.put(name)


@pytest_asyncio.fixture
async def database(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection to this test's database, in autocommit."""
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


@pytest_asyncio.fixture
async def crm(database_url: str) -> AsyncIterator[db.Database]:
    """This test's database, as the product opens it."""
    opened = await db.connect(database_url, pool_size=4)
    yield opened
    await opened.close()


@pytest.fixture
def engine(crm: db.Database) -> Engine:
    """The engine over this test's database."""
    return build.engine(crm, Settings(log_level="error"))


@pytest.fixture
def shared_data() -> Path:
    """The real data sets, where they are."""
    data = SHARED / "data"
    if not data.is_dir():
        pytest.skip("the shared data sets are not beside this checkout")
    return data


class Spares:
    """Copies of a template, made ahead and dropped afterwards by a thread, while tests run: a copy takes longer than most
    tests, and mostly keeps the disk busy."""

    AHEAD = 3

    def __init__(self, server_url: str, template: str) -> None:
        self.server_url = server_url
        self.template = template
        self.ready: queue.Queue[str | BaseException] = queue.Queue(self.AHEAD)
        self.used: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def take(self) -> str:
        """The name of a database that is nobody else's."""
        found = self.ready.get(timeout=60)
        if isinstance(found, BaseException):
            raise found
        return found

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join(30)

    def _run(self) -> None:
        try:
            asyncio.run(self._work())
        except BaseException as error:
            self.ready.put(error)

    async def _work(self) -> None:
        async with administering(self.server_url) as admin:
            while not self._stopped.is_set():
                if not self.ready.full():
                    name = f"t{uuid.uuid4().hex}"
                    await admin.execute(f"CREATE DATABASE {name} TEMPLATE {self.template} STRATEGY FILE_COPY")
                    self.ready.put(name)
                elif not self.used.empty():
                    await admin.execute(f"DROP DATABASE {self.used.get()} WITH (FORCE)")
                else:
                    await asyncio.sleep(0.005)


@asynccontextmanager
async def fresh_database(server_url: str, template: str) -> AsyncIterator[str]:
    """A copy of a template, dropped at the end."""
    name = f"t{uuid.uuid4().hex}"
    async with administering(server_url) as admin:
        await admin.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
    try:
        yield named(server_url, name)
    finally:
        async with administering(server_url) as admin:
            await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


@asynccontextmanager
async def administering(server_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(named(server_url, "postgres"))
    try:
        yield connection
    finally:
        await connection.close()


def named(server_url: str, name: str) -> str:
    """The URL of another database of the same server."""
    address, _, options = server_url.partition("?")
    return f"{address.rpartition('/')[0]}/{name}" + (f"?{options}" if options else "")


def viewer(user_id: uuid.UUID, *roles: str, scopes: frozenset[str] | None = None) -> Viewer:
    """Somebody with roles, at a fixed time."""
    return Viewer(user_id, Who(frozenset(roles), scopes), clock=lambda: NOW)
