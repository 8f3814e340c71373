"""Cases of exchange rates."""

from __future__ import annotations

from typing import Any

from tests.schema.cases import case
from tests.schema.world import World


@case("fxRateSet", "ADMIN FINANCE")
async def fx_rate_set(world: World, role: str) -> dict[str, Any]:
    """Each time another rate: the same again is no change."""
    count = await world.database.fetchval("SELECT count(*) FROM fx_rates")
    return {"currency": "NOK", "effectiveOn": "2026-11-01", "rate": f"1.{count + 1}1"}
