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


OWED = """{ dispute(id: "%s") { outstanding { amount } allocations { nodes { amount { amount } undone } }
    writeOffs { nodes { amount { amount } undone } } customer { receivables { outstanding { amount } } } } }"""


async def test_what_is_owed_of_a_lost_one_is_paid_written_off_and_seen(world: World) -> None:
    payment, _ = await prepaid(world)
    assert (await world.do("refundRecord", "FINANCE", paymentId=payment, amount=money("4.00"))).done
    dispute = (await world.do("disputeOpen", "FINANCE", paymentId=payment)).done["id"]
    lost = await world.do("disputeLose", "FINANCE", "outstanding { amount }", id=dispute)
    assert lost.done == {"outstanding": {"amount": "4.00"}}
    customer = (await world.ask(f'{{ dispute(id: "{dispute}") {{ customer {{ id }} }} }}', world.viewer()))["data"]
    given: dict[str, Any] = {"customerId": customer["dispute"]["customer"]["id"], "method": "CASH"}
    again = (await world.do("paymentRecord", "FINANCE", amount=money("3.00"), **given)).done["id"]
    named = {"id": again, "disputeId": dispute}
    allocated = await world.do("paymentAllocate", "FINANCE", "allocations { nodes { id } }", **named)
    answer = await world.do("writeOff", "FINANCE", "dispute { id }", disputeId=dispute, reason="A cent")
    assert answer.done == {"dispute": {"id": dispute}}
    seen = (await world.ask(OWED % dispute, world.viewer("FINANCE")))["data"]["dispute"]
    assert seen["outstanding"] == {"amount": "0.00"}
    assert [each["amount"]["amount"] for name in ("allocations", "writeOffs") for each in seen[name]["nodes"]] == [
        "3.00",
        "1.00",
    ]
    (made,) = allocated.done["allocations"]["nodes"]
    assert (await world.do("allocationUndo", "FINANCE", id=made["id"])).done
    seen = (await world.ask(OWED % dispute, world.viewer("FINANCE")))["data"]["dispute"]
    assert seen["outstanding"] == {"amount": "3.00"}
    again = await world.do("paymentAllocate", "FINANCE", **named, orderId=await world.order("CONFIRMED"))
    assert (again.code, again.field) == ("BAD_USER_INPUT", "disputeId")


async def test_what_does_not_fit_says_what_would(world: World) -> None:
    payment, _ = await prepaid(world)
    answer = await world.do("disputeOpen", "FINANCE", paymentId=payment, amount=money("5.01"))
    assert (answer.code, answer.field) == ("DISPUTE_EXCEEDS_PAYMENT", "amount")
    assert "5.00 EUR" in answer.rejections[0]["message"]
