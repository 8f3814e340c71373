"""A plan: SQL, where its parameters come from, its cost. Plans are kept, bounded, by everything that shaped them.

plans = Plans(schema, catalog, size=1000, max_cost=50_000)
plan = plans.plan(document, operation, variables, viewer.who)
row = await database.fetch_json(plan.sql, plan.values(variables, viewer))
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

from graphql import (
    DocumentNode,
    FragmentDefinitionNode,
    GraphQLInputType,
    GraphQLSchema,
    OperationDefinitionNode,
    type_from_ast,
)

from crmgql import access
from crmgql.errors import MaxCostExceeded
from crmgql.planner import arguments, catalog, codecs, cost, paging, selection, shapes, statement
from crmgql.planner.arguments import Variables
from crmgql.sql.render import render
from crmgql.viewer import Viewer, Who

LONGEST_KEPT = 32_768
"""Longer documents are planned each time: the caches are bounded in number, and so in bytes too."""

Root = tuple[tuple[str, selection.Root], ...]
Binder = Callable[[Variables, Viewer], Any]


@dataclass(frozen=True, slots=True)
class Plan:
    """`cost` is the worst case in nodes. `binders` give the parameters' values in order."""

    sql: str
    binders: tuple[Binder, ...]
    cost: int

    def values(self, variables: Variables, viewer: Viewer) -> list[Any]:
        """The parameters of one execution. Raises `BadUserInput`."""
        return [bind(variables, viewer) for bind in self.binders]


@dataclass(frozen=True, slots=True)
class Prepared:
    """An operation of a document with what is known of it before any request."""

    text: str
    operation: OperationDefinitionNode
    fragments: dict[str, FragmentDefinitionNode]
    kinds: dict[str, GraphQLInputType]
    sizes: frozenset[str]


def prepare(schema: GraphQLSchema, text: str, document: DocumentNode, operation: OperationDefinitionNode) -> Prepared:
    fragments = {item.name.value: item for item in document.definitions if isinstance(item, FragmentDefinitionNode)}
    kinds: dict[str, Any] = {
        item.variable.name.value: type_from_ast(schema, item.type) for item in operation.variable_definitions or ()
    }
    return Prepared(text, operation, fragments, kinds, shapes.size_variables(document))


class Plans:
    """Makes and keeps plans. The least recently used goes first."""

    def __init__(self, schema: GraphQLSchema, known: catalog.Catalog, *, size: int, max_cost: int) -> None:
        self.schema = schema
        self.catalog = known
        self.size = size
        self.max_cost = max_cost
        self._kept: OrderedDict[Hashable, Plan | None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def plan(self, prepared: Prepared, variables: Variables, who: Who) -> Plan:
        """The plan of a validated operation. Raises `MaxCostExceeded`, `BadUserInput`, `Forbidden`."""
        name = prepared.operation.name.value if prepared.operation.name else None
        shape = shapes.shape(variables, prepared.kinds, prepared.operation, prepared.sizes)
        plan = self._known((prepared.text, name, who, shape), lambda: self.make(prepared, variables, who))
        assert plan is not None
        return plan

    def payload(
        self, prepared: Prepared, field: str, variables: Variables, who: Who, root: Callable[[], Root]
    ) -> Plan | None:
        """The plan of a mutation's payload, made from the record fields that `root` gives; None without such fields."""
        name = prepared.operation.name.value if prepared.operation.name else None
        shape = shapes.shape(variables, prepared.kinds, prepared.operation, prepared.sizes)
        return self._known((prepared.text, name, who, shape, field), lambda: self._payload(root(), who))

    def _payload(self, root: Root, who: Who) -> Plan | None:
        return self.compile(root, who) if root else None

    def _known(self, key: tuple[str, *tuple[Hashable, ...]], make: Callable[[], Plan | None]) -> Plan | None:
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        plan = make()
        if len(key[0]) > LONGEST_KEPT:
            return plan
        self._kept[key] = plan
        if len(self._kept) > self.size:
            self._kept.popitem(last=False)
        return plan

    def make(self, prepared: Prepared, variables: Variables, who: Who) -> Plan:
        """A plan made anew."""
        reader = selection.Reader(self.schema, self.catalog, prepared.fragments, variables)
        return self.compile(reader.root(prepared.operation), who)

    def compile(self, root: Root, who: Who) -> Plan:
        worst = cost.worst_case(root, who)
        if worst > self.max_cost:
            raise MaxCostExceeded(
                f"This query may answer with {worst} nodes; {self.max_cost} are allowed. Ask for smaller pages."
            )
        sql, sources = render(statement.compile_statement(root, self.catalog, who))
        return Plan(sql, tuple(_binder(source) for source in sources), worst)


def _binder(source: Hashable) -> Binder:
    match source:
        case arguments.Bound(origin=arguments.VariableRef(name="0")):
            return lambda variables, viewer: variables["0"]
        case access.ViewerId():
            return lambda variables, viewer: viewer.user_id
        case arguments.Bound() if isinstance(source.origin, arguments.Constant):
            constant = source.value({})
            return lambda variables, viewer: constant
        case arguments.Bound() | paging.CursorValue():
            return lambda variables, viewer: source.value(variables)
        case statement.IdsOf(origin, prefix):
            return lambda variables, viewer: _ids_of(arguments.current(origin, variables), prefix)
        case _:
            raise TypeError(f"no value for {source!r}")


def _ids_of(ids: list[str], prefix: str) -> list[Any]:
    return [codecs.decode_id(id, prefix=prefix) for id in ids if id.startswith(prefix)]
