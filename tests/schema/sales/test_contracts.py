"""Contracts: their plan of payments, and what came in of it."""

from __future__ import annotations

from typing import Any

from tests.schema.cases_contracts import contract
from tests.schema.world import World, money

PLAN = "payments { nodes { dueOn amount { amount } received { amount } } }"


async def plan(world: World, id: str, *payments: dict[str, Any]) -> Any:
    return await world.do("contractSetPlan", "FINANCE", PLAN, id=id, payments=list(payments))


async def test_what_comes_in_fills_the_plan_the_first_due_first(world: World) -> None:
    customer = await world.customer()
    id = await contract(world, customer=customer)
    shares = [{"dueOn": "2026-03-01", "share": "70"}, {"dueOn": "2026-02-01", "share": "30"}]
    assert len((await plan(world, id, *shares)).done["payments"]["nodes"]) == 2
    line = {"quantity": "1", "description": "Thing", "unitPrice": money("100.00")}
    order = (await world.do("orderCreate", customerId=customer, contractId=id, lines=[line])).done["id"]
    await world.do("orderConfirm", id=order)
    await world.do("paymentRecord", orderId=order, amount=money("45.00"), method="CASH")
    answer = await world.ask(f'{{ contract(id: "{id}") {{ {PLAN} }} }}', world.viewer("FINANCE"))
    assert answer["data"]["contract"]["payments"]["nodes"] == [
        {"dueOn": "2026-02-01", "amount": {"amount": "30.00"}, "received": {"amount": "30.00"}},
        {"dueOn": "2026-03-01", "amount": {"amount": "70.00"}, "received": {"amount": "15.00"}},
    ]


async def test_a_plan_adds_up_to_the_value(world: World) -> None:
    id = await contract(world)
    first, second = {"dueOn": "2026-02-01"}, {"dueOn": "2026-03-01"}
    for wrong in (
        ({**first, "amount": money("99.99")},),
        ({**first, "share": "50"}, {**second, "share": "49"}),
        ({**first, "share": "50"}, {**second, "amount": money("50.00")}),
        (first,),
        ({**first, "amount": money("100.00"), "share": "100"},),
    ):
        assert (await plan(world, id, *wrong)).code == "BAD_USER_INPUT"
    assert (await plan(world, id, {**first, "amount": money("100.00")})).done
    assert (await world.do("contractUpdate", id=id, value=money("90.00"))).code == "CONFLICT"
    assert (await plan(world, id)).done["payments"]["nodes"] == []
    assert (await world.do("contractUpdate", show="value { amount }", id=id, value=money("90.00"))).done == {
        "value": {"amount": "90.00"}
    }


async def test_a_contract_that_is_over_takes_no_orders(world: World) -> None:
    customer = await world.customer()
    over, others = await contract(world, "TERMINATED", customer), await contract(world, "ACTIVE")
    line = {"quantity": "1", "description": "Thing", "unitPrice": money("1.00")}
    order = (await world.do("orderCreate", customerId=customer, lines=[line])).done["id"]
    for id, code in ((over, "ILLEGAL_TRANSITION"), (others, "BAD_USER_INPUT")):
        assert (await world.do("orderUpdate", id=order, contractId=id)).code == code
        answer = await world.do("orderCreate", customerId=customer, contractId=id, lines=[line])
        assert (answer.code, answer.field) == (code, "contractId")
    for verb in ("contractActivate", "contractEnd", "contractTerminate", "contractUpdate"):
        assert (await world.do(verb, id=over)).code == "ILLEGAL_TRANSITION"
