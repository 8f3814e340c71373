"""One operation from text to answer: document → variables → plan → one statement → bytes.

The stages are methods in the order in which a request passes them. Queries never run a resolver; introspection alone
is left to graphql-core; mutations go through `mutate`.

What may be rejected here, in this order: a missing viewer, from the document alone, and then the variables. They may
hold `MAX_VALUES` values, list items and entries of objects counted on every level, for coercing them takes the event
loop's time; lists that a field takes have lower caps of their own.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import orjson
import strawberry
import structlog
from graphql import (
    DocumentNode,
    ExecutionResult,
    FieldNode,
    FragmentSpreadNode,
    GraphQLSchema,
    OperationDefinitionNode,
    OperationType,
    SelectionSetNode,
    VariableNode,
    Visitor,
    execute_sync,
    visit,
)
from graphql.execution.values import VariableValues, get_variable_values

from crmgql import db
from crmgql.config import Settings
from crmgql.domain.identity import Identities
from crmgql.domain.sessions import Issue
from crmgql.errors import CrmError, QueryTooComplex, Unauthenticated
from crmgql.planner import catalog, selection
from crmgql.planner.plan import Plans, Prepared
from crmgql.schema import computed, documents, telemetry
from crmgql.schema.computed import COMPUTED
from crmgql.schema.documents import INTROSPECTION, Operation
from crmgql.schema.errors import Rejected, from_graphql, rejected
from crmgql.schema.mutate import LOG_IN, Mutations
from crmgql.schema.mutating import MUTATIONS, Visit
from crmgql.viewer import Clock, Viewer, system_clock

log = structlog.get_logger("crmgql")
NO_VARIABLES = VariableValues(sources={}, coerced={})
MAX_VALUES = 20_000
MAX_COMPUTED = 5
"""Each costs statements of its own."""


@dataclass(slots=True)
class Request:
    """One GraphQL request, however it arrived. `variables` are as the client sent them.

    `remote` is the client's address, against which failed logins are counted; `clock` is of those not logged in yet.
    """

    query: str
    operation_name: str | None = None
    variables: dict[str, Any] = field(default_factory=dict)
    read_only: bool = False
    remote: str | None = None
    clock: Clock = system_clock


class Engine:
    """What a process keeps between requests.

    `secret` signs access tokens; without it nobody can log in. `identities`, where wiring sets them, are told whom to
    forget when somebody's roles, sessions or keys change.
    """

    def __init__(
        self,
        schema: strawberry.Schema,
        known: catalog.Catalog,
        database: db.Database,
        settings: Settings,
        secret: str | None = None,
    ) -> None:
        self.strawberry = schema
        self.schema: GraphQLSchema = schema._schema
        self.database = database
        self.settings = settings
        self.plans = Plans(self.schema, known, size=settings.plan_cache_size, max_cost=settings.max_cost)
        limits = documents.Limits(
            settings.max_tokens,
            settings.max_depth,
            settings.max_aliases,
            settings.max_directives,
            settings.introspection,
        )
        self.secret = secret
        self.identities: Identities | None = None
        self.mutations = Mutations(self.schema, self.plans, database, self.forget)
        self.documents = documents.Documents(self.schema, limits, size=settings.plan_cache_size)

    async def answer(self, request: Request, viewer: Viewer | None) -> bytes:
        """The response body. Raises `Rejected` for a request that gets no data."""
        return await self.run(self.operation(request), request, viewer)

    def operation(self, request: Request) -> Operation:
        """The operation that a request asks for. Raises `Rejected`."""
        with telemetry.span("graphql.parse"):
            document = self.documents.get(request.query)
        try:
            return document.find(request.operation_name)
        except CrmError as error:
            raise rejected(error) from error

    async def run(self, operation: Operation, request: Request, viewer: Viewer | None) -> bytes:
        """The response body of a request's operation. Raises `Rejected` for one that gets no data."""
        started = time.perf_counter()
        try:
            if viewer is None and _needs_viewer(operation):
                raise Unauthenticated(LOG_IN)
            variables = self.variables(operation, request.variables)
            if operation.kind == "mutation":
                return await self.mutate(operation.prepared, variables, viewer, request)
            if viewer is None or operation.introspects or operation.roots & COMPUTED.keys():
                return await self._special(operation.prepared, variables, viewer, request)
            return await self.query(operation.prepared, variables.coerced, viewer, started)
        except CrmError as error:
            raise rejected(error) from error
        except RecursionError:
            raise rejected(QueryTooComplex("The input is nested too deeply.")) from None

    def variables(self, operation: Operation, given: dict[str, Any]) -> VariableValues:
        """Coerced variables. Raises `Rejected`, `QueryTooComplex`."""
        definitions = operation.prepared.operation.variable_definitions
        if not definitions:
            return NO_VARIABLES
        if operation.texts is not None and (texts := _texts(operation.texts, given)) is not None:
            return VariableValues(sources={}, coerced=texts)
        _refuse_huge(given)
        coerced = get_variable_values(self.schema, definitions, given, max_errors=documents.MAX_ERRORS)
        if isinstance(coerced, list):
            raise from_graphql(coerced, "BAD_USER_INPUT")
        return coerced

    async def query(self, prepared: Prepared, variables: dict[str, Any], viewer: Viewer, started: float) -> bytes:
        with telemetry.span("graphql.plan"):
            plan = self.plans.plan(prepared, variables, viewer.who)
            values = plan.values(variables, viewer)
        with telemetry.span("graphql.sql") as span:
            telemetry.note_sql(span, plan.sql)
            row = await self.database.fetch_json(plan.sql, values)
        data, nodes = row
        self._log(prepared, plan.sql, nodes, started)
        cost = f'{{"requested":{plan.cost},"actual":{nodes},"limit":{self.settings.max_cost}}}'
        return f'{{"data":{data},"extensions":{{"cost":{cost}}}}}'.encode()

    def _log(self, prepared: Prepared, sql: str, nodes: int, started: float) -> None:
        if self.settings.log_level in ("warning", "error"):
            return
        name = prepared.operation.name.value if prepared.operation.name else None
        facts: dict[str, Any] = {"operation": name, "statements": 1, "nodes": nodes}
        if self.settings.log_sql:
            facts["sql"] = sql
        log.info("query", **facts, ms=round((time.perf_counter() - started) * 1000, 2))

    async def mutate(self, prepared: Prepared, variables: Any, viewer: Viewer | None, request: Request) -> bytes:
        clock = request.clock if viewer is None else viewer.clock
        visit = Visit(self.database, viewer, request.remote, clock, self._issue())
        return await self.mutations.run(prepared, variables, visit)

    def forget(self, user_id: UUID) -> None:
        if self.identities is not None:
            self.identities.forget(user_id)

    def _issue(self) -> Issue | None:
        if self.secret is None:
            return None
        return Issue(self.secret, self.settings.access_token_minutes, self.settings.refresh_token_days)

    async def _special(
        self, prepared: Prepared, variables: VariableValues, viewer: Viewer | None, request: Request
    ) -> bytes:
        """Queries with introspection or computed fields in them, and those of nobody, refused before if they need data."""
        reader = selection.Reader(self.schema, self.plans.catalog, prepared.fragments, variables.coerced)
        fields = reader.collect("Query", [prepared.operation.selection_set])
        names = {nodes[0].name.value for nodes in fields.values()}
        wanted = {key: nodes for key, nodes in fields.items() if nodes[0].name.value in COMPUTED}
        if len(wanted) > MAX_COMPUTED:
            raise QueryTooComplex(f"At most {MAX_COMPUTED} computed fields fit into a query, not {len(wanted)}.")
        data: dict[str, Any] = {}
        errors: list[dict[str, Any]] = []
        meta = [node for nodes in fields.values() if nodes[0].name.value in INTROSPECTION for node in nodes]
        if meta:
            data |= self._introspection(prepared, meta, request.variables)
        if viewer is not None and names - INTROSPECTION - COMPUTED.keys() - {"__typename"}:
            root = reader.root(prepared.operation, skip=(*INTROSPECTION, *COMPUTED))
            plan = self.plans.compile(root, viewer.who)
            row = await self.database.fetch_json(plan.sql, plan.values(variables.coerced, viewer))
            data |= orjson.loads(row["data"])
        if viewer is not None:
            ask = computed.Ask(self.database, viewer)
            for key, nodes in wanted.items():
                data[key], error = await computed.answer(ask, reader, self.plans.catalog, nodes, variables)
                errors += [error] if error else []
        answer: dict[str, Any] = {"data": {key: data.get(key, "Query") for key in fields}}
        return computed.encoded({**answer, "errors": errors} if errors else answer)

    def _introspection(self, prepared: Prepared, fields: list[FieldNode], given: dict[str, Any]) -> dict[str, Any]:
        """What introspection fields answer. graphql-core coerces the given variables itself: only those used in them."""
        used = _variables_in(fields, prepared)
        operation = OperationDefinitionNode(
            operation=OperationType.QUERY,
            selection_set=SelectionSetNode(selections=tuple(fields)),
            variable_definitions=tuple(
                item for item in prepared.operation.variable_definitions or () if item.variable.name.value in used
            ),
        )
        document = DocumentNode(definitions=(operation, *prepared.fragments.values()))
        result = execute_sync(self.schema, document, variable_values=given)
        assert isinstance(result, ExecutionResult)
        if result.errors:
            raise from_graphql(result.errors, "BAD_USER_INPUT")
        return result.data or {}


def _needs_viewer(operation: Operation) -> bool:
    """Whether data is asked for, be it under a condition; the variables, which decide conditions, aren't read yet."""
    if operation.kind == "mutation":
        return any(name in MUTATIONS and not MUTATIONS[name].public for name in operation.roots)
    return any(not name.startswith("__") for name in operation.roots)


def _texts(names: tuple[tuple[str, bool], ...], given: dict[str, Any]) -> dict[str, Any] | None:
    """Coerced variables if all of them are strings that stay as they are, which is so for most queries; else None."""
    coerced: dict[str, Any] = {}
    for name, may_be_absent in names:
        value = given.get(name)
        if type(value) is str:
            coerced[name] = value
        elif name in given or not may_be_absent:
            return None
    return coerced


def _refuse_huge(given: dict[str, Any]) -> None:
    count = 0
    rest: list[Any] = [given]
    while rest:
        value = rest.pop()
        inner = value.values() if isinstance(value, dict) else value
        count += len(inner)
        if count > MAX_VALUES:
            raise QueryTooComplex(f"The variables have more than {MAX_VALUES} values.")
        rest.extend(item for item in inner if isinstance(item, (dict, list)))


class _Variables(Visitor):
    """Names of the variables in nodes, the fragments they spread included."""

    def __init__(self, prepared: Prepared) -> None:
        super().__init__()
        self.prepared = prepared
        self.names: set[str] = set()
        self.entered: set[str] = set()

    def enter_variable(self, node: VariableNode, *_: Any) -> None:
        self.names.add(node.name.value)

    def enter_fragment_spread(self, node: FragmentSpreadNode, *_: Any) -> None:
        name = node.name.value
        if name not in self.entered:
            self.entered.add(name)
            visit(self.prepared.fragments[name], self)


def _variables_in(nodes: list[FieldNode], prepared: Prepared) -> set[str]:
    finder = _Variables(prepared)
    for node in nodes:
        visit(node, finder)
    return finder.names


__all__ = ["Engine", "Rejected", "Request"]
