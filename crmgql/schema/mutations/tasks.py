"""Mutations of tasks."""

from __future__ import annotations

from uuid import UUID

import strawberry

from crmgql.domain import tasks
from crmgql.domain.records import Act
from crmgql.schema.mutating import Given, input, mutation
from crmgql.schema.mutations.inputs import UNSET, MoveInput
from crmgql.schema.scalars import DateTimeText


@input
class TaskCreateInput:
    """Without an assignee it is yours. With an opportunity it is of that one's customer."""

    subject: str
    description: str | None = UNSET
    due_at: DateTimeText | None = UNSET
    assignee_id: strawberry.ID | None = UNSET
    customer_id: strawberry.ID | None = UNSET
    lead_id: strawberry.ID | None = UNSET
    opportunity_id: strawberry.ID | None = UNSET
    source: str | None = UNSET
    external_id: str | None = UNSET


@input
class TaskUpdateInput:
    id: strawberry.ID
    expected_version: int | None = UNSET
    subject: str | None = UNSET
    description: str | None = UNSET
    due_at: DateTimeText | None = UNSET
    assignee_id: strawberry.ID | None = UNSET
    customer_id: strawberry.ID | None = UNSET
    lead_id: strawberry.ID | None = UNSET
    opportunity_id: strawberry.ID | None = UNSET


@mutation("Task", TaskCreateInput)
async def task_create(act: Act, given: Given) -> UUID:
    """Makes a task."""
    return await tasks.create(act, **given)


@mutation("Task", TaskUpdateInput)
async def task_update(act: Act, given: Given) -> UUID:
    """Changes what the input names, while the task is open."""
    return await tasks.update(act, **given)


@mutation("Task", MoveInput)
async def task_complete(act: Act, given: Given) -> UUID:
    """Says that it was done."""
    return await tasks.move(act, "complete", **given)


@mutation("Task", MoveInput)
async def task_cancel(act: Act, given: Given) -> UUID:
    """Says that it need not be done."""
    return await tasks.move(act, "cancel", **given)


@mutation("Task", MoveInput)
async def task_reopen(act: Act, given: Given) -> UUID:
    """Opens a task that was done or cancelled again."""
    return await tasks.move(act, "reopen", **given)
