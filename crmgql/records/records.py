"""How a verb reads, makes and changes records: under the viewer's rules, locked, versioned, audited.

Every verb gets an `Act` and uses these functions; none of them commits. For a record that the viewer may not see they
raise the same error as for one that does not exist.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

import asyncpg
import orjson
from tortoise import fields
from tortoise.models import Model

from crmgql import access
from crmgql.db import Transaction
from crmgql.errors import BadUserInput, Conflict, CrmError, NotFound, VersionConflict
from crmgql.events import outbox
from crmgql.records import checks, columns, days
from crmgql.sql import ast
from crmgql.sql.render import quote, render_select
from crmgql.viewer import Viewer

Row = dict[str, Any]
Conflicts = Mapping[str, tuple[str | None, str]]
"""Constraint → (field, message)."""


class Collided(Exception):
    """Another transaction took what was free a moment ago."""


COLLIDED = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError, Collided)
"""Errors of a transaction that was rolled back because it collided with another: it can simply be repeated."""


@dataclass(frozen=True, slots=True)
class Act:
    """One verb in its transaction, for one viewer."""

    tx: Transaction
    viewer: Viewer

    @property
    def now(self) -> datetime:
        return self.viewer.now()

    @property
    def today(self) -> date:
        """Today in the company's time zone."""
        return days.day_of(self.now, self.tx.zone)


async def allow_long_statements(act: Act) -> None:
    """Lets this transaction's statements take five minutes: for rare changes of a whole table."""
    await act.tx.allow(minutes=5)


async def serialize(act: Act, name: str) -> None:
    """Makes transactions that call this with the same name wait for one another."""
    await act.tx.connection.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", name)


@asynccontextmanager
async def savepoint(act: Act) -> AsyncIterator[None]:
    """What is written inside is undone when it raises, and the transaction goes on."""
    await act.tx.connection.execute("SAVEPOINT crmgql")
    try:
        yield
    except BaseException:
        if not act.tx.connection.is_closed():
            await act.tx.connection.execute("ROLLBACK TO SAVEPOINT crmgql; RELEASE SAVEPOINT crmgql")
        raise
    await act.tx.connection.execute("RELEASE SAVEPOINT crmgql")


async def lock(
    act: Act,
    model: type[Model],
    id: UUID,
    *,
    expected_version: int | None = None,
    field: str = "id",
    keys: bool = False,
) -> Row:
    """The record, locked for change. Raises `NotFound`, `VersionConflict`.

    `keys`: columns that foreign keys refer to will change, so it waits for whoever makes a record that refers to this one.
    """
    row = await _read(act, model, id, "FOR UPDATE" if keys else "FOR NO KEY UPDATE", field=field)
    if expected_version is not None and row["version"] != expected_version:
        raise VersionConflict(
            f"The record is at version {row['version']}, not {expected_version}; read it again before you change it.",
            field="expectedVersion",
        )
    return row


async def visible(act: Act, model: type[Model], id: UUID, *, field: str, steady: bool = False) -> Row:
    """A record that is referred to. Raises `NotFound` naming the field.

    It can't be deleted until the transaction ends; with `steady` it can't change either.
    """
    return await _read(act, model, id, "FOR SHARE" if steady else "FOR KEY SHARE", field=field)


async def shown(act: Act, model: type[Model], id: UUID, *, field: str) -> Row:
    """A record to read and nothing else, be it in a transaction that may not write. Raises `NotFound`."""
    return await _read(act, model, id, None, field=field)


async def visible_many(act: Act, model: type[Model], ids: Iterable[UUID]) -> dict[UUID, Row]:
    """Those of the records that the viewer sees, by id, in one statement; held as by `visible`."""
    return await _read_many(act, model, ids, "FOR KEY SHARE OF t")


async def shown_many(act: Act, model: type[Model], ids: Iterable[UUID]) -> dict[UUID, Row]:
    """Those of the records that the viewer sees, by id, in one statement: to read and nothing else."""
    return await _read_many(act, model, ids, "")


def not_found(model: type[Model], *, field: str) -> NotFound:
    """The error for a record that is absent or hidden."""
    return NotFound(f"There is no such {noun(model)}, or you may not see it.", field=field)


def _select(act: Act, model: type[Model], condition: ast.Expr, **values: Any) -> tuple[str, list[Any]]:
    """SQL for the rows, under the alias `t`, that meet the condition and the viewer's rule; and its parameters."""
    where = ast.all_of([condition, access.rows(model.__name__, act.viewer.who, "t")])
    sql, sources = render_select(ast.Select((), ast.Table(model._meta.db_table, "t"), where=where, star="t"))
    return sql, access.bind(sources, act.viewer, **values)


async def _read_many(act: Act, model: type[Model], ids: Iterable[UUID], hold: str) -> dict[UUID, Row]:
    wanted = sorted(set(ids))
    if not wanted:
        return {}
    sql, values = _select(act, model, ast.AnyOf(ast.Col("t", "id"), ast.Param("ids", "uuid[]")), ids=wanted)
    rows = await act.tx.connection.fetch(f"{sql} {hold}", *values)
    return {row["id"]: _row(model, row) for row in rows}


async def _read(act: Act, model: type[Model], id: UUID, hold: str | None, *, field: str) -> Row:
    sql, values = _select(act, model, ast.eq(ast.Col("t", "id"), ast.Param("id", "uuid")), id=id)
    row = await act.tx.connection.fetchrow(sql if hold is None else f"{sql} {hold} OF t", *values)
    if row is None:
        raise not_found(model, field=field)
    return _row(model, row)


def noun(model: type[Model]) -> str:
    """The model's name as words, for messages."""
    return re.sub(r"(?<=[a-z])([A-Z])", r" \1", model.__name__).lower()


async def check_parent(act: Act, model: type[Model], id: UUID, parent_id: UUID) -> None:
    """Checks a record's new parent. Raises `NotFound`, and `BadUserInput` if the record would become its own ancestor.

    Changes of a table's tree wait for one another here: two at once could make a cycle that neither makes alone.
    """
    if (await visible(act, model, id, field="id"))["parent_id"] == parent_id:
        return
    await visible(act, model, parent_id, field="parentId")
    table = model._meta.db_table
    await serialize(act, f"{table}.parent_id")
    sql = f"""
        WITH RECURSIVE above AS (
            SELECT id, parent_id FROM {quote(table)} WHERE id = $1
            UNION
            SELECT upper.id, upper.parent_id FROM {quote(table)} upper JOIN above ON upper.id = above.parent_id
        )
        SELECT true FROM above WHERE id = $2"""
    if await act.tx.connection.fetchval(sql, parent_id, id):
        raise BadUserInput("It would become its own ancestor; choose a parent that is not below it.", field="parentId")


async def check_parents(act: Act, model: type[Model], ids: Sequence[UUID]) -> None:
    """As `check_parent`, of records that were written already. Raises `BadUserInput` if one is its own ancestor."""
    if not ids:
        return
    table = model._meta.db_table
    await serialize(act, f"{table}.parent_id")
    sql = f"""
        WITH RECURSIVE above AS (
            SELECT id AS start, parent_id FROM {quote(table)} WHERE id = ANY ($1)
            UNION
            SELECT above.start, upper.parent_id FROM {quote(table)} upper JOIN above ON upper.id = above.parent_id
        )
        SELECT true FROM above WHERE parent_id = start LIMIT 1"""
    if await act.tx.connection.fetchval(sql, ids):
        raise BadUserInput("It would become its own ancestor; choose a parent that is not below it.", field="parentId")


def require_same_customer(row: Row, customer_id: UUID | None, *, field: str) -> None:
    """Raises `BadUserInput` if a record that is referred to belongs to another customer."""
    if row["customer_id"] != customer_id:
        raise BadUserInput(
            f"The {field.removesuffix('Id')} belongs to another customer; choose one of this customer's.", field=field
        )


async def create(
    act: Act,
    model: type[Model],
    values: Row,
    *,
    kind: str,
    conflicts: Conflicts | None = None,
    payload: Row | None = None,
) -> Row:
    """Makes a record with its event and audit row; a value of None leaves the column to its default.

    An external id is unique among all rows, so only viewers who see all rows may set one. Raises `BadUserInput`, `Conflict`,
    `Forbidden`.
    """
    if values.get("external_id") is not None:
        access.require_all(act.viewer, model.__name__, field="externalId")
    values = {column: value for column, value in values.items() if value is not None}
    if "external_id" in values and "source" not in values:
        raise BadUserInput("An externalId needs the source that it is unique in.", field="source")
    row = await insert(act, model, values, conflicts=conflicts)
    changes = {column: (None, row[column]) for column in values if row[column] is not None}
    await _record_event(act, model, row, kind, changes, payload)
    return row


async def insert(
    act: Act, model: type[Model], values: Row, *, conflicts: Conflicts | None = None, prefix: str = ""
) -> Row:
    """Makes a record that is part of another and has no event of its own, such as an order line."""
    checks.check(model, values, prefix=prefix)
    columns = ", ".join(quote(column) for column in values)
    places = ", ".join(f"${number}" for number in range(1, len(values) + 1))
    sql = f"INSERT INTO {quote(model._meta.db_table)} ({columns}) VALUES ({places}) RETURNING *"
    return _row(model, await _run(act, sql, [_bound(value) for value in values.values()], conflicts))


async def insert_many(
    act: Act, model: type[Model], rows: Sequence[Row], *, each: Callable[[int], str], conflicts: Conflicts | None = None
) -> None:
    """As `insert`, for many rows with the same columns, in one statement. `each`: the prefix of a row's fields, by index."""
    for number, row in enumerate(rows):
        checks.check(model, row, prefix=each(number))
    if not rows:
        return
    columns = ", ".join(quote(column) for column in rows[0])
    table = quote(model._meta.db_table)
    sql = (
        f"WITH made AS (INSERT INTO {table} ({columns})"
        f" SELECT {columns} FROM jsonb_populate_recordset(NULL::{table}, $1) RETURNING id) SELECT count(*) FROM made"
    )
    await _run(act, sql, [outbox.as_json(rows)], conflicts)


async def change(
    act: Act,
    model: type[Model],
    row: Row,
    changes: Row,
    *,
    kind: str,
    conflicts: Conflicts | None = None,
    payload: Row | None = None,
    touch: bool = False,
) -> Row:
    """Changes a locked record where values differ, raises its version, records the event. If nothing differs, nothing happens.

    `touch`: something that belongs to the record changed, so the version is raised anyway.
    """
    if changes.keys() & columns.FROZEN:
        raise TypeError(f"{model.__name__}: where a record came from is set when it is made and never changed.")
    checks.check(model, changes)
    different = {column: value for column, value in changes.items() if not _same(row[column], value)}
    if not different and not touch:
        return row
    sets = "".join(f", {quote(column)} = ${number}" for number, column in enumerate(different, start=3))
    sql = (
        f"UPDATE {quote(model._meta.db_table)} SET version = version + 1, updated_at = $2{sets}"
        " WHERE id = $1 RETURNING *"
    )
    values = [row["id"], act.now, *(_bound(value) for value in different.values())]
    after = _row(model, await _run(act, sql, values, conflicts))
    await _record_event(
        act, model, after, kind, {column: (row[column], after[column]) for column in different}, payload
    )
    return after


def difference(row: Row, changes: Row) -> outbox.Changes:
    """The columns that differ, each with its value before and after."""
    return {column: (row[column], value) for column, value in changes.items() if not _same(row[column], value)}


async def _record_event(
    act: Act, model: type[Model], row: Row, kind: str, changes: outbox.Changes, payload: Row | None = None
) -> None:
    customer_id = row["id"] if model.__name__ == "Customer" else row.get("customer_id")
    await outbox.record_event(
        act.tx,
        act.viewer,
        kind=kind,
        subject=(model.__name__, row["id"]),
        customer_id=customer_id,
        changes={column: pair for column, pair in changes.items() if column not in outbox.SECRETS},
        payload={"version": row["version"], **(payload or {})},
    )


def _row(model: type[Model], record: asyncpg.Record) -> Row:
    """A row with its JSON columns read."""
    row = dict(record)
    for name, column in model._meta.fields_db_projection.items():
        if row[column] is not None and isinstance(model._meta.fields_map[name], fields.JSONField):
            row[column] = orjson.loads(row[column])
    return row


def _same(before: Any, after: Any) -> bool:
    if isinstance(after, dict):  # Python holds true and 1 for equal, JSON does not
        return orjson.dumps(before, option=orjson.OPT_SORT_KEYS) == orjson.dumps(after, option=orjson.OPT_SORT_KEYS)
    return bool(before == after)


def _bound(value: Any) -> Any:
    return orjson.dumps(value).decode() if isinstance(value, dict) else value


async def _run(act: Act, sql: str, values: list[Any], conflicts: Conflicts | None) -> asyncpg.Record:
    try:
        return await act.tx.connection.fetchrow(sql, *values)
    except asyncpg.IntegrityConstraintViolationError as error:
        raise _violation(error, conflicts or {}) from error
    except asyncpg.DataError as error:
        raise BadUserInput("A value does not fit its column.") from error


def _violation(error: asyncpg.IntegrityConstraintViolationError, conflicts: Conflicts) -> CrmError:
    """The error for a row that the database refused: with the verb's own message for the constraint, if it has one."""
    constraint = str(error.constraint_name or "")
    field, message = conflicts.get(constraint, (None, ""))
    if isinstance(error, asyncpg.UniqueViolationError):
        if constraint.endswith("_origin"):
            field, message = "externalId", "Another record of this source has this external id."
        return Conflict(message or f"Such a record exists already ({constraint}).", field=field)
    if isinstance(error, asyncpg.ForeignKeyViolationError):
        return BadUserInput(message or f"A record that is referred to does not fit ({constraint}).", field=field)
    return BadUserInput(message or f"The values break the rule {constraint}.", field=field)
