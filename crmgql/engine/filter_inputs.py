"""Input types of `where` and `orderBy`, made from the metadata."""

from __future__ import annotations

from typing import Any

import strawberry

from crmgql.engine import declare, scalars
from crmgql.engine.strawberries import Argument, Field, enum_type, input_type, lazy, list_of, publish
from crmgql.planner import metadata

ORDERED = ("Int", "Decimal", "DateTime", "Date", "ID")


def build(known: metadata.Metadata, enums: dict[str, Any]) -> None:
    """All input types of all nodes."""
    for name in ("String", "Boolean", "CurrencyCode", *ORDERED):
        _scalar_filter(name, scalars.BY_NAME[name])
    for name, enum in enums.items():
        _scalar_filter(name, enum)
    money = [Field(op, scalars.DecimalText) for op in ("eq", "ne", "gt", "gte", "lt", "lte")]
    money += [Field("currency", scalars.CurrencyCode), Field("isNull", bool)]
    input_type("MoneyFilter", money, "Conditions on an amount; all given ones must hold.")
    enum_type("SortDirection", ["ASC", "DESC"])
    for node in known.nodes.values():
        _where(node)
        _order(node)


def _scalar_filter(name: str, kind: Any) -> None:
    fields = [Field("eq", kind), Field("ne", kind), Field("in", list_of(kind))]
    if name == "String":
        fields += [
            Field("contains", str, "Anywhere in the text, in upper or lower case."),
            Field("startsWith", str, "At the start of the text, exactly so."),
        ]
    if name in ORDERED:
        fields += [Field(op, kind) for op in ("gt", "gte", "lt", "lte")]
    if name == "Boolean":
        fields = [Field("eq", kind)]
    input_type(f"{name}Filter", [*fields, Field("isNull", bool)], "Conditions on a value; all given ones must hold.")


def _where(node: metadata.Node) -> None:
    own = lazy(f"{node.name}Where")
    fields = [Field("and", list_of(own)), Field("or", list_of(own)), Field("not", own)]
    for name, field in node.fields.items():
        kind = _filter_kind(field)
        if kind is not None:
            fields.append(Field(name, lazy(kind)))
    input_type(f"{node.name}Where", fields, f"Which {node.plural} are meant; all given conditions must hold.")
    listed = [Field(quantifier, own) for quantifier in ("some", "none", "every")]
    input_type(f"{node.name}ListWhere", listed, f"Conditions on related {node.plural}, as far as you may see them.")


def _filter_kind(field: metadata.Field) -> str | None:
    match field:
        case metadata.Leaf() if field.filterable:
            return f"{field.codec.graphql}Filter"
        case metadata.Money() if field.filterable:
            return "MoneyFilter"
        case metadata.Derived() if field.kept is not None:
            return "MoneyFilter" if field.codec is None else f"{field.codec.graphql}Filter"
        case metadata.One():
            return f"{field.target}Where"
        case metadata.Many():
            return f"{field.target}ListWhere"
        case _:
            return None


def _order(node: metadata.Node) -> None:
    names = sorted(
        name
        for name, field in node.fields.items()
        if (isinstance(field, metadata.Leaf | metadata.Money) and field.sortable)
        or (isinstance(field, metadata.Derived) and field.kept is not None)
    )
    enum = enum_type(f"{node.name}OrderField", [declare.snake(name).upper() for name in names])
    namespace = {
        "__annotations__": {"field": enum, "direction": lazy("SortDirection")},
        "direction": strawberry.field(default="ASC"),
    }
    ordered = strawberry.input(type(f"{node.name}Order", (), namespace), name=f"{node.name}OrderBy")
    publish(f"{node.name}OrderBy", ordered)


def page_arguments(node: str) -> tuple[Argument, ...]:
    """The arguments of a connection."""
    return (
        Argument("first", int, None, "How many from the start; 20 unless given, at most 100."),
        Argument("after", str, None, "The cursor to start after."),
        Argument("last", int, None, "How many from the end."),
        Argument("before", str, None, "The cursor to end before."),
        Argument("where", lazy(f"{node}Where")),
        Argument("orderBy", list_of(lazy(f"{node}OrderBy"))),
    )
