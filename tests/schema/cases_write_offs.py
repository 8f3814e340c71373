"""Cases of write-offs."""

from __future__ import annotations

from typing import Any

from tests.schema.cases import BOOKS, case
from tests.schema.world import World, id_of, uuid_of


@case("writeOff", "ADMIN FINANCE")
async def write_off(world: World, role: str) -> dict[str, Any]:
    return {"orderId": await world.order("CONFIRMED"), "reason": "They went bankrupt."}


@case("writeOffUndo", BOOKS)
async def write_off_undo(world: World, role: str) -> dict[str, Any]:
    order = await world.order("CONFIRMED")
    assert (await world.do("writeOff", orderId=order, reason="Too little to ask for.")).done
    made = await world.database.fetchval("SELECT id FROM write_offs WHERE order_id = $1", uuid_of(order))
    return {"id": id_of("WriteOff", made)}
