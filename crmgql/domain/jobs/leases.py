"""The machine's side of jobs: claimed, kept alive, ended, swept.

Always holds: a job's end is written under its lease, `lease_by` and `attempts` as they were at the claim. Who lost the
lease finds no row and must undo what it did. So of all attempts at a job exactly one can end it, and what is done in
the same transaction as the end is done exactly once.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import orjson

from crmgql import access
from crmgql.db import WITHOUT_DAYS, Connection, Transaction
from crmgql.domain.jobs import endings
from crmgql.errors import CrmError, DatabaseTrouble, DiskFull, TimedOut
from crmgql.models.jobs import LIVE_JOB
from crmgql.records.records import Act
from crmgql.viewer import system

LEASE = timedelta(seconds=30)
"""How long a worker may be silent before its jobs are given to others."""

FIRST_BACKOFF_S, LONGEST_BACKOFF_S = 1.0, 600.0
LONGEST_PAUSE_S = 60.0
"""For what the database's own troubles put back: once they are over, nobody should have to wait long."""

PATIENCE = 20
"""Rounds of a job that were no failures, after which the database's troubles are held for the job's own."""

LEASED = """id, kind, arguments, arguments_version, attempts, failures, max_failures, lease_by, checkpoint, progress_done,
    progress_total, scheduled_for"""
CLAIM = f"""
WITH next AS MATERIALIZED (
    SELECT id AS next_id FROM jobs WHERE status = 'PENDING' AND queue = $1 AND due_at <= $2
    ORDER BY priority DESC, due_at, id LIMIT $3 FOR UPDATE SKIP LOCKED)
UPDATE jobs SET status = 'RUNNING', attempts = attempts + 1, lease_by = $4, lease_until = $5, started_at = $2,
    error_code = NULL, error_message = NULL
FROM next WHERE id = next_id
RETURNING {LEASED}, priority, due_at"""
ORPHANS = f"""
SELECT {LEASED} FROM jobs
WHERE status = 'RUNNING' AND lease_by = $1 AND NOT id = ANY ($2) FOR UPDATE SKIP LOCKED"""
BEAT = """
UPDATE jobs SET lease_until = $2 WHERE id IN (
    SELECT id FROM jobs WHERE id = ANY ($3) AND lease_by = $1 FOR NO KEY UPDATE SKIP LOCKED)"""
ASKED_TO_STOP = """
SELECT id FROM jobs WHERE id = ANY ($2) AND (lease_by IS DISTINCT FROM $1 OR cancel_requested_at IS NOT NULL)"""
KEEP = """
UPDATE jobs SET lease_until = $4, checkpoint = $5, progress_done = $6, progress_total = $7, progress_message = $8
WHERE id = $1 AND lease_by = $2 AND attempts = $3 AND status = 'RUNNING' AND (cancel_requested_at IS NULL OR $9)
RETURNING id"""
END = """
UPDATE jobs SET finished_at = $5, lease_by = NULL, lease_until = NULL, result = $6, error_code = $7,
    error_message = $8, failures = failures + $9,
    status = CASE WHEN $4 = 'DEAD' AND cancel_requested_at IS NOT NULL THEN 'CANCELLED' ELSE $4 END
WHERE id = $1 AND lease_by = $2 AND attempts = $3 AND status = 'RUNNING'
RETURNING status, parent_id, EXISTS (SELECT FROM jobs child WHERE child.parent_id = jobs.id) AS has_children"""
DONE_TOGETHER = """
UPDATE jobs SET status = 'DONE', finished_at = $4, lease_by = NULL, lease_until = NULL, result = ended.result::jsonb
FROM unnest($2::uuid[], $3::integer[], $5::text[]) AS ended (id, attempts, result)
WHERE jobs.id = ended.id AND jobs.attempts = ended.attempts AND lease_by = $1 AND status = 'RUNNING'
    AND parent_id IS NULL AND NOT EXISTS (SELECT FROM jobs child WHERE child.parent_id = jobs.id)
RETURNING jobs.id"""
AGAIN = """
UPDATE jobs SET status = CASE WHEN cancel_requested_at IS NULL THEN 'PENDING' ELSE 'CANCELLED' END, due_at = $4,
    finished_at = CASE WHEN cancel_requested_at IS NULL THEN NULL::timestamptz ELSE $8 END,
    lease_by = NULL, lease_until = NULL,
    failures = failures + $5, error_code = $6, error_message = $7
WHERE id = $1 AND lease_by = $2 AND attempts = $3 AND status = 'RUNNING'
RETURNING parent_id, finished_at"""
EXPIRED = f"""
SELECT {LEASED} FROM jobs
WHERE status = 'RUNNING' AND lease_until < $1 ORDER BY lease_until LIMIT $2 FOR UPDATE SKIP LOCKED"""
WAIT = "UPDATE jobs SET status = 'WAITING', finished_at = NULL WHERE id = $1"
NOTIFY_ADMINISTRATORS = """
INSERT INTO notifications (user_id, kind, title, body, dedupe_key, occurred_at)
SELECT users.id, 'job.dead', 'Failed for good: ' || $2, left('Job job_' || replace($1::uuid::text, '-', '') || ': ' || $3, 2000), $4, $5
FROM users WHERE active AND roles && $6::text[]
ON CONFLICT (user_id, dedupe_key) WHERE dedupe_key IS NOT NULL DO NOTHING"""
LOCK_PARENT = "SELECT status FROM jobs WHERE id = $1 FOR NO KEY UPDATE"
PARENT_DONE = f"""
UPDATE jobs SET finished_at = $2,
    status = CASE WHEN EXISTS (SELECT FROM jobs child WHERE child.parent_id = $1 AND child.status = 'DEAD')
        THEN 'DEAD' ELSE 'DONE' END,
    error_code = CASE WHEN EXISTS (SELECT FROM jobs child WHERE child.parent_id = $1 AND child.status = 'DEAD')
        THEN 'JOB_CHILD_DEAD' END
WHERE id = $1 AND status = 'WAITING'
    AND NOT EXISTS (SELECT FROM jobs child WHERE child.parent_id = $1
        AND child.{LIVE_JOB})
RETURNING parent_id"""


PARENT_WAITS = """
UPDATE jobs SET status = 'WAITING', finished_at = NULL, error_code = NULL
WHERE id = $1 AND status = 'DEAD' AND error_code = 'JOB_CHILD_DEAD'
RETURNING parent_id"""


Result = dict[str, Any] | None
"""What a job leaves to be read."""


class LeaseLost(CrmError):
    """Somebody else holds the job now, or it was cancelled: what this attempt did must be undone."""

    code = "JOB_LEASE_LOST"


@dataclass(frozen=True, slots=True)
class Lease:
    """A claimed job, as it was at the claim; `attempts` counts this attempt too."""

    id: UUID
    kind: str
    arguments: dict[str, Any]
    arguments_version: int
    attempts: int
    failures: int
    max_failures: int
    holder: UUID
    checkpoint: dict[str, Any]
    done: int
    total: int | None
    scheduled_for: datetime | None


async def claim(connection: Connection, *, queue: str, limit: int, holder: UUID, now: datetime) -> list[Lease]:
    """The next due jobs of a queue, by priority, for one worker process; each is somebody's, and nobody waits for it."""
    rows = await connection.fetch(CLAIM, queue, now, limit, holder, now + LEASE)
    rows.sort(key=lambda row: (-row["priority"], row["due_at"], row["id"]))
    return [leased(row) for row in rows]


def leased(row: Any) -> Lease:
    return Lease(
        id=row["id"],
        kind=row["kind"],
        arguments=orjson.loads(row["arguments"]),
        arguments_version=row["arguments_version"],
        attempts=row["attempts"],
        failures=row["failures"],
        max_failures=row["max_failures"],
        holder=row["lease_by"],
        checkpoint=orjson.loads(row["checkpoint"]),
        done=row["progress_done"],
        total=row["progress_total"],
        scheduled_for=row["scheduled_for"],
    )


async def beat(connection: Connection, *, holder: UUID, job_ids: Sequence[UUID], now: datetime) -> list[UUID]:
    """Lengthens the leases of a worker's jobs; answers those that it must stop: cancelled, or no longer its own.

    A job whose end is being written has its row locked and needs no longer lease: it is skipped, not waited for.
    """
    ids = list(job_ids)
    await connection.execute(BEAT, holder, now + LEASE, ids)
    return [row["id"] for row in await connection.fetch(ASKED_TO_STOP, holder, ids)]


async def keep(
    connection: Connection,
    lease: Lease,
    *,
    now: datetime,
    checkpoint: dict[str, Any],
    done: int,
    total: int | None,
    message: str | None,
    despite_cancel: bool = False,
) -> None:
    """Writes the progress of a long job, in the transaction of what it did. Raises `LeaseLost`.

    A job that was asked to stop has lost its lease too, unless `despite_cancel`.
    """
    text, message = orjson.dumps(checkpoint).decode(), message and message[:200]
    values = (lease.id, lease.holder, lease.attempts, now + LEASE, text, done, total, message, despite_cancel)
    if await connection.fetchval(KEEP, *values) is None:
        raise LeaseLost("The job was cancelled or is another worker's by now.")


async def done(connection: Connection, lease: Lease, *, now: datetime, result: Result) -> None:
    """Ends the job well, in the transaction of its effect; it waits where it has live children. Raises `LeaseLost`."""
    await _end(connection, lease, "DONE", now, result=_text(result))


async def done_together(
    connection: Connection, ended: Sequence[tuple[Lease, Result]], *, holder: UUID, now: datetime
) -> set[UUID]:
    """Ends several jobs of one worker well, in one statement; answers which. One that is not answered was not ended: its lease
    is lost, or it has a parent or children, whose rows its end must lock."""
    ids, attempts = [lease.id for lease, _ in ended], [lease.attempts for lease, _ in ended]
    texts = [_text(result) for _, result in ended]
    return {row["id"] for row in await connection.fetch(DONE_TOGETHER, holder, ids, attempts, now, texts)}


def _text(result: Result) -> str | None:
    return None if result is None else orjson.dumps(result, default=str).decode()


async def failed(connection: Connection, lease: Lease, *, now: datetime, error: CrmError | None) -> bool:
    """Writes a failure: another attempt later, or the end as a dead letter. False when the lease was lost meanwhile.

    `error` None stands for one whose text is nobody's business; the log has it.
    """
    code, message = _code_and_message(error)
    if (error is not None and error.final) or lease.failures + 1 >= lease.max_failures:
        try:
            await _end(connection, lease, "DEAD", now, code=code, message=message, failures=1)
        except LeaseLost:
            return False
        return True
    due = now + timedelta(seconds=backoff_s(lease.failures))
    return await _again(connection, lease, now, due, 1, code, message)


async def put_back(connection: Connection, lease: Lease, *, now: datetime, error: DatabaseTrouble | TimedOut) -> bool:
    """Another attempt later, and no failure: our own database was in trouble. False when the lease was lost meanwhile.

    A statement that is too slow each time, or brings the server down each time, must not go round for ever.
    """
    rounds = lease.attempts - lease.failures
    if rounds > PATIENCE and not isinstance(error, DiskFull):
        return await failed(connection, lease, now=now, error=error)
    due = now + timedelta(seconds=min(backoff_s(rounds - 1), LONGEST_PAUSE_S))
    return await _again(connection, lease, now, due, 0, error.code, error.message)


async def give_back(connection: Connection, lease: Lease, *, now: datetime) -> None:
    """The worker is told to stop: somebody else takes the job up at once, and it counts as no failure."""
    await _again(connection, lease, now, now, 0, None, None)


async def give_back_orphans(connection: Connection, *, holder: UUID, known: Sequence[UUID], now: datetime) -> int:
    """Gives back what a worker process holds and knows nothing of, such as claims whose answer was lost; in a transaction."""
    rows = await connection.fetch(ORPHANS, holder, list(known))
    for row in rows:
        await give_back(connection, leased(row), now=now)
    return len(rows)


async def cancelled(connection: Connection, lease: Lease, *, now: datetime) -> None:
    """Ends a running job that was asked to stop. Nothing to do when it is over already."""
    try:
        await _end(connection, lease, "CANCELLED", now)
    except LeaseLost:
        return


async def expire(connection: Connection, *, now: datetime, limit: int = 500) -> int:
    """Takes jobs from workers that fell silent; in a transaction. Answers how many.

    A lost lease is a failure, or a job that kills its worker would go round for ever.
    """
    rows = await connection.fetch(EXPIRED, now, limit)
    for row in rows:
        lease = leased(row)
        await failed(connection, lease, now=now, error=LeaseLost("The worker fell silent while it did this."))
    return len(rows)


def backoff_s(failures: int, roll: float | None = None) -> float:
    """Seconds until the next attempt: doubled each time, from a half to all of it by chance, so that none queue up."""
    longest = min(FIRST_BACKOFF_S * 2.0 ** min(failures, 20), LONGEST_BACKOFF_S)
    return longest * (0.5 + (random.random() if roll is None else roll) / 2)  # noqa: S311 - spreads load, no secret


def _code_and_message(error: CrmError | None) -> tuple[str, str]:
    if error is None:
        return "INTERNAL_SERVER_ERROR", "It failed for a reason that the worker's log tells."
    return error.code, error.message.replace("\x00", "")[:2000]


async def _again(
    connection: Connection,
    lease: Lease,
    now: datetime,
    due: datetime,
    failures: int,
    code: str | None,
    message: str | None,
) -> bool:
    row = await connection.fetchrow(AGAIN, lease.id, lease.holder, lease.attempts, due, failures, code, message, now)
    if row is not None and row["finished_at"] is not None:
        await _cancelled(connection, lease, now)
        await close_parents(connection, row["parent_id"], now=now)
    return row is not None


async def _end(
    connection: Connection,
    lease: Lease,
    status: str,
    now: datetime,
    *,
    result: str | None = None,
    code: str | None = None,
    message: str | None = None,
    failures: int = 0,
) -> None:
    """In a transaction. The job's row is locked first, so that its children's ends wait for this one."""
    row = await connection.fetchrow(
        END, lease.id, lease.holder, lease.attempts, status, now, result, code, message, failures
    )
    if row is None:
        raise LeaseLost("The job was cancelled or is another worker's by now.")
    if row["status"] == "CANCELLED":
        await _cancelled(connection, lease, now)
    if row["status"] == "DEAD":
        await endings.died(_act(connection, now), lease.kind, lease.arguments, lease.arguments_version, message or "")
        roles = access.roles_with("company.administer")
        key = f"job.dead:{lease.id}"
        await connection.execute(NOTIFY_ADMINISTRATORS, lease.id, lease.kind, message, key, now, roles)
    if status == "DONE" and row["has_children"]:  # it ends when its last child does, which may be now
        await connection.execute(WAIT, lease.id)
        await close_parents(connection, lease.id, now=now)
    else:
        await close_parents(connection, row["parent_id"], now=now)


async def _cancelled(connection: Connection, lease: Lease, now: datetime) -> None:
    await endings.cancelled(_act(connection, now), lease.kind, lease.arguments, lease.arguments_version)


def _act(connection: Connection, now: datetime) -> Act:
    return Act(Transaction(connection, WITHOUT_DAYS), system(lambda: now))


async def close_parents(connection: Connection, parent_id: UUID | None, *, now: datetime) -> None:
    """A child ended: its waiting parent ends with the last one, and so on upwards.

    The parent is locked whatever its status is: it may be about to wait for a child that is about to end.
    """
    while parent_id is not None:
        if await connection.fetchval(LOCK_PARENT, parent_id) != "WAITING":
            return
        parent_id = await connection.fetchval(PARENT_DONE, parent_id, now)


async def reopen_parents(connection: Connection, parent_id: UUID | None) -> None:
    """A dead child is tried again: those that died of it wait for it again. Locks like `close_parents`, and for its reason."""
    while parent_id is not None:
        await connection.execute(LOCK_PARENT, parent_id)
        parent_id = await connection.fetchval(PARENT_WAITS, parent_id)
