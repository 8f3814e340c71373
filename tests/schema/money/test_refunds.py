"""Refunds over the API: what is seen of them, tried before, retried, refused by code."""

from __future__ import annotations

from typing import Any

from tests.schema.money.test_allocations import nodes, prepaid
from tests.schema.world import World, money, unlike

SHOW = """{ payment(id: "%s") { unallocated { amount } refunded { amount } refunds {
    nodes { id amount { amount currency } status method provider reason statusReason requestedAt endedAt customer { id } } } } }"""
DRY_RUN = """query($payment: ID!, $amount: Decimal, $allocations: [ID!]) {
    refundDryRun(paymentId: $payment, amount: $amount, allocationIds: $allocations) {
        amount { amount currency } unallocated { amount } undoes { allocationId orderId amount { amount } } } }"""


async def payment_of(world: World, id: str) -> dict[str, Any]:
    return (await world.ask(SHOW % id, world.viewer("FINANCE")))["data"]["payment"]  # type: ignore[no-any-return]


async def test_a_refund_is_seen_from_its_payment_and_by_itself(world: World) -> None:
    payment, _ = await prepaid(world)
    given: dict[str, Any] = {"paymentId": payment, "amount": money("2.00"), "reason": "Too late"}
    refund = (await world.do("refundRequest", "FINANCE", **given)).done["id"]
    assert refund.startswith("ref_")
    seen = await payment_of(world, payment)
    assert (seen["unallocated"], seen["refunded"]) == ({"amount": "3.00"}, {"amount": "0.00"})
    (node,) = seen["refunds"]["nodes"]
    expected = {"id": refund, "amount": money("2.00"), "status": "REQUESTED", "method": "CASH", "reason": "Too late"}
    assert node.items() >= expected.items()
    unknown = await world.do(
        "refundMarkUnknown", "FINANCE", "status statusReason endedAt", id=refund, reason="No answer"
    )
    assert unknown.done == {"status": "UNKNOWN", "statusReason": "No answer", "endedAt": None}
    done = await world.do("refundSucceed", "FINANCE", "status endedAt version", id=refund)
    assert done.done == {"status": "SUCCEEDED", "endedAt": "2026-11-01T12:00:00+00:00", "version": 3}
    seen = await payment_of(world, payment)
    assert (seen["unallocated"], seen["refunded"]) == ({"amount": "3.00"}, {"amount": "2.00"})
    assert await world.told(refund) == ["refund.requested", "refund.unknown", "refund.succeeded"]
    everything = "{ refunds(where: {status: {eq: SUCCEEDED}}) { nodes { id } } }"
    assert await nodes(world, everything, "refunds") == [{"id": refund}]
    assert await nodes(world, everything, "refunds", role="MARKETER") == []


async def test_a_request_that_is_sent_again_is_one_refund(world: World) -> None:
    payment, _ = await prepaid(world)
    given: dict[str, Any] = {"paymentId": payment, "amount": money("2.00"), "idempotencyKey": "order 7"}
    first, second = [(await world.do("refundRequest", "FINANCE", **given)).done["id"] for _ in range(2)]
    assert first == second
    assert (await payment_of(world, payment))["unallocated"] == {"amount": "3.00"}


async def test_a_dry_run_says_what_would_be_undone(world: World) -> None:
    payment, order = await prepaid(world)
    answer = await world.do(
        "paymentAllocate", show="allocations { nodes { id } }", id=payment, orderId=order, amount=money("4")
    )
    (made,) = answer.done["allocations"]["nodes"]
    before = await world.counts()
    finance = world.viewer("FINANCE")
    tried = (await world.ask(DRY_RUN, finance, payment=payment, amount="3.00"))["data"]["refundDryRun"]
    assert tried == {
        "amount": money("3.00"),
        "unallocated": {"amount": "1.00"},
        "undoes": [{"allocationId": made["id"], "orderId": order, "amount": {"amount": "2.00"}}],
    }
    named = (await world.ask(DRY_RUN, finance, payment=payment, allocations=[made["id"]]))["data"]["refundDryRun"]
    assert (named["amount"], named["undoes"][0]["amount"]) == (money("4.00"), {"amount": "4.00"})
    for given, code in (
        ({"amount": "5.01"}, "REFUND_EXCEEDS_RECEIVED"),
        ({"allocations": [unlike(made["id"])]}, "NOT_FOUND"),
        ({"payment": unlike(payment)}, "NOT_FOUND"),
    ):
        refused = await world.ask(DRY_RUN, finance, **{"payment": payment, **given})
        assert [each["extensions"]["code"] for each in refused["errors"]] == [code], given
    forbidden = await world.ask(DRY_RUN, world.viewer("SELLER"), payment=payment)
    assert [each["extensions"]["code"] for each in forbidden["errors"]] == ["FORBIDDEN"]
    assert await world.counts() == before


async def test_a_dry_run_tells_nothing_of_orders_that_one_may_not_see(world: World) -> None:
    """Attack: a key that may refund payments, and read no orders, asks which orders a payment settles."""
    payment, order = await prepaid(world)
    assert (await world.do("paymentAllocate", id=payment, orderId=order)).done
    for scopes, seen in (({"payments:write", "payments:read"}, None), ({"payments:write", "*:read"}, order)):
        key = world.viewer("FINANCE", scopes=frozenset(scopes))
        tried = (await world.ask(DRY_RUN, key, payment=payment))["data"]["refundDryRun"]
        assert [each["orderId"] for each in tried["undoes"]] == [seen]
        assert tried["undoes"][0]["allocationId"]


async def test_what_does_not_fit_says_what_would(world: World) -> None:
    payment, _ = await prepaid(world)
    answer = await world.do("refundRequest", "FINANCE", paymentId=payment, amount=money("5.01"))
    assert (answer.code, answer.field) == ("REFUND_EXCEEDS_RECEIVED", "amount")
    assert "5.00 EUR" in answer.rejections[0]["message"]
    given: dict[str, Any] = {"paymentId": payment, "providerReference": "re_1"}
    answer = await world.do("refundRecord", "FINANCE", **given)
    assert (answer.code, answer.field) == ("BAD_USER_INPUT", "providerReference")
