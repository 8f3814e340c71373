"""Connections of a client: each serves one request at a time, and is kept open for a moment afterwards.

httpcore's own pool looks through all of its connections at each request, and asks the system of each whether it is still there;
here it is two, however many there are. Always holds: a connection is idle, or one request has it, or it is closed.
"""

from __future__ import annotations

import ssl
from collections import defaultdict, deque
from contextlib import suppress
from typing import Any

import httpcore2

from crmgql.outbound.targets import Target

Origin = tuple[str, str, int]


class Connections:
    """`backends`: the network of each scheme. A connection that nobody used for `kept_s` is not used again."""

    def __init__(
        self, backends: dict[str, httpcore2.AsyncNetworkBackend], trust: ssl.SSLContext, *, kept_s: float
    ) -> None:
        self._backends = backends
        self._trust = trust
        self._kept_s = kept_s
        self._idle: defaultdict[Origin, deque[httpcore2.AsyncHTTPConnection]] = defaultdict(deque)
        """Those used last are at the end."""

    async def take(self, target: Target) -> httpcore2.AsyncHTTPConnection:
        """A connection for one request; `put_back` it. It is made when the request is sent."""
        idle = self._idle[_origin(target)]
        while len(idle) > 1 and idle[0].has_expired():
            await idle.popleft().aclose()
        while idle:
            connection = idle.pop()
            if not connection.has_expired():  # the server may have closed it
                return connection
            await connection.aclose()
        return httpcore2.AsyncHTTPConnection(
            httpcore2.Origin(target.scheme.encode(), target.host.encode(), target.port),
            ssl_context=self._trust,
            keepalive_expiry=self._kept_s,
            network_backend=self._backends[target.scheme],
        )

    async def put_back(self, target: Target, connection: httpcore2.AsyncHTTPConnection) -> None:
        """Kept if its answer was read to the end, else closed."""
        if connection.is_available():
            self._idle[_origin(target)].append(connection)
        else:
            await connection.aclose()

    async def close(self) -> None:
        """Closes those that are idle."""
        for idle in self._idle.values():
            while idle:
                await idle.pop().aclose()


class Stream(httpcore2.AsyncNetworkStream):
    """What is written goes out when an answer is waited for: a request's head and body together, in one packet if they fit."""

    def __init__(self, stream: httpcore2.AsyncNetworkStream) -> None:
        self._stream = stream
        self._unsent = b""

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109 - httpcore's
        if self._unsent:
            unsent, self._unsent = self._unsent, b""
            with suppress(
                httpcore2.WriteError
            ):  # as httpcore does: a server may answer before it has read all, and close
                await self._stream.write(unsent, timeout)
        return await self._stream.read(max_bytes, timeout)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109 - httpcore's
        self._unsent += buffer

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's
    ) -> httpcore2.AsyncNetworkStream:
        return Stream(await self._stream.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def _origin(target: Target) -> Origin:
    return target.scheme, target.host, target.port
