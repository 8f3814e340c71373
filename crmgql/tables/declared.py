"""The tables that the models declare, as SQL: one statement per table, key, index and statistics object. Pure.

`Meta` says what fields can't: `constraints`, `indexes`, `composite_keys`, `statistics`, the expressions of `generated`
columns and of `stored` ones, a `primary_key` of several columns, and `partitioned` for a table in partitions. A foreign key
that a composite key contains is not made a second time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import orjson
from tortoise import fields
from tortoise.fields.db_defaults import Now, SqlDefault
from tortoise.fields.relational import ForeignKeyFieldInstance
from tortoise.indexes import Index
from tortoise.migrations.constraints import CheckConstraint, UniqueConstraint
from tortoise.models import Model

from crmgql import models
from crmgql.errors import DeclarationError
from crmgql.models.base import WITHOUT_OVERLAPS, CompositeKey, TextArrayField

TYPES: dict[type, str] = {
    fields.UUIDField: "uuid",
    fields.TextField: "text",
    fields.IntField: "integer",
    fields.BigIntField: "bigint",
    fields.SmallIntField: "smallint",
    fields.BooleanField: "boolean",
    fields.DatetimeField: "timestamptz",
    fields.DateField: "date",
    fields.JSONField: "jsonb",
    fields.BinaryField: "bytea",
}
"""Of Tortoise's fields; ours say it themselves."""


def all_models() -> list[type[Model]]:
    found = (getattr(models, name) for name in models.__all__)
    return [each for each in found if isinstance(each, type) and issubclass(each, Model)]


def statements() -> list[str]:
    """All that makes the tables in an empty schema: functions and sequences that they use are there already."""
    tables = all_models()
    return [
        *map(create, tables),
        *(text for model in tables for text in foreign_keys(model).values()),
        *(text for model in tables for text in (*indexes(model).values(), *statistics(model).values())),
    ]


def words() -> dict[tuple[str, str, str], str]:
    """What the models say constraints, indexes and statistics with, by (table, "constraint" …, name).

    A unique constraint counts as an index, as in `catalog`.
    """
    found: dict[tuple[str, str, str], str] = {}
    for model in all_models():
        of = table(model)
        constraints = primary_key(model) | checks(model) | foreign_keys(model)
        found |= {(of, "constraint", name): text for name, text in constraints.items()}
        found |= {(of, "index", name): text for name, text in (uniques(model) | indexes(model)).items()}
        found |= {(of, "statistics", name): text for name, text in statistics(model).items()}
    return found


def table(model: type[Model]) -> str:
    return str(model._meta.db_table)


def create(model: type[Model]) -> str:
    """CREATE TABLE, with the constraints that concern no other table."""
    lines = [f"    {column(model, name)}" for name in model._meta.fields_db_projection]
    lines += [f"    {text}" for text in primary_key(model).values()]
    lines += [f"    {text}" for text in (*uniques(model).values(), *checks(model).values())]
    parts = f" PARTITION BY {partitioned}" if (partitioned := _meta(model, "partitioned", None)) else ""
    return f"CREATE TABLE {table(model)} (\n" + ",\n".join(lines) + f"\n){parts}"


def column(model: type[Model], name: str) -> str:
    """A column's definition: name, type, key or NOT NULL, default."""
    field = model._meta.fields_map[name]
    if field.unique and not field.pk:
        raise DeclarationError(f"{model.__name__}.{name}: unique=True has no name; say it with unique() in Meta.")
    words = [model._meta.fields_db_projection[name], sql_type(field)]
    stored = _meta(model, "stored", {}).get(name)
    generated = stored or _meta(model, "generated", {}).get(name)
    words += [f"GENERATED ALWAYS AS ({generated}) {'STORED' if stored else 'VIRTUAL'}"] if generated else []
    words += ["PRIMARY KEY"] if field.pk and not primary_key(model) else [] if field.null else ["NOT NULL"]
    words += [f"DEFAULT {default(field)}"] if field.has_db_default() and not generated else []
    return " ".join(words)


def sql_type(field: fields.Field[Any]) -> str:
    if isinstance(field, fields.CharField):
        return f"varchar({field.max_length})"
    if isinstance(field, fields.DecimalField):
        return f"numeric({field.max_digits},{field.decimal_places})"
    found = next((TYPES[kind] for kind in type(field).__mro__ if kind in TYPES), None)
    if found is None and type(field).__module__.startswith("crmgql."):
        return str(field.SQL_TYPE).lower()
    if found is None:
        raise DeclarationError(
            f"{type(field).__name__} has no SQL type; add one to TYPES in crmgql/tables/declared.py."
        )
    return found


def default(field: fields.Field[Any]) -> str:
    """The default as SQL."""
    match field.db_default:
        case Now():
            return "now()"
        case SqlDefault() as expression:
            return expression.sql
        case list() as listed if isinstance(field, TextArrayField):
            return _quoted("{" + ",".join(f'"{each}"' for each in listed) + "}")
        case dict() | list() as value:
            return _quoted(orjson.dumps(value).decode())
        case bool() as flag:
            return str(flag).lower()
        case str() as text:
            return _quoted(text)
        case value:
            return str(value)


def primary_key(model: type[Model]) -> dict[str, str]:
    """The key of several columns, by name. Tortoise takes one of them for the whole."""
    name, columns = f"{table(model)}_pkey", _meta(model, "primary_key", ())
    return {name: f"CONSTRAINT {name} PRIMARY KEY ({', '.join(columns)})"} if columns else {}


def checks(model: type[Model]) -> dict[str, str]:
    """CHECKs by name."""
    found = [each for each in _meta(model, "constraints", ()) if isinstance(each, CheckConstraint)]
    return {str(each.name): f"CONSTRAINT {each.name} CHECK ({each.check})" for each in found}


def uniques(model: type[Model]) -> dict[str, str]:
    """UNIQUE over plain columns of all rows, by name."""
    found = [each for each in _meta(model, "constraints", ()) if _is_plain(each)]
    return {str(each.name): f"CONSTRAINT {each.name} UNIQUE ({', '.join(each.fields)})" for each in found}


def foreign_keys(model: type[Model]) -> dict[str, str]:
    """Those of the model's relations, and composite ones, by name."""
    composite: tuple[CompositeKey, ...] = tuple(_meta(model, "composite_keys", ()))
    inside = {key.columns[1] for key in composite if key.columns[0] == "customer_id" and len(key.columns) > 1}
    inside |= {key.columns[0] for key in composite if len(key.columns) == 1}
    keys = [
        CompositeKey(f"{table(model)}_{column}_fkey", (column,), table(relation.related_model), ("id",))
        for column, relation in _relations(model)
        if column not in inside
    ]
    return {key.name: _foreign_key(table(model), key) for key in (*keys, *composite)}


def indexes(model: type[Model]) -> dict[str, str]:
    """Indexes, and unique ones over expressions or over some rows only, by name."""
    found = {}
    for each in model._meta.indexes:
        assert isinstance(each, Index)
        way = f"USING {each.INDEX_TYPE.lower()} " if each.INDEX_TYPE else ""
        found[str(each.name)] = _index("INDEX", each.name, table(model), way, each.fields, each.extra or "")
    for each in _meta(model, "constraints", ()):
        if isinstance(each, UniqueConstraint) and not _is_plain(each):
            where = f" WHERE {each.condition}" if each.condition else ""
            found[str(each.name)] = _index("UNIQUE INDEX", each.name, table(model), "", each.fields, where)
    return found


def statistics(model: type[Model]) -> dict[str, str]:
    """Which columns depend on one another, for PostgreSQL's planner, by name."""
    return {
        each.name: f"CREATE STATISTICS {each.name} (dependencies) ON {', '.join(each.columns)} FROM {table(model)}"
        for each in _meta(model, "statistics", ())
    }


def _index(kind: str, name: Any, table: str, way: str, columns: Iterable[str], where: str) -> str:
    return f"CREATE {kind} {name} ON {table} {way}({', '.join(columns)}){where}"


def _foreign_key(table: str, key: CompositeKey) -> str:
    last = " DEFERRABLE INITIALLY DEFERRED" if key.deferred else ""
    return (
        f"ALTER TABLE {table} ADD CONSTRAINT {key.name} FOREIGN KEY ({', '.join(key.columns)})"
        f" REFERENCES {key.table} ({', '.join(key.target)}){last}"
    )


def _relations(model: type[Model]) -> Iterator[tuple[str, ForeignKeyFieldInstance[Any]]]:
    for relation in model._meta.fields_map.values():
        if isinstance(relation, ForeignKeyFieldInstance):
            yield str(relation.source_field), relation


def _is_plain(unique: Any) -> bool:
    return (
        isinstance(unique, UniqueConstraint)
        and not unique.condition
        and all(column.removesuffix(WITHOUT_OVERLAPS).isidentifier() for column in unique.fields)
    )


def _meta(model: type[Model], name: str, default: Any) -> Any:
    return getattr(getattr(model, "Meta", None), name, default)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
