"""The JSON text of a connection: nodes, edges, page info, count and sums, each grouped once by the parent's key."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from crmgql.planner import levels, metadata, paging, selection
from crmgql.planner.compiling import NULL, Build, entries, money_text, or_else
from crmgql.planner.levels import Level
from crmgql.sql import ast

Total = Callable[[ast.Select, str, ast.Expr], ast.Expr]
"""(select of `v`, name for its CTE, text when there is no row) → text."""

ObjectText = Callable[[Build, Level, selection.Object], ast.Expr]
"""What `objects` makes of a row. It comes as an argument, as `objects` needs this module for what hangs on a row."""

PAGE_PARTS = (selection.Nodes, selection.Edges, selection.PageInfo)


@dataclass
class _Parts:
    """A connection in the making: its level (if rows are wanted), its grouped columns, and how a row becomes text."""

    level: Level | None
    page: paging.Page
    object_text: ObjectText
    columns: list[tuple[ast.Expr, str]]

    def add(self, expr: ast.Expr) -> str:
        name = f"c{len(self.columns)}"
        self.columns.append((expr, name))
        return name


def nested(
    build: Build,
    parent: Level,
    field: metadata.Many,
    connection: selection.Connection,
    object_text: ObjectText,
) -> ast.Expr:
    """A connection on a row of `parent`."""
    node = connection.node
    where = build.filters.where(node, levels.INNER, connection.arguments.get("where"))
    page = paging.read_page(node, connection.default_order, connection.arguments, build.who)
    link = levels.Few(parent, field) if field.few else levels.PerParent(parent, field.column)
    if field.few:
        parent.column("customer_id")
    rows = _rows(build, connection, page, link, where, field.trusted, object_text)
    group = f"j{rows.level.name}" if rows.level else ""
    wanted = (
        list(levels.children(parent, field))
        if field.few
        else [ast.InSelect(ast.Col(levels.INNER, field.column), parent.keys("id"))]
    )
    parent_key = parent.column("id")

    def total(text: ast.Select, name: str, empty: ast.Expr) -> ast.Expr:
        parent.below(build.text(name, text), parent_key)
        return or_else(ast.Col(name, "v"), empty)

    parts = []
    for key, part in connection.parts:
        if isinstance(part, selection.TotalCount | selection.Sums):
            scope = _Scope(node, [*wanted, where, build.rule(node, trusted=field.trusted)], field)
            parts.append((key, _totals(build, scope, part, total)))
        else:
            parts.append((key, _part(build, part, rows, group)))
    if rows.level is not None:
        by = None if parent.single else rows.level.column(field.key)
        build.text(group, _grouped(rows, by))
        parent.below(group, None if parent.single else parent_key)
        parent.counted(group)
    return entries(parts)


def root(build: Build, connection: selection.Connection, object_text: ObjectText) -> ast.Expr:
    """A connection at the root of the query."""
    node = connection.node
    where = build.filters.where(node, levels.INNER, connection.arguments.get("where"))
    page = paging.read_page(node, connection.default_order, connection.arguments, build.who)
    rows = _rows(build, connection, page, levels.Root(), where, False, object_text)
    group = f"j{rows.level.name}" if rows.level else ""

    def total(text: ast.Select, name: str, empty: ast.Expr) -> ast.Expr:
        return or_else(ast.Subquery(text), empty)

    parts = []
    for key, part in connection.parts:
        if isinstance(part, selection.TotalCount | selection.Sums):
            scope = _Scope(node, [where, build.rule(node, trusted=False)], None)
            parts.append((key, _totals(build, scope, part, total)))
        else:
            parts.append((key, _part(build, part, rows, group)))
    text = entries(parts)
    if rows.level is None:
        return text
    build.text(group, _grouped(rows, None))
    build.counts.append(ast.Subquery(ast.Select(((ast.Col(group, "n"), "n"),), ast.Table(group, group))))
    return ast.Subquery(ast.Select(((text, "v"),), ast.Table(group, group)))


def _rows(
    build: Build,
    connection: selection.Connection,
    page: paging.Page,
    link: levels.Link,
    where: ast.Expr,
    trusted: bool,
    object_text: ObjectText,
) -> _Parts:
    """The level behind a connection; none when only counts and sums are asked for."""
    if not any(isinstance(part, PAGE_PARTS) for _, part in connection.parts):
        build.rule(connection.node, trusted=trusted)
        return _Parts(None, page, object_text, [])
    level = build.level(connection.node, link, [where], trusted=trusted)
    level.page = page
    level.has_more = any(
        isinstance(part, selection.PageInfo) and any(name.startswith("has") for _, name in part.parts)
        for _, part in connection.parts
    )
    return _Parts(level, page, object_text, [])


def _grouped(rows: _Parts, key: ast.Expr | None) -> ast.Select:
    """The page's texts and node counts by the parent's key; without a key, of all rows together."""
    assert rows.level is not None
    level = rows.level
    if level.counts:
        total: ast.Expr = ast.Aggregate("sum", (level.nodes(),), where=level.visible())
    else:
        total = ast.Aggregate("count", (level.column("id"),), where=level.visible())
    nodes = (ast.Cast(ast.Func("coalesce", (total, ast.Num(0))), "int4"), "n")
    if key is None:
        return level.texts((nodes, *rows.columns))
    return level.texts(((key, "k"), nodes, *rows.columns), (key,))


def _part(build: Build, part: selection.Part, rows: _Parts, group: str) -> ast.Expr:
    match part:
        case selection.TypeName(name):
            return ast.Text(f'"{name}"')
        case selection.Nodes(wanted):
            assert rows.level is not None
            return _listed(rows, group, rows.object_text(build, rows.level, wanted))
        case selection.Edges(parts):
            return _listed(rows, group, _edge(build, rows, parts))
        case selection.PageInfo(parts):
            return entries([(key, _page_info(rows, group, name)) for key, name in parts])
        case _:
            raise TypeError(type(part).__name__)


def _listed(rows: _Parts, group: str, text: ast.Expr) -> ast.Expr:
    """The page's rows as a JSON list, out of the group's column."""
    assert rows.level is not None
    level = rows.level
    joined = ast.Aggregate("string_agg", (text, ast.Text(",")), level.order(), level.visible())
    return ast.Concat((ast.Text("["), or_else(ast.Col(group, rows.add(joined)), ast.Text("")), ast.Text("]")))


def _edge(build: Build, rows: _Parts, parts: tuple[tuple[str, str | selection.Object], ...]) -> ast.Expr:
    assert rows.level is not None
    texts: list[tuple[str, ast.Expr]] = []
    for key, part in parts:
        if isinstance(part, selection.Object):
            texts.append((key, rows.object_text(build, rows.level, part)))
        elif part == "cursor":
            texts.append((key, ast.Concat((ast.Text('"'), _cursor(rows), ast.Text('"')))))
        else:
            texts.append((key, ast.Text(f'"{rows.level.node.name}Edge"')))
    return entries(texts)


def _cursor(rows: _Parts) -> ast.Expr:
    assert rows.level is not None
    rows.level.sort_columns()
    return paging.cursor_of(rows.page, rows.level.name)


def _page_info(rows: _Parts, group: str, name: str) -> ast.Expr:
    assert rows.level is not None
    if name == "__typename":
        return ast.Text('"PageInfo"')
    page, level = rows.page, rows.level
    if name in ("startCursor", "endCursor"):
        order = level.order()
        if name == "endCursor":
            order = tuple(item.reversed() for item in order)
        cursors = ast.Aggregate("array_agg", (_cursor(rows),), order, level.visible())
        column = ast.Col(group, rows.add(ast.Element(cursors, ast.Num(1))))
        return or_else(ast.Concat((ast.Text('"'), column, ast.Text('"'))), NULL)
    if (name == "hasNextPage") == page.backward:
        return ast.Text("true" if (page.before if page.backward else page.after) is not None else "false")
    more = ast.Op(ast.Func("count", (ast.Num(1),)), ">", ast.Num(page.size))
    return or_else(ast.Cast(ast.Col(group, rows.add(more)), "text"), ast.Text("false"))


@dataclass
class _Scope:
    """All rows of a connection, before paging; `field` is the relation by which they hang on a parent, if nested."""

    node: metadata.Node
    conditions: list[ast.Expr]
    field: metadata.Many | None

    def select(self, columns: tuple[tuple[ast.Expr, str], ...], *group: ast.Expr) -> ast.Select:
        keys = () if self.field is None else (self.field.parent_of(levels.INNER),)
        named = tuple((key, "k") for key in keys)
        table = ast.Table(self.node.table, levels.INNER)
        between = self.field.through if self.field is not None else None
        joins = () if between is None else (between.join(levels.INNER),)
        where = ast.all_of(self.conditions)
        return ast.Select((*named, *columns), table, joins, where=where, group_by=(*keys, *group))


def _totals(build: Build, scope: _Scope, part: selection.TotalCount | selection.Sums, total: Total) -> ast.Expr:
    if isinstance(part, selection.TotalCount):
        count = ast.Cast(ast.Func("count", (ast.Col(levels.INNER, "id"),)), "text")
        return total(scope.select(((count, "v"),)), build.fresh("n"), ast.Text("0"))
    texts: list[tuple[str, ast.Expr]] = []
    for key, field, parts in part.parts:
        if isinstance(field, selection.TypeName):
            texts.append((key, ast.Text(f'"{field.name}"')))
            continue
        text = total(_sum(build, scope, field, parts), build.fresh("s"), ast.Text(""))
        texts.append((key, ast.Concat((ast.Text("["), text, ast.Text("]")))))
    return entries(texts)


def _sum(build: Build, scope: _Scope, field: metadata.Money, parts: tuple[tuple[str, str], ...]) -> ast.Select:
    """One entry per currency: the sum of a money field over all rows of the connection."""
    rule = build.field_rule(scope.node, field.name)
    amount, currency = ast.Col(levels.INNER, field.column), ast.Col(levels.INNER, field.currency)
    known = ast.all_of([ast.IsNull(amount, negated=True), rule])
    inner_scope = _Scope(scope.node, [*scope.conditions, known], scope.field)
    inner = inner_scope.select(((ast.Func("sum", (amount,)), "amount"), (currency, "currency")), currency)
    text = money_text(ast.Col("s", "amount"), ast.Col("s", "currency"), parts)
    listed = ast.Aggregate("string_agg", (text, ast.Text(",")), (ast.Order(ast.Col("s", "currency")),))
    keys = () if scope.field is None else (ast.Col("s", "k"),)
    columns = (*((key, "k") for key in keys), (listed, "v"))
    return ast.Select(columns, ast.Derived(inner, "s"), group_by=keys)
