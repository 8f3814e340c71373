"""What of a request's variables may shape a plan; it is part of the plan's key.

Nulls, the keys of input objects, enum values, booleans, id prefixes and page sizes shape a plan; other values do not.
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

from crmgql.planner.arguments import Variables

Shape = Callable[[Any], Hashable]


def page_size_variables(document: DocumentNode) -> frozenset[str]:
    """Variables used as `first` or `last` anywhere in the document."""
    finder = _PageSizes()
    visit(document, finder)
    return frozenset(finder.names)


class _PageSizes(Visitor):
    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def enter_field(self, node: FieldNode, *_: Any) -> None:
        for argument in node.arguments or ():
            if argument.name.value in ("first", "last") and isinstance(argument.value, VariableNode):
                self.names.add(argument.value.name.value)


def shape(
    variables: Variables, kinds: dict[str, GraphQLInputType], operation: OperationDefinitionNode, sizes: frozenset[str]
) -> Hashable:
    """The part of the plan's key that the variables decide. Absent variables are told from null ones."""
    if not operation.variable_definitions:
        return None
    parts: list[Hashable] = []
    for name, kind in kinds.items():
        if name not in variables:
            parts.append("absent")
        elif name in sizes:
            parts.append(variables[name])
        else:
            parts.append(_shape(variables[name], kind))
    return tuple(parts)


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
    if isinstance(kind, GraphQLScalarType) and kind.name == "ID":
        return ("ids", *sorted({str(item)[:4] for item in value}))
    if isinstance(kind, GraphQLInputObjectType | GraphQLEnumType | GraphQLList):
        return ("list", *(_shape(item, kind) for item in value))
    return "null among values" if any(item is None for item in value) else "values"
