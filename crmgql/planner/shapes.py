"""What of a request's variables may shape a plan; it is part of the plan's key.

Nulls, the keys of input objects, enum values, booleans, id prefixes, page sizes and how many ids `nodes` has shape a
plan, for they decide its SQL or its cost; other values do not. A list that is too long has another shape than one that is not.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLScalarType,
    OperationDefinitionNode,
    VariableNode,
    Visitor,
    visit,
)

from crmgql.planner.arguments import MAX_LIST, Variables

LONGEST_NAME = 60
"""Of a type; longer ones are names of none."""

Shape = Callable[[Any], Hashable]


def size_variables(document: DocumentNode) -> frozenset[str]:
    """Variables used as `first`, `last`, `ids` or `types` anywhere in the document: a plan's cost depends on them."""
    finder = _Sizes()
    visit(document, finder)
    return frozenset(finder.names)


class _Sizes(Visitor):
    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def enter_field(self, node: FieldNode, *_: Any) -> None:
        for argument in node.arguments or ():
            if argument.name.value in ("first", "last", "ids", "types") and isinstance(argument.value, VariableNode):
                self.names.add(argument.value.name.value)


def shape(
    variables: Variables, kinds: dict[str, GraphQLInputType], operation: OperationDefinitionNode, sizes: frozenset[str]
) -> Hashable:
    """The part of the plan's key that the variables decide. Absent variables are distinguished from null ones."""
    if not operation.variable_definitions:
        return None
    parts: list[Hashable] = []
    for name, kind in kinds.items():
        if name not in variables:
            parts.append("absent")
        elif name in sizes:
            parts.append(_size(variables[name]))
        else:
            parts.append(_shape(variables[name], kind))
    return tuple(parts)


def _size(value: Any) -> Hashable:
    """A page size, how many ids there are of which types, or names of types."""
    return (len(value), *_prefixes(value)) if isinstance(value, list) else value


def _prefixes(ids: list[Any]) -> list[str]:
    return sorted({str(id)[:4] if str(id)[3:4] == "_" else str(id)[:LONGEST_NAME] for id in ids})


def _shape(value: Any, kind: GraphQLInputType) -> Hashable:
    if isinstance(kind, GraphQLNonNull):
        kind = kind.of_type
    if value is None:
        return None
    if isinstance(kind, GraphQLList):
        return _list_shape(value, kind.of_type)
    if isinstance(kind, GraphQLInputObjectType):
        return tuple((name, _shape(value[name], kind.fields[name].type)) for name in kind.fields if name in value)
    if isinstance(kind, GraphQLEnumType):
        return str(getattr(value, "value", value))
    if isinstance(kind, GraphQLScalarType) and kind.name == "ID":
        return str(value)[:4]
    if isinstance(value, bool):
        return value
    return "value"


def _list_shape(value: list[Any], kind: GraphQLInputType) -> Hashable:
    if isinstance(kind, GraphQLNonNull):
        kind = kind.of_type
    if isinstance(kind, GraphQLInputObjectType | GraphQLEnumType | GraphQLList):
        return ("list", *(_shape(item, kind) for item in value))
    if len(value) > MAX_LIST:
        return "too many values"
    return "values"
