"""Connections of the client: resolves a name, checks its addresses, connects to one of those that it checked.

Always holds: no connection is made to an address that `Reach` does not include, whatever a name resolves to and whenever
it is asked; and no lookup that hangs holds up another: each name is looked up by a thread of its own, once at a time.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import threading
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from time import monotonic
from typing import Any, NoReturn

import httpcore2

from crmgql.outbound.connections import Stream
from crmgql.outbound.targets import Address, Reach

Resolve = Callable[[str], Awaitable[list[Address]]]

LOOKUPS = 64
"""Most lookups at once in a process."""

MOST_ADDRESSES = 4
"""So many of a name's addresses are tried."""


class Refused(Exception):
    """No address of the host may be connected to."""


class Unresolved(Exception):
    """The host's name leads to no address."""


class Resolver:
    """The system's resolver, in threads that nobody waits for at the end of the process. asyncio's and uvloop's own threads
    are few, and four names whose servers don't answer would hold up all others."""

    def __init__(self) -> None:
        self._free = asyncio.Semaphore(LOOKUPS)
        self._asked: dict[str, asyncio.Task[list[Address]]] = {}

    async def resolve(self, host: str) -> list[Address]:
        """The addresses of a name. Raises `Unresolved`."""
        with suppress(ValueError):
            return [ipaddress.ip_address(host)]
        task = self._asked.get(host)
        if task is None:
            task = self._asked[host] = asyncio.create_task(self._ask(host))
            task.add_done_callback(lambda done: self._forget(host, done))
        return await asyncio.shield(task)

    def _forget(self, host: str, done: asyncio.Task[list[Address]]) -> None:
        del self._asked[host]
        done.cancelled() or done.exception()  # whoever waited may have given up

    async def _ask(self, host: str) -> list[Address]:
        async with self._free:
            loop = asyncio.get_running_loop()
            answer: asyncio.Future[Any] = loop.create_future()

            def resolve(found: Any) -> None:
                if not answer.done():
                    answer.set_result(found)

            def ask() -> None:
                try:
                    found: Any = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
                except (OSError, UnicodeError) as error:
                    found = error
                with suppress(RuntimeError):  # the loop is closed
                    loop.call_soon_threadsafe(resolve, found)

            threading.Thread(target=ask, daemon=True, name=f"resolve {host[:40]}").start()
            found = await answer
        if isinstance(found, Exception):
            raise Unresolved(str(found))
        names = dict.fromkeys(str(each[4][0]).partition("%")[0] for each in found)
        return [ipaddress.ip_address(name) for name in names]


class Guard(httpcore2.AsyncNetworkBackend):
    """The network of all connections of one scheme."""

    def __init__(self, reach: Reach, scheme: str, resolve: Resolve) -> None:
        self._reach = reach
        self._scheme = scheme
        self._resolve = resolve
        self._network = httpcore2.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """Raises `Refused`, `Unresolved`, and httpcore's own errors."""
        assert timeout is not None, "the client always sets one"
        until = monotonic() + timeout
        try:
            async with asyncio.timeout(timeout):
                found = await self._resolve(host)
        except TimeoutError:
            raise httpcore2.ConnectTimeout("the name was not resolved in time") from None
        allowed = [each for each in found if self._reach.includes(each, self._scheme)][:MOST_ADDRESSES]
        if not allowed:
            raise Refused(host)
        for left, address in zip(range(len(allowed), 0, -1), allowed, strict=True):
            share_s = max(until - monotonic(), 0.001) / left
            try:
                # An address, so nothing is resolved again.
                made = await self._network.connect_tcp(str(address), port, share_s, local_address, socket_options)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout):
                if left == 1:
                    raise
            else:
                return Stream(made)
        raise AssertionError("the last address was tried")

    async def connect_unix_socket(self, *_: Any, **__: Any) -> NoReturn:
        raise Refused("a socket of this machine")

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
