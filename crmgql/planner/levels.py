"""Rows of a plan: one CTE per level, filtered by its parent's keys.

A level is filled in two steps, because what it must read is known only when everything below has been compiled: first
the JSON stage asks it for columns, then `select` writes its CTE.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field

from crmgql.planner import metadata, paging
from crmgql.sql import ast

INNER = "t"
OUTER = "x"


@dataclass
class Level:
    """The rows of one selection. `name` is its CTE; `link` says how it hangs on its parent; `single`: one row at most;
    `trusted`: its rows belong to the customers of its parent's rows.

    `joins` bring in the texts of the levels below, `counts` how many nodes those texts hold.
    """

    name: str
    node: metadata.Node
    conditions: list[ast.Expr]
    link: Link
    page: paging.Page | None = None
    has_more: bool = False
    single: bool = False
    trusted: bool = False
    columns: dict[str, ast.Expr] = field(default_factory=dict)
    computed: dict[str, ast.Expr] = field(default_factory=dict)
    joins: list[ast.Join] = field(default_factory=list)
    counts: list[ast.Expr] = field(default_factory=list)

    def column(self, name: str) -> ast.Col:
        """A column of the table, as the JSON stage refers to it."""
        self.columns[name] = ast.Col(INNER, name)
        return ast.Col(self.name, name)

    def guarded(self, name: str, condition: ast.Expr) -> ast.Col:
        """A column that is NULL in rows where the viewer may not read it."""
        alias = f"{name} seen"
        self.columns[alias] = ast.Case(condition, ast.Col(INNER, name))
        return ast.Col(self.name, alias)

    def compute(self, alias: str, expr: ast.Expr) -> ast.Col:
        """A value computed from a row after the page was cut."""
        self.computed[alias] = expr
        return ast.Col(self.name, alias)

    @property
    def alias(self) -> str:
        """The name under which rules know a row of this level."""
        return INNER

    @property
    def numbered(self) -> bool:
        """Whether rows carry `rn`, their number in the page."""
        return self.page is not None and (self.has_more or isinstance(self.link, Few))

    def visible(self) -> ast.Expr | None:
        """Excludes the row that was read only to learn whether there are more."""
        if self.page is None or not self.has_more:
            return None
        return ast.Op(ast.Col(self.name, "rn"), "<=", ast.Num(self.page.size))

    def keys(self, column: str) -> ast.Select:
        """The values of one column over this level's rows, for the levels below."""
        return ast.Select(((self.column(column), column),), ast.Table(self.name, self.name), where=self.visible())

    def customers(self, t: str = INNER) -> ast.Expr:
        """Condition on a child row `t`: it is under one of the customers of these rows."""
        column = ast.Col(t, "customer_id")
        one = self.one_customer()
        return ast.AnyOf(column, ast.ArrayOf(self.keys("customer_id"))) if one is None else ast.eq(column, one)

    def one_customer(self) -> ast.Expr | None:
        """The customer of all rows, where there is only one: below a single record."""
        if self.single:
            return ast.Subquery(self.keys("id" if self.node.table == "customers" else "customer_id"))
        above = self.link.above()
        return above.one_customer() if self.trusted and above is not None else None

    def order(self) -> tuple[ast.Order, ...]:
        """The page's order, over this level's rows."""
        if self.page is None:
            return (ast.Order(self.column("id")),)
        if self.numbered:
            return (ast.Order(ast.Col(self.name, "rn"), self.page.backward),)
        for key in self.page.keys:
            self.column(key.column)
        return paging.order_of(self.page, self.name)

    def select(self) -> ast.Select:
        """The level's CTE."""
        return self.link.select(self)

    def inner(self, *where: ast.Expr, paged: bool = True) -> ast.Select:
        """The rows as read from the table."""
        columns = tuple((expr, name) for name, expr in self.columns.items())
        condition = ast.all_of([*where, *self.conditions])
        source = self.source()
        if self.page is None or not paged:
            return ast.Select(columns, source, where=condition)
        limit = self.page.size + (1 if self.has_more else 0)
        condition = ast.all_of([condition, *paging.keyset(self.page, INNER)])
        order = paging.order_of(self.page, INNER, reading=True)
        return ast.Select(columns, source, where=condition, order_by=order, limit=limit)

    def source(self) -> ast.Source:
        """The table, with the columns of the order that are kept elsewhere."""
        keys = [key for key in self.page.keys if key.kept is not None] if self.page else []
        table = ast.Table(self.node.table, INNER)
        if not keys:
            return table
        joins: dict[str, ast.Join] = {}
        columns = []
        for key in keys:
            assert key.kept is not None
            alias = f"{key.kept.table} kept"
            same = ast.eq(ast.Col(alias, "currency"), ast.Col(INNER, "currency"))
            on = ast.all_of([key.kept.link(alias, INNER), same])
            joins[alias] = ast.Join("JOIN", ast.Table(key.kept.table, alias), on)
            columns.append((ast.Col(alias, key.kept.column), key.column))
        return ast.Derived(ast.Select(tuple(columns), table, tuple(joins.values()), star=INNER), INNER)

    def extras(self, partition: tuple[ast.Expr, ...] = ()) -> tuple[tuple[ast.Expr, str], ...]:
        """Computed values and the row's number, over the derived table `x`."""
        extras = [(expr, name) for name, expr in self.computed.items()]
        if self.numbered and self.page is not None:
            order = paging.order_of(self.page, OUTER, reading=True)
            extras.append((ast.RowNumber(partition, order), "rn"))
        return tuple(extras)

    def below(self, name: str, key: ast.Expr | None) -> None:
        """Joins a JSON CTE (columns `k`, `n`, …) to this level's rows; without a key it has one row for all."""
        on = ast.TRUE if key is None else ast.eq(ast.Col(name, "k"), key)
        self.joins.append(ast.Join("LEFT JOIN", ast.Table(name, name), on))

    def counted(self, name: str) -> None:
        """Adds the nodes of a joined JSON CTE to those of a row."""
        self.counts.append(ast.Func("coalesce", (ast.Col(name, "n"), ast.Num(0))))

    def nodes(self) -> ast.Expr:
        """How many nodes a row's text holds: itself and all below."""
        total: ast.Expr = ast.Num(1)
        for count in self.counts:
            total = ast.Op(total, "+", count)
        return total

    def texts(self, columns: tuple[tuple[ast.Expr, str], ...], group_by: tuple[ast.Expr, ...] = ()) -> ast.Select:
        """A JSON CTE over this level's rows and what was joined to them."""
        return ast.Select(columns, ast.Table(self.name, self.name), tuple(self.joins), group_by=group_by)

    def sort_columns(self) -> None:
        """Makes sure that the columns of the order are read."""
        for key in self.page.keys if self.page else ():
            self.column(key.column)


class Link(ABC):
    """How a level's rows are found."""

    def above(self) -> Level | None:
        """The level that this one hangs on."""
        return getattr(self, "parent", None)

    @abstractmethod
    def select(self, level: Level) -> ast.Select:
        """The level's CTE."""


@dataclass(frozen=True)
class Root(Link):
    """No parent: the conditions say it all."""

    def select(self, level: Level) -> ast.Select:
        level.sort_columns()
        extras = level.extras()
        if not extras:
            return level.inner()
        return ast.Select(extras, ast.Derived(level.inner(), OUTER), star=OUTER)


@dataclass(frozen=True)
class ByKey(Link):
    """The records that a foreign key of the parent's rows points at, each once."""

    parent: Level
    column: str

    def select(self, level: Level) -> ast.Select:
        wanted = ast.InSelect(ast.Col(INNER, "id"), self.parent.keys(self.column))
        extras = level.extras()
        if not extras:
            return level.inner(wanted)
        return ast.Select(extras, ast.Derived(level.inner(wanted), OUTER), star=OUTER)


@dataclass(frozen=True)
class PerParent(Link):
    """A page per parent row, read in index order and stopped at the limit."""

    parent: Level
    column: str

    def select(self, level: Level) -> ast.Select:
        level.sort_columns()
        level.column(self.column)
        if self.parent.single:
            return self._of_one(level)
        own = ast.eq(ast.Col(INNER, self.column), ast.Col("p", "id"))
        lateral = ast.Join("CROSS JOIN LATERAL", ast.Derived(level.inner(own), OUTER))
        extras = level.extras((ast.Col(OUTER, self.column),))
        return ast.Select(extras, ast.Derived(self.parent.keys("id"), "p"), (lateral,), star=OUTER)

    def _of_one(self, level: Level) -> ast.Select:
        own = ast.eq(ast.Col(INNER, self.column), ast.Subquery(self.parent.keys("id")))
        extras = level.extras()
        if not extras:
            return level.inner(own)
        return ast.Select(extras, ast.Derived(level.inner(own), OUTER), star=OUTER)


@dataclass(frozen=True)
class Few(Link):
    """All children of all parents in one walk of the index on (customer_id, foreign key, …), then numbered and cut."""

    parent: Level
    field: metadata.Many

    def select(self, level: Level) -> ast.Select:
        assert level.page is not None
        level.sort_columns()
        key = level.columns[self.field.key] = self.field.parent_of(INNER)
        keyset = paging.keyset(level.page, INNER)
        inner = level.inner(*children(self.parent, self.field), *keyset, paged=False)
        number = ast.RowNumber((key,), paging.order_of(level.page, INNER, reading=True))
        joins = () if self.field.through is None else (self.field.through.join(INNER),)
        numbered = ast.Select((*inner.columns, (number, "rn")), inner.source, joins, where=inner.where)
        limit = level.page.size + (1 if level.has_more else 0)
        cut = ast.Op(ast.Col(OUTER, "rn"), "<=", ast.Num(limit))
        computed = tuple((expr, name) for name, expr in level.computed.items())
        return ast.Select(computed, ast.Derived(numbered, OUTER), where=cut, star=OUTER)


def children(parent: Level, field: metadata.Many) -> tuple[ast.Expr, ast.Expr]:
    """Conditions on row `t`: a child of one of the parent's rows, by the index on (customer_id, foreign key, …)."""
    key = field.parent_of(INNER)
    return parent.customers(key.table), ast.AnyOf(key, ast.ArrayOf(parent.keys("id")))


@dataclass(frozen=True)
class Joined:
    """A single related record that is joined to its parent's rows where their JSON is made; nothing hangs on it."""

    node: metadata.Node
    alias: str

    def column(self, name: str) -> ast.Col:
        return ast.Col(self.alias, name)

    def guarded(self, name: str, condition: ast.Expr) -> ast.Expr:
        return ast.Case(condition, ast.Col(self.alias, name))
