"""Webhooks as they are sent: to real receivers, by real dispatchers; what is logged, replayed and purged."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from crmgql.config import Settings
from crmgql.dev import embedded
from crmgql.domain.streams import subscriptions
from crmgql.domain.webhooks import attempts, dispatching, replays
from crmgql.domain.webhooks.endpoints import _new_key
from crmgql.domain.webhooks.keys import KEYS
from crmgql.errors import BadUserInput, NotFound
from crmgql.events import announcements, positions
from crmgql.events.cursors import START, Cursor, CursorInvalid, CursorOfAnotherHistory
from crmgql.models.names import api_id
from crmgql.records.records import Act
from crmgql.viewer import Viewer, Who
from crmgql.workers import couriers, sources
from crmgql.workers.dispatcher import Dispatcher
from crmgql.workers.failures import Failures
from crmgql.workers.rings import client
from tests.conftest import NOW
from tests.domain.work import insert, user
from tests.receiver import Got, Receiver, Said, receiving
from tests.workers.webhook_shop import Shop, ids, refusing

ORDERS = pytest.mark.parametrize("order_by", ["ENDPOINT", "CUSTOMER", "SUBJECT"])


@ORDERS
async def test_every_event_once_and_in_order(shop: Shop, receiver: Receiver, order_by: str) -> None:
    ann, bob = await shop.customer(), await shop.customer()
    before = await shop.happen(ann)
    id = await shop.endpoint(receiver.url, order_by=order_by)
    events = await shop.happen(ann, bob, ann) + await shop.happen(bob)
    assert await shop.send() == 4
    assert sorted(ids(receiver)) == sorted(events)
    assert before[0] not in ids(receiver)
    for customer in (ann, bob):
        named = [got.id for got in receiver.got if got.json["data"]["customerId"] == api_id("Customer", customer)]
        assert named == [event for event in events if event in named]
    assert await shop.deliveries() == []
    row = await shop.row(id)
    assert row["cursor"] == (await positions.head(shop.database)).text()
    assert (row["lease_by"], row["failures"], row["delivered_at"]) == (None, 0, NOW)
    assert await shop.take() == []


async def test_what_a_request_says(shop: Shop, receiver: Receiver) -> None:
    ann = await shop.customer()
    await shop.endpoint(receiver.url)
    await shop.endpoint(receiver.url, payload="THIN")
    (event,) = await shop.happen(ann)
    await shop.send()
    whole, thin = sorted(receiver.got, key=lambda got: -len(got.body))
    customer, actor = api_id("Customer", ann), api_id("User", shop.owner)
    subject = {"type": "Customer", "id": customer}
    about = {"sight": "SEEN", "subject": subject, "customerId": customer, "actorId": actor}
    assert thin.json == {
        "id": event,
        "type": "customer.updated",
        "version": 1,
        "timestamp": NOW.isoformat(),
        "cursor": (await positions.head(shop.database)).text(),
        "isLast": True,
        "data": about,
    }
    whole_data = {"changed": ["name"], **about, "payload": {"version": 2}}
    assert whole.json == {**thin.json, "data": whole_data}
    assert whole.headers["content-type"] == "application/json"


async def test_only_what_was_asked_for(shop: Shop, receiver: Receiver) -> None:
    ann = await shop.customer()
    id = await shop.endpoint(receiver.url, kinds=["order.*"])
    await shop.endpoint(receiver.url, kinds=["customer.*"], fields=["website"])
    await shop.endpoint(receiver.url, kinds=["customer.*"], fields=["website", "name"], payload="THIN")
    events = await shop.happen(ann)
    assert await shop.send() == 1
    assert ids(receiver) == events
    assert (await shop.row(id))["cursor"] == (await positions.head(shop.database)).text()


async def test_what_the_owner_may_see_now(shop: Shop, receiver: Receiver) -> None:
    """What others do: a subscriber keeps getting records after a right was taken away."""
    key = await insert(
        shop.database, "api_keys", user_id=shop.owner, name="k", hint="k", key_hash="k", scopes=["orders:read"]
    )
    await shop.endpoint(receiver.url, api_key_id=key)
    seller = await user(shop.database, roles=["INTEGRATION"])
    other = await shop.endpoint(receiver.url, owner_id=seller)
    ann = await shop.customer()
    events = await shop.happen(ann)
    assert await shop.send() == 1
    await shop.database.execute("UPDATE users SET roles = '{SELLER}' WHERE id = $1", seller)
    await shop.happen(ann)
    assert await shop.send() == 0
    assert ids(receiver) == events
    await shop.database.execute("UPDATE users SET active = false WHERE id = $1", seller)
    await shop.database.execute("UPDATE api_keys SET revoked_at = $1", NOW)
    await shop.happen(ann)
    assert await shop.send() == 0
    assert (await shop.row(other))["status_reason"] == "Its owner is not active any more."
    statuses = await shop.database.fetch("SELECT status FROM webhook_endpoints")
    assert {row["status"] for row in statuses} == {"DISABLED"}


async def test_a_changed_url_counts_from_the_next_attempt_on(shop: Shop, receiver: Receiver) -> None:
    """What others do: a changed URL stops everything, or goes on with the old one for ever."""
    ann = await shop.customer()
    id = await shop.endpoint(receiver.url, order_by="CUSTOMER")
    event, after = await shop.happen(ann, ann)
    receiver.answer = refusing()
    await shop.send()
    async with receiving() as other:
        new = _new_key()
        await shop.database.execute(
            "UPDATE webhook_endpoints SET version = version + 1, url = $2, key_salt = $3, public_key = $4 WHERE id = $1",
            id,
            other.url,
            *new.values(),
        )
        assert await shop.wait_and_send(hours=1) == 2
        assert ids(other) == [event, after]


async def test_rotation_signs_with_both_for_a_while(shop: Shop, receiver: Receiver) -> None:
    ann, old = await shop.customer(), _new_key()
    await shop.endpoint(
        receiver.url,
        old_key_salt=old["key_salt"],
        old_public_key=old["public_key"],
        old_key_until=NOW + timedelta(hours=1),
    )
    for hours in (0, 2):
        await shop.happen(ann)
        await shop.wait_and_send(hours=hours)
    assert [len(got.headers["webhook-signature"].split(" ")) for got in receiver.got] == [2, 1]


async def test_another_secret_key_of_the_installation_signs_nothing_wrongly(shop: Shop, receiver: Receiver) -> None:
    id = await shop.endpoint(receiver.url)
    await shop.happen(await shop.customer())
    KEYS.use("another secret of 32 bytes or more, for tests")
    assert await shop.send() == 0
    assert receiver.got == []
    assert "CRMGQL_SECRET_KEY" in (await shop.row(id))["status_reason"]


async def test_a_redirect_to_a_private_address_is_not_followed(shop: Shop, receiver: Receiver) -> None:
    async with receiving() as inside:
        receiver.answer = refusing(status=302, Location=inside.url)
        await shop.endpoint(receiver.url)
        await shop.happen(await shop.customer())
        await shop.send()
        assert len(receiver.got) == 1
        assert inside.connections == 0
    assert await shop.deliveries() == ["RETRY"]


async def test_a_lost_history_disables_it(shop: Shop, receiver: Receiver) -> None:
    await shop.happen(await shop.customer())
    cursor = (await positions.head(shop.database)).text()
    id = await shop.endpoint(receiver.url, cursor=cursor[:-4] + "0000")
    await shop.happen(await shop.customer())
    assert await shop.send() == 0
    assert (await shop.row(id))["status"] == "DISABLED"


async def test_a_pause_counts_within_a_moment(shop: Shop, receiver: Receiver) -> None:
    id = await shop.endpoint(receiver.url)

    async def pause(got: Got) -> Said:
        await shop.database.execute("UPDATE webhook_endpoints SET status = 'PAUSED' WHERE id = $1", id)
        sender.source._looked -= sources.FRESH_S
        return Said()

    receiver.answer = pause
    events = await shop.happen(await shop.customer(), await shop.customer())
    (sender,) = await shop.take()
    await sender.run()
    assert len(receiver.got) == 1
    assert await shop.send() == 0
    await shop.database.execute("UPDATE webhook_endpoints SET status = 'ACTIVE' WHERE id = $1", id)
    receiver.answer = refusing("nothing")
    assert await shop.send() == 1
    assert ids(receiver) == events


async def test_many_events_are_few_in_memory(shop: Shop, receiver: Receiver) -> None:
    """What others do: a burst of import events makes the process grow without end."""
    ann = await shop.customer()
    await shop.endpoint(receiver.url)
    await shop.happen(*[ann] * 400)
    (courier,) = await shop.take()
    most = 0

    def watch(got: Got) -> Said:
        nonlocal most
        most = max(most, len(courier.lines))
        return Said()

    receiver.answer = watch
    await courier.run()
    assert len(receiver.got) == 400
    assert most <= couriers.BUFFER + sources.PAGE


async def test_so_many_requests_at_once_and_no_more(shop: Shop, receiver: Receiver) -> None:
    """Each waits until as many are there as may be: with fewer at once this would not end, with more it is seen."""
    customers = [await shop.customer() for _ in range(2 * couriers.AT_ONCE)]
    await shop.endpoint(receiver.url, order_by="CUSTOMER")
    await shop.happen(*customers)
    open_ones = most = 0
    full = asyncio.Event()

    async def wait(got: Got) -> Said:
        nonlocal open_ones, most
        open_ones += 1
        most = max(most, open_ones)
        if most == couriers.AT_ONCE:
            full.set()
        await full.wait()
        await asyncio.sleep(0.05)
        open_ones -= 1
        return Said()

    receiver.answer = wait
    assert await shop.send() == len(customers)
    assert most == couriers.AT_ONCE


@pytest.mark.parametrize("most", [couriers.MOST_UNWRITTEN, 60])
async def test_others_are_sent_while_outcomes_are_written(
    shop: Shop, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    """A database that is slow to commit does not hold up the receiver; what waits to be written stays bounded."""
    monkeypatch.setattr(couriers, "FLUSH_AT", 20)
    monkeypatch.setattr(couriers, "MOST_UNWRITTEN", most)
    ann, bob = await shop.customer(), await shop.customer()
    await shop.endpoint(receiver.url, order_by="CUSTOMER")
    events = await shop.happen(*[ann, bob] * 80)
    advance, came = dispatching.advance, []

    async def slow(*given: Any, **more: Any) -> None:
        if not came:
            await receiver.until(lambda got: len(got) > most or len(got) == len(events))
            await asyncio.sleep(0.3)
            came.append(len(receiver.got))
        await advance(*given, **more)

    monkeypatch.setattr(dispatching, "advance", slow)
    assert await shop.send() == len(events)
    assert sorted(ids(receiver)) == sorted(events)
    assert came[0] == len(events) if most > len(events) else most < came[0] < len(events)


async def test_the_log_says_what_was_sent_and_answered(shop: Shop, receiver: Receiver) -> None:
    await shop.endpoint(receiver.url)
    (event,) = await shop.happen(await shop.customer())
    receiver.answer = refusing(status=418, Server="teapot")
    await shop.send()
    (row,) = await shop.database.fetch("SELECT * FROM webhook_attempts")
    assert (row["message_id"], row["kind"], row["number"], row["accepted"]) == (event, "customer.updated", 1, False)
    assert (row["response_status"], row["response_body"]) == (418, "no")
    assert "teapot" in row["response_headers"]
    assert row["latency_ms"] >= 0


async def replayed(shop: Shop, **what: Any) -> int:
    """Asks as the owner for a replay of the only endpoint; how many will come again."""
    id = await shop.database.fetchval("SELECT id FROM webhook_endpoints")
    async with shop.crm.transaction() as tx:
        act = Act(tx, Viewer(shop.owner, Who(frozenset({"ADMIN"})), clock=shop.clock))
        return (await replays.replay(act, id=id, **what))[1]


async def test_a_replay_of_some_of_a_range_and_of_dead_letters(shop: Shop, receiver: Receiver) -> None:
    ann, bob = await shop.customer(), await shop.customer()
    await shop.endpoint(receiver.url, order_by="CUSTOMER")
    events = await shop.happen(ann, bob, ann, bob)
    await shop.send()
    cursors = [got.json["cursor"] for got in receiver.got]
    first = {got.id: got.body for got in receiver.got}
    receiver.got.clear()
    assert await replayed(shop, events=[UUID(hex=events[1][4:])]) == 1
    assert await shop.send() == 1
    assert [(got.id, got.body) for got in receiver.got] == [(events[1], first[events[1]])]
    receiver.got.clear()
    assert await replayed(shop, after=min(cursors)) == 3
    assert await replayed(shop, after=min(cursors), until=sorted(cursors)[1]) == 1
    assert await shop.send() == 3
    assert sorted(ids(receiver)) == sorted(events[1:])
    await shop.database.execute(
        "UPDATE webhook_deliveries SET status = 'DEAD' WHERE message_id = ANY ($1)", [events[1], events[3]]
    )
    receiver.got.clear()
    assert await replayed(shop, dead=True) == 2
    assert await shop.send() == 2
    assert ids(receiver) == [events[1], events[3]]
    assert set(await shop.deliveries()) == {"DELIVERED"}


@pytest.mark.parametrize(
    ("what", "error"),
    [
        ({}, BadUserInput),
        ({"dead": True, "after": START.text()}, BadUserInput),
        ({"dead": True, "until": START.text()}, BadUserInput),
        ({"events": []}, BadUserInput),
        ({"events": [UUID(int=5)]}, NotFound),
        ({"after": "nonsense"}, CursorInvalid),
        ({"after": Cursor(0, 9, UUID(int=1)).text()}, CursorOfAnotherHistory),
    ],
)
async def test_what_can_not_be_replayed(shop: Shop, receiver: Receiver, what: dict[str, Any], error: Any) -> None:
    await shop.endpoint(receiver.url)
    with pytest.raises(error):
        await replayed(shop, **what)
    assert await shop.deliveries() == []


async def test_a_replay_comes_while_its_endpoint_is_busy(shop: Shop, receiver: Receiver) -> None:
    ann = await shop.customer()
    await shop.endpoint(receiver.url)
    (old,) = await shop.happen(ann)
    await shop.send()
    new = await shop.happen(*[ann] * 5)
    (sender,) = await shop.take()

    async def ask(got: Got) -> Said:
        if got.id == new[1]:
            await replayed(shop, events=[UUID(hex=old[4:])])
            sender.source._looked -= sources.FRESH_S
        return Said()

    receiver.answer = ask
    await sender.run()
    assert ids(receiver) == [old, *new[:2]]
    assert await shop.send() == 4
    assert sorted(ids(receiver)[3:]) == sorted([old, *new[2:]])


async def test_old_attempts_and_deliveries_are_purged(shop: Shop, receiver: Receiver) -> None:
    ann = await shop.customer()
    await shop.endpoint(receiver.url)
    await shop.happen(ann)
    receiver.answer = refusing()
    await shop.send()
    receiver.answer = refusing("nothing")
    await shop.wait_and_send(hours=1)
    async with shop.crm.transaction() as tx:
        assert await attempts.purge(tx, before=NOW, limit=10) == 0
        assert await attempts.purge_deliveries(tx, before=NOW, limit=10) == 0
        assert await attempts.purge(tx, before=datetime.max.replace(tzinfo=UTC), limit=10) == 2
        assert await attempts.purge_deliveries(tx, before=datetime.max.replace(tzinfo=UTC), limit=10) == 1


DOCUMENT = "fragment Payload on Event { kind subject { id ... on Customer { name } } }"


async def subscription(shop: Shop, **given: Any) -> UUID:
    async with shop.crm.transaction() as tx:
        act = Act(tx, Viewer(shop.owner, Who(frozenset({"ADMIN"})), clock=shop.clock))
        return await subscriptions.create(act, await shop.registered(), **{"name": "S", "document": DOCUMENT, **given})


async def test_a_subscription_says_what_is_sent(shop: Shop, receiver: Receiver) -> None:
    ann, bob = await shop.customer(), await shop.customer()
    kept = await subscription(shop, kinds=["customer.*"], filter={"customer": {"id": {"eq": api_id("Customer", ann)}}})
    id = await shop.endpoint(receiver.url, subscription_id=kept)
    events = await shop.happen(ann, bob)
    assert await shop.send() == 1
    (got,) = receiver.got
    assert got.id == events[0]
    about = {"id": api_id("Customer", ann), "name": "Acme"}
    assert got.json["data"]["payload"] == {"kind": "customer.updated", "subject": about}
    assert (await shop.row(id))["cursor"] == (await positions.head(shop.database)).text()
    await shop.database.execute("UPDATE event_subscriptions SET active = false")
    await shop.happen(ann)
    assert await shop.send() == 0
    assert "switched off" in (await shop.row(id))["status_reason"]


async def test_a_dispatcher_sends_at_once_and_gives_back_what_it_holds(
    shop: Shop, receiver: Receiver, servers: embedded.Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(couriers, "IDLE_S", 30)
    ann, valkey = await shop.customer(), client(servers.redis_url)
    id = await shop.endpoint(receiver.url)
    first = await shop.happen(ann)
    dispatcher = Dispatcher(shop.crm, Settings(webhook_networks="127.0.0.0/8"), valkey, Failures(), shop.clock)
    running = asyncio.create_task(dispatcher.run())
    try:
        dispatcher.wake()
        await receiver.until(lambda got: len(got) == 1)
        assert (await shop.row(id))["lease_by"] is not None
        for number in range(2, 5):
            first += await shop.happen(ann)
            await announcements.publish(valkey, number)
            await receiver.until(lambda got, number=number: len(got) == number)  # type: ignore[misc]
        assert ids(receiver) == first
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await dispatcher.stop(5)
        await valkey.aclose(close_connection_pool=True)
    row = await shop.row(id)
    assert (row["lease_by"], row["cursor"]) == (None, (await positions.head(shop.database)).text())
    names = {sample.name: sample.value for metric in dispatcher.metrics() for sample in metric.samples}
    assert names["crmgql_webhook_requests_total"] == 4
