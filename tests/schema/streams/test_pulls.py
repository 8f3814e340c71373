"""Following a subscription with a managed cursor: what is delivered, to whom, and what a crash repeats."""

from __future__ import annotations

import asyncio
from random import Random
from typing import Any

import pytest

from crmgql.domain.streams import pulls
from crmgql.events import cursors
from tests.schema.streams.following import commit, later, place, pull, subscribe
from tests.schema.world import World, uuid_of

SHOWN = "query($id: ID!) { eventSubscription(id: $id) { lag cursor leaseBy leaseUntil } }"


async def shown(world: World, id: str) -> dict[str, Any]:
    return (await world.ask(SHOWN, world.viewer(), id=id))["data"]["eventSubscription"]  # type: ignore[no-any-return]


async def test_a_worker_follows_and_commits(world: World) -> None:
    id = await subscribe(world, kinds=["order.*"])
    order = await world.order()
    await world.customer()
    await world.do("orderConfirm", id=order)
    await place(world)

    first = await pull(world, id, first=1, holder="worker 1")
    assert first.kinds == ["order.created"]
    assert first.more
    assert first.events[0]["payload"]["subject"]["total"] == {"amount": "12.50"}
    held = await shown(world, id)
    assert held["leaseBy"] == "worker 1"
    assert held["lag"] == 3  # its own event, and the order's two

    assert await commit(world, id, first.token, first.cursor) is None
    second = await pull(world, id, token=first.token)
    assert second.kinds == ["order.confirmed"]
    assert second.events[0]["payload"]["subject"]["status"] == "CONFIRMED"
    assert not second.more
    assert await commit(world, id, second.token, second.cursor) is None
    assert await commit(world, id, second.token, second.cursor) is None  # again, as its answer may have been lost
    assert (await pull(world, id, token=second.token)).events == []
    assert (await shown(world, id))["lag"] == 0


async def test_what_a_crashed_worker_did_not_commit_is_delivered_again(world: World) -> None:
    id = await subscribe(world, kinds=["order.created"])
    for _ in range(3):
        await world.order()
    await place(world)
    crashed = await pull(world, id, leaseS=30)
    assert await commit(world, id, crashed.token, crashed.events[0]["cursor"]) is None
    assert (await pull(world, id, later(world, 29))).code == "LEASE_TAKEN"
    again = await pull(world, id, later(world, 31))
    assert again.ids == crashed.ids[1:]
    assert await commit(world, id, crashed.token, crashed.cursor) == "LEASE_LOST"
    assert (await pull(world, id, token=crashed.token)).code == "LEASE_LOST"
    assert await commit(world, id, again.token, again.cursor) is None


async def test_of_workers_that_pull_at_once_one_gets_the_lease(world: World) -> None:
    id = await subscribe(world)
    answers = await asyncio.gather(*(pull(world, id, holder=f"worker {number}") for number in range(6)))
    assert sorted(str(answer.code) for answer in answers) == ["LEASE_TAKEN"] * 5 + ["None"]


async def test_a_cursor_moves_forward_to_what_was_handed_out(world: World) -> None:
    id = await subscribe(world, kinds=["order.created"])
    for _ in range(3):
        await world.order()
    await place(world)
    handed = await pull(world, id, first=2)
    start = (await shown(world, id))["cursor"]
    one, two = (event["cursor"] for event in handed.events)
    assert await commit(world, id, handed.token, two) is None
    assert await commit(world, id, handed.token, one) == "CURSOR_BEHIND"
    assert await commit(world, id, handed.token, start) == "CURSOR_BEHIND"
    head = await world.database.fetchrow("SELECT epoch, position, event_id FROM feed")
    assert await commit(world, id, handed.token, cursors.Cursor(*head).text()) == "CURSOR_AHEAD"
    assert await commit(world, id, handed.token, "evc_nonsense \x00") == "CURSOR_INVALID"
    other = two[:-1] + ("0" if two[-1] != "0" else "1")
    assert await commit(world, id, handed.token, other) == "CURSOR_OF_ANOTHER_HISTORY"


async def test_a_lost_cursor_says_where_to_go_on(world: World) -> None:
    id = await subscribe(world)
    gone = cursors.Cursor(1, 10**9, uuid_of(id)).text()
    await world.database.execute("UPDATE event_subscriptions SET cursor = $2 WHERE id = $1", uuid_of(id), gone)
    assert (await pull(world, id)).code == "CURSOR_OF_ANOTHER_HISTORY"
    answer = await world.do("subscriptionPull", "INTEGRATION", id=id)
    snapshot = answer.errors[0]["extensions"]["snapshotCursor"]
    assert (await world.do("subscriptionSeek", "INTEGRATION", id=id, cursor=snapshot)).code is None
    assert (await pull(world, id)).code is None


async def test_seek_goes_anywhere_and_ends_the_lease(world: World) -> None:
    id = await subscribe(world, kinds=["customer.created"])
    made = [(await world.do("customerCreate", name=f"Acme {number}")).done["id"] for number in range(2)]
    await place(world)
    handed = await pull(world, id)
    assert len(handed.events) == len(made)
    assert (await world.do("subscriptionSeek", "INTEGRATION", id=id, to="END")).code is None
    assert await commit(world, id, handed.token, handed.cursor) == "LEASE_LOST"
    assert (await pull(world, id)).events == []
    assert (await world.do("subscriptionSeek", "INTEGRATION", id=id, to="START")).code is None
    everything = await pull(world, id)
    assert everything.ids[-2:] == handed.ids
    one = handed.events[0]["cursor"]
    assert (await world.do("subscriptionSeek", "INTEGRATION", id=id, cursor=one)).code is None
    assert (await pull(world, id)).ids == handed.ids[1:]
    both = await world.do("subscriptionSeek", "INTEGRATION", id=id, cursor=one, to="END")
    assert (both.code, both.field) == ("BAD_USER_INPUT", "cursor")
    assert (await world.told(id)).count("eventSubscription.cursorMoved") == 3


async def test_a_released_lease_is_free_at_once(world: World) -> None:
    id = await subscribe(world)
    first = await pull(world, id)
    assert (await world.do("subscriptionRelease", "INTEGRATION", id=id, token=first.token)).code is None
    assert (await world.do("subscriptionRelease", "INTEGRATION", id=id, token=first.token)).code == "LEASE_LOST"
    assert (await pull(world, id)).code is None


async def test_fields_and_filter_hold_back(world: World) -> None:
    id = await subscribe(
        world,
        kinds=["customer.updated", "order.*"],
        fields=["name", "number"],
        filter={"kind": {"eq": "customer.updated"}},
    )
    customer = await world.customer()
    await world.do("customerUpdate", id=customer, notes="not named")
    await world.do("customerUpdate", id=customer, name="named")
    await world.order()
    await place(world)
    handed = await pull(world, id)
    assert handed.kinds == ["customer.updated"]
    assert not handed.more


async def test_where_little_counts_a_pull_says_that_there_is_more(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pulls, "WIDTH", 3)
    id = await subscribe(world, kinds=["team.created"])
    for number in range(4):
        await world.do("customerCreate", name=f"Acme {number}")
    await world.do("teamCreate", name="Found")
    await place(world)
    first = await pull(world, id)
    assert (first.events, first.more) == ([], True)
    assert await commit(world, id, first.token, first.cursor) is None
    second = await pull(world, id, token=first.token)
    assert second.kinds == ["team.created"]


@pytest.mark.parametrize(
    ("given", "field"),
    [({"first": 0}, "first"), ({"first": 101}, "first"), ({"leaseS": 0}, "leaseS"), ({"leaseS": 3601}, "leaseS")],
)
async def test_a_pull_has_bounds(world: World, given: dict[str, int], field: str) -> None:
    answer = await world.do("subscriptionPull", "INTEGRATION", id=await subscribe(world), **given)
    assert (answer.code, answer.field) == ("BAD_USER_INPUT", field)


async def test_one_that_is_switched_off_or_deleted_delivers_nothing(world: World) -> None:
    id = await subscribe(world)
    assert (await world.do("subscriptionUpdate", "INTEGRATION", id=id, active=False)).code is None
    assert (await pull(world, id)).code == "ILLEGAL_TRANSITION"
    assert (await world.do("subscriptionUpdate", "INTEGRATION", id=id, active=True)).code is None
    held = await pull(world, id)
    assert (await world.do("subscriptionDelete", "INTEGRATION", id=id)).code is None
    assert (await pull(world, id)).code == "ILLEGAL_TRANSITION"
    assert await commit(world, id, held.token, held.cursor) == "ILLEGAL_TRANSITION"


@pytest.mark.parametrize("seed", range(4))
async def test_whatever_workers_do_nothing_is_lost_and_no_two_hold_the_lease(world: World, seed: int) -> None:
    """Workers pull, commit some of it, stop without a word, come back; what was committed is each event once, in order."""
    dice = Random(seed)
    id = await subscribe(world, kinds=["customer.created"])
    wanted = []
    for number in range(12):
        wanted.append((await world.do("customerCreate", name=f"Seed {seed} {number}")).done["id"])
    await place(world)
    now, held_until, holder = 0, -1, ""
    committed: list[str] = []
    tokens: dict[str, tuple[str, list[dict[str, str]]]] = {}
    for _ in range(60):
        now += dice.choice((0, 1, 7))
        worker = dice.choice("abc")
        token, events = tokens.get(worker, ("", []))
        if dice.random() < 0.5 and events:
            upto = dice.randrange(len(events))
            code = await commit(world, id, token, events[upto]["cursor"], later(world, now))
            assert (code is None) == (holder == worker), code
            if code is None:
                committed += [event["id"] for event in events[: upto + 1]]
                tokens[worker] = (token, events[upto + 1 :])
            continue
        mine = {"token": token} if token and dice.random() < 0.5 else {}
        handed = await pull(world, id, later(world, now), first=dice.randint(1, 4), leaseS=5, **mine)
        if handed.code is None:
            assert (mine and holder == worker) or held_until <= now
            tokens[worker], holder, held_until = (handed.token, handed.events), worker, now + 5
        else:
            assert handed.code == ("LEASE_LOST" if mine else "LEASE_TAKEN")
            assert holder != worker if mine else held_until > now
    while (rest := await pull(world, id, later(world, now := now + 10))).events:
        committed += rest.ids
        assert await commit(world, id, rest.token, rest.cursor, later(world, now)) is None
    assert committed == sorted(set(committed))
    assert len(committed) == len(wanted)
