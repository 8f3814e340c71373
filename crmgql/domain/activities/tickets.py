"""Tickets: opened, worked on, resolved, closed. `MOVES` says which changes of status are allowed."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from crmgql import access
from crmgql.domain.customers import customers
from crmgql.domain.people import users
from crmgql.models import Contact, Order, Ticket
from crmgql.records import records
from crmgql.records.columns import ORIGIN, takes
from crmgql.records.moves import Move, Moves
from crmgql.records.records import Act, Row

FACTS = "subject description priority contact_id order_id"
"""What may be set when a ticket is opened, and changed until it is closed."""

MOVES = Moves(
    Ticket,
    hold=Move({"OPEN"}, "PENDING", "ticket.held"),
    resolve=Move({"OPEN", "PENDING"}, "RESOLVED", "ticket.resolved", "resolved_at"),
    reopen=Move({"PENDING", "RESOLVED", "CLOSED"}, "OPEN", "ticket.reopened"),
    close=Move({"RESOLVED"}, "CLOSED", "ticket.closed"),
    change=Move({"OPEN", "PENDING", "RESOLVED"}),
)


@takes(Ticket, FACTS, ORIGIN)
async def open(act: Act, *, customer_id: UUID, assignee_id: UUID | None = None, **values: Any) -> UUID:
    """Opens a ticket of a customer."""
    access.require_write(act.viewer, "Ticket")
    await customers.living(act, customer_id, field="customerId")
    await _check(act, customer_id, values)
    if assignee_id is not None:
        values["assignee_id"] = await users.assignable(act, assignee_id, field="assigneeId", permission="ticket.assign")
    values["customer_id"] = customer_id
    ticket = await records.create(act, Ticket, values, kind="ticket.opened")
    return ticket["id"]  # type: ignore[no-any-return]


@takes(Ticket, FACTS)
async def update(act: Act, *, id: UUID, expected_version: int | None = None, **changes: Any) -> UUID:
    """Changes what is named, unless the ticket is closed."""
    ticket, _ = await MOVES.lock(act, "change", id, expected_version=expected_version)
    await _check(act, ticket["customer_id"], changes)
    await records.change(act, Ticket, ticket, changes, kind="ticket.updated")
    return id


async def assign(act: Act, *, id: UUID, assignee_id: UUID | None, expected_version: int | None = None) -> UUID:
    """Assigns the ticket, or unassigns it."""
    ticket, _ = await MOVES.lock(act, "change", id, expected_version=expected_version)
    if assignee_id != ticket["assignee_id"]:
        await users.assignable(act, assignee_id, field="assigneeId", permission="ticket.assign")
    await records.change(act, Ticket, ticket, {"assignee_id": assignee_id}, kind="ticket.assigned")
    return id


async def move(act: Act, verb: str, *, id: UUID, expected_version: int | None = None) -> UUID:
    """Holds, resolves, reopens or closes; a reopened ticket is unassigned if its assignee has left."""
    ticket, move = await MOVES.lock(act, verb, id, expected_version=expected_version)
    changes = move.changes(act.now)
    if move.target == "OPEN":
        changes |= {"resolved_at": None, "assignee_id": await users.still_here(act, ticket["assignee_id"])}
    await records.change(act, Ticket, ticket, changes, kind=move.event)
    return id


async def _check(act: Act, customer_id: UUID, values: Row) -> None:
    """Checks that contact and order are the customer's."""
    if values.get("contact_id") is not None:
        contact = await records.visible(act, Contact, values["contact_id"], field="contactId")
        records.require_same_customer(contact, customer_id, field="contactId")
    if values.get("order_id") is not None:
        order = await records.visible(act, Order, values["order_id"], field="orderId")
        records.require_same_customer(order, customer_id, field="orderId")
