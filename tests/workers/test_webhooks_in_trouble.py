"""Webhooks that are not accepted at once: what is tried again, what waits, what is given up, and processes that die."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from crmgql.domain.webhooks import dispatching, retries
from crmgql.events.cursors import START
from crmgql.workers.couriers import Courier
from tests.conftest import NOW
from tests.domain.work import user
from tests.receiver import Got, Receiver, Said, receiving
from tests.workers.webhook_shop import Shop, ids, refusing


async def test_one_that_fails_holds_up_its_customer_alone(shop: Shop, receiver: Receiver) -> None:
    ann, bob = await shop.customer(), await shop.customer()
    await shop.endpoint(receiver.url, order_by="CUSTOMER")
    a1, b1, a2, b2 = await shop.happen(ann, bob, ann, bob)
    receiver.answer = refusing(a1)
    assert await shop.send() == 2
    assert ids(receiver).count(a1) == 1
    assert a2 not in ids(receiver)
    assert await shop.deliveries("status", "attempts") == [("RETRY", 1), ("WAITING", 0)]
    (a3,) = await shop.happen(ann)
    assert await shop.send() == 0
    assert await shop.deliveries() == ["RETRY", "WAITING", "WAITING"]
    receiver.answer = refusing("nothing")
    assert await shop.wait_and_send(seconds=4) == 0
    assert await shop.wait_and_send(seconds=2) == 3
    assert ids(receiver)[-3:] == [a1, a2, a3]
    assert await shop.deliveries("status", "attempts") == [("DELIVERED", 1), ("DELIVERED", 0), ("DELIVERED", 0)]
    (a4,) = await shop.happen(ann)
    assert await shop.send() == 1
    assert ids(receiver)[-1] == a4
    assert {b1, b2} < set(ids(receiver))


async def test_a_poison_event_becomes_a_dead_letter(shop: Shop, receiver: Receiver) -> None:
    ann, bob = await shop.customer(), await shop.customer()
    await shop.endpoint(receiver.url, order_by="CUSTOMER")
    poison, after = await shop.happen(ann, ann)
    receiver.answer = refusing(poison)
    for _ in range(retries.POISON):
        await shop.happen(bob)
        await shop.wait_and_send(hours=4)
    assert ids(receiver).count(poison) == retries.POISON
    assert ids(receiver).count(after) == 1
    assert await shop.deliveries("status", "attempts") == [("DEAD", retries.POISON), ("DELIVERED", 0)]


async def test_a_poison_event_where_all_wait_for_one_another(shop: Shop, receiver: Receiver) -> None:
    """The next one is tried in its place: if that is accepted, the receiver is well and the event is what it can't take."""
    ann = await shop.customer()
    id = await shop.endpoint(receiver.url)
    poison, *others = await shop.happen(ann, ann, ann)
    receiver.answer = refusing(poison)
    for _ in range(retries.POISON):
        await shop.wait_and_send(hours=5)
    assert ids(receiver) == [poison] * retries.POISON + others
    assert await shop.deliveries() == ["DEAD"]
    assert (await shop.row(id))["status"] == "ACTIVE"


async def test_a_receiver_that_takes_nothing_loses_nothing(shop: Shop, receiver: Receiver) -> None:
    ann = await shop.customer()
    id = await shop.endpoint(receiver.url)
    events = await shop.happen(ann, ann, ann)
    receiver.answer = refusing()
    for _ in range(retries.POISON + 2):
        await shop.wait_and_send(hours=5)
    receiver.answer = refusing("nothing")
    receiver.got.clear()
    assert await shop.wait_and_send(hours=5) == 3
    assert ids(receiver) == events
    assert (await shop.row(id))["status"] == "ACTIVE"


async def test_a_receiver_that_is_down_for_a_moment_is_not_left_alone_for_hours(shop: Shop, receiver: Receiver) -> None:
    """All the requests that were under way failed, which is one trouble and not many."""
    events = await shop.happen(*[await shop.customer() for _ in range(20)])
    id = await shop.endpoint(receiver.url, order_by="CUSTOMER", cursor=START.text())
    receiver.answer = lambda got: None
    await shop.send()
    assert (await shop.row(id))["failures"] >= retries.BREAKER
    receiver.answer = refusing("nothing")
    receiver.got.clear()
    assert await shop.wait_and_send(seconds=6) == 20
    assert sorted(ids(receiver)) == sorted(events)


async def test_a_server_that_is_away_gets_one_probe(shop: Shop, receiver: Receiver) -> None:
    customers = [await shop.customer() for _ in range(20)]
    async with receiving() as other:
        port = other.port
    id = await shop.endpoint(f"http://127.0.0.1:{port}/hooks", order_by="CUSTOMER", failures=5, failing_since=NOW)
    events = await shop.happen(*customers)
    await shop.send()
    tried = await shop.database.fetch("SELECT error_code FROM webhook_attempts")
    assert [row["error_code"] for row in tried] == ["NOT_CONNECTED"]
    row = await shop.row(id)
    assert row["failures"] == 6
    assert row["retry_at"] > shop.now
    assert await shop.wait_and_send(seconds=1) == 0
    async with receiving(port=port) as back:
        shop.now = row["retry_at"]
        assert await shop.send() == 20
        assert sorted(ids(back)) == sorted(events)
    assert (await shop.row(id))["failures"] == 0


@pytest.mark.parametrize("order_by", ["ENDPOINT", "CUSTOMER"])
@pytest.mark.parametrize("status", [429, 503])
async def test_retry_after_is_heeded(shop: Shop, receiver: Receiver, status: int, order_by: str) -> None:
    ann = await shop.customer()
    id = await shop.endpoint(receiver.url, order_by=order_by)
    events = await shop.happen(ann, ann)
    receiver.answer = refusing(status=status, **{"Retry-After": "3600"})
    await shop.send()
    receiver.answer = refusing("nothing")
    assert (await shop.row(id))["retry_at"] == shop.now + timedelta(hours=1)
    assert await shop.wait_and_send(minutes=59) == 0
    assert len(receiver.got) == 1
    assert await shop.wait_and_send(minutes=1) == 2
    assert ids(receiver)[1:] == events


async def test_gone_is_gone(shop: Shop, receiver: Receiver) -> None:
    administrator = await user(shop.database, roles=["ADMIN"])
    id = await shop.endpoint(receiver.url)
    await shop.happen(await shop.customer(), await shop.customer())
    receiver.answer = refusing(status=410)
    await shop.send()
    assert len(receiver.got) == 1
    row = await shop.row(id)
    assert row["status"] == "DISABLED"
    assert "410" in row["status_reason"]
    told = await shop.database.fetch("SELECT user_id FROM notifications WHERE kind = 'webhookEndpoint.disabled'")
    assert {each["user_id"] for each in told} == {shop.owner, administrator}
    disabled = "webhookEndpoint.disabled"
    assert await shop.database.fetchval("SELECT count(*) FROM events WHERE kind = $1", disabled) == 1
    assert await shop.wait_and_send(hours=100) == 0


async def test_after_72_hours_without_success_it_is_disabled(shop: Shop, receiver: Receiver) -> None:
    id = await shop.endpoint(receiver.url, order_by="CUSTOMER")
    await shop.happen(await shop.customer())
    receiver.answer = refusing()
    await shop.send()
    await shop.wait_and_send(hours=71)
    assert (await shop.row(id))["status"] == "ACTIVE"
    await shop.wait_and_send(hours=5)
    assert (await shop.row(id))["status"] == "DISABLED"


async def test_a_slow_endpoint_holds_up_no_other(shop: Shop, receiver: Receiver) -> None:
    async with receiving() as slow:
        asked, finish = asyncio.Event(), asyncio.Event()

        async def wait(got: Got) -> Said:
            asked.set()
            await finish.wait()
            return Said()

        slow.answer = wait
        await shop.endpoint(slow.url)
        await shop.endpoint(receiver.url)
        events = await shop.happen(*[await shop.customer() for _ in range(30)])
        sending = asyncio.create_task(shop.send())
        await receiver.until(lambda got: len(got) == 30)
        await asyncio.wait_for(asked.wait(), 10)
        assert len(slow.got) == 1
        finish.set()
        await sending
        assert ids(slow) == ids(receiver) == events


async def test_two_dispatchers_at_once_send_each_once(shop: Shop, receiver: Receiver) -> None:
    await shop.endpoint(receiver.url)
    events = await shop.happen(*[await shop.customer() for _ in range(10)])
    await asyncio.gather(*(shop.send() for _ in range(4)))
    assert ids(receiver) == events


async def test_a_lease_of_a_killed_process_runs_out(shop: Shop, receiver: Receiver) -> None:
    ann = await shop.customer()
    await shop.endpoint(receiver.url, order_by="CUSTOMER")
    events = await shop.happen(ann, ann)
    receiver.answer = refusing(events[0])
    (killed,) = await shop.take()
    with pytest.raises(RuntimeError):
        await crash(killed)
    assert await shop.send() == 0  # it is leased
    receiver.answer = refusing("nothing")
    assert await shop.wait_and_send(seconds=11) == 2
    assert ids(receiver)[-2:] == events


async def crash(courier: Courier) -> None:
    """It works, and is gone before it could give its endpoint back."""

    async def gone() -> None:
        await courier._flush()
        raise RuntimeError("killed")

    courier._close = gone  # type: ignore[method-assign]
    await courier.run()


async def test_who_slept_through_its_lease_sends_nothing(shop: Shop, receiver: Receiver) -> None:
    """A process that was stopped for 40 s must not send what others have long since sent, in between later ones."""
    ann = await shop.customer()
    await shop.endpoint(receiver.url)
    events = await shop.happen(ann)
    (asleep,) = await shop.take()
    await asleep._open()
    await asleep._read_on()
    assert await shop.wait_and_send(seconds=40) == 1
    with pytest.raises(dispatching.LeaseLost):
        await asleep._start()
    assert ids(receiver) == events
