"""The steps of docs/howto/money.md, run one after the other by finance, the last one by an administrator."""

from __future__ import annotations

import re
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

from crmgql.ledger import book
from crmgql.ledger.accounts import Account
from crmgql.models import Purpose
from crmgql.records.records import Act
from tests.ledger import trial
from tests.ledger.conftest import entry, usd
from tests.schema.cases_contracts import contract
from tests.schema.money.test_allocations import prepaid
from tests.schema.world import World, money, uuid_of

PAGE = Path(__file__).resolve().parents[3] / "docs" / "howto" / "money.md"


def steps(section: str) -> list[str]:
    """The GraphQL documents of a section."""
    (text,) = re.findall(rf"^## {section}\n(.*?)(?=^## |\Z)", PAGE.read_text("utf-8"), re.S | re.M)
    return re.findall(r"```graphql\n(.*?)```", text, re.S)


async def test_the_steps_work(world: World) -> None:
    before, soft_close, pay, revalue, year, close, show, reopen = steps("Close a month")

    async def ask(query: str, role: str = "FINANCE", **variables: Any) -> Any:
        answer = await world.ask(query, world.viewer(role), **variables)
        assert "errors" not in answer, answer
        ((name, payload),) = answer["data"].items()
        assert not payload.get("userErrors"), payload
        return payload if name == "accountingPeriods" else next(iter(payload.values()))

    async with world.engine.database.transaction() as tx:
        cost = usd(Account(Purpose.CLEARING), Account(Purpose.FEES), "9.00")
        fees = entry("fee", None, cost, key="fee", effective_on=date(2025, 12, 20))
        await book.post(Act(tx, world.viewer("FINANCE")), [fees])
    assert (await ask(before))["status"] == "CLOSED"
    assert (await ask(soft_close))["status"] == "SOFT_CLOSED"
    await ask(pay, customer=await world.customer())
    rate = {
        "currency": "EUR",
        "base_currency": "USD",
        "effective_on": date(2025, 12, 31),
        "rate": Decimal("1.5"),
        "source": "TEST",
    }
    await world.insert("fx_rates", **rate)
    assert (await ask(revalue))["lastOn"] == "2025-12-31"
    found = await trial.as_of(world.database, date(2025, 12, 31))
    assert found["REVALUATION", "EUR"] == (0, Decimal("-62.50"))
    assert (await ask(year))["lastOn"] == "2025-12-31"
    found = await trial.as_of(world.database, date(2025, 12, 31))
    assert {purpose: str(base) for (purpose, _), (_, base) in found.items() if purpose in ("FEES", "RETAINED")} == {
        "RETAINED": "9.00"
    }
    assert (await ask(close))["status"] == "CLOSED"
    shown = [(each["firstOn"], each["status"]) for each in (await ask(show))["nodes"]]
    assert shown == [("2025-12-01", "CLOSED"), ("1000-01-01", "CLOSED")]
    assert (await ask(reopen, "ADMIN"))["status"] == "SOFT_CLOSED"
    await trial.balanced(world.database)


async def test_payments_are_matched_with_orders(world: World) -> None:
    allocate, undo = steps("Match payments with orders")
    payment, order = await prepaid(world)
    finance = world.viewer("FINANCE")
    answer = await world.ask(allocate, finance, payment=payment, order=order)
    (made,) = answer["data"]["paymentAllocate"]["payment"]["allocations"]["nodes"]
    assert made["amount"] == {"amount": "4.00"}
    undone = (await world.ask(undo, finance, allocation=made["id"]))["data"]["allocationUndo"]
    assert (undone["userErrors"], undone["allocation"]["undoes"]) == ([], {"id": made["id"], "undone": True})


async def test_an_order_in_another_currency_is_settled(world: World) -> None:
    record, allocate = steps("Settle an order in another currency")
    finance, customer = world.viewer("FINANCE"), await world.customer()
    line = {"quantity": "1", "description": "Thing", "unitPrice": money("10.500", "KWD")}
    order = (await world.do("orderCreate", customerId=customer, currency="KWD", lines=[line])).done["id"]
    await world.do("orderConfirm", id=order)
    payment = (await world.ask(record, finance, customer=customer))["data"]["paymentRecord"]["payment"]["id"]
    answer = (await world.ask(allocate, finance, payment=payment, order=order))["data"]["paymentAllocate"]
    assert answer["userErrors"] == []
    assert answer["payment"]["allocations"]["nodes"] == [
        {"amount": money("10.500", "KWD"), "paid": money("5250", "JPY")}
    ]
    (owed,) = await world.database.fetch(
        "SELECT open FROM open_items WHERE purpose = 'RECEIVABLE' AND order_id = $1", uuid_of(order)
    )
    assert owed["open"] == 0


async def test_revenue_is_reported(world: World) -> None:
    (query,) = steps("See what was sold, earned and received")

    async def shown(role: str) -> list[Any]:
        return (await world.ask(query, world.viewer(role)))["data"]["revenue"]["groups"]  # type: ignore[no-any-return]

    async def booked() -> Decimal:
        amounts = [each["booked"] for each in await shown("FINANCE") if each["month"] == "2026-11"]
        return sum((Decimal(each["amount"]) for each in amounts if each["currency"] == "EUR"), Decimal(0))

    before = await booked()
    await world.order("CONFIRMED")
    assert await booked() - before == Decimal("12.50")
    assert await shown("SUPPORT") == [{**group, "margin": None} for group in await shown("FINANCE")]


async def test_an_order_is_changed(world: World) -> None:
    (amend,) = steps("Change an order")
    order = await world.order("CONFIRMED")
    await world.do("paymentRecord", orderId=order, amount=money("5.00"), method="CASH")
    answer = (await world.ask(amend, world.viewer("FINANCE"), order=order))["data"]["orderAmend"]
    amounts = {name: value["amount"] for name, value in answer["order"].items()}
    assert (answer["userErrors"], amounts) == ([], {"total": "3.00", "paid": "5.00", "outstanding": "0.00"})


async def test_payments_of_a_contract_are_planned(world: World) -> None:
    (plan,) = steps("Plan the payments of a contract")
    answer = await world.ask(plan, world.viewer("FINANCE"), contract=await contract(world))
    amounts = [each["amount"]["amount"] for each in answer["data"]["contractSetPlan"]["contract"]["payments"]["nodes"]]
    assert amounts == ["30.00", "70.00"]


async def test_revenue_is_recognised_later(world: World) -> None:
    over_time, brings, counted = steps("Recognise revenue later")
    answer = await world.ask(over_time, world.viewer("FINANCE"), product=await world.product())
    assert answer["data"]["productUpdate"] == {
        "product": {"recognition": "OVER_TIME", "recognitionMonths": 12},
        "userErrors": [],
    }
    answer = await world.ask(brings, world.viewer("FINANCE"), order=await world.order("CONFIRMED"))
    assert answer["data"]["order"]["revenue"]["recognised"] == {"amount": "12.50"}
    answer = await world.ask(counted, world.viewer("ADMIN"))
    assert answer["data"]["companyUpdate"]["company"] == {"revenueStatuses": ["SHIPPED", "DELIVERED"]}
