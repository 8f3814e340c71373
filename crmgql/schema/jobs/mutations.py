"""Mutations of jobs and schedules."""

from __future__ import annotations

from uuid import UUID

import strawberry

from crmgql.domain.jobs import jobs, schedules
from crmgql.engine.mutations import Given, input, mutation
from crmgql.engine.scalars import DateTimeText, JsonValue
from crmgql.models import CatchUp
from crmgql.records.records import Act
from crmgql.schema.shared_inputs import UNSET, MoveInput


@input
class JobEnqueueInput:
    """`jobKinds` tells the kinds and their arguments. Due now unless a time is given."""

    kind: str
    arguments: JsonValue | None = UNSET
    due_at: DateTimeText | None = UNSET
    priority: int | None = UNSET


@input
class JobInput:
    id: strawberry.ID


@input
class ScheduleCreateInput:
    """Exactly one of cron, everyS and onceAt says when."""

    name: str
    kind: str
    arguments: JsonValue | None = UNSET
    cron: str | None = UNSET
    timezone: str | None = UNSET
    every_s: int | None = UNSET
    once_at: DateTimeText | None = UNSET
    catch_up: CatchUp | None = UNSET
    enabled: bool | None = UNSET
    source: str | None = UNSET
    external_id: str | None = UNSET


@input
class ScheduleUpdateInput:
    """Another way of timing replaces the one there was."""

    id: strawberry.ID
    expected_version: int | None = UNSET
    name: str | None = UNSET
    arguments: JsonValue | None = UNSET
    cron: str | None = UNSET
    timezone: str | None = UNSET
    every_s: int | None = UNSET
    once_at: DateTimeText | None = UNSET
    catch_up: CatchUp | None = UNSET
    enabled: bool | None = UNSET


@mutation("Job", JobEnqueueInput)
async def job_enqueue(act: Act, given: Given) -> UUID:
    """Asks for a job of a kind."""
    return await jobs.ask(act, **given)


@mutation("Job", JobInput)
async def job_cancel(act: Act, given: Given) -> UUID:
    """Cancels a job that waits, at once, or that runs, within seconds, and the jobs that came of it."""
    return await jobs.cancel(act, **given)


@mutation("Job", JobInput)
async def job_retry(act: Act, given: Given) -> UUID:
    """Tries a dead or cancelled job again."""
    return await jobs.retry(act, **given)


@mutation("Job", JobInput)
async def job_drop(act: Act, given: Given) -> UUID:
    """Gives a dead job up."""
    return await jobs.drop(act, **given)


@mutation("Schedule", ScheduleCreateInput)
async def schedule_create(act: Act, given: Given) -> UUID:
    """Makes a schedule."""
    return await schedules.create(act, **given)


@mutation("Schedule", ScheduleUpdateInput)
async def schedule_update(act: Act, given: Given) -> UUID:
    """Changes what the input names."""
    return await schedules.update(act, **given)


@mutation("Schedule", MoveInput)
async def schedule_delete(act: Act, given: Given) -> UUID:
    """Ends a schedule; its past runs can still be read."""
    return await schedules.delete(act, **given)
