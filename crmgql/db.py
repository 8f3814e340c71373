"""The only place that takes a database connection.

Enters: a URL. Leaves: `transaction()` for verbs, `fetch_json()` for plans. Two pools: Tortoise's for writing, a
read-only one for queries. Always holds: a connection goes back to its pool whatever is cancelled, when it is cancelled.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias, TypeVar, cast
from urllib.parse import parse_qs, urlsplit

import asyncpg
from tortoise import Tortoise
from tortoise.backends.asyncpg.client import AsyncpgDBClient
from tortoise.connection import get_connection

from crmgql.errors import BadUserInput, SetupError, TimedOut, Unavailable

Connection: TypeAlias = Any
"""An asyncpg connection; the library has no types."""

Result = TypeVar("Result")

LOST: tuple[type[BaseException], ...] = (
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # what asyncpg makes of a connection that was cut while it was being used
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.InsufficientResourcesError,
    OSError,
)
"""What a vanished server looks like."""


class PlainConnection(asyncpg.Connection):  # type: ignore[misc]
    """A connection whose session state we never change: returning it to the pool costs no round trip."""

    async def reset(self, *, timeout: float | None = None) -> None:  # noqa: ASYNC109 - asyncpg's signature
        if self.is_in_transaction():  # of ours: who was cancelled between BEGIN and the first statement left it open
            await self.execute("ROLLBACK", timeout=timeout)


@dataclass(frozen=True, slots=True)
class Transaction:
    """An open transaction. Verbs speak SQL: a model's client would cost each of them, and none needs it."""

    connection: Connection

    async def fetch_json(self, sql: str, values: Sequence[Any]) -> asyncpg.Record:
        """The one row of a planned statement, inside this transaction."""
        return await self.connection.fetchrow(sql, *values)


class Readers:
    """The read-only connections of a process.

    asyncpg's pool costs 40 µs per use, half as much as the use itself: it shields and wraps what needs it only when
    connections keep state. Here a connection is taken from a stack and put back; one that broke, or whose statement was
    cancelled, leaves an empty place that the next user fills.
    """

    def __init__(self, open_one: Callable[[], Awaitable[Connection]], size: int) -> None:
        self._open_one = open_one
        self.size = size
        self.free: list[Connection | None] = [None] * size
        self._waiting: deque[asyncio.Future[Connection | None]] = deque()

    async def open(self) -> None:
        """Fills every place. Raises what connecting raises."""
        self.free = list(await asyncio.gather(*(self._open_one() for _ in range(self.size))))

    async def fetchrow(self, sql: str, values: Sequence[Any]) -> asyncpg.Record:
        connection = self.free.pop() if self.free else await self._turn()
        try:
            if connection is None or connection.is_closed():
                connection = None
                connection = await self._open_one()
            return await connection.fetchrow(sql, *values)
        except asyncio.CancelledError:
            if connection is not None:
                connection.terminate()
            raise
        finally:
            self._give(connection)

    @asynccontextmanager
    async def use(self) -> AsyncIterator[Connection]:
        """A connection for several statements. Who is cancelled, or leaves a transaction open, breaks it."""
        connection = self.free.pop() if self.free else await self._turn()
        try:
            if connection is None or connection.is_closed():
                connection = None
                connection = await self._open_one()
            yield connection
        except BaseException as error:
            if connection is not None and not isinstance(error, Exception):  # a statement may be under way
                connection.terminate()
            raise
        finally:
            if connection is not None and not connection.is_closed() and connection.is_in_transaction():
                connection.terminate()
            self._give(connection)

    async def _turn(self) -> Connection | None:
        turn: asyncio.Future[Connection | None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._give(turn.result())
            raise

    def _give(self, connection: Connection | None) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(connection)
                return
        self.free.append(connection)

    async def close(self) -> None:
        for connection in self.free:
            if connection is not None and not connection.is_closed():
                await connection.close(timeout=2)


class Database:
    """Both pools of one process, and a connection that is kept back."""

    def __init__(
        self,
        writer: AsyncpgDBClient,
        reader: Readers,
        open_reserved: Callable[[], Awaitable[Connection]],
        *,
        reads_replica: bool = False,
    ) -> None:
        self.reads_replica = reads_replica
        self._writer = writer
        self._reader = reader
        self._open_reserved = open_reserved
        self._reserved: Connection | None = None
        self._reserved_turn = asyncio.Lock()

    async def fetch_json(self, sql: str, values: Sequence[Any]) -> asyncpg.Record:
        """The one row of a planned statement: (data text, number of nodes)."""
        with TRANSLATED:
            return await self._reader.fetchrow(sql, values)

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[Connection]:
        """A connection that may not write, outside of any transaction: for a look-up of its own."""
        with TRANSLATED:
            async with self._reader.use() as connection:
                yield connection

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[Connection]:
        """A connection that may not write, and whose statements all see the database as the first of them did."""
        with TRANSLATED:
            async with self._reader.use() as connection:
                await connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
                try:
                    yield connection
                except Exception:
                    if not connection.is_closed():
                        await connection.execute("ROLLBACK")
                    raise
                await connection.execute("COMMIT")

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A connection outside of any transaction, for bulk work that commits in steps of its own."""
        pool = cast(asyncpg.Pool, self._writer._pool)
        with TRANSLATED:
            async with pool.acquire() as connection:
                yield connection

    @asynccontextmanager
    async def reserved(self) -> AsyncIterator[Connection]:
        """A connection beside the pools, opened at first use: for what must not wait for those who hold all of theirs."""
        with TRANSLATED:
            async with self._reserved_turn:
                if self._reserved is None or self._reserved.is_closed():
                    self._reserved = await self._open_reserved()
                try:
                    yield self._reserved
                except BaseException:  # it may be cut, or in the middle of something: the next user gets a new one
                    self._reserved.terminate()
                    self._reserved = None
                    raise

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """Commits at the end of the block, rolls back when it is left by an exception or a cancellation.

        Tortoise's own context leaks the connection when it is cancelled while entering; here a connection that was taken
        is given back whatever happens, and the end runs in a task of its own, which a cancellation of the caller can't reach.
        """
        with TRANSLATED:
            tx = await self._begin()
            try:
                yield tx
            except BaseException:
                await unbroken(self._end(tx, commit=False))
                raise
            await unbroken(self._end(tx, commit=True))

    async def _begin(self) -> Transaction:
        pool = cast(asyncpg.Pool, self._writer._pool)
        connection = await pool.acquire()
        try:
            await connection.execute("BEGIN")
        except BaseException:
            await self._release(connection)
            raise
        return Transaction(connection)

    async def _end(self, tx: Transaction, *, commit: bool) -> None:
        try:
            answer = await tx.connection.execute("COMMIT" if commit else "ROLLBACK")
            if commit and answer != "COMMIT":  # a refused statement was passed over: PostgreSQL has rolled back
                raise RuntimeError("The transaction was broken by a statement whose error nobody heard.")
        except LOST:
            if commit:
                raise
        finally:
            await self._release(tx.connection)

    async def _release(self, connection: Connection) -> None:
        """A connection that was cut may have left the pool's hands by itself, which the pool then complains of."""
        with suppress(asyncpg.InternalClientError):
            await cast(asyncpg.Pool, self._writer._pool).release(connection)

    def pool_sizes(self) -> dict[str, int]:
        """Open and idle connections of both pools."""
        writer = self._writer._pool
        return {
            "read_connections": self._reader.size,
            "read_connections_idle": len(self._reader.free),
            "write_connections": writer.get_size() if writer else 0,
            "write_connections_idle": writer.get_idle_size() if writer else 0,
        }

    async def ping(self) -> None:
        """Raises `Unavailable` when PostgreSQL does not answer."""
        # Not on a connection for queries: busy is not dead.
        async with asyncio.timeout(3), self.connection() as connection:
            await connection.execute("SELECT 1")

    async def close(self) -> None:
        await self._reader.close()
        if self._reserved is not None and not self._reserved.is_closed():
            await self._reserved.close(timeout=2)
        await Tortoise.close_connections()


async def unbroken(work: Coroutine[Any, Any, Result]) -> Result:
    """Runs to its end even when the caller is cancelled meanwhile."""
    return await asyncio.shield(asyncio.ensure_future(work))


class translated:
    """Turns what a database may say to a client's doing, or of its own, into an error of ours."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: Any) -> None:
        if isinstance(error, asyncpg.QueryCanceledError):
            raise TimedOut(
                "The database needed too long for this; ask for less, or filter by an indexed field."
            ) from error
        if isinstance(error, asyncpg.DataError):
            raise BadUserInput("A value does not fit its column.") from error
        if isinstance(error, LOST):
            raise Unavailable("The database does not answer just now; try again.") from error


TRANSLATED = translated()


def tortoise_config(url: str, *, pool_size: int, statement_timeout_ms: int) -> dict[str, Any]:
    """Tortoise's configuration for a libpq-style URL, unix socket directories (`?host=/dir`) included."""
    parts = urlsplit(url)
    query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    credentials = {
        "host": query.pop("host", None) or parts.hostname or "localhost",
        "port": int(query.pop("port", 0) or parts.port or 5432),
        "user": parts.username or query.pop("user", None) or "postgres",
        "password": parts.password or None,
        "database": parts.path.lstrip("/") or "postgres",
        "minsize": 1,
        "maxsize": pool_size,
        "connection_class": PlainConnection,
        "max_cacheable_statement_size": 0,
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


def server_settings(statement_timeout_ms: int) -> dict[str, str]:
    """Plain texts for dates; no just-in-time compilation, which costs more than our statements take; page costs of
    a solid-state disk, with which index scans are chosen over bitmaps."""
    return {
        "application_name": "crmgql",
        "timezone": "UTC",
        "datestyle": "ISO",
        "jit": "off",
        "random_page_cost": "1.1",
        "statement_timeout": str(statement_timeout_ms),
    }


async def connect(
    url: str, *, read_url: str | None = None, pool_size: int = 8, statement_timeout_ms: int = 10_000
) -> Database:
    """Opens both pools. Raises `SetupError` when the server can't be reached."""
    try:
        await Tortoise.init(
            config=tortoise_config(url, pool_size=pool_size, statement_timeout_ms=statement_timeout_ms),
            _enable_global_fallback=True,
        )
        writer = cast(AsyncpgDBClient, get_connection("default"))
        await writer.create_connection(with_db=True)
        reader = Readers(partial(_open_reader, read_url or url, statement_timeout_ms), pool_size)
        await reader.open()
    except (OSError, asyncpg.PostgresError, TimeoutError) as error:
        raise SetupError(f"PostgreSQL can't be reached ({error}); check CRMGQL_DATABASE_URL.") from error
    return Database(
        writer, reader, partial(_open_reserved, url, statement_timeout_ms), reads_replica=read_url is not None
    )


async def _open_reader(url: str, statement_timeout_ms: int) -> Connection:
    """A connection that keeps every statement prepared, however long, and may not write."""
    return await asyncpg.connect(
        url,
        statement_cache_size=300,
        max_cached_statement_lifetime=0,
        max_cacheable_statement_size=0,
        server_settings={**server_settings(statement_timeout_ms), "default_transaction_read_only": "on"},
    )


async def _open_reserved(url: str, statement_timeout_ms: int) -> Connection:
    return await asyncpg.connect(url, server_settings=server_settings(statement_timeout_ms))
