"""What arrives over HTTP → `Request`s, or a refusal that says what is wrong with the shape.

Enters: a body or a query string. Leaves: requests whose fields have the right types, and whose text is plain Unicode.
What is refused here never was a GraphQL request: its status is 400 whatever the client accepts.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

import orjson

from crmgql.engine.budget import Budget
from crmgql.engine.operations import Request
from crmgql.http import json_limits
from crmgql.http.json_limits import MAX_VALUES
from crmgql.http.refusals import Refused, bad

MAX_PARAMETERS = 50
LONGEST_QUERY_STRING = 65_536


@dataclass(slots=True)
class Arrival:
    """What is known of an HTTP request beside its operations: who sent it, how many values it may hold at most, and what
    its operations may spend together."""

    remote: str | None = None
    agent: bytes | None = None
    values: int = 0
    budget: Budget = field(default_factory=Budget)


def decode(body: bytes, *, most: int = MAX_VALUES) -> Any:
    """The JSON value of a body, of at most so many values. Raises `Refused`."""
    if not body:
        raise bad("The body is empty; send a JSON object with a query.")
    json_limits.check(body, most=most)
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        raise bad("The body is not JSON in UTF-8, or is nested too deeply.") from None


def from_json(value: Any, arrival: Arrival) -> Request:
    """The request of a decoded body, or of an element of a batch. Raises `Refused`."""
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
    return Request(
        query,
        name or None,
        variables or {},
        remote=arrival.remote,
        client=arrival.agent.decode("latin-1") if arrival.agent else None,
        values=arrival.values,
        budget=arrival.budget,
        extensions=extensions or {},
    )


def from_query_string(text: bytes, arrival: Arrival, *, most: int = MAX_VALUES) -> Request:
    """The request of a GET. An empty operationName counts as none. Raises `Refused`."""
    if len(text) > LONGEST_QUERY_STRING:
        raise Refused(
            413, "PAYLOAD_TOO_LARGE", f"The query string is too long; {LONGEST_QUERY_STRING} bytes are allowed."
        )
    try:
        pairs = parse_qsl(text.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=MAX_PARAMETERS)
    except ValueError:  # UnicodeDecodeError is one
        raise bad("The query string is not percent-encoded UTF-8, or has too many parameters.") from None
    given: dict[str, Any] = dict(pairs)
    if len(given) != len(pairs):
        raise bad("A parameter of the query string comes more than once.")
    for name in ("variables", "extensions"):
        if value := given.get(name):
            given[name] = _parameter(name, value, most)
            arrival.values += value.count(",") + value.count("[") + value.count("{")
        else:
            given.pop(name, None)
    request = from_json(given, arrival)
    request.read_only = True
    return request


def _parameter(name: str, text: str, most: int) -> Any:
    try:
        return decode(text.encode(), most=most)
    except Refused:
        raise bad(f"{name} must be a JSON object.") from None
