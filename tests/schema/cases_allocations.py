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
