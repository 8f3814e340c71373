"""Tickets: legal transitions, assignees, references."""

from __future__ import annotations

import pytest

from tests.schema.world import World, id_of

STATES = ("OPEN", "PENDING", "RESOLVED", "CLOSED")
LEGAL = {
    ("OPEN", "ticketHold"): "PENDING",
    ("OPEN", "ticketResolve"): "RESOLVED",
    ("PENDING", "ticketResolve"): "RESOLVED",
    ("PENDING", "ticketReopen"): "OPEN",
    ("RESOLVED", "ticketReopen"): "OPEN",
    ("CLOSED", "ticketReopen"): "OPEN",
    ("RESOLVED", "ticketClose"): "CLOSED",
}


async def test_open(world: World) -> None:
    customer = await world.customer()
    given = {"customerId": customer, "subject": "Broken", "priority": "HIGH", "description": "It is."}
    made = (await world.do("ticketOpen", "SUPPORT", "id status priority assignee { id }", **given)).done
    assert made == {"id": made["id"], "status": "OPEN", "priority": "HIGH", "assignee": None}
    assert await world.told(made["id"]) == ["ticket.opened"]


@pytest.mark.parametrize("verb", ["ticketHold", "ticketResolve", "ticketReopen", "ticketClose"])
@pytest.mark.parametrize("before", STATES)
async def test_each_transition(world: World, before: str, verb: str) -> None:
    ticket = await world.ticket(before)
    counts = await world.counts()
    answer = await world.do(verb, show="status resolvedAt", id=ticket)
    after = LEGAL.get((before, verb))
    if after is None:
        assert (answer.code, answer.field) == ("ILLEGAL_TRANSITION", "id")
        assert before in answer.rejections[0]["message"]
        assert await world.counts() == counts
    else:
        assert answer.done["status"] == after
        assert (answer.done["resolvedAt"] is not None) == (after in ("RESOLVED", "CLOSED"))


async def test_a_closed_ticket_does_not_change(world: World) -> None:
    ticket = await world.ticket("CLOSED")
    assert (await world.do("ticketUpdate", id=ticket, subject="x")).code == "ILLEGAL_TRANSITION"
    assert (await world.do("ticketAssign", id=ticket, assigneeId=None)).code == "ILLEGAL_TRANSITION"


async def test_assign(world: World) -> None:
    ticket = await world.ticket()
    stranger = id_of("User", world.people["STRANGER"])
    made = await world.do("ticketAssign", "SUPPORT", "assignee { id }", id=ticket, assigneeId=stranger)
    assert made.done == {"assignee": {"id": stranger}}
    assert (await world.do("ticketAssign", "SELLER", id=ticket, assigneeId=None)).code == "FORBIDDEN"
    assert (await world.do("ticketAssign", "MANAGER", id=ticket, assigneeId=stranger)).code is None  # as it was
    assert (await world.do("ticketAssign", id=ticket)).field == "assigneeId"
    assert (await world.do("ticketAssign", "SUPPORT", id=ticket, assigneeId=None)).code is None
    assert await world.told(ticket) == ["ticket.assigned", "ticket.assigned"]


async def test_another_customers_contact_or_order_is_refused(world: World) -> None:
    customer = await world.customer()
    ticket = await world.ticket(customer=customer)
    for name, other in (("contactId", await world.contact()), ("orderId", await world.order())):
        for mutation, base in (
            ("ticketOpen", {"customerId": customer, "subject": "x"}),
            ("ticketUpdate", {"id": ticket}),
        ):
            answer = await world.do(mutation, **base, **{name: other})
            assert (answer.code, answer.field) == ("BAD_USER_INPUT", name)
