"""One HTTP request and its answer, the same for every endpoint: what arrived, what is sent, what an error becomes.

An endpoint says what it answers (`Endpoint.answer`). Here is the rest: the request's id, which is in the log and in the
answer; the client's address; errors as `{"errors": [{"message", "extensions": {"code"}}]}`; headers; compression; the
metrics. Always holds: a request gets one answer, and nothing of an exception's own text is in it.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import orjson
import structlog
from starlette.types import Message, Receive, Scope, Send

from crmgql import logs
from crmgql.engine.errors import STATUS, Rejected, formatted, internal
from crmgql.errors import CrmError
from crmgql.http import negotiation
from crmgql.http.addresses import Addresses
from crmgql.http.bodies import Bodies, Disconnected
from crmgql.http.metrics import Metrics
from crmgql.http.refusals import Headers, Refused, bad

log = structlog.get_logger("crmgql")

PLAIN_ID = re.compile(rb"[A-Za-z0-9._:-]{1,128}")
OK = "OK"
NO_STORE = b"no-store"
NO_SNIFFING = (b"x-content-type-options", b"nosniff")


@dataclass(slots=True)
class Arrived:
    """A request as it came. `media` is the content type that its client reads best; None when it reads none of ours."""

    scope: Scope
    receive: Receive
    headers: dict[bytes, bytes]
    id: bytes
    remote: str | None
    media: bytes | None

    @property
    def method(self) -> str:
        return self.scope["method"]  # type: ignore[no-any-return]


@dataclass(slots=True)
class Answer:
    """What goes to the wire. `code` and `kind` (of operation) are for the metrics, `cache` is the `Cache-Control`. `respond`, of an answer that goes on, is
    given its start and sends all of it."""

    status: int
    body: bytes = b""
    content_type: bytes = negotiation.JSON
    headers: Headers = ()
    code: str = OK
    kind: str = ""
    cache: bytes = NO_STORE
    respond: Callable[[Message, Receive, Send], Awaitable[None]] | None = None


class Endpoint(ABC):
    """An ASGI application that answers each request with one `Answer`.

    `vary` names the headers that answers depend on, `kind` what the metrics call a request of which nothing else is known.
    """

    vary: bytes = b"Accept-Encoding"
    kind: str = "none"

    def __init__(self, metrics: Metrics, bodies: Bodies, addresses: Addresses) -> None:
        self.metrics = metrics
        self.bodies = bodies
        self.addresses = addresses

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = time.perf_counter()
        arrived = self.arrived(scope, receive)
        logs.request_id.set(arrived.id)
        lost: type[Exception] = OSError
        try:
            answer = await self._answer(arrived)
        except Disconnected:
            # Mostly nobody is there any more; but who sent malformed chunks is, and waits for an answer.
            lost = Exception
            answer = refused(
                bad("The body ends too early, or is not well-formed HTTP."), arrived.media or negotiation.JSON
            )
        self.metrics.note(answer.kind or self.kind, answer.code, time.perf_counter() - started)
        with suppress(lost):
            await self._send(answer, arrived, send)

    @abstractmethod
    async def answer(self, arrived: Arrived) -> Answer:
        """The answer. What it raises is mapped: `Refused`, `Disconnected`, `CrmError`; all else is a 500 and logged."""

    def arrived(self, scope: Scope, receive: Receive) -> Arrived:
        headers = header_fields(scope["headers"])
        client = scope.get("client")
        remote = self.addresses.client(client and client[0], headers.get(b"x-forwarded-for"))
        media = negotiation.media_type(headers.get(b"accept"))
        return Arrived(scope, receive, headers, request_id(headers.get(b"x-request-id")), remote, media)

    def failed(self, error: CrmError, arrived: Arrived) -> Answer:
        """The answer to an error of ours, in the words that the endpoint's clients know."""
        made = formatted(error)
        status = STATUS.get(error.code, 400)
        return Answer(
            status, encoded({"errors": [made]}), headers=explaining(status, made["extensions"]), code=error.code
        )

    def headers_for(self, arrived: Arrived) -> Headers:
        """More headers that the endpoint's answers have."""
        return ()

    async def _answer(self, arrived: Arrived) -> Answer:
        media = arrived.media or negotiation.JSON
        try:
            return await self.answer(arrived)
        except Disconnected:
            raise
        except Refused as error:
            return refused(error, media)
        except CrmError as error:
            return self.failed(error, arrived)
        except Exception:
            return broken(media)

    async def _send(self, answer: Answer, arrived: Arrived, send: Send) -> None:
        body = answer.body
        headers = [
            (b"cache-control", answer.cache),
            NO_SNIFFING,
            (b"x-request-id", arrived.id),
            (b"vary", self.vary),
            *answer.headers,
            *self.headers_for(arrived),
        ]
        if answer.respond is not None:
            headers.append((b"content-type", answer.content_type))
            start = {"type": "http.response.start", "status": answer.status, "headers": headers}
            await answer.respond(start, arrived.receive, send)
            return
        accepted = arrived.headers.get(b"accept-encoding")
        if len(body) >= negotiation.COMPRESS_FROM and (how := negotiation.encoding(accepted)) is not None:
            if len(body) >= negotiation.LONG_TO_COMPRESS:
                body = await asyncio.to_thread(negotiation.compress, body, how)
            else:
                body = negotiation.compress(body, how)
            headers.append((b"content-encoding", how.encode()))
        if body:
            headers += [(b"content-type", answer.content_type), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def encoded(value: Any) -> bytes:
    """JSON. A lone surrogate, which a message may quote and UTF-8 can't hold, leaves as an escape."""
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError:
        return json.dumps(value).encode()


def refused(error: Refused, media: bytes = negotiation.JSON) -> Answer:
    return Answer(error.status, encoded({"errors": [error.error()]}), media, error.headers, error.code)


def rejected(error: Rejected, *, kind: str) -> Answer:
    """The answer of an endpoint that is not GraphQL's."""
    extensions = error.errors[0]["extensions"]
    headers = explaining(error.status, extensions)
    return Answer(error.status, encoded({"errors": error.errors}), headers=headers, code=extensions["code"], kind=kind)


def broken(media: bytes = negotiation.JSON) -> Answer:
    """The answer to a mistake of ours, which is being handled as an exception and is logged."""
    log.exception("request failed")
    return Answer(500, encoded({"errors": [internal()]}), media, code="INTERNAL_SERVER_ERROR")


def explaining(status: int, extensions: dict[str, Any]) -> Headers:
    """The headers that belong to a status."""
    if status == 401:
        return ((b"www-authenticate", b"Bearer"),)
    if status == 405:
        return ((b"allow", b"POST"),)
    if "retryAfterSeconds" in extensions:
        return ((b"retry-after", str(extensions["retryAfterSeconds"]).encode()),)
    return ()


def header_fields(pairs: Iterable[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """Header fields by name; those sent in several lines are joined, as RFC 9110 has it."""
    pairs = list(pairs)
    fields = dict(pairs)
    if len(fields) == len(pairs):
        return fields
    fields = {}
    for name, value in pairs:
        fields[name] = fields[name] + b", " + value if name in fields else value
    return fields


def request_id(given: bytes | None) -> bytes:
    """The client's id for this request if it is harmless in a log, else one of ours."""
    if given is not None and PLAIN_ID.fullmatch(given):
        return given
    return os.urandom(16).hex().encode()
