"""What arrives over HTTP → `Request`s, or a refusal that says what is wrong with the shape.

Enters: a body or a query string. Leaves: requests whose fields have the right types, and whose text is plain Unicode.
What is refused here never was a GraphQL request: its status is 400 whatever the client accepts.
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl

import orjson

from crmgql.schema.engine import Request

MAX_NESTING = 64
MAX_PARAMETERS = 50

PLAIN_ID = re.compile(rb"[A-Za-z0-9._:-]{1,128}")

Headers = tuple[tuple[bytes, bytes], ...]


class Refused(Exception):
    """An HTTP request that is not answered: a status, a code for programs, a message for people."""

    def __init__(self, status: int, code: str, message: str, headers: Headers = ()) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.headers = headers

    def error(self) -> dict[str, Any]:
        return {"message": self.message, "extensions": {"code": self.code}}


def bad(message: str) -> Refused:
    return Refused(400, "BAD_REQUEST", message)


def decode(body: bytes) -> Any:
    """The JSON value of a body. Raises `Refused`."""
    if not body:
        raise bad("The body is empty; send a JSON object with a query.")
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise bad("The body is not JSON in UTF-8, or is nested too deeply.") from None
    # Counting is fast, walking is not: only what might be deep is walked.
    if body.count(b"{") + body.count(b"[") > MAX_NESTING and nesting(value) > MAX_NESTING:
        raise bad(f"The body is nested too deeply; {MAX_NESTING} levels are allowed.")
    return value


def nesting(value: Any) -> int:
    """Levels of lists and objects inside each other."""
    level, deep = [value], 0
    while level := [item for item in level if isinstance(item, (dict, list))]:
        deep += 1
        level = [inner for item in level for inner in (item.values() if isinstance(item, dict) else item)]
    return deep


def from_json(value: Any, remote: str | None = None) -> Request:
    """The request of a decoded body, or of an element of a batch; `remote` is who sent it. Raises `Refused`."""
    if not isinstance(value, dict):
        raise bad("A GraphQL request is a JSON object with a query.")
    query, name, variables = value.get("query"), value.get("operationName"), value.get("variables")
    if not isinstance(query, str):
        raise bad("query is missing." if query is None else "query must be a string.")
    if "\0" in query:
        raise bad("query contains a NUL character.")
    if name is not None and not isinstance(name, str):
        raise bad("operationName must be a string or null.")
    if variables is not None and not isinstance(variables, dict):
        raise bad("variables must be an object or null.")
    extensions = value.get("extensions")
    if extensions is not None and not isinstance(extensions, dict):
        raise bad("extensions must be an object or null.")
    return Request(query, name or None, variables or {}, remote=remote)


def client_address(peer: str | None, forwarded: bytes | None) -> str | None:
    """The client's address, for counting failed logins; None when it can't be told.

    From a private address a reverse proxy may be speaking: then the client is whom it names last in
    `X-Forwarded-For`, as what stands before that is the client's own word. A proxy on this machine that names nobody
    is not counted, else one attacker would lock out all who come through it. A public peer is believed nothing.
    """
    if peer is None:
        return None
    near, counted = _judged(peer)
    if near and forwarded:
        return forwarded.rpartition(b",")[2].strip().decode("latin-1")
    return counted


@lru_cache(maxsize=1024)
def _judged(peer: str) -> tuple[bool, str | None]:
    """Whether a peer may be a proxy, and as whom it is counted when it names nobody."""
    try:
        address = ipaddress.ip_address(peer)
    except ValueError:
        return False, peer
    return address.is_private, None if address.is_loopback else peer


def from_query_string(text: bytes) -> Request:
    """The request of a GET. An empty operationName counts as none. Raises `Refused`."""
    try:
        pairs = parse_qsl(text.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=MAX_PARAMETERS)
    except ValueError:  # UnicodeDecodeError is one
        raise bad("The query string is not percent-encoded UTF-8, or has too many parameters.") from None
    given: dict[str, Any] = dict(pairs)
    if len(given) != len(pairs):
        raise bad("A parameter is given more than once.")
    for name in ("variables", "extensions"):
        if value := given.get(name):
            given[name] = _parameter(name, value)
        else:
            given.pop(name, None)
    request = from_json(given)
    return Request(request.query, request.operation_name, request.variables, read_only=True)


def _parameter(name: str, text: str) -> Any:
    try:
        return decode(text.encode())
    except Refused:
        raise bad(f"{name} must be a JSON object.") from None


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
