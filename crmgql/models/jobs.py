"""Jobs and schedules: what is to be done, by whom it is being done, how it ended. arq only rings."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from tortoise import fields

from crmgql.models.base import Editable, Record, check, index, one_of, origin_unique, partial, unique

LIVE_JOB_STATUSES = ("PENDING", "RUNNING", "WAITING")
LIVE_JOB = f"status IN {LIVE_JOB_STATUSES}"


class JobStatus(StrEnum):
    """PENDING: to be done when due. WAITING: done but for its children. DEAD: failed for good, to be read and retried."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    WAITING = "WAITING"
    DONE = "DONE"
    DEAD = "DEAD"
    CANCELLED = "CANCELLED"
    DROPPED = "DROPPED"


class CatchUp(StrEnum):
    """What becomes of the times that passed while nothing ran: none, one run for all of them, or each."""

    SKIP = "SKIP"
    ONE = "ONE"
    ALL = "ALL"


class Job(Record):
    """One piece of work. `attempts` counts claims, `failures` those that ended badly, up to `max_failures`.

    A job is written three times in its life, and each time into every index that holds it: hence the partial ones.
    `lease_by` is the worker process that holds it.
    """

    kind = fields.CharField(max_length=60)
    queue = fields.CharField(max_length=30)
    arguments: Any = fields.JSONField(db_default={})
    arguments_version = fields.IntField(db_default=1)
    status = fields.CharField(max_length=20, db_default="PENDING")
    priority = fields.IntField(db_default=0)
    due_at = fields.DatetimeField()
    attempts = fields.IntField(db_default=0)
    failures = fields.IntField(db_default=0)
    max_failures = fields.IntField()
    lease_by: Any = fields.UUIDField(null=True)
    lease_until: Any = fields.DatetimeField(null=True)
    started_at: Any = fields.DatetimeField(null=True)
    finished_at: Any = fields.DatetimeField(null=True)
    progress_done = fields.BigIntField(db_default=0)
    progress_total: Any = fields.BigIntField(null=True)
    progress_message: Any = fields.CharField(max_length=200, null=True)
    checkpoint: Any = fields.JSONField(db_default={})
    result: Any = fields.JSONField(null=True)
    error_code: Any = fields.CharField(max_length=60, null=True)
    error_message: Any = fields.CharField(max_length=2000, null=True)
    cancel_requested_at: Any = fields.DatetimeField(null=True)
    unique_key: Any = fields.CharField(max_length=200, null=True)
    parent: Any = fields.ForeignKeyField("crm.Job", related_name="children", null=True, on_delete=fields.RESTRICT)
    schedule: Any = fields.ForeignKeyField("crm.Schedule", related_name="jobs", null=True, on_delete=fields.RESTRICT)
    scheduled_for: Any = fields.DatetimeField(null=True)
    actor: Any = fields.ForeignKeyField("crm.User", related_name="jobs", null=True, on_delete=fields.RESTRICT)

    class Meta:
        table = "jobs"
        constraints = [
            check("jobs_status", one_of("status", JobStatus)),
            check("jobs_failures", "failures <= attempts AND max_failures > 0"),
            check("jobs_leased", "(status = 'RUNNING') = (lease_by IS NOT NULL AND lease_until IS NOT NULL)"),
            check("jobs_finished", f"(finished_at IS NULL) = ({LIVE_JOB})"),
            check("jobs_parent_other", "parent_id <> id"),
            unique("jobs_one_live_key", "kind", "unique_key", where=f"unique_key IS NOT NULL AND {LIVE_JOB}"),
            unique("jobs_one_live_run", "schedule_id", where=f"schedule_id IS NOT NULL AND {LIVE_JOB}"),
        ]
        indexes = [
            partial("jobs_due", "status = 'PENDING'", "queue", "due_at", "id"),
            partial("jobs_next", "status = 'PENDING'", "queue", "priority DESC", "due_at", "id"),
            partial("jobs_leases", "status = 'RUNNING'", "lease_until"),
            partial("jobs_dead", "status = 'DEAD'", "id"),
            partial("jobs_finished_at", "finished_at IS NOT NULL", "finished_at", "id"),
            partial("jobs_parent", "parent_id IS NOT NULL", "parent_id", "id"),
            partial("jobs_schedule", "schedule_id IS NOT NULL", "schedule_id", "id"),
            partial("jobs_actor", "actor_id IS NOT NULL", "actor_id", "id"),
            index("jobs_kind", "kind", "id"),
        ]


class Schedule(Editable):
    """When a kind of job is to run: by cron, each so many seconds, or once. `next_at` is None when it never will."""

    name = fields.CharField(max_length=100)
    kind = fields.CharField(max_length=60)
    arguments: Any = fields.JSONField(db_default={})
    arguments_version = fields.IntField(db_default=1)
    cron: Any = fields.CharField(max_length=100, null=True)
    timezone = fields.CharField(max_length=60, db_default="UTC")
    every_s: Any = fields.IntField(null=True)
    once_at: Any = fields.DatetimeField(null=True)
    catch_up = fields.CharField(max_length=10, db_default="ONE")
    enabled = fields.BooleanField(db_default=True)
    next_at: Any = fields.DatetimeField(null=True)
    last_at: Any = fields.DatetimeField(null=True)
    skipped = fields.IntField(db_default=0)
    deleted_at: Any = fields.DatetimeField(null=True)

    class Meta:
        table = "schedules"
        constraints = [
            origin_unique("schedules"),
            unique("schedules_name", "name", where="deleted_at IS NULL"),
            check("schedules_catch_up", one_of("catch_up", CatchUp)),
            check("schedules_one_way", "num_nonnulls(cron, every_s, once_at) = 1"),
            check("schedules_every", "every_s >= 1"),
        ]
        indexes = [
            partial("schedules_due", "enabled AND next_at IS NOT NULL", "next_at"),
            index("schedules_created", "created_at", "id"),
        ]
