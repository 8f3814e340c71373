"""Events for those without GraphQL: each is the answer to one document, written as a line, as an event, or into a page. Pure."""

from __future__ import annotations

from crmgql.engine.readings import Delivery
from crmgql.http import event_stream
from crmgql.http.event_stream import Errors
from crmgql.http.exchange import encoded

DOCUMENT = (
    "subscription Events($kinds: [String!], $fields: [String!]) { events(kinds: $kinds, fields: $fields) {"
    " cursor id kind version: kindVersion occurredAt subjectType subject { type: __typename id } customer { id } actor { id }"
    " changed isLast transactionId payload } }"
)
HEAD, TAIL = b'{"data":{"events":', b"}}"
FAILED = b'{"data":null,'


class PlainEvents:
    """Server-sent events without a name, which every reader takes."""

    media = event_stream.MEDIA
    opening = event_stream.OPENING
    ended = b"event: end\ndata: {}\n\n"

    def delivery(self, delivery: Delivery) -> bytes:
        return event_stream.event("message", text(delivery), delivery.cursor)

    def failed(self, errors: Errors) -> bytes:
        return event_stream.event("end", encoded({"errors": errors}))

    def heartbeat(self, head: str | None, position: str | None, token_ends: str | None) -> bytes:
        return event_stream.heartbeat(head, position, token_ends)


class JsonLines:
    """A line for each event; one without `kind` is a heartbeat, one with `errors` the last."""

    opening = b""
    ended = b""

    def __init__(self, media: bytes) -> None:
        self.media = media

    def delivery(self, delivery: Delivery) -> bytes:
        return text(delivery).replace(b"\n", b" ") + b"\n"

    def failed(self, errors: Errors) -> bytes:
        return encoded({"errors": errors}) + b"\n"

    def heartbeat(self, head: str | None, position: str | None, token_ends: str | None) -> bytes:
        line = {"cursor": position, "newest": head}
        if token_ends is not None:
            line["tokenExpiresAt"] = token_ends
        return encoded(line) + b"\n"


def page(deliveries: list[Delivery], *, cursor: str, more: bool, following: str) -> bytes:
    """An answer to a poll. `following` is the address of the next one."""
    events = b",".join(map(text, deliveries))
    rest = encoded({"cursor": cursor, "more": more, "next": following})
    return b'{"events":[' + events + b"]," + rest[1:]


def text(delivery: Delivery) -> bytes:
    """The event alone. One that could not be read has its cursor and the errors."""
    body = delivery.body
    if body.startswith(HEAD):
        return body[len(HEAD) : -len(TAIL)]
    return encoded({"cursor": delivery.cursor})[:-1] + b"," + body.removeprefix(FAILED)
