"""Customers: owners, status, currency, the tree of parents."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import pytest

from tests.schema.world import World, id_of, money, uuid_of


async def test_create_and_read_back(world: World) -> None:
    given = {
        "name": "Acme 公司",
        "kind": "PERSON",
        "status": "CUSTOMER",
        "email": "Ann@EXAMPLE.com",
        "website": "https://example.com",
        "currency": "JPY",
        "foundedYear": 1999,
        "employeeCount": 3,
        "annualRevenue": money("1000", "JPY"),
        "source": "test",
        "externalId": "1",
    }
    show = (
        "id name kind status email website currency foundedYear employeeCount annualRevenue { amount currency } version"
    )
    made = (await world.do("customerCreate", show=show, **given)).done
    assert made.pop("version") == 1
    id = made.pop("id")
    given.pop("source"), given.pop("externalId")
    assert made == {**given, "email": "Ann@example.com"}
    assert await world.told(id) == ["customer.created"]


@pytest.mark.parametrize(
    ("role", "owner"), [("SELLER", "SELLER"), ("MANAGER", "MANAGER"), ("SUPPORT", None), ("ADMIN", None)]
)
async def test_who_owns_a_new_customer(world: World, role: str, owner: str | None) -> None:
    made = (await world.do("customerCreate", role, "id owner { id }", name="Acme")).done
    assert made["owner"] == (owner and {"id": id_of("User", world.people[owner])})


@pytest.mark.parametrize(
    ("role", "owner", "code"),
    [
        ("SELLER", "SELLER", None),
        ("SELLER", "STRANGER", "FORBIDDEN"),
        ("SELLER", None, "FORBIDDEN"),
        ("MANAGER", "SELLER", None),
        ("MANAGER", "STRANGER", "FORBIDDEN"),
        ("MANAGER", None, "FORBIDDEN"),
        ("SUPPORT", "SELLER", "FORBIDDEN"),
        ("FINANCE", "STRANGER", None),
        ("ADMIN", "STRANGER", None),
        ("ADMIN", None, None),
    ],
)
async def test_who_may_name_an_owner(world: World, role: str, owner: str | None, code: str | None) -> None:
    owner_id = owner and id_of("User", world.people[owner])
    assert (await world.do("customerCreate", role, name="Acme", ownerId=owner_id)).code == code
    customer = await world.customer("MANAGER" if role == "MANAGER" else "SELLER")
    before = await world.row("customers", customer)
    assert (await world.do("customerUpdate", role, id=customer, ownerId=owner_id)).code in (code, None)
    after = await world.row("customers", customer)
    assert after["owner_id"] == (before["owner_id"] if code else owner and world.people[owner])


async def test_an_owner_who_left_is_refused(world: World) -> None:
    left = id_of("User", await world.user("SELLER", active=False))
    answer = await world.do("customerCreate", name="Acme", ownerId=left)
    assert (answer.code, answer.field) == ("BAD_USER_INPUT", "ownerId")


async def test_the_owner_may_stay_whoever_changes_the_rest(world: World) -> None:
    customer = await world.customer("STRANGER")
    owner = id_of("User", world.people["STRANGER"])
    assert (await world.do("customerUpdate", "SUPPORT", id=customer, ownerId=owner, city="Rome")).code is None


@pytest.mark.parametrize("before", ["PROSPECT", "CUSTOMER", "DORMANT", "CHURNED"])
async def test_status_moves_only_as_allowed(world: World, before: str) -> None:
    allowed = {
        "PROSPECT": {"CUSTOMER"},
        "CUSTOMER": {"DORMANT", "CHURNED"},
        "DORMANT": {"CUSTOMER", "CHURNED"},
        "CHURNED": {"PROSPECT", "CUSTOMER"},
    }[before]
    for after in ("PROSPECT", "CUSTOMER", "DORMANT", "CHURNED"):
        customer = await world.customer(status=before)
        answer = await world.do("customerUpdate", show="status", id=customer, status=after)
        if after == before:
            assert await world.told(customer) == []
        elif after in allowed:
            assert answer.done == {"status": after}
            assert await world.told(customer) == ["customer.statusChanged"]
        else:
            assert (answer.code, answer.field) == ("ILLEGAL_TRANSITION", "status")


async def test_what_an_update_tells(world: World) -> None:
    customer = await world.customer()
    manager = id_of("User", world.people["MANAGER"])
    await world.do("customerUpdate", id=customer, ownerId=manager)
    await world.do("customerUpdate", id=customer, city="Rome", name="Acme")
    assert await world.told(customer) == ["customer.assigned", "customer.updated"]
    assert await world.changes(customer) == {"city": [None, "Rome"]}


async def test_the_same_again_changes_nothing(world: World) -> None:
    customer = await world.customer(city="Rome")
    answer = await world.do("customerUpdate", show="version", id=customer, city="Rome", name="Acme", currency="EUR")
    assert answer.done == {"version": 1}
    assert await world.told(customer) == []


async def test_null_empties_what_may_be_empty(world: World) -> None:
    customer = await world.customer(city="Rome")
    assert (await world.do("customerUpdate", show="city", id=customer, city=None)).done == {"city": None}
    for name in ("name", "kind", "status", "currency"):
        answer = await world.do("customerUpdate", id=customer, **{name: None})
        assert (answer.code, answer.field) == ("BAD_USER_INPUT", name)


@pytest.mark.parametrize(
    ("given", "code", "field"),
    [
        ({"name": ""}, "BAD_USER_INPUT", "name"),
        ({"name": " \t"}, "BAD_USER_INPUT", "name"),
        ({"name": "x" * 201}, "BAD_USER_INPUT", "name"),
        ({"employeeCount": -1}, "BAD_USER_INPUT", "employeeCount"),
        ({"foundedYear": 0}, "BAD_USER_INPUT", "foundedYear"),
        ({"foundedYear": 2**31 - 1}, "BAD_USER_INPUT", "foundedYear"),
        ({"annualRevenue": money("-1")}, "BAD_USER_INPUT", "annualRevenue"),
        ({"annualRevenue": money("1.001")}, "BAD_USER_INPUT", "annualRevenue"),
        ({"annualRevenue": money("1000000000000000")}, "BAD_USER_INPUT", "annualRevenue"),
        ({"annualRevenue": money("1E+29")}, "BAD_USER_INPUT", "annualRevenue"),
        ({"annualRevenue": money("1", "USD")}, "CURRENCY_MISMATCH", "annualRevenue"),
        ({"idempotencyKey": " "}, "BAD_USER_INPUT", "idempotencyKey"),
    ],
)
async def test_values_that_do_not_fit(world: World, given: dict[str, Any], code: str, field: str) -> None:
    customer = await world.customer()
    before = await world.counts()
    for mutation, base in (
        ("customerCreate", {"name": "Acme", "currency": "EUR"}),
        ("customerUpdate", {"id": customer}),
    ):
        answer = await world.do(mutation, **{**base, **given})
        assert (answer.code, answer.field) == (code, field)
    assert await world.counts() == before


@pytest.mark.parametrize(
    "given",
    [{"email": "nobody"}, {"website": "ftp://x"}, {"employeeCount": 2**31}, {"currency": "XXY"}, {"kind": "DOG"}],
)
async def test_what_no_scalar_takes_never_arrives(world: World, given: dict[str, Any]) -> None:
    assert (await world.do("customerCreate", name="Acme", **given)).code == "BAD_USER_INPUT"


async def test_the_currency_of_the_revenue_goes_with_the_customer(world: World) -> None:
    customer = await world.customer(annual_revenue_amount=Decimal("5.00"))
    answer = await world.do("customerUpdate", id=customer, currency="USD")
    assert (answer.code, answer.field) == ("CURRENCY_MISMATCH", "currency")
    show = "currency annualRevenue { amount currency }"
    given = {"currency": "USD", "annualRevenue": money("7.00", "USD")}
    assert (await world.do("customerUpdate", show=show, id=customer, **given)).done == given


async def test_an_external_id_needs_its_source_and_is_unique_in_it(world: World) -> None:
    assert (await world.do("customerCreate", name="A", externalId="7")).field == "source"
    assert (await world.do("customerCreate", name="A", externalId="7", source="x")).code is None
    twice = await world.do("customerCreate", name="A", externalId="7", source="x")
    assert (twice.code, twice.field) == ("CONFLICT", "externalId")


async def test_no_circle_of_parents(world: World) -> None:
    top, middle, bottom = [await world.customer(name=name) for name in ("top", "middle", "bottom")]
    assert (await world.do("customerUpdate", id=middle, parentId=top)).code is None
    assert (await world.do("customerUpdate", id=bottom, parentId=middle)).code is None
    for id, parent in ((top, bottom), (top, middle), (top, top)):
        answer = await world.do("customerUpdate", id=id, parentId=parent)
        assert (answer.code, answer.field) == ("BAD_USER_INPUT", "parentId")
    hidden = await world.do("customerUpdate", "SELLER", id=top, parentId=await world.customer("STRANGER"))
    assert (hidden.code, hidden.field) == ("NOT_FOUND", "parentId")


async def test_two_halves_of_a_circle_at_once(world: World) -> None:
    for _ in range(5):
        one, two = await world.customer(), await world.customer()
        answers = await asyncio.gather(
            world.do("customerUpdate", id=one, parentId=two), world.do("customerUpdate", id=two, parentId=one)
        )
        assert sorted(str(answer.code) for answer in answers) == ["BAD_USER_INPUT", "None"]


async def test_updates_at_once_lose_none(world: World) -> None:
    customer = await world.customer()
    names = ("city", "state", "region", "country", "industry", "phone")
    await asyncio.gather(*(world.do("customerUpdate", id=customer, **{name: "x"}) for name in names))
    row = await world.row("customers", customer)
    assert row["version"] == 7
    assert all(row[name] == "x" for name in names)


async def test_of_two_with_one_version_one_wins(world: World) -> None:
    customer = await world.customer()
    answers = await asyncio.gather(
        *(world.do("customerUpdate", id=customer, expectedVersion=1, city=city) for city in ("Rome", "Oslo"))
    )
    assert sorted(str(answer.code) for answer in answers) == ["None", "VERSION_CONFLICT"]
    assert (await world.row("customers", customer))["version"] == 2


async def test_a_hidden_parent_that_stays_is_no_obstacle(world: World) -> None:
    parent = await world.customer("STRANGER")
    customer = await world.customer(parent_id=uuid_of(parent))
    assert (await world.do("customerUpdate", "SELLER", id=customer, parentId=parent, city="Rome")).code is None


@pytest.mark.parametrize("role", ["SUPPORT", "MARKETER"])
async def test_who_owns_nothing_takes_no_customer(world: World, role: str) -> None:
    seller, oneself = id_of("User", world.people["SELLER"]), id_of("User", world.people[role])
    customer = await world.customer(owner_id=world.people["SELLER"])
    for owner in (oneself, None, id_of("User", world.people["MANAGER"])):
        answer = await world.do("customerUpdate", role, id=customer, ownerId=owner)
        assert answer.code == "FORBIDDEN"
    assert (await world.do("customerCreate", role, name="Acme", ownerId=oneself)).code == "FORBIDDEN"
    assert (await world.row("customers", customer))["owner_id"] == world.people["SELLER"]
    assert (await world.do("customerUpdate", role, id=customer, ownerId=seller, city="Rome")).code is None
    logged = {"customerId": customer, "kind": "CALL", "subject": "Hello"}
    assert (await world.do("interactionLog", role, **logged, authorId=oneself)).code is None
    assert (await world.do("interactionLog", role, **logged, authorId=seller)).code == "FORBIDDEN"


@pytest.mark.parametrize("name", ["\u200b", "\u200b \ufeff", "\u2060\u00ad", "\u3164", "\u2800", "\u0301"])
async def test_a_name_that_nobody_can_see_is_blank(world: World, name: str) -> None:
    for mutation, given in (("customerCreate", {}), ("customerUpdate", {"id": await world.customer()})):
        answer = await world.do(mutation, name=name, **given)
        assert (answer.code, answer.field) == ("BAD_USER_INPUT", "name")
    assert (await world.do("customerCreate", name=f"株式会社{name}")).code is None
