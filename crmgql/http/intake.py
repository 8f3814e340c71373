"""`POST /intake/leads`: where forms, pages and partners hand in leads, without being able to see or do anything else.

Enters: a form, as JSON or as a browser posts it. Leaves: 202 `{"accepted": true}`, a 303 to a page of the source's own, or
`{"errors": [{"message", "extensions": {"code", "field"}}]}`.
Order of refusals: method 405, content type 415, size 413, shape 400, too many posts of unknown keys 429, key and origin
403, too many posts 429, then the fields 400. Of a source's rate one address gets half at most, so that nobody alone shuts
out all others. Keys are looked up at most `UNKNOWN_PER_MINUTE` times a minute for one address, and then remembered.

Why a page may hold the key, and why forging a post brings nothing: no cookie, session or other thing that a browser adds by
itself is ever read. Who posts brings the key, which everybody who sees the page may know, and gets nothing for it but a
lead among others; a page of another origin that makes its visitors post does nothing that it couldn't do itself. The
origins that a source lists keep the key from being used on other pages by those who do not lie about theirs.

A filled honeypot is answered like a lead that was accepted, and stored nowhere.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl

import structlog
from starlette.types import Receive, Scope

from crmgql.db import Database
from crmgql.domain.leads import intake
from crmgql.domain.leads.intake import Form
from crmgql.domain.marketing import intake_sources
from crmgql.domain.marketing.intake_sources import Source
from crmgql.domain.people import clients
from crmgql.errors import BadUserInput, Forbidden, Throttled
from crmgql.http import exchange, negotiation, requests
from crmgql.http.addresses import Addresses
from crmgql.http.bodies import Bodies
from crmgql.http.exchange import OK, Answer, Arrived, encoded
from crmgql.http.json_limits import STRANGERS_VALUES
from crmgql.http.metrics import Metrics
from crmgql.http.refusals import Headers, Refused, bad
from crmgql.http.throttling import Throttle
from crmgql.viewer import Clock, system_clock

log = structlog.get_logger("crmgql")

PATH = "/intake/leads"
MAX_BODY_BYTES = 65_536
BODY_TIMEOUT_S = 15.0
MAX_PAIRS = 200
UNKNOWN_PER_MINUTE = 60
"""Keys of one address that are looked up; more have to wait."""

KEEP_S = 5.0
MOST_SOURCES = 1000
KEEP_PREFLIGHT_S = b"600"
ALLOW: Headers = ((b"allow", b"OPTIONS, POST"),)
ALLOWED_FIELDS = b"content-type, x-intake-key, idempotency-key, x-request-id"
ACCEPTED = encoded({"accepted": True})
TRAPPED = "TRAPPED"


@dataclass(slots=True)
class Post(Arrived):
    """A request on its way; `source` as soon as it is known, for then its pages may read why it was refused."""

    now: datetime
    source: Source | None = None

    @property
    def origin(self) -> str | None:
        sent = self.headers.get(b"origin")
        return None if sent is None else sent.decode("latin-1")


@dataclass(slots=True)
class _Origins:
    """What active sources list, as it was at most `KEEP_S` ago: preflights bring no key."""

    database: Database
    read_at: float = float("-inf")
    any_origin: bool = False
    listed: frozenset[str] = field(default_factory=frozenset)

    async def allow(self, origin: str) -> bool:
        if time.monotonic() - self.read_at > KEEP_S:
            self.any_origin, self.listed = await intake_sources.origins(self.database)
            self.read_at = time.monotonic()
        return self.any_origin or origin.lower() in self.listed


@dataclass(slots=True)
class _Sources:
    """Sources by key, as they were at most `KEEP_S` ago. Keys that nobody has are not kept; looking up one that somebody
    had counts for nobody's throttle, so that who tries keys shuts out nobody at the same address."""

    database: Database
    kept: dict[str, tuple[float, Source]] = field(default_factory=dict)

    async def find(self, key: str, take: Callable[[], Awaitable[None]]) -> Source:
        """The source; `take` is awaited before a key is looked up for the first time. Raises `Forbidden`."""
        read_at, kept = self.kept.get(key, (float("-inf"), None))
        if kept is None:
            await take()
        elif time.monotonic() - read_at < KEEP_S:
            return kept
        self.kept.pop(key, None)
        source = await intake_sources.find(self.database, key)
        if len(self.kept) >= MOST_SOURCES:
            self.kept.clear()
        self.kept[key] = time.monotonic(), source
        return source


class Endpoint(exchange.Endpoint):
    """The ASGI application behind `/intake/leads`."""

    vary = b"Origin, Accept-Encoding"
    kind = "intake"

    def __init__(
        self,
        database: Database,
        throttle: Throttle,
        metrics: Metrics,
        *,
        bodies: Bodies | None = None,
        addresses: Addresses | None = None,
        clock: Clock = system_clock,
    ) -> None:
        super().__init__(metrics, bodies or Bodies(BODY_TIMEOUT_S), addresses or Addresses(()))
        self.database = database
        self.throttle = throttle
        self.clock = clock
        self.origins = _Origins(database)
        self.sources = _Sources(database)

    def arrived(self, scope: Scope, receive: Receive) -> Post:
        request = super().arrived(scope, receive)
        return Post(scope, receive, request.headers, request.id, request.remote, negotiation.JSON, self.clock())

    async def answer(self, arrived: Arrived) -> Answer:
        assert isinstance(arrived, Post)
        if arrived.method == "OPTIONS":
            answer = await self._preflight(arrived)
        elif arrived.method == "POST":
            answer = await self._receive(arrived)
        else:
            raise Refused(405, "METHOD_NOT_ALLOWED", "Hand leads in with POST.", ALLOW)
        return answer

    def headers_for(self, arrived: Arrived) -> Headers:
        """What lets the pages of a source read the answer."""
        assert isinstance(arrived, Post)
        if arrived.origin is None or arrived.source is None or not arrived.source.allows(arrived.origin):
            return ()
        return (
            (b"access-control-allow-origin", arrived.headers[b"origin"]),
            (b"access-control-expose-headers", b"x-request-id, retry-after"),
        )

    async def _receive(self, post: Post) -> Answer:
        decode = _decoder(post.headers)
        posted = decode(await self.bodies.read(post.headers, post.receive, most=MAX_BODY_BYTES))
        form = await self._form(post, posted)
        assert post.source is not None
        if form.trapped:
            log.info("honeypot filled", intake_source=post.source.name)
            return _accepted(form, post.source, TRAPPED)
        key = _header(post.headers, b"idempotency-key") or form.controls.get("idempotency_key")
        id = await intake.receive(self.database, post.source, form, idempotency_key=key, clock=lambda: post.now)
        log.info("lead received", intake_source=post.source.name, lead=id.hex)
        return _accepted(form, post.source, OK)

    async def _form(self, post: Post, posted: Mapping[str, Any]) -> Form:
        """The form, once its key, its origin and its source's rate are checked. Raises `Forbidden`, `Throttled`."""
        given = posted.get("key")
        key = _header(post.headers, b"x-intake-key") or (given if isinstance(given, str) else "")
        if not key:
            raise Forbidden("Send the intake source's key as X-Intake-Key, or in the field key.", field="key")
        address = clients.address(post.remote)
        unknown = {f"unknown:{address or clients.UNKNOWN}": UNKNOWN_PER_MINUTE}
        post.source = await self.sources.find(key.strip(), lambda: self._take(post, unknown))
        if not post.source.allows(post.origin):
            raise Forbidden("Pages of this origin may not use this key; allowedOrigins of its source lists who may.")
        rate, source = post.source.rate_per_minute, f"source:{post.source.id.hex}"
        limits = {source: rate}
        if address is not None:  # one address never takes all that a source gets
            limits[f"{source}:{address}"] = (rate + 1) // 2
        await self._take(post, limits)
        return intake.read(posted)

    async def _take(self, post: Post, limits: dict[str, int]) -> None:
        wait_s = await self.throttle.take(limits, post.now)
        if wait_s is not None:
            raise Throttled("Too many posts in this minute; try again in the next.", retry_after_s=wait_s)

    async def _preflight(self, post: Post) -> Answer:
        origin = post.origin
        if origin is None or not await self.origins.allow(origin):
            raise Forbidden("Pages of this origin may not hand in leads; allowedOrigins of a source lists who may.")
        granted: Headers = (
            (b"access-control-allow-origin", origin.encode("latin-1")),
            (b"access-control-allow-methods", b"POST"),
            (b"access-control-allow-headers", ALLOWED_FIELDS),
            (b"access-control-max-age", KEEP_PREFLIGHT_S),
        )
        return Answer(204, headers=granted, code="PREFLIGHT")


def _decoder(headers: dict[bytes, bytes]) -> Any:
    """How the body is read. Raises `Refused` for what is neither JSON nor a form."""
    content_type = headers.get(b"content-type")
    plain = headers.get(b"content-encoding", b"identity") == b"identity"
    if plain and negotiation.is_json(content_type):
        return _json
    if plain and negotiation.is_form(content_type):
        return _pairs
    message = f"Send the form as application/json or {negotiation.FORM} in UTF-8, not compressed."
    raise Refused(415, "UNSUPPORTED_MEDIA_TYPE", message)


def _json(body: bytes) -> Mapping[str, Any]:
    value = requests.decode(body or b"{}", most=STRANGERS_VALUES)
    if not isinstance(value, dict):
        raise bad("The body must be a JSON object with the form's fields.")
    return value


def _pairs(body: bytes) -> Mapping[str, Any]:
    """The fields of a posted form; a name that comes several times, as of check boxes, has a list."""
    try:
        pairs = parse_qsl(body.decode("utf-8"), keep_blank_values=True, errors="strict", max_num_fields=MAX_PAIRS)
    except ValueError:  # UnicodeDecodeError is one
        raise bad("The body is not a form in percent-encoded UTF-8, or has too many fields.") from None
    fields: dict[str, Any] = {}
    for name, value in pairs:
        fields.setdefault(name, []).append(value)
    return {name: values[0] if len(values) == 1 else values for name, values in fields.items()}


def _header(headers: dict[bytes, bytes], name: bytes) -> str | None:
    """A header's text; None when it is absent or empty. Raises `BadUserInput` for what is not in UTF-8."""
    try:
        return headers.get(name, b"").decode("utf-8").strip() or None
    except UnicodeDecodeError:
        raise BadUserInput(f"{name.decode().title()} is not in UTF-8.", field=name.decode()) from None


def _accepted(form: Form, source: Source, code: str) -> Answer:
    to = form.controls.get("redirect", "")
    if _is_own(to, source.allowed_origins):
        return Answer(303, headers=((b"location", to.encode("ascii")),), code=code)
    return Answer(202, ACCEPTED, code=code)


def _is_own(address: str, origins: frozenset[str]) -> bool:
    """Whether an address is on a listed origin, to the letter: what browsers read otherwise is not followed."""
    if not address.isascii() or not address.isprintable() or " " in address or "\\" in address:
        return False
    lower = address.lower()
    return any(lower == origin or lower.startswith((f"{origin}/", f"{origin}?", f"{origin}#")) for origin in origins)
