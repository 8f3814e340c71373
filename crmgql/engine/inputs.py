"""How a mutation's input is declared: derived from the model, or a class where it is something of its own.

    inputs.create("customer_id assignee_id", tickets.FACTS)       # what a new record takes
    inputs.update(tickets.FACTS)                                  # what may be changed of one

    @input
    class LeadLoseInput:
        id: strawberry.ID
        reason: str
        expected_version: int | None = UNSET

A derived field has the type of the declared column (`declare.column(input=…)` where clients write it in a narrower
scalar), is `MoneyInput` for an amount and `ID` for a relation, and is required where a new row can't do without it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import strawberry
from tortoise.fields import Field as ModelField
from tortoise.fields.relational import ForeignKeyFieldInstance

from crmgql.engine import declare, freeze, scalars
from crmgql.engine.strawberries import lazy, list_of, optional, publish
from crmgql.errors import DeclarationError
from crmgql.models.base import AmountField
from crmgql.planner import metadata
from crmgql.records import columns

UNSET = strawberry.UNSET
SAME_KEY = "The same key with the same input has one effect, however often it is sent."

PARTS: dict[str, Callable[..., Any]] = {}
"""What a verb gets for an input inside its input, by the name of its type: made with its values."""


class UnknownInputColumn(DeclarationError):
    """A derived input names what its record's model does not have."""


class UntypedInputColumn(DeclarationError):
    """A derived input names a column whose type in the model says no scalar."""


def input(cls: type) -> Any:
    """An input of a mutation: it also takes an `idempotencyKey`."""
    cls.__annotations__ = {**inspect.get_annotations(cls), "idempotency_key": "str | None"}
    cls.idempotency_key = strawberry.field(default=UNSET, description=SAME_KEY)  # type: ignore[attr-defined]
    return publish(cls.__name__, strawberry.input(cls))


def part(made: Callable[..., Any]) -> Callable[[type], Any]:
    """An input inside another one, such as an order's line. A verb gets `made(**values)`."""

    def declared(cls: type) -> Any:
        PARTS[cls.__name__] = made
        return publish(cls.__name__, strawberry.input(cls))

    return declared


def _money(*, amount: Decimal, currency: str) -> tuple[Decimal, str]:
    return amount, currency


@part(_money)
class MoneyInput:
    """An amount in a currency, with no more decimals than the currency has."""

    amount: scalars.DecimalText
    currency: scalars.CurrencyCode


@input
class MoveInput:
    """A record whose state changes."""

    id: strawberry.ID
    expected_version: int | None = UNSET


@dataclass(frozen=True)
class Derived:
    """An input that is made from its record's model when the schema is built.

    `also` are fields that are no columns, or are written otherwise: name → annotation. `required` and `optional` name the
    columns for which that does not follow from the model; of an update all are optional.
    """

    names: tuple[str, ...]
    also: Mapping[str, Any]
    required: frozenset[str] = frozenset()
    optional: frozenset[str] = frozenset()
    updates: bool = False
    doc: str = ""


def create(
    *lists: str,
    also: Mapping[str, Any] | None = None,
    required: str = "",
    optional: str = "",
    origin: bool = True,
    doc: str = "",
) -> Derived:
    """What a new record takes: columns, and where it came from unless `origin` is false.

    `required`: what the verb asks for although the column may be null. `optional`: what it works out when it is left out.
    """
    names = columns.split(*lists, *([columns.ORIGIN] if origin else []))
    return Derived(names, also or {}, frozenset(required.split()), frozenset(optional.split()), doc=doc)


def update(*lists: str, also: Mapping[str, Any] | None = None, doc: str = "") -> Derived:
    """What may be changed of a record, all of which may be left out; its id, and the version that it is expected to have.

    Of the only record of its type no id is asked for.
    """
    return Derived(columns.split(*lists), also or {}, updates=True, doc=doc)


def build(derived: Derived, name: str, node: declare.NodeDeclaration, known: metadata.Node) -> Any:
    """The input type of this name for records of a type. Raises `UnknownInputColumn`, `UntypedInputColumn`."""
    fields: dict[str, Any] = {"id": strawberry.ID} if derived.updates and not node.only else {}
    fields |= {"expected_version": optional(int)} if derived.updates else {}
    made = _Fields(derived, name, node, known)
    for column in derived.names:
        fields[column] = derived.also.get(column) or made.annotation(column)
    fields |= derived.also
    namespace: dict[str, Any] = {
        each: strawberry.field(default=UNSET) for each, annotation in fields.items() if _may_be_null(annotation)
    }
    # What has no default stands before what has one: they become a dataclass.
    in_order = sorted(fields, key=lambda each: each in namespace)
    annotations = {each: fields[each] for each in in_order}
    return input(type(name, (), namespace | {"__annotations__": annotations, "__doc__": derived.doc}))


@dataclass(frozen=True)
class _Fields:
    """The fields of one derived input, as its record's model and declared type have them."""

    derived: Derived
    input: str
    node: declare.NodeDeclaration
    known: metadata.Node

    def annotation(self, column: str) -> Any:
        kind = self._kind(column)
        derived = self.derived
        needed = column in derived.required or (column not in derived.optional and self._needed(column))
        return kind if needed and not derived.updates else optional(kind)

    def _kind(self, column: str) -> Any:
        declared = self._declared(column)
        if declared is not None and declared.input is not None:
            return declared.input
        model_field = self._model_field(column)
        if isinstance(model_field, AmountField):
            return MoneyInput
        if self._relation(column) is not None:
            return strawberry.ID
        leaf = self.known.fields.get(declare.camel(column))
        codec = leaf.codec if isinstance(leaf, metadata.Leaf) else freeze.scalar_of(column, model_field)
        if codec is None:
            raise UntypedInputColumn(
                f"{self.input}.{declare.camel(column)}: a {type(model_field).__name__} has no scalar; say in also={{…}} of "
                "which type the field is."
            )
        kind = scalars.BY_NAME.get(codec.graphql) or lazy(codec.graphql)
        return list_of(kind) if codec.kind == "enums" else kind

    def _needed(self, column: str) -> bool:
        """Whether a new row can't do without a value."""
        carrier = self._relation(column) or self._model_field(column)
        return not (carrier.null or carrier.has_db_default() or carrier.default is not None)

    def _model_field(self, column: str) -> ModelField[Any]:
        declared = self._declared(column)
        found = columns.field_of(self.node.model, (declared and declared.column) or column)
        if found is None:
            raise UnknownInputColumn(
                f"{self.input}.{declare.camel(column)}: {self.node.model.__name__} has no column {column!r}; correct the "
                "name, or say in also={…} of which type the field is."
            )
        return found

    def _declared(self, column: str) -> declare.ColumnDeclaration | None:
        declared = self.node.fields.get(declare.camel(column))
        return declared if isinstance(declared, declare.ColumnDeclaration) else None

    def _relation(self, column: str) -> ForeignKeyFieldInstance[Any] | None:
        found = self.node.model._meta.fields_map.get(column.removesuffix("_id")) if column.endswith("_id") else None
        return found if isinstance(found, ForeignKeyFieldInstance) else None


def _may_be_null(annotation: Any) -> bool:
    return type(None) in getattr(annotation, "__args__", ())
