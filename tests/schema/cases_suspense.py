"""Cases of money in suspense."""

from __future__ import annotations

from typing import Any

from tests.schema.cases import BOOKS, case
from tests.schema.world import World, money


async def receipt(world: World) -> str:
    given = {"amount": money("5.00"), "method": "BANK_TRANSFER", "payer": "Somebody", "reference": "For the thing"}
    return (await world.do("suspenseReceive", **given)).done["id"]  # type: ignore[no-any-return]


@case("suspenseReceive", BOOKS)
async def suspense_receive(world: World, role: str) -> dict[str, Any]:
    return {"amount": money("5.00"), "method": "BANK_TRANSFER"}


@case("suspenseAssign", BOOKS, events=3)
async def suspense_assign(world: World, role: str) -> dict[str, Any]:
    return {"id": await receipt(world), "orderId": await world.order("CONFIRMED")}


@case("suspenseReturn", BOOKS)
async def suspense_return(world: World, role: str) -> dict[str, Any]:
    return {"id": await receipt(world), "reason": "It was sent twice."}
