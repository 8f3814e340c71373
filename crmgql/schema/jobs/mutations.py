"""Mutations of jobs and schedules."""

from __future__ import annotations

import strawberry

from crmgql.domain.jobs import jobs, schedules
from crmgql.engine import inputs, mutations
from crmgql.engine.inputs import input
from crmgql.engine.mutations import Row


@input
class JobInput:
    id: strawberry.ID


mutations.table(
    "Job",
    Row(
        "jobEnqueue",
        "Enqueues a job.",
        jobs.ask,
        input=inputs.create(
            "kind arguments due_at priority",
            origin=False,
            optional="due_at",
            doc="`jobKinds` lists the kinds and their arguments. Due now unless a time is named.",
        ),
    ),
    Row(
        "jobCancel",
        "Cancels a job and its children: at once if it waits, within seconds if it runs.",
        jobs.cancel,
        input=JobInput,
    ),
    Row("jobRetry", "Tries a dead or cancelled job again.", jobs.retry, input=JobInput),
    Row("jobDrop", "Drops a dead job: it will not be retried.", jobs.drop, input=JobInput),
)

mutations.table(
    "Schedule",
    Row(
        "scheduleCreate",
        "Makes a schedule.",
        schedules.create,
        input=inputs.create("kind arguments", schedules.FACTS, doc="Name exactly one of cron, everyS and onceAt."),
    ),
    Row(
        "scheduleUpdate",
        "Changes what the input names.",
        schedules.update,
        input=inputs.update(schedules.FACTS, "arguments", doc="A new timing replaces the one before."),
    ),
    Row("scheduleDelete", "Ends a schedule; its past runs can still be read.", schedules.delete),
)
