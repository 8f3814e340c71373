"""Allocations over the API: seen from payment, order and by themselves; undone; refused by code."""

from __future__ import annotations

from typing import Any

from tests.schema.world import World, money

SHOW = """{ payment(id: "%s") { allocations { nodes { amount { amount currency } allocatedOn undone undoes { id } order { id } } } } }"""


async def prepaid(world: World, amount: str = "5.00") -> tuple[str, str]:
    """A prepayment and a confirmed order of 12.50 EUR of the same customer."""
    customer = await world.customer()
    given = {"customerId": customer, "amount": money(amount), "method": "CASH"}
    payment = (await world.do("paymentRecord", **given)).done["id"]
    return payment, await world.order("CONFIRMED", customer)


async def nodes(world: World, query: str, *path: str, role: str = "FINANCE") -> list[dict[str, Any]]:
    found = (await world.ask(query, world.viewer(role)))["data"]
    for name in path:
        found = found[name]
    return found["nodes"]  # type: ignore[no-any-return]


async def test_an_allocation_is_seen_from_both_sides_and_by_itself(world: World) -> None:
    payment, order = await prepaid(world)
    show = "version allocations { nodes { id amount { amount } } }"
    answer = (await world.do("paymentAllocate", "FINANCE", show, id=payment, orderId=order, amount=money("4"))).done
    (made,) = answer["allocations"]["nodes"]
    assert (answer["version"], made["amount"]) == (2, {"amount": "4.00"})
    assert await nodes(world, SHOW % payment, "payment", "allocations") == [
        {
            "amount": money("4.00"),
            "allocatedOn": "2026-11-01",
            "undone": False,
            "undoes": None,
            "order": {"id": order},
        }
    ]
    assert await world.told(payment) == ["payment.received", "payment.allocated"]
    assert await world.told(made["id"]) == ["allocation.made"]
    of_order = f'{{ order(id: "{order}") {{ allocations {{ nodes {{ id payment {{ id }} customer {{ id }} }} }} }} }}'
    (seen,) = await nodes(world, of_order, "order", "allocations")
    assert (seen["id"], seen["payment"]) == (made["id"], {"id": payment})
    everything = "{ allocations(where: {amount: {gte: 4}}) { nodes { id } } }"
    assert await nodes(world, everything, "allocations") == [{"id": made["id"]}]
    assert await nodes(world, everything, "allocations", role="MARKETER") == []


async def test_undoing_makes_another(world: World) -> None:
    payment, order = await prepaid(world)
    show = "allocations { nodes { id } }"
    answer = await world.do("paymentAllocate", show=show, id=payment, orderId=order)
    (made,) = answer.done["allocations"]["nodes"]
    undoing = await world.do(
        "allocationUndo", "FINANCE", "id amount { amount } undone undoes { id undone }", id=made["id"]
    )
    assert undoing.done["undoes"] == {"id": made["id"], "undone": True}
    assert (undoing.done["undone"], undoing.done["amount"]) == (False, {"amount": "5.00"})
    assert await world.told(undoing.done["id"]) == ["allocation.undone"]
    assert (await world.do("allocationUndo", id=made["id"])).code == "REVERSED_ALREADY"
    assert (await world.do("allocationUndo", id=undoing.done["id"])).code == "ILLEGAL_TRANSITION"
    assert (await world.do("orderCancel", id=order)).done


async def test_what_an_order_is_owed_follows_its_allocations(world: World) -> None:
    payment, order = await prepaid(world)
    show = f'{{ order(id: "{order}") {{ paid {{ amount }} outstanding {{ amount }} customer {{ outstanding {{ amount }} }} }} }}'

    async def owed() -> tuple[str, ...]:
        found = (await world.ask(show, world.viewer("FINANCE")))["data"]["order"]
        return tuple(each["amount"] for each in (found["paid"], found["outstanding"], found["customer"]["outstanding"]))

    assert await owed() == ("0.00", "12.50", "12.50")
    answer = await world.do("paymentAllocate", show="allocations { nodes { id } }", id=payment, orderId=order)
    (made,) = answer.done["allocations"]["nodes"]
    assert await owed() == ("5.00", "7.50", "7.50")
    assert (await world.do("paymentRecord", orderId=order, amount=money("10.00"), method="CASH")).done
    assert await owed() == ("15.00", "0.00", "0.00")  # 2.50 of it is credit that names the order
    assert (await world.do("allocationUndo", id=made["id"])).done
    assert await owed() == ("10.00", "2.50", "2.50")


async def test_what_is_refused_says_why(world: World) -> None:
    payment, order = await prepaid(world, "20.00")
    for given, code, field in (
        ({"amount": money("20.01")}, "ALLOCATION_EXCEEDS_PAYMENT", "amount"),
        ({"amount": money("12.51")}, "ALLOCATION_EXCEEDS_OPEN", "amount"),
        ({"amount": money("1", "USD")}, "CURRENCY_MISMATCH", "amount"),
        ({"orderId": await world.order("DRAFT")}, "BAD_USER_INPUT", "orderId"),
        ({"expectedVersion": 7}, "VERSION_CONFLICT", "expectedVersion"),
    ):
        answer = await world.do("paymentAllocate", **{"id": payment, "orderId": order, **given})
        assert (answer.code, answer.field) == (code, field)
    assert (await world.do("paymentAllocate", id=payment, orderId=order)).done
    again = await world.do("paymentAllocate", id=payment, orderId=order)
    assert (again.code, again.field) == ("ALLOCATION_EXCEEDS_OPEN", "orderId")
