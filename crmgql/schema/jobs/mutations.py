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
        "Asks for a job of a kind.",
        jobs.ask,
        input=inputs.create(
            "kind arguments due_at priority",
            origin=False,
            optional="due_at",
            doc="`jobKinds` tells the kinds and their arguments. Due now unless a time is given.",
        ),
    ),
    Row(
        "jobCancel",
        "Cancels a job that waits, at once, or that runs, within seconds, and the jobs that came of it.",
        jobs.cancel,
        input=JobInput,
    ),
    Row("jobRetry", "Tries a dead or cancelled job again.", jobs.retry, input=JobInput),
    Row("jobDrop", "Gives a dead job up.", jobs.drop, input=JobInput),
)

mutations.table(
    "Schedule",
    Row(
        "scheduleCreate",
        "Makes a schedule.",
        schedules.create,
        input=inputs.create("kind arguments", schedules.FACTS, doc="Exactly one of cron, everyS and onceAt says when."),
    ),
    Row(
        "scheduleUpdate",
        "Changes what the input names.",
        schedules.update,
        input=inputs.update(schedules.FACTS, "arguments", doc="Another way of timing replaces the one there was."),
    ),
    Row("scheduleDelete", "Ends a schedule; its past runs can still be read.", schedules.delete),
)
