"""What stays open, and the clock that asks of each whether its client reads, may stay, and is still there.

Enters: WebSockets and event streams, as they open. Leaves: heartbeats, warnings, and ends. One task looks at all of them about
once a second: a timer for each would cost more memory than all else that an idle stream needs.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from abc import ABC, abstractmethod
from datetime import datetime
from typing import Any

from crmgql.config import Settings
from crmgql.engine.operations import Engine
from crmgql.errors import CrmError, StreamEnded, Unauthenticated
from crmgql.http import sessions
from crmgql.http.caps import Place
from crmgql.http.metrics import SLOW_CONSUMERS, Metrics
from crmgql.http.outgoing import Outgoing
from crmgql.http.sessions import Session

BEAT_S = 1.0
BEATS_AT_ONCE = 500
"""Streams looked at before others get the event loop."""

FAREWELL_S = 5.0
"""How long the last words may take: a client that is told that it is too slow may begin to read now."""

TOO_SLOW = "You did not read for too long: subscribe again from this cursor, with credit if you need time."


OVER = "This stream has ended: connect again with the new token and Last-Event-ID."


class OpenStream(ABC):
    """A stream of the task that makes it. `session` is None as long as it is a stranger's; `id`: by what others find it.

    `end` makes the task stop what it does; it then asks `ending` why. `parting`: it says its last words.
    """

    def __init__(self, engine: Engine, settings: Settings, metrics: Metrics, place: Place, out: Outgoing[Any]) -> None:
        self.engine = engine
        self.settings = settings
        self.metrics = metrics
        self.place = place
        self.out = out
        self.session: Session | None = None
        self.id: str | None = None
        self._task = asyncio.current_task()
        self.parting = False
        self._ending: Exception | None = None
        self._pulse: asyncio.Task[None] | None = None
        self.opened = time.monotonic()
        self._next_heartbeat = self.opened + settings.heartbeat_s

    @abstractmethod
    def too_slow(self) -> Exception:
        """How a stream ends that is not read."""

    @abstractmethod
    def shut_out(self, why: str) -> Exception:
        """How a stream ends whose client may not stay."""

    @abstractmethod
    async def heartbeat(self, head: str | None, token_ends: str | None) -> None:
        """Sends the feed's newest cursor, and when the token ends, if that is soon."""

    def beat(self, now: float) -> None:
        """Called about once a second."""
        settings, session = self.settings, self.session
        if self._ending is not None or self.parting:
            return
        if self.out.is_stuck(now, patience_s=settings.slow_consumer_s, most_bytes=settings.max_waiting_bytes):
            self.metrics.count(SLOW_CONSUMERS)
            self.end(self.too_slow())
        elif session is not None and session.expired:
            self.end(self.shut_out(sessions.EXPIRED))
        elif session is not None and (self._pulse is None or self._pulse.done()):
            warning = session.warning()
            if warning is not None or now >= self._next_heartbeat:
                self._next_heartbeat = now + settings.heartbeat_s
                self._pulse = asyncio.create_task(self._beat(session, warning))

    async def renew(self, authorization: str) -> datetime | None:
        """Goes on with another token of the same user. When that ends; None: never. Raises `Unauthenticated`, `Forbidden`, after
        which the old one stays, and `StreamEnded`."""
        if self.session is None:
            raise Unauthenticated("Send connection_init first.")
        await self.session.renew(authorization)
        if self.parting or self._ending is not None:
            raise StreamEnded(OVER)
        return self.session.ends

    def end(self, error: Exception) -> None:
        if self._ending is None and not self.parting and self._task is not None:
            self._ending = error
            self._task.cancel()

    def ending(self) -> Exception | None:
        """Why the task was cancelled by `end`; None: somebody else did it."""
        if self._ending is not None and self._task is not None:
            self._task.uncancel()
        return self._ending

    def still(self) -> None:
        """No heartbeats any more."""
        if self._pulse is not None:
            self._pulse.cancel()

    async def _beat(self, session: Session, warning: str | None) -> None:
        try:
            await session.who()
        except Unauthenticated as error:
            self.end(self.shut_out(error.message))
            return
        except CrmError:  # the database's trouble ends no stream
            pass
        head = self.engine.feed.tail if self.engine.feed is not None else None
        await self.heartbeat(None if head is None else head.text(), warning)


class OpenStreams:
    """Those of this process. `beat` runs beside the requests. `name` is the process's own, and begins the ids of its streams."""

    def __init__(self, settings: Settings) -> None:
        self.name = secrets.token_hex(8)
        self._by_id: dict[str, OpenStream] = {}
        self._every_s = min(BEAT_S, min(settings.heartbeat_s, settings.socket_init_s, settings.slow_consumer_s) / 4)
        self._open: set[OpenStream] = set()

    def new_id(self) -> str:
        return f"{self.name}-{secrets.token_hex(8)}"

    def find(self, id: str) -> OpenStream | None:
        return self._by_id.get(id)

    def add(self, stream: OpenStream) -> None:
        self._open.add(stream)
        if stream.id is not None:
            self._by_id[stream.id] = stream

    def discard(self, stream: OpenStream) -> None:
        self._open.discard(stream)
        if stream.id is not None:
            self._by_id.pop(stream.id, None)

    async def beat(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(self._every_s)
            now = time.monotonic()
            for number, stream in enumerate(list(self._open), 1):
                stream.beat(now)
                if number % BEATS_AT_ONCE == 0:
                    await asyncio.sleep(0)

    def end_all(self, error: Exception) -> None:
        for stream in list(self._open):
            stream.end(error)
