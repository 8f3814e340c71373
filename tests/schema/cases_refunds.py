"""Cases of refunds and disputes."""

from __future__ import annotations

from typing import Any

from tests.schema.cases import BOOKS, case, move
from tests.schema.world import World, money


async def requested(world: World) -> str:
    """The id of a refund of a payment that has settled an order."""
    payment = await world.payment("RECEIVED")
    return (await world.do("refundRequest", paymentId=payment, amount=money("0.40"))).done["id"]  # type: ignore[no-any-return]


@case("refundRequest", BOOKS, events=3)
async def refund_request(world: World, role: str) -> dict[str, Any]:
    return {"paymentId": await world.payment("RECEIVED"), "amount": money("0.40"), "reason": "Too late"}


@case("refundRecord", BOOKS, events=2)
async def refund_record(world: World, role: str) -> dict[str, Any]:
    return {"paymentId": await world.payment("RECEIVED"), "method": "CASH"}


move("refundSucceed", BOOKS, requested)
move("refundFail", BOOKS, requested, events=2, reason="Account closed")
move("refundMarkUnknown", BOOKS, requested, reason="No answer")
move("refundCancel", BOOKS, requested, events=2)


async def disputed(world: World) -> str:
    """The id of a dispute of a payment that has settled an order."""
    payment = await world.payment("RECEIVED")
    return (await world.do("disputeOpen", paymentId=payment, amount=money("0.40"))).done["id"]  # type: ignore[no-any-return]


@case("disputeOpen", BOOKS)
async def dispute_open(world: World, role: str) -> dict[str, Any]:
    return {"paymentId": await world.payment("RECEIVED"), "amount": money("0.40"), "fee": money("0.10")}


move("disputeWin", BOOKS, disputed)
move("disputeLose", BOOKS, disputed, events=3)
