"""The subset of PostgreSQL that we emit, as frozen values.

Text grows in three ways only: syntax (written here and in `render`), identifiers (quoted by `render`) and
parameters (numbered by `render`). Nothing a client sent is ever part of the text.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass


class Expr:
    """Anything with a value."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Col(Expr):
    table: str
    name: str


@dataclass(frozen=True, slots=True)
class Param(Expr):
    """A value bound at execution. `source` says where it comes from; equal sources share one number."""

    source: Hashable
    type: str


@dataclass(frozen=True, slots=True)
class Text(Expr):
    """A string constant of ours."""

    value: str


@dataclass(frozen=True, slots=True)
class Num(Expr):
    value: int


@dataclass(frozen=True, slots=True)
class Bool(Expr):
    value: bool


TRUE = Bool(True)
FALSE = Bool(False)


@dataclass(frozen=True, slots=True)
class Func(Expr):
    name: str
    args: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class Op(Expr):
    """A binary operator, always in parentheses."""

    left: Expr
    operator: str
    right: Expr


@dataclass(frozen=True, slots=True)
class Row(Expr):
    items: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class And(Expr):
    items: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class Or(Expr):
    items: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class Not(Expr):
    item: Expr


@dataclass(frozen=True, slots=True)
class IsNull(Expr):
    item: Expr
    negated: bool = False


@dataclass(frozen=True, slots=True)
class IsTrue(Expr):
    """Unknown counts as false."""

    item: Expr


@dataclass(frozen=True, slots=True)
class AnyOf(Expr):
    """`item = ANY (array)`."""

    item: Expr
    array: Expr


@dataclass(frozen=True, slots=True)
class Case(Expr):
    condition: Expr
    then: Expr
    otherwise: Expr | None = None


@dataclass(frozen=True, slots=True)
class Switch(Expr):
    """The second expression of the first branch whose first one equals the value; NULL when none does."""

    value: Expr
    branches: tuple[tuple[Expr, Expr], ...]


@dataclass(frozen=True, slots=True)
class Cast(Expr):
    item: Expr
    type: str


@dataclass(frozen=True, slots=True)
class Concat(Expr):
    """Texts side by side; neighbouring constants become one."""

    parts: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class Order:
    expr: Expr
    descending: bool = False

    def reversed(self) -> Order:
        return Order(self.expr, not self.descending)


@dataclass(frozen=True, slots=True)
class Aggregate(Expr):
    """An aggregate call with an order and a filter of its own."""

    name: str
    args: tuple[Expr, ...]
    order: tuple[Order, ...] = ()
    where: Expr | None = None


@dataclass(frozen=True, slots=True)
class Element(Expr):
    """One element of an array, counted from 1."""

    array: Expr
    index: Expr


@dataclass(frozen=True, slots=True)
class RowNumber(Expr):
    partition: tuple[Expr, ...]
    order: tuple[Order, ...]


@dataclass(frozen=True, slots=True)
class Subquery(Expr):
    select: Select


@dataclass(frozen=True, slots=True)
class ArrayOf(Expr):
    """`ARRAY(subquery)`: evaluated once when it does not depend on the row."""

    select: Select


@dataclass(frozen=True, slots=True)
class Exists(Expr):
    select: Select


@dataclass(frozen=True, slots=True)
class InSelect(Expr):
    item: Expr
    select: Select


@dataclass(frozen=True, slots=True)
class Table:
    """A table or a CTE under an alias."""

    name: str
    alias: str


@dataclass(frozen=True, slots=True)
class Derived:
    select: Select
    alias: str


@dataclass(frozen=True, slots=True)
class Unnest:
    """`unnest(array) WITH ORDINALITY`: columns `value` and `position`."""

    array: Expr
    alias: str


@dataclass(frozen=True, slots=True)
class Each:
    """`jsonb_each(object)`: columns `key` and `value`."""

    object: Expr
    alias: str


@dataclass(frozen=True, slots=True)
class Elements:
    """`jsonb_array_elements(array) WITH ORDINALITY`: columns `value` and `position`."""

    array: Expr
    alias: str


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows that a SQL function answers, under an alias."""

    function: str
    arguments: tuple[Expr, ...]
    alias: str


Source = Table | Derived | Unnest | Each | Elements | Rows


@dataclass(frozen=True, slots=True)
class Join:
    """`kind` is JOIN or LEFT JOIN with a condition, or CROSS JOIN LATERAL without."""

    kind: str
    source: Source
    on: Expr | None = None


@dataclass(frozen=True, slots=True)
class Select:
    columns: tuple[tuple[Expr, str], ...]
    source: Source | None = None
    joins: tuple[Join, ...] = ()
    where: Expr | None = None
    group_by: tuple[Expr, ...] = ()
    order_by: tuple[Order, ...] = ()
    limit: int | None = None
    distinct: bool = False
    star: str | None = None


@dataclass(frozen=True, slots=True)
class Cte:
    name: str
    select: Select
    materialized: bool = False


@dataclass(frozen=True, slots=True)
class Statement:
    ctes: tuple[Cte, ...]
    select: Select


def all_of(items: Sequence[Expr]) -> Expr:
    """AND that drops TRUE and collapses to FALSE."""
    kept = [item for item in items if item != TRUE]
    if any(item == FALSE for item in kept):
        return FALSE
    if not kept:
        return TRUE
    return kept[0] if len(kept) == 1 else And(tuple(kept))


def any_of(items: Sequence[Expr]) -> Expr:
    """OR that drops FALSE and collapses to TRUE."""
    kept = [item for item in items if item != FALSE]
    if any(item == TRUE for item in kept):
        return TRUE
    if not kept:
        return FALSE
    return kept[0] if len(kept) == 1 else Or(tuple(kept))


def eq(left: Expr, right: Expr) -> Expr:
    return Op(left, "=", right)
