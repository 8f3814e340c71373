"""What people and verbs do with jobs: enqueue, cancel, retry, drop, purge.

Always holds: a job is written in the caller's transaction, so that it exists exactly when the caller's change does. What
workers do with jobs is in `leases`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
import orjson

from crmgql import access
from crmgql.db import Transaction
from crmgql.domain.jobs import endings, kinds, leases
from crmgql.domain.jobs.kinds import A, Kind
from crmgql.errors import BadUserInput, Conflict
from crmgql.events import outbox
from crmgql.models import Job
from crmgql.models.jobs import LIVE_JOB, LIVE_JOB_STATUSES
from crmgql.records import purges
from crmgql.records.moves import Move, Moves
from crmgql.records.records import Act

INSERT = f"""
INSERT INTO jobs (kind, queue, arguments, arguments_version, priority, due_at, max_failures, unique_key, parent_id, actor_id)
SELECT $1, $2, arguments::jsonb, $4, $5, due_at, $7, unique_key, $9, $10
FROM unnest($3::text[], $6::timestamptz[], $8::text[]) WITH ORDINALITY AS wanted (arguments, due_at, unique_key, n) ORDER BY n
ON CONFLICT (kind, unique_key) WHERE unique_key IS NOT NULL AND {LIVE_JOB} DO NOTHING
RETURNING id"""
LIVE_WITH_KEY = f"""
SELECT id FROM jobs WHERE kind = $1 AND unique_key = $2 AND {LIVE_JOB}"""
MOVES = Moves(
    Job,
    cancel=Move({*LIVE_JOB_STATUSES}, "CANCELLED", "job.cancelled"),
    retry=Move({"DEAD", "CANCELLED"}, "PENDING", "job.retried"),
    drop=Move({"DEAD"}, "DROPPED", "job.dropped"),
)
CANCEL = f"""
WITH RECURSIVE family AS (
    SELECT id FROM jobs WHERE id = $1
    UNION ALL
    SELECT jobs.id FROM jobs JOIN family ON jobs.parent_id = family.id
    WHERE jobs.{LIVE_JOB}
)
UPDATE jobs SET cancel_requested_at = $2,
    status = CASE status WHEN 'RUNNING' THEN status ELSE 'CANCELLED' END,
    finished_at = CASE status WHEN 'RUNNING' THEN NULL ELSE $2::timestamptz END
WHERE id IN (SELECT id FROM family) AND {LIVE_JOB}
RETURNING kind, arguments, arguments_version, status"""
RETRY = """
UPDATE jobs SET status = 'PENDING', due_at = $2, max_failures = $3, finished_at = NULL,
    cancel_requested_at = NULL, error_code = NULL, error_message = NULL
WHERE id = $1"""
ENDED = """finished_at < $1 AND status <> 'DEAD'
    AND NOT EXISTS (SELECT FROM jobs child WHERE child.parent_id = jobs.id)"""
PURGE = purges.sql("jobs", ENDED, order="finished_at")


async def enqueue(
    act: Act,
    kind: Kind[A],
    arguments: A,
    *,
    due_at: datetime | None = None,
    priority: int | None = None,
    unique_key: str | None = None,
    parent_id: UUID | None = None,
) -> UUID:
    """The id of a new job, due now by default. If a live job of the kind has the same `unique_key`, that job's id."""
    while True:
        made = await enqueue_many(
            act,
            kind,
            [arguments],
            due_at=None if due_at is None else [due_at],
            priority=priority,
            unique_keys=[unique_key],
            parent_id=parent_id,
        )
        live = made[0] if made else await act.tx.connection.fetchval(LIVE_WITH_KEY, kind.name, unique_key)
        if live is not None:  # the live one may have ended meanwhile
            return live


async def enqueue_many(
    act: Act,
    kind: Kind[A],
    arguments: Sequence[A],
    *,
    due_at: Sequence[datetime] | None = None,
    priority: int | None = None,
    unique_keys: Sequence[str | None] | None = None,
    parent_id: UUID | None = None,
) -> list[UUID]:
    """Several jobs in one statement. Returns the ids of the new ones: none for a key that a live job has."""
    due_at = due_at or [act.now] * len(arguments)
    if any(each <= act.now for each in due_at):
        act.tx.queues.add(kind.queue)
    rows = await act.tx.connection.fetch(
        INSERT,
        kind.name,
        kind.queue,
        [each.model_dump_json() for each in arguments],
        kind.version,
        kind.priority if priority is None else priority,
        due_at,
        kind.max_failures,
        unique_keys or [None] * len(arguments),
        parent_id,
        act.viewer.actor_id,
    )
    return [row["id"] for row in rows]


async def ask(
    act: Act,
    *,
    kind: str,
    arguments: dict[str, Any] | None = None,
    due_at: datetime | None = None,
    priority: int | None = None,
) -> UUID:
    """A job that somebody enqueues through the API.

    Raises `BadUserInput` for an unknown kind and for arguments that do not fit, `Forbidden` as `require_rights` does.
    """
    access.require_write(act.viewer, "Job")
    known = manual(kind)
    require_rights(act, known)
    if priority is not None and not -100 <= priority <= 100:
        raise BadUserInput("A priority is -100 to 100; higher ones are done first.", field="priority")
    id = await enqueue(act, known, known.check(arguments or {}), due_at=due_at, priority=priority)
    await _record(act, id, "job.enqueued", {"kind": (None, kind)})
    return id


def manual(kind: str) -> Kind[Any]:
    """A kind that may be enqueued or scheduled through the API. Raises `BadUserInput`."""
    known = kinds.KINDS.get(kind)
    if known is None:
        raise BadUserInput("There is no such kind of job; jobKinds lists them.", field="kind")
    if not known.manual:
        raise BadUserInput(f"Jobs of the kind {kind} are made by the system only.", field="kind")
    return known


def require_rights(act: Act, kind: Kind[Any]) -> None:
    """Raises `Forbidden` unless the viewer may change what such a job changes."""
    for record in kind.writes:
        access.require_write(act.viewer, record)


async def cancel(act: Act, *, id: UUID) -> UUID:
    """Ends a waiting job at once and a running one within seconds, each with its children. Committed effects stay."""
    job, move = await MOVES.lock(act, "cancel", id)
    for each in await act.tx.connection.fetch(CANCEL, id, act.now):
        if each["status"] == "CANCELLED":
            arguments = orjson.loads(each["arguments"])
            await endings.cancelled(act, each["kind"], arguments, each["arguments_version"])
    if job["status"] == "RUNNING":  # it may be done before its worker sees the request
        await _record(act, id, "job.cancelRequested", {"cancel_requested_at": (job["cancel_requested_at"], act.now)})
        return id
    await leases.close_parents(act.tx.connection, job["parent_id"], now=act.now)
    await _record(act, id, move.event, {"status": (job["status"], move.target)})
    return id


async def retry(act: Act, *, id: UUID) -> UUID:
    """Makes a dead or cancelled job due again, with all its attempts. Raises `Conflict` when a live job does the same.

    It needs the rights that enqueuing it needs: the user who enqueued it may have had more.
    """
    job, move = await MOVES.lock(act, "retry", id)
    known = kinds.find(job["kind"])
    require_rights(act, known)
    try:
        await act.tx.connection.execute(RETRY, id, act.now, job["failures"] + known.max_failures)
        await leases.reopen_parents(act.tx.connection, job["parent_id"])
    except asyncpg.UniqueViolationError:
        raise Conflict("The same work is under way in another job; this one need not be retried.", field="id") from None
    await endings.retried(act, job["kind"], job["arguments"], job["arguments_version"])
    act.tx.queues.add(job["queue"])
    await _record(act, id, move.event, {"status": (job["status"], move.target)})
    return id


async def drop(act: Act, *, id: UUID) -> UUID:
    """Marks a dead job as dropped: housekeeping will delete it."""
    job, move = await MOVES.lock(act, "drop", id)
    await act.tx.connection.execute("UPDATE jobs SET status = 'DROPPED' WHERE id = $1", id)
    await _record(act, id, move.event, {"status": (job["status"], move.target)})
    return id


async def purge(tx: Transaction, *, before: datetime, limit: int) -> int:
    """Deletes up to `limit` jobs that ended before a time, except dead ones and those that have children. Returns how many."""
    return await tx.connection.fetchval(PURGE, before, limit)  # type: ignore[no-any-return]


async def _record(act: Act, id: UUID, kind: str, changes: outbox.Changes) -> None:
    await outbox.record_event(act.tx, act.viewer, kind=kind, subject=("Job", id), customer_id=None, changes=changes)
