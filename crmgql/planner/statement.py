"""Selection tree → one SQL statement, whose single row is the answer's JSON text and the number of nodes in it.

Each level's rows are one CTE (`l0`, `l1`, …; see `levels`). Each level's JSON is a second one (`jl0`, …): its rows as
text, grouped once by the parent's key. Keys flow down, texts flow up, and every level is read once.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass

from crmgql import access
from crmgql.access import trails
from crmgql.planner import (
    arguments,
    changes,
    checksums,
    codecs,
    connections,
    levels,
    metadata,
    objects,
    paging,
    selection,
)
from crmgql.planner.compiling import NULL, Build, entries, or_else
from crmgql.planner.filters import Filters
from crmgql.planner.levels import Level
from crmgql.sql import ast
from crmgql.viewer import Who

HOLE = "\x01"
"""Stands in the text for a field that is answered elsewhere. JSON text never holds this character, only its escape."""


@dataclass(frozen=True, slots=True)
class IdsOf:
    """Parameter source: the ids of one type among those of `nodes(ids:)`."""

    origin: arguments.Origin
    prefix: str


@dataclass(frozen=True, slots=True)
class EventIds:
    """Parameter source: the ids of the events that a subscriber is to read, under `EVENT_IDS` among the variables."""


EVENT_IDS = "the events"
"""No client's variable can have this name."""


def compile_events(
    key: str, wanted: selection.Events, known: metadata.Metadata, who: Who, *, shared: bool = False
) -> ast.Statement:
    """Of some events those that the viewer may see and asks for: rows of id, the JSON text of the answer, its nodes.

    `shared`: only those about subjects of which everybody with the same rights sees the same.
    """
    build = Build(known, who, Filters(known, who))
    node = wanted.object.node
    same = trails.shared(who) if shared else None
    where = build.filters.where(node, levels.INNER, wanted.where)
    own = ast.AnyOf(ast.Col(levels.INNER, "id"), ast.Param(EventIds(), "uuid[]"))
    rule = None if same is None else trails.about_shared(who, levels.INNER)
    level = build.level(node, levels.Root(), [own, where], rule=rule)
    object = wanted.object if same is None else _about(wanted.object, same)
    text = entries([(key, objects.object_text(build, level, object))])
    id = level.column("id")
    select = level.texts(((id, "id"), (text, "data"), (level.nodes(), "nodes")))
    return ast.Statement((*_rows(build), *build.texts), select)


@dataclass(frozen=True, slots=True)
class LastRecord:
    """Parameter source: the id behind which a page of records begins, under `LAST_RECORD` among the variables."""


LAST_RECORD = "the last record"
"""No client's variable can have this name."""


def compile_page(
    wanted: selection.Object, where: arguments.Argument, size: int, known: metadata.Metadata, who: Who
) -> ast.Statement:
    """The next `size` records behind one, by their ids, that the viewer sees and a filter lets through: rows of id and JSON text."""
    build = Build(known, who, Filters(known, who))
    node = wanted.node
    condition = build.filters.where(node, levels.INNER, where)
    behind = ast.Op(ast.Col(levels.INNER, "id"), ">", ast.Param(LastRecord(), "uuid"))
    level = build.level(node, levels.Root(), [behind, condition])
    by_id = paging.Key("id", "id", codecs.id_codec(node.prefix), descending=False, nullable=False)
    level.page = paging.Page(size, (by_id,), backward=False, after=None, before=None)
    text = objects.object_text(build, level, wanted)
    select = level.texts(((level.column("id"), "id"), (text, "data")))
    return ast.Statement((*_rows(build), *build.texts), select)


def _about(event: selection.Object, subjects: frozenset[str]) -> selection.Object:
    """An event whose subject is of one of these types."""
    items = []
    for key, item in event.items:
        if isinstance(item, selection.AnyField):
            objects = tuple(each for each in item.objects if each.node.name in subjects)
            item = dataclasses.replace(item, objects=objects)
        items.append((key, item))
    return dataclasses.replace(event, items=tuple(items))


def compile_statement(root: selection.Roots, known: metadata.Metadata, who: Who) -> ast.Statement:
    """The whole operation. Raises `BadUserInput` and `Forbidden` for arguments that can't be planned."""
    build = Build(known, who, Filters(known, who))
    data = entries([(key, _root(build, item)) for key, item in root])
    nodes = _sum_of(build.counts)
    columns = ((data, "data"), (nodes, "nodes"), *_standings(build))
    return ast.Statement((*build.first, *_rows(build), *build.texts), ast.Select(columns))


def _rows(build: Build) -> list[ast.Cte]:
    """The levels' rows. A child asks its parent for keys while it is written: children first, then turned round."""
    rows = [ast.Cte(level.name, level.select(), materialized=True) for level in reversed(build.rows)]
    return rows[::-1]


def _standings(build: Build) -> Iterator[tuple[ast.Expr, str]]:
    """What is found out about cursors of the feed, a line each, in a third column; no column if there are none."""
    if build.standings:
        yield ast.Func("concat_ws", (ast.Text("\n"), *build.standings)), "standings"


def _sum_of(counts: list[ast.Expr]) -> ast.Expr:
    if not counts:
        return ast.Cast(ast.Num(0), "int8")
    total = counts[0]
    for count in counts[1:]:
        total = ast.Op(total, "+", count)
    return total


def _root(build: Build, item: selection.Root) -> ast.Expr:
    match item:
        case selection.TypeName(name):
            return ast.Text(f'"{name}"')
        case selection.Nothing():
            return NULL
        case selection.Elsewhere():
            return ast.Text(HOLE)
        case selection.RootOne(wanted, id):
            assert isinstance(id, arguments.Scalar)
            bound = arguments.Bound(id.origin, codecs.id_codec(wanted.node.prefix))
            return _single(build, wanted, ast.Param(bound, "uuid"))
        case selection.RootViewer(wanted):
            return _single(build, wanted, access.VIEWER_ID)
        case selection.RootOnly(wanted):
            return _single(build, wanted, None)
        case selection.RootMany(connection):
            return connections.root(build, connection, objects.object_text)
        case selection.RootChanges():
            return changes.compile_changes(build, item)
        case selection.RootChecksums():
            return checksums.compile_checksums(build, item)
        case selection.RootNodes(wanted_objects, ids):
            return _any_nodes(build, wanted_objects, ids)


def _single(build: Build, wanted: selection.Object, id: ast.Expr | None) -> ast.Expr:
    own = [] if id is None else [ast.eq(ast.Col(levels.INNER, "id"), id)]
    level = build.level(wanted.node, levels.Root(), own)
    level.single = True
    text = objects.object_text(build, level, wanted)
    if not level.counts:
        return _lone(build, level, text)
    name = build.text(f"j{level.name}", level.texts(((text, "v"), (level.nodes(), "n"))))
    build.counts.append(or_else(_of(name, "n"), ast.Num(0)))
    return or_else(_of(name, "v"), NULL)


def _lone(build: Build, level: Level, text: ast.Expr) -> ast.Expr:
    """A single record with nothing below it."""
    build.counts.append(ast.Subquery(level.texts(((ast.Func("count", (level.column("id"),)), "n"),))))
    return or_else(ast.Subquery(level.texts(((text, "v"),))), NULL)


def _of(name: str, column: str) -> ast.Expr:
    return ast.Subquery(ast.Select(((ast.Col(name, column), column),), ast.Table(name, name)))


def _any_nodes(build: Build, wanted: tuple[selection.Object, ...], ids: arguments.Argument) -> ast.Expr:
    """`nodes(ids:)`: a level per type, put back into the order that was asked for."""
    assert isinstance(ids, arguments.Scalar)
    listed = ast.Param(arguments.Bound(ids.origin, codecs.STRING, "list"), "text[]")
    found: list[ast.Expr] = []
    joins: list[ast.Join] = []
    for each in wanted:
        prefix = each.node.prefix
        own = ast.AnyOf(ast.Col(levels.INNER, "id"), ast.Param(IdsOf(ids.origin, prefix), "uuid[]"))
        level = build.level(each.node, levels.Root(), [own])
        text = objects.object_text(build, level, each)
        key = ast.Concat((ast.Text(f"{prefix}_"), codecs.hex_digits(level.column("id"))))
        name = build.text(f"j{level.name}", level.texts(((key, "k"), (text, "v"), (level.nodes(), "n"))))
        joins.append(ast.Join("LEFT JOIN", ast.Table(name, name), ast.eq(ast.Col(name, "k"), ast.Col("i", "value"))))
        total = ast.Func("coalesce", (ast.Func("sum", (ast.Col(name, "n"),)), ast.Num(0)))
        build.counts.append(ast.Subquery(ast.Select(((total, "n"),), ast.Table(name, name))))
        found.append(ast.Col(name, "v"))
    each_text = ast.Func("coalesce", (*found, NULL))
    joined = ast.Aggregate("string_agg", (each_text, ast.Text(",")), (ast.Order(ast.Col("i", "position")),))
    select = ast.Select(((joined, "v"),), ast.Unnest(listed, "i"), tuple(joins))
    return ast.Concat((ast.Text("["), or_else(ast.Subquery(select), ast.Text("")), ast.Text("]")))
