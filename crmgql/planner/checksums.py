"""`streamChecksum`: what a copy must come to, so that whoever keeps one can prove that it is equal.

Of each type the records that the viewer sees are counted, and the sum of hashes over their ids and versions is taken: it does
not depend on an order, and a copy can keep it up to date record by record. All is of one snapshot, whose newest cursor is
told; `current` says whether a copy that applied everything up to its own cursor must have these sums.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from graphql import FieldNode

from crmgql import access
from crmgql.errors import BadUserInput
from crmgql.planner import affected, arguments, changes, codecs, levels, metadata, places, selection, stream
from crmgql.planner.compiling import Build, entries
from crmgql.sql import ast

if TYPE_CHECKING:
    from crmgql.planner.reader import Reader

FURTHEST = 10_000
"""Events behind a cursor that are looked through; a copy that is further behind is not current."""

T = levels.INNER
RANGE, HALF = ast.Num(2**64), ast.Num(2**63)
HASHED_BYTES = 8


def read(reader: Reader, nodes: list[FieldNode], given: selection.Arguments) -> selection.RootChecksums:
    """The root field as a tree. Raises `BadUserInput`."""
    types = changes.read_types(reader.metadata, given["types"])
    filters, at = given.get("filter"), given.get("at")
    wheres = dict(filters.fields) if isinstance(filters, arguments.Object) else {}
    if unused := wheres.keys() - {node.singular for node in types}:
        raise BadUserInput(f"{min(unused)} is of none of the types.", field=f"filter.{min(unused)}")
    parts = tuple((key, each[0].name.value) for key, each in reader.below("StreamChecksum", nodes).items())
    origin = at.origin if isinstance(at, arguments.Scalar) else None
    return selection.RootChecksums(tuple((node, wheres.get(node.singular)) for node in types), origin, parts)


def compile_checksums(build: Build, item: selection.RootChecksums) -> ast.Expr:
    """The text of the field. Raises `Forbidden` for a type outside of a key's scopes, `BadUserInput` for a filter."""
    if item.at is not None:
        build.standings.append(stream.standing(item.at))
    texts: list[ast.Expr] = []
    for index, (node, where) in enumerate(item.types):
        texts += [ast.Text("," if index else ""), _one(build, item, node, build.filters.where(node, T, where))]
    return ast.Concat((ast.Text("["), *texts, ast.Text("]")))


def _one(build: Build, item: selection.RootChecksums, node: metadata.Node, where: ast.Expr) -> ast.Expr:
    rule = build.rule(node, trusted=False)
    count, total = ast.Func("count", (ast.Num(1),)), ast.Func("sum", (hash_of(node, T),))
    sums = ast.Select(
        ((count, "n"), (ast.Func("coalesce", (total, ast.Num(0))), "total")),
        ast.Table(node.table, T),
        where=ast.all_of([rule, where]),
    )
    texts: dict[str, ast.Expr] = {
        "type": ast.Text(f'"{node.name}"'),
        "count": ast.Cast(ast.Col("s", "n"), "text"),
        "checksum": ast.Concat((ast.Text('"'), _digits(ast.Col("s", "total")), ast.Text('"'))),
        "cursor": ast.Concat((ast.Text('"'), stream.head(), ast.Text('"'))),
        "current": ast.Cast(_is_current(node, rule, item.at), "text"),
        "__typename": ast.Text('"StreamChecksum"'),
    }
    build.counts.append(ast.Num(1))
    text = entries([(key, texts[name]) for key, name in item.parts])
    return ast.Subquery(ast.Select(((text, "v"),), ast.Derived(sums, "s")))


def hash_of(node: metadata.Node, t: str) -> ast.Expr:
    """The first eight bytes of SHA-256 over `ord_…:7`, the id and the version, as a number."""
    id = (ast.Text(f"{node.prefix}_"), codecs.hex_digits(ast.Col(t, "id")))
    text = ast.Concat((*id, ast.Text(":"), ast.Cast(ast.Col(t, "version"), "text")))
    hashed = ast.Func("sha256", (ast.Func("convert_to", (text, ast.Text("UTF8"))),))
    return ast.Cast(ast.Func("substr", (hashed, ast.Num(1), ast.Num(HASHED_BYTES))), "int8")


def _digits(total: ast.Expr) -> ast.Expr:
    """A sum modulo 2^64 as 16 hexadecimal digits; PostgreSQL's numbers have a sign, which comes off as two's complement."""
    lifted = ast.Op(ast.Func("mod", (ast.Op(total, "+", HALF), RANGE)), "+", RANGE)
    signed = ast.Op(ast.Func("mod", (lifted, RANGE)), "-", HALF)
    return ast.Func("lpad", (ast.Func("to_hex", (ast.Cast(signed, "int8"),)), ast.Num(2 * HASHED_BYTES), ast.Text("0")))


def _is_current(node: metadata.Node, rule: ast.Expr, at: arguments.Origin | None) -> ast.Expr:
    """Whether nothing that may concern the type has happened behind the cursor, with a position or before it has one."""
    concerned = _concerns(node, rule)
    fresh: list[ast.Expr] = [ast.Not(stream.is_waiting(concerned))]
    if at is not None:
        fresh.append(ast.Op(ast.Op(stream.newest(), "-", stream.position(at)), "<=", ast.Num(FURTHEST)))
        fresh.append(ast.Not(stream.is_placed_after(at, concerned)))
    # In the order in which they cost more.
    return ast.Case(ast.IsTrue(ast.all_of([ast.IsNull(stream.newest(), negated=True), *fresh])), ast.TRUE, ast.FALSE)


def _concerns(node: metadata.Node, rule: ast.Expr) -> ast.Expr:
    """On an event `e`: it may change which records of the type there are, who sees them, or their versions."""
    names = {node.name, "Gap", "Erasure", *(affected.record_of(place.table) for place in places.of(rule, T))}
    if places.asks_teams(rule):
        names |= {"Team", "User"}
    mine = [
        ast.eq(ast.Col("e", "subject_type"), ast.Text("User")),
        ast.eq(ast.Col("e", "subject_id"), access.VIEWER_ID),
    ]
    listed = ast.Cast(ast.Text("{" + ",".join(sorted(names)) + "}"), "text[]")
    return ast.any_of([ast.AnyOf(ast.Col("e", "subject_type"), listed), ast.all_of(mine)])
