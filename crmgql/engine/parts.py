"""The parts of a query that no statement answers, introspection and computed fields, and how all parts become one answer.

Enters: a query's text with a hole for each such part. Leaves: the answer's bytes, the holes filled, in the order in which
the client asked. Each part is refused for itself: a computed field that is rejected is null with an error.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any

from graphql import FieldNode, GraphQLSchema
from graphql.execution.values import VariableValues

from crmgql import db, telemetry
from crmgql.engine import computed
from crmgql.engine.computed import COMPUTED
from crmgql.engine.documents import INTROSPECTION, Operation
from crmgql.engine.introspection import Introspection
from crmgql.engine.lanes import Lane
from crmgql.engine.pace import Pace
from crmgql.engine.shares import Shares
from crmgql.planner import metadata, selection
from crmgql.planner.plan import Prepared
from crmgql.planner.reader import Reader
from crmgql.planner.statement import HOLE
from crmgql.viewer import Viewer

HEAVY = 2000
"""Nodes from which on a statement has its part of the connections only; a computed field counts as many."""


@dataclass(slots=True)
class Filled:
    """What goes into the holes, in their order, with the errors of what was rejected."""

    values: list[bytes] = field(default_factory=list)
    errors: list[dict[str, Any]] = field(default_factory=list)


class Parts:
    """Works out the parts of one process's queries."""

    def __init__(self, schema: GraphQLSchema, known: metadata.Metadata, database: db.Database, shares: Shares) -> None:
        self.schema = schema
        self.metadata = known
        self.database = database
        self.shares = shares
        self.introspection = Introspection(schema)
        self.introspecting = Lane("introspecting")

    async def fill(self, prepared: Prepared, variables: VariableValues, viewer: Viewer | None, pace: Pace) -> Filled:
        """Everything that a query's holes need. Raises `QueryTooComplex`, `MaxCostExceeded`, `BadUserInput`."""
        reader = Reader(self.schema, self.metadata, prepared.fragments, variables.coerced)
        fields = reader.top("Query", prepared.operation)
        named = [(key, nodes, nodes[0].name.value) for key, nodes in fields.items()]
        pace.budget.compute(sum(name in COMPUTED for _, _, name in named))
        filled = Filled()
        for key, nodes, name in named:
            if name in INTROSPECTION:
                operation = prepared.operation.name.value if prepared.operation.name else None
                asked = (prepared.text, operation, key, repr(variables.coerced))
                filled.values.append(await self._introspect(asked, reader, nodes, variables, viewer, pace))
            elif name in COMPUTED:
                assert viewer is not None  # strangers may ask for none of them
                value, error = await self._compute(reader, nodes, variables, viewer, pace)
                filled.values.append(computed.encoded(value))
                filled.errors += [error] if error else []
        return filled

    async def _compute(
        self, reader: Reader, nodes: list[FieldNode], variables: VariableValues, viewer: Viewer, pace: Pace
    ) -> tuple[Any, dict[str, Any] | None]:
        pace.pay(None, HEAVY)
        await self.shares.take(viewer.user_id, heavy=True)
        try:
            with telemetry.span("graphql.computed"):
                ask = computed.Ask(self.database, viewer)
                return await computed.answer(ask, reader, self.metadata, nodes, variables)
        finally:
            self.shares.give(viewer.user_id, heavy=True)

    async def _introspect(
        self,
        asked: Hashable,
        reader: Reader,
        nodes: list[FieldNode],
        variables: VariableValues,
        viewer: Viewer | None,
        pace: Pace,
    ) -> bytes:
        found = self.introspection.kept(asked)
        if found is None:
            found = await self.introspecting.run(pace.client, self.introspection.answer, reader, nodes, variables)
            if viewer is not None:
                self.introspection.keep(asked, found)
        return found


def are_needed(operation: Operation) -> bool:
    """Whether a query has such parts."""
    return operation.introspects or not COMPUTED.keys().isdisjoint(operation.roots)


def read_records(operation: Operation) -> bool:
    """Whether a query asks for anything that a statement answers."""
    return bool(operation.roots.keys() - INTROSPECTION - COMPUTED.keys() - {"__typename"})


def skeleton(root: selection.Roots) -> str:
    """The text of a query that reads no records, with its holes."""
    texts = (f'"{item.name}"' if isinstance(item, selection.TypeName) else HOLE for _, item in root)
    return "{" + ",".join(f'"{key}":{text}' for (key, _), text in zip(root, texts, strict=True)) + "}"


def joined(text: str, filled: Filled, extensions: str | None) -> bytes:
    """The response body: the text with its holes filled, the errors, the extensions (JSON text)."""
    between = text.encode().split(HOLE.encode())
    pieces = [b'{"data":', between[0]]
    for value, after in zip(filled.values, between[1:], strict=True):
        pieces += [value, after]
    if filled.errors:
        pieces += [b',"errors":', computed.encoded(filled.errors)]
    if extensions is not None:
        pieces += [b',"extensions":', extensions.encode()]
    return b"".join([*pieces, b"}"])
