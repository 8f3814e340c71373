"""Mutations of interactions, tasks and tickets."""

from __future__ import annotations

from uuid import UUID

import strawberry

from crmgql.domain.activities import interactions, tasks, tickets
from crmgql.engine.mutations import Given, input, mutation
from crmgql.engine.scalars import DateTimeText
from crmgql.errors import BadUserInput
from crmgql.models import InteractionKind, TicketPriority
from crmgql.records.records import Act
from crmgql.schema.shared_inputs import UNSET, MoveInput


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


@input
class InteractionLogInput:
    """Without a time it happened now, without an author you are it."""

    customer_id: strawberry.ID
    kind: InteractionKind
    subject: str
    body: str | None = UNSET
    occurred_at: DateTimeText | None = UNSET
    contact_id: strawberry.ID | None = UNSET
    opportunity_id: strawberry.ID | None = UNSET
    author_id: strawberry.ID | None = UNSET
    source: str | None = UNSET
    external_id: str | None = UNSET


@input
class InteractionUpdateInput:
    id: strawberry.ID
    expected_version: int | None = UNSET
    kind: InteractionKind | None = UNSET
    subject: str | None = UNSET
    body: str | None = UNSET
    occurred_at: DateTimeText | None = UNSET
    contact_id: strawberry.ID | None = UNSET
    opportunity_id: strawberry.ID | None = UNSET


@mutation("Interaction", InteractionLogInput)
async def interaction_log(act: Act, given: Given) -> UUID:
    """Logs a call, an e-mail, a meeting, a chat or a note."""
    return await interactions.log(act, **given)


@mutation("Interaction", InteractionUpdateInput)
async def interaction_update(act: Act, given: Given) -> UUID:
    """Changes what the input names."""
    return await interactions.update(act, **given)


@input
class TicketOpenInput:
    customer_id: strawberry.ID
    subject: str
    description: str | None = UNSET
    priority: TicketPriority | None = UNSET
    contact_id: strawberry.ID | None = UNSET
    order_id: strawberry.ID | None = UNSET
    assignee_id: strawberry.ID | None = UNSET
    source: str | None = UNSET
    external_id: str | None = UNSET


@input
class TicketUpdateInput:
    id: strawberry.ID
    expected_version: int | None = UNSET
    subject: str | None = UNSET
    description: str | None = UNSET
    priority: TicketPriority | None = UNSET
    contact_id: strawberry.ID | None = UNSET
    order_id: strawberry.ID | None = UNSET


@input
class TicketAssignInput:
    """An assignee of null takes the ticket from whoever has it."""

    id: strawberry.ID
    assignee_id: strawberry.ID | None
    expected_version: int | None = UNSET


@mutation("Ticket", TicketOpenInput)
async def ticket_open(act: Act, given: Given) -> UUID:
    """Opens a ticket."""
    return await tickets.open(act, **given)


@mutation("Ticket", TicketUpdateInput)
async def ticket_update(act: Act, given: Given) -> UUID:
    """Changes what the input names."""
    return await tickets.update(act, **given)


@mutation("Ticket", TicketAssignInput)
async def ticket_assign(act: Act, given: Given) -> UUID:
    """Gives the ticket to somebody."""
    if "assignee_id" not in given:
        raise BadUserInput("Name the assignee, or null for nobody.", field="assigneeId")
    return await tickets.assign(act, **given)


@mutation("Ticket", MoveInput)
async def ticket_hold(act: Act, given: Given) -> UUID:
    """Marks an open ticket as pending: it waits for the customer."""
    return await tickets.move(act, "hold", **given)


@mutation("Ticket", MoveInput)
async def ticket_resolve(act: Act, given: Given) -> UUID:
    """Marks an open or pending ticket as resolved."""
    return await tickets.move(act, "resolve", **given)


@mutation("Ticket", MoveInput)
async def ticket_reopen(act: Act, given: Given) -> UUID:
    """Opens a pending, resolved or closed ticket again."""
    return await tickets.move(act, "reopen", **given)


@mutation("Ticket", MoveInput)
async def ticket_close(act: Act, given: Given) -> UUID:
    """Closes a resolved ticket: it no longer changes."""
    return await tickets.move(act, "close", **given)
