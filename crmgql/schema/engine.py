"""One operation from text to answer: document → variables → plan → one statement → bytes.

The stages are methods in the order in which a request passes them. Queries never run a resolver; introspection alone
is left to graphql-core; mutations go through `mutate`.
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
    GraphQLSchema,
    OperationDefinitionNode,
    OperationType,
    SelectionSetNode,
    execute_sync,
)
from graphql.execution.values import VariableValues, get_variable_values

from crmgql import db
from crmgql.config import Settings
from crmgql.domain.identity import Identities
from crmgql.domain.sessions import Issue
from crmgql.errors import CrmError, QueryTooComplex, Unauthenticated
from crmgql.planner import catalog, selection
from crmgql.planner.plan import Plans, Prepared
from crmgql.schema import documents, telemetry
from crmgql.schema.errors import Rejected, from_graphql, rejected
from crmgql.schema.mutate import LOG_IN, Mutations
from crmgql.schema.mutating import Visit
from crmgql.viewer import Clock, Viewer, system_clock

log = structlog.get_logger("crmgql")
NO_VARIABLES = VariableValues(sources={}, coerced={})
INTROSPECTION = ("__schema", "__type")


@dataclass(frozen=True, slots=True)
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
        started = time.perf_counter()
        with telemetry.span("graphql.parse"):
            document = self.documents.get(request.query)
        try:
            prepared = document.operation(request.operation_name)
            variables = self.variables(prepared, request.variables)
            if prepared.operation.operation is OperationType.MUTATION:
                return await self.mutate(prepared, variables, viewer, request)
            return await self.query(prepared, variables.coerced, viewer, started)
        except CrmError as error:
            raise rejected(error) from error
        except RecursionError:
            raise rejected(QueryTooComplex("The input is nested too deeply.")) from None

    def variables(self, prepared: Prepared, given: dict[str, Any]) -> VariableValues:
        """Coerced variables. Raises `Rejected`."""
        definitions = prepared.operation.variable_definitions
        if not definitions:
            return NO_VARIABLES
        coerced = get_variable_values(self.schema, definitions, given, max_errors=documents.MAX_ERRORS)
        if isinstance(coerced, list):
            raise from_graphql(coerced, "BAD_USER_INPUT")
        return coerced

    async def query(
        self, prepared: Prepared, variables: dict[str, Any], viewer: Viewer | None, started: float
    ) -> bytes:
        if viewer is None or _introspects(prepared):
            return await self._special(prepared, variables, viewer)
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

    async def _special(self, prepared: Prepared, variables: dict[str, Any], viewer: Viewer | None) -> bytes:
        """Operations with introspection in them, and those of nobody: only what needs no data is answered."""
        reader = selection.Reader(self.schema, self.plans.catalog, prepared.fragments, variables)
        fields = reader.collect("Query", [prepared.operation.selection_set])
        plain = [nodes for nodes in fields.values() if not nodes[0].name.value.startswith("__")]
        if plain and viewer is None:
            raise Unauthenticated(LOG_IN)
        data: dict[str, Any] = {}
        meta = [node for nodes in fields.values() if nodes[0].name.value in INTROSPECTION for node in nodes]
        if meta:
            data |= self._introspection(prepared, meta, variables)
        if plain and viewer is not None:
            root = tuple((key, item) for key, item in reader.root(prepared.operation, skip=INTROSPECTION))
            plan = self.plans.compile(root, viewer.who)
            row = await self.database.fetch_json(plan.sql, plan.values(variables, viewer))
            data |= orjson.loads(row["data"])
        ordered = {key: data.get(key, "Query") for key in fields}
        return orjson.dumps({"data": ordered})

    def _introspection(self, prepared: Prepared, fields: list[FieldNode], variables: dict[str, Any]) -> dict[str, Any]:
        operation = OperationDefinitionNode(
            operation=OperationType.QUERY,
            selection_set=SelectionSetNode(selections=tuple(fields)),
            variable_definitions=prepared.operation.variable_definitions,
        )
        document = DocumentNode(definitions=(operation, *prepared.fragments.values()))
        result = execute_sync(self.schema, document, variable_values=variables)
        assert isinstance(result, ExecutionResult)
        if result.errors:
            raise from_graphql(result.errors, "BAD_USER_INPUT")
        return result.data or {}


def _introspects(prepared: Prepared) -> bool:
    """Whether introspection may be among the root fields: asked of the text, which is cheap and errs on the safe side."""
    return "__schema" in prepared.text or "__type(" in prepared.text.replace(" ", "")


__all__ = ["Engine", "Rejected", "Request"]
