"""What a mutation answers: the record, read by the planner, and the rest of the payload, put together here.

Enters: the selection on a payload. Leaves: the roots of the record's statement, and the payload's JSON.
"""

from __future__ import annotations

from typing import Any

from graphql import FieldNode, GraphQLObjectType

from crmgql.engine import computed, mutations
from crmgql.planner import arguments, selection
from crmgql.planner.reader import Reader


class Payload:
    """The selection on a payload: the planned record fields, and the rest, which is put together here."""

    def __init__(self, reader: Reader, declaration: mutations.MutationDeclaration, nodes: list[FieldNode]) -> None:
        self.reader = reader
        self.declaration = declaration
        self.node = reader.metadata.nodes[declaration.record]
        kind = reader.schema.type_map[declaration.payload]
        assert isinstance(kind, GraphQLObjectType)
        self.kind = kind
        self.fields = reader.below(declaration.payload, nodes)

    @property
    def shows_record(self) -> bool:
        """Whether anything of the record is asked for."""
        return any(nodes[0].name.value == self.node.singular for nodes in self.fields.values())

    def root(self) -> selection.Roots:
        """The record's fields as roots of a statement."""
        id = arguments.Scalar(None, arguments.ChangedRecord())
        return tuple(
            (key, selection.RootOne(self.reader.object(self.node, nodes), id))
            for key, nodes in self.fields.items()
            if nodes[0].name.value == self.node.singular
        )

    def text(self, record: dict[str, Any] | None, extras: dict[str, Any], error: dict[str, Any] | None = None) -> str:
        """The payload's JSON: the record's fields as they were read, the extras as far as they are asked for, the error."""
        made: dict[str, Any] = {}
        for key, nodes in self.fields.items():
            name = nodes[0].name.value
            if name == "__typename":
                made[key] = self.declaration.payload
            elif name == "userErrors":
                made[key] = [] if error is None else [self._error(nodes, error)]
            elif name == self.node.singular:
                made[key] = (record or {}).get(key)
            else:
                made[key] = computed.project(self.reader, self.kind.fields[name].type, nodes, extras.get(name))
        return computed.encoded(made).decode()

    def _error(self, nodes: list[FieldNode], error: dict[str, Any]) -> dict[str, Any]:
        fields = self.reader.below("UserError", nodes)
        return {key: error.get(item[0].name.value, "UserError") for key, item in fields.items()}
