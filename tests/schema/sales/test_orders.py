"""Orders: totals, currency, lines, every transition, what payments forbid."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from crmgql.domain.sales import orders
from crmgql.records.records import Act
from tests.schema.world import World, id_of, money, uuid_of

STATES = ("DRAFT", "CONFIRMED", "PROCESSING", "INVOICED", "SHIPPED", "DELIVERED", "UNAVAILABLE", "CANCELLED")
LEGAL = {
    "orderConfirm": ("CONFIRMED", {"DRAFT"}),
    "orderProcess": ("PROCESSING", {"CONFIRMED", "UNAVAILABLE"}),
    "orderInvoice": ("INVOICED", {"CONFIRMED", "PROCESSING"}),
    "orderShip": ("SHIPPED", {"CONFIRMED", "PROCESSING", "INVOICED"}),
    "orderDeliver": ("DELIVERED", {"SHIPPED"}),
    "orderHold": ("UNAVAILABLE", {"CONFIRMED", "PROCESSING"}),
    "orderCancel": ("CANCELLED", {"DRAFT", "CONFIRMED", "PROCESSING", "INVOICED", "UNAVAILABLE"}),
}
LINE = {"quantity": "2", "description": "Thing", "unitPrice": money("12.50")}


async def test_totals_are_computed(world: World) -> None:
    product = await world.product(price_amount=Decimal("0.35"), cost_amount=Decimal("0.10"))
    lines = [
        {**LINE, "discount": money("5.00"), "shipping": money("1.25")},
        {"quantity": "0.333", "productId": product},
        {"quantity": "1.5", "productId": product, "description": "Half"},
    ]
    show = """id status number currency subtotal { amount } shipping { amount } tax { amount } discount { amount }
        total { amount } version lines { nodes { position description amount { amount } unitCost { amount } } }"""
    given = {"customerId": await world.customer(), "lines": lines, "tax": money("2"), "discount": money("0.50")}
    made = (await world.do("orderCreate", show=show, **given)).done
    amounts = {name: made[name]["amount"] for name in ("subtotal", "shipping", "tax", "discount", "total")}
    assert amounts == {"subtotal": "20.65", "shipping": "1.25", "tax": "2.00", "discount": "0.50", "total": "23.40"}
    assert [line["amount"]["amount"] for line in made["lines"]["nodes"]] == ["20.00", "0.12", "0.53"]
    assert [line["description"] for line in made["lines"]["nodes"]] == ["Thing", "Anvil", "Half"]
    assert made["lines"]["nodes"][1]["unitCost"] == {"amount": "0.10"}
    assert await world.told(made["id"]) == ["order.created"]


@pytest.mark.parametrize(
    ("line", "code", "field"),
    [
        ({"quantity": "0"}, "BAD_USER_INPUT", "lines.0.quantity"),
        ({"quantity": "-1"}, "BAD_USER_INPUT", "lines.0.quantity"),
        ({"quantity": "0.0001"}, "BAD_USER_INPUT", "lines.0.quantity"),
        ({"quantity": "1E11"}, "BAD_USER_INPUT", "lines.0.quantity"),
        ({"quantity": "1E29"}, "BAD_USER_INPUT", "lines.0.quantity"),
        (
            {"quantity": "99999999999.999", "unitPrice": money("999999999999999.99")},
            "BAD_USER_INPUT",
            "lines.0.quantity",
        ),
        ({"unitPrice": money("1000000000000000")}, "BAD_USER_INPUT", "lines.0.unitPrice"),
        ({"unitPrice": money("-1")}, "BAD_USER_INPUT", "lines.0.unitPrice"),
        ({"unitPrice": money("1.001")}, "BAD_USER_INPUT", "lines.0.unitPrice"),
        ({"unitPrice": money("1", "USD")}, "CURRENCY_MISMATCH", "lines.0.unitPrice"),
        ({"discount": money("26.00")}, "BAD_USER_INPUT", "lines.0.discount"),
        ({"shipping": money("-1")}, "BAD_USER_INPUT", "lines.0.shipping"),
        ({"shipping": money("1", "JPY")}, "CURRENCY_MISMATCH", "lines.0.shipping"),
        ({"description": "x" * 301}, "BAD_USER_INPUT", "lines.0.description"),
        ({"description": "nul \x00"}, "BAD_USER_INPUT", "lines.0.description"),
        ({"description": "\ud800"}, "BAD_USER_INPUT", "lines.0.description"),
        ({"description": "  "}, "BAD_USER_INPUT", "lines.0.description"),
        ({"description": None}, "BAD_USER_INPUT", "lines.0.description"),
        ({"unitPrice": None}, "BAD_USER_INPUT", "lines.0.unitPrice"),
        ({"productId": "prd_" + "0" * 32}, "NOT_FOUND", "lines.0.productId"),
    ],
)
async def test_lines_that_do_not_fit(world: World, line: dict[str, Any], code: str, field: str) -> None:
    customer, order = await world.customer(), await world.order()
    before = await world.counts()
    for mutation, base in (("orderCreate", {"customerId": customer}), ("orderSetLines", {"id": order})):
        answer = await world.do(mutation, **base, lines=[{**LINE, **line}], idempotencyKey="bad line")
        assert (answer.code, answer.field) == (code, field)
    assert await world.counts() == before


@pytest.mark.parametrize(
    ("given", "code", "field"),
    [
        ({"tax": money("-1")}, "BAD_USER_INPUT", "tax"),
        ({"tax": money("1", "USD")}, "CURRENCY_MISMATCH", "tax"),
        ({"discount": money("25.01")}, "BAD_USER_INPUT", "discount"),
        ({"currency": "USD"}, "CURRENCY_MISMATCH", "lines.0.unitPrice"),
        ({"note": "x" * 20_001}, "BAD_USER_INPUT", "note"),
        ({"number": "x" * 65}, "BAD_USER_INPUT", "number"),
        ({"number": " "}, "BAD_USER_INPUT", "number"),
        ({"lines": [LINE] * 501}, "BAD_USER_INPUT", "lines"),
    ],
)
async def test_orders_that_do_not_fit(world: World, given: dict[str, Any], code: str, field: str) -> None:
    answer = await world.do("orderCreate", **{"customerId": await world.customer(), "lines": [LINE], **given})
    assert (answer.code, answer.field) == (code, field)


async def test_a_sum_past_the_column_is_refused(world: World) -> None:
    huge = {"quantity": "1", "description": "Moon", "unitPrice": money("999999999999999.00")}
    answer = await world.do("orderCreate", customerId=await world.customer(), lines=[huge] * 2)
    assert answer.code == "BAD_USER_INPUT"


async def test_numbers_are_unique(world: World) -> None:
    given = {"customerId": await world.customer(), "lines": [LINE], "number": "N-1"}
    assert (await world.do("orderCreate", **given)).code is None
    twice = await world.do("orderCreate", **given)
    assert (twice.code, twice.field) == ("CONFLICT", "number")
    assert (await world.do("orderUpdate", id=await world.order(), number="N-1")).code == "CONFLICT"


async def test_only_active_products_are_sold(world: World) -> None:
    for status in ("DRAFT", "END_OF_LIFE"):
        line = {**LINE, "productId": await world.product(status)}
        answer = await world.do("orderCreate", customerId=await world.customer(), lines=[line])
        assert (answer.code, answer.field) == ("BAD_USER_INPUT", "lines.0.productId")


@pytest.mark.parametrize("before", STATES)
async def test_each_transition(world: World, before: str) -> None:
    for verb, (after, sources) in LEGAL.items():
        order = await world.order(before)
        counts, told = await world.counts(), await world.told(order)
        answer = await world.do(verb, show="status", id=order, reason="because")
        if before in sources:
            assert answer.done == {"status": after}
            assert len(await world.told(order)) == len(told) + 1
        else:
            assert (answer.code, answer.field) == ("ILLEGAL_TRANSITION", "id"), verb
            assert await world.counts() == counts


async def test_set_lines(world: World) -> None:
    order = await world.order(lines=2)
    again = {"quantity": "1", "description": "Thing", "unitPrice": money("12.5")}
    before = await world.counts()
    assert (await world.do("orderSetLines", show="version", id=order, lines=[again] * 2)).done == {"version": 1}
    assert await world.counts() == before
    same_total = [{**again, "quantity": "2", "description": "Other"}]
    show = "version total { amount } lines { nodes { description } }"
    changed = await world.do("orderSetLines", show=show, id=order, lines=same_total)
    assert changed.done == {"version": 2, "total": {"amount": "25.00"}, "lines": {"nodes": [{"description": "Other"}]}}
    empty = await world.do("orderSetLines", show=show, id=order, lines=[])
    assert empty.done == {"version": 3, "total": {"amount": "0.00"}, "lines": {"nodes": []}}
    assert (await world.do("orderConfirm", id=order)).code == "ILLEGAL_TRANSITION"
    assert await world.told(order) == ["order.created", "order.linesSet", "order.linesSet"]


async def test_a_confirmed_orders_amounts_are_fixed(world: World) -> None:
    order = await world.order("CONFIRMED")
    for mutation, given in (("orderSetLines", {"lines": [LINE]}), ("orderUpdate", {"tax": money("1.00")})):
        assert (await world.do(mutation, id=order, **given)).code == "ILLEGAL_TRANSITION"
    assert (await world.do("orderUpdate", show="note", id=order, note="Call first")).done == {"note": "Call first"}


async def test_update_of_a_draft_computes_anew(world: World) -> None:
    order = await world.order()
    changed = await world.do(
        "orderUpdate", show="total { amount }", id=order, tax=money("1.50"), discount=money("4.00")
    )
    assert changed.done == {"total": {"amount": "10.00"}}
    assert (await world.do("orderUpdate", id=order, discount=money("14.01"))).field == "discount"
    before = await world.counts()
    assert (await world.do("orderUpdate", id=order, tax=money("1.50"))).code is None
    assert await world.counts() == before


async def test_sellers(world: World) -> None:
    given = {"customerId": await world.customer(), "lines": [LINE]}
    stranger = id_of("User", world.people["STRANGER"])
    made = (await world.do("orderCreate", "SELLER", "id seller { id }", **given)).done
    assert made["seller"] == {"id": id_of("User", world.people["SELLER"])}
    for role in ("SELLER", "MANAGER"):
        assert (await world.do("orderCreate", role, **given, sellerId=stranger)).code == "FORBIDDEN"
        assert (await world.do("orderUpdate", role, id=made["id"], sellerId=stranger)).code == "FORBIDDEN"
    assert (await world.do("orderCreate", "FINANCE", **given, sellerId=stranger)).code is None


async def test_another_customers_opportunity_is_refused(world: World) -> None:
    given = {"customerId": await world.customer(), "lines": [LINE], "opportunityId": await world.opportunity()}
    answer = await world.do("orderCreate", **given)
    assert (answer.code, answer.field) == ("BAD_USER_INPUT", "opportunityId")


async def test_an_order_with_payments_is_not_cancelled(world: World) -> None:
    order = await world.order("CONFIRMED")
    payment = await world.payment("PENDING", order)
    assert (await world.do("orderCancel", id=order)).code == "CONFLICT"
    assert (await world.do("paymentCancel", id=payment)).code is None
    assert (await world.do("orderCancel", id=order)).code is None


async def test_paying_and_cancelling_at_once_never_both(world: World) -> None:
    for _ in range(10):
        order = await world.order("CONFIRMED")
        answers = await asyncio.gather(
            world.do("paymentRecord", orderId=order, amount=money("12.50"), method="CASH"),
            world.do("orderCancel", id=order),
            world.do("paymentRecord", orderId=order, amount=money("1.00"), method="CASH"),
        )
        paid = await world.database.fetchval("SELECT count(*) FROM payments WHERE order_id = $1", uuid_of(order))
        cancelled = (await world.row("orders", order))["status"] == "CANCELLED"
        assert cancelled == (paid == 0)
        assert cancelled == (answers[1].code is None)


async def test_confirming_twice_at_once_happens_once(world: World) -> None:
    order = await world.order()
    answers = await asyncio.gather(*(world.do("orderConfirm", id=order) for _ in range(4)))
    assert sorted(str(answer.code) for answer in answers) == ["ILLEGAL_TRANSITION"] * 3 + ["None"]
    assert (await world.told(order)).count("order.confirmed") == 1


async def next_number(world: World) -> int:
    row = await world.database.fetchrow("SELECT last_value, is_called FROM order_numbers")
    return row["last_value"] + row["is_called"]


async def test_a_number_that_somebody_brought_is_skipped(world: World) -> None:
    given = {"customerId": await world.customer(), "lines": [LINE]}
    start = await next_number(world)
    for taken in (start, start + 1, start + 3):
        assert (await world.do("orderCreate", **given, number=f"SO-{taken}")).code is None
    drawn = [(await world.do("orderCreate", show="number", **given)).done["number"] for _ in range(3)]
    assert drawn == [f"SO-{start + 2}", f"SO-{start + 4}", f"SO-{start + 5}"]
    again = await world.do("orderCreate", **given, number=f"SO-{start}")
    assert (again.code, again.field) == ("CONFLICT", "number")


async def test_a_number_that_is_brought_at_the_same_moment_is_skipped(world: World) -> None:
    given = {"customerId": await world.customer(), "lines": [LINE]}
    other = await world.order()
    start = await next_number(world)
    transaction = world.database.transaction()
    await transaction.start()
    await world.database.execute("UPDATE orders SET number = $2 WHERE id = $1", uuid_of(other), f"SO-{start}")
    waiting = asyncio.ensure_future(world.do("orderCreate", show="number", **given))
    await asyncio.sleep(0.3)
    assert not waiting.done()
    await transaction.commit()
    assert (await waiting).done["number"] == f"SO-{start + 1}"


async def test_a_year_too_far_ahead_is_refused(world: World) -> None:
    given = {"customerId": await world.customer(), "lines": [LINE]}
    answer = await world.do("orderCreate", **given, orderedAt="2206-01-01T00:00:00Z")
    assert (answer.code, answer.field) == ("BAD_USER_INPUT", "orderedAt")


async def test_as_many_statements_for_five_hundred_lines_as_for_one(world: World) -> None:
    """A statement each took 1,000 round trips with the order's row locked."""
    customer, products = uuid_of(await world.customer()), [uuid_of(await world.product()) for _ in range(5)]
    counts: dict[int, list[int]] = {}
    for number in (2, 1, 500):  # the first also asks for types
        lines = [orders.Line(Decimal(n + 1), products[n % 5], unit_price=(Decimal(2), "EUR")) for n in range(number)]
        other = [replace(each, discount=(Decimal(1), "EUR")) for each in lines[::-1]]
        async with world.engine.database.transaction() as tx:
            statements: list[str] = []
            act = Act(tx, world.viewer())
            with tx.connection.query_logger(lambda query, into=statements: into.append(query.query)):
                id = await orders.create(act, customer_id=customer, lines=lines)
                counts[number] = [len(statements)]
                await orders.set_lines(act, id=id, lines=other)
                counts[number].append(len(statements))
    assert counts[1] == counts[500]
    rows = await world.database.fetch("SELECT * FROM order_lines WHERE order_id = $1 ORDER BY position", id)
    assert [row["position"] for row in rows] == list(range(1, 501))
    assert (rows[0]["quantity"], rows[0]["line_amount"], rows[0]["description"]) == (500, 999, "Anvil")
    total = await world.database.fetchval("SELECT total_amount FROM orders WHERE id = $1", id)
    assert total == 2 * sum(range(501)) - 500


async def test_what_an_order_brings(world: World) -> None:
    """Half of it is shipped later; a seller is not told what it cost."""
    customer = await world.customer(owner_id=world.people["SELLER"])
    later = await world.product(recognition="ON_SHIPMENT", currency="EUR", cost_amount=Decimal("3.00"))
    lines = [{"quantity": "1", "productId": later, "unitPrice": money("10.00")}] * 2
    lines[0] = {
        "quantity": "1",
        "productId": await world.product(currency="EUR", cost_amount=Decimal("1.00")),
        "unitPrice": money("10.00"),
    }
    order = (
        await world.do("orderCreate", customerId=customer, lines=lines, tax=money("2.00"), discount=money("1.00"))
    ).done["id"]
    names = "booked recognised deferred received outstanding margin"
    inner = " ".join(f"{name} {{ amount }}" for name in names.split())

    async def shown(role: str = "FINANCE") -> list[str | None]:
        answer = await world.ask(f'{{ order(id: "{order}") {{ revenue {{ {inner} }} }} }}', world.viewer(role))
        found = answer["data"]["order"]["revenue"]
        return [found[name] and found[name]["amount"] for name in names.split()]

    assert await shown() == ["0.00"] * 6
    await world.do("orderConfirm", id=order)
    await world.do("paymentRecord", orderId=order, amount=money("5.00"), method="CASH")
    assert await shown() == ["19.00", "9.50", "9.50", "5.00", "16.00", "15.00"]
    assert await shown("SELLER") == ["19.00", "9.50", "9.50", "5.00", "16.00", None]
    await world.do("orderShip", id=order)
    assert (await shown())[:3] == ["19.00", "19.00", "0.00"]
