"""Real servers for every test: one throwaway PostgreSQL and Valkey per process, a migrated, empty database per test."""

from __future__ import annotations

import asyncio
import fcntl
import gc
import io
import os
import shutil
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Hashable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
import pytest
import pytest_asyncio
import structlog
from hypothesis import HealthCheck, settings

from crmgql import db, migrate
from crmgql.config import Settings
from crmgql.dev import embedded
from crmgql.engine.operations import Engine
from crmgql.postgres.stacks import Stack
from crmgql.schema import build
from crmgql.viewer import Viewer, Who
from tests import rates

NOW = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
T = TypeVar("T")
TEMPLATE = "crmgql_template"
ROOM_IN_MEMORY = 3_000_000_000
SHARED = Path(__file__).resolve().parents[2] / "shared"


# The default draws a box with all variables for each error that is logged: a quarter of a second, for nobody to look at.
PLAIN = structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)
structlog.configure(processors=[*structlog.get_config()["processors"][:-1], PLAIN])

# How long an example takes says more of the machine than of the code.
settings.register_profile("crmgql", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("crmgql")


def pytest_collection_finish() -> None:
    """What is there now, stays: it need not be looked through for garbage again and again."""
    gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> Generator[None, object, object]:
    """Tests that measure how long somebody waits (`alone`) have the machine for themselves, also when several processes
    run tests: theirs stand still meanwhile, between two tests."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return (yield)
    with ExitStack() as turn:
        turn.enter_context(KEPT.pop() if KEPT else in_turn(fcntl.LOCK_EX if is_alone(item) else fcntl.LOCK_SH))
        result = yield
        if is_alone(item) and nextitem is not None and is_alone(nextitem):
            KEPT.append(turn.pop_all())
        return result


KEPT: list[ExitStack] = []
"""The lock of a test that is alone, for the next one that is: a long test of others might come between."""


def is_alone(item: pytest.Item) -> bool:
    return item.get_closest_marker("alone") is not None


LONG = frozenset(
    {
        "test_crash.py",
        "test_trouble.py",
        "test_machine.py",
        "test_serve.py",
        "test_everything_killed.py",
        "test_failover.py",
    }
)
"""Modules with tests that mostly wait, some of them for a minute: one that came last would be waited for."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Modules with tests that are alone come first: they wait for no long test then, nor do others for them. Long ones follow."""
    first = {item.path for item in items if is_alone(item)}
    items.sort(key=lambda item: (item.path not in first, item.path.name not in LONG))


@contextmanager
def in_turn(how: int) -> Iterator[None]:
    """A lock that all or one may have. Who comes after one that waits waits too, or that one would wait for ever."""
    folder = Path(__file__).parent
    with opened(folder) as door, opened(folder.parent) as room:
        fcntl.flock(door, how)
        fcntl.flock(room, how)
        fcntl.flock(door, fcntl.LOCK_UN)
        try:
            yield
        finally:
            fcntl.flock(room, fcntl.LOCK_UN)


@contextmanager
def opened(folder: Path) -> Iterator[int]:
    number = os.open(folder, os.O_RDONLY)
    try:
        yield number
    finally:
        os.close(number)


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[embedded.Servers]:
    """PostgreSQL and Valkey, started once and thrown away."""
    quick = quick_place()
    with embedded.start(quick or tmp_path_factory.mktemp("servers"), throwaway=True) as started:
        asyncio.run(make_quick(started.database_url))
        yield started
    if quick is not None:
        with suppress(OSError):  # another run is using it
            quick.joinpath("throwaway.lock").unlink()
            quick.rmdir()


def quick_place() -> Path | None:
    """A folder in memory, if there is plenty of it: a database is copied there in a sixth of the time.

    Its name is the same in every run, so that a run clears away what a killed one left.
    """
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK) or shutil.disk_usage(memory).free < ROOM_IN_MEMORY:
        return None
    return memory / f"crmgql-tests-{os.getuid()}-{os.environ.get('PYTEST_XDIST_WORKER', 'alone')}"


async def make_quick(server_url: str) -> None:
    """Nothing cleans up beside the tests: it would take time from them, and tables' statistics would depend on it. Those
    who lock each other out hear of it soon."""
    settings = ("autovacuum = off", "checkpoint_timeout = '1h'", "max_wal_size = '512MB'", "deadlock_timeout = '50ms'")
    async with administering(server_url) as admin:
        for setting in settings:
            await admin.execute(f"ALTER SYSTEM SET {setting}")
        await admin.execute("SELECT pg_reload_conf()")


@pytest_asyncio.fixture(scope="session")
async def template(servers: embedded.Servers) -> str:
    """The name of a migrated database to copy, with exchange rates and nothing else."""
    async with administering(servers.database_url) as admin:
        await admin.execute(f"CREATE DATABASE {TEMPLATE}")
    await migrate.migrate(named(servers.database_url, TEMPLATE))
    connection = await asyncpg.connect(named(servers.database_url, TEMPLATE))
    await rates.sow(connection)
    await connection.close()
    return TEMPLATE


@pytest_asyncio.fixture(scope="session")
async def databases(servers: embedded.Servers, template: str) -> AsyncIterator[Databases]:
    """The databases that tests use one after another."""
    made = Databases(servers.database_url, template)
    yield made
    await made.close()


@pytest_asyncio.fixture
async def database_url(databases: Databases) -> AsyncIterator[str]:
    """The URL of a migrated, empty database, in which nobody else is."""
    lent = await databases.lend()
    yield lent.url
    await databases.take_back(lent)


@pytest_asyncio.fixture
async def database(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection to this test's database, in autocommit."""
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


@pytest_asyncio.fixture
async def crm(database_url: str) -> AsyncIterator[db.Database]:
    """This test's database, as the product opens it."""
    opened = await connect(database_url, pool_size=4)
    yield opened
    await opened.close()


async def connect(url: str, *, pool_size: int) -> db.Database:
    """As `db.connect`, with stacks that connect when they are used: few tests need all connections."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(db, "Stack", UnfilledStack)
        return await db.connect(url, pool_size=pool_size)


class UnfilledStack(Stack):
    async def open(self, count: int) -> None:
        pass


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


class Databases:
    """Copies of a template. One that a test has used is emptied for the next: that takes a tenth of making another.

    What can't be put right for sure (changed tables, statistics, large files) is dropped.
    """

    def __init__(self, server_url: str, template: str) -> None:
        self.server_url = server_url
        self.template = template
        self.free: list[Lent] = []

    async def lend(self) -> Lent:
        if self.free:
            return self.free.pop()
        name = f"t{uuid.uuid4().hex}"
        async with administering(self.server_url) as admin:
            await admin.execute(f"CREATE DATABASE {name} TEMPLATE {self.template} STRATEGY FILE_COPY")
        return await Lent.opened(named(self.server_url, name), name)

    async def take_back(self, lent: Lent) -> None:
        if await lent.is_as_new():
            self.free.append(lent)
        else:
            await self._drop(lent)

    async def close(self) -> None:
        for each in self.free:
            await self._drop(each)

    async def _drop(self, lent: Lent) -> None:
        lent.cleaner.terminate()
        async with administering(self.server_url) as admin:
            await admin.execute(f"DROP DATABASE {lent.name} WITH (FORCE)")


class Lent:
    """A database, and what it was like when it was new. `cleaner` is a connection that no test may need to care for."""

    CLEANER = "crmgql's tests"
    MOST_BYTES = 4_000_000
    OTHERS = """
    SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"""
    CATALOGS = (
        "pg_class WHERE oid >= 16384 AND relpersistence <> 't'",
        "pg_attribute WHERE attrelid >= 16384",
        "pg_namespace WHERE nspname !~ '^pg_'",
        "pg_db_role_setting WHERE setdatabase <> 0",
        *(
            f"{name} WHERE oid >= 16384"
            for name in ("pg_type", "pg_proc", "pg_constraint", "pg_trigger", "pg_operator")
        ),
        *("pg_attrdef", "pg_rewrite", "pg_policy", "pg_statistic", "pg_extension", "pg_event_trigger"),
    )
    """Every change of a row gives it the number of a later transaction."""

    def __init__(self, url: str, name: str, cleaner: asyncpg.Connection) -> None:
        self.url = url
        self.name = name
        self.cleaner = cleaner
        self.tables: list[str] = []
        self.sequences: list[tuple[str, int]] = []
        self.seeds: dict[str, tuple[list[str], bytes]] = {}
        self.question: Any = None
        self.made = self.sown = ""

    @classmethod
    async def opened(cls, url: str, name: str) -> Lent:
        # As a replica it asks no triggers: append-only tables are emptied too, and in any order.
        settings = {"application_name": cls.CLEANER, "session_replication_role": "replica"}
        lent = cls(url, name, await asyncpg.connect(url, server_settings=settings))
        await lent._look_around()
        return lent

    async def is_as_new(self) -> bool:
        """Whether it is, after it was cleaned."""
        if self.cleaner.is_closed():
            return False
        try:
            await self._send_all_away()
            made, seeds, filled, size = await self.question.fetchrow()
            if made != self.made or size > self.MOST_BYTES:
                return False
            await self._empty(filled, seeds)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError):
            return False
        return True

    async def _send_all_away(self) -> None:
        async with asyncio.timeout(10):
            while await self.cleaner.fetchval(self.OTHERS):
                await asyncio.sleep(0.001)

    async def _empty(self, filled: list[str], seeds: str) -> None:
        spoilt = self.seeds if seeds != self.sown else {}
        emptied = [*filled, *spoilt]
        restarts = [f"SELECT setval('{name}', {start}, false)" for name, start in self.sequences]
        async with self.cleaner.transaction():
            await self.cleaner.execute("; ".join([*(f"DELETE FROM {name}" for name in emptied), *restarts]))
            for name, (columns, rows) in spoilt.items():
                await self.cleaner.copy_to_table(name, source=io.BytesIO(rows), columns=columns, format="binary")
        if spoilt:
            self.sown = (await self.question.fetchrow())[1]

    async def _look_around(self) -> None:
        """Notes what is there."""
        sql = "SELECT c.relname, array_agg(a.attname::text ORDER BY attnum) FILTER (WHERE attgenerated = '') FROM pg_class c"
        sql += " JOIN pg_attribute a ON attrelid = c.oid AND attnum > 0 AND NOT attisdropped"
        sql += " WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace GROUP BY 1 ORDER BY 1"
        for name, columns in await self.cleaner.fetch(sql):
            if not await self.cleaner.fetchval(f"SELECT EXISTS (SELECT FROM {name})"):
                self.tables.append(name)
                continue
            rows = io.BytesIO()
            await self.cleaner.copy_from_table(name, output=rows, columns=columns, format="binary")
            self.seeds[name] = (columns, rows.getvalue())
        sql = "SELECT sequencename::text, start_value FROM pg_sequences WHERE schemaname = 'public' AND last_value IS NULL"
        self.sequences = [tuple(row) for row in await self.cleaner.fetch(sql)]
        state = "(SELECT concat(count(*), '/', max(xmin::text::bigint)) FROM {})"
        made = ", ".join(state.format(each) for each in self.CATALOGS)
        sown = ", ".join(state.format(each) for each in self.seeds)
        filled = ", ".join(f"CASE WHEN EXISTS (SELECT FROM {name}) THEN '{name}' END" for name in self.tables)
        size = "SELECT sum(pg_relation_size(oid)) FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
        self.question = await self.cleaner.prepare(
            f"SELECT concat_ws(' ', {made}), concat_ws(' ', {sown}), array_remove(ARRAY[{filled}], NULL), ({size})"
        )
        self.made, self.sown, *_ = await self.question.fetchrow()


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


FILLED: dict[Hashable, tuple[Any, dict[str, bytes], list[str]]] = {}
"""What filled a database: what was answered, the rows by table, and what puts the sequences where they were."""


async def once(connection: asyncpg.Connection, key: Hashable, fill: Callable[[], Awaitable[T]]) -> T:
    """Fills an empty database, and answers as `fill` did; but a key's `fill` is called once in a process only. Later the
    rows are copied, in a tenth of the time."""
    if key not in FILLED:
        before = await _states(connection)
        answer = await fill()
        changed = [name for name, state in (await _states(connection)).items() if before.get(name) != state]
        rows = {name: await _dumped(connection, name) for name in changed}
        sql = "SELECT format('SELECT setval(%L, %s)', sequencename, last_value) FROM pg_sequences WHERE last_value > 0"
        FILLED[key] = answer, rows, [line for (line,) in await connection.fetch(sql)]
        return answer
    answer, tables, moves = FILLED[key]
    async with connection.transaction():
        await connection.execute("SET LOCAL session_replication_role = replica")  # the tables come in any order
        for name, rows in tables.items():
            await connection.execute(f"DELETE FROM {name}")
            columns = await _columns(connection, name)
            await connection.copy_to_table(name, source=io.BytesIO(rows), columns=columns, format="binary")
        await connection.execute("; ".join(moves))
    return answer


async def _states(connection: asyncpg.Connection) -> dict[str, str]:
    """The tables with rows in them, and something that changes with each row."""
    sql = "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
    names = await connection.fetch(sql)  # of a partitioned table, its partitions
    states = {}
    for (name,) in names:
        if state := await connection.fetchval(f"SELECT md5(string_agg(concat(ctid, xmin), ',')) FROM {name}"):
            states[name] = state
    return states


async def _dumped(connection: asyncpg.Connection, table: str) -> bytes:
    rows = io.BytesIO()
    columns = await _columns(connection, table)
    await connection.copy_from_table(table, output=rows, columns=columns, format="binary")
    return rows.getvalue()


async def _columns(connection: asyncpg.Connection, table: str) -> list[str]:
    """Those that are not worked out from others."""
    sql = "SELECT attname::text FROM pg_attribute WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped"
    return [name for (name,) in await connection.fetch(sql + " AND attgenerated = '' ORDER BY attnum", table)]
