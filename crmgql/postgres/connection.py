"""One connection to PostgreSQL: how it is opened, and how long it may take over a statement.

Always holds: whoever waits for an answer gets one or an error, also from a server that stands still. PostgreSQL stops
what takes longer than `statement_timeout`; a second later the connection itself is cut from here. asyncpg's own time-outs
would ask the server to stop, over a new connection, and wait for its answer: one that stands still gives none.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from time import monotonic
from typing import Any, TypeAlias

import asyncpg

from crmgql.errors import DatabaseTrouble
from crmgql.postgres import troubles

Connection: TypeAlias = Any
"""A `Watched` connection; asyncpg has no types."""

ROLE = "crmgql_app"
"""What API and workers are for the database: migrations, which run as the owner of the tables, make it and say what it may do."""

CONNECT_S = 4.0
"""How long opening a connection may take."""

GRACE_S = 1.0
"""How much later than PostgreSQL itself we give up on a statement."""

CALM_S = 2.0
"""How long a cancelled statement may take to end, before its connection is cut."""


AWAY: tuple[type[BaseException], ...] = (OSError, *troubles.LOST)
"""What connecting says of a server that is away; time-outs and names that nobody knows are `OSError`s."""


EXECUTE = asyncpg.Connection._execute


class Watched(asyncpg.Connection):  # type: ignore[misc]
    """A connection that knows since when the server owes it an answer. `since` 0: it owes none."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        timeout_ms = int(self._params.server_settings.get("statement_timeout", 0))
        self.usual_limit_s = timeout_ms / 1000 + GRACE_S if timeout_ms else float("inf")
        self.limit_s = self.usual_limit_s
        self.since = 0.0
        self.is_cut = False
        self.was_cancelled = False
        self.may_write = self._params.server_settings.get("default_transaction_read_only") != "on"

    def cut_if_overdue(self, now: float) -> None:
        """To be called a few times a second: a timer per statement would cost more than all the rest of the watch."""
        if self.since and now - self.since > self.limit_s:
            self.is_cut = True
            self.terminate()

    def is_idle(self) -> bool:
        """Whether the next user finds it as a new one: no transaction, no cancelled statement that may still run."""
        return not self.was_cancelled and not self.is_in_transaction()

    async def calm(self) -> None:
        """Waits for the end of a statement that was cancelled, and rolls back what was left open."""
        self.limit_s = CALM_S
        if not self.is_in_transaction():
            await self.execute("SELECT 1")  # ends after what was cancelled, which may have been a BEGIN
        if self.is_in_transaction():
            await self.execute("ROLLBACK")
        self.was_cancelled = False
        self.limit_s = self.usual_limit_s

    async def row(self, sql: str, values: Sequence[Any]) -> Any:
        """As `fetchrow`. One call less, which pays for the watch: this is how every query is asked."""
        self.since = monotonic()
        try:
            rows = await EXECUTE(self, sql, values, 1, None)
            return rows[0] if rows else None
        except BaseException as error:
            self._explain(error)
            raise
        finally:
            self.since = 0.0

    async def _execute(self, *args: Any, **options: Any) -> Any:
        self.since = monotonic()
        try:
            return await super()._execute(*args, **options)
        except BaseException as error:
            self._explain(error)
            raise
        finally:
            self.since = 0.0

    async def execute(self, *args: Any, **options: Any) -> Any:
        return await self._watch(super().execute(*args, **options))

    async def copy_records_to_table(self, *args: Any, **options: Any) -> Any:
        return await self._watch(super().copy_records_to_table(*args, **options))

    async def _watch(self, answer: Awaitable[Any]) -> Any:
        self.since = monotonic()
        try:
            return await answer
        except BaseException as error:
            self._explain(error)
            raise
        finally:
            self.since = 0.0

    def _explain(self, error: BaseException) -> None:
        """Raises what it means that we cut the connection, or that its server is a replica now: another one may be the server."""
        if isinstance(error, asyncio.CancelledError):
            self.was_cancelled = True
        elif self.is_cut and isinstance(error, troubles.LOST):
            raise DatabaseTrouble(f"The database has not answered for {self.limit_s:g} seconds; try again.") from error
        elif self.may_write and isinstance(error, asyncpg.ReadOnlySQLTransactionError):
            self.terminate()
            raise DatabaseTrouble("The database takes no changes just now, as during a failover; try again.") from error


async def open_one(url: str, statement_timeout_ms: int, *, read_only: bool = False, replans: bool = True) -> Connection:
    """A new connection. Raises `DatabaseTrouble` for a server that is away, asyncpg's for one that refuses us.

    One that only reads keeps every statement prepared, however long. Unless it `replans`, PostgreSQL plans each once: for long
    statements that look up a few rows by their ids planning takes ten times as long as running, and PostgreSQL would do it each time.
    """
    settings = {**server_settings(statement_timeout_ms), "role": ROLE}
    kept: dict[str, Any] = {"max_cacheable_statement_size": 0}
    if read_only:
        settings["default_transaction_read_only"] = "on"
        kept |= {"statement_cache_size": 300, "max_cached_statement_lifetime": 0}
    if not replans:
        settings["plan_cache_mode"] = "force_generic_plan"
    try:
        return await asyncpg.connect(url, connection_class=Watched, timeout=CONNECT_S, server_settings=settings, **kept)
    except asyncpg.ClientConfigurationError:  # no server, but an address that nobody understands
        raise
    except AWAY as error:
        words = "The database can't be reached just now; try again."
        if isinstance(error, TimeoutError):
            words = f"The database has let nobody in for {CONNECT_S:g} seconds; try again."
        raise troubles.translated(error) or DatabaseTrouble(words) from error


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
