"""The only place that takes a database connection.

Enters: a URL. Leaves: `transaction()` for verbs, `fetch_json()` for plans. Two stacks of connections: one for writing, a
read-only one for queries. Always holds: a connection comes back whatever is cancelled, when it is cancelled; no answer
is waited for without end.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from time import monotonic
from typing import Any
from zoneinfo import ZoneInfo

import asyncpg
import structlog
from tortoise import Tortoise

from crmgql.errors import DatabaseAway, DatabaseTrouble, SetupError
from crmgql.postgres import refusals
from crmgql.postgres.company import Company, CompanyBelief
from crmgql.postgres.connection import GRACE_S, ROLE, Connection, open_one, server_settings
from crmgql.postgres.stacks import Stack, unbroken
from crmgql.postgres.troubles import Troubles

__all__ = ["Connection", "Database", "Transaction", "connect", "tortoise_config", "unbroken"]

log = structlog.get_logger("crmgql")

SWEEP_S = 0.25
"""So often it is looked whether an answer is overdue."""

FILL_SOME_MB = """
CREATE TEMPORARY TABLE crmgql_room ON COMMIT DROP AS
SELECT repeat(md5(n::text), 60) AS filling FROM generate_series(1, 2000) n"""
"""Four megabytes: more than what a database finds on a full disk by tidying up. Short enough not to be compressed."""


ADDRESS = ("host", "port", "user", "password", "database")
"""Options that Tortoise passes and the URL says."""

WITHOUT_DAYS = ZoneInfo("UTC")
"""The zone of a transaction in which nobody asks for the company's day."""


@dataclass(frozen=True, slots=True)
class Transaction:
    """An open transaction. Verbs speak SQL: a model's client would cost each of them, and none needs it.

    `zone` is the company's time zone, the same until the end; `company` is None where a caller made the transaction without.
    `after_commit` is what this process then does, in memory and without waiting; `forget_company` is for whoever changes the company. `queues` are those that it has put a due job into, or
    events: once it is committed, `Database.on_queued` is called with them.
    """

    connection: Connection
    zone: ZoneInfo
    company: Company | None = None
    after_commit: list[Callable[[], None]] = field(default_factory=list)
    forget_company: Callable[[], None] = lambda: None
    queues: set[str] = field(default_factory=set)

    async def fetch_json(self, sql: str, values: Sequence[Any]) -> asyncpg.Record:
        """The one row of a planned statement, inside this transaction."""
        return await self.connection.fetchrow(sql, *values)

    async def allow(self, *, minutes: int) -> None:
        """Lets each of its statements take so long."""
        await self.connection.execute(f"SET LOCAL statement_timeout = '{minutes}min'")
        self.connection.limit_s = minutes * 60 + GRACE_S


class Database:
    """Both stacks of one process, and a connection to each server that is kept back. `replica`: what the reader reads
    from, if it is a server of its own."""

    def __init__(
        self,
        writer: Stack,
        reader: Stack,
        reserved: Stack,
        relaying: Stack,
        following: Stack,
        replica: Stack | None = None,
    ) -> None:
        self.reads_replica = replica is not None
        self._writer = writer
        self._reader = reader
        self._reserved = reserved
        self._relaying = relaying
        self._following = following
        self._replica = replica
        self.troubles = Troubles()
        self._company = CompanyBelief()
        self.on_queued: Callable[[set[str]], None] = _nobody
        """Called with the queues that a commit has put jobs into. It neither raises nor waits: the commit has happened."""

        self._stacks = [writer, reader, reserved, relaying, following, *([replica] if replica else [])]
        self._sweeping = asyncio.create_task(_sweep(*self._stacks))

    async def fetch_json(self, sql: str, values: Sequence[Any]) -> asyncpg.Record:
        """The one row of a planned statement: (data text, number of nodes)."""
        with self.troubles:
            return await self._reader.fetchrow(sql, values)

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[Connection]:
        """A connection that may not write, outside of any transaction: for a look-up of its own."""
        with self.troubles:
            async with self._reader.use() as connection:
                yield connection

    @asynccontextmanager
    async def following(self) -> AsyncIterator[Connection]:
        """A connection that may not write, for statements over events that are planned once; half as many as others, opened
        when they are used."""
        with self.troubles:
            async with self._following.use() as connection:
                yield connection

    async def zone(self) -> ZoneInfo:
        """The company's time zone, for who reads without a transaction."""
        async with self.reading() as connection:
            return (await self._company.current(connection)).zone

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[Connection]:
        """A connection that may not write, and whose statements all see the database as the first of them did."""
        with self.troubles:
            async with self._reader.use() as connection:
                await connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
                yield connection
                await connection.execute("COMMIT")

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A connection outside of any transaction, for bulk work that commits in steps of its own."""
        with self.troubles:
            async with self._writer.use() as connection:
                yield connection

    @asynccontextmanager
    async def reserved(self) -> AsyncIterator[Connection]:
        """A connection beside the stacks, opened at first use: for what must not wait for those who hold all of theirs."""
        with self.troubles:
            async with self._reserved.use() as connection:
                yield connection

    @asynccontextmanager
    async def relaying(self, *, limit_s: int | None = None) -> AsyncIterator[Connection]:
        """A connection of the feed's relay alone, opened at first use; its statements may take so long, or as long as others'."""
        with self.troubles:
            async with self._relaying.use() as connection:
                if limit_s is not None:
                    await connection.execute(f"SET statement_timeout = '{limit_s}s'")
                    connection.limit_s = limit_s + GRACE_S
                yield connection
                if limit_s is not None:
                    connection.limit_s = connection.usual_limit_s
                    await connection.execute("RESET statement_timeout")

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """Commits at the end of the block, rolls back when it is left by an exception or a cancellation.

        Raises `Conflict` when a constraint that waited for the commit refuses it. The end runs in a task of its own, which a cancellation of the caller can't reach.
        """
        with self.troubles:
            connection = await self._writer.take()
            try:
                company = await self._company.current(connection)
                await connection.execute("BEGIN")
                tx = Transaction(connection, company.zone, company, forget_company=self._company.forget)
                yield tx
            except BaseException:
                connection.limit_s = connection.usual_limit_s
                await self._writer.put_back(connection)
                raise
            await unbroken(self._commit(tx))

    async def _commit(self, tx: Transaction) -> None:
        connection = tx.connection
        connection.limit_s = connection.usual_limit_s
        try:
            if await connection.execute("COMMIT") != "COMMIT":  # a refused statement was passed over: it is rolled back
                raise RuntimeError(
                    "A statement of the transaction failed and its error was swallowed: the transaction is rolled back."
                )
            for each in tx.after_commit:
                each()
        except asyncpg.IntegrityConstraintViolationError as error:  # a constraint that waited for the commit
            raise refusals.at_commit(error) from error
        finally:
            await self._writer.put_back(connection)
        if tx.queues:
            self.on_queued(tx.queues)

    def pool_sizes(self) -> dict[str, int]:
        """Places, and free ones, of both stacks."""
        return {
            "read_connections": self._reader.size,
            "read_connections_idle": len(self._reader.free),
            "write_connections": self._writer.size,
            "write_connections_idle": len(self._writer.free),
        }

    async def ping(self) -> None:
        """Raises `DatabaseTrouble` when the server does not answer, and `DiskFull` until a full disk has room again."""
        async with self.reserved() as connection:  # not one of those that may all be in use: busy is not dead
            if not self.troubles.disk_full:
                await connection.execute("SELECT 1")
                return
            async with connection.transaction():
                await connection.execute(FILL_SOME_MB)
        self.troubles.disk_full = False

    async def ping_replica(self) -> None:
        """Raises `DatabaseTrouble` when the replica does not answer. Without one there is nothing to ask."""
        if self._replica is not None:
            with self.troubles:
                async with self._replica.use() as connection:
                    await connection.execute("SELECT 1")

    async def close(self) -> None:
        await asyncio.gather(*(stack.close() for stack in self._stacks))
        self._sweeping.cancel()
        await asyncio.gather(self._sweeping, return_exceptions=True)


def _nobody(queues: set[str]) -> None:
    """Whoever looks after jobs looks once a second all the same."""


async def _sweep(*stacks: Stack) -> None:
    last = monotonic()
    while True:
        await asyncio.sleep(SWEEP_S)
        now = monotonic()
        if now - last < 4 * SWEEP_S:  # else this process stood still itself: it reads first what came meanwhile
            for stack in stacks:
                stack.sweep(now)
        last = now


async def know_models() -> None:
    """Connects the models with each other, which the schema and imports need. Nothing is ever asked through them, so once
    in a process is enough, and there is no server in it: it takes longer than opening all connections."""
    if not _known:
        config = tortoise_config("postgresql://nobody@localhost/none", pool_size=1, statement_timeout_ms=1000)
        await Tortoise.init(config=config, init_connections=False)
        _known.append(True)


_known: list[bool] = []


def tortoise_config(url: str, *, pool_size: int, statement_timeout_ms: int) -> dict[str, Any]:
    """Tortoise's configuration. asyncpg reads the whole URL, as for all other connections; Tortoise knows no part of it."""

    async def open_for_tortoise(*_: Any, **options: Any) -> asyncpg.Connection:
        return await asyncpg.connect(url, **{name: each for name, each in options.items() if name not in ADDRESS})

    credentials = {
        "connect": open_for_tortoise,
        "minsize": 1,
        "maxsize": pool_size,
        "server_settings": server_settings(statement_timeout_ms),
    }
    return {
        "connections": {"default": {"engine": "tortoise.backends.asyncpg", "credentials": credentials}},
        "apps": {
            "crm": {
                "models": ["crmgql.models"],
                "default_connection": "default",
                "migrations": "crmgql.migrations",
            }
        },
        "use_tz": True,
        "timezone": "UTC",
    }


async def connect(
    url: str,
    *,
    read_url: str | None = None,
    pool_size: int = 8,
    statement_timeout_ms: int = 10_000,
    wait_s: float = float("inf"),
    patient: bool = False,
) -> Database:
    """Opens both stacks. `wait_s`: how long somebody may wait for a connection.

    Raises `SetupError` for a server that refuses us, and `DatabaseAway` for one that is away; `patient` callers get a
    database all the same, which connects when it is used.
    """
    await know_models()
    writing = partial(open_one, url, statement_timeout_ms)
    reading = partial(open_one, read_url or url, statement_timeout_ms, read_only=True)
    writer, reader = Stack(writing, pool_size, wait_s=wait_s), Stack(reading, pool_size, wait_s=wait_s)
    reserved = Stack(writing, 1, wait_s=wait_s)
    relaying = Stack(writing, 1, wait_s=wait_s)
    following = Stack(partial(reading, replans=False), max(1, pool_size // 2), wait_s=float("inf"))
    database = Database(
        writer, reader, reserved, relaying, following, None if read_url is None else Stack(reading, 1, wait_s=wait_s)
    )
    setting = "CRMGQL_DATABASE_URL"
    try:
        await writer.open(1)
        setting = setting if read_url is None else "CRMGQL_READ_DATABASE_URL"
        await reader.open(reader.size)
    except DatabaseTrouble as error:
        reason = error.__cause__ or error
        if not patient:
            await database.close()
            raise DatabaseAway(_unreachable(reason, setting)) from error
        log.warning("started without PostgreSQL, which does not answer yet", setting=setting, reason=str(reason))
    except (asyncpg.PostgresError, asyncpg.ClientConfigurationError) as error:
        await database.close()
        if f'role "{ROLE}"' in str(error):  # it is not there, or the user may not take it
            raise SetupError(
                f"The database is empty or of an older version, or its user may not take the role {ROLE}:"
                " run “crmgql migrate”, which makes it or says what to run."
            ) from error
        raise SetupError(_unreachable(error, setting)) from error
    return database


@asynccontextmanager
async def opened(url: str, *, statement_timeout_ms: int = 10_000) -> AsyncIterator[Database]:
    """A database for a command, closed at the end of the block. Raises what `connect` raises."""
    database = await connect(url, pool_size=2, statement_timeout_ms=statement_timeout_ms)
    try:
        yield database
    finally:
        await database.close()


def _unreachable(error: BaseException, setting: str) -> str:
    return f"PostgreSQL can't be reached ({str(error) or 'no answer'}); check {setting}."
