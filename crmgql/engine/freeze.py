"""Freezes the declarations into the planner's metadata, checking each against its model.

A mistake stops the boot with a `DeclarationError` that names the type, the field and the fix.
"""

from __future__ import annotations

from typing import Any

from tortoise import fields as orm
from tortoise.fields.relational import ForeignKeyFieldInstance
from tortoise.models import Model

from crmgql import access
from crmgql.engine import declare
from crmgql.errors import DeclarationError
from crmgql.events import kinds
from crmgql.models.base import AmountField, NumberField, TextArrayField
from crmgql.planner import codecs, metadata

SCALARS: dict[type, codecs.Codec] = {
    orm.CharField: codecs.STRING,
    orm.TextField: codecs.STRING,
    orm.IntField: codecs.INT,
    orm.BigIntField: codecs.LONG,
    orm.BooleanField: codecs.BOOLEAN,
    orm.DatetimeField: codecs.DATETIME,
    orm.DateField: codecs.DATE,
    orm.DecimalField: codecs.DECIMAL,
    NumberField: codecs.DECIMAL,
    orm.JSONField: codecs.JSON,
    TextArrayField: codecs.enum_codec("String", many=True),
}

SEEN_BY_ALL = frozenset({"User", "Team", "Product"})
"""Types of which every built-in role sees all rows. A relation to them that the model always has is not nullable; a role of a
company's own that sees none of them is refused it (`planner/objects`)."""

NOT_COLUMNS = (
    *(metadata.One, metadata.AnyOne, metadata.Many, metadata.Derived, metadata.Details, metadata.Summary),
    *(declare.OneDeclaration, declare.AnyOneDeclaration, declare.ManyDeclaration),
    *(declare.DerivedDeclaration, declare.DetailsDeclaration, declare.SummaryDeclaration),
)


def freeze(declared: dict[str, declare.NodeDeclaration]) -> metadata.Metadata:
    """The metadata of all declared types."""
    prefixes: dict[str, str] = {}
    nodes = []
    for declaration in declared.values():
        if not declaration.prefix:
            raise DeclarationError(
                f"{declaration.name} has no id prefix; add one to PREFIXES in crmgql/models/names.py."
            )
        other = prefixes.setdefault(declaration.prefix, declaration.name)
        if other != declaration.name:
            raise DeclarationError(
                f"{declaration.name} and {other} share the id prefix {declaration.prefix!r}; change one."
            )
        _check_entry(declaration)
        nodes.append(_node(declaration, declared))
    return metadata.of(nodes)


def _check_entry(declaration: declare.NodeDeclaration) -> None:
    """The type has its entry, which looks into the same table."""
    name, table = declaration.name, declaration.model._meta.db_table
    if name not in access.ENTRIES:
        raise DeclarationError(f"{name} has no row rule; add its entry to crmgql/access/types.py.")
    if access.ENTRIES[name].table != table:
        raise DeclarationError(
            f"{name} is in {table}, its entry in crmgql/access/types.py says otherwise; change that."
        )


def _node(declaration: declare.NodeDeclaration, declared: dict[str, declare.NodeDeclaration]) -> metadata.Node:
    prefix = declaration.prefix
    fields: dict[str, metadata.Field] = {
        "id": metadata.Leaf("id", "id", codecs.id_codec(prefix), nullable=False, sortable=True)
    }
    for name, field in declaration.fields.items():
        fields[name] = _field(declaration, name, field, declared)
    if "created_at" in declaration.model._meta.fields_map:
        fields["createdAt"] = metadata.Leaf("createdAt", "created_at", codecs.DATETIME, nullable=False, sortable=True)
    if "version" in declaration.model._meta.fields_map:
        fields["updatedAt"] = metadata.Leaf("updatedAt", "updated_at", codecs.DATETIME, nullable=False)
        fields["version"] = metadata.Leaf("version", "version", codecs.INT, nullable=False)
        fields["source"] = metadata.Leaf("source", "source", codecs.STRING, nullable=True)
        fields["externalId"] = metadata.Leaf("externalId", "external_id", codecs.STRING, nullable=True)
    for name in access.ENTRIES[declaration.name].fields:
        ruled = f"{declaration.name}.{name}"
        if name not in fields:
            raise DeclarationError(f"crmgql/access/types.py has a rule for {ruled}, which is not declared; remove one.")
        if not (isinstance(fields[name], metadata.Summary) or getattr(fields[name], "nullable", False)):
            raise DeclarationError(f"{ruled} has a rule in crmgql/access/types.py and so must be nullable; make it so.")
    return metadata.Node(
        name=declaration.name,
        prefix=prefix,
        table=declaration.model._meta.db_table,
        singular=declaration.name[0].lower() + declaration.name[1:],
        plural=declaration.plural,
        fields=fields,
        order=_order(declaration.name, declaration.order, fields),
        only=declaration.only,
        followed=declaration.name in kinds.FOLLOWED,
    )


def _field(
    node: declare.NodeDeclaration,
    name: str,
    field: declare.FieldDeclaration,
    declared: dict[str, declare.NodeDeclaration],
) -> metadata.Field:
    match field:
        case declare.ColumnDeclaration():
            return _column(node, name, field)
        case declare.MoneyDeclaration():
            return _money(node, name, field)
        case declare.OneDeclaration():
            return _one(node, name, field, declared)
        case declare.AnyOneDeclaration():
            for column in (field.type_column, field.column):
                _model_field(node, name, column)
            return metadata.AnyOne(name, field.type_column, field.column)
        case declare.ManyDeclaration():
            return _many(node, name, field, declared)
        case declare.DetailsDeclaration():
            for column in field.needs:
                _model_field(node, name, column)
            return metadata.Details(name, field.target, field.build, field.needs)
        case declare.SummaryDeclaration():
            for column in field.needs:
                _model_field(node, name, column)
            return metadata.Summary(name, field.target, field.build, field.needs, field.currency_argument)
        case declare.DerivedDeclaration():
            for column in field.needs:
                _model_field(node, name, column)
            return metadata.Derived(
                name, field.build, field.codec, field.nullable, field.needs, field.currency_argument, field.kept
            )


def _model_field(node: declare.NodeDeclaration, name: str, wanted: str) -> tuple[str, orm.Field[Any]]:
    """The model's field for an attribute or a column name, with its column."""
    meta = node.model._meta
    for attribute, column in meta.fields_db_projection.items():
        if wanted in (attribute, column):
            return column, meta.fields_map[attribute]
    known = ", ".join(sorted(meta.fields_db_projection))
    raise DeclarationError(
        f"{node.name}.{name}: {node.model.__name__} has no column {wanted!r}; use one of {known}, or name it in the declaration."
    )


def scalar_of(column: str, model_field: orm.Field[Any]) -> codecs.Codec | None:
    """How a plain column is read and written; None for one that has no scalar."""
    if column == "currency" or column.endswith("_currency"):
        return codecs.CURRENCY
    return SCALARS.get(type(model_field))


def _column(node: declare.NodeDeclaration, name: str, field: declare.ColumnDeclaration) -> metadata.Leaf:
    column, model_field = _model_field(node, name, field.column or declare.snake(name))
    if field.enum is not None:
        many = isinstance(model_field, TextArrayField)
        codec = codecs.enum_codec(field.enum.__name__, many=many)
    elif (plain := scalar_of(column, model_field)) is not None:
        codec = plain
    else:
        hint = "declare it with money()" if isinstance(model_field, AmountField) else "add a codec for it"
        raise DeclarationError(f"{node.name}.{name}: a {type(model_field).__name__} can't be a plain column; {hint}.")
    filterable = field.filter and codec.kind not in ("json", "enums")
    return metadata.Leaf(name, column, codec, model_field.null, field.sort, filterable)


def _money(node: declare.NodeDeclaration, name: str, field: declare.MoneyDeclaration) -> metadata.Money:
    column, model_field = _model_field(node, name, field.column or f"{declare.snake(name)}_amount")
    currency, _ = _model_field(node, name, field.currency)
    if not isinstance(model_field, AmountField):
        raise DeclarationError(f"{node.name}.{name}: {column} is not an amount; declare it with column().")
    return metadata.Money(name, column, currency, model_field.null, field.sort)


def _one(
    node: declare.NodeDeclaration,
    name: str,
    field: declare.OneDeclaration,
    declared: dict[str, declare.NodeDeclaration],
) -> metadata.One:
    relation = node.model._meta.fields_map.get(declare.snake(name))
    if not isinstance(relation, ForeignKeyFieldInstance):
        raise DeclarationError(f"{node.name}.{name}: {node.model.__name__} has no foreign key {declare.snake(name)!r}.")
    target = field.target or _declared_for(relation.related_model, declared, f"{node.name}.{name}")
    column = str(relation.source_field)
    trusted = _same_customer(node.name, node.model, column, target)
    nullable = relation.null or not (trusted or target in SEEN_BY_ALL)
    return metadata.One(name, target, column, nullable, trusted)


def _many(
    node: declare.NodeDeclaration,
    name: str,
    field: declare.ManyDeclaration,
    declared: dict[str, declare.NodeDeclaration],
) -> metadata.Many:
    target = declared.get(field.target)
    if target is None:
        raise DeclarationError(f"{node.name}.{name}: {field.target!r} is not declared; declare it with @node.")
    fields = {"id": None, "createdAt": None, **target.fields}
    order = _order(target.name, field.order, fields)
    if field.through is not None:
        trusted = access.ENTRIES[node.name].vouches and access.ENTRIES[target.name].vouches
        return metadata.Many(name, target.name, field.through.parent, order, trusted, True, field.through)
    relation = target.model._meta.fields_map.get(field.relation)
    if not isinstance(relation, ForeignKeyFieldInstance) or relation.related_model is not node.model:
        raise DeclarationError(
            f"{node.name}.{name}: {target.model.__name__} has no foreign key {field.relation!r} to {node.model.__name__}."
        )
    column = str(relation.source_field)
    trusted = access.ENTRIES[node.name].vouches and _keeps_customer(target.model, column)
    if field.few and not (trusted and column != "customer_id" and _indexed(target.model, column)):
        raise DeclarationError(
            f"{node.name}.{name}: few=True needs a composite key and an index on (customer_id, {column}, …) of "
            f"{target.model.__name__}; add them or drop few=True."
        )
    return metadata.Many(name, target.name, column, order, trusted, field.few)


def _declared_for(model: type[Model], declared: dict[str, declare.NodeDeclaration], where: str) -> str:
    for declaration in declared.values():
        if declaration.model is model:
            return declaration.name
    raise DeclarationError(f"{where}: no declared type has the model {model.__name__}; declare one with @node.")


def _same_customer(record: str, model: type[Model], column: str, target: str) -> bool:
    """Whether a visible row proves its target visible: same customer by a key that the database checks."""
    vouches = record in access.ENTRIES and access.ENTRIES[record].vouches and access.ENTRIES[target].vouches
    return vouches and _keeps_customer(model, column)


def _keeps_customer(model: type[Model], column: str) -> bool:
    """Whether the database compares the customers of both ends. Where the customer may be missing, it compares nothing."""
    if column == "customer_id":
        return True
    composite = getattr(getattr(model, "Meta", None), "composite_keys", ())
    compared = any(key.columns == ("customer_id", column) for key in composite)
    return compared and not model._meta.fields_map["customer"].null


def _indexed(model: type[Model], column: str) -> bool:
    return any(list(getattr(index, "fields", ())[:2]) == ["customer_id", column] for index in model._meta.indexes)


def _order(record: str, text: str, fields: dict[str, Any]) -> tuple[tuple[str, bool], ...]:
    name, descending = text.lstrip("-"), text.startswith("-")
    if name not in fields:
        raise DeclarationError(f"{record}: the default order {text!r} names no field of it; name a column.")
    if isinstance(fields[name], NOT_COLUMNS):
        raise DeclarationError(
            f"{record}: the default order {text!r} is a relation or a computed value; name a column."
        )
    return ((name, descending),)
