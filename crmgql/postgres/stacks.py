"""A stack of connections: taken from the top, put back on it.

asyncpg's pool costs 40 µs per use, half as much as the use itself: it shields and wraps what needs it only when
connections keep state. Here a place in the stack is empty until somebody needs it, and is again when its connection
broke; the next user fills it. Always holds: a place comes back whatever is cancelled, and nobody waits for one for ever.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from time import monotonic
from typing import Any, TypeVar
from weakref import WeakSet

import asyncpg

from crmgql.errors import DatabaseTrouble
from crmgql.postgres.connection import Connection

CLOSE_S = 2.0
"""How long closing a stack may take, those included who still use its connections."""

Result = TypeVar("Result")
Turn = asyncio.Future[Connection | None]


class Stack:
    """`size` places. `wait_s`: how long somebody may wait for one."""

    def __init__(self, open_one: Callable[[], Awaitable[Connection]], size: int, *, wait_s: float) -> None:
        self._open_one = open_one
        self.size = size
        self.wait_s = wait_s
        self.free: list[Connection | None] = [None] * size
        self._waiting: deque[tuple[float, Turn]] = deque()
        self._opened: WeakSet[Connection] = WeakSet()
        self._closed = False

    async def open(self, count: int) -> None:
        """Fills so many places. Raises what connecting raises."""
        found = await asyncio.gather(*(self._filled() for _ in range(count)), return_exceptions=True)
        opened = [each for each in found if not isinstance(each, BaseException)]
        self.free[self.size - len(opened) :] = opened
        for each in found:
            if isinstance(each, BaseException):
                raise each

    async def fetchrow(self, sql: str, values: Sequence[Any]) -> asyncpg.Record:
        """One row, on a connection that never has a transaction."""
        connection = self.free.pop() if self.free else await self._turn()
        try:
            if connection is None or connection.is_closed():
                connection = None
                connection = await self._filled()
            return await connection.row(sql, values)
        except asyncio.CancelledError:
            if connection is not None:
                connection.terminate()
            raise
        finally:
            self._give(connection)

    @asynccontextmanager
    async def use(self) -> AsyncIterator[Connection]:
        """A connection for as long as the block takes."""
        connection = await self.take()
        try:
            yield connection
        finally:
            await self.put_back(connection)

    async def take(self) -> Connection:
        """A connection that the caller puts back. Raises `DatabaseTrouble` when none is to be had in time."""
        connection = self.free.pop() if self.free else await self._turn()
        if connection is not None and not connection.is_closed():
            return connection
        try:
            connection = None
            connection = await self._filled()
        finally:
            if connection is None:
                self._give(None)
        return connection

    async def put_back(self, connection: Connection) -> None:
        """At once, if the next user finds it as new; else when it is so, whatever becomes of the caller."""
        if connection.is_closed() or connection.is_idle():
            self._give(connection)
        else:
            await unbroken(self._calmed(connection))

    async def _calmed(self, connection: Connection) -> None:
        try:
            await connection.calm()
        except Exception:
            connection.terminate()
        finally:
            self._give(connection)

    async def _filled(self) -> Connection:
        connection = await self._open_one()
        self._opened.add(connection)
        return connection

    async def _turn(self) -> Connection | None:
        if self._closed:
            raise DatabaseTrouble("This process is stopping.")
        turn: Turn = asyncio.get_running_loop().create_future()
        self._waiting.append((monotonic(), turn))
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self._give(turn.result())
            raise

    def _give(self, connection: Connection | None) -> None:
        while self._waiting:
            turn = self._waiting.popleft()[1]
            if not turn.done():
                turn.set_result(connection)
                return
        self.free.append(connection)

    def sweep(self, now: float) -> None:
        """Cuts connections that are overdue, and sends away who has waited too long. To be called a few times a second."""
        for connection in list(self._opened):
            connection.cut_if_overdue(now)
        while self._waiting and now - self._waiting[0][0] > self.wait_s:
            turn = self._waiting.popleft()[1]
            if not turn.done():
                turn.set_exception(DatabaseTrouble("All database connections are busy; try again in a moment."))

    async def close(self) -> None:
        """Closes what is free, and what comes back in time; cuts the rest. Who comes later is refused."""
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_S):
                for _ in range(self.size):
                    connection = self.free.pop() if self.free else await self._turn()
                    if connection is not None:
                        await connection.close()
        self._closed = True
        for connection in list(self._opened):
            if not connection.is_closed():
                connection.terminate()


async def unbroken(work: Coroutine[Any, Any, Result]) -> Result:
    """Runs to its end even when the caller is cancelled meanwhile."""
    return await asyncio.shield(asyncio.ensure_future(work))
