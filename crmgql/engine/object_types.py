"""Object types, connections and the query root, made from the metadata. None of their fields has a resolver."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import strawberry

from crmgql.engine import computed, copies, declare, filter_inputs, scalars
from crmgql.engine.strawberries import (
    REQUIRED,
    Argument,
    Field,
    interface_type,
    lazy,
    list_of,
    object_type,
    optional,
    publish,
)
from crmgql.planner import metadata

CURRENCY = Argument("currency", scalars.CurrencyCode)
"""Of a computed value, in which currency; by default in the record's own."""


def build(known: metadata.Metadata, declared: dict[str, declare.NodeDeclaration]) -> Any:
    """All types; answers the query type."""
    enums = _enums(declared)
    filter_inputs.build(known, enums)
    kinds = {**scalars.BY_NAME, **enums}
    interface = interface_type("Node", [Field("id", strawberry.ID)], "Anything with an id of its own.")
    object_type(
        "Money",
        [Field("amount", scalars.DecimalText), Field("currency", scalars.CurrencyCode)],
        "An exact amount in a currency, written with the currency's decimals.",
    )
    copies.types(known)
    object_type("PageInfo", _page_info(), "Where a page stands in its list.")
    for node in known.nodes.values():
        fields = [_declared(declared[node.name], name, field, kinds) for name, field in node.fields.items()]
        object_type(node.name, fields, declared[node.name].doc, interfaces=(interface,))
        _connection(node)
    return object_type("Query", _query(known), "Everything that can be read; an operation is one SQL statement.")


def _enums(declared: dict[str, declare.NodeDeclaration]) -> dict[str, Any]:
    enums: dict[str, Any] = {}
    for declaration in declared.values():
        for field in declaration.fields.values():
            if isinstance(field, declare.ColumnDeclaration) and field.enum and field.enum.__name__ not in enums:
                enums[field.enum.__name__] = publish(field.enum.__name__, strawberry.enum(field.enum))
    return enums


def _declared(declaration: declare.NodeDeclaration, name: str, field: metadata.Field, kinds: dict[str, Any]) -> Field:
    deprecated = getattr(declaration.fields.get(name), "deprecated", None)
    return replace(_field(field, kinds, _doc(declaration, name)), deprecated=deprecated)


def _doc(declaration: declare.NodeDeclaration, name: str) -> str | None:
    if name == "version":
        return "Counts the changes; send it as expectedVersion."
    if name == "externalId":
        return "The record's id where it came from, unique per source."
    field = declaration.fields.get(name)
    return getattr(field, "doc", None) or None


def _page_info() -> list[Field]:
    booleans = [Field(name, bool) for name in ("hasNextPage", "hasPreviousPage")]
    return [*booleans, *(Field(name, optional(str)) for name in ("startCursor", "endCursor"))]


def _field(field: metadata.Field, kinds: dict[str, Any], doc: str | None) -> Field:
    match field:
        case metadata.Leaf():
            return Field(field.name, _nullable(_leaf(field.codec, kinds), field.nullable), doc)
        case metadata.Derived() if field.codec is not None:
            return Field(field.name, _nullable(_leaf(field.codec, kinds), field.nullable), doc)
        case metadata.Derived() if field.currency_argument:
            return Field(field.name, _nullable(lazy("Money"), field.nullable), doc, (CURRENCY,))
        case metadata.Money() | metadata.Derived():
            return Field(field.name, _nullable(lazy("Money"), field.nullable), doc)
        case metadata.Summary():
            return Field(field.name, optional(lazy(field.target)), doc, (CURRENCY,) if field.currency_argument else ())
        case metadata.Details():
            return Field(field.name, list_of(lazy(field.target)), doc)
        case metadata.One():
            return Field(field.name, _nullable(lazy(field.target), field.nullable), doc)
        case metadata.AnyOne():
            return Field(field.name, optional(lazy("Node")), doc)
        case metadata.Many():
            return Field(field.name, lazy(f"{field.target}Connection"), doc, filter_inputs.page_arguments(field.target))


def _leaf(codec: Any, kinds: dict[str, Any]) -> Any:
    kind = kinds.get(codec.graphql) or lazy(codec.graphql)
    return list_of(kind) if codec.kind == "enums" else kind


def _nullable(annotation: Any, nullable: bool) -> Any:
    return optional(annotation) if nullable else annotation


def _connection(node: metadata.Node) -> None:
    sums = [field for field in node.fields.values() if isinstance(field, metadata.Money)]
    fields = [
        Field("nodes", list_of(lazy(node.name))),
        Field("edges", list_of(lazy(f"{node.name}Edge"))),
        Field("pageInfo", lazy("PageInfo")),
        Field("totalCount", int, "How many there are in all, on every page."),
    ]
    if sums:
        fields.append(Field("sums", lazy(f"{node.name}Sums"), "Sums over all pages, each with an entry per currency."))
        object_type(f"{node.name}Sums", [Field(field.name, list_of(lazy("Money"))) for field in sums])
    object_type(f"{node.name}Edge", [Field("cursor", str), Field("node", lazy(node.name))])
    object_type(f"{node.name}Connection", fields, f"A page of {node.plural}.")


def _query(known: metadata.Metadata) -> list[Field]:
    fields = [
        Field("me", optional(lazy("User")), "The user you are logged in as."),
        Field("node", optional(lazy("Node")), "Any record by its id.", (Argument("id", strawberry.ID, REQUIRED),)),
        Field(
            "nodes",
            list_of(optional(lazy("Node"))),
            "Records by their ids, in that order; null for what does not exist or is hidden from you.",
            (Argument("ids", list[strawberry.ID], REQUIRED),),
        ),
    ]
    for node in known.nodes.values():
        by_id = () if node.only else (Argument("id", strawberry.ID, REQUIRED),)
        fields.append(Field(node.singular, optional(lazy(node.name)), None, by_id))
        fields.append(Field(node.plural, lazy(f"{node.name}Connection"), None, filter_inputs.page_arguments(node.name)))
    return [*fields, *copies.fields(), *computed.fields()]
