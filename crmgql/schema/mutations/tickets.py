"""Mutations of tickets."""

from __future__ import annotations

from uuid import UUID

import strawberry

from crmgql.domain import tickets
from crmgql.domain.records import Act
from crmgql.errors import BadUserInput
from crmgql.models import TicketPriority
from crmgql.schema.mutating import Given, input, mutation
from crmgql.schema.mutations.inputs import UNSET, MoveInput


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
