"""What can be asked for: the frozen form of the declarations (`engine/freeze`), without Strawberry or Tortoise.

Built once at boot. Everything a plan needs to know about tables, columns and relations is here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from crmgql.planner.codecs import Codec
from crmgql.sql import ast
from crmgql.viewer import Who


@dataclass(frozen=True, slots=True)
class Leaf:
    """A scalar or enum in a column."""

    name: str
    column: str
    codec: Codec
    nullable: bool
    sortable: bool = False
    filterable: bool = True


@dataclass(frozen=True, slots=True)
class Money:
    """An amount column with the currency column beside it."""

    name: str
    column: str
    currency: str
    nullable: bool
    sortable: bool = False
    filterable: bool = True


@dataclass(frozen=True, slots=True)
class One:
    """A relation to at most one record, over a foreign key of ours."""

    name: str
    target: str
    column: str
    nullable: bool
    trusted: bool = False


@dataclass(frozen=True, slots=True)
class AnyOne:
    """A relation to at most one record of whichever type another column names; no key checks it."""

    name: str
    type_column: str
    column: str


@dataclass(frozen=True, slots=True)
class Through:
    """A table between two types: its rows name a customer, the `parent` and the `child`. `record`: the type whose changes change it."""

    table: str
    parent: str
    child: str
    record: str

    def rows(self, *where: ast.Expr) -> ast.Select:
        """The children of the rows that are meant."""
        return ast.Select(((ast.Col(OF, self.child), self.child),), ast.Table(self.table, OF), where=ast.all_of(where))

    def join(self, t: str) -> ast.Join:
        """To the children under the alias `t`, each as often as it has parents."""
        same = [
            ast.eq(ast.Col(OF, "customer_id"), ast.Col(t, "customer_id")),
            ast.eq(ast.Col(OF, self.child), ast.Col(t, "id")),
        ]
        return ast.Join("JOIN", ast.Table(self.table, OF), ast.all_of(same))


OF = "of"
"""The alias of a row of a table between."""


@dataclass(frozen=True, slots=True)
class Many:
    """A relation to the records whose foreign key `column` points here, or, over a table between, whose `column` there does.

    `few`: a parent has a handful, and an index leads with customer and foreign key: all are read in one index walk
    and numbered. Otherwise each parent's page is read on its own, in index order, and stops at the limit.
    """

    name: str
    target: str
    column: str
    order: tuple[tuple[str, bool], ...]
    trusted: bool = False
    few: bool = False
    through: Through | None = None

    @property
    def key(self) -> str:
        """What the column of the parent's key is called among a level's columns."""
        return self.column if self.through is None else f"{self.column} {OF}"

    def parent_of(self, t: str) -> ast.Col:
        """The parent's key of the child `t`."""
        return ast.Col(t if self.through is None else OF, self.column)


@dataclass(frozen=True, slots=True)
class Kept:
    """Where a computed value is kept besides, to filter and order by it: `column` of the row of `table` whose `key` is the
    record and whose currency is the one that is asked for, by default the record's own, of which there always is one.
    `rows`: the condition under which the viewer sees what the row under an alias says; only who sees it of all records may filter
    and order by it, as others would learn of those that they don't see.
    """

    table: str
    key: str
    column: str
    rows: Callable[[Who, str], ast.Expr]
    nullable: bool = False

    def is_seen(self, who: Who) -> bool:
        return self.rows(who, self.table) == ast.TRUE

    def link(self, alias: str, t: str) -> ast.Expr:
        """The kept row under `alias` is that of row `t`."""
        return ast.eq(ast.Col(alias, self.key), ast.Col(t, "id"))


@dataclass(frozen=True, slots=True)
class Derived:
    """A value computed in the statement from the row under an alias; `codec` None means Money.

    A derived Money yields two expressions, amount and currency. `currency_argument` lets the client choose one. It can be
    filtered and ordered by where it is `kept`.
    """

    name: str
    build: Callable[[Who, str, ast.Expr], tuple[ast.Expr, ...]]
    codec: Codec | None
    nullable: bool
    needs: tuple[str, ...]
    currency_argument: bool = False
    kept: Kept | None = None


@dataclass(frozen=True, slots=True)
class Parts:
    """What `Details` are made of: where they are read, in which order, and the JSON text of each of their fields."""

    source: ast.Source
    where: ast.Expr
    order: ast.Expr
    texts: dict[str, ast.Expr]
    joins: tuple[ast.Join, ...] = ()


@dataclass(frozen=True, slots=True)
class Details:
    """A short list of objects without ids, computed in the statement from the row under an alias; `target` is their type."""

    name: str
    target: str
    build: Callable[[Who, str], Parts]
    needs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Amount:
    """An amount of a summary; one that may be NULL is `nullable`."""

    amount: ast.Expr
    currency: ast.Expr
    nullable: bool = False


@dataclass(frozen=True, slots=True)
class Inner:
    """An object of a summary with such values by their names; null where `given` does not hold."""

    values: dict[str, Value]
    given: ast.Expr = ast.TRUE


Value = ast.Expr | Amount | Inner | tuple[dict[str, "Value"], ...]
"""The JSON text of a value, an amount, an object, or a list of objects with such values by their names."""


@dataclass(frozen=True, slots=True)
class Sums:
    """What a `Summary` is made of: one row of sums, and the value of each of its fields."""

    source: ast.Source
    values: dict[str, Value]


@dataclass(frozen=True, slots=True)
class Summary:
    """An object without an id, of values that are computed in the statement from the row under an alias, all from the same one
    row of sums; `target` is its type."""

    name: str
    target: str
    build: Callable[[Who, str, ast.Expr], Sums]
    needs: tuple[str, ...]
    currency_argument: bool = False


Field = Leaf | Money | One | AnyOne | Many | Derived | Details | Summary


@dataclass(frozen=True, slots=True)
class Node:
    """A type with an id of its own. `order` is the default order of its root list: (field, descending).

    `only`: there is one row, which is asked for without an id. `followed`: each of its changes is in the feed.
    """

    name: str
    prefix: str
    table: str
    singular: str
    plural: str
    fields: dict[str, Field]
    order: tuple[tuple[str, bool], ...]
    only: bool = False
    followed: bool = False


@dataclass(frozen=True, slots=True)
class Metadata:
    nodes: dict[str, Node]
    by_prefix: dict[str, Node] = field(default_factory=dict)
    by_singular: dict[str, Node] = field(default_factory=dict)
    by_plural: dict[str, Node] = field(default_factory=dict)


def of(nodes: list[Node]) -> Metadata:
    return Metadata(
        nodes={node.name: node for node in nodes},
        by_prefix={node.prefix: node for node in nodes},
        by_singular={node.singular: node for node in nodes},
        by_plural={node.plural: node for node in nodes},
    )
