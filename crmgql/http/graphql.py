"""GraphQL over HTTP: the `/graphql` endpoint, plain ASGI, as every request passes here.

Enters: an HTTP request. Leaves: JSON, always; an error body is `{"errors": [{"message", "extensions": {"code"}}]}`.
Order of refusals: method 405, `Accept` 406, credentials 401, content type 415, size 413, shape 400, then GraphQL's own.
Of a stranger, who shows no token, less is read, so that nobody's time is taken: small bodies, no batches, and no
validation of what needs a token; all that is more is a 401.

Statuses of a GraphQL request error (parse, validation, variables, cost, access) depend on what the client accepts:

- `application/graphql-response+json`: the error's own status, such as 400, 401, 403, 429, 503.
- `application/json`: 200, as clients of that type expect, but 401, 405, 429, 500 and 503 stay, for they are not about
  the query and proxies, retries and login flows look for them.

An operation that ran and failed (`data` is null, or each of its fields) is a 200 for both, with the same exceptions. What
never was a GraphQL request (not JSON, wrong shapes) is a 400 for both. An `Authorization` header that is not valid is a 401
whatever is asked; with none, what needs no data (`{ __typename }`, introspection) is answered.

A subscription, and whatever is asked by who reads nothing but events (`text/event-stream`), is answered in events (`stream`).
Its request errors are events too, in a 200, with the same exceptions: clients try again after any other status.

A batch (a JSON array) runs in order, each element for itself; its status is 200, each element has its own errors.
"""

from __future__ import annotations

import time
from typing import Any

import orjson
import structlog
from strawberry.http.ides import get_graphql_ide_html

from crmgql.config import Settings
from crmgql.domain.people.identity import Identities
from crmgql.engine.documents import LOG_IN
from crmgql.engine.errors import STATUS, Rejected, rejected
from crmgql.engine.operations import Engine, Request
from crmgql.engine.pace import MANY_VALUES
from crmgql.errors import CrmError, Unauthenticated
from crmgql.http import exchange, negotiation, requests
from crmgql.http.addresses import Addresses
from crmgql.http.bodies import Bodies
from crmgql.http.event_stream import GRAPHQL
from crmgql.http.exchange import Answer, Arrived, encoded
from crmgql.http.json_limits import MAX_VALUES, STRANGERS_VALUES
from crmgql.http.metrics import Metrics
from crmgql.http.refusals import Headers, Refused, bad
from crmgql.http.requests import Arrival
from crmgql.http.stream import EventStreams
from crmgql.viewer import Viewer, system_clock

log = structlog.get_logger("crmgql")

ALLOW: Headers = ((b"allow", b"GET, POST"),)
ONLY_POST: Headers = ((b"allow", b"POST"),)

NOT_ABOUT_THE_QUERY = frozenset((401, 405, 429, 500, 503))

STRANGERS_BYTES = 32_768
"""Of a body without a token: enough to log in, and to ask about the schema where anybody may."""

ERRORS = b'"errors":[{'


class Endpoint(exchange.Endpoint):
    """The ASGI application behind `/graphql`."""

    vary = b"Accept, Accept-Encoding"

    def __init__(
        self,
        engine: Engine,
        identities: Identities,
        settings: Settings,
        metrics: Metrics,
        *,
        bodies: Bodies | None = None,
        addresses: Addresses | None = None,
        streams: EventStreams | None = None,
    ) -> None:
        super().__init__(metrics, bodies or Bodies(settings.body_timeout_s), addresses or Addresses(()))
        self.engine = engine
        self.identities = identities
        self.streams = streams
        self.max_body_bytes = settings.max_body_bytes
        self.max_batch = settings.max_batch
        self.get_queries = settings.get_queries
        self.page = get_graphql_ide_html("graphiql").encode() if settings.ide else None

    async def answer(self, arrived: Arrived) -> Answer:
        method, headers, media = arrived.method, arrived.headers, arrived.media
        reads = method == "GET"
        if reads and self.page is not None and _from_address_bar(arrived):
            return Answer(200, self.page, negotiation.HTML)
        if method != "POST" and not (reads and self.get_queries):
            allowed = ALLOW if self.get_queries else ONLY_POST
            raise Refused(
                405, "METHOD_NOT_ALLOWED", "Use POST, or GET for queries." if self.get_queries else "Use POST.", allowed
            )
        if media is None and self._events(arrived) is None:
            message = "Accept application/graphql-response+json, application/json or text/event-stream."
            raise Refused(406, "NOT_ACCEPTABLE", message)
        viewer = await self._viewer(headers)
        arrival = Arrival(arrived.remote, headers.get(b"user-agent"))
        if reads:
            most = STRANGERS_VALUES if viewer is None else MAX_VALUES
            text = arrived.scope["query_string"]
            return await self._answer_one(requests.from_query_string(text, arrival, most=most), viewer, arrived)
        _require_json(headers)
        body = await self._body(arrived, viewer)
        arrival.values = body.count(b",") + body.count(b"[") + body.count(b"{")
        value = await self._decoded(body, arrival, viewer)
        if not isinstance(value, list):
            return await self._answer_one(requests.from_json(value, arrival), viewer, arrived)
        if media is None:
            raise bad("A batch is answered in JSON: accept application/json.")
        return await self._batch(value, viewer, media, arrival)

    def _events(self, arrived: Arrived) -> negotiation.Events | None:
        return None if self.streams is None else negotiation.events(arrived.headers.get(b"accept"))

    async def _answer_one(self, request: Request, viewer: Viewer | None, arrived: Arrived) -> Answer:
        events, media = self._events(arrived), arrived.media or negotiation.JSON
        if events is None or self.streams is None:
            return await self._run(request, viewer, media)
        try:
            request.kind = await self.engine.kind_of(request, viewer)
            if events == "also" and request.kind != "subscription":
                return await self._run(request, viewer, media)
            return await self.streams.answer(request, viewer, arrived)
        except CrmError as error:
            return _failed_for(events, rejected(error), media, request.kind)
        except Rejected as error:
            return _failed_for(events, error, media, request.kind)

    def failed(self, error: CrmError, arrived: Arrived) -> Answer:
        return _failed(rejected(error), arrived.media or negotiation.JSON, self.kind)

    async def _decoded(self, body: bytes, arrival: Arrival, viewer: Viewer | None) -> Any:
        """The JSON value of a body; of a large one read aside. Raises `Refused`, `Throttled`."""
        if viewer is None:
            return requests.decode(body, most=STRANGERS_VALUES)
        if arrival.values < MANY_VALUES:
            return requests.decode(body)
        return await self.engine.reading.run(viewer.user_id, requests.decode, body)

    async def _viewer(self, headers: dict[bytes, bytes]) -> Viewer | None:
        """Who asks; None without credentials. Raises `Unauthenticated` for some that are not valid."""
        authorization = headers.get(b"authorization")
        if authorization is None:
            return None
        return await self.identities.identify(authorization.decode("latin-1"), system_clock)

    async def _body(self, arrived: Arrived, viewer: Viewer | None) -> bytes:
        """The whole body. Raises `Refused`, `Disconnected`, and `Unauthenticated` for a stranger's that needs a token by
        its size."""
        most = self.max_body_bytes if viewer is not None else min(STRANGERS_BYTES, self.max_body_bytes)
        try:
            return await self.bodies.read(arrived.headers, arrived.receive, most=most)
        except Refused as error:
            announced = arrived.headers.get(b"content-length", b"")
            beyond = announced.isdigit() and int(announced[:20]) > self.max_body_bytes
            if viewer is not None or error.status != 413 or beyond or most == self.max_body_bytes:
                raise
            raise Unauthenticated(f"{LOG_IN} Without one, {most} bytes are read.") from None

    async def _batch(self, values: list[Any], viewer: Viewer | None, media: bytes, arrival: Arrival) -> Answer:
        """One after the other: what a client wrote first happens first. What one spends, the others can't."""
        if viewer is None and len(values) > 1:
            raise Unauthenticated(f"{LOG_IN} Without one, requests are sent one by one.")
        if not values:
            raise bad("The batch is empty.")
        if len(values) > self.max_batch:
            raise Refused(
                400, "BATCH_TOO_LARGE", f"The batch has {len(values)} operations; {self.max_batch} are allowed."
            )
        arrival.budget.batch = len(values) > 1
        started = time.perf_counter()
        bodies = []
        for value in values:
            answer = await self._element(value, viewer, media, arrival)
            bodies.append(answer.body)
            ended = time.perf_counter()
            self.metrics.note(answer.kind or self.kind, answer.code, ended - started)
            started = ended
        return Answer(200, b"[" + b",".join(bodies) + b"]", media, kind="batch")

    async def _element(self, value: Any, viewer: Viewer | None, media: bytes, arrival: Arrival) -> Answer:
        try:
            return await self._run(requests.from_json(value, arrival), viewer, media)
        except Refused as error:
            return exchange.refused(error, media)
        except Exception:
            return exchange.broken(media)

    async def _run(self, request: Request, viewer: Viewer | None, media: bytes) -> Answer:
        try:
            body = await self.engine.answer(request, viewer)
        except Rejected as error:
            return _failed(error, media, request.kind)
        answer = Answer(200, body, media, kind=request.kind)
        if request.kind == "mutation" and ERRORS in body:
            _note_failure(answer)
        return answer


def _failed(error: Rejected, media: bytes, kind: str) -> Answer:
    status, extensions = error.status, error.errors[0]["extensions"]
    if media is negotiation.JSON and status not in NOT_ABOUT_THE_QUERY:
        status = 200
    body = encoded({"errors": error.errors})
    return Answer(status, body, media, exchange.explaining(status, extensions), extensions["code"], kind)


def _failed_for(events: negotiation.Events, error: Rejected, media: bytes, kind: str) -> Answer:
    if events == "also" or error.status in NOT_ABOUT_THE_QUERY:
        return _failed(error, media, kind)
    code = error.errors[0]["extensions"]["code"]
    return Answer(200, GRAPHQL.failed(error.errors), GRAPHQL.media, code=code, kind=kind)


def _note_failure(answer: Answer) -> None:
    """An operation with errors. If every field of it failed, the status says so where it is not about the query."""
    made = orjson.loads(answer.body)
    if "errors" not in made:  # the bytes were somebody's text
        return
    extensions = made["errors"][-1]["extensions"]
    answer.code = extensions["code"]
    nothing = all(value is None for value in (made["data"] or {}).values())
    status = STATUS.get(answer.code, 200)
    if nothing and status in NOT_ABOUT_THE_QUERY:
        answer.status, answer.headers = status, exchange.explaining(status, extensions)


def _require_json(headers: dict[bytes, bytes]) -> None:
    plain = headers.get(b"content-encoding", b"identity") == b"identity"
    if not plain or not negotiation.is_json(headers.get(b"content-type")):
        message = "Send the body as application/json in UTF-8, not compressed."
        raise Refused(415, "UNSUPPORTED_MEDIA_TYPE", message)


def _from_address_bar(arrived: Arrived) -> bool:
    """Whether a person opened the address: HTML is wanted and nothing is asked."""
    wants_page = negotiation.wants_page(arrived.headers.get(b"accept"))
    return wants_page and b"query=" not in arrived.scope["query_string"]
