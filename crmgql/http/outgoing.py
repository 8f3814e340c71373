"""What a stream sends: some pieces after the others, each as soon as the client takes it.

Nothing is piled up: a subscription hands over its next pieces when those before are gone, so a client that reads slowly is
sent less, and what waits is what each of its operations hands over at once. Granian's `send` begins when it is called, ends when the
system has taken the bytes, and waits for ever for a client that stopped reading: `is_stuck` says so.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
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
        await self.send_all(deque((piece,)))

    async def send_all(self, pieces: deque[Piece]) -> None:
        """Sends them in a row, with nothing else between them. Those that were taken are no more in `pieces`, also after an error."""
        size = sum(map(len, pieces))
        self.waiting += size
        try:
            async with self._turn:
                self._since = time.monotonic()
                self._sent += len(pieces)
                try:
                    await (self._send_one(pieces) if len(pieces) == 1 else self._send_many(pieces))
                finally:
                    self._since = None
                if self._sent >= IN_A_ROW:
                    self._sent = 0
                    await asyncio.sleep(0)
        finally:
            self.waiting -= size

    async def _send_one(self, pieces: deque[Piece]) -> None:
        await self._write(pieces[0])
        self._note_taken(pieces)

    async def _send_many(self, pieces: deque[Piece]) -> None:
        """All are handed over before the first is waited for: Granian's thread sends them in this order, and wakes the event loop less
        often than once for each."""
        all_taken: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def taken(sending: asyncio.Future[Any]) -> None:
            if all_taken.done():
                return
            if (error := sending.exception()) is not None:
                all_taken.set_exception(error)
                return
            self._note_taken(pieces)
            if not pieces:
                all_taken.set_result(None)

        sendings = [asyncio.ensure_future(self._write(piece)) for piece in pieces]
        for each in sendings:
            each.add_done_callback(taken)
        try:
            await all_taken
        finally:
            for each in reversed(sendings):  # or the next would be sent in place of the one that is taken back
                each.cancel()

    def _note_taken(self, pieces: deque[Piece]) -> None:
        pieces.popleft()
        now = time.monotonic()
        if self._since is not None and now - self._since > SOON_S:
            self.moved = now
        self._since = now

    def is_stuck(self, now: float, *, patience_s: float, most_bytes: int) -> bool:
        """Whether the client has taken nothing for longer than it may."""
        if self._since is None:
            return False
        stuck_s = now - self._since
        return stuck_s > patience_s or (stuck_s > SOON_S and self.waiting > most_bytes)
