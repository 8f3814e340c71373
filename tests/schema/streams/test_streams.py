"""Named subscriptions as streams: the same payloads as a pull delivers, with the same rights, until they change."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Any

import pytest
import pytest_asyncio

from crmgql.engine import named
from crmgql.engine.operations import Rejected, Request
from crmgql.engine.subscriptions import Stream
from crmgql.events import feed as feeds
from crmgql.viewer import Viewer
from tests.schema.streams.following import place, pull, subscribe
from tests.schema.world import World, id_of

WAIT_S = 20
QUERY = "subscription($id: ID!, $after: Cursor) { delivered: stream(id: $id, after: $after) }"
WITH_CURSOR = "fragment Payload on Event { kind cursor subject { ... on Customer { id name } } }"

Open = Callable[..., Awaitable[Stream]]


@pytest_asyncio.fixture
async def follow(world: World, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Open]:
    """Opens a stream, over the feed of this process."""
    monkeypatch.setattr(feeds, "LOOK_S", 0.05)
    monkeypatch.setattr(named, "REMEMBERED_S", 0.0)
    feed = world.engine.subscriptions.feed = feeds.Feed(world.engine.database, None)
    running = asyncio.create_task(feed.run())

    async def opened(
        id: str, who: str | Viewer = "INTEGRATION", after: str | None = None, resume: str | None = None
    ) -> Stream:
        async def viewer() -> Viewer:
            return world.viewer(who) if isinstance(who, str) else who

        return await world.engine.subscribe(Request(QUERY, None, {"id": id, "after": after}, resume=resume), viewer)

    yield opened
    assert not len(world.engine.subscriptions.channels)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def one(stream: Stream) -> dict[str, Any]:
    async with asyncio.timeout(WAIT_S):
        return json.loads((await stream.some(1))[0].body)["data"]["delivered"]  # type: ignore[no-any-return]


async def ending(stream: Stream) -> str:
    """The code with which a stream ends."""
    with pytest.raises(Rejected) as ended:
        await one(stream)
    return str(ended.value.errors[0]["extensions"]["code"])


async def refused(opening: Awaitable[Stream]) -> str:
    with pytest.raises(Rejected) as error:
        await opening
    return str(error.value.errors[0]["extensions"]["code"])


async def made(world: World, name: str) -> str:
    id = str((await world.do("customerCreate", name=name)).done["id"])
    await place(world)
    return id


async def test_a_stream_delivers_what_a_pull_does(world: World, follow: Open) -> None:
    id = await subscribe(world, document=WITH_CURSOR, kinds=["customer.*"], filter={"kind": {"ne": "customer.erased"}})
    before = await made(world, "Before")
    async with aclosing(await follow(id)) as stream:
        first = await one(stream)
        assert first["subject"] == {"id": before, "name": "Before"}
        await world.order()
        after = await made(world, "After")
        while (second := await one(stream))["subject"]["id"] != after:
            pass
    pulled = [event["payload"] for event in (await pull(world, id)).events]
    assert (pulled[0], pulled[-1]) == (first, second)
    for resumed in (await follow(id, after=first["cursor"]), await follow(id, resume=first["cursor"])):
        async with aclosing(resumed) as stream:
            assert await one(stream) == pulled[1]


async def test_stream_and_pull_tell_what_left_the_owners_sight(world: World, follow: Open) -> None:
    document = "fragment Payload on Event { sight kind subjectId payload subject { ... on Customer { name } } }"
    customer = await world.customer("SELLER")
    id = await subscribe(world, "SELLER", document=document, kinds=["customer.*"])
    narrow = await subscribe(world, "SELLER", document=document, kinds=["customer.*"], filter={"kind": {"ne": "x"}})
    entering = await subscribe(world, "STRANGER", document=document, kinds=["customer.*"])
    async with aclosing(await follow(id, "SELLER")) as stream:
        await world.do("customerUpdate", id=customer, ownerId=id_of("User", world.people["STRANGER"]))
        await place(world)
        left = await one(stream)
    about = {"kind": "customer.assigned", "subjectId": customer}
    assert left == {"sight": "LEFT", **about, "payload": {}, "subject": None}
    assert [event["payload"] for event in (await pull(world, id, "SELLER")).events] == [left]
    assert (await pull(world, narrow, "SELLER")).events == []
    (entered,) = (await pull(world, entering, "STRANGER")).events
    assert entered["payload"] == {"sight": "ENTERED", **about, "payload": {"version": 2}, "subject": {"name": "Acme"}}


async def test_it_goes_on_from_the_managed_cursor(world: World, follow: Open) -> None:
    id = await subscribe(world, document=WITH_CURSOR, kinds=["customer.created"])
    for name in ("First", "Second"):
        await made(world, name)
    handed = await pull(world, id)
    given = {"id": id, "token": handed.token, "cursor": handed.events[0]["cursor"]}
    assert (await world.do("subscriptionCommit", "INTEGRATION", **given)).code is None
    async with aclosing(await follow(id)) as stream:
        assert (await one(stream))["subject"]["name"] == "Second"


async def test_it_reads_with_its_owners_rights(world: World, follow: Open) -> None:
    owner = await world.user("INTEGRATION")
    id = await subscribe(world, "ADMIN", ownerId=id_of("User", owner), kinds=["customer.*", "apiKey.*"])
    async with aclosing(await follow(id, "ADMIN")) as stream:
        await world.do("apiKeyCreate", userId=id_of("User", owner), name="Key", scopes=["customers:read"])
        await made(world, "Acme")
        assert (await one(stream))["kind"] == "customer.created"
        await world.database.execute("UPDATE users SET active = false WHERE id = $1", owner)
        await made(world, "Acme")
        assert await ending(stream) == "FORBIDDEN"
    assert await refused(follow(id, "ADMIN")) == "FORBIDDEN"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"kinds": ["customer.created", "order.created"]}, "SUBSCRIPTION_CHANGED"),
        ({"document": "fragment Payload on Event { kind }"}, "SUBSCRIPTION_CHANGED"),
        ({"active": False}, "ILLEGAL_TRANSITION"),
    ],
)
async def test_a_change_ends_it(world: World, follow: Open, change: dict[str, Any], code: str) -> None:
    id = await subscribe(world, kinds=["customer.created"])
    async with aclosing(await follow(id)) as stream:
        await made(world, "Acme")
        assert (await one(stream))["kind"] == "customer.created"
        assert (await world.do("subscriptionUpdate", "INTEGRATION", id=id, name=f"Another {id}")).code is None
        await made(world, "Acme")
        assert (await one(stream))["kind"] == "customer.created"
        assert (await world.do("subscriptionUpdate", "INTEGRATION", id=id, **change)).code is None
        await made(world, "Acme")
        assert await ending(stream) == code


async def test_what_cannot_be_followed(world: World, follow: Open) -> None:
    id = await subscribe(world, "ADMIN")
    assert await refused(follow(id)) == "NOT_FOUND"
    assert await refused(follow("cus_1")) == "BAD_USER_INPUT"
    assert await refused(follow(id, "ADMIN", after="evc_1")) == "CURSOR_INVALID"
    await world.do("subscriptionDelete", id=id)
    assert await refused(follow(id, "ADMIN")) == "ILLEGAL_TRANSITION"


async def test_a_key_follows_no_further_than_its_scopes(world: World, follow: Open) -> None:
    """Attack: a key that may follow has somebody's whole rights read to it."""
    id = await subscribe(world, kinds=["order.created", "customer.created"])
    key = world.viewer("INTEGRATION", scopes=frozenset({"subscriptions:read", "events:read", "customers:read"}))
    async with aclosing(await follow(id, key)) as stream:
        await world.order()
        await made(world, "Acme")
        assert (await one(stream))["kind"] == "customer.created"
    without = world.viewer("INTEGRATION", scopes=frozenset({"subscriptions:read", "customers:read"}))
    assert await refused(follow(id, without)) == "FORBIDDEN"
