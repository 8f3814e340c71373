"""`GET /events`: events for those without GraphQL, as a page (and a wait for the next one), as lines, or as server-sent events.

Enters: `after`, `kinds`, `fields`, `where`, or the `stream` of a named subscription, `first`, `wait`. Leaves: events as the viewer
sees them, by the same subscription as GraphQL's; of a named one, its payloads.
Order of refusals: method 405, `Accept` 406, credentials 401, parameters 400, too many 429, then the subscription's own.

`/events/<rights>` answers the same, and with `CRMGQL_SHARED_EVENTS` a proxy may keep its pages: `rights` stands for all that decides what
a viewer is answered, so those who have the same ask the same address. `/events/<rights>/allowed` says who they are, to the proxy.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections.abc import Hashable

from crmgql.config import Settings
from crmgql.engine.errors import Rejected, formatted
from crmgql.engine.operations import Engine
from crmgql.engine.polls import Poll, Polled
from crmgql.errors import BadUserInput, Forbidden, Unavailable
from crmgql.http import event_parameters, exchange, negotiation, plain_events, sessions
from crmgql.http.addresses import Addresses
from crmgql.http.bodies import Bodies, Disconnected
from crmgql.http.caps import Caps
from crmgql.http.event_parameters import Asked
from crmgql.http.event_stream import Form
from crmgql.http.exchange import Answer, Arrived
from crmgql.http.metrics import DELIVERIES, Metrics
from crmgql.http.plain_events import JsonLines, PlainEvents
from crmgql.http.refusals import Headers, Refused
from crmgql.http.sessions import Session
from crmgql.http.stream import EventStreams
from crmgql.models.names import api_id
from crmgql.models.streams import ReadAs
from crmgql.viewer import Viewer

PATH = "/events"
ALLOWED = "allowed"
USUAL = 100
"""Events of a page."""

KEEP_LONG = b"public, max-age=60"
KEEP_BRIEFLY = b"public, max-age=5"
"""For the others that waited for the same. After a page without events they ask again at another address (`turn`): a proxy lets
one alone ask for what it does not have yet, but all at once for what it has no longer."""

KEEP_ALLOWED = b"max-age=5"
ONLY_GET: Headers = ((b"allow", b"GET"),)
MOVED: Headers = ((b"vary", b"Authorization"),)


class Endpoint(exchange.Endpoint):
    """The ASGI application behind `/events` and what is below it."""

    vary = b"Accept, Accept-Encoding"
    kind = "events"

    def __init__(
        self,
        engine: Engine,
        settings: Settings,
        metrics: Metrics,
        caps: Caps,
        streams: EventStreams,
        *,
        bodies: Bodies,
        addresses: Addresses,
        secret: str,
    ) -> None:
        super().__init__(metrics, bodies, addresses)
        self.engine = engine
        self.caps = caps
        self.streams = streams
        self.shared = settings.shared_events
        self._secret = secret.encode()
        self._event = engine.plans.metadata.nodes["Event"]
        self._waiting: set[asyncio.Task[Polled]] = set()

    async def answer(self, arrived: Arrived) -> Answer:
        if arrived.method != "GET":
            raise Refused(405, "METHOD_NOT_ALLOWED", "Use GET.", ONLY_GET)
        rights, _, last = arrived.scope["path"].removeprefix(PATH).removeprefix("/").partition("/")
        if last not in ("", ALLOWED):
            raise Refused(404, "NOT_FOUND", f"There is nothing here; events are at {PATH}.")
        media = negotiation.event_media(arrived.headers.get(b"accept"))
        if media is None and not last:
            message = "Accept application/json, application/jsonl, application/x-ndjson or text/event-stream."
            raise Refused(406, "NOT_ACCEPTABLE", message)
        authorization = arrived.headers.get(b"authorization", b"").decode("latin-1")
        session = await sessions.opened(self.engine.identities, authorization)
        try:
            asked = event_parameters.read(arrived.scope["query_string"])
            session.sees = asked.about(self._event)
            if rights and rights != (own := await self._own_rights(asked, await session.who())):
                return _elsewhere(own, arrived, last=last)
            if last:
                return Answer(204, cache=KEEP_ALLOWED, headers=MOVED, kind=self.kind)
            if media == negotiation.JSON:
                return await self._page(asked, session, arrived, rights)
            return await self._stream(asked, session, arrived, media or b"")
        except (Refused, BadUserInput, Rejected) as error:
            if last:
                return _not_allowed(error)
            if isinstance(error, Rejected):
                return exchange.rejected(error, kind=self.kind)
            raise

    def stop(self) -> None:
        """Nobody waits any longer: each is answered that there is nothing."""
        for each in self._waiting:
            each.cancel()

    async def _own_rights(self, asked: Asked, viewer: Viewer) -> str:
        return self._rights(await self.engine.sight(asked.request(None), viewer))

    def _rights(self, sight: Hashable) -> str:
        return hmac.new(self._secret, f"{PATH} {sight!r}".encode(), hashlib.sha256).hexdigest()[:32]

    async def _stream(self, asked: Asked, session: Session, arrived: Arrived, media: bytes) -> Answer:
        text = plain_events.text_for(asked.stream)
        form: Form = PlainEvents(text) if media == negotiation.EVENTS else JsonLines(media, text)
        return await self.streams.open(asked.request(arrived.remote), session, arrived, form, first=asked.first)

    async def _page(self, asked: Asked, session: Session, arrived: Arrived, rights: str) -> Answer:
        place = self.caps.place(arrived.remote)
        try:
            place.admit(session.first.user_id)
            polled = await self._polled(asked, session, arrived)
        finally:
            place.close()
        if polled is None:
            if asked.after is None:
                raise Unavailable("The server stops: ask again.")
            return Answer(200, plain_events.page([], cursor=asked.after, more=True, following=_path(arrived)))
        own = self._rights(await self.engine.subscriptions.sight(polled.source)) if self.shared else ""
        cursor, named = polled.end.text(), polled.source.named
        turn = asked.turn + 1 if own and cursor == asked.after else 0
        stream = None if named is None else api_id("EventSubscription", named.id)
        following = f"{PATH}/{own}".rstrip("/") + f"?{asked.query(cursor, turn=turn, stream=stream)}"
        texts = map(plain_events.text_for(stream), polled.answers)
        body = plain_events.page(texts, cursor=cursor, more=polled.more, following=following)
        self.metrics.count(DELIVERIES, len(polled.answers))
        is_shared = own != "" and rights == own and asked.after is not None
        keep = self._keep(asked, polled) if is_shared else exchange.NO_STORE
        return Answer(200, body, kind=self.kind, cache=keep)

    def _keep(self, asked: Asked, polled: Polled) -> bytes:
        """How long a page may be given to others with the same rights: for long if it says what events recorded and nothing else.
        What is read from records is as old as its page."""
        if not polled.answers:
            return KEEP_BRIEFLY if asked.wait_s else exchange.NO_STORE
        named = polled.source.named
        lasts = not asked.looks_further(self._event) if named is None else named.read_as is ReadAs.EVENT
        return KEEP_LONG if lasts else KEEP_BRIEFLY

    async def _polled(self, asked: Asked, session: Session, arrived: Arrived) -> Polled | None:
        """What the engine answers; None if the server stops. Raises `Disconnected` when nobody waits any more."""
        poll = Poll(asked.after, asked.first or USUAL, asked.wait_s)
        asking = asyncio.create_task(self.engine.poll(asked.request(arrived.remote), session.who, poll))
        gone = asyncio.create_task(_disconnected(arrived))
        self._waiting.add(asking)
        try:
            await asyncio.wait({asking, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not asking.done():
                raise Disconnected
            return None if asking.cancelled() else asking.result()
        finally:
            self._waiting.discard(asking)
            asking.cancel()
            gone.cancel()
            await asyncio.gather(asking, gone, return_exceptions=True)


def _elsewhere(rights: str, arrived: Arrived, *, last: str) -> Answer:
    """To where those with other rights ask. Raises `Forbidden`."""
    if last:
        raise Forbidden("These are not the rights of this token.")
    address = f"{PATH}/{rights}?".encode() + arrived.scope["query_string"]
    return Answer(307, headers=((b"location", address),), kind=Endpoint.kind)


def _not_allowed(error: Refused | BadUserInput | Rejected) -> Answer:
    """A proxy knows no other refusal than 403, and asks us what is wrong."""
    match error:
        case Refused():
            errors = [error.error()]
        case BadUserInput():
            errors = [formatted(error)]
        case Rejected():
            errors = error.errors
    answer = exchange.rejected(Rejected(errors), kind=Endpoint.kind)
    answer.status = 403 if answer.status == 400 else answer.status
    return answer


async def _disconnected(arrived: Arrived) -> None:
    while (await arrived.receive())["type"] != "http.disconnect":
        pass


def _path(arrived: Arrived) -> str:
    query = arrived.scope["query_string"].decode("latin-1")
    return f"{arrived.scope['path']}?{query}"
