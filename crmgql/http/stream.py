"""A subscription over HTTP: one response that goes on until the subscription, the token or the client's attention ends.

Enters: a subscription that began, and the one who may see it. Leaves: events `next` with their cursor as `id`, heartbeats,
`complete`. Always holds: an end that the client should hear of is an event with errors and `complete`; one after which it
should come back (the server stops, the connection breaks) has no `complete`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from contextlib import suppress
from functools import partial

import structlog
from starlette.types import Message, Receive, Send

from crmgql.config import Settings
from crmgql.engine.errors import Rejected, internal, rejected
from crmgql.engine.operations import Engine, Request
from crmgql.engine.readings import Delivery
from crmgql.engine.subscriptions import Stream
from crmgql.errors import BadUserInput, CrmError, Unauthenticated
from crmgql.http import sessions
from crmgql.http.caps import Caps, Place
from crmgql.http.event_stream import GRAPHQL, Form
from crmgql.http.exchange import Answer, Arrived
from crmgql.http.metrics import DELIVERIES, Metrics
from crmgql.http.open_streams import FAREWELL_S, TOO_SLOW, OpenStream, OpenStreams
from crmgql.http.outgoing import Outgoing
from crmgql.http.refusals import Headers
from crmgql.http.sessions import Session
from crmgql.viewer import Viewer

log = structlog.get_logger("crmgql")

UNBUFFERED: Headers = ((b"x-accel-buffering", b"no"),)
"""nginx keeps back what is streamed unless it is told not to."""

AT_ONCE = 500
"""Answers that are written together, where so many are there."""


NAMED = b"crmgql-stream"
"""The header that names a stream, for who brings it a new token."""


class Gone(Exception):
    """Nobody reads any more, or the server stops: the response ends without a last word."""


class EventStreams:
    """Answers requests whose clients want events."""

    def __init__(
        self, engine: Engine, settings: Settings, metrics: Metrics, caps: Caps, open_streams: OpenStreams
    ) -> None:
        self.engine = engine
        self.settings = settings
        self.metrics = metrics
        self.caps = caps
        self.open_streams = open_streams

    async def answer(self, request: Request, viewer: Viewer | None, arrived: Arrived) -> Answer:
        """A query or mutation as one event, a subscription as many. Raises `Rejected`, `CrmError`."""
        if request.kind != "subscription":
            body = GRAPHQL.delivery(Delivery(await self.engine.answer(request, viewer), None)) + GRAPHQL.ended
            return Answer(200, body, GRAPHQL.media, kind=request.kind)
        if "credit" in request.extensions:
            raise BadUserInput("extensions.credit is for WebSockets; a response is read as fast as its client wants.")
        authorization = arrived.headers.get(b"authorization", b"").decode("latin-1")
        session = await sessions.opened(self.engine.identities, authorization)
        return await self.open(request, session, arrived, GRAPHQL)

    async def open(
        self, request: Request, session: Session, arrived: Arrived, form: Form, *, first: int | None = None
    ) -> Answer:
        """A subscription, of which `first` answers are sent, if it is given a number. Raises `Rejected`, `CrmError`."""
        request.resume = arrived.headers.get(b"last-event-id", b"").decode("latin-1") or request.resume
        place = self.caps.place(arrived.remote)
        try:
            place.admit(session.first.user_id)
            place.subscribe()
            stream = await self.engine.subscribe(request, session.who)
        except BaseException:
            place.close()
            raise

        id = self.open_streams.new_id()

        async def respond(start: Message, receive: Receive, send: Send) -> None:
            made = EventStream(self, id, place, session, stream, send, form, cursor=request.resume, first=first)
            await made.run(start, receive)

        headers = (*UNBUFFERED, (NAMED, id.encode()))
        return Answer(200, content_type=form.media, headers=headers, kind=request.kind, respond=respond)


class EventStream(OpenStream):
    """The response to one subscription. It gives back the stream and the place. `cursor`: where the client stands."""

    def __init__(
        self,
        streams: EventStreams,
        id: str,
        place: Place,
        session: Session,
        stream: Stream,
        send: Send,
        form: Form,
        *,
        cursor: str | None,
        first: int | None,
    ) -> None:
        super().__init__(streams.engine, streams.settings, streams.metrics, place, Outgoing(partial(_write, send)))
        self.id = id
        self.session = session
        self.stream = stream
        self.form = form
        self.cursor = cursor
        self._left = first
        self._open = streams.open_streams
        self._send = send
        self._sending = False

    async def run(self, start: Message, receive: Receive) -> None:
        """Sends everything, from the status line on."""
        watching = asyncio.create_task(self._watch(receive))
        self._open.add(self)
        try:
            await self._send(start)
            last: bytes | None = await self._follow()
        except asyncio.CancelledError:
            if (ending := self.ending()) is None:
                raise
            last = self.form.failed(ending.errors) if isinstance(ending, Rejected) else None
        finally:
            self.parting = True
            self._open.discard(self)
            self.still()
            watching.cancel()
            await self.stream.aclose()
            self.place.close()
        await self._part(last)

    def too_slow(self) -> Rejected:
        return Rejected([{"message": TOO_SLOW, "extensions": {"code": "SLOW_CONSUMER", "cursor": self.cursor}}])

    def shut_out(self, why: str) -> Rejected:
        return rejected(Unauthenticated(f"{why}: connect again with a new one and Last-Event-ID."))

    async def heartbeat(self, head: str | None, token_ends: str | None) -> None:
        position = None if self._sending else self.stream.position
        await self.out.send(self.form.heartbeat(head, position, token_ends))

    async def _follow(self) -> bytes:
        """Sends what comes. Returns the last events."""
        try:
            if self.form.opening:
                await self.out.send(self.form.opening)
            while some := await self.stream.some(AT_ONCE if self._left is None else min(AT_ONCE, self._left)):
                self._sending = True
                await self.out.send(b"".join(map(self.form.delivery, some)))
                self._sending = False
                self.cursor = some[-1].cursor or self.cursor
                self.metrics.count(DELIVERIES, len(some))
                if self._left is not None:
                    self._left -= len(some)
                    if not self._left:
                        break
        except Rejected as error:
            return self.form.failed(error.errors)
        except CrmError as error:
            return self.form.failed(rejected(error).errors)
        except Exception:
            log.exception("subscription failed")
            return self.form.failed([internal()])
        return self.form.ended

    async def _watch(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self.end(Gone())

    async def _part(self, last: bytes | None) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(FAREWELL_S):
                if last is not None:
                    if last:
                        await self.out.send(last)
                    await self._send({"type": "http.response.body", "body": b""})


def _write(send: Send, piece: bytes) -> Awaitable[None]:
    return send({"type": "http.response.body", "body": piece, "more_body": True})
