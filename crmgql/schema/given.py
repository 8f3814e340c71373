"""A mutation's coerced input as its verb takes it: snake_case keys, ids as UUIDs, enums as text, money as a pair."""

from __future__ import annotations

from decimal import Decimal
from enum import Enum
from typing import Any

from crmgql.errors import BadUserInput
from crmgql.planner import catalog, codecs
from crmgql.schema import declare

RECORDS = {
    "owner": "User",
    "seller": "User",
    "assignee": "User",
    "author": "User",
    "manager": "User",
    "user": "User",
}
"""Types of ids whose name does not say it; `parentId` and `id` are of the mutation's own type."""


def convert(known: catalog.Catalog, record: str, coerced: dict[str, Any]) -> dict[str, Any]:
    """Raises `BadUserInput` for an id that is none, or of another type."""
    return {declare.snake(name): _value(known, record, name, value, name) for name, value in coerced.items()}


def _value(known: catalog.Catalog, record: str, name: str, value: Any, path: str) -> Any:
    if value is None or isinstance(value, bool | int | Decimal):
        return value
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, dict):
        if set(value) == {"amount", "currency"}:
            return value["amount"], value["currency"]
        return {declare.snake(key): _value(known, record, key, item, f"{path}.{key}") for key, item in value.items()}
    if isinstance(value, list):
        return [_value(known, record, name, item, f"{path}.{index}") for index, item in enumerate(value)]
    if name == "id" or name.endswith("Id"):
        return _id(known, record, name, value, path)
    return value


def _id(known: catalog.Catalog, record: str, name: str, value: str, path: str) -> Any:
    noun = name.removesuffix("Id")
    if name in ("externalId",):
        return value
    target = record if name in ("id", "parentId") else RECORDS.get(noun, noun[0].upper() + noun[1:])
    try:
        return codecs.decode_id(value, prefix=known.nodes[target].prefix)
    except BadUserInput as error:
        raise BadUserInput(error.message, field=path) from None
