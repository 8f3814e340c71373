"""Products: price and cost in one currency, specifications, who may write the cost."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from tests.schema.world import World, money

SPECS = {"amount": "1", "currency": "EUR", "fooBar": {"bazQux": [1, 2.5, True, None, "é"]}, "id": "x", "ownerId": 7}


async def test_create_update_read(world: World) -> None:
    given = {"name": "Anvil", "sku": "A-1", "price": money("9.90"), "cost": money("4.10")}
    show = "id status price { amount currency } cost { amount } margin { amount } specs"
    made = (await world.do("productCreate", show=show, **given)).done
    assert made["status"] == "DRAFT"
    assert made["price"] == money("9.90")
    assert made["margin"] == {"amount": "5.80"}
    assert made["specs"] == {}
    changed = await world.do("productUpdate", show="price { amount } sku", id=made["id"], price=None, sku=None)
    assert changed.done == {"price": None, "sku": None}
    assert await world.told(made["id"]) == ["product.created", "product.updated"]


async def test_a_new_product_may_be_active_but_not_over(world: World) -> None:
    assert (await world.do("productCreate", show="status", name="A", status="ACTIVE")).done == {"status": "ACTIVE"}
    assert (await world.do("productCreate", name="A", status="END_OF_LIFE")).field == "status"


@pytest.mark.parametrize(
    ("before", "verb", "after"),
    [
        ("DRAFT", "productActivate", "ACTIVE"),
        ("ACTIVE", "productActivate", None),
        ("END_OF_LIFE", "productActivate", "ACTIVE"),
        ("DRAFT", "productRetire", "END_OF_LIFE"),
        ("ACTIVE", "productRetire", "END_OF_LIFE"),
        ("END_OF_LIFE", "productRetire", None),
    ],
)
async def test_each_transition(world: World, before: str, verb: str, after: str | None) -> None:
    answer = await world.do(verb, show="status", id=await world.product(before))
    if after is None:
        assert answer.code == "ILLEGAL_TRANSITION"
    else:
        assert answer.done == {"status": after}


@pytest.mark.parametrize(
    ("given", "code", "field"),
    [
        ({"price": money("1"), "cost": money("1", "USD")}, "CURRENCY_MISMATCH", "cost"),
        ({"price": money("1"), "currency": "JPY"}, "CURRENCY_MISMATCH", "price"),
        ({"price": money("-0.01")}, "BAD_USER_INPUT", "price"),
        ({"cost": money("0.001")}, "BAD_USER_INPUT", "cost"),
        ({"price": money("1E15")}, "BAD_USER_INPUT", "price"),
        ({"name": ""}, "BAD_USER_INPUT", "name"),
        ({"sku": "x" * 65}, "BAD_USER_INPUT", "sku"),
        ({"specs": []}, "BAD_USER_INPUT", "specs"),
        ({"specs": "text"}, "BAD_USER_INPUT", "specs"),
        ({"specs": 1}, "BAD_USER_INPUT", "specs"),
        ({"specs": {"a": "nul \x00"}}, "BAD_USER_INPUT", "specs"),
        ({"specs": {"nul \x00": 1}}, "BAD_USER_INPUT", "specs"),
        ({"specs": {"a": ["\ud800"]}}, "BAD_USER_INPUT", "specs"),
        ({"specs": {"\ud800": 1}}, "BAD_USER_INPUT", "specs"),
        ({"specs": {"a": float("inf")}}, "BAD_USER_INPUT", "specs"),
        ({"specs": {"a": float("nan")}}, "BAD_USER_INPUT", "specs"),
        ({"specs": {"a": 10**30}}, "BAD_USER_INPUT", "specs"),
        ({"specs": {"a": "x" * 65_536}}, "BAD_USER_INPUT", "specs"),
        ({"specs": json.loads('{"a":' * 21 + "1" + "}" * 21)}, "BAD_USER_INPUT", "specs"),
        ({"specs": json.loads('{"a":' * 60 + "1" + "}" * 60)}, "BAD_USER_INPUT", "specs"),
    ],
)
async def test_values_that_do_not_fit(world: World, given: dict[str, Any], code: str, field: str) -> None:
    product = await world.product()
    before = await world.counts()
    answer = await world.do("productCreate", **{"name": "Anvil", **given, "idempotencyKey": "k"})
    assert (answer.code, answer.field) == (code, field)
    if code == "BAD_USER_INPUT":
        answer = await world.do("productUpdate", **{"id": product, **given})
        assert (answer.code, answer.field) == (code, field)
    assert await world.counts() == before


async def test_specs_pass_through_untouched(world: World) -> None:
    made = (await world.do("productCreate", show="id specs", name="A", specs=SPECS)).done
    assert made["specs"] == SPECS
    deep = json.loads('{"a":' * 20 + "1" + "}" * 20)
    assert (await world.do("productUpdate", show="specs", id=made["id"], specs=deep)).done == {"specs": deep}
    assert await world.changes(made["id"]) == {"specs": [SPECS, deep]}


async def test_specs_in_a_literal(world: World) -> None:
    query = """mutation($v: String) { productCreate(input: {name: "A", specs: {fooBar: {amount: "1", currency: $v}}}) {
        product { specs } userErrors { code } } }"""
    answer = await world.ask(query, world.viewer(), v="EUR")
    assert answer["data"]["productCreate"]["product"]["specs"] == {"fooBar": {"amount": "1", "currency": "EUR"}}
    for levels, code in ((30, "BAD_USER_INPUT"), (190, "BAD_USER_INPUT"), (300, "QUERY_TOO_COMPLEX")):
        nested = "{a:" * levels + "1" + "}" * levels
        query = f'mutation {{ productCreate(input: {{name: "A", specs: {nested}}}) {{ userErrors {{ code }} }} }}'
        answer = await world.ask(query, world.viewer())
        assert code in str(answer)


async def test_the_same_specs_change_nothing_but_true_is_not_one(world: World) -> None:
    made = (await world.do("productCreate", name="A", specs={"b": 1, "a": [True]})).done["id"]
    before = await world.counts()
    assert (await world.do("productUpdate", show="version", id=made, specs={"a": [True], "b": 1})).done["version"] == 1
    assert await world.counts() == before
    assert (await world.do("productUpdate", show="specs", id=made, specs={"a": [1], "b": 1})).done["specs"]["a"] == [1]
    assert (await world.do("productUpdate", id=made, specs=None)).field == "specs"


async def test_a_sku_is_unique(world: World) -> None:
    await world.product(sku="ONE")
    answer = await world.do("productCreate", name="A", sku="ONE")
    assert (answer.code, answer.field) == ("CONFLICT", "sku")
    answer = await world.do("productUpdate", id=await world.product(), sku="ONE")
    assert (answer.code, answer.field) == ("CONFLICT", "sku")


async def test_only_those_who_read_costs_write_them(world: World) -> None:
    product = await world.product(cost_amount=Decimal("4.00"))
    for mutation, base in (("productCreate", {"name": "A"}), ("productUpdate", {"id": product})):
        for cost in (money("1.00"), None):
            assert (await world.do(mutation, "INTEGRATION", **base, cost=cost)).code == "FORBIDDEN"
        assert (await world.do(mutation, "FINANCE", **base, cost=money("1.00"))).code is None


async def test_the_currency_changes_until_the_product_is_ordered(world: World) -> None:
    product = await world.product(price_amount=Decimal("4.00"))
    assert (await world.do("productUpdate", id=product, currency="USD")).code == "CURRENCY_MISMATCH"
    dollars = {"currency": "USD", "price": money("5.00", "USD")}
    assert (await world.do("productUpdate", id=product, **dollars)).code is None
    line = {"quantity": "1", "productId": product}
    assert (await world.do("orderCreate", customerId=await world.customer(), currency="USD", lines=[line])).code is None
    euros = {"currency": "EUR", "price": money("5.00")}
    answer = await world.do("productUpdate", id=product, **euros)
    assert (answer.code, answer.field) == ("CONFLICT", "currency")


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        ("Decimal", {"value": "1.5"}),
        ("Date", {"value": "2026-01-01"}),
        ("Int", {}),
        ("MoneyInput", {"value": money("1.00")}),
    ],
)
async def test_specs_take_nothing_but_json(world: World, kind: str, given: dict[str, Any]) -> None:
    query = (
        f'mutation($value: {kind}) {{ productCreate(input: {{name: "x", specs: {{a: [{{b: $value}}]}}}})'
        " { product { specs } userErrors { code field } } }"
    )
    answer = await world.ask(query, world.viewer(), **given)
    assert answer["data"]["productCreate"]["userErrors"] == [{"code": "BAD_USER_INPUT", "field": "specs"}]
    assert "errors" not in answer
    plain = await world.ask(query.replace(kind, "JSON", 1), world.viewer(), value=[None, True, 1, 1.5, "x", {"c": {}}])
    assert plain["data"]["productCreate"]["product"]["specs"] == {"a": [{"b": [None, True, 1, 1.5, "x", {"c": {}}]}]}


async def test_only_what_is_recognised_over_time_has_months(world: World) -> None:
    id = await world.product()

    async def update(**given: Any) -> Any:
        show = "recognition recognitionMonths countsAsRevenue"
        return await world.do("productUpdate", "FINANCE", show, id=id, **given)

    for wrong in (
        {"recognition": "OVER_TIME"},
        {"recognitionMonths": 3},
        {"recognition": "OVER_TIME", "recognitionMonths": 121},
    ):
        assert (await update(**wrong)).field == "recognitionMonths"
    answer = await update(recognition="OVER_TIME", recognitionMonths=3, countsAsRevenue=False)
    assert answer.done == {"recognition": "OVER_TIME", "recognitionMonths": 3, "countsAsRevenue": False}
    assert (await update(recognition="ON_SHIPMENT")).done["recognitionMonths"] is None
