"""A mutation's coerced input as its verb takes it: snake_case keys, ids as UUIDs, enums as text, money as a pair.

The input's GraphQL type decides, never what a value looks like: JSON passes through untouched.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from graphql import (
    GraphQLArgument,
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLList,
    GraphQLScalarType,
    get_nullable_type,
)

from crmgql.engine import declare
from crmgql.errors import BadUserInput
from crmgql.planner import codecs, metadata

RECORDS = {
    "owner": "User",
    "seller": "User",
    "assignee": "User",
    "author": "User",
    "manager": "User",
    "user": "User",
    "calendar": "BusinessCalendar",
    "after": "Stage",
    "other": "Lead",
    "ruleset": "RoutingRuleset",
    "copyOf": "RoutingRuleset",
    "rule": "RoutingRule",
    "fallbackQueue": "LeadQueue",
    "targetUser": "User",
    "targetTeam": "Team",
    "targetQueue": "LeadQueue",
    "handOverTo": "User",
}
"""Types of ids whose name does not say it; `parentId` and `id` are of the mutation's own type."""


def convert(
    known: metadata.Metadata, record: str, kind: GraphQLInputObjectType, coerced: dict[str, Any]
) -> dict[str, Any]:
    """Raises `BadUserInput` for an id that is none, or of another type."""
    return _Conversion(known, record).object(kind, coerced, "")


def convert_arguments(
    known: metadata.Metadata, arguments: Mapping[str, GraphQLArgument], coerced: dict[str, Any]
) -> dict[str, Any]:
    """The same for the arguments of a field. Raises `BadUserInput`."""
    conversion = _Conversion(known, "")
    return {
        declare.snake(name): conversion.value(arguments[name].type, name, value, name)
        for name, value in coerced.items()
    }


MOST_ITEMS = 1000
"""Of any list in an input; verbs have lower caps of their own."""


@dataclass(frozen=True, slots=True)
class _Conversion:
    known: metadata.Metadata
    record: str

    def object(self, kind: GraphQLInputObjectType, value: dict[str, Any], prefix: str) -> dict[str, Any]:
        return {
            declare.snake(name): self.value(kind.fields[name].type, name, item, prefix + name)
            for name, item in value.items()
        }

    def value(self, kind: GraphQLInputType, name: str, value: Any, path: str) -> Any:
        if value is None:
            return None
        match get_nullable_type(kind):
            case GraphQLList(of_type=inner):
                if len(value) > MOST_ITEMS:
                    raise BadUserInput(f"Has {len(value)} items; at most {MOST_ITEMS} fit.", field=path)
                return [self.value(inner, name, item, f"{path}.{index}") for index, item in enumerate(value)]
            case GraphQLInputObjectType(name="MoneyInput"):
                return value["amount"], value["currency"]
            case GraphQLInputObjectType() as inner:
                return self.object(inner, value, f"{path}.")
            case GraphQLEnumType():
                return getattr(value, "value", value)
            case GraphQLScalarType(name="ID"):
                return self.id(name, value, path)
        return value

    def id(self, name: str, value: str, path: str) -> UUID:
        noun = name.removesuffix("Id")
        own = name in ("id", "parentId")
        target = self.record if own else RECORDS.get(noun, noun[0].upper() + noun[1:])
        try:
            return codecs.decode_id(value, prefix=self.known.nodes[target].prefix)
        except BadUserInput as error:
            raise BadUserInput(error.message, field=path) from None
