"""Root fields that are no records: what is worked out by a verb rather than read by the planner.

    object_type("Funnel", [Field("won", int), …])

    @computed("funnel", lazy("Funnel"), arguments=(Argument("pipelineId", strawberry.ID),))
    async def funnel(ask: Ask, *, pipeline_id: UUID | None = None) -> Any:
        "How opportunities went from stage to stage."
        return await funnels.funnel(ask.database, ask.viewer, pipeline_id=pipeline_id)

The arguments reach it as keyword arguments, with snake_case names and ids as UUIDs. It answers plain data with camelCase
keys; the selection is projected from it here. Such a field costs statements of its own, beside the one of the operation's
records. A rejected one is null with an error, and the others are answered.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import orjson
import structlog
from graphql import FieldNode, GraphQLError, GraphQLList, GraphQLObjectType, get_nullable_type
from graphql.execution.values import VariableValues, get_argument_values

from crmgql.db import Database
from crmgql.engine import input_values
from crmgql.engine.errors import formatted, internal
from crmgql.engine.strawberries import Argument, Field, optional
from crmgql.errors import BadUserInput, CrmError
from crmgql.planner import metadata
from crmgql.planner.reader import Reader
from crmgql.viewer import Viewer

log = structlog.get_logger("crmgql")


@dataclass(frozen=True, slots=True)
class Ask:
    """Who asks, and where to look."""

    database: Database
    viewer: Viewer


Answer = Callable[..., Awaitable[Any]]
"""`(ask, **values)` → plain data."""


@dataclass(frozen=True)
class Computed:
    """A declared root field."""

    name: str
    annotation: Any
    arguments: tuple[Argument, ...]
    doc: str
    answer: Answer
    calls: Callable[..., Any] | None = None


COMPUTED: dict[str, Computed] = {}


def computed(
    name: str, annotation: Any, *, arguments: tuple[Argument, ...] = (), calls: Callable[..., Any] | None = None
) -> Callable[[Answer], Answer]:
    """Declares a root field. Arguments named `…Id` are ids of the record that the name says.

    `calls`: the verb to which the body passes its `**values` on, whose parameters the arguments are then compared with.
    """

    def declared(answer: Answer) -> Answer:
        doc = " ".join((answer.__doc__ or "").split())
        COMPUTED[name] = Computed(name, annotation, arguments, doc, answer, calls)
        return answer

    return declared


def fields() -> list[Field]:
    """The declared fields for the query type; all may be null, so that a rejected one takes nothing from the others."""
    return [Field(each.name, optional(each.annotation), each.doc, each.arguments) for each in COMPUTED.values()]


async def answer(
    ask: Ask, reader: Reader, known: metadata.Metadata, nodes: list[FieldNode], variables: VariableValues
) -> tuple[Any, dict[str, Any] | None]:
    """The value of a root field and, where it was rejected, why."""
    name = nodes[0].name.value
    key = nodes[0].alias.value if nodes[0].alias else name
    assert reader.schema.query_type is not None
    field = reader.schema.query_type.fields[name]
    try:
        values = _values(known, field, nodes[0], variables)
        value = await COMPUTED[name].answer(ask, **values)
        return project(reader, field.type, nodes, value), None
    except CrmError as error:
        return None, formatted(error, [key])
    except Exception:
        log.exception("computed field failed", field=name)
        return None, internal([key])


def _values(known: metadata.Metadata, field: Any, node: FieldNode, variables: VariableValues) -> dict[str, Any]:
    try:
        coerced = get_argument_values(field, node, variables)
    except GraphQLError as error:
        raise BadUserInput(error.message) from None
    return input_values.convert_arguments(known, field.args, coerced)


def project(reader: Reader, kind: Any, nodes: list[FieldNode], value: Any) -> Any:
    """What a selection asks for of plain data; keys that are missing are null."""
    inner = get_nullable_type(kind)
    if value is None:
        return None
    if isinstance(inner, GraphQLList):
        return [project(reader, inner.of_type, nodes, item) for item in value]
    if not isinstance(inner, GraphQLObjectType):
        return value
    selected = reader.below(inner.name, nodes)
    return {key: _field(reader, inner, below, value) for key, below in selected.items()}


def _field(reader: Reader, kind: GraphQLObjectType, nodes: list[FieldNode], value: Any) -> Any:
    name = nodes[0].name.value
    if name == "__typename":
        return kind.name
    return project(reader, kind.fields[name].type, nodes, value.get(name))


def encoded(value: Any) -> bytes:
    """JSON bytes; exact numbers and times as the API's scalars write them."""
    return orjson.dumps(value, default=_plain)


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, datetime | date):
        return value.isoformat()
    raise TypeError(type(value).__name__)
