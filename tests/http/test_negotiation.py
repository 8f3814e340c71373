"""Choices by `Accept`, `Accept-Encoding` and `X-Forwarded-For`."""

from __future__ import annotations

import pytest

from crmgql.http import negotiation
from crmgql.http.negotiation import JSON, RESPONSE_JSON

NEWER = b"application/graphql-response+json"


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (None, JSON),
        (b"", JSON),
        (b"*/*", JSON),
        (b"application/*", JSON),
        (b"application/json", JSON),
        (NEWER, RESPONSE_JSON),
        (NEWER + b"; charset=utf-8", RESPONSE_JSON),
        (NEWER + b", application/json;q=0.9", RESPONSE_JSON),  # Apollo Client
        (NEWER + b", application/graphql+json, application/json, text/event-stream", RESPONSE_JSON),  # urql
        (b"application/json, multipart/mixed", JSON),  # GraphiQL
        (b"application/json, " + NEWER + b";q=0.5", JSON),
        (NEWER + b", */*;q=0.1", RESPONSE_JSON),
        (b"application/json;q=0, */*", RESPONSE_JSON),
        (NEWER + b";q=0, */*", JSON),
        (b"APPLICATION/JSON", JSON),
        (b"text/html, */*;q=0.8", JSON),
        (b"text/html", None),
        (b"application/json;q=0", None),
        (b"application/json;q=much", None),
        (b"application/json;q=nan", None),
        (b"*/*;q=0", None),
        (b", ,;q=1", None),
    ],
)
def test_media_type(accept: bytes | None, expected: bytes | None) -> None:
    assert negotiation.media_type(accept) == expected


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (b"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", True),
        (b"text/html", True),
        (b"application/json, text/html;q=0.5", False),
        (b"*/*", False),
        (b"text/html;q=0", False),
        (None, False),
    ],
)
def test_wants_page(accept: bytes | None, expected: bool) -> None:
    assert negotiation.wants_page(accept) is expected


@pytest.mark.parametrize(
    ("accepted", "expected"),
    [
        (None, None),
        (b"", None),
        (b"gzip, deflate, br, zstd", "br"),
        (b"gzip, deflate", "gzip"),
        (b"*", "br"),
        (b"*;q=0", None),
        (b"br;q=0, *", "gzip"),
        (b"gzip;q=0.8, br;q=0.5", "gzip"),
        (b"identity, gzip;q=0.5", None),
        (b"zstd", None),
    ],
)
def test_encoding(accepted: bytes | None, expected: str | None) -> None:
    assert negotiation.encoding(accepted) == expected
