"""The statements by which many records of one model are written at once. Pure text: values are parameters.

Rows are copied into a temporary table, the stage, and written from there by one statement, which touches only what
differs. In the text `s` is a staged row, `t` the row that is there already, `EXCLUDED` the staged row beside it, and $2 the
time of the writing.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass
from typing import Any, Protocol

from tortoise import fields
from tortoise.models import Model

from crmgql.models.base import AmountField, NumberField, TextArrayField

STAGE = "crmgql_stage"
DROP = f"DROP TABLE IF EXISTS pg_temp.{STAGE}"

TYPES: tuple[tuple[type[Any], str], ...] = (
    (fields.UUIDField, "uuid"),
    (fields.BooleanField, "boolean"),
    (fields.IntField, "integer"),
    (fields.BigIntField, "bigint"),
    (fields.DecimalField, "numeric"),
    (AmountField, "numeric"),
    (NumberField, "numeric"),
    (fields.DatetimeField, "timestamptz"),
    (fields.DateField, "date"),
    (TextArrayField, "text[]"),
)
"""All else is text: lengths and JSON belong to the statement that writes, where a bad row can be told from the others."""


class Rules(Protocol):
    """What a table's rows get besides the columns that are written; each method returns SQL by column."""

    model: type[Model]
    append_only: bool
    returned: tuple[str, ...]

    def new_values(self, columns: Sequence[str]) -> dict[str, str]:
        """For a new row: computed columns, and columns that replace a staged one."""
        ...

    def changed_values(self, updates: dict[str, str]) -> dict[str, str]:
        """Of a row that is there already, of which `updates` are the columns that may change."""
        ...

    def quiet_values(self, updates: Set[str]) -> dict[str, str]:
        """What else a row gets that differs; none of it makes a row differ."""
        ...


def fields_by_column(model: type[Model]) -> dict[str, fields.Field[Any]]:
    """The model's fields by the names of their columns."""
    return {column: model._meta.fields_map[name] for name, column in model._meta.fields_db_projection.items()}


def is_json(field: fields.Field[Any]) -> bool:
    return isinstance(field, fields.JSONField)


def create_stage(model: type[Model], columns: Sequence[str], index: str | None = None) -> str:
    """The stage for these columns, until the transaction ends."""
    known = fields_by_column(model)
    typed = ", ".join(f"{column} {_type(known[column])}" for column in columns)
    table = f"CREATE TEMPORARY TABLE {STAGE} (n integer, external_id text, {typed}) ON COMMIT DROP"
    return f"{DROP}; {table}" + (f"; CREATE INDEX ON {STAGE} ({index})" if index else "")


def _type(field: fields.Field[Any]) -> str:
    return next((sql for kind, sql in TYPES if isinstance(field, kind)), "text")


@dataclass(frozen=True, slots=True)
class Upsert:
    """Writes the staged rows. Parameters: source, now, the first and last `n`. Returns a row for each record written.

    It has the record's id and whether it is new; its last columns are `compared` as they are, and as they were.
    """

    text: str
    compared: tuple[str, ...]


def upsert(rules: Rules, columns: Sequence[str], mapped: Set[str]) -> Upsert:
    """`mapped`: the columns in which a row that is there already may change."""
    known, table = fields_by_column(rules.model), rules.model._meta.db_table
    staged = {column: f"s.{column}" + ("::jsonb" if is_json(known[column]) else "") for column in columns}
    values = {**staged, **rules.new_values(columns)}
    updates = rules.changed_values({column: f"EXCLUDED.{column}" for column in columns if column in mapped})
    compared = tuple(dict.fromkeys(("external_id", *values, *updates, *rules.returned)))
    about = [name for name in ("version", "customer_id") if name in known and name not in compared]
    returned = [f"new.{name}" for name in (*about, *compared)] + [f"old.{name} AS was_{name}" for name in compared]
    stamps = {"created_at": "$2"} if rules.append_only else {"created_at": "$2", "updated_at": "$2"}
    text = f"""
        INSERT INTO {table} AS t (source, external_id, {", ".join([*stamps, *values])})
        SELECT $1, s.external_id, {", ".join([*stamps.values(), *values.values()])}
        FROM {STAGE} s WHERE s.n BETWEEN $3 AND $4 ORDER BY s.n
        ON CONFLICT (source, external_id) WHERE external_id IS NOT NULL
        {"DO NOTHING" if rules.append_only else _update(rules, updates)}
        RETURNING new.id, old.id IS NULL AS is_new, {", ".join(returned)}"""
    return Upsert(text, compared)


def _update(rules: Rules, updates: dict[str, str]) -> str:
    if not updates:
        return "DO NOTHING"
    quiet = {"version": "t.version + 1", "updated_at": "$2", **rules.quiet_values(updates.keys())}
    setting = ", ".join(f"{column} = {value}" for column, value in {**updates, **quiet}.items())
    old = ", ".join(f"t.{column}" for column in updates)
    return f"DO UPDATE SET {setting} WHERE ROW({old}) IS DISTINCT FROM ROW({', '.join(updates.values())})"
