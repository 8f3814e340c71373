"""Disputes over the API: what is seen of them, refused by code."""

from __future__ import annotations

from typing import Any

from tests.schema.money.test_allocations import nodes, prepaid
from tests.schema.world import World, money

SHOW = """{ payment(id: "%s") { unallocated { amount } disputes {
    nodes { id amount { amount currency } fee { amount } status reason provider openedAt endedAt customer { id } } } } }"""


async def test_a_dispute_is_seen_from_its_payment_and_by_itself(world: World) -> None:
    payment, _ = await prepaid(world)
    given: dict[str, Any] = {
        "paymentId": payment,
        "amount": money("2.00"),
        "fee": money("0.50"),
        "reason": "Stolen card",
    }
    dispute = (await world.do("disputeOpen", "FINANCE", **given)).done["id"]
    seen = (await world.ask(SHOW % payment, world.viewer("FINANCE")))["data"]["payment"]
    (node,) = seen["disputes"]["nodes"]
    expected = {"id": dispute, "amount": money("2.00"), "fee": {"amount": "0.50"}, "status": "OPEN", "endedAt": None}
    assert node.items() >= expected.items()
    assert seen["unallocated"] == {"amount": "5.00"}
    lost = await world.do("disputeLose", "FINANCE", "status payment { unallocated { amount } }", id=dispute)
    assert lost.done == {"status": "LOST", "payment": {"unallocated": {"amount": "3.00"}}}
    assert await world.told(dispute) == ["dispute.opened", "dispute.lost"]
    everything = "{ disputes(where: {status: {eq: LOST}}) { nodes { id } } }"
    assert await nodes(world, everything, "disputes") == [{"id": dispute}]
    assert await nodes(world, everything, "disputes", role="MARKETER") == []


async def test_what_does_not_fit_says_what_would(world: World) -> None:
    payment, _ = await prepaid(world)
    answer = await world.do("disputeOpen", "FINANCE", paymentId=payment, amount=money("5.01"))
    assert (answer.code, answer.field) == ("DISPUTE_EXCEEDS_PAYMENT", "amount")
    assert "5.00 EUR" in answer.rejections[0]["message"]
