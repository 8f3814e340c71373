"""Cases of allocations."""

from __future__ import annotations

from typing import Any

from tests.schema.cases import BOOKS, case
from tests.schema.world import World, id_of, money, uuid_of


@case("paymentAllocate", BOOKS, events=2)
async def payment_allocate(world: World, role: str) -> dict[str, Any]:
    customer = await world.customer()
    given = {"customerId": customer, "amount": money("5.00"), "method": "CASH"}
    payment = (await world.do("paymentRecord", **given)).done["id"]
    return {"id": payment, "orderId": await world.order("CONFIRMED", customer)}


@case("allocationUndo", BOOKS)
async def allocation_undo(world: World, role: str) -> dict[str, Any]:
    payment = uuid_of(await world.payment("RECEIVED"))
    made = await world.database.fetchval("SELECT id FROM allocations WHERE payment_id = $1", payment)
    return {"id": id_of("Allocation", made)}


@case("paymentGiveBack", BOOKS)
async def payment_give_back(world: World, role: str) -> dict[str, Any]:
    """What was too much for the subsidiary's order after it was changed is the subsidiary's credit, of the parent's money."""
    parent = await world.customer()
    subsidiary = (await world.do("customerCreate", name="Below", currency="EUR", parentId=parent)).done["id"]
    given = {"customerId": parent, "amount": money("5.00"), "method": "CASH"}
    payment = (await world.do("paymentRecord", **given)).done["id"]
    order = await world.order("CONFIRMED", subsidiary)
    assert (await world.do("paymentAllocate", id=payment, orderId=order)).done
    passed = await world.database.fetchval("SELECT id FROM payments WHERE paid_from_id = $1", uuid_of(payment))
    await world.do("orderAmend", id=order, reason="They took less.", discount=money("10.00"))
    return {"id": id_of("Payment", passed)}
