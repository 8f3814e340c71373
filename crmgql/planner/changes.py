"""`changesSince`: what changed behind a cursor, as the viewer sees it now, in the one statement of the operation.

Of the records that a window of the feed may have changed (`affected`), those that the viewer sees are `changed`; the others
are `deleted` if they were visible at some time since the cursor (`access.former`). What can't be told record by record is
in `ranges`, to be fetched again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from graphql import FieldNode

from crmgql import access
from crmgql.access import former
from crmgql.errors import BadUserInput
from crmgql.planner import affected, arguments, codecs, levels, metadata, objects, selection, stream
from crmgql.planner.affected import SPREAD, Affected
from crmgql.planner.compiling import NULL, Build, entries, or_else
from crmgql.sql import ast
from crmgql.viewer import Who

if TYPE_CHECKING:
    from crmgql.planner.reader import Reader

DEFAULT_SIZE, MAX_SIZE = 100, 500
"""Events that are looked at."""

MAX_TYPES = 20
T, W = levels.INNER, affected.W
TYPE = ast.Text('"Changes"')
NAMES = {"deleted": "DeletedRecord", "ranges": "ChangedRange"}


def read(reader: Reader, nodes: list[FieldNode], given: selection.Arguments) -> selection.RootChanges:
    """The root field as a tree. Raises `BadUserInput`."""
    types = read_types(reader.metadata, given["types"])
    after, first = given.get("cursor"), given.get("first")
    size = int(first.value) if isinstance(first, arguments.Scalar) else DEFAULT_SIZE
    if not 1 <= size <= MAX_SIZE:
        raise BadUserInput(f"first is {size}; 1 to {MAX_SIZE} events can be looked at.", field="first")
    parts: list[tuple[str, selection.ChangesPart]] = []
    for key, below in reader.below("Changes", nodes).items():
        match below[0].name.value:
            case "changed":
                parts.append((key, tuple(reader.object(node, below) for node in types)))
            case "deleted" | "ranges" as name:
                plain = tuple((each, found[0].name.value) for each, found in reader.below(NAMES[name], below).items())
                parts.append((key, selection.ChangedIds(name, plain)))
            case name:
                parts.append((key, name))
    origin = after.origin if isinstance(after, arguments.Scalar) else None
    return selection.RootChanges(types, size, origin, tuple(parts))


def read_types(known: metadata.Metadata, listed: arguments.Argument) -> tuple[metadata.Node, ...]:
    """The types of an argument `types`, each once. Raises `BadUserInput`."""
    assert isinstance(listed, arguments.Scalar)
    if not 1 <= len(listed.value) <= MAX_TYPES:
        raise BadUserInput(f"types has {len(listed.value)} names; 1 to {MAX_TYPES} fit.", field="types")
    followed = {node.name: node for node in known.nodes.values() if node.followed}
    for index, name in enumerate(listed.value):
        if name not in followed:
            shown = ascii(str(name)[:60])
            these = ", ".join(sorted(followed))
            raise BadUserInput(
                f"{shown} is no type that tells all its changes; these do: {these}.", field=f"types.{index}"
            )
    return tuple(followed[name] for name in dict.fromkeys(listed.value))


def most_records(item: selection.RootChanges, who: Who) -> int:
    """How many records one answer may bring."""
    return item.size + SPREAD * sum(bool(affected.places_of(node, who)) for node in item.types)


def compile_changes(build: Build, item: selection.RootChanges) -> ast.Expr:
    """The text of the field. Raises `Forbidden` for a type outside of a key's scopes."""
    for node in item.types:
        access.require_read(build.who, node.name)
    return _start(item) if item.after is None else _Changes(build, item, item.after).text()


def _start(item: selection.RootChanges) -> ast.Expr:
    """Without a cursor: the newest one, and nothing to apply."""
    empty = {"cursor": _quoted(stream.head()), "hasMore": ast.Text("false"), "__typename": TYPE}
    texts = [(key, empty[part] if isinstance(part, str) else ast.Text("[]")) for key, part in item.parts]
    return entries(texts)


@dataclass
class _Changes:
    """One field in the making."""

    build: Build
    item: selection.RootChanges
    after: arguments.Origin

    def text(self) -> ast.Expr:
        self.window = f"w{len(self.build.standings)}"
        self.build.standings.append(stream.standing(self.after))
        self.build.first += stream.window(self.window, self.after, self.item.size)
        self.affected = [Affected(self.build, node, self.window) for node in self.item.types]
        asks_deleted = any(
            isinstance(part, selection.ChangedIds) and part.name == "deleted" for _, part in self.item.parts
        )
        self.since = affected.since(self.build, self.affected, self.window, self.after) if asks_deleted else None
        return entries([(key, self._part(part)) for key, part in self.item.parts])

    def _part(self, part: selection.ChangesPart) -> ast.Expr:
        match part:
            case "cursor":
                return _quoted(self._cursor())
            case "hasMore":
                reached = or_else(self._reached(), stream.position(self.after))
                return ast.Cast(or_else(ast.Op(stream.newest(), ">", reached), ast.FALSE), "text")
            case "__typename":
                return TYPE
            case selection.ChangedIds("deleted", plain):
                return _listed([text for each in self.affected if (text := self._deleted(each, plain))])
            case selection.ChangedIds(_, plain):
                return _listed([text for each in self.affected for text in self._ranges(each, plain)])
            case _:
                assert isinstance(part, tuple)
                return _listed([self._changed(*pair) for pair in zip(self.affected, part, strict=True)])

    def _reached(self) -> ast.Expr:
        return ast.Subquery(stream.column(f"{self.window} e", "position"))

    def _cursor(self) -> ast.Expr:
        last = ast.eq(ast.Col(W, "position"), self._reached())
        reached = ast.Subquery(affected.within(self.window, stream.cursor_of(W), last))
        return or_else(reached, stream.text(self.after))

    def _changed(self, these: Affected, wanted: selection.Object) -> ast.Expr:
        level = self.build.level(these.node, levels.Root(), [these.condition()])
        text = objects.object_text(self.build, level, wanted)
        joined = ast.Aggregate("string_agg", (text, ast.Text(",")), (ast.Order(level.column("id")),))
        total = ast.Func("coalesce", (ast.Aggregate("sum", (level.nodes(),)), ast.Num(0)))
        name = self.build.text(f"j{level.name}", level.texts(((joined, "v"), (total, "n"))))
        self.build.counts.append(ast.Subquery(stream.column(name, "n")))
        return ast.Subquery(stream.column(name, "v"))

    def _deleted(self, these: Affected, plain: tuple[tuple[str, str], ...]) -> ast.Expr | None:
        if isinstance(these.rule, ast.Bool) or self.since is None:
            return None
        node, id = these.node, ast.Col(T, "id")
        texts = {
            "type": ast.Text(f'"{node.name}"'),
            "id": codecs.id_codec(node.prefix).json(id),
            "__typename": ast.Text('"DeletedRecord"'),
        }
        text = entries([(key, texts[name]) for key, name in plain])
        joined = ast.Aggregate("string_agg", (text, ast.Text(",")), (ast.Order(id),))
        seen = former.rows(node.name, self.build.who, T, self.since)
        gone = ast.all_of([these.condition(), ast.Not(ast.IsTrue(these.rule)), seen])
        return ast.Subquery(ast.Select(((joined, "v"),), ast.Table(node.table, T), where=gone))

    def _ranges(self, these: Affected, plain: tuple[tuple[str, str], ...]) -> tuple[ast.Expr, ast.Expr]:
        """The gaps, and the whole type where everything must be fetched again."""
        name = these.node.name

        def text(first: ast.Expr, last: ast.Expr) -> ast.Expr:
            texts: dict[str, ast.Expr] = {"type": ast.Text(f'"{name}"'), "__typename": ast.Text('"ChangedRange"')}
            texts |= {"from": first, "to": last}
            return entries([(key, texts[part]) for key, part in plain])

        first, last = (
            or_else(ast.Cast(ast.Op(ast.Col(W, "kept"), "->", ast.Text(each)), "text"), NULL)
            for each in ("first", "last")
        )
        joined = ast.Aggregate("string_agg", (text(first, last), ast.Text(",")), (ast.Order(ast.Col(W, "position")),))
        gaps = ast.Subquery(affected.within(self.window, joined, affected.is_gap(name)))
        return gaps, ast.Case(these.reasons(), text(NULL, NULL))


def _quoted(text: ast.Expr) -> ast.Expr:
    return ast.Concat((ast.Text('"'), text, ast.Text('"')))


def _listed(texts: list[ast.Expr]) -> ast.Expr:
    """A JSON list of texts of which each is NULL, or one or several with commas between them."""
    if not texts:
        return ast.Text("[]")
    return ast.Concat((ast.Text("["), ast.Func("concat_ws", (ast.Text(","), *texts)), ast.Text("]")))
