"""How a column's value is written as JSON text in SQL, bound as a parameter and read back from a cursor.

A codec is a value: two columns with the same codec behave the same everywhere.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from crmgql.errors import BadUserInput
from crmgql.sql import ast

LONGEST_IN_CURSOR = 1000
ID_PATTERN = re.compile(r"([a-z]{3})_([0-9a-f]{32})\Z")


@dataclass(frozen=True, slots=True)
class Codec:
    """`graphql` names the scalar or enum, `sql_type` the column's type, `kind` selects the code below; `prefix` is an ID's."""

    kind: str
    graphql: str
    sql_type: str
    prefix: str = ""

    def json(self, expr: ast.Expr) -> ast.Expr:
        """JSON text of a value that is not NULL."""
        return _JSON[self.kind](self, expr)

    def bind(self, value: Any) -> Any:
        """A coerced GraphQL input value as asyncpg wants it. Raises `BadUserInput`."""
        binder = _BIND.get(self.kind)
        return value if binder is None else binder(self, value)

    def from_cursor(self, text: str) -> str:
        """One value of a cursor, written as the database reads it. Raises `ValueError` and others for what is none.

        Python reads more than PostgreSQL (`2026-W05`, `1_000`, digits of other scripts), so its own writing is bound.
        """
        if not isinstance(text, str) or len(text) > LONGEST_IN_CURSOR:
            raise TypeError(text)
        return _CURSOR[self.kind](self, text)


STRING = Codec("string", "String", "text")
INT = Codec("int", "Int", "int4")
LONG = Codec("int", "Int", "int8")
BOOLEAN = Codec("boolean", "Boolean", "bool")
DECIMAL = Codec("decimal", "Decimal", "numeric")
DATETIME = Codec("datetime", "DateTime", "timestamptz")
DATE = Codec("date", "Date", "date")
JSON = Codec("json", "JSON", "jsonb")
ANY_ID = Codec("plain", "ID", "text")
CURSOR = Codec("plain", "Cursor", "text")
CURRENCY = Codec("plain", "CurrencyCode", "text")


def id_codec(prefix: str) -> Codec:
    return Codec("id", "ID", "uuid", prefix)


def enum_codec(name: str, *, many: bool = False) -> Codec:
    return Codec("enums" if many else "plain", name, "text[]" if many else "text")


def decode_id(value: str, *, prefix: str | None = None) -> UUID:
    """The UUID inside an API id. Raises `BadUserInput` when it is not one, or one of another type."""
    match = ID_PATTERN.match(value)
    if match is None or (prefix is not None and match[1] != prefix):
        example = f"{prefix or 'cus'}_ followed by 32 hex digits"
        shown = value[:60].encode("ascii", "backslashreplace").decode()
        raise BadUserInput(f"“{shown}” is not an id that fits here; expected {example}.")
    return UUID(hex=match[2])


def is_id(text: str) -> bool:
    """Whether it has the form of an API id, of whatever type."""
    return ID_PATTERN.match(text) is not None


def encode_id(prefix: str, value: UUID) -> str:
    return f"{prefix}_{value.hex}"


def _quoted(expr: ast.Expr) -> ast.Expr:
    return ast.Concat((ast.Text('"'), expr, ast.Text('"')))


def _json_id(codec: Codec, expr: ast.Expr) -> ast.Expr:
    return ast.Concat((ast.Text(f'"{codec.prefix}_'), hex_digits(expr), ast.Text('"')))


def hex_digits(expr: ast.Expr) -> ast.Expr:
    """A UUID as 32 hex digits."""
    return ast.Func("encode", (ast.Func("uuid_send", (expr,)), ast.Text("hex")))


_JSON: dict[str, Callable[[Codec, ast.Expr], ast.Expr]] = {
    "string": lambda codec, expr: ast.Cast(ast.Func("to_json", (expr,)), "text"),
    "int": lambda codec, expr: ast.Cast(expr, "text"),
    "boolean": lambda codec, expr: ast.Cast(expr, "text"),
    "decimal": lambda codec, expr: _quoted(ast.Cast(expr, "text")),
    "datetime": lambda codec, expr: ast.Cast(ast.Func("to_json", (expr,)), "text"),
    "date": lambda codec, expr: _quoted(ast.Cast(expr, "text")),
    "json": lambda codec, expr: ast.Cast(expr, "text"),
    "plain": lambda codec, expr: _quoted(expr),
    "enums": lambda codec, expr: ast.Cast(ast.Func("array_to_json", (expr,)), "text"),
    "id": _json_id,
}


def text_value(value: Any) -> str:
    """A string that PostgreSQL can hold: without NUL and without lone surrogates. Raises `BadUserInput`."""
    text = str(getattr(value, "value", value))
    if "\x00" in text:
        raise BadUserInput("Text can't contain the character U+0000.")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise BadUserInput("Text contains half of a surrogate pair; send whole characters.") from None
    return text


_BIND: dict[str, Callable[[Codec, Any], Any]] = {
    "string": lambda codec, value: text_value(value),
    "plain": lambda codec, value: text_value(value),
    "enums": lambda codec, value: text_value(value),
    "int": lambda codec, value: int(value),
    "id": lambda codec, value: decode_id(str(value), prefix=codec.prefix),
}


def _whole(codec: Codec, text: str) -> str:
    number = int(text)
    if abs(number) >= 2 ** (31 if codec.sql_type == "int4" else 63):
        raise ValueError(text)
    return str(number)


def _finite(codec: Codec, text: str) -> str:
    number = Decimal(text)
    if not number.is_finite() or abs(number.adjusted()) > LONGEST_IN_CURSOR:
        raise ValueError(text)
    return format(number, "f")


_CURSOR: dict[str, Callable[[Codec, str], str]] = {
    "string": lambda codec, text: text_value(text),
    "plain": lambda codec, text: text_value(text),
    "int": _whole,
    "boolean": lambda codec, text: {"true": "true", "false": "false"}[text],
    "decimal": _finite,
    "datetime": lambda codec, text: datetime.fromisoformat(text).astimezone(UTC).isoformat(),
    "date": lambda codec, text: date.fromisoformat(text).isoformat(),
    "id": lambda codec, text: str(UUID(text)),
}
