"""Writes events and audit rows, in the transaction of the change; the only module that writes them.

An event tells subscribers what happened; an audit row has who changed which columns, from which value to which. Enters:
`Entry`s from a verb. Leaves: both rows of each, by one statement for all. For anything that `kinds` does not declare it
raises `NotDeclared` before writing. Both tables are append-only: the database refuses changes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache
from typing import Any
from uuid import UUID

from crmgql import models
from crmgql.db import Transaction
from crmgql.events import kinds, personal
from crmgql.events.canonical import as_json as as_json
from crmgql.events.declarations import NotDeclared
from crmgql.models.names import api_name
from crmgql.viewer import Viewer

AT_ONCE = 10_000
"""Most events in one statement."""

BELL = "feed"
"""What is rung, as a queue is, when a transaction with events is committed: the relay has something to do."""

COLUMNS = """
    kind, kind_version, subject_type, subject_id, customer_id, changed,
    payload, payload_personal, payload_salt, payload_commitment,
    changes, changes_personal, changes_salt, changes_commitment"""
EVENTS = """
, recorded AS (
    INSERT INTO events (id, kind, kind_version, subject_type, subject_id, customer_id, actor_id, changed,
        kept, personal, salt, commitment, occurred_at)
    SELECT id, kind, kind_version, subject_type, subject_id, customer_id, $1, string_to_array(changed, ','),
        payload::jsonb, payload_personal, payload_salt, payload_commitment, $3 FROM new
)"""
AUDIT = """
INSERT INTO audit_entries (id, action, subject_type, subject_id, customer_id, actor_id, api_key_id,
    kept, personal, salt, commitment, occurred_at)
SELECT id, kind, subject_type, subject_id, customer_id, $1, $2,
    changes::jsonb, changes_personal, changes_salt, changes_commitment, $3 FROM new"""
SEPARATOR, NONE = "\x1f", "\x1e"
"""Between the texts of a column, and in place of a NULL. JSON escapes control characters, so no value contains them."""


def _texts(first: int, last: int) -> str:
    return ", ".join(rf"string_to_array(${number}, E'\x1f', E'\x1e')" for number in range(first, last + 1))


RECORD = f"""
WITH new AS MATERIALIZED (
    SELECT uuidv7() AS id, kind, kind_version::int, subject_type, subject_id::uuid, customer_id::uuid, changed,
        payload, payload_personal, decode(payload_salt, 'hex') AS payload_salt, payload_commitment,
        changes, changes_personal, decode(changes_salt, 'hex') AS changes_salt, changes_commitment
    FROM unnest({_texts(4, 17)}) AS rows ({COLUMNS})
){EVENTS}{AUDIT}"""
"""One text per column, which PostgreSQL splits: asyncpg would inspect each element of an array, in Python."""

RECORD_IN_AUDIT = f"""
WITH new AS (
    SELECT uuidv7() AS id, kind, subject_type, subject_id::uuid, customer_id::uuid,
        changes, changes_personal, decode(changes_salt, 'hex') AS changes_salt, changes_commitment
    FROM unnest({_texts(4, 11)})
        AS rows (kind, subject_type, subject_id, customer_id, changes, changes_personal, changes_salt, changes_commitment)
){AUDIT}"""
RECORD_ONE = f"""
WITH new (id, {COLUMNS}) AS MATERIALIZED (
    SELECT uuidv7(), $4::text, $5::int, $6::text, $7::uuid, $8::uuid, $9::text,
        $10::text, $11::text, $12::bytea, $13::text, $14::text, $15::text, $16::bytea, $17::text
){EVENTS}{AUDIT}"""
"""The same for one event. PostgreSQL caches its plan; it plans the other each time, because of the arrays."""

Changes = dict[str, tuple[Any, Any]]


@dataclass(slots=True)
class Entry:
    """One event and its audit row: the changed columns for the audit row, the payload for the event.

    Not frozen: an import makes millions of these, and a frozen one takes five times as long to make.
    """

    kind: str
    subject: tuple[str, UUID]
    customer_id: UUID | None = None
    changes: Changes = field(default_factory=dict)
    payload: dict[str, Any] = field(default_factory=dict)


def recorded(kind: str, record: str, source: str, payload: dict[str, Any], *, now: str) -> str:
    """CTEs that record an event about each `id` of the CTE `source`, for a statement that must stay one. Nobody did it; the
    relay finds it with its next look."""
    declared = kinds.find(kind)
    declared.check_subject(record, None)
    text = as_json(declared.check(payload))
    return f"""new AS MATERIALIZED (SELECT uuidv7() AS id, id AS subject_id FROM {source}), recorded AS (
    INSERT INTO events (id, kind, kind_version, subject_type, subject_id, kept, occurred_at)
    SELECT id, '{kind}', {declared.version}, '{record}', subject_id, '{text}', {now} FROM new
), audited AS (
    INSERT INTO audit_entries (id, action, subject_type, subject_id, occurred_at)
    SELECT id, '{kind}', '{record}', subject_id, {now} FROM new
)"""


async def record_event(
    tx: Transaction,
    viewer: Viewer,
    *,
    kind: str,
    subject: tuple[str, UUID],
    customer_id: UUID | None,
    changes: Changes,
    payload: dict[str, Any] | None = None,
) -> None:
    """Writes an event and its audit row. `kind` is one of `kinds`, such as `order.confirmed`. Raises `NotDeclared`."""
    await record_many(tx, viewer, [Entry(kind, subject, customer_id, changes, payload or {})])


async def record_many(tx: Transaction, viewer: Viewer, entries: Sequence[Entry], *, events: bool = True) -> None:
    """Writes many, in their order, by one statement per `AT_ONCE`. Raises `NotDeclared`.

    Without `events` only the audit rows are written; the caller records a gap.
    """
    if events and entries:
        tx.queues.add(BELL)
    who = (viewer.actor_id, viewer.api_key_id, viewer.now())
    rows = [(_row if events else _audit_row)(entry) for entry in entries]
    if len(rows) == 1 and events:
        await tx.connection.execute(RECORD_ONE, *who, *rows[0])
        return
    for start in range(0, len(rows), AT_ONCE):
        texts = [_joined(column) for column in zip(*rows[start : start + AT_ONCE], strict=True)]
        await tx.connection.execute(RECORD if events else RECORD_IN_AUDIT, *who, *texts)


def _joined(column: Iterable[Any]) -> str:
    return SEPARATOR.join(
        NONE if value is None else value.hex() if isinstance(value, bytes) else str(value) for value in column
    )


def _row(entry: Entry) -> tuple[Any, ...]:
    kind, (record, id) = kinds.find(entry.kind), entry.subject
    kind.check_subject(record, entry.customer_id)
    payload = kind.check(entry.payload)
    changed = _changed(kind.name, kind.subject, tuple(entry.changes))
    about = (kind.name, kind.version, record, id, entry.customer_id, changed)
    return (*about, *_apart(payload, kind.personal), *_apart(entry.changes, personal.COLUMNS.get(record, ())))


def _audit_row(entry: Entry) -> tuple[Any, ...]:
    kind, (record, id) = kinds.find(entry.kind), entry.subject
    kind.check_subject(record, entry.customer_id)
    _changed(kind.name, kind.subject, tuple(entry.changes))
    return (kind.name, record, id, entry.customer_id, *_apart(entry.changes, personal.COLUMNS.get(record, ())))


def _apart(values: dict[str, Any], names: Collection[str]) -> tuple[str, str | None, bytes | None, str | None]:
    """The other values as JSON, and the personal values with salt and commitment, if there are any."""
    kept, apart = personal.apart(values, names)
    return as_json(kept), apart.text, apart.salt, apart.commitment


@lru_cache(maxsize=10_000)
def _changed(kind: str, record: str, columns: tuple[str, ...]) -> str:
    """The names of the changed columns in the API. Raises `NotDeclared` for one that the record does not have."""
    if unknown := set(columns) - columns_of(record):
        raise NotDeclared(f"{kind}: a {record} has no column {', '.join(sorted(unknown))}.")
    return ",".join(map(api_name, columns))


@cache
def columns_of(record: str) -> frozenset[str]:
    """The columns that an audit row about a record may name."""
    model = getattr(models, record, None)
    return frozenset(_columns(model)) if model is not None else frozenset()


def _columns(model: Any) -> Iterator[str]:
    return (column for column in model._meta.fields_db_projection.values() if column not in SECRETS)


SECRETS = frozenset(
    {"password_hash", "key_hash", "token_hash", "lease_token", "key_salt", "old_key_salt", "secrets_sealed"}
)
"""Columns that no audit row may contain."""
