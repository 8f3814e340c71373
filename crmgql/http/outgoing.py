"""What a stream sends: one piece after the other, each as soon as the client takes it.

Nothing is piled up: a subscription hands over its next piece when the one before is gone, so a client that reads slowly is
sent less, and what waits is one piece of each of its operations at most. Granian's `send` ends when the system has taken
the bytes, and waits for ever for a client that stopped reading: `is_stuck` says so.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, Generic, TypeVar

Piece = TypeVar("Piece", str, bytes)

SOON_S = 1.0
"""After so long without a byte taken, what waits is looked at."""


IN_A_ROW = 16
"""After so many pieces others get the event loop. A send to a client who is gone ends at once and gives it to nobody, so that nobody
would hear that he is gone."""


class Outgoing(Generic[Piece]):
    """The sending half of a stream. `moved`: when a piece that had to wait was taken, which only a living client does."""

    __slots__ = ("_sent", "_since", "_turn", "_write", "moved", "waiting")

    def __init__(self, write: Callable[[Piece], Awaitable[Any]]) -> None:
        self._write: Callable[[Piece], Awaitable[Any]] = write
        self._turn = asyncio.Lock()
        self._since: float | None = None
        self._sent = 0
        self.moved = 0.0
        self.waiting = 0

    async def send(self, piece: Piece) -> None:
        size = len(piece)
        self.waiting += size
        try:
            async with self._turn:
                self._since = started = time.monotonic()
                try:
                    await self._write(piece)
                finally:
                    self._since = None
                self._sent += 1
                if self._sent % IN_A_ROW == 0:
                    await asyncio.sleep(0)
                ended = time.monotonic()
                if ended - started > SOON_S:
                    self.moved = ended
        finally:
            self.waiting -= size

    def is_stuck(self, now: float, *, patience_s: float, most_bytes: int) -> bool:
        """Whether the client has taken nothing for longer than it may."""
        if self._since is None:
            return False
        stuck_s = now - self._since
        return stuck_s > patience_s or (stuck_s > SOON_S and self.waiting > most_bytes)
