"""Subscriptions: a document → a stream of answers.

stream = await engine.subscribe(request, who)
async for delivery in stream: …
await stream.aclose()
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from crmgql.viewer import Viewer

Who = Callable[[], Awaitable[Viewer]]
"""The viewer as of now. Raises `Unauthenticated` when the token has ended or its session was revoked."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One answer. `body`: an ExecutionResult as JSON. `cursor`: behind the event it is about; None for a live query."""

    body: bytes
    cursor: str | None


class Stream(Protocol):
    """Deliveries, in order. Iterating raises `Rejected` when the stream can't go on; `aclose` ends it.

    `position`: the cursor up to which nothing is missing in what was delivered, None when there is none yet.
    """

    @property
    def position(self) -> str | None: ...

    def __aiter__(self) -> AsyncIterator[Delivery]: ...

    async def __anext__(self) -> Delivery: ...

    async def aclose(self) -> None: ...
