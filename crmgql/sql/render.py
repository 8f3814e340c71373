"""AST to text: the last stage before the database. Enters: a statement. Leaves: SQL and the parameters' sources."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from functools import singledispatchmethod

from crmgql.sql import ast


def quote(identifier: str) -> str:
    return '"' + identifier.replace('"', '""') + '"'


def literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def render(statement: ast.Statement) -> tuple[str, tuple[Hashable, ...]]:
    """SQL with $1, $2, … and, in that order, where each value comes from."""
    writer = _Writer()
    text = writer.statement(statement)
    return text, tuple(writer.sources)


def render_select(select: ast.Select) -> tuple[str, tuple[Hashable, ...]]:
    writer = _Writer()
    text = writer.select(select)
    return text, tuple(writer.sources)


def render_selects(selects: Sequence[ast.Select]) -> tuple[list[str], tuple[Hashable, ...]]:
    """Parts of one statement, which share its parameters' numbers."""
    writer = _Writer()
    return [writer.select(select) for select in selects], tuple(writer.sources)


class _Writer:
    def __init__(self) -> None:
        self.sources: dict[Hashable, int] = {}

    def statement(self, statement: ast.Statement) -> str:
        body = self.select(statement.select)
        if not statement.ctes:
            return body
        ctes = ",\n".join(self.cte(cte) for cte in statement.ctes)
        return f"WITH {ctes}\n{body}"

    def cte(self, cte: ast.Cte) -> str:
        hint = " MATERIALIZED" if cte.materialized else ""
        return f"{quote(cte.name)} AS{hint} ({self.select(cte.select)})"

    def select(self, select: ast.Select) -> str:
        columns = [f"{quote(select.star)}.*"] if select.star else []
        columns += [f"{self.expr(expr)} AS {quote(name)}" for expr, name in select.columns]
        text = f"SELECT {'DISTINCT ' if select.distinct else ''}{', '.join(columns)}"
        if select.source is not None:
            text += f" FROM {self.source(select.source)}"
        for join in select.joins:
            text += f" {join.kind} {self.source(join.source)}"
            if join.on is not None:
                text += f" ON {self.expr(join.on)}"
        if select.where is not None and select.where != ast.TRUE:
            text += f" WHERE {self.expr(select.where)}"
        if select.group_by:
            text += f" GROUP BY {self.list(select.group_by)}"
        if select.order_by:
            text += f" ORDER BY {self.orders(select.order_by)}"
        if select.limit is not None:
            text += f" LIMIT {select.limit}"
        return text

    def source(self, source: ast.Source) -> str:
        match source:
            case ast.Table(name, alias):
                return quote(name) if name == alias else f"{quote(name)} {quote(alias)}"
            case ast.Derived(select, alias):
                return f"({self.select(select)}) {quote(alias)}"
            case ast.Unnest(array, alias):
                return f"unnest({self.expr(array)}) WITH ORDINALITY AS {quote(alias)}(value, position)"
            case ast.Each(object, alias):
                return f"jsonb_each({self.expr(object)}) AS {quote(alias)}(key, value)"
            case ast.Rows(function, arguments, alias):
                return f"{function}({self.list(arguments)}) AS {quote(alias)}"
            case ast.Elements(array, alias):
                return f"jsonb_array_elements({self.expr(array)}) WITH ORDINALITY AS {quote(alias)}(value, position)"

    def list(self, items: tuple[ast.Expr, ...]) -> str:
        return ", ".join(self.expr(item) for item in items)

    def orders(self, orders: tuple[ast.Order, ...]) -> str:
        return ", ".join(self.expr(order.expr) + (" DESC" if order.descending else "") for order in orders)

    @singledispatchmethod
    def expr(self, expr: ast.Expr) -> str:
        raise TypeError(f"no SQL for {type(expr).__name__}")

    @expr.register
    def _(self, expr: ast.Col) -> str:
        return f"{quote(expr.table)}.{quote(expr.name)}"

    @expr.register
    def _(self, expr: ast.Param) -> str:
        number = self.sources.setdefault(expr.source, len(self.sources) + 1)
        return f"${number}::{expr.type}"

    @expr.register
    def _(self, expr: ast.Text) -> str:
        return literal(expr.value)

    @expr.register
    def _(self, expr: ast.Num) -> str:
        return str(int(expr.value))

    @expr.register
    def _(self, expr: ast.Bool) -> str:
        return "true" if expr.value else "false"

    @expr.register
    def _(self, expr: ast.Func) -> str:
        return f"{expr.name}({self.list(expr.args)})"

    @expr.register
    def _(self, expr: ast.Op) -> str:
        return f"({self.expr(expr.left)} {expr.operator} {self.expr(expr.right)})"

    @expr.register
    def _(self, expr: ast.Row) -> str:
        return f"ROW({self.list(expr.items)})"

    @expr.register
    def _(self, expr: ast.And) -> str:
        return "(" + " AND ".join(self.expr(item) for item in expr.items) + ")"

    @expr.register
    def _(self, expr: ast.Or) -> str:
        return "(" + " OR ".join(self.expr(item) for item in expr.items) + ")"

    @expr.register
    def _(self, expr: ast.Not) -> str:
        return f"(NOT {self.expr(expr.item)})"

    @expr.register
    def _(self, expr: ast.IsNull) -> str:
        return f"({self.expr(expr.item)} IS {'NOT ' if expr.negated else ''}NULL)"

    @expr.register
    def _(self, expr: ast.IsTrue) -> str:
        return f"({self.expr(expr.item)} IS TRUE)"

    @expr.register
    def _(self, expr: ast.AnyOf) -> str:
        return f"({self.expr(expr.item)} = ANY ({self.expr(expr.array)}))"

    @expr.register
    def _(self, expr: ast.Case) -> str:
        otherwise = "" if expr.otherwise is None else f" ELSE {self.expr(expr.otherwise)}"
        return f"CASE WHEN {self.expr(expr.condition)} THEN {self.expr(expr.then)}{otherwise} END"

    @expr.register
    def _(self, expr: ast.Switch) -> str:
        branches = " ".join(f"WHEN {self.expr(when)} THEN {self.expr(then)}" for when, then in expr.branches)
        return f"CASE {self.expr(expr.value)} {branches} END"

    @expr.register
    def _(self, expr: ast.Cast) -> str:
        return f"{self.expr(expr.item)}::{expr.type}"

    @expr.register
    def _(self, expr: ast.Concat) -> str:
        return "(" + " || ".join(self.expr(part) for part in merged(expr)) + ")"

    @expr.register
    def _(self, expr: ast.Aggregate) -> str:
        order = f" ORDER BY {self.orders(expr.order)}" if expr.order else ""
        where = f" FILTER (WHERE {self.expr(expr.where)})" if expr.where is not None else ""
        return f"{expr.name}({self.list(expr.args)}{order}){where}"

    @expr.register
    def _(self, expr: ast.Element) -> str:
        return f"({self.expr(expr.array)})[{self.expr(expr.index)}]"

    @expr.register
    def _(self, expr: ast.RowNumber) -> str:
        partition = f"PARTITION BY {self.list(expr.partition)} " if expr.partition else ""
        return f"row_number() OVER ({partition}ORDER BY {self.orders(expr.order)})"

    @expr.register
    def _(self, expr: ast.Subquery) -> str:
        return f"({self.select(expr.select)})"

    @expr.register
    def _(self, expr: ast.ArrayOf) -> str:
        return f"ARRAY({self.select(expr.select)})"

    @expr.register
    def _(self, expr: ast.Exists) -> str:
        return f"EXISTS ({self.select(expr.select)})"

    @expr.register
    def _(self, expr: ast.InSelect) -> str:
        return f"({self.expr(expr.item)} IN ({self.select(expr.select)}))"


def merged(concat: ast.Concat) -> list[ast.Expr]:
    """The parts with nested concatenations opened and neighbouring constants joined; never empty."""
    parts: list[ast.Expr] = []
    for part in _flat(concat):
        if isinstance(part, ast.Text) and parts and isinstance(parts[-1], ast.Text):
            parts[-1] = ast.Text(parts[-1].value + part.value)
        elif part != ast.Text(""):
            parts.append(part)
    return parts or [ast.Text("")]


def _flat(concat: ast.Concat) -> list[ast.Expr]:
    parts: list[ast.Expr] = []
    for part in concat.parts:
        parts.extend(_flat(part) if isinstance(part, ast.Concat) else [part])
    return parts
