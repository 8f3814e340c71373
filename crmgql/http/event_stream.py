"""What goes on: forms of responses that have no end yet. Pure.

`GraphqlEvents` is graphql-sse for one operation per connection ("distinct connections mode"),
https://github.com/enisdenjo/graphql-sse/blob/master/PROTOCOL.md. Its client ends at any event but `next` and `complete`: what is to
be told besides is a comment, or an `id` without data, which moves `Last-Event-ID` and is no event.
"""

from __future__ import annotations

from typing import Any, Protocol

from crmgql.engine.readings import Delivery
from crmgql.http.exchange import encoded

Errors = list[dict[str, Any]]

MEDIA = b"text/event-stream; charset=utf-8"
OPENING = b": open\n\n"
"""Something to send at once, for proxies that wait for the first byte."""


class Form(Protocol):
    """How a subscription is written into a response."""

    media: bytes
    opening: bytes
    ended: bytes

    def delivery(self, delivery: Delivery) -> bytes: ...

    def failed(self, errors: Errors) -> bytes:
        """Errors, and the end: whoever reads them does not ask again by itself."""

    def heartbeat(self, head: str | None, position: str | None, token_ends: str | None) -> bytes:
        """The feed's newest cursor, the one up to which nothing is missing, and when the token ends, if that is soon."""


class GraphqlEvents:
    """Each answer is an event `next` with its cursor as `id`."""

    media = MEDIA
    opening = OPENING
    ended = b"event: complete\ndata:\n\n"

    def delivery(self, delivery: Delivery) -> bytes:
        return event("next", delivery.body, delivery.cursor)

    def failed(self, errors: Errors) -> bytes:
        return event("next", encoded({"errors": errors})) + self.ended

    def heartbeat(self, head: str | None, position: str | None, token_ends: str | None) -> bytes:
        return heartbeat(head, position, token_ends)


GRAPHQL = GraphqlEvents()


def event(name: str, body: bytes, cursor: str | None = None) -> bytes:
    """An event; `body` is JSON, whose line ends between values would end the event's data."""
    if b"\n" in body or b"\r" in body:
        body = body.replace(b"\n", b" ").replace(b"\r", b" ")
    place = "" if cursor is None else f"id: {cursor}\n"
    return f"event: {name}\n{place}data: ".encode() + body + b"\n\n"


def heartbeat(head: str | None, position: str | None, token_ends: str | None) -> bytes:
    text = f": {head or 'here'}\n\n"
    if token_ends is not None:
        text += f": tokenExpiresAt {token_ends}\n\n"
    if position is not None:
        text += f"id: {position}\n\n"
    return text.encode()
