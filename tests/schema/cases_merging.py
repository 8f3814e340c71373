"""The case of merging customers."""

from __future__ import annotations

from typing import Any

from tests.schema.cases import case
from tests.schema.world import World


@case("customerMerge", "ADMIN FINANCE", events=3)
async def customer_merge(world: World, role: str) -> dict[str, Any]:
    """One who owes something and has something."""
    id, into = await world.customer(), await world.customer()
    await world.order("CONFIRMED", id)
    given = {"customerId": id, "amount": {"amount": "5.00", "currency": "EUR"}, "method": "CASH"}
    assert (await world.do("paymentRecord", **given)).done
    return {"id": id, "intoId": into, "reason": "It was entered twice."}
