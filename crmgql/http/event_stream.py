"""Server-sent events, as graphql-sse has them for one operation per connection ("distinct connections mode"). Pure.

https://github.com/enisdenjo/graphql-sse/blob/master/PROTOCOL.md. Its client ends at any event but `next` and `complete`: what is to
be told besides is a comment, or an `id` without data, which moves `Last-Event-ID` and is no event.
"""

from __future__ import annotations

from typing import Any

from crmgql.http.exchange import encoded

MEDIA = b"text/event-stream; charset=utf-8"
COMPLETE = b"event: complete\ndata:\n\n"


def next_of(body: bytes, cursor: str | None = None) -> bytes:
    """An answer; `body` is JSON. Line ends between its values would end the event's data."""
    if b"\n" in body or b"\r" in body:
        body = body.replace(b"\n", b" ").replace(b"\r", b" ")
    place = b"" if cursor is None else b"id: " + cursor.encode() + b"\n"
    return b"event: next\n" + place + b"data: " + body + b"\n\n"


def failed(errors: list[dict[str, Any]]) -> bytes:
    """Errors, and the end: whoever reads them does not ask again by itself."""
    return next_of(encoded({"errors": errors})) + COMPLETE


def comment(text: str) -> bytes:
    return b": " + text.encode() + b"\n\n"


def place(cursor: str) -> bytes:
    """Nothing happened up to this cursor: from here on a client that reconnects misses nothing."""
    return b"id: " + cursor.encode() + b"\n\n"
