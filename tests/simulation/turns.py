"""Whose statement comes next, and which one fails: requests of one process take turns, as the dice say.

Requests that run together send one statement at a time. After each the others go on only when all of them wait for their turn,
have ended, or are blocked by a lock in PostgreSQL, which is asked whether they are. So the same dice make the same history, and
connections are cut where the dice say: before a statement, or behind it, when its answer is on the way.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from random import Random
from typing import Any, TypeVar

import asyncpg
import pytest

from crmgql.postgres import company
from crmgql.postgres.connection import Watched

Result = TypeVar("Result")
PATIENCE_S = 60
LOOK_S = 0.002
"""How long a statement may take before it is asked whether it is blocked."""

BLOCKED = "SELECT cardinality(pg_blocking_pids($1)) > 0"
CUT = "SELECT pg_terminate_backend($1, 5000)"


@dataclass(frozen=True, slots=True)
class Cut:
    """The connection of a request is cut before its statement of this number, or behind it."""

    number: int
    is_behind: bool


@dataclass(slots=True, eq=False)
class Request:
    """`turn`: set while it waits for it. `pid`: of the server's process that has its statement."""

    cut: Cut | None = None
    statements: int = 0
    turn: asyncio.Future[None] | None = None
    pid: int | None = None
    is_done: bool = False
    was_cut: bool = False


CURRENT: ContextVar[Request | None] = ContextVar("CURRENT", default=None)


@dataclass
class Turns:
    """`observer`: a connection of its own, which asks and cuts."""

    observer: asyncpg.Connection
    requests: list[Request] = field(default_factory=list)
    moved: asyncio.Event = field(default_factory=asyncio.Event)
    asking: asyncio.Lock = field(default_factory=asyncio.Lock)

    @asynccontextmanager
    async def taken(self) -> AsyncIterator[None]:
        """Every statement of a request waits for its turn, inside."""
        inner = {name: getattr(Watched, name) for name in ("_execute", "execute")}

        def patched(name: str) -> Callable[..., Awaitable[Any]]:
            async def statement(connection: Any, *args: Any, **options: Any) -> Any:
                return await self._statement(connection, lambda: inner[name](connection, *args, **options))

            return statement

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(company, "BELIEVED_S", 0)  # else it would be a matter of time when it is read again
            for name in inner:
                patch.setattr(Watched, name, patched(name))
            yield

    async def together(
        self, dice: Random, works: list[tuple[Callable[[], Awaitable[Result]], Cut | None]]
    ) -> list[Result]:
        """The results of all, in their order."""
        self.requests = [Request(cut) for _, cut in works]
        tasks = [
            asyncio.create_task(self._run(request, work))
            for request, (work, _) in zip(self.requests, works, strict=True)
        ]
        async with asyncio.timeout(PATIENCE_S):
            while not all(each.is_done for each in self.requests):
                await self._all_quiet()
                waiting = [each for each in self.requests if each.turn is not None]
                if waiting:
                    chosen = dice.choice(waiting)
                    assert chosen.turn is not None
                    chosen.turn.set_result(None)
                    chosen.turn = None
        return [await task for task in tasks]

    async def _run(self, request: Request, work: Callable[[], Awaitable[Result]]) -> Result:
        CURRENT.set(request)
        try:
            return await work()
        finally:
            request.is_done = True
            self.moved.set()

    async def _all_quiet(self) -> None:
        """Returns when each request waits for its turn, has ended, or is blocked."""
        while True:
            self.moved.clear()
            busy = [each for each in self.requests if not each.is_done and each.turn is None]
            if not busy:
                return
            try:
                await asyncio.wait_for(self.moved.wait(), LOOK_S)
            except TimeoutError:
                if len(busy) < len([each for each in self.requests if not each.is_done]) and all(
                    [await self._is_blocked(each) for each in busy]
                ):
                    return

    async def _is_blocked(self, request: Request) -> bool:
        return request.pid is not None and bool(await self._observe(BLOCKED, request.pid))

    async def _statement(self, connection: Any, call: Callable[[], Awaitable[Any]]) -> Any:
        request = CURRENT.get()
        if request is None or request.is_done or request.pid is not None:  # one inside another: execute calls _execute
            return await call()
        request.turn = asyncio.get_running_loop().create_future()
        self.moved.set()
        await request.turn
        request.statements += 1
        is_cut = request.cut is not None and request.cut.number == request.statements
        request.pid = connection.get_server_pid()
        try:
            if is_cut and request.cut is not None and not request.cut.is_behind:
                await self._cut(request)
            answer = await call()
            if is_cut:
                await self._cut(request)
                raise asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation")
            return answer
        finally:
            request.pid = None
            self.moved.set()

    async def _cut(self, request: Request) -> None:
        request.was_cut = True
        await self._observe(CUT, request.pid)

    async def _observe(self, sql: str, pid: int | None) -> object:
        async with self.asking:
            return await self.observer.fetchval(sql, pid)
