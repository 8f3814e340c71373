"""A mutation's coerced input as the values that its verb takes: snake_case keys, ids as UUIDs, enums as text, money as a pair.

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

from crmgql.engine import declare, inputs
from crmgql.errors import BadUserInput
from crmgql.planner import codecs, metadata

RECORDS = {
    "after": "Stage",
    "allocationIds": "Allocation",
    "calendar": "BusinessCalendar",
    "copyOf": "RoutingRuleset",
    "events": "Event",
    "handOverTo": "User",
    "into": "Customer",
    "other": "Lead",
    "owner": "User",
    "planVersion": "CompPlanVersion",
    "productIds": "Product",
    "rule": "RoutingRule",
    "ruleset": "RoutingRuleset",
    "suggestion": "BankSuggestion",
}
"""Types of ids that follow neither from a relation of the mutation's record nor from their own name."""

MOST_ITEMS = 1000
"""Of any list in an input; verbs have lower caps of their own."""


def convert(
    known: metadata.Metadata, record: str, kind: GraphQLInputObjectType, coerced: dict[str, Any]
) -> dict[str, Any]:
    """The values of an input. Raises `BadUserInput` for an id that is none, or of another type."""
    return _Conversion(known, record).object(kind, coerced, "")


def convert_arguments(
    known: metadata.Metadata, arguments: Mapping[str, GraphQLArgument], coerced: dict[str, Any]
) -> dict[str, Any]:
    """The values of a field's arguments. Raises `BadUserInput`."""
    conversion = _Conversion(known, "")
    return {
        declare.snake(name): conversion.value(arguments[name].type, name, value, name)
        for name, value in coerced.items()
    }


def target(known: metadata.Metadata, record: str, name: str) -> str:
    """The type of record whose id a field of this name holds, in an input of a mutation of `record`.

    `id` and `parentId` are of the mutation's own type, `…Id` is of the type to which its relation of that name leads.
    """
    if name in ("id", "parentId"):
        return record
    noun = name.removesuffix("Id")
    relation = known.nodes[record].fields.get(noun) if record else None
    if isinstance(relation, metadata.One):
        return relation.target
    return RECORDS.get(noun, noun[0].upper() + noun[1:])


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
            case GraphQLInputObjectType() as inner:
                return inputs.PARTS[inner.name](**self.object(inner, value, f"{path}."))
            case GraphQLEnumType():
                return getattr(value, "value", value)
            case GraphQLScalarType(name="ID"):
                return self.id(name, value, path)
        return value

    def id(self, name: str, value: str, path: str) -> UUID:
        try:
            return codecs.decode_id(value, prefix=self.known.nodes[target(self.known, self.record, name)].prefix)
        except BadUserInput as error:
            raise BadUserInput(error.message, field=path) from None
