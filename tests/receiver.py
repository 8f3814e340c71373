"""A server that gets requests as an integrator's would: real HTTP on loopback, with answers of a test's choosing."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson


@dataclass
class Got:
    """A request as it came."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]


@dataclass
class Said:
    """An answer."""

    status: int = 204
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)

    def encoded(self) -> bytes:
        length = {} if self.status == 204 else {"Content-Length": str(len(self.body))}
        lines = [f"{name}: {value}\r\n" for name, value in {**length, **self.headers}.items()]
        return f"HTTP/1.1 {self.status} X\r\n{''.join(lines)}\r\n".encode() + self.body


Answer = Callable[[Got], "Said | Awaitable[Said | None] | None"]


def accept(got: Got) -> Said:
    """What a good receiver says: yes, and a challenge's own value."""
    challenge = got.headers.get("webhook-challenge")
    return Said(200, challenge.encode()) if challenge else Said()


class Receiver:
    """`got` are the requests, `answer` says what to answer; None: the connection is closed without an answer."""

    def __init__(self) -> None:
        self.got: list[Got] = []
        self.answer: Answer = accept
        self.port = 0
        self.connections = 0
        self.name: str | None = None
        """The name that the last client asked for in TLS."""
        self.changed = asyncio.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hooks"

    async def until(self, wanted: Callable[[list[Got]], bool], seconds: float = 10) -> list[Got]:
        """Waits until what came is what is wanted."""
        async with asyncio.timeout(seconds):
            while not wanted(self.got):
                self.changed.clear()
                await self.changed.wait()
        return self.got

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
                pairs = (line.split(": ", 1) for line in lines)
                headers = {name.lower(): value for name, value in pairs}
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                got = Got(first.split(" ")[1], headers, body)
                self.got.append(got)
                self.changed.set()
                said = self.answer(got)
                if isinstance(said, Awaitable):
                    said = await said
                if said is None:
                    return
                writer.write(said.encoded())
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def receiving(*, port: int = 0, tls: ssl.SSLContext | None = None) -> AsyncIterator[Receiver]:
    """A receiver on a port of its own."""
    receiver = Receiver()
    going: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        going.add(task)
        task.add_done_callback(going.discard)
        await receiver.serve(reader, writer)

    server = await asyncio.start_server(serve, "127.0.0.1", port, ssl=tls)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        server.close()
        for task in list(going):
            task.cancel()
        await asyncio.gather(*going, return_exceptions=True)
        await server.wait_closed()
