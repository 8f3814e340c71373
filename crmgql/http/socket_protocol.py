"""graphql-transport-ws: what arrives on a WebSocket → messages, and frames to send. Pure.

https://github.com/enisdenjo/graphql-ws/blob/master/PROTOCOL.md: what is not in it is in docs/reference/subscriptions.md (the
payloads of pings). A mistake in an operation is never a `Close`; one in the protocol is.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import orjson

from crmgql.http.exchange import encoded

SUBPROTOCOL = "graphql-transport-ws"
LONGEST_ID = 256
LONGEST_REASON = 123
"""Bytes of a reason that a WebSocket's close frame can hold."""

MOST_CREDIT = 1_000_000

Payload = dict[str, Any]


class Code(IntEnum):
    """Codes with which the server closes a WebSocket. Up to 1015: those of WebSockets, after which clients try again."""

    GONE = 1001
    TOO_LARGE = 1009
    RESTART = 1012
    TRY_LATER = 1013
    BAD_REQUEST = 4400
    UNAUTHORIZED = 4401
    FORBIDDEN = 4403
    SUBPROTOCOL = 4406
    INIT_TIMEOUT = 4408
    ID_TAKEN = 4409
    TOO_MANY_INITS = 4429
    INTERNAL = 4500


class Close(Exception):
    """The WebSocket is to be closed."""

    def __init__(self, code: Code, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason.encode()[:LONGEST_REASON].decode(errors="ignore")


@dataclass(frozen=True, slots=True)
class Message:
    """`id` is empty for messages that are about the connection. The payload of `subscribe` may still be anything."""

    type: str
    id: str = ""
    payload: Any = None


def message(value: Any) -> Message:
    """The message of a decoded text. Raises `Close`."""
    if not isinstance(value, dict):
        raise bad("a message is a JSON object")
    kind, payload = value.get("type"), value.get("payload")
    match kind:
        case "connection_init" | "ping" | "pong":
            if payload is not None and not isinstance(payload, dict):
                raise bad(f"the payload of {kind} must be an object")
            return Message(kind, payload=payload or {})
        case "subscribe" | "complete":
            return Message(kind, _id(value), payload)
        case str():
            raise bad(f"clients send no {kind[:20]!r}")
        case _:
            raise bad("type is missing")


def bad(what: str) -> Close:
    return Close(Code.BAD_REQUEST, f"Invalid message: {what}")


def authorization(payload: Payload) -> str | None:
    """The credentials in a payload, as the header would have them. None: there are none. What is no text is wrong ones."""
    for name in ("authorization", "Authorization"):
        if name in payload:
            return str(payload[name])
    return f"Bearer {payload['token']}" if "token" in payload else None


def credit(payload: Payload) -> dict[str, int] | None:
    """How many more deliveries a ping asks for, by the operations' ids. None: they are not written as such."""
    given = payload.get("credit", {})
    if isinstance(given, dict) and all(is_credit(number) for number in given.values()):
        return given
    return None


def is_credit(number: Any) -> bool:
    return type(number) is int and 0 < number <= MOST_CREDIT


def ack(payload: Payload) -> str:
    return _text({"type": "connection_ack", "payload": payload})


def ping(payload: Payload) -> str:
    return _text({"type": "ping", "payload": payload})


def pong(payload: Payload) -> str:
    return _text({"type": "pong", "payload": payload} if payload else {"type": "pong"})


def next_of(encoded_id: str, body: bytes) -> str:
    """A delivery; `body` is JSON, and `encoded_id` from `encoded_id`."""
    return f'{{"id":{encoded_id},"type":"next","payload":{body.decode()}}}'


def encoded_id(id: str) -> str:
    return encoded(id).decode()


def error(id: str, errors: list[dict[str, Any]]) -> str:
    return _text({"id": id, "type": "error", "payload": errors})


def complete(id: str) -> str:
    return _text({"id": id, "type": "complete"})


def decoded(text: str) -> Any:
    """The JSON value of a text. Raises `Close`."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        raise bad("it is not JSON") from None


def _id(value: Payload) -> str:
    given = value.get("id")
    if not isinstance(given, str) or not 0 < len(given) <= LONGEST_ID:
        raise bad(f"id must be a text of 1 to {LONGEST_ID} characters")
    return given


def _text(value: Payload) -> str:
    return encoded(value).decode()
