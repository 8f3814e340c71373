"""Runs the fields of a mutation one after the other, each in a transaction of its own.

Per field: the payload is planned (so that a refused payload changes nothing), the input converted, the key claimed,
the verb called, the payload read by the planner in the same transaction as a second statement, then committed. A
rejection rolls back and becomes `userErrors`, or null and an error beside; what the other fields did is answered all
the same. Mutations of sessions commit on their own, as their refusals leave a trace; their payload is read afterwards,
as the user whom they found.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import UUID

import orjson
import structlog
from graphql import FieldNode, GraphQLError, GraphQLSchema
from graphql.execution.values import get_argument_values

from crmgql import access, db
from crmgql.engine import input_values, mutations
from crmgql.engine.documents import LOG_IN
from crmgql.engine.errors import formatted, internal
from crmgql.engine.pace import Pace
from crmgql.engine.payloads import Payload
from crmgql.engine.registered import Registered
from crmgql.errors import (
    BadUserInput,
    CrmError,
    Forbidden,
    MaxCostExceeded,
    Throttled,
    TimedOut,
    Unauthenticated,
    Unavailable,
)
from crmgql.events.cursors import CursorLost
from crmgql.planner import arguments
from crmgql.planner.plan import Plan, Plans, Prepared
from crmgql.planner.reader import Reader
from crmgql.records import idempotency, retries
from crmgql.records.records import Act
from crmgql.viewer import Viewer, Who

log = structlog.get_logger("crmgql")

PASSED_ON = (Forbidden, Unauthenticated, Unavailable, TimedOut, Throttled, MaxCostExceeded, CursorLost)
"""Rejections that say nothing about the input, or say where to go on: GraphQL errors rather than `userErrors`."""

MUTATION_COST = 100
"""Nodes that a field counts for, beside what it shows: a transaction with its checks and events."""

ROLES = "SELECT roles FROM users WHERE id = $1"


@dataclass(frozen=True, slots=True)
class Mutations:
    """What running mutations needs. `forget` is called after the commit with a user whose rights or sessions changed."""

    schema: GraphQLSchema
    plans: Plans
    database: db.Database
    registered: Registered
    forget: Callable[[UUID], None]

    async def run(self, prepared: Prepared, variables: Any, call: mutations.SessionCall, pace: Pace) -> bytes:
        """The whole response body of a mutation operation. `variables` are graphql-core's coerced ones.

        Raises `Unauthenticated`, before anything is done, when a field needs a viewer and there is none.
        """
        reader = Reader(self.schema, self.plans.metadata, prepared.fragments, variables.coerced)
        fields = reader.top("Mutation", prepared.operation)
        if call.viewer is None and any(mutations.needs_viewer(nodes[0].name.value) for nodes in fields.values()):
            raise Unauthenticated(LOG_IN)
        parts: list[str] = []
        errors: list[dict[str, Any]] = []
        for key, nodes in fields.items():
            if nodes[0].name.value == "__typename":
                parts.append(f'"{key}":"Mutation"')
                continue
            field = _Field(self, reader, prepared, key, nodes, variables, call, pace, errors)
            try:
                text = await field.answer()
            except CrmError as error:
                text = field.refused(error)
            except Exception:
                log.exception("mutation failed", field=nodes[0].name.value)
                errors.append(internal([key]))
                text = "null"
            parts.append(f'"{key}":{text}')
        return _body("{" + ",".join(parts) + "}", errors)


class _Field:
    """One field of a mutation: its input, its verb, its payload."""

    def __init__(
        self,
        runner: Mutations,
        reader: Reader,
        prepared: Prepared,
        key: str,
        nodes: list[FieldNode],
        variables: Any,
        call: mutations.SessionCall,
        pace: Pace,
        errors: list[dict[str, Any]],
    ) -> None:
        self.runner = runner
        self.prepared = prepared
        self.key = key
        self.node = nodes[0]
        self.variables = variables
        self.call = call
        self.pace = pace
        self.errors = errors
        self.declaration = mutations.MUTATIONS[nodes[0].name.value]
        self.payload = Payload(reader, self.declaration, nodes)

    async def answer(self) -> str:
        """The payload's JSON. Raises the verb's rejection."""
        coerced, values = await self.pace.aside(self._input)
        if self.declaration.session:
            done, record = await self._session(values)
        else:
            done, record = await self._transaction(coerced, values)
        if done.changed_user is not None:
            self.runner.forget(done.changed_user)
        return self.payload.text(record, done.extras)

    def refused(self, error: CrmError) -> str:
        """The payload of a rejected field: no record, and why. What says nothing about the input: null and an error."""
        if isinstance(error, PASSED_ON) and not self._wrong_credentials(error):
            self.errors.append(formatted(error, [self.key]))
            return "null"
        return self.payload.text(None, {}, {"code": error.code, "field": error.field, "message": error.message})

    def _wrong_credentials(self, error: CrmError) -> bool:
        """Those in a public field's input are the input's mistake."""
        return self.declaration.public and isinstance(error, Unauthenticated)

    def _input(self) -> tuple[dict[str, Any], mutations.Values]:
        """The input as graphql-core coerced it, and as the verb takes it. Raises `BadUserInput`."""
        assert self.runner.schema.mutation_type is not None
        field = self.runner.schema.mutation_type.fields[self.declaration.name]
        try:
            coerced = get_argument_values(field, self.node, self.variables)["input"]
        except GraphQLError as error:  # a variable that is null where the literal around it must not be
            raise BadUserInput(error.message) from None
        kind: Any = field.args["input"].type
        metadata = self.runner.plans.metadata
        return coerced, input_values.convert(metadata, self.declaration.record, kind.of_type, coerced)

    async def _plan(self, who: Who) -> Plan | None:
        """How the record is read for the payload; None where nothing of it is shown. Raises what planning it raises."""
        plan = None
        if self.payload.shows_record:
            plans, variables = self.runner.plans, self.variables.coerced
            plan = await self.pace.plan(
                lambda: plans.key(self.prepared, variables, who, self.key),
                lambda: plans.compile(self.payload.root(), who),
            )
        self.pace.pay(plan, MUTATION_COST)
        return plan

    async def _transaction(
        self, coerced: dict[str, Any], values: mutations.Values
    ) -> tuple[mutations.Done, dict[str, Any]]:
        """The verb and the payload's record in one transaction, done again where it collides with another one."""
        assert self.call.viewer is not None
        plan = await self._plan(self.call.viewer.who)
        key = await self._key(values.pop("idempotency_key", None), coerced)
        if self.declaration.prepare is not None:
            values = await self.declaration.prepare(self.call.viewer, values)
        viewer, taken = self.call.viewer, values
        call = partial(_call, self.declaration, self.runner.registered)

        async def work(tx: db.Transaction) -> tuple[mutations.Done, dict[str, Any]]:
            done = await _once(Act(tx, viewer), self.declaration.record, key, lambda act: call(act, dict(taken)))
            return done, await self._shown(tx, plan, viewer, done.record)

        return await retries.transaction(self.runner.database, work)

    async def _key(self, key: str | None, coerced: dict[str, Any]) -> idempotency.Key | None:
        assert self.call.viewer is not None
        if key is None:
            return None
        return await idempotency.key(self.call.viewer, key, mutation=self.declaration.name, body=coerced)

    async def _session(self, values: mutations.Values) -> tuple[mutations.Done, dict[str, Any]]:
        """What opens or ends a session, which commits on its own, and then the payload's record, read as the user found."""
        done: mutations.Done = await self.declaration.verb(self.call, **values)
        if done.record is None:
            return done, {}
        # It is done and can't be undone: what can't be shown is an error beside the tokens.
        try:
            viewer = await self._identified(done.record)
            plan = await self._plan(viewer.who)
            return done, await self._shown(self.call.database, plan, viewer, done.record)
        except CrmError as error:
            self.errors.append(formatted(error, [self.key, self.payload.node.singular]))
            return done, {}

    async def _identified(self, user_id: UUID) -> Viewer:
        async with self.call.database.reading() as connection:
            roles = await connection.fetchval(ROLES, user_id)
        return Viewer(user_id, Who(frozenset(roles)), clock=self.call.clock)

    async def _shown(
        self, source: db.Transaction | db.Database, plan: Plan | None, viewer: Viewer, record: UUID | None
    ) -> dict[str, Any]:
        if plan is None:
            return {}
        values = plan.values({**self.variables.coerced, arguments.CHANGED: record}, viewer)
        row = await source.fetch_json(plan.sql, values)
        return orjson.loads(row["data"])  # type: ignore[no-any-return]


async def _once(
    act: Act, record: str, key: idempotency.Key | None, call: Callable[[Act], Awaitable[mutations.Done]]
) -> mutations.Done:
    """What the call does, or did when the same request came before. Raises `IdempotencyConflict` and what the verb does."""
    if key is None:
        return await call(act)
    before = await idempotency.claim(act, key)
    if before is not None:
        access.require_write(act.viewer, record)  # the verb, which checks it, is not called
        return mutations.Done(before)
    done = await call(act)
    assert done.record is not None
    await idempotency.finish(act, key, record=done.record)
    return done


async def _call(
    declaration: mutations.MutationDeclaration, registered: Registered, act: Act, values: mutations.Values
) -> mutations.Done:
    given = (registered, *declaration.fixed) if declaration.registered else declaration.fixed
    answer: UUID | mutations.Done = await declaration.verb(act, *given, **values)
    return answer if isinstance(answer, mutations.Done) else mutations.Done(answer)


def _body(data: str, errors: list[dict[str, Any]]) -> bytes:
    listed = f',"errors":{orjson.dumps(errors).decode()}' if errors else ""
    return f'{{"data":{data}{listed}}}'.encode()
