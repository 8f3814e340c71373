"""Documents of exports: what is wanted of each record, checked when an export is asked for and read in pages when it is written.

    fragment Record on Order { id version number customer { id name } }

A document is a fragment `Record` on any type of records, with the fragments that it uses, without variables. It is put into a
query for records of that type, which is validated like any other; its pages are read by id, each by one statement.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from graphql import DocumentNode, GraphQLSchema, GraphQLSyntaxError
from graphql.execution.values import get_variable_values

from crmgql.db import Connection
from crmgql.engine import fragments
from crmgql.engine.documents import MAX_ERRORS, Documents
from crmgql.engine.errors import Rejected
from crmgql.engine.lanes import Lane
from crmgql.engine.parsing import parse
from crmgql.errors import BadUserInput
from crmgql.planner import metadata, selection
from crmgql.planner.plan import Plan, Plans
from crmgql.planner.reader import Reader
from crmgql.planner.statement import LAST_RECORD
from crmgql.viewer import NOBODY, Viewer

NAME = "Record"
EXAMPLE = "fragment Record on Order { id version number }"
QUERY = """
query ExportedRecords($where: {type}Where! = {{}}) {{ {plural}(first: 1, where: $where) {{ nodes {{ ...{name} }} }} }}"""
PAGE = 500
"""Records that one statement reads, where they don't bring too many others along."""


@dataclass(frozen=True, slots=True)
class Pages:
    """A plan for pages of `size` records behind one, with the values of the filter."""

    record: str
    plan: Plan
    size: int
    variables: dict[str, Any]

    async def read(self, connection: Connection, viewer: Viewer) -> AsyncIterator[list[str]]:
        """All pages of JSON texts, in the order of the ids, as the connection's transaction sees them."""
        last = NOBODY
        while True:
            values = self.plan.values({**self.variables, LAST_RECORD: last}, viewer)
            rows: list[tuple[UUID, str]] = [tuple(row) for row in await connection.fetch(self.plan.sql, *values)]
            rows.sort()
            if rows:
                yield [text for _, text in rows]
            if len(rows) < self.size:
                return
            last = rows[-1][0]


class Exporting:
    """Checks and plans exports' documents with the engine's schema, plans and lane."""

    def __init__(self, schema: GraphQLSchema, documents: Documents, plans: Plans, lane: Lane) -> None:
        self.schema = schema
        self.documents = documents
        self.plans = plans
        self.lane = lane

    async def check(self, text: str, where: dict[str, Any] | None, viewer: Viewer) -> str:
        """The type of the records. Raises `BadUserInput` for a document or a filter that can't be used, `MaxCostExceeded`,
        `Forbidden`."""
        return (await self.pages(text, where, viewer)).record

    async def pages(self, text: str, where: dict[str, Any] | None, viewer: Viewer) -> Pages:
        return await self.lane.run(viewer.user_id, self._pages, text, where, viewer)

    def _pages(self, text: str, where: dict[str, Any] | None, viewer: Viewer) -> Pages:
        node, wanted, filters, variables = self._read(text, where)
        plan, size = self.plans.make_page(wanted, filters, viewer.who, PAGE)
        plan.values({**variables, LAST_RECORD: NOBODY}, viewer)
        return Pages(node.name, plan, size, variables)

    def _read(
        self, text: str, where: dict[str, Any] | None
    ) -> tuple[metadata.Node, selection.Object, Any, dict[str, Any]]:
        """The type, what is wanted of a record, the filter and its values. Raises `BadUserInput`."""
        try:
            node = self._node(parse(text, max_tokens=self.documents.limits.tokens))
            query = QUERY.format(type=node.name, plural=node.plural, name=NAME)
            prepared = self.documents.read(f"{text}\n{query}").find(None).prepared
        except GraphQLSyntaxError as error:
            raise BadUserInput(error.message, field="document") from None
        except RecursionError:
            raise BadUserInput("The document is nested too deeply.", field="document") from None
        except Rejected as error:
            raise BadUserInput("; ".join(map(fragments.described, error.errors)), field="document") from None
        definitions = prepared.operation.variable_definitions or ()
        coerced = get_variable_values(self.schema, definitions, {"where": where or {}}, max_errors=MAX_ERRORS)
        if isinstance(coerced, list):
            raise BadUserInput(coerced[0].message, field="filter")
        reader = Reader(self.schema, self.plans.metadata, prepared.fragments, coerced.coerced)
        ((_, root),) = reader.root(prepared.operation)
        assert isinstance(root, selection.RootMany)
        ((_, part),) = root.connection.parts
        assert isinstance(part, selection.Nodes)
        return node, part.object, root.connection.arguments.get("where"), dict(coerced.coerced)

    def _node(self, document: DocumentNode) -> metadata.Node:
        """The type that the fragment is on."""
        named = fragments.named(document, EXAMPLE)
        known = self.plans.metadata.nodes
        kind = named.get(NAME)
        if kind not in known or known[kind].only:
            raise BadUserInput(
                f"It must have a fragment {NAME} on a type of records, such as “{EXAMPLE}”.", field="document"
            )
        return known[kind]
