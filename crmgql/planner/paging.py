"""Pages of a connection: size caps, order, opaque cursors and the keyset condition they stand for.

A cursor is the base64url of a JSON array: the order it was made for, then the sort values and the key as text. The
database writes it; here it is read, checked and bound again.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import InvalidOperation

from crmgql import access
from crmgql.errors import BadUserInput, Forbidden
from crmgql.planner import arguments, codecs, metadata
from crmgql.planner.arguments import Origin, Variables
from crmgql.planner.selection import Arguments
from crmgql.sql import ast
from crmgql.viewer import Who

DEFAULT_SIZE = 20
MAX_SIZE = 100
MAX_ORDER_FIELDS = 4


@dataclass(frozen=True, slots=True)
class Key:
    """One part of an order. `kept`: where the column is found that is none of the record's own table."""

    name: str
    column: str
    codec: codecs.Codec
    descending: bool
    nullable: bool
    kept: metadata.Kept | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """`size` rows in the order of `keys`; `backward` pages are read from the end."""

    size: int
    keys: tuple[Key, ...]
    backward: bool
    after: Origin | None
    before: Origin | None

    @property
    def signature(self) -> str:
        return ",".join(f"{'-' if key.descending else ''}{key.name}" for key in self.keys)


@dataclass(frozen=True, slots=True)
class CursorValue:
    """Parameter source: one value of a cursor."""

    origin: Origin
    signature: str
    codecs: tuple[codecs.Codec, ...]
    index: int

    def value(self, variables: Variables) -> str | None:
        return _decode(str(arguments.current(self.origin, variables)), self.signature, self.codecs)[self.index]


def read_page(node: metadata.Node, default: tuple[tuple[str, bool], ...], given: Arguments, who: Who) -> Page:
    """The page that a connection's arguments ask for. Raises `BadUserInput`, `Forbidden`."""
    first, last = _size(given, "first"), _size(given, "last")
    if first is not None and last is not None:
        raise BadUserInput("Give either first or last, not both.")
    return Page(
        size=DEFAULT_SIZE if first is None and last is None else (first if first is not None else last) or 0,
        keys=_keys(node, default, given, who),
        backward=last is not None,
        after=_origin(given, "after"),
        before=_origin(given, "before"),
    )


def _size(given: Arguments, name: str) -> int | None:
    argument = given.get(name)
    if argument is None:
        return None
    assert isinstance(argument, arguments.Scalar)
    size = int(argument.value)
    if not 0 <= size <= MAX_SIZE:
        raise BadUserInput(f"{name} is {size}; a page has 0 to {MAX_SIZE} entries.")
    return size


def _origin(given: Arguments, name: str) -> Origin | None:
    argument = given.get(name)
    return argument.origin if isinstance(argument, arguments.Scalar) else None


def _keys(node: metadata.Node, default: tuple[tuple[str, bool], ...], given: Arguments, who: Who) -> tuple[Key, ...]:
    wanted: list[tuple[str, bool]] = []
    argument = given.get("orderBy")
    if isinstance(argument, arguments.Objects):
        wanted = [_order_item(item) for item in argument.items]
    if len(wanted) > MAX_ORDER_FIELDS:
        raise BadUserInput(f"orderBy has {len(wanted)} entries; {MAX_ORDER_FIELDS} are the most.")
    keys: list[Key] = []
    for name, descending in wanted or default:
        kept = getattr(node.fields[name], "kept", None)
        if access.field(node.name, name, who, "t") != ast.TRUE or not (kept is None or kept.is_seen(who)):
            raise Forbidden(f"You may not order by {node.name}.{name}.")
        if all(key.name != name for key in keys):
            keys.append(_key(node, name, descending))
    if all(key.name != "id" for key in keys):
        keys.append(_key(node, "id", keys[-1].descending))
    return tuple(keys[: 1 + next(index for index, key in enumerate(keys) if key.name == "id")])


def _order_item(item: arguments.Argument) -> tuple[str, bool]:
    assert isinstance(item, arguments.Object)
    field, direction = item.fields["field"], item.fields.get("direction")
    assert isinstance(field, arguments.Scalar)
    descending = isinstance(direction, arguments.Scalar) and _enum(direction.value) == "DESC"
    return _field_name(_enum(field.value)), descending


def _enum(value: object) -> str:
    return str(getattr(value, "value", value))


def _field_name(constant: str) -> str:
    head, *tail = constant.lower().split("_")
    return head + "".join(part.capitalize() for part in tail)


def _key(node: metadata.Node, name: str, descending: bool) -> Key:
    field = node.fields[name]
    if isinstance(field, metadata.Derived):
        assert field.kept is not None
        codec = field.codec or codecs.DECIMAL
        return Key(name, f"{field.kept.column} kept", codec, descending, field.kept.nullable, field.kept)
    assert isinstance(field, metadata.Leaf | metadata.Money)
    codec = field.codec if isinstance(field, metadata.Leaf) else codecs.DECIMAL
    return Key(name, field.column, codec, descending, field.nullable)


def order_of(page: Page, table: str, *, reading: bool = False) -> tuple[ast.Order, ...]:
    """ORDER BY for a page; when reading a backward page, from its end."""
    orders = tuple(ast.Order(ast.Col(table, key.column), key.descending) for key in page.keys)
    return tuple(order.reversed() for order in orders) if reading and page.backward else orders


def cursor_of(page: Page, table: str) -> ast.Expr:
    """A row's cursor, as text."""
    values = tuple(ast.Cast(ast.Col(table, key.column), "text") for key in page.keys)
    array = ast.Func("jsonb_build_array", (ast.Cast(ast.Text(page.signature), "text"), *values))
    bytes_ = ast.Func("convert_to", (ast.Cast(array, "text"), ast.Text("UTF8")))
    encoded = ast.Func("encode", (bytes_, ast.Text("base64")))
    return ast.Func("translate", (encoded, ast.Text("+/=\n"), ast.Text("-_")))


def _decode(cursor: str, signature: str, kinds: Sequence[codecs.Codec]) -> list[str | None]:
    """The values inside a cursor, checked. Raises `BadUserInput`."""
    try:
        raw = base64.b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        made_for, *values = json.loads(raw)
        if made_for == signature and len(values) == len(kinds):
            return [
                None if value is None else kind.from_cursor(value) for kind, value in zip(kinds, values, strict=True)
            ]
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, InvalidOperation, RecursionError):
        pass
    raise BadUserInput("This cursor was not made by a list in this order; take one from pageInfo or edges.")


def keyset(page: Page, table: str) -> list[ast.Expr]:
    """Conditions that a page starts after, or ends before, a cursor."""
    conditions = []
    kinds = tuple(key.codec for key in page.keys)
    for origin, forward in ((page.after, True), (page.before, False)):
        if origin is not None:
            values = [
                ast.Cast(ast.Param(CursorValue(origin, page.signature, kinds, index), "text"), key.codec.sql_type)
                for index, key in enumerate(page.keys)
            ]
            conditions.append(_beyond(page.keys, table, values, forward=forward))
    return conditions


def _beyond(keys: tuple[Key, ...], table: str, values: Sequence[ast.Expr], *, forward: bool) -> ast.Expr:
    columns = tuple(ast.Col(table, key.column) for key in keys)
    directions = {key.descending for key in keys}
    if len(directions) == 1 and not any(key.nullable for key in keys):
        operator = "<" if directions.pop() == forward else ">"
        return ast.Op(ast.Row(columns), operator, ast.Row(tuple(values)))
    alternatives = []
    for index, key in enumerate(keys):
        same = [_same(keys[i], columns[i], values[i]) for i in range(index)]
        alternatives.append(ast.all_of([*same, _further(key, columns[index], values[index], forward=forward)]))
    return ast.any_of(alternatives)


def _same(key: Key, column: ast.Expr, value: ast.Expr) -> ast.Expr:
    return ast.Op(column, "IS NOT DISTINCT FROM" if key.nullable else "=", value)


def _further(key: Key, column: ast.Expr, value: ast.Expr, *, forward: bool) -> ast.Expr:
    """One key beyond a value; nulls count as the largest, as PostgreSQL sorts them."""
    downward = key.descending == forward
    plain = ast.Op(column, "<" if downward else ">", value)
    if not key.nullable:
        return plain
    edge, far = (value, column) if downward else (column, value)
    return ast.any_of([plain, ast.all_of([ast.IsNull(edge), ast.IsNull(far, negated=True)])])
