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


class Outgoing(Generic[Piece]):
    """The sending half of a stream. `moved`: when a piece that had to wait was taken, which only a living client does."""

    __slots__ = ("_since", "_turn", "_write", "moved", "waiting")

    def __init__(self, write: Callable[[Piece], Awaitable[Any]]) -> None:
        self._write: Callable[[Piece], Awaitable[Any]] = write
        self._turn = asyncio.Lock()
        self._since: float | None = None
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
