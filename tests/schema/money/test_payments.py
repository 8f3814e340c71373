"""Payments: for what, in which currency, every transition."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.schema.world import NOW, World, money

LEGAL = {"paymentReceive": "RECEIVED", "paymentFail": "FAILED", "paymentCancel": "CANCELLED"}


async def test_a_payment_of_an_order(world: World) -> None:
    order = await world.order("CONFIRMED")
    show = "id status receivedAt customer { id } order { paid { amount } outstanding { amount } }"
    given = {"orderId": order, "amount": money("5"), "method": "BANK_TRANSFER", "installments": 3}
    made = (await world.do("paymentRecord", "FINANCE", show, **given)).done
    assert made["status"] == "RECEIVED"
    assert made["receivedAt"].startswith(NOW.isoformat()[:19])
    assert made["order"] == {"paid": {"amount": "5.00"}, "outstanding": {"amount": "7.50"}}
    assert await world.told(made["id"]) == ["payment.received"]


async def test_a_prepayment(world: World) -> None:
    customer = await world.customer()
    given = {"customerId": customer, "amount": money("5", "JPY"), "method": "CASH"}
    made = await world.do("paymentRecord", show="amount { amount currency } order { id } customer { id }", **given)
    assert made.done == {"amount": money("5", "JPY"), "order": None, "customer": {"id": customer}}


@pytest.mark.parametrize(
    ("given", "code", "field"),
    [
        ({"amount": money("0")}, "BAD_USER_INPUT", "amount"),
        ({"amount": money("-5")}, "BAD_USER_INPUT", "amount"),
        ({"amount": money("0.001")}, "BAD_USER_INPUT", "amount"),
        ({"amount": money("1E15")}, "BAD_USER_INPUT", "amount"),
        ({"amount": money("1E30")}, "BAD_USER_INPUT", "amount"),
        ({"amount": money("5", "USD")}, "CURRENCY_MISMATCH", "amount"),
        ({"installments": -1}, "BAD_USER_INPUT", "installments"),
        ({"installments": 361}, "BAD_USER_INPUT", "installments"),
        ({"reference": "x" * 101}, "BAD_USER_INPUT", "reference"),
        ({"provider": "stripe"}, "BAD_USER_INPUT", "providerReference"),
        ({"externalId": "1"}, "BAD_USER_INPUT", "source"),
    ],
)
async def test_values_that_do_not_fit(world: World, given: dict[str, Any], code: str, field: str) -> None:
    base = {"orderId": await world.order("CONFIRMED"), "amount": money("1.00"), "method": "CASH"}
    before = await world.counts()
    answer = await world.do("paymentRecord", **{**base, **given})
    assert (answer.code, answer.field) == (code, field)
    assert await world.counts() == before


async def test_a_null_is_as_good_as_nothing(world: World) -> None:
    names = ("customerId", "pending", "receivedAt", "installments", "reference", "provider", "providerReference")
    given = {"orderId": await world.order("CONFIRMED"), "amount": money("1.00"), "method": "CASH"}
    show = "status installments reference receivedAt"
    nulls = await world.do("paymentRecord", show=show, **given, **dict.fromkeys(names))
    assert nulls.done == (await world.do("paymentRecord", show=show, **given)).done


async def test_what_it_is_for(world: World) -> None:
    given = {"amount": money("1.00"), "method": "CASH"}
    assert (await world.do("paymentRecord", **given)).field == "orderId"
    order = await world.order("CONFIRMED")
    answer = await world.do("paymentRecord", **given, orderId=order, customerId=await world.customer())
    assert (answer.code, answer.field) == ("BAD_USER_INPUT", "customerId")


@pytest.mark.parametrize("status", ["DRAFT", "CANCELLED"])
async def test_orders_that_take_no_money(world: World, status: str) -> None:
    given = {"orderId": await world.order(status), "amount": money("1.00"), "method": "CASH"}
    answer = await world.do("paymentRecord", **given)
    assert (answer.code, answer.field) == ("ILLEGAL_TRANSITION", "orderId")


@pytest.mark.parametrize("before", ["PENDING", "RECEIVED", "FAILED", "CANCELLED"])
async def test_each_transition(world: World, before: str) -> None:
    for verb, after in LEGAL.items():
        payment = await world.payment(before)
        answer = await world.do(verb, show="status receivedAt", id=payment)
        if before == "PENDING":
            assert answer.done["status"] == after
            assert (answer.done["receivedAt"] is not None) == (after == "RECEIVED")
        else:
            assert (answer.code, answer.field) == ("ILLEGAL_TRANSITION", "id")


async def test_a_provider_reports_a_payment_once(world: World) -> None:
    order = await world.order("CONFIRMED")
    given = {"orderId": order, "amount": money("1.00"), "method": "CREDIT_CARD"}
    given |= {"provider": "stripe", "providerReference": "pi_1"}
    answers = await asyncio.gather(*(world.do("paymentRecord", **given) for _ in range(3)))
    assert sorted(str(answer.code) for answer in answers) == ["CONFLICT", "CONFLICT", "None"]
    assert {answer.field for answer in answers if answer.code} == {"providerReference"}


async def test_receiving_and_cancelling_at_once_never_both(world: World) -> None:
    for _ in range(5):
        payment = await world.payment()
        answers = await asyncio.gather(
            world.do("paymentReceive", id=payment),
            world.do("paymentCancel", id=payment),
            world.do("paymentFail", id=payment),
        )
        assert sorted(str(answer.code) for answer in answers) == ["ILLEGAL_TRANSITION"] * 2 + ["None"]


async def test_what_is_pending_was_not_received(world: World) -> None:
    given = {"orderId": await world.order("CONFIRMED"), "amount": money("1.00"), "method": "CASH"}
    answer = await world.do("paymentRecord", **given, pending=True, receivedAt="2026-01-01T00:00:00Z")
    assert (answer.code, answer.field) == ("BAD_USER_INPUT", "receivedAt")
    answer = await world.do("paymentRecord", **given, receivedAt="2201-01-01T00:00:00Z")
    assert (answer.code, answer.field) == ("BAD_USER_INPUT", "receivedAt")
    given |= {"pending": False, "receivedAt": "2026-01-01T00:00:00Z"}
    assert (await world.do("paymentRecord", **given)).code is None
