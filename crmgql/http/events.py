"""`GET /events`: events for those without GraphQL, as a page (and a wait for the next one), as lines, or as server-sent events.

Enters: `after`, `kinds`, `fields`, `first`, `wait`. Leaves: events as the viewer sees them, by the same subscription as GraphQL's.
Order of refusals: method 405, `Accept` 406, credentials 401, parameters 400, too many 429, then the subscription's own.

`/events/<rights>` answers the same, and with `CRMGQL_SHARED_EVENTS` a proxy may keep its pages: `rights` stands for all that decides what
a viewer is answered, so those who have the same ask the same address. `/events/<rights>/allowed` says who they are, to the proxy.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode

from crmgql.access import ENTRIES
from crmgql.config import Settings
from crmgql.engine.errors import Rejected
from crmgql.engine.followed import FOLLOWED, Wanted
from crmgql.engine.operations import Engine, Request
from crmgql.engine.polls import Poll, Polled
from crmgql.errors import Forbidden
from crmgql.events.kinds import KINDS
from crmgql.http import exchange, negotiation, plain_events, sessions
from crmgql.http.addresses import Addresses
from crmgql.http.bodies import Bodies, Disconnected
from crmgql.http.caps import Caps
from crmgql.http.event_stream import Form
from crmgql.http.exchange import Answer, Arrived
from crmgql.http.metrics import DELIVERIES, Metrics
from crmgql.http.plain_events import DOCUMENT, JsonLines, PlainEvents
from crmgql.http.refusals import Headers, Refused, bad
from crmgql.http.sessions import Session
from crmgql.http.stream import EventStreams
from crmgql.viewer import Viewer

PATH = "/events"
ALWAYS = frozenset(("Event", "Customer", "User"))
"""What every event names besides its subject."""

ALLOWED = "allowed"
MOST, USUAL = 500, 100
"""Events of a page."""

LONGEST_WAIT_S = 30.0
MOST_TURNS = 1_000_000_000
LONGEST_QUERY_STRING = 8192
KEEP_EVENTS = b"public, max-age=60"
KEEP_NOTHING = b"public, max-age=5"
"""For the others that waited for the same. They ask again at another address (`turn`): a proxy lets one alone ask for what it
does not have yet, but all at once for what it has no longer."""

KEEP_ALLOWED = b"max-age=5"
ONLY_GET: Headers = ((b"allow", b"GET"),)
MOVED: Headers = ((b"vary", b"Authorization"),)


@dataclass(frozen=True, slots=True)
class Asked:
    """The parameters. `first` is None if it was left out: a stream has no end then. `turn`: how often there was nothing yet."""

    after: str | None
    kinds: list[str]
    fields: list[str]
    first: int | None
    wait_s: float
    turn: int

    def wanted(self) -> Wanted:
        """Raises `BadUserInput`."""
        return FOLLOWED["events"].wanted({"kinds": self.kinds, "fields": self.fields})

    def about(self) -> frozenset[str] | None:
        """The types of which anything is answered; None: all. Raises `BadUserInput`."""
        kinds = self.wanted().triggers.kinds()
        if kinds is None:
            return None
        return frozenset(KINDS[each].subject for each in kinds if KINDS[each].subject in ENTRIES) | ALWAYS

    def query(self, after: str, *, turn: int) -> str:
        """The same, from another cursor."""
        given = {"after": after, "kinds": ",".join(self.kinds), "fields": ",".join(self.fields)}
        given |= {"first": str(self.first or ""), "wait": f"{self.wait_s:g}" if self.wait_s else ""}
        given["turn"] = str(turn or "")
        return urlencode({name: value for name, value in given.items() if value}, safe=",.*")


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
        asked = _asked(arrived.scope["query_string"])
        session.sees = asked.about()
        try:
            if rights and rights != (own := await self._rights(await session.who())):
                return _elsewhere(own, arrived, last=last)
            if last:
                return Answer(204, cache=KEEP_ALLOWED, headers=MOVED, kind=self.kind)
            if media == negotiation.JSON:
                return await self._page(asked, session, arrived, rights)
            return await self._stream(asked, session, arrived, media or b"")
        except Rejected as error:
            return exchange.rejected(error, kind=self.kind)

    def stop(self) -> None:
        """Nobody waits any longer: each is answered that there is nothing."""
        for each in self._waiting:
            each.cancel()

    async def _rights(self, viewer: Viewer) -> str:
        sight = await self.engine.sight(Request(DOCUMENT), viewer)
        return hmac.new(self._secret, f"{PATH} {sight!r}".encode(), hashlib.sha256).hexdigest()[:32]

    async def _stream(self, asked: Asked, session: Session, arrived: Arrived, media: bytes) -> Answer:
        form: Form = PlainEvents() if media == negotiation.EVENTS else JsonLines(media)
        variables = {"kinds": asked.kinds or None, "fields": asked.fields or None}
        request = Request(DOCUMENT, variables=variables, remote=arrived.remote, resume=asked.after)
        return await self.streams.open(request, session, arrived, form, first=asked.first)

    async def _page(self, asked: Asked, session: Session, arrived: Arrived, rights: str) -> Answer:
        place = self.caps.place(arrived.remote)
        try:
            place.admit(session.first.user_id)
            poll = Poll(asked.after, asked.wanted(), asked.first or USUAL, asked.wait_s)
            polled = await self._polled(poll, session, arrived)
        finally:
            place.close()
        if polled is None:
            assert asked.after is not None
            return Answer(200, plain_events.page([], cursor=asked.after, more=True, following=_path(arrived)))
        own = await self._rights(polled.viewer) if self.shared else ""
        cursor = polled.end.text()
        turn = asked.turn + 1 if own and cursor == asked.after else 0
        following = f"{PATH}/{own}".rstrip("/") + f"?{asked.query(cursor, turn=turn)}"
        body = plain_events.page(polled.answers, cursor=cursor, more=polled.more, following=following)
        self.metrics.count(DELIVERIES, len(polled.answers))
        keep = exchange.NO_STORE
        if own and rights == own and asked.after is not None:
            keep = KEEP_EVENTS if polled.answers else KEEP_NOTHING if asked.wait_s else keep
        return Answer(200, body, kind=self.kind, cache=keep)

    async def _polled(self, poll: Poll, session: Session, arrived: Arrived) -> Polled | None:
        """What the engine answers; None if the server stops. Raises `Disconnected` when nobody waits any more."""
        request = Request(DOCUMENT, remote=arrived.remote)
        asking = asyncio.create_task(self.engine.poll(request, session.who, poll))
        gone = asyncio.create_task(_disconnected(arrived))
        self._waiting.add(asking)
        try:
            await asyncio.wait({asking, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not asking.done():
                raise Disconnected
            return None if asking.cancelled() and poll.after is not None else asking.result()
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


async def _disconnected(arrived: Arrived) -> None:
    while (await arrived.receive())["type"] != "http.disconnect":
        pass


def _path(arrived: Arrived) -> str:
    query = arrived.scope["query_string"].decode("latin-1")
    return f"{arrived.scope['path']}?{query}"


def _asked(text: bytes) -> Asked:
    """Raises `Refused`."""
    try:
        pairs = parse_qsl(text[:LONGEST_QUERY_STRING].decode("ascii"), errors="strict", max_num_fields=20)
    except ValueError:  # UnicodeDecodeError is one
        raise bad("The query string is not percent-encoded UTF-8, or has too many parameters.") from None
    if len(text) > LONGEST_QUERY_STRING:
        raise bad(f"The query string is too long; {LONGEST_QUERY_STRING} bytes are allowed.")
    given = dict(pairs)
    if len(given) != len(pairs):
        raise bad("A parameter of the query string comes more than once; kinds and fields are separated by commas.")
    if unknown := given.keys() - {"after", "kinds", "fields", "first", "wait", "turn"}:
        raise bad(f"There is no parameter {min(unknown)[:40]!r}: there are after, kinds, fields, first and wait.")
    first = given.get("first")
    return Asked(
        given.get("after"),
        _listed(given.get("kinds")),
        _listed(given.get("fields")),
        None if first is None else int(_number("first", first, 1, MOST)),
        _number("wait", given.get("wait", "0"), 0, LONGEST_WAIT_S),
        int(_number("turn", given.get("turn", "0"), 0, MOST_TURNS)),
    )


def _listed(text: str | None) -> list[str]:
    return [part.strip() for part in (text or "").split(",") if part.strip()]


def _number(name: str, text: str, least: float, most: float) -> float:
    try:
        number = float(text) if name == "wait" else int(text)
    except ValueError:
        number = least - 1
    if not least <= number <= most:
        raise bad(f"{name} must be a number from {least:g} to {most:g}.")
    return number
