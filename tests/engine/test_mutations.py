"""What runs mutations: several fields, variables, payloads, keys, collisions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from crmgql.domain.customers import customers
from crmgql.engine import mutations
from tests.schema.world import World

ERRORS = "userErrors { code field message }"


def instead(monkeypatch: pytest.MonkeyPatch, name: str, verb: mutations.Verb) -> None:
    """Has a mutation call another verb."""
    monkeypatch.setitem(mutations.MUTATIONS, name, replace(mutations.MUTATIONS[name], verb=verb))


async def test_fields_run_one_after_the_other_each_on_its_own(world: World) -> None:
    query = f"""mutation($id: ID!) {{ __typename
        a: customerUpdate(input: {{id: $id, city: "Rome"}}) {{ __typename customer {{ version city }} {ERRORS} }}
        b: customerUpdate(input: {{id: $id, name: ""}}) {{ customer {{ version }} userErrors {{ __typename c: code }} }}
        c: customerUpdate(input: {{id: $id, city: "Oslo"}}) {{ customer {{ version was: city }} }} }}"""
    answer = await world.ask(query, world.viewer(), id=await world.customer())
    assert answer == {
        "data": {
            "__typename": "Mutation",
            "a": {"__typename": "CustomerUpdatePayload", "customer": {"version": 2, "city": "Rome"}, "userErrors": []},
            "b": {"customer": None, "userErrors": [{"__typename": "UserError", "c": "BAD_USER_INPUT"}]},
            "c": {"customer": {"version": 3, "was": "Oslo"}},
        }
    }


async def test_a_null_in_a_place_that_takes_none_is_the_clients_mistake(world: World) -> None:
    query = f'mutation($id: ID = "x") {{ customerUpdate(input: {{id: $id}}) {{ {ERRORS} }} }}'
    answer = await world.ask(query, world.viewer(), id=None)
    assert answer["data"]["customerUpdate"]["userErrors"][0]["code"] == "BAD_USER_INPUT"


async def test_a_payload_that_costs_too_much_changes_nothing(world: World) -> None:
    before = await world.counts()
    pages = "customers(first: 100) { nodes { orders(first: 100) { nodes { lines(first: 100) { nodes { id } } } } } }"
    query = f'mutation {{ customerCreate(input: {{name: "A"}}) {{ customer {{ owner {{ {pages} }} }} }} }}'
    answer = await world.ask(query, world.viewer())
    assert answer["errors"][0]["extensions"]["code"] == "MAX_COST_EXCEEDED"
    assert await world.counts() == before


async def test_a_payload_that_the_database_refuses_changes_nothing(world: World) -> None:
    before = await world.counts()
    where = "subsidiaries(where: {name: {eq: $bad}}) { totalCount }"
    query = f'mutation($bad: String) {{ customerCreate(input: {{name: "A"}}) {{ customer {{ {where} }} {ERRORS} }} }}'
    answer = await world.ask(query, world.viewer(), bad="\x00")
    assert "BAD_USER_INPUT" in str(answer)
    assert await world.counts() == before


async def test_a_key_without_the_scope_to_read_the_answer_changes_nothing(world: World) -> None:
    before = await world.counts()
    key = world.viewer(scopes=frozenset({"customers:write"}))
    assert (await world.do("customerCreate", key, name="A")).code == "FORBIDDEN"
    assert await world.counts() == before
    both = world.viewer("INTEGRATION", scopes=frozenset({"customers:write", "customers:read"}))
    assert (await world.do("customerCreate", both, name="A")).code is None


async def test_an_unforeseen_error_tells_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("secret")

    instead(monkeypatch, "customerCreate", broken)
    answer = await world.do("customerCreate", name="A")
    assert answer.code == "INTERNAL_SERVER_ERROR"
    assert "secret" not in str(answer)


async def test_a_field_that_fails_hides_nothing_of_what_others_did(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    query = f"""mutation {{
        a: customerCreate(input: {{name: "A"}}) {{ customer {{ name }} {ERRORS} }}
        b: productCreate(input: {{name: "B"}}) {{ product {{ name }} {ERRORS} }}
        c: customerCreate(input: {{name: "C"}}) {{ customer {{ name }} {ERRORS} }} }}"""
    answer = await world.ask(query, world.viewer("SELLER"))
    done = {key: {"customer": {"name": key.upper()}, "userErrors": []} for key in "ac"}
    assert answer["data"] == {"a": done["a"], "b": None, "c": done["c"]}
    assert [(error["path"], error["extensions"]["code"]) for error in answer["errors"]] == [(["b"], "FORBIDDEN")]

    async def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("secret")

    instead(monkeypatch, "productCreate", broken)
    answer = await world.ask(query, world.viewer())
    assert answer["data"] == {"a": done["a"], "b": None, "c": done["c"]}
    assert [error["extensions"]["code"] for error in answer["errors"]] == ["INTERNAL_SERVER_ERROR"]


def test_an_error_in_a_field_leaves_the_others_room(world: World) -> None:
    kind = world.engine.schema.mutation_type
    assert kind is not None
    assert not [name for name, field in kind.fields.items() if str(field.type).endswith("!")]


async def test_a_key_that_may_not_write_repeats_nothing(world: World) -> None:
    values = {"name": "A", "idempotencyKey": "replay"}
    assert (await world.do("customerCreate", **values)).code is None
    reading = world.viewer(scopes=frozenset({"*:read"}), key=UUID(int=1))
    answer = await world.do("customerCreate", reading, **values)
    assert (answer.code, answer.record) == ("FORBIDDEN", None)


async def test_collisions_are_tried_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    create, tries = customers.create, 0

    async def colliding(act: Any, **values: Any) -> Any:
        nonlocal tries
        tries += 1
        await create(act, **values)
        if tries < limit:
            raise asyncpg.DeadlockDetectedError("collided")
        return await create(act, **values)

    instead(monkeypatch, "customerCreate", colliding)
    limit = 3
    assert (await world.do("customerCreate", name="A", idempotencyKey="collide")).code is None
    assert tries == 3
    limit = 99
    before = await world.counts()
    assert (await world.do("customerCreate", name="A")).code == "SERVICE_UNAVAILABLE"
    assert await world.counts() == before


async def test_keys_are_each_users_own(world: World) -> None:
    first = await world.do("customerCreate", "SELLER", name="A", idempotencyKey="own")
    second = await world.do("customerCreate", "MANAGER", name="B", idempotencyKey="own")
    assert first.done != second.done


async def test_what_was_made_is_shown_by_todays_rules(world: World) -> None:
    values = {"name": "A", "idempotencyKey": "today"}
    made = (await world.do("customerCreate", "SELLER", **values)).done["id"]
    await world.do("customerUpdate", id=made, ownerId=None)
    again = await world.do("customerCreate", "SELLER", **values)
    assert (again.code, again.record) == (None, None)


async def test_one_key_for_two_mutations_is_a_conflict(world: World) -> None:
    product = await world.product("DRAFT")
    assert (await world.do("productActivate", id=product, idempotencyKey="two")).code is None
    assert (await world.do("productRetire", id=product, idempotencyKey="two")).code == "IDEMPOTENCY_CONFLICT"
