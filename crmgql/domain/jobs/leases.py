"""What workers do with jobs: claim them, extend and give back leases, write ends, and expire the leases of dead workers.

Always holds: a job's end is written under its lease, with `lease_by` and `attempts` as they were at the claim. An attempt that
lost the lease finds no row and must roll back. So exactly one attempt ends a job, and effects in the transaction of the end
happen exactly once.
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
from crmgql.events import outbox
from crmgql.models.jobs import LIVE_JOB
from crmgql.records.records import Act
from crmgql.viewer import system

LEASE = timedelta(seconds=30)
"""How long a worker may go without a heartbeat before others take its jobs."""

FIRST_BACKOFF_S, LONGEST_BACKOFF_S = 1.0, 600.0
LONGEST_PAUSE_S = 60.0
"""For jobs put back because of database trouble: they should run soon after it is over."""

PATIENCE = 20
"""Attempts that were no failures, after which database trouble counts as the job's failure."""

LEASED = """id, kind, arguments, arguments_version, attempts, failures, max_failures, lease_by, checkpoint, progress_done,
    progress_total"""
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
TO_STOP = """
SELECT id, lease_by IS DISTINCT FROM $1 AS lost FROM jobs
WHERE id = ANY ($2) AND (lease_by IS DISTINCT FROM $1 OR cancel_requested_at IS NOT NULL)"""
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
ON CONFLICT (user_id, dedupe_key) WHERE dedupe_key IS NOT NULL DO NOTHING
RETURNING id"""
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
"""What a job returns; stored in its row."""


class LeaseLost(CrmError):
    """Another worker holds the job now, or it was cancelled: this attempt must roll back."""

    code = "JOB_LEASE_LOST"


@dataclass(frozen=True, slots=True)
class Lease:
    """A claimed job, as it was at the claim; `attempts` includes this one."""

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


async def claim(connection: Connection, *, queue: str, limit: int, holder: UUID, now: datetime) -> list[Lease]:
    """Claims the next due jobs of a queue, by priority, for one worker process. Waits for no other worker's claim."""
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
    )


async def beat(connection: Connection, *, holder: UUID, job_ids: Sequence[UUID], now: datetime) -> dict[UUID, bool]:
    """Extends the leases of a worker's jobs; returns those that it must stop, and whether their lease is lost, else cancelled.

    A job whose end is being written has its row locked and needs no longer lease: the statement skips it.
    """
    ids = list(job_ids)
    await connection.execute(BEAT, holder, now + LEASE, ids)
    return {row["id"]: row["lost"] for row in await connection.fetch(TO_STOP, holder, ids)}


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
    """Writes the progress of a long job, in the transaction of a step. Raises `LeaseLost`.

    A job that was asked to stop has lost its lease too, unless `despite_cancel`.
    """
    text, message = orjson.dumps(checkpoint).decode(), message and message[:200]
    values = (lease.id, lease.holder, lease.attempts, now + LEASE, text, done, total, message, despite_cancel)
    if await connection.fetchval(KEEP, *values) is None:
        raise LeaseLost("The job was cancelled, or another worker has it.")


async def done(connection: Connection, lease: Lease, *, now: datetime, result: Result) -> None:
    """Ends the job as done, in the transaction of its effect; with live children it is WAITING. Raises `LeaseLost`."""
    await _end(connection, lease, "DONE", now, result=_text(result))


async def done_together(
    connection: Connection, ended: Sequence[tuple[Lease, Result]], *, holder: UUID, now: datetime
) -> set[UUID]:
    """Ends several jobs of one worker as done, in one statement; returns which. A job that is missing was not ended: its lease is
    lost, or it has a parent or children, whose rows its end must lock."""
    ids, attempts = [lease.id for lease, _ in ended], [lease.attempts for lease, _ in ended]
    texts = [_text(result) for _, result in ended]
    return {row["id"] for row in await connection.fetch(DONE_TOGETHER, holder, ids, attempts, now, texts)}


def _text(result: Result) -> str | None:
    return None if result is None else orjson.dumps(result, default=str).decode()


async def failed(connection: Connection, lease: Lease, *, now: datetime, error: CrmError | None) -> bool:
    """Writes a failure: another attempt later, or the end as a dead letter. False when the lease was lost meanwhile.

    `error` is None for an error whose text only the log may show.
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
    """Another attempt later, and no failure: the database was in trouble. False when the lease was lost meanwhile.

    After `PATIENCE` it is a failure: a job that is too slow, or brings the server down, each time must end.
    """
    rounds = lease.attempts - lease.failures
    if rounds > PATIENCE and not isinstance(error, DiskFull):
        return await failed(connection, lease, now=now, error=error)
    due = now + timedelta(seconds=min(backoff_s(rounds - 1), LONGEST_PAUSE_S))
    return await _again(connection, lease, now, due, 0, error.code, error.message)


async def give_back(connection: Connection, lease: Lease, *, now: datetime) -> None:
    """Makes the job due at once, without a failure: its worker stops."""
    await _again(connection, lease, now, now, 0, None, None)


async def give_back_orphans(connection: Connection, *, holder: UUID, known: Sequence[UUID], now: datetime) -> int:
    """Gives back jobs that a worker process holds but does not know, such as those of a claim without an answer. Needs a
    transaction. Returns how many."""
    rows = await connection.fetch(ORPHANS, holder, list(known))
    for row in rows:
        await give_back(connection, leased(row), now=now)
    return len(rows)


async def cancelled(connection: Connection, lease: Lease, *, now: datetime) -> None:
    """Ends a running job that was asked to stop; does nothing when it has ended already."""
    try:
        await _end(connection, lease, "CANCELLED", now)
    except LeaseLost:
        return


async def expire(connection: Connection, *, now: datetime, limit: int = 500) -> int:
    """Ends attempts whose lease has expired, as failures. Needs a transaction. Returns how many.

    It is a failure so that a job that kills its worker is not tried for ever.
    """
    rows = await connection.fetch(EXPIRED, now, limit)
    for row in rows:
        lease = leased(row)
        await failed(connection, lease, now=now, error=LeaseLost("The worker stopped responding during this attempt."))
    return len(rows)


def backoff_s(failures: int, roll: float | None = None) -> float:
    """Seconds until the next attempt: doubled each time, and a random part of the second half, so that retries spread out."""
    longest = min(FIRST_BACKOFF_S * 2.0 ** min(failures, 20), LONGEST_BACKOFF_S)
    return longest * (0.5 + (random.random() if roll is None else roll) / 2)  # noqa: S311 - spreads load, no secret


def _code_and_message(error: CrmError | None) -> tuple[str, str]:
    if error is None:
        return "INTERNAL_SERVER_ERROR", "It failed; the reason is in the worker's log."
    text = error.message.encode("utf-8", "replace").decode()  # an SMTP server's answer may be in another encoding
    return error.code, text.replace("\x00", "")[:2000]


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
    """Needs a transaction. It locks the job's row first, so that its children's ends wait for this one."""
    row = await connection.fetchrow(
        END, lease.id, lease.holder, lease.attempts, status, now, result, code, message, failures
    )
    if row is None:
        raise LeaseLost("The job was cancelled, or another worker has it.")
    if row["status"] == "CANCELLED":
        await _cancelled(connection, lease, now)
    if row["status"] == "DEAD":
        act = _act(connection, now)
        await endings.died(act, lease.kind, lease.arguments, lease.arguments_version, message or "")
        roles = access.roles_with("company.administer")
        key = f"job.dead:{lease.id}"
        notified = await connection.fetch(NOTIFY_ADMINISTRATORS, lease.id, lease.kind, message, key, now, roles)
        about = {"about": "job.dead"}
        received = [outbox.Entry("notification.received", ("Notification", row[0]), payload=about) for row in notified]
        await outbox.record_many(act.tx, act.viewer, received)
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
    """Called when a child has ended: ends its WAITING parent if this was the last child, then the parent's parent, and so on.

    It locks the parent whatever its status: it may be about to wait for a child that is about to end.
    """
    while parent_id is not None:
        if await connection.fetchval(LOCK_PARENT, parent_id) != "WAITING":
            return
        parent_id = await connection.fetchval(PARENT_DONE, parent_id, now)


async def reopen_parents(connection: Connection, parent_id: UUID | None) -> None:
    """Called when a dead child is retried: parents that died because of it are WAITING again. Locks like `close_parents`."""
    while parent_id is not None:
        await connection.execute(LOCK_PARENT, parent_id)
        parent_id = await connection.fetchval(PARENT_WAITS, parent_id)
