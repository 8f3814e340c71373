"""Arguments as trees whose leaves remember where they come from: the document or a variable.

A plan is kept for many requests, so a value may shape it only if the cache key holds it (see `shapes`); every other
value stays a reference into the variables and is bound at execution.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any

from graphql import (
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLList,
    GraphQLNonNull,
    ListValueNode,
    NullValueNode,
    ObjectValueNode,
    ValueNode,
    VariableNode,
    value_from_ast,
)

from crmgql.errors import BadUserInput
from crmgql.planner.codecs import Codec

Variables = Mapping[str, Any]
MAX_LIST = 1000
"""The longest list of values that a filter takes."""
MAX_PATTERN = 1000
"""The longest part of a text that a filter looks for: PostgreSQL tries a pattern on each row, at each place."""


@dataclass(frozen=True, slots=True)
class Constant:
    """A value from the document; `key` keeps equal constants of different types apart."""

    value: Hashable
    key: str


@dataclass(frozen=True, slots=True)
class VariableRef:
    name: str
    path: tuple[str | int, ...] = ()


@dataclass(frozen=True, slots=True)
class Listed:
    """A list written in the document, with variables among its items."""

    items: tuple[Constant | VariableRef, ...]


@dataclass(frozen=True, slots=True)
class ChangedRecord:
    """The record that a mutation made or changed: its id, bound as it is, stands under `CHANGED` among the variables."""


CHANGED = "the changed record"
"""No client's variable can have this name."""

Origin = Constant | VariableRef | Listed | ChangedRecord


@dataclass(frozen=True, slots=True)
class Scalar:
    """A leaf value, an enum value, or a list of those, with the value of this very request."""

    value: Any
    origin: Origin


@dataclass(frozen=True, slots=True)
class Objects:
    items: tuple[Argument, ...]


@dataclass(frozen=True, slots=True)
class Object:
    fields: dict[str, Argument]


Argument = Scalar | Objects | Object | None
"""None is an explicit null. An absent argument is not in its dict."""


def read(node: ValueNode, kind: GraphQLInputType, variables: Variables) -> Argument:
    """A validated value of the document as an argument tree. Raises `BadUserInput`."""
    if isinstance(kind, GraphQLNonNull):
        if isinstance(node, VariableNode):
            _require_value(node, variables)
        kind = kind.of_type
    if isinstance(node, VariableNode):
        return _known(variables[node.name.value], kind, VariableRef(node.name.value))
    if isinstance(node, NullValueNode):
        return None
    if isinstance(kind, GraphQLList):
        return _read_list(node, kind, variables)
    if isinstance(kind, GraphQLInputObjectType) and isinstance(node, ObjectValueNode):
        fields = {}
        for item in node.fields:
            if isinstance(item.value, VariableNode) and item.value.name.value not in variables:
                continue
            fields[item.name.value] = read(item.value, kind.fields[item.name.value].type, variables)
        return Object(fields)
    value = value_from_ast(node, kind)
    return Scalar(value, _constant(value))


def _require_value(node: VariableNode, variables: Variables) -> None:
    """Raises `BadUserInput` for a variable that is null where a value is needed: with a default, its type lets it be null."""
    name = node.name.value
    if variables[name] is None:
        raise BadUserInput(f"${name} is null where a value is needed; send one, or leave it out for its default.")


def _read_list(node: ValueNode, kind: GraphQLList[Any], variables: Variables) -> Argument:
    nodes = node.values if isinstance(node, ListValueNode) else (node,)
    items = [read(item, kind.of_type, variables) for item in nodes]
    if _holds_objects(kind):
        return Objects(tuple(items))
    scalars = [item for item in items if isinstance(item, Scalar)]  # all: the items of our lists are not nullable
    origins = tuple(scalar.origin for scalar in scalars)
    return Scalar([scalar.value for scalar in scalars], Listed(origins))  # type: ignore[arg-type]


def _known(value: Any, kind: GraphQLInputType, origin: VariableRef) -> Argument:
    """A coerced variable value, or a part of one, as an argument tree."""
    if isinstance(kind, GraphQLNonNull):
        kind = kind.of_type
    if value is None:
        return None
    if isinstance(kind, GraphQLInputObjectType):
        return Object(
            {
                name: _known(value[name], kind.fields[name].type, VariableRef(origin.name, (*origin.path, name)))
                for name in kind.fields
                if name in value
            }
        )
    if isinstance(kind, GraphQLList) and _holds_objects(kind):
        return Objects(
            tuple(
                _known(item, kind.of_type, VariableRef(origin.name, (*origin.path, index)))
                for index, item in enumerate(value)
            )
        )
    return Scalar(value, origin)


def _holds_objects(kind: GraphQLList[Any]) -> bool:
    inner = kind.of_type
    if isinstance(inner, GraphQLNonNull):
        inner = inner.of_type
    return isinstance(inner, GraphQLInputObjectType)


def _constant(value: Any) -> Constant:
    return Constant(tuple(value) if isinstance(value, list) else value, type(value).__name__)


def current(origin: Origin, variables: Variables) -> Any:
    """The value an origin has in a request."""
    if isinstance(origin, Constant):
        return origin.value
    if isinstance(origin, Listed):
        return [current(item, variables) for item in origin.items]
    if isinstance(origin, ChangedRecord):
        return variables[CHANGED]
    value = variables[origin.name]
    for step in origin.path:
        value = value[step]
    return value


@dataclass(frozen=True, slots=True)
class Bound:
    """Parameter source: a client's value, converted by a codec; `form` is plain, list or a LIKE pattern."""

    origin: Origin
    codec: Codec
    form: str = "plain"

    def value(self, variables: Variables) -> Any:
        """Raises `BadUserInput` for a value that the column can't hold."""
        value = current(self.origin, variables)
        if self.form == "list":
            return [self.codec.bind(item) for item in value]
        bound = self.codec.bind(value)
        if self.form == "contains":
            return f"%{self._escaped(bound)}%"
        if self.form == "startsWith":
            return f"{self._escaped(bound)}%"
        return bound

    def _escaped(self, text: str) -> str:
        if len(text) > MAX_PATTERN:
            raise BadUserInput(f"{self.form} has {len(text)} characters; {MAX_PATTERN} are the most.")
        return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
