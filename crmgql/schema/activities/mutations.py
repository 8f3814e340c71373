"""Mutations of interactions, tasks and tickets."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import strawberry

from crmgql.domain.activities import interactions, tasks, tickets
from crmgql.engine import inputs, mutations
from crmgql.engine.inputs import UNSET, input
from crmgql.engine.mutations import Row, mutation
from crmgql.errors import BadUserInput
from crmgql.records.records import Act

mutations.table(
    "Task",
    Row(
        "taskCreate",
        "Makes a task.",
        tasks.create,
        input=inputs.create(
            tasks.FACTS, doc="Without an assignee it is yours. With an opportunity it belongs to that one's customer."
        ),
    ),
    Row(
        "taskUpdate",
        "Changes what the input names, while the task is open.",
        tasks.update,
        input=inputs.update(tasks.FACTS),
    ),
    Row("taskComplete", "Marks an open task as done.", tasks.move, "complete"),
    Row("taskCancel", "Cancels an open task.", tasks.move, "cancel"),
    Row("taskReopen", "Reopens a task that was done or cancelled.", tasks.move, "reopen"),
)

mutations.table(
    "Interaction",
    Row(
        "interactionLog",
        "Logs a call, an e-mail, a meeting, a chat or a note.",
        interactions.log,
        input=inputs.create(
            "customer_id occurred_at author_id",
            interactions.FACTS,
            optional="occurred_at author_id",
            doc="Without a time it happened now; without an author it is by you. An opportunity without a customer gets this one.",
        ),
    ),
    Row(
        "interactionUpdate",
        "Changes what the input names.",
        interactions.update,
        input=inputs.update(interactions.FACTS, "occurred_at"),
    ),
)


@input
class TicketAssignInput:
    """Null for the assignee unassigns the ticket."""

    id: strawberry.ID
    assignee_id: strawberry.ID | None
    expected_version: int | None = UNSET


mutations.table(
    "Ticket",
    Row(
        "ticketOpen",
        "Opens a ticket.",
        tickets.open,
        input=inputs.create("customer_id assignee_id", tickets.FACTS),
    ),
    Row("ticketUpdate", "Changes what the input names.", tickets.update, input=inputs.update(tickets.FACTS)),
    Row("ticketHold", "Marks an open ticket as pending: it waits for the customer.", tickets.move, "hold"),
    Row("ticketResolve", "Marks an open or pending ticket as resolved.", tickets.move, "resolve"),
    Row("ticketReopen", "Reopens a pending, resolved or closed ticket.", tickets.move, "reopen"),
    Row("ticketClose", "Closes a resolved ticket: it no longer changes.", tickets.move, "close"),
)


@mutation("Ticket", TicketAssignInput, calls=tickets.assign)
async def ticket_assign(act: Act, **values: Any) -> UUID:
    """Assigns the ticket to a user, or unassigns it."""
    if "assignee_id" not in values:
        raise BadUserInput("Name the assignee, or null for nobody.", field="assigneeId")
    return await tickets.assign(act, **values)
