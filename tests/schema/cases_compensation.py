"""Cases of commissions."""

from __future__ import annotations

from typing import Any

from tests.schema.cases import case, some_user
from tests.schema.world import World

SPLITTING = "ADMIN FINANCE MANAGER"


@case("orderSplit", SPLITTING)
async def order_split(world: World, role: str) -> dict[str, Any]:
    helper = {"userId": await some_user(world), "share": "10", "role": "OVERLAY"}
    return {"id": await world.order("CONFIRMED"), "parts": [{"userId": await some_user(world), "share": "100"}, helper]}
