"""One operation from text to answer: document → variables → plan → one statement → bytes.

The stages are methods in the order in which a request passes them. Queries never run a resolver: a statement answers
them, and what no statement answers is put into the holes that it leaves (`parts`). Mutations go through
`mutation_runner`. What takes long in pure Python goes through a slow lane, what the database does through the viewer's
share of connections; what a request may spend in all is in its `Budget`.

What may be rejected here, in this order: a missing viewer, from the document alone, and then the variables.
"""

from __future__ import annotations

import time
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import strawberry
import structlog
from graphql import GraphQLSchema
from graphql.execution.values import VariableValues, get_variable_values

from crmgql import db, telemetry
from crmgql.config import Settings
from crmgql.domain.people import clients
from crmgql.domain.people.identity import Identities
from crmgql.domain.people.login_attempts import Blocks
from crmgql.domain.people.sessions import Issue
from crmgql.engine import copies, documents, parts, polls
from crmgql.engine.budget import Budget
from crmgql.engine.computed import COMPUTED
from crmgql.engine.documents import INTROSPECTION, LOG_IN, Document, Operation
from crmgql.engine.errors import Rejected, from_graphql, rejected
from crmgql.engine.event_plans import Subscriber, WhoNow
from crmgql.engine.lanes import Lane
from crmgql.engine.mutation_runner import Mutations
from crmgql.engine.mutations import MUTATIONS, SessionCall
from crmgql.engine.pace import Pace
from crmgql.engine.parts import HEAVY, Filled, Parts
from crmgql.engine.polls import Poll, Polled
from crmgql.engine.registered import Registered
from crmgql.engine.shares import Shares
from crmgql.engine.subscriptions import Stream, Subscriptions
from crmgql.errors import BadUserInput, CrmError, QueryTooComplex, ReadOnly, StreamNeeded, Unauthenticated
from crmgql.events.feed import Feed
from crmgql.planner import metadata
from crmgql.planner.plan import Plan, Plans, Prepared
from crmgql.planner.reader import Reader
from crmgql.planner.sizes import Sizes
from crmgql.viewer import Clock, Viewer, system_clock

log = structlog.get_logger("crmgql")
NO_VARIABLES = VariableValues(sources={}, coerced={})
NOTHING = Filled()


@dataclass(slots=True)
class Request:
    """One GraphQL request, however it arrived. `variables` are as the client sent them, `values` how many there may be.

    `remote` is the client's address, against which failed logins are counted, `client` the program that it says it is (its
    User-Agent); `clock` is of those not logged in yet; `budget` is shared by the requests of a batch. `kind` is what the
    operation turned out to be, once the engine has read it: `query`, `mutation` or `subscription`. `resume` is a cursor that
    came beside the document, from which a subscription goes on; `extensions` are the client's.
    """

    query: str
    operation_name: str | None = None
    variables: dict[str, Any] = field(default_factory=dict)
    read_only: bool = False
    remote: str | None = None
    client: str | None = None
    clock: Clock = system_clock
    values: int = 0
    budget: Budget = field(default_factory=Budget)
    kind: str = "invalid"
    resume: str | None = None
    extensions: dict[str, Any] = field(default_factory=dict)


class Engine:
    """What a process keeps between requests.

    `secret` signs access tokens; without it nobody can log in. `identities`, where wiring sets them, forget
    a user whose roles, sessions or keys change.
    """

    def __init__(
        self,
        schema: strawberry.Schema,
        known: metadata.Metadata,
        database: db.Database,
        settings: Settings,
        secret: str | None = None,
    ) -> None:
        self.strawberry = schema
        self.schema: GraphQLSchema = schema._schema
        assert self.schema.query_type is not None and self.schema.mutation_type is not None  # noqa: PT018
        self.database = database
        self.settings = settings
        self.secret = secret
        self.identities: Identities | None = None
        self.plans = Plans(
            self.schema,
            known,
            size=settings.plan_cache_size,
            max_cost=settings.max_cost,
            elsewhere=frozenset((*INTROSPECTION, *COMPUTED)),
        )
        self.sizes = Sizes(settings.max_cost)
        self.shares = Shares(settings.pool_size)
        self.parts = Parts(self.schema, known, database, self.shares)
        self.blocks = Blocks()
        self.documents = documents.Documents(self.schema, documents.limits(settings), size=settings.plan_cache_size)
        roots = (self.schema.query_type, self.schema.mutation_type, self.schema.subscription_type)
        self._root_fields = {name for root in roots if root is not None for name in root.fields}
        self.reading = Lane("reading")
        self.registered = Registered(self.schema, self.documents, self.plans, self.sizes, self.reading)
        self.mutations = Mutations(self.schema, self.plans, database, self.registered, self.forget)
        self.subscriptions = Subscriptions(self.schema, self.plans, database, self.registered)

    @property
    def feed(self) -> Feed | None:
        """What subscriptions follow."""
        return self.subscriptions.feed

    async def answer(self, request: Request, viewer: Viewer | None) -> bytes:
        """The response body: the one way in, for every client. Raises `Rejected` for a request that gets no data."""
        started = time.perf_counter()
        try:
            operation = await self._operation(request, viewer)
            request.kind = operation.kind
            if request.read_only and operation.kind == "mutation":
                raise ReadOnly("Send mutations with POST; GET is for queries.")
            if viewer is None and not all(self._is_public(operation.kind, root) for root in operation.roots):
                raise Unauthenticated(LOG_IN)
            if operation.kind == "subscription":
                raise StreamNeeded("Send subscriptions over a WebSocket, or accept text/event-stream.")
            request.budget.run(operation, self.documents.limits.sizes)
            pace = Pace(_client(viewer, request), request.values, request.budget, self.reading, self.plans, self.sizes)
            variables = await self.variables(operation, request.variables, pace)
            if operation.kind == "mutation":
                return await self._mutate(operation.prepared, variables, viewer, request, pace)
            if viewer is None or not parts.read_records(operation):
                return await self._recordless(operation.prepared, variables, viewer, pace)
            return await self._query(operation, variables, viewer, pace, started)
        except CrmError as error:
            raise rejected(error) from error
        except RecursionError:
            raise rejected(QueryTooComplex("The input is nested too deeply.")) from None

    async def kind_of(self, request: Request, viewer: Viewer | None) -> str:
        """`query`, `mutation` or `subscription`, which a live query is, too. Raises `Rejected` for what can't be read."""
        try:
            operation = await self._operation(request, viewer)
        except CrmError as error:
            raise rejected(error) from error
        return "subscription" if operation.is_live else operation.kind

    async def subscribe(self, request: Request, who: WhoNow) -> Stream:
        """A stream of answers, for the viewer that `who` answers from time to time. Raises `Rejected` for a request that
        gets no data; so does the stream, when something ends it later."""
        try:
            subscriber, viewer = await self._subscriber(request, who)
            return await self.subscriptions.open(subscriber, viewer, request.resume)
        except CrmError as error:
            raise rejected(error) from error
        except RecursionError:
            raise rejected(QueryTooComplex("The input is nested too deeply.")) from None

    async def poll(self, request: Request, who: WhoNow, poll: Poll) -> Polled:
        """The next answers of a subscription to events, for those who ask again. Raises `Rejected`."""
        try:
            subscriber, viewer = await self._subscriber(request, who)
            return await polls.answer(self.subscriptions, subscriber, viewer, poll)
        except CrmError as error:
            raise rejected(error) from error

    async def sight(self, request: Request, viewer: Viewer) -> Hashable:
        """What decides the answers of a subscription to events: equal for viewers who are answered the same."""

        async def who() -> Viewer:
            return viewer

        try:
            subscriber, _ = await self._subscriber(request, who)
            return await self.subscriptions.sight(await self.subscriptions.source(subscriber, viewer))
        except CrmError as error:
            raise rejected(error) from error

    async def _subscriber(self, request: Request, who: WhoNow) -> tuple[Subscriber, Viewer]:
        viewer = await who()
        operation = await self._operation(request, viewer)
        if not operation.is_live and operation.kind != "subscription":
            raise BadUserInput("Only subscriptions, and queries with @live, can be followed.")
        request.kind = "subscription"
        request.budget.run(operation, self.documents.limits.sizes)
        pace = Pace(_client(viewer, request), request.values, request.budget, self.reading, self.plans, self.sizes)
        variables = await self.variables(operation, request.variables, pace)
        return Subscriber(operation, variables, who, pace), viewer

    async def _operation(self, request: Request, viewer: Viewer | None) -> Operation:
        with telemetry.span("graphql.parse"):
            document = self.documents.kept(request.query)
            if document is None:
                document = await self._read(request, viewer)
            return document.find(request.operation_name)

    async def _read(self, request: Request, viewer: Viewer | None) -> Document:
        """A document that is not kept; strangers' are not kept then either."""
        request.budget.read(request.query)
        client, text = _client(viewer, request), request.query
        if viewer is None:
            return await self.reading.run(client, self.documents.read, text, self._is_public, request.operation_name)
        return await self.reading.once(
            client,
            text,
            lambda: self.documents.kept(text),
            lambda: self.documents.read(text),
            lambda document: self.documents.keep(text, document),
        )

    def _is_public(self, kind: str, root: str) -> bool:
        """Whether strangers may ask for a root field. Where the schema is open to all, they also get the error that there is
        no such field; where it is not, that they must log in, for any field."""
        if root == "__typename" or (root in MUTATIONS and MUTATIONS[root].public):
            return True
        if root in INTROSPECTION:
            return self.settings.introspection != "token"
        return self.settings.introspection == "anyone" and root not in self._root_fields

    async def variables(self, operation: Operation, given: dict[str, Any], pace: Pace) -> VariableValues:
        """Coerced variables. Raises `Rejected`."""
        definitions = operation.prepared.operation.variable_definitions
        if not definitions:
            return NO_VARIABLES
        if operation.texts is not None and (texts := _texts(operation.texts, given)) is not None:
            return VariableValues(sources={}, coerced=texts)
        coerced = await pace.aside(
            lambda: get_variable_values(self.schema, definitions, given, max_errors=documents.MAX_ERRORS)
        )
        if isinstance(coerced, list):
            raise from_graphql(coerced, "BAD_USER_INPUT")
        return coerced

    async def _query(
        self, operation: Operation, variables: VariableValues, viewer: Viewer, pace: Pace, started: float
    ) -> bytes:
        prepared, coerced = operation.prepared, variables.coerced
        with telemetry.span("graphql.plan"):
            plan = await pace.plan(
                lambda: self.plans.key(prepared, coerced, viewer.who),
                lambda: self.plans.make(prepared, coerced, viewer.who),
            )
            values = plan.values(coerced, viewer)
        with telemetry.span("graphql.sql") as span:
            telemetry.note_sql(span, plan.sql)
            cost, row = await self._fetch(plan, values, viewer, pace)
        data, nodes, *standings = row
        for each in standings:
            copies.check(each)
        filled = NOTHING
        if parts.are_needed(operation):
            filled = await self.parts.fill(prepared, variables, viewer, pace)
        self._log(prepared, plan.sql, nodes, started)
        cost_text = f'{{"cost":{{"requested":{cost},"actual":{nodes},"limit":{self.settings.max_cost}}}}}'
        if filled is NOTHING:
            return f'{{"data":{data},"extensions":{cost_text}}}'.encode()
        return parts.joined(data, filled, cost_text)

    async def _recordless(
        self, prepared: Prepared, variables: VariableValues, viewer: Viewer | None, pace: Pace
    ) -> bytes:
        """A query without anything that a statement answers."""
        reader = Reader(self.schema, self.plans.metadata, prepared.fragments, variables.coerced)
        text = parts.skeleton(reader.root(prepared.operation, self.plans.elsewhere))
        return parts.joined(text, await self.parts.fill(prepared, variables, viewer, pace), None)

    async def _fetch(self, plan: Plan, values: list[Any], viewer: Viewer, pace: Pace) -> tuple[int, Any]:
        """What it costs, and the row."""
        cost = pace.pay(plan)
        heavy = cost >= HEAVY
        await self.shares.take(viewer.user_id, heavy=heavy)
        try:
            return cost, await self.database.fetch_json(plan.sql, values)
        finally:
            self.shares.give(viewer.user_id, heavy=heavy)

    def _log(self, prepared: Prepared, sql: str, nodes: int, started: float) -> None:
        if self.settings.log_level in ("warning", "error"):
            return
        name = prepared.operation.name.value if prepared.operation.name else None
        facts: dict[str, Any] = {"operation": name, "statements": 1, "nodes": nodes}
        if self.settings.log_sql:
            facts["sql"] = sql
        log.info("query", **facts, ms=round((time.perf_counter() - started) * 1000, 2))

    async def _mutate(
        self, prepared: Prepared, variables: Any, viewer: Viewer | None, request: Request, pace: Pace
    ) -> bytes:
        clock = request.clock if viewer is None else viewer.clock
        call = SessionCall(self.database, viewer, request.remote, request.client, clock, self._issue(), self.blocks)
        await self.shares.take(pace.client)
        try:
            return await self.mutations.run(prepared, variables, call, pace)
        finally:
            self.shares.give(pace.client)

    def forget(self, user_id: UUID) -> None:
        if self.identities is not None:
            self.identities.forget(user_id)

    def _issue(self) -> Issue | None:
        if self.secret is None:
            return None
        return Issue(self.secret, self.settings.access_token_minutes, self.settings.refresh_token_days)


def _client(viewer: Viewer | None, request: Request) -> Hashable:
    """Whose turn it is in a lane or for a share: a viewer's, or that of a stranger's address or network."""
    return clients.address(request.remote) if viewer is None else viewer.user_id


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


__all__ = ["Engine", "Rejected", "Request"]
