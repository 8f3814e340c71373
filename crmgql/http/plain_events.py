"""Events for those without GraphQL: each is the answer to one document, written as a line, as an event, or into a page. Pure.

Of a named subscription each is what a pull gives: `id`, `cursor`, `kind`, and as `payload` what the subscription's document says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from crmgql.engine.readings import Delivery
from crmgql.events import cursors
from crmgql.http import event_stream
from crmgql.http.event_stream import Errors
from crmgql.http.exchange import encoded
from crmgql.models.names import api_id

SELECTION = (
    "{ cursor id kind version: kindVersion occurredAt sight subjectType subjectId subject { type: __typename id }"
    " customer { id } actor { id } changed isLast transactionId payload }"
)
DOCUMENT = (
    "subscription Events($kinds: [String!], $fields: [String!])"
    f" {{ events(kinds: $kinds, fields: $fields) {SELECTION} }}"
)
FILTERED = (
    "subscription FilteredEvents($kinds: [String!], $fields: [String!], $where: EventWhere!)"
    f" {{ events(kinds: $kinds, fields: $fields, where: $where) {SELECTION} }}"
)
"""Another one, as who filters is told nothing of what left their sight."""

NAMED = "subscription NamedEvents($id: ID!) { events: stream(id: $id) }"
Text = Callable[[Delivery], bytes]
HEAD, TAIL = b'{"data":{"events":', b"}}"
FAILED = b'{"data":null,'


class PlainEvents:
    """Server-sent events without a name, which every reader takes."""

    media = event_stream.MEDIA
    opening = event_stream.OPENING
    ended = b"event: end\ndata: {}\n\n"

    def __init__(self, text: Text) -> None:
        self.text = text

    def delivery(self, delivery: Delivery) -> bytes:
        return event_stream.event("message", self.text(delivery), delivery.cursor)

    def failed(self, errors: Errors) -> bytes:
        return event_stream.event("end", encoded({"errors": errors}))

    def heartbeat(self, head: str | None, position: str | None, token_ends: str | None) -> bytes:
        return event_stream.heartbeat(head, position, token_ends)


class JsonLines:
    """A line for each event; one without `kind` is a heartbeat, one with `errors` the last."""

    opening = b""
    ended = b""

    def __init__(self, media: bytes, text: Text) -> None:
        self.media = media
        self.text = text

    def delivery(self, delivery: Delivery) -> bytes:
        return self.text(delivery).replace(b"\n", b" ") + b"\n"

    def failed(self, errors: Errors) -> bytes:
        return encoded({"errors": errors}) + b"\n"

    def heartbeat(self, head: str | None, position: str | None, token_ends: str | None) -> bytes:
        line = {"cursor": position, "newest": head}
        if token_ends is not None:
            line["tokenExpiresAt"] = token_ends
        return encoded(line) + b"\n"


def page(texts: Iterable[bytes], *, cursor: str, more: bool, following: str) -> bytes:
    """An answer to a poll. `following` is the address of the next one."""
    rest = encoded({"cursor": cursor, "more": more, "next": following})
    return b'{"events":[' + b",".join(texts) + b"]," + rest[1:]


def text_for(stream: str | None) -> Text:
    """How the events of a named subscription are written, or of none."""
    return _event if stream is None else _delivered


def _delivered(delivery: Delivery) -> bytes:
    assert delivery.cursor is not None
    if not delivery.body.startswith(HEAD):
        return _event(delivery)
    id = api_id("Event", cursors.parse(delivery.cursor).event_id)
    about = encoded({"id": id, "cursor": delivery.cursor, "kind": delivery.kind})
    return about[:-1] + b',"payload":' + _event(delivery) + b"}"


def _event(delivery: Delivery) -> bytes:
    """The event alone. One that could not be read has its cursor and the errors."""
    body = delivery.body
    if body.startswith(HEAD):
        return body[len(HEAD) : -len(TAIL)]
    return encoded({"cursor": delivery.cursor})[:-1] + b"," + body.removeprefix(FAILED)
