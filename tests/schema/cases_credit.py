"""Cases of credit limits."""

from __future__ import annotations

from typing import Any

from tests.schema.cases import case
from tests.schema.world import World


@case("creditApprove", "ADMIN FINANCE")
async def credit_approve(world: World, role: str) -> dict[str, Any]:
    return {"id": await world.order(), "reason": "Paid on the phone."}
