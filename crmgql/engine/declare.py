"""How a GraphQL type is declared, once: its model, its columns, its relations.

    @node(models.Order, order="-orderedAt")
    class Order:
        "What a customer ordered."
        number = column(sort=True)
        total = money("total_amount")
        customer = one()
        payments = many("Payment", "order", order="-receivedAt")

Types, nullability and enums come from the model. `freeze` checks every declaration against it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from tortoise.models import Model

from crmgql.models.names import PREFIXES
from crmgql.planner.codecs import Codec
from crmgql.planner.metadata import Kept, Parts, Sums, Through
from crmgql.sql import ast
from crmgql.viewer import Who


@dataclass(frozen=True)
class ColumnDeclaration:
    column: str | None
    doc: str
    enum: type[StrEnum] | None
    sort: bool
    filter: bool
    input: Any = None


@dataclass(frozen=True)
class MoneyDeclaration:
    column: str | None
    doc: str
    currency: str
    sort: bool


@dataclass(frozen=True)
class OneDeclaration:
    doc: str
    target: str | None
    deprecated: str | None = None


@dataclass(frozen=True)
class AnyOneDeclaration:
    type_column: str
    column: str
    doc: str


@dataclass(frozen=True)
class ManyDeclaration:
    target: str
    relation: str
    doc: str
    order: str
    few: bool
    through: Through | None = None


@dataclass(frozen=True)
class DerivedDeclaration:
    build: Callable[[Who, str, ast.Expr], tuple[ast.Expr, ...]]
    codec: Codec | None
    doc: str
    nullable: bool
    needs: tuple[str, ...]
    currency_argument: bool
    kept: Kept | None


@dataclass(frozen=True)
class DetailsDeclaration:
    target: str
    build: Callable[[Who, str], Parts]
    doc: str
    needs: tuple[str, ...]


@dataclass(frozen=True)
class SummaryDeclaration:
    target: str
    build: Callable[[Who, str, ast.Expr], Sums]
    doc: str
    needs: tuple[str, ...]
    currency_argument: bool


FieldDeclaration = (
    ColumnDeclaration
    | MoneyDeclaration
    | OneDeclaration
    | AnyOneDeclaration
    | ManyDeclaration
    | DerivedDeclaration
    | DetailsDeclaration
    | SummaryDeclaration
)


@dataclass(frozen=True)
class NodeDeclaration:
    name: str
    model: type[Model]
    prefix: str
    plural: str
    order: str
    doc: str
    fields: dict[str, FieldDeclaration] = field(default_factory=dict)
    only: bool = False


DECLARED: dict[str, NodeDeclaration] = {}


def column(
    column: str | None = None,
    doc: str = "",
    *,
    enum: type[StrEnum] | None = None,
    sort: bool = False,
    filter: bool = True,
    input: Any = None,
) -> Any:
    """A scalar; without `column`, the column has the attribute's name. `input`: the narrower scalar in which clients write it."""
    return ColumnDeclaration(column, doc, enum, sort, filter, input)


def money(column: str | None = None, doc: str = "", *, currency: str = "currency", sort: bool = False) -> Any:
    """An amount with its currency; without `column`, the column is `<name>_amount`."""
    return MoneyDeclaration(column, doc, currency, sort)


def one(doc: str = "", *, target: str | None = None, deprecated: str | None = None) -> Any:
    """The record behind the model's foreign key of the same name. `deprecated`: what should be used instead, and why."""
    return OneDeclaration(doc, target, deprecated)


def any_one(type_column: str, column: str, doc: str = "") -> Any:
    """The record whose type's name and id are in two columns: a `Node`, null where the viewer may not see it."""
    return AnyOneDeclaration(type_column, column, doc)


def many(target: str, relation: str, doc: str = "", *, order: str = "-id", few: bool = False) -> Any:
    """The records of `target` whose foreign key `relation` points here, as a connection.

    `few` says that a parent has a handful of them at most; it needs an index on (customer_id, foreign key, …).
    """
    return ManyDeclaration(target, relation, doc, order, few)


def through(target: str, between: Through, doc: str = "", *, order: str = "-id") -> Any:
    """The records of `target` that a table between names with this one, a handful at most, as a connection. Both are of the
    table's customer; it needs indexes on (customer_id, parent, …) and (customer_id, child, …)."""
    return ManyDeclaration(target, "", doc, order, few=True, through=between)


def derived(
    build: Callable[[Who, str, ast.Expr], tuple[ast.Expr, ...]],
    codec: Codec | None = None,
    doc: str = "",
    *,
    nullable: bool = False,
    needs: tuple[str, ...] = ("id",),
    currency_argument: bool = False,
    kept: Kept | None = None,
) -> Any:
    """A value computed in the statement. Without a codec it is Money: `build` returns amount and currency.

    `kept`: where it is found for filters and orders; without, nobody filters or orders by it.
    """
    return DerivedDeclaration(build, codec, doc, nullable, needs, currency_argument, kept)


def details(target: str, build: Callable[[Who, str], Parts], doc: str = "", *, needs: tuple[str, ...] = ("id",)) -> Any:
    """A short list of objects of the type `target`, which have no ids, computed in the statement."""
    return DetailsDeclaration(target, build, doc, needs)


def summary(
    target: str,
    build: Callable[[Who, str, ast.Expr], Sums],
    doc: str = "",
    *,
    needs: tuple[str, ...] = ("id",),
    currency_argument: bool = False,
) -> Any:
    """An object of the type `target`, which has no id, of values computed in the statement; null where its rule says so."""
    return SummaryDeclaration(target, build, doc, needs, currency_argument)


def node(
    model: type[Model], *, plural: str | None = None, order: str = "-createdAt", only: bool = False
) -> Callable[[type], type]:
    """Declares a type over a model. `order` is its lists' default order; `-` means descending.

    The prefix of its ids is the one that `models/names` has for it. `only`: the table has one row, and the type's query
    field takes no id.
    """

    def declare(cls: type) -> type:
        fields = {camel(name): value for name, value in vars(cls).items() if isinstance(value, FieldDeclaration)}
        doc = " ".join((cls.__doc__ or "").split())
        DECLARED[cls.__name__] = NodeDeclaration(
            cls.__name__,
            model,
            PREFIXES.get(cls.__name__, ""),
            plural or _plural(cls.__name__),
            order,
            doc,
            fields,
            only,
        )
        return cls

    return declare


def camel(name: str) -> str:
    head, *tail = name.split("_")
    return head + "".join(part.capitalize() for part in tail)


def snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])([A-Z])", lambda match: "_" + match[1].lower(), name)


def _plural(name: str) -> str:
    lower = name[0].lower() + name[1:]
    return lower[:-1] + "ies" if lower.endswith("y") else lower + "s"
