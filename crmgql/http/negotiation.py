"""What a client can read: media types by `Accept`, encodings by `Accept-Encoding`. Pure.

Clients send the same few headers for ever, so each choice is made once per header text.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from functools import lru_cache
from typing import Literal, TypeVar

import brotli

JSON = b"application/json; charset=utf-8"
RESPONSE_JSON = b"application/graphql-response+json; charset=utf-8"
EVENTS = b"text/event-stream; charset=utf-8"
LINES = {"application/jsonl": b"application/jsonl", "application/x-ndjson": b"application/x-ndjson"}
HTML = b"text/html; charset=utf-8"
FORM = "application/x-www-form-urlencoded"

Encoding = Literal["br", "gzip"]
Events = Literal["only", "also"]

COMPRESS_FROM = 1024
"""Bytes below which compressing saves no packet."""

LONG_TO_COMPRESS = 128 * 1024
"""Bytes from which compressing takes more than a millisecond: not on the event loop."""

BROTLI_QUALITY, GZIP_LEVEL = 3, 5
"""On answers of ours: brotli 4 takes twice the time of 3 for 1 % less, gzip 5 as much as brotli 4 for 15 % more."""

GZIP_FORMAT = 31

UTF8 = ("utf-8", "utf8", "us-ascii", "ascii")

LONGEST = 1000
"""Bytes of a header that are read; nobody's real one is longer, and what is remembered must be bounded."""

Choice = TypeVar("Choice")


def _remembered(choose: Callable[[bytes | None], Choice]) -> Callable[[bytes | None], Choice]:
    remembered = lru_cache(maxsize=256)(choose)
    return lambda header: remembered(header and header[:LONGEST])


@_remembered
def media_type(accept: bytes | None) -> bytes | None:
    """The content type to answer with; None when the client wants neither of ours.

    `application/json` unless the newer type is named and wanted at least as much: the default that GraphQL over HTTP
    asks for, as old clients send no `Accept` or `*/*`.
    """
    if not accept or accept == b"*/*":
        return JSON
    weights = _weights(accept)
    plain = _best(weights, "application/json", "application/*", "*/*")
    newer = _best(weights, "application/graphql-response+json", "application/*", "*/*")
    if newer > plain or (newer == plain > 0 and "application/graphql-response+json" in weights):
        return RESPONSE_JSON
    return JSON if plain > 0 else None


@_remembered
def events(accept: bytes | None) -> Events | None:
    """Whether the client reads events: `only` if it wants them more than JSON, `also` if it would take them. Some clients name
    them with every query, and don't read any in the answer to one."""
    weights = _weights(accept or b"")
    wanted = weights.get("text/event-stream", 0.0)
    json = max(weights.get(name, 0.0) for name in ("application/json", "application/graphql-response+json"))
    return None if not wanted else "only" if wanted > json else "also"


@_remembered
def event_media(accept: bytes | None) -> bytes | None:
    """The content type of events without GraphQL that is wanted most: JSON, lines of it, or server-sent events."""
    weights = _weights(accept or b"*/*")
    offered = {"application/json": JSON, **LINES, "text/event-stream": EVENTS}
    wanted = {name: weights.get(name, 0.0) for name in offered}
    wanted["application/json"] = _best(weights, "application/json", "application/*", "*/*")
    best = max(wanted, key=lambda name: wanted[name])
    return offered[best] if wanted[best] > 0 else None


@_remembered
def wants_page(accept: bytes | None) -> bool:
    """Whether a browser asks: HTML is named and wanted more than JSON."""
    weights = _weights(accept or b"")
    html = weights.get("text/html", 0.0)
    return html > 0 and html >= weights.get("application/json", 0.0)


@_remembered
def encoding(accept_encoding: bytes | None) -> Encoding | None:
    """The encoding that the client likes best, brotli before gzip; None: as it is."""
    if not accept_encoding:
        return None
    weights = _weights(accept_encoding)
    brotli_weight, gzip_weight = _best(weights, "br", "*"), _best(weights, "gzip", "*")
    if weights.get("identity", 0.0) > max(brotli_weight, gzip_weight):
        return None
    if brotli_weight > 0 and brotli_weight >= gzip_weight:
        return "br"
    return "gzip" if gzip_weight > 0 else None


@_remembered
def reads_gzip(accept_encoding: bytes | None) -> bool:
    """Whether the client reads gzip at all."""
    return _best(_weights(accept_encoding or b""), "gzip", "*") > 0


@_remembered
def is_json(content_type: bytes | None) -> bool:
    """Whether a request's body says that it is JSON in UTF-8."""
    return _is_utf8(content_type, "application/json")


@_remembered
def is_form(content_type: bytes | None) -> bool:
    """Whether a request's body says that it is a posted form in UTF-8."""
    return _is_utf8(content_type, FORM)


def _is_utf8(content_type: bytes | None, wanted: str) -> bool:
    """Without a charset it is."""
    kind, *parameters = (content_type or b"").decode("latin-1").lower().split(";")
    if kind.strip() != wanted:
        return False
    pairs = (parameter.strip().partition("=") for parameter in parameters)
    return all(name != "charset" or value.strip('"') in UTF8 for name, _, value in pairs)


def compress(body: bytes, how: Encoding) -> bytes:
    if how == "br":
        return bytes(brotli.compress(body, quality=BROTLI_QUALITY))
    packer = zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, GZIP_FORMAT)
    return packer.compress(body) + packer.flush()


def _weights(header: bytes) -> dict[str, float]:
    """The q of each range; parameters other than q make no difference to us. A q that is no number counts as 0."""
    weights: dict[str, float] = {}
    for item in header.decode("latin-1").lower().split(","):
        name, *parameters = (part.strip() for part in item.split(";"))
        if name:
            given = next((value for value in parameters if value.startswith("q=")), "q=1")
            weights[name] = max(weights.get(name, 0.0), _number(given[2:]))
    return weights


def _number(text: str) -> float:
    try:
        weight = float(text)
    except ValueError:
        return 0.0
    return weight if 0 <= weight <= 1 else 0.0


def _best(weights: dict[str, float], *ranges: str) -> float:
    """The weight that the most specific range gives."""
    return next((weights[name] for name in ranges if name in weights), 0.0)
