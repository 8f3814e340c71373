"""A plan: SQL, where its parameters come from, its cost. Plans are kept, bounded, by everything that shaped them.

    plans = Plans(schema, metadata, size=1000, max_cost=50_000)
    prepared = prepare(schema, text, document, operation)
    plan = plans.plan(prepared, variables, viewer.who)
    row = await database.fetch_json(plan.sql, plan.values(variables, viewer))

A plan holds no value of a request, only where each comes from.
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
from crmgql.access.sights import SEEN
from crmgql.errors import MaxCostExceeded
from crmgql.planner import arguments, codecs, cost, metadata, paging, selection, shapes, sights, statement, stream
from crmgql.planner.arguments import Variables
from crmgql.planner.reader import Reader
from crmgql.planner.sizes import Scan
from crmgql.sql import ast
from crmgql.sql.render import render
from crmgql.viewer import Viewer, Who

LONGEST_KEPT = 32_768
"""Longer documents are planned each time."""
KEPT_CHARACTERS = 8_388_608
"""Of the SQL of all kept plans together."""

MOST_SIGHTS = 100

Key = tuple[str, str | None, Hashable, Hashable, str]
Binder = Callable[[Variables, Viewer], Any]


@dataclass(frozen=True, slots=True)
class Plan:
    """`cost` is the worst case in nodes, without the rows of `scans`. `binders` give the parameters' values in order."""

    sql: str
    binders: tuple[Binder, ...]
    cost: int
    scans: tuple[Scan, ...] = ()

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
    """Makes and keeps plans. The least recently used goes first. `make` and `compile` may run in a thread.

    `elsewhere` names the root fields that no statement answers.
    """

    def __init__(
        self,
        schema: GraphQLSchema,
        known: metadata.Metadata,
        *,
        size: int,
        max_cost: int,
        elsewhere: frozenset[str] = frozenset(),
    ) -> None:
        self.schema = schema
        self.elsewhere = elsewhere
        self.metadata = known
        self.size = size
        self.max_cost = max_cost
        self._kept: OrderedDict[Key, Plan] = OrderedDict()
        self._characters = 0
        self._sights: OrderedDict[Hashable, Plan] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def plan(self, prepared: Prepared, variables: Variables, who: Who) -> Plan:
        """The plan of a validated operation, from now on kept. Raises `MaxCostExceeded`, `BadUserInput`, `Forbidden`."""
        key = self.key(prepared, variables, who)
        plan = self.kept(key)
        if plan is None:
            plan = self.make(prepared, variables, who)
            self.keep(key, plan)
        return plan

    def key(self, prepared: Prepared, variables: Variables, who: Who, field: str = "") -> Key:
        """By what a plan is kept: everything that shapes it. `field` is that of a mutation, whose payload it reads."""
        name = prepared.operation.name.value if prepared.operation.name else None
        return (
            prepared.text,
            name,
            access.sight(who),
            shapes.shape(variables, prepared.kinds, prepared.operation, prepared.sizes),
            field,
        )

    def kept(self, key: Key) -> Plan | None:
        plan = self._kept.get(key)
        if plan is not None:
            self._kept.move_to_end(key)
        return plan

    def keep(self, key: Key, plan: Plan) -> None:
        if len(key[0]) > LONGEST_KEPT or key in self._kept:
            return
        self._kept[key] = plan
        self._characters += len(plan.sql)
        while len(self._kept) > self.size or self._characters > KEPT_CHARACTERS:
            _, gone = self._kept.popitem(last=False)
            self._characters -= len(gone.sql)

    def make(self, prepared: Prepared, variables: Variables, who: Who) -> Plan:
        """A plan made anew."""
        reader = Reader(self.schema, self.metadata, prepared.fragments, variables)
        return self.compile(reader.root(prepared.operation, self.elsewhere), who)

    def make_events(self, prepared: Prepared, variables: Variables, who: Who, *, shared: bool = False) -> Plan:
        """How a subscription reads events, made anew; `cost` is that of one event. `shared`: those about subjects of which
        everybody with the same rights sees the same."""
        reader = Reader(self.schema, self.metadata, prepared.fragments, variables)
        key, wanted = reader.events(prepared.operation)
        worst = cost.worst_event(wanted, who)
        return self._planned(worst, lambda: statement.compile_events(key, wanted, self.metadata, who, shared=shared))

    def sights(self, who: Who) -> Plan:
        """How it is found out what events did to a follower's sight of their subjects."""
        found = self._sights.get(access.sight(who))
        if found is None:
            sql, sources = render(sights.compile_sights(who))
            found = Plan(sql, tuple(_binder(source) for source in sources), 0)
            self._sights[access.sight(who)] = found
            if len(self._sights) > MOST_SIGHTS:
                self._sights.popitem(last=False)
        return found

    def make_page(self, wanted: selection.Object, where: arguments.Argument, who: Who, most: int) -> tuple[Plan, int]:
        """How an export reads a page of records, and their number: `most`, if they may bring no more than a query may."""
        one = cost.worst_object(wanted, who)
        size = max(1, min(most, self.max_cost // one.nodes))
        plan = self._planned(one, lambda: statement.compile_page(wanted, where, size, self.metadata, who))
        return plan, size

    def compile(self, root: selection.Roots, who: Who) -> Plan:
        worst = cost.worst_case(root, who)
        return self._planned(worst, lambda: statement.compile_statement(root, self.metadata, who))

    def _planned(self, worst: cost.Worst, make: Callable[[], ast.Statement]) -> Plan:
        if worst.nodes > self.max_cost:
            raise MaxCostExceeded(
                f"This query may answer with {worst.nodes} nodes; {self.max_cost} are allowed. Ask for smaller pages."
            )
        sql, sources = render(make())
        return Plan(sql, tuple(_binder(source) for source in sources), worst.nodes, tuple(worst.scans))


def _binder(source: Hashable) -> Binder:
    match source:
        case arguments.Bound(origin=arguments.ChangedRecord()):
            return lambda variables, viewer: variables[arguments.CHANGED]
        case access.Parameter():
            return lambda variables, viewer: access.value_of(source, viewer)
        case arguments.Bound() if isinstance(source.origin, arguments.Constant):
            constant = source.value({})
            return lambda variables, viewer: constant
        case arguments.Bound() | paging.CursorValue() | stream.CursorPart():
            return lambda variables, viewer: source.value(variables)
        case statement.EventIds():
            return lambda variables, viewer: variables[statement.EVENT_IDS]
        case sights.SightNow():
            return lambda variables, viewer: variables.get(sights.SIGHT, SEEN)
        case statement.LastRecord():
            return lambda variables, viewer: variables[statement.LAST_RECORD]
        case statement.IdsOf(origin, prefix):
            return lambda variables, viewer: _ids_of(arguments.current(origin, variables), prefix)
        case _:
            raise TypeError(f"no value for {source!r}")


def _ids_of(ids: list[str], prefix: str) -> list[Any]:
    return [codecs.decode_id(id, prefix=prefix) for id in ids if id.startswith(prefix)]
