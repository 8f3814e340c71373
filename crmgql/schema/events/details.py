"""What is worked out for an event in the statement that reads it: its place in the feed, and what it changed."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from functools import lru_cache

import orjson

from crmgql import access
from crmgql.access.sights import ENTERED, LEFT, SEEN
from crmgql.access.trails import TRAILS
from crmgql.engine import declare, scalars
from crmgql.engine.strawberries import Field, enum_type, object_type, optional
from crmgql.models.names import PREFIXES, api_name
from crmgql.planner import codecs, sights
from crmgql.planner.metadata import Parts
from crmgql.sql import ast
from crmgql.viewer import Who

object_type(
    "EventChange",
    [
        Field("field", str, "As `changed` names it."),
        Field("before", optional(scalars.JsonValue), "Null, too, once a person's values were erased."),
        Field("after", optional(scalars.JsonValue)),
    ],
    "A field that an event changed, of those that you may see.",
)

enum_type("Sight", [SEEN, ENTERED, LEFT])


def cursor() -> object:
    def build(who: Who, t: str, chosen: ast.Expr) -> tuple[ast.Expr, ...]:
        place = [ast.Text("evc_"), _hex("epoch", 8), _hex("position", 16), codecs.hex_digits(ast.Col("p", "event_id"))]
        return (_placed(t, ast.Concat(tuple(place))),)

    doc = "Where to go on after this event; null for the moment until it has its place in the feed."
    return declare.derived(build, codecs.CURSOR, doc, nullable=True)


def is_last() -> object:
    def build(who: Who, t: str, chosen: ast.Expr) -> tuple[ast.Expr, ...]:
        return (_placed(t, ast.Col("p", "is_last")),)

    return declare.derived(build, codecs.BOOLEAN, "Whether it is the last event of its transaction.", nullable=True)


def transaction_id() -> object:
    def build(who: Who, t: str, chosen: ast.Expr) -> tuple[ast.Expr, ...]:
        return (ast.Cast(ast.Col(t, "transaction_id"), "text"),)

    doc = "Events with the same one were committed together, and are neighbours in the feed."
    return declare.derived(build, codecs.STRING, doc, needs=("transaction_id",))


def subject_id() -> object:
    def build(who: Who, t: str, chosen: ast.Expr) -> tuple[ast.Expr, ...]:
        prefixes = tuple((ast.Text(record), ast.Text(f"{prefix}_")) for record, prefix in PREFIXES.items())
        prefix = ast.Switch(ast.Col(t, "subject_type"), prefixes)
        return (ast.Op(prefix, "||", codecs.hex_digits(ast.Col(t, "subject_id"))),)

    doc = "The id of what it is about; null for what is no record."
    return declare.derived(build, codecs.ANY_ID, doc, nullable=True, needs=("subject_id", "subject_type"))


def sight() -> object:
    def build(who: Who, t: str, chosen: ast.Expr) -> tuple[ast.Expr, ...]:
        return (ast.Param(sights.SightNow(), "text"),)

    doc = "What it did to your sight of its subject, for who follows: LEFT tells that you see it no more, and nothing else."
    return declare.derived(build, codecs.enum_codec("Sight"), doc)


def _placed(t: str, value: ast.Expr) -> ast.Expr:
    same = ast.eq(ast.Col("p", "event_id"), ast.Col(t, "id"))
    return ast.Subquery(ast.Select(((value, "v"),), ast.Table("event_positions", "p"), where=same))


def _hex(column: str, digits: int) -> ast.Expr:
    return ast.Func("lpad", (ast.Func("to_hex", (ast.Col("p", column),)), ast.Num(digits), ast.Text("0")))


def changes() -> object:
    """Read from the audit entry of the same id."""

    def build(who: Who, t: str) -> Parts:
        shown = ast.Op(ast.Cast(ast.Text(_shown(access.sight(who), who)), "jsonb"), "->", ast.Col(t, "subject_type"))
        column, named = ast.Col("c", "key"), ast.Col("c", "value")
        pair = ast.Op(ast.Col("a", "changes"), "->", column)
        return Parts(
            source=ast.Table("audit_entries", "a"),
            joins=(ast.Join("JOIN", ast.Each(shown, "c"), ast.Op(ast.Col("a", "changes"), "?", column)),),
            where=ast.eq(ast.Col("a", "id"), ast.Col(t, "id")),
            order=column,
            texts={
                "field": ast.Cast(ast.Op(named, "->", ast.Num(0)), "text"),
                "before": _value(ast.Op(named, "->>", ast.Num(1)), pair, 0),
                "after": _value(ast.Op(named, "->>", ast.Num(1)), pair, 1),
            },
        )

    doc = "What it changed, of the fields that you may see. A money's currency is a change of its own."
    return declare.details("EventChange", build, doc, needs=("id", "subject_type"))


def _value(prefix: ast.Expr, pair: ast.Expr, side: int) -> ast.Expr:
    """The JSON text of a value, or of an id as the API writes it."""
    plain = ast.Func("coalesce", (ast.Cast(ast.Op(pair, "->", ast.Num(side)), "text"), ast.Text("null")))
    digits = ast.Func("replace", (ast.Op(pair, "->>", ast.Num(side)), ast.Text("-"), ast.Text("")))
    id = ast.Op(ast.Op(ast.Op(ast.Text('"'), "||", prefix), "||", digits), "||", ast.Text('"'))
    return ast.Case(ast.IsNull(prefix), plain, ast.Func("coalesce", (id, ast.Text("null"))))


@lru_cache(maxsize=256)
def _shown(sight: Hashable, who: Who) -> str:
    """By type and column: the field's name, and of a column of ids their prefix. Only what the viewer sees in every row."""
    return orjson.dumps(
        {
            record: dict(_columns(record, declaration, who))
            for record, declaration in declare.DECLARED.items()
            if record not in TRAILS
        }
    ).decode()


def _columns(record: str, declaration: declare.NodeDeclaration, who: Who) -> Iterator[tuple[str, list[str]]]:
    meta = declaration.model._meta
    for name, field in declaration.fields.items():
        if access.field(record, name, who, "t") != ast.TRUE:
            continue
        match field:
            case declare.ColumnDeclaration():
                column = field.column or declare.snake(name)
                column = meta.fields_db_projection.get(column, column)
                yield column, [api_name(column)]
            case declare.MoneyDeclaration():
                for column in (field.column or f"{declare.snake(name)}_amount", field.currency):
                    yield column, [api_name(column)]
            case declare.OneDeclaration():
                column = str(meta.fields_map[declare.snake(name)].source_field)
                target = field.target or _record_of(meta.fields_map[declare.snake(name)].related_model)  # type: ignore[attr-defined]
                yield column, [api_name(column), f"{PREFIXES[target]}_"]
            case _:
                pass


def _record_of(model: type) -> str:
    return next(name for name, declaration in declare.DECLARED.items() if declaration.model is model)
