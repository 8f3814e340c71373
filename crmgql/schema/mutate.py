"""Runs the fields of a mutation one after the other, each in a transaction of its own.

Per field: the payload is planned (so that a refused payload changes nothing), the input converted, the key claimed,
the verb called, the payload read by the planner in the same transaction as a second statement, then committed. A
rejection rolls back and becomes `userErrors`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson
import structlog
from graphql import FieldNode, GraphQLObjectType, GraphQLSchema
from graphql.execution.values import get_argument_values

from crmgql import db
from crmgql.domain import idempotency
from crmgql.domain.records import Act
from crmgql.errors import CrmError, Forbidden, TimedOut, Unauthenticated, Unavailable
from crmgql.planner import arguments, selection
from crmgql.planner.plan import Plan, Plans, Prepared
from crmgql.schema import given as inputs
from crmgql.schema import mutating
from crmgql.schema.errors import formatted, internal
from crmgql.viewer import Viewer

log = structlog.get_logger("crmgql")

RECORD = "0"
"""The variable that holds the changed record's id; no client's variable can have this name."""

PASSED_ON = (Forbidden, Unauthenticated, Unavailable, TimedOut)
"""Rejections that say nothing about the input: GraphQL errors rather than `userErrors`."""


@dataclass(frozen=True, slots=True)
class Mutations:
    """What running mutations needs."""

    schema: GraphQLSchema
    plans: Plans
    database: db.Database

    async def run(self, prepared: Prepared, variables: Any, viewer: Viewer) -> bytes:
        """The whole response body of a mutation operation. `variables` are graphql-core's coerced ones."""
        reader = selection.Reader(self.schema, self.plans.catalog, prepared.fragments, variables.coerced)
        fields = reader.collect("Mutation", [prepared.operation.selection_set])
        parts: list[str] = []
        errors: list[dict[str, Any]] = []
        for key, nodes in fields.items():
            if nodes[0].name.value == "__typename":
                parts.append(f'"{key}":"Mutation"')
                continue
            try:
                text = await self._field(reader, prepared, key, nodes, variables, viewer)
            except PASSED_ON as error:
                errors.append(formatted(error, [key]))
                return _body(None, errors)
            except CrmError as error:
                text = self._refused(reader, nodes, error)
            except Exception:
                log.exception("mutation failed", field=nodes[0].name.value)
                errors.append(internal([key]))
                return _body(None, errors)
            parts.append(f'"{key}":{text}')
        return _body("{" + ",".join(parts) + "}", errors)

    async def _field(
        self,
        reader: selection.Reader,
        prepared: Prepared,
        key: str,
        nodes: list[FieldNode],
        variables: Any,
        viewer: Viewer,
    ) -> str:
        declaration = mutating.MUTATIONS[nodes[0].name.value]
        assert self.schema.mutation_type is not None
        field = self.schema.mutation_type.fields[declaration.name]
        coerced = get_argument_values(field, nodes[0], variables)["input"]
        payload = _Payload(self, reader, declaration, nodes)
        plan = self.plans.payload(prepared, key, variables.coerced, viewer.who, payload.root)
        given = inputs.convert(self.plans.catalog, declaration.record, coerced)
        idempotency_key = given.pop("idempotency_key", None)
        async with self.database.transaction() as tx:
            act = Act(tx, viewer)
            done = await _once(act, declaration, idempotency_key, coerced, given)
            text = await _shown(act, plan, variables.coerced, done.record)
        return payload.text(text, done.extras)

    def _refused(self, reader: selection.Reader, nodes: list[FieldNode], error: CrmError) -> str:
        """The payload of a rejected field: no record, and why."""
        declaration = mutating.MUTATIONS[nodes[0].name.value]
        payload = _Payload(self, reader, declaration, nodes)
        return payload.text(None, {}, {"code": error.code, "field": error.field, "message": error.message})


async def _once(
    act: Act, declaration: mutating.MutationDeclaration, key: str | None, coerced: Any, given: mutating.Given
) -> mutating.Done:
    """The verb, or what came of it when the same request was done before."""
    if key is None or not declaration.replays:
        return _done(await declaration.verb(act, given))
    before = await idempotency.claim(act, key=key, mutation=declaration.name, body=coerced)
    if before is not None:
        return mutating.Done(before, {})
    done = _done(await declaration.verb(act, given))
    await idempotency.settle(act, key=key, record=done.record)
    return done


def _done(answer: UUID | mutating.Done) -> mutating.Done:
    return answer if isinstance(answer, mutating.Done) else mutating.Done(answer, {})


async def _shown(act: Act, plan: Plan | None, variables: dict[str, Any], record: UUID) -> dict[str, Any]:
    if plan is None:
        return {}
    values = plan.values({**variables, RECORD: record}, act.viewer)
    row = await act.tx.fetch_json(plan.sql, values)
    return orjson.loads(row["data"])  # type: ignore[no-any-return]


class _Payload:
    """The selection on a payload: the planned record fields, and the rest, which is put together here."""

    def __init__(
        self,
        mutations: Mutations,
        reader: selection.Reader,
        declaration: mutating.MutationDeclaration,
        nodes: list[FieldNode],
    ) -> None:
        self.reader = reader
        self.declaration = declaration
        self.node = mutations.plans.catalog.nodes[declaration.record]
        kind = mutations.schema.type_map[declaration.payload]
        assert isinstance(kind, GraphQLObjectType)
        self.fields = reader.collect(declaration.payload, [node.selection_set for node in nodes])

    def root(self) -> tuple[tuple[str, selection.Root], ...]:
        """The record's fields as roots of a statement."""
        id = arguments.Scalar(None, arguments.VariableRef(RECORD))
        return tuple(
            (key, selection.RootOne(self.reader.object(self.node, nodes), id))
            for key, nodes in self.fields.items()
            if nodes[0].name.value == self.node.singular
        )

    def text(self, record: dict[str, Any] | None, extras: dict[str, Any], error: dict[str, Any] | None = None) -> str:
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
                made[key] = extras.get(name)
        return orjson.dumps(made).decode()

    def _error(self, nodes: list[FieldNode], error: dict[str, Any]) -> dict[str, Any]:
        fields = self.reader.collect("UserError", [node.selection_set for node in nodes])
        return {key: error.get(item[0].name.value, "UserError") for key, item in fields.items()}


def _body(data: str | None, errors: list[dict[str, Any]]) -> bytes:
    listed = f',"errors":{orjson.dumps(errors).decode()}' if errors else ""
    return f'{{"data":{data or "null"}{listed}}}'.encode()
