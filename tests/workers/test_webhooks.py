"""Webhooks as they are sent: to real receivers, by real dispatchers; what is tried again, what waits, what is given up."""

from __future__ import annotations

import asyncio
import ssl
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
import pytest_asyncio

from crmgql import db
from crmgql.config import Settings
from crmgql.dev import embedded
from crmgql.domain.streams import subscriptions
from crmgql.domain.webhooks import attempts, dispatching, replays, retries
from crmgql.domain.webhooks.endpoints import _new_key
from crmgql.domain.webhooks.keys import KEYS
from crmgql.errors import BadUserInput, NotFound
from crmgql.events import announcements, outbox, positions
from crmgql.events.cursors import START, Cursor, CursorInvalid, CursorOfAnotherHistory
from crmgql.events.feed import Feed
from crmgql.events.outbox import Entry
from crmgql.models.names import api_id
from crmgql.outbound.client import Client
from crmgql.outbound.targets import Reach, networks
from crmgql.records.records import Act
from crmgql.schema import build
from crmgql.viewer import Viewer, Who
from crmgql.workers import couriers, sources
from crmgql.workers.couriers import Courier
from crmgql.workers.dispatcher import Dispatcher
from crmgql.workers.failures import Failures
from crmgql.workers.rings import client
from crmgql.workers.sources import Shared
from tests.conftest import NOW, viewer
from tests.domain.work import insert, user
from tests.receiver import Got, Receiver, Said, receiving

SECRET = "a secret of 32 bytes or more, for tests"


class Shop:
    """A company that records events and sends them; its time goes on only when a test says so."""

    def __init__(self, crm: db.Database, database: asyncpg.Connection, owner: UUID) -> None:
        self.crm = crm
        self.database = database
        self.owner = owner
        self.now = NOW
        self.verdicts: Counter[str] = Counter()
        self.connect = partial(Client, Reach(networks("127.0.0.0/8")), total_s=2, trust=ssl.create_default_context())

    def clock(self) -> datetime:
        return self.now

    async def registered(self) -> Any:
        return build.engine(self.crm, Settings(log_level="error")).registered

    async def customer(self) -> UUID:
        return await insert(self.database, "customers", name="Acme", currency="EUR")

    async def happen(self, *customers: UUID) -> list[str]:
        """An event about each customer, placed in the feed; their ids."""
        entries = [
            Entry("customer.updated", ("Customer", id), id, {"name": ("A", "B")}, {"version": 2}) for id in customers
        ]
        async with self.crm.transaction() as tx:
            await outbox.record_many(tx, viewer(self.owner, "ADMIN"), entries)
        await positions.place(self.database)
        rows = await self.database.fetch(
            "SELECT event_id FROM event_positions ORDER BY position DESC LIMIT $1", len(entries)
        )
        return [api_id("Event", row["event_id"]) for row in reversed(rows)]

    async def endpoint(self, url: str, **values: Any) -> UUID:
        given = {
            "url": url,
            "api_version": "2026-11",
            "status": "ACTIVE",
            "verified_at": NOW,
            "owner_id": self.owner,
            "cursor": (await positions.head(self.database)).text(),
            **_new_key(),
            **values,
        }
        return await insert(self.database, "webhook_endpoints", **given)

    async def take(self) -> list[Courier]:
        """Couriers of another process for all endpoints that have something to send."""
        holder = uuid4()
        async with self.crm.connection() as connection:
            ids = await dispatching.take(connection, holder, now=self.now, limit=100)
        shared = Shared(
            self.crm, self.connect, Feed(self.crm, None), holder, self.clock, self.registered, self.verdicts
        )
        return [Courier(shared, id, leased_at=self.now) for id in ids]

    async def send(self) -> int:
        """Sends until nothing can be sent now; how many were accepted."""
        before = self.verdicts["ACCEPTED"]
        while taken := await self.take():
            await asyncio.gather(*(courier.run() for courier in taken))
        return self.verdicts["ACCEPTED"] - before

    async def row(self, id: UUID) -> Any:
        return await self.database.fetchrow("SELECT * FROM webhook_endpoints WHERE id = $1", id)

    async def deliveries(self, *columns: str) -> list[Any]:
        listed = ", ".join(columns or ("status",))
        rows = await self.database.fetch(f"SELECT {listed} FROM webhook_deliveries ORDER BY position")
        return [tuple(row) if len(columns) > 1 else row[0] for row in rows]

    async def wait_and_send(self, **times: float) -> int:
        self.now += timedelta(**times)
        return await self.send()


@pytest_asyncio.fixture
async def shop(crm: db.Database, database: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch) -> Shop:
    assert build.built()
    KEYS.use(SECRET)
    monkeypatch.setattr(couriers, "IDLE_S", 0.02)
    monkeypatch.setattr(retries, "JITTER", 0.0)
    return Shop(crm, database, await user(database, roles=["ADMIN"]))


@pytest_asyncio.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as opened:
        yield opened


def ids(receiver: Receiver) -> list[str]:
    return [got.id for got in receiver.got]


def refusing(*bad: str, status: int = 500, **headers: str) -> Any:
    """Answers that refuse these messages, or all."""
    return lambda got: Said(status, b"no", headers) if not bad or got.id in bad else Said()


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
    about = {"subject": {"type": "Customer", "id": customer}, "customerId": customer, "actorId": actor}
    assert thin.json == {
        "id": event,
        "type": "customer.updated",
        "version": 1,
        "timestamp": NOW.isoformat(),
        "cursor": (await positions.head(shop.database)).text(),
        "isLast": True,
        "data": about,
    }
    assert whole.json == {**thin.json, "data": {"changed": ["name"], **about, "payload": {"version": 2}}}
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
        return await subscriptions.create(act, await shop.registered(), name="S", document=DOCUMENT, **given)


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
