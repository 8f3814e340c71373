"""What `__schema` and `__type` answer: graphql-core's own fields, walked here within a budget, in the slow lane.

graphql-core's executor has no end to what a small document may make it do: each list of fields multiplies the one above
it. Here each value costs one of `MOST_VALUES`, several times what tools ask for. Answers are kept, as tools ask the same
few questions and the schema of a process does not change; but not those of strangers, so that nobody fills the memory.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import SimpleNamespace
from typing import Any

import orjson
from graphql import (
    FieldNode,
    GraphQLError,
    GraphQLField,
    GraphQLList,
    GraphQLObjectType,
    GraphQLSchema,
    SchemaMetaFieldDef,
    TypeMetaFieldDef,
    get_nullable_type,
)
from graphql.execution.values import VariableValues, get_argument_values

from crmgql.errors import BadUserInput, QueryTooComplex
from crmgql.planner.reader import Reader

MOST_VALUES = 150_000
MOST_KEPT_BYTES = 4 * 1024 * 1024
FIELDS: Mapping[str, GraphQLField] = {"__schema": SchemaMetaFieldDef, "__type": TypeMetaFieldDef}


@dataclass(slots=True)
class _Walk:
    reader: Reader
    variables: VariableValues
    info: Any
    values: int = 0
    below: dict[int, tuple[list[FieldNode], dict[str, list[FieldNode]]]] = field(default_factory=dict)
    """The fields below some nodes, by their list's identity: the same ones are met once per type of the schema."""

    def resolve(self, known: GraphQLField, source: Any, nodes: list[FieldNode]) -> Any:
        try:
            given = get_argument_values(known, nodes[0], self.variables) if known.args else {}
        except GraphQLError as error:
            raise BadUserInput(error.message) from None
        assert known.resolve is not None
        return self._complete(known.type, known.resolve(source, self.info, **given), nodes)

    def _complete(self, kind: Any, value: Any, nodes: list[FieldNode]) -> Any:
        self.values += 1
        if self.values > MOST_VALUES:
            raise QueryTooComplex(f"The answer of this introspection would have more than {MOST_VALUES} values.")
        if value is None:
            return None
        inner = get_nullable_type(kind)
        if isinstance(inner, GraphQLList):
            return [self._complete(inner.of_type, item, nodes) for item in value]
        if not isinstance(inner, GraphQLObjectType):
            return value.name if isinstance(value, Enum) else value
        return {key: self._field(inner, value, each) for key, each in self._below(inner, nodes).items()}

    def _field(self, kind: GraphQLObjectType, value: Any, nodes: list[FieldNode]) -> Any:
        name = nodes[0].name.value
        return kind.name if name == "__typename" else self.resolve(kind.fields[name], value, nodes)

    def _below(self, kind: GraphQLObjectType, nodes: list[FieldNode]) -> dict[str, list[FieldNode]]:
        if id(nodes) not in self.below:
            self.below[id(nodes)] = nodes, self.reader.below(kind.name, nodes)
        return self.below[id(nodes)][1]


class Introspection:
    """The answers of one process, as JSON."""

    def __init__(self, schema: GraphQLSchema) -> None:
        self._info = SimpleNamespace(schema=schema)
        self._kept: OrderedDict[Hashable, bytes] = OrderedDict()
        self._bytes = 0

    def kept(self, key: Hashable) -> bytes | None:
        return self._kept.get(key)

    def answer(self, reader: Reader, nodes: list[FieldNode], variables: VariableValues) -> bytes:
        """The value of a root field. Raises `QueryTooComplex`, `BadUserInput`."""
        walk = _Walk(reader, variables, self._info)
        return orjson.dumps(walk.resolve(FIELDS[nodes[0].name.value], None, nodes))

    def keep(self, key: Hashable, answer: bytes) -> None:
        if key in self._kept or len(answer) > MOST_KEPT_BYTES:
            return
        self._kept[key] = answer
        self._bytes += len(answer)
        while self._bytes > MOST_KEPT_BYTES:
            _, gone = self._kept.popitem(last=False)
            self._bytes -= len(gone)
