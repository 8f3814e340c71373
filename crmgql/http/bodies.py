"""Reads request bodies: within a time, within a size, and never so many at once that memory runs out.

Enters: a request's headers and its ASGI `receive`. Leaves: the whole body, or `Refused`, or `Disconnected`.
Always holds: a body that stops arriving is given up at its deadline. Where too many, or too many bytes, are still
arriving, the one that began first makes room: who sends slowly waits for himself, not for others.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from starlette.types import Receive

from crmgql.http.refusals import Headers, Refused

MOST_ARRIVING = 1000
"""Fewer than the requests that the server takes up at once: it must never stop taking up others for these."""

MOST_BYTES = 32 * 1024 * 1024
SWEEP_S = 0.25
CLOSE: Headers = ((b"connection", b"close"),)


class Disconnected(Exception):
    """The body ended before its end: the client went away, or what it sent is no well-formed HTTP."""


@dataclass(slots=True, eq=False)
class _Arriving:
    task: asyncio.Task[object]
    deadline: float
    size: int = 0
    given_up: str | None = None


class Bodies:
    """The bodies that are arriving in this process."""

    def __init__(self, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        self._arriving: dict[_Arriving, None] = {}
        self._bytes = 0
        self._sweeping = False

    async def read(self, headers: dict[bytes, bytes], receive: Receive, *, most: int) -> bytes:
        """The body, `most` bytes of it at the most. Raises `Refused`, `Disconnected`."""
        announced = headers.get(b"content-length", b"")
        if announced.isdigit() and int(announced[:20]) > most:
            raise _too_large(most)
        body = self._begin()
        try:
            return await self._parts(body, receive, most)
        except asyncio.CancelledError:
            if body.given_up is None:
                raise
            body.task.uncancel()
            raise Refused(408, "REQUEST_TIMEOUT", body.given_up, CLOSE) from None
        finally:
            self._bytes -= body.size
            self._arriving.pop(body, None)

    async def _parts(self, body: _Arriving, receive: Receive, most: int) -> bytes:
        parts: list[bytes] = []
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise Disconnected
            part: bytes = message.get("body", b"")
            self._add(body, len(part))
            if body.size > most:
                raise _too_large(most)
            parts.append(part)
            if not message.get("more_body"):
                return part if len(parts) == 1 else b"".join(parts)

    def _begin(self) -> _Arriving:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None
        body = _Arriving(task, loop.time() + self.timeout_s)
        self._arriving[body] = None
        if len(self._arriving) > MOST_ARRIVING:
            self._give_up_the_first()
        if not self._sweeping:
            self._sweeping = True
            loop.call_later(SWEEP_S, self._sweep, loop)
        return body

    def _add(self, body: _Arriving, size: int) -> None:
        body.size += size
        self._bytes += size
        while self._bytes > MOST_BYTES and self._arriving:
            self._give_up_the_first()

    def _give_up_the_first(self) -> None:
        first = next(iter(self._arriving))
        self._give_up(first, "Too many bodies were arriving at once, and this one for the longest time; send it again.")

    def _give_up(self, body: _Arriving, why: str) -> None:
        del self._arriving[body]
        self._bytes -= body.size
        body.size = 0
        body.given_up = why
        body.task.cancel()

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        for body in [each for each in self._arriving if each.deadline <= now]:
            self._give_up(body, f"The body did not arrive within {self.timeout_s:g} seconds.")
        self._sweeping = bool(self._arriving)
        if self._sweeping:
            loop.call_later(SWEEP_S, self._sweep, loop)


def _too_large(most: int) -> Refused:
    return Refused(413, "PAYLOAD_TOO_LARGE", f"The body is too large; {most} bytes are allowed.")
