"""Registered documents: what a named subscription delivers of an event.

    fragment Payload on Event { kind occurredAt subject { ... on Order { number total { amount currency } } } }

A document is a fragment `Payload` on `Event`, with the fragments that it uses, without variables. It becomes a subscription to
`events`, which is validated, planned and kept like any other, and read under the rules of its owner.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar
from uuid import UUID

from graphql import DocumentNode, GraphQLSchema, GraphQLSyntaxError
from graphql.execution.values import VariableValues, get_variable_values

from crmgql.domain.streams.payloads import MOST
from crmgql.engine import fragments
from crmgql.engine.documents import MAX_ERRORS, Documents, Operation
from crmgql.engine.errors import Rejected
from crmgql.engine.exporting import Exporting
from crmgql.engine.lanes import Lane
from crmgql.engine.parsing import parse
from crmgql.engine.readings import known
from crmgql.errors import BadUserInput, CrmError, MaxCostExceeded
from crmgql.events.positions import Placed
from crmgql.models.streams import ReadAs
from crmgql.planner import metadata, selection, sights
from crmgql.planner.plan import Plan, Plans
from crmgql.planner.reader import Reader
from crmgql.planner.sizes import Sizes
from crmgql.planner.statement import EVENT_IDS
from crmgql.records.records import Act
from crmgql.viewer import Viewer

Result = TypeVar("Result")
Variables = dict[str, Any]

NAME, TYPE, KEY = "Payload", "Event", "events"
OPENING = f'{{"{KEY}":'
PLANNED_AS = "events"
"""As subscriptions are kept among the plans."""

EXAMPLE = "fragment Payload on Event { kind subject { id } payload }"


class Registered:
    """Checks and reads registered documents with the engine's schema, plans and lane."""

    def __init__(self, schema: GraphQLSchema, documents: Documents, plans: Plans, sizes: Sizes, lane: Lane) -> None:
        self.schema = schema
        self.documents = documents
        self.plans = plans
        self.sizes = sizes
        self.lane = lane
        self.exporting = Exporting(schema, documents, plans, lane)

    async def check(self, text: str, where: dict[str, Any] | None, read_as: ReadAs, viewer: Viewer) -> None:
        """Raises `BadUserInput` for a document or a filter that can't be used, `MaxCostExceeded`, `Forbidden`."""
        await self.lane.run(viewer.user_id, self._check, text, where, read_as, viewer)

    async def read(
        self, act: Act, text: str, where: dict[str, Any] | None, viewer: Viewer, ids: Sequence[UUID], sight: str
    ) -> dict[UUID, str]:
        """The JSON of each of these events that the viewer sees and the filter lets through, in one statement. `sight`: what
        they did to the sight of their subjects."""
        operation = await self.operation(text, viewer)
        variables = self.variables(operation, where).coerced
        key = self.plans.key(operation.prepared, variables, viewer.who, PLANNED_AS)
        plan = self.plans.kept(key)
        if plan is None:
            plan = await self.lane.run(
                viewer.user_id, self.plans.make_events, operation.prepared, variables, viewer.who
            )
            self.plans.keep(key, plan)
        self._weigh(plan)
        given = {**variables, EVENT_IDS: list(ids), sights.SIGHT: sight}
        rows = await act.tx.connection.fetch(plan.sql, *plan.values(given, viewer))
        return {row["id"]: row["data"][len(OPENING) : -1] for row in rows}

    async def left(
        self, text: str, where: dict[str, Any] | None, viewer: Viewer, events: Sequence[Placed]
    ) -> dict[UUID, str]:
        """The JSON of events whose subjects left the viewer's sight; of none, if a filter might have held them back."""
        if where:
            return {}
        operation = await self.operation(text, viewer)
        wanted = self._payload(operation, self.variables(operation, None).coerced)
        return {event.event_id: sights.left(wanted, known(event)).decode() for event in events}

    async def operation(self, text: str, viewer: Viewer, key: str = KEY) -> Operation:
        """The subscription that a document becomes; its answers stand under the key."""
        whole = _whole(text, key)
        document = self.documents.kept(whole)
        if document is None:
            document = await self.lane.run(viewer.user_id, self.documents.read, whole)
            self.documents.keep(whole, document)
        return document.find(None)

    def variables(self, operation: Operation, where: dict[str, Any] | None) -> VariableValues:
        """Those of such an operation. Raises `BadUserInput`."""
        definitions = operation.prepared.operation.variable_definitions or ()
        coerced = get_variable_values(self.schema, definitions, {"where": where or {}}, max_errors=MAX_ERRORS)
        if isinstance(coerced, list):
            raise BadUserInput(coerced[0].message, field="filter")
        return coerced

    def _check(self, text: str, where: dict[str, Any] | None, read_as: ReadAs, viewer: Viewer) -> None:
        operation = self._read(text)
        empty = self.variables(operation, None).coerced
        known = self.plans.metadata
        if read_as is ReadAs.EVENT:
            _refuse_records(self._payload(operation, empty), where or {}, known.nodes[TYPE])
        _about("document", partial(self._plan, operation, empty, viewer))
        variables = _about("filter", partial(self.variables, operation, where)).coerced
        _about("filter", partial(self._plan, operation, variables, viewer))

    def _read(self, text: str) -> Operation:
        """The operation around a document. Raises `BadUserInput`."""
        try:
            _require_payload(parse(text, max_tokens=self.documents.limits.tokens))
            return self.documents.read(_whole(text, KEY)).find(None)
        except GraphQLSyntaxError as error:
            raise BadUserInput(error.message, field="document") from None
        except RecursionError:
            raise BadUserInput("The document is nested too deeply.", field="document") from None
        except Rejected as error:
            raise BadUserInput("; ".join(map(fragments.described, error.errors)), field="document") from None

    def _payload(self, operation: Operation, variables: Variables) -> selection.Object:
        """What is wanted of an event."""
        reader = Reader(self.schema, self.plans.metadata, operation.prepared.fragments, variables)
        _, events = reader.events(operation.prepared.operation)
        return events.object

    def _plan(self, operation: Operation, variables: Variables, viewer: Viewer) -> None:
        plan = self.plans.make_events(operation.prepared, variables, viewer.who)
        self._weigh(plan)
        plan.values({**variables, EVENT_IDS: []}, viewer)

    def _weigh(self, plan: Plan) -> None:
        scans = [replace(scan, times=scan.times * MOST) for scan in plan.scans]
        cost = plan.cost * MOST + self.sizes.weigh(scans)
        if cost > self.plans.max_cost:
            raise MaxCostExceeded(
                f"{MOST} payloads may take {cost} nodes; {self.plans.max_cost} are allowed. Ask for smaller pages."
            )


def _whole(text: str, key: str) -> str:
    # Behind the document, so that the lines of its errors are the client's.
    return f"{text}\nsubscription Registered($where: EventWhere! = {{}}) {{ {key}: events(where: $where) {{ ...{NAME} }} }}"


def _about(field: str, work: Callable[[], Result]) -> Result:
    """What the work answers; what it raises names the field."""
    try:
        return work()
    except CrmError as error:
        error.field = error.field or field
        raise


def _require_payload(document: DocumentNode) -> None:
    """Raises `BadUserInput` unless it is made of fragments, one of them `Payload on Event`, without variables."""
    if fragments.named(document, EXAMPLE).get(NAME) != TYPE:
        raise BadUserInput(f"It must have a fragment {NAME} on {TYPE}, such as “{EXAMPLE}”.", field="document")


def _refuse_records(wanted: selection.Object, where: dict[str, Any], event: metadata.Node) -> None:
    """Raises `BadUserInput` for what is not in the event itself: records change after it."""
    for name in _records(wanted):
        raise BadUserInput(
            f"{name} is read from records as they are now. With readAs EVENT take it out, or choose DELIVERY.",
            field="document",
        )
    for name in related(where, event):
        raise BadUserInput(
            f"{name} is compared with records as they are now. With readAs EVENT take it out, or choose DELIVERY.",
            field="filter",
        )


def _records(wanted: selection.Object) -> Iterator[str]:
    """The relations of an event below which there is more than ids and type names."""
    for key, item in wanted.items:
        match item:
            case selection.ManyField():
                yield key
            case selection.OneField(_, inner) if not _only_id(inner):
                yield key
            case selection.AnyField(_, inners) if not all(map(_only_id, inners)):
                yield key
            case _:
                pass


def _only_id(wanted: selection.Object) -> bool:
    return all(
        isinstance(item, selection.TypeName) or (isinstance(item, selection.LeafField) and item.field.name == "id")
        for _, item in wanted.items
    )


def related(where: Any, event: metadata.Node) -> Iterator[str]:
    """The relations of an event that a filter looks into."""
    if isinstance(where, list):
        for item in where:
            yield from related(item, event)
    elif isinstance(where, dict):
        for name, value in where.items():
            if name in ("and", "or", "not"):
                yield from related(value, event)
            elif not isinstance(event.fields.get(name), metadata.Leaf | None):
                yield name
