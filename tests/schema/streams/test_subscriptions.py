"""What a subscription may be made of, and with whose rights it reads."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from crmgql.domain.streams import registry
from tests.schema.streams.following import DOCUMENT, place, pull, subscribe
from tests.schema.world import World, id_of, uuid_of

TOO_DEAR = (
    "fragment Payload on Event { customer { orders(first: 100) { nodes { lines(first: 100) { nodes { id } } } } } }"
)


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ("", "blank"),
        ("{ events { nodes { id } } }", "fragments only"),
        ("fragment Payload on Event { kind } query { me { id } }", "fragments only"),
        ("fragment Other on Event { kind }", "fragment Payload on Event"),
        ("fragment Payload on Order { number }", "fragment Payload on Event"),
        ("fragment Payload on Event { kind", "Expected Name"),
        ("fragment Payload on Event {\n  kind\n  nothing\n}", "'nothing' on type 'Event'. (line 3)"),
        ("fragment Payload on Event { kind } fragment Spare on Order { number }", "never used"),
        ("fragment Payload on Event { customer { orders(first: $ids) { totalCount } } }", "$ids: nobody gives it"),
        ("fragment Payload on Event { kind @include(if: $x) }", "$x: nobody gives it"),
        ("fragment Payload on Event { ...Payload }", "itself"),
        ("fragment Payload on Event " + "{ customer " * 40 + "{ id }" + " }" * 40, "levels; 15 are allowed"),
        (f"fragment Payload on Event {{ kind }} # {'x' * registry.LONGEST}", "at most 16384"),
    ],
)
async def test_a_document_that_cannot_be_used(world: World, document: str, words: str) -> None:
    before = await world.counts()
    answer = await world.do("subscriptionCreate", "INTEGRATION", name="Mirror", document=document)
    assert (answer.code, answer.field) == ("BAD_USER_INPUT", "document"), answer
    assert words in answer.rejections[0]["message"]
    assert await world.counts() == before


async def test_a_document_that_costs_too_much(world: World) -> None:
    answer = await world.do("subscriptionCreate", "INTEGRATION", name="Mirror", document=TOO_DEAR)
    assert answer.code == "MAX_COST_EXCEEDED"


@pytest.mark.parametrize(
    ("filter", "words"),
    [
        ({"nothing": {"eq": "x"}}, "nothing"),
        ({"kind": {"eq": 7}}, "String"),
        ({"id": {"eq": "cus_1"}}, "not an id"),
        ({"customer": {"owner": {"salary": {"gt": "1"}}}}, "salary"),
        ({"kind": {"eq": "x" * 8192}}, "8192 bytes"),
        ({"kind": {"eq": "half \\ud800"}, "and": [{"not": {}}] * 300}, "conditions"),
    ],
)
async def test_a_filter_that_cannot_be_used(world: World, filter: dict[str, Any], words: str) -> None:
    answer = await world.do("subscriptionCreate", "INTEGRATION", name="Mirror", document=DOCUMENT, filter=filter)
    if answer.errors:
        assert answer.code == "FORBIDDEN"
        assert words in answer.errors[0]["message"]
    else:
        assert (answer.code, answer.field) == ("BAD_USER_INPUT", "filter"), answer
        assert words in answer.rejections[0]["message"]


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"kinds": ["order.confirmd"]}, "kinds.0"),
        ({"kinds": ["order.*"], "fields": ["salary"]}, "fields.0"),
        ({"after": "evc_1"}, None),
    ],
)
async def test_triggers_that_there_are_not(world: World, given: dict[str, Any], field: str | None) -> None:
    answer = await world.do("subscriptionCreate", "INTEGRATION", name="Mirror", document=DOCUMENT, **given)
    assert (answer.code, answer.field) == ("BAD_USER_INPUT" if field else "CURSOR_INVALID", field)


async def test_as_of_the_event_there_is_only_what_the_event_says(world: World) -> None:
    plain = "fragment Payload on Event { kind occurredAt payload subjectType subject { id __typename } actor { id } }"
    id = await subscribe(world, document=plain, readAs="EVENT", kinds=["order.created"])
    order = await world.order()
    await world.do("orderUpdate", id=order, note="changed since")
    await place(world)
    (event,) = (await pull(world, id)).events
    assert event["payload"]["subject"] == {"id": order, "__typename": "Order"}
    for document in (DOCUMENT, "fragment Payload on Event { customer { name } }"):
        answer = await world.do("subscriptionUpdate", "INTEGRATION", id=id, document=document)
        assert (answer.code, answer.field) == ("BAD_USER_INPUT", "document")
        assert "DELIVERY" in answer.rejections[0]["message"]
    answer = await world.do(
        "subscriptionUpdate", "INTEGRATION", id=id, filter={"or": [{"customer": {"name": {"eq": "x"}}}]}
    )
    assert (answer.code, answer.field) == ("BAD_USER_INPUT", "filter")
    answer = await world.do("subscriptionUpdate", "INTEGRATION", id=await subscribe(world), readAs="EVENT")
    assert (answer.code, answer.field) == ("BAD_USER_INPUT", "document")


async def test_a_document_is_kept_once(world: World) -> None:
    document = f"{DOCUMENT} # once"
    first, second = [await subscribe(world, document=document) for _ in range(2)]
    shown = "document documentHash"
    query = f"query($ids: [ID!]!) {{ nodes(ids: $ids) {{ ... on EventSubscription {{ {shown} }} }} }}"
    answer = await world.ask(query, world.viewer("INTEGRATION"), ids=[first, second])
    assert answer["data"]["nodes"] == [{"document": document, "documentHash": registry.hash_of(document)}] * 2
    assert await world.database.fetchval("SELECT count(*) FROM documents WHERE text = $1", document) == 1


async def test_names_are_ones_own(world: World) -> None:
    id = await subscribe(world, name="The mirror")
    again = await world.do("subscriptionCreate", "INTEGRATION", name="The mirror", document=DOCUMENT)
    assert (again.code, again.field) == ("CONFLICT", "name")
    assert (await world.do("subscriptionCreate", "ADMIN", name="The mirror", document=DOCUMENT)).code is None
    await world.do("subscriptionDelete", "INTEGRATION", id=id)
    await subscribe(world, name="The mirror")


async def test_what_somebody_else_follows_is_hidden(world: World) -> None:
    id = await subscribe(world, "ADMIN")
    assert (await pull(world, id)).code == "NOT_FOUND"
    assert (await world.do("subscriptionUpdate", "INTEGRATION", id=id, active=False)).code == "NOT_FOUND"
    other = id_of("User", world.people["ADMIN"])
    answer = await world.do("subscriptionCreate", "INTEGRATION", name="Mine", document=DOCUMENT, ownerId=other)
    assert answer.code == "FORBIDDEN"


async def test_it_reads_with_its_owners_rights(world: World) -> None:
    owner = await world.user("INTEGRATION")
    id = await subscribe(world, "ADMIN", ownerId=id_of("User", owner), kinds=["apiKey.created", "order.created"])
    await world.do("apiKeyCreate", userId=id_of("User", owner), name="Key", scopes=["customers:read"])
    await world.order()
    await place(world)
    handed = await pull(world, id, "ADMIN")
    assert handed.kinds == ["order.created"]  # administrators see API keys, integrations don't
    await world.database.execute("UPDATE users SET roles = '{SELLER}' WHERE id = $1", owner)
    assert (await pull(world, id, "ADMIN", token=handed.token)).events == []  # the order is another seller's
    await world.database.execute("UPDATE users SET roles = '{}' WHERE id = $1", owner)
    assert (await pull(world, id, "ADMIN", token=handed.token)).code == "FORBIDDEN"
    await world.database.execute("UPDATE users SET roles = '{INTEGRATION}', active = false WHERE id = $1", owner)
    assert (await pull(world, id, "ADMIN", token=handed.token)).code == "FORBIDDEN"
    answer = await world.do("subscriptionCreate", name="New", document=DOCUMENT, ownerId=id_of("User", owner))
    assert (answer.code, answer.field) == ("NOT_FOUND", "ownerId")


async def test_who_may_not_read_events_has_no_subscription(world: World) -> None:
    nobody = id_of("User", await world.user())
    assert (await world.do("subscriptionCreate", name="New", document=DOCUMENT, ownerId=nobody)).code == "FORBIDDEN"


async def test_a_key_reads_no_further_than_its_scopes(world: World) -> None:
    """Attack: a key for subscriptions and events has its user's rights read to it."""
    narrow = frozenset(("subscriptions:read", "subscriptions:write", "events:read", "users:read", "customers:read"))
    key = world.viewer("INTEGRATION", scopes=narrow, key=uuid_of(await world.api_key()))
    made_by_key = await subscribe(world, key, kinds=["order.created", "customer.created"])
    made_by_person = await subscribe(world, kinds=["order.created", "customer.created"])
    await world.order()
    await world.do("customerCreate", name="Acme")
    await place(world)
    assert (await pull(world, made_by_key, key)).kinds == ["customer.created"]
    assert (await pull(world, made_by_person, key)).kinds == ["customer.created"]
    await world.do("subscriptionSeek", "INTEGRATION", id=made_by_key, to="START")
    assert "order.created" not in (await pull(world, made_by_key)).kinds
    await world.do("subscriptionUpdate", key, id=made_by_person, active=True)
    assert await scopes_of(world, made_by_person) == set(narrow)
    without = world.viewer("INTEGRATION", scopes=narrow - {"events:read"}, key=UUID(int=1))
    assert (await world.do("subscriptionCreate", without, name="New", document=DOCUMENT)).code == "FORBIDDEN"


async def scopes_of(world: World, id: str) -> set[str]:
    return set((await world.row("event_subscriptions", id))["scopes"])


async def test_a_change_keeps_the_cursor_and_checks_the_whole(world: World) -> None:
    id = await subscribe(world, kinds=["order.*"], fields=["number"])
    before = await world.row("event_subscriptions", id)
    answer = await world.do("subscriptionUpdate", "INTEGRATION", id=id, kinds=["team.*"])
    assert (answer.code, answer.field) == ("BAD_USER_INPUT", "fields.0")
    assert (await world.do("subscriptionUpdate", "INTEGRATION", id=id, kinds=["team.*"], fields=["name"])).code is None
    after = await world.row("event_subscriptions", id)
    assert (after["cursor"], after["kinds"], after["version"]) == (before["cursor"], ["team.*"], 2)
    again = await world.do("subscriptionUpdate", "INTEGRATION", id=id, kinds=["team.*"], document=DOCUMENT)
    assert again.code is None
    assert await world.told(id) == ["eventSubscription.created", "eventSubscription.updated"]
