"""Subscriptions: what they deliver, to whom, from where on, and what ends or refuses them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from functools import partialmethod
from typing import Any
from uuid import UUID, uuid4

import pytest
import pytest_asyncio

from crmgql.access import sights
from crmgql.engine import channels, live_queries
from crmgql.engine.operations import Rejected, Request
from crmgql.engine.polls import Poll
from crmgql.engine.readings import EventReader, Reads
from crmgql.engine.subscriptions import Stream
from crmgql.errors import Unauthenticated
from crmgql.events import feed as feeds
from crmgql.events import outbox, positions
from crmgql.planner.statement import EVENT_IDS
from crmgql.viewer import Viewer, Who, system
from tests.schema.world import ROLES, World, id_of, uuid_of

WAIT_S = 20


@dataclass
class Follower:
    """One subscriber, who may be somebody else by and by."""

    world: World
    viewer: Viewer
    gone: bool = False
    streams: list[Stream] = field(default_factory=list)

    async def who(self) -> Viewer:
        if self.gone:
            raise Unauthenticated("This session has ended: log in again.")
        return self.viewer

    async def open(self, query: str, *, resume: str | None = None, **variables: Any) -> Stream:
        stream = await self.world.engine.subscribe(Request(query, None, variables, resume=resume), self.who)
        self.streams.append(stream)
        return stream


async def one(stream: Stream) -> Any:
    async with asyncio.timeout(WAIT_S):
        return json.loads((await stream.some(1))[0].body)["data"]


async def some(stream: Stream, number: int) -> list[Any]:
    return [next(iter((await one(stream)).values())) for _ in range(number)]


async def nothing(stream: Stream) -> bool:
    """Whether nothing comes, now that all has its place."""
    try:
        async with asyncio.timeout(0.3):
            await stream.some(1)
    except TimeoutError:
        return True
    return False


@pytest_asyncio.fixture
async def following(world: World, monkeypatch) -> AsyncIterator[Any]:
    monkeypatch.setattr(feeds, "LOOK_S", 0.05)
    feed = world.engine.subscriptions.feed = feeds.Feed(world.engine.database, None)
    running = asyncio.create_task(feed.run())
    followers: list[Follower] = []

    def follower(role: str = "ADMIN", **rights: Any) -> Follower:
        followers.append(Follower(world, world.viewer(role, **rights)))
        return followers[-1]

    yield follower
    for each in followers:
        for stream in each.streams:
            await stream.aclose()
    assert not len(world.engine.subscriptions.channels)
    assert not len(world.engine.subscriptions.live_queries)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def place(world: World) -> None:
    """What the relay does."""
    await positions.place(world.database)


async def customer(world: World, owner: str = "SELLER", **given: Any) -> str:
    made = await world.do("customerCreate", **{"name": "Acme", "currency": "EUR", **given})
    await world.database.execute(
        "UPDATE customers SET owner_id = $1 WHERE id = $2", world.people[owner], uuid_of(made.done["id"])
    )
    return str(made.done["id"])


async def rename(world: World, id: str, name: str) -> None:
    assert not (await world.do("customerUpdate", id=id, name=name)).codes
    await place(world)


EVENTS = """subscription($after: Cursor, $kinds: [String!], $where: EventWhere) {
  events(after: $after, kinds: $kinds, where: $where) {
    cursor kind isLast changed actor { id } customer { id name }
    subject { ... on Customer { id name } }
    changes { field before after }
  }
}"""


async def test_a_page_costs_what_is_in_it(world: World, following, monkeypatch) -> None:
    read, widths = EventReader.read, []

    async def counted(self: EventReader, events: Any) -> Any:
        widths.append(len(events))
        return await read(self, events)

    monkeypatch.setattr(EventReader, "read", counted)
    follower = following()
    start = cursor = (await world.engine.subscriptions.following.head()).text()
    for name in "ABCDE":
        await customer(world, name=name)
    await place(world)
    found: list[str] = []
    for _ in range(3):
        request = Request(EVENTS, None, {"kinds": ["customer.created"]})
        polled = await world.engine.poll(request, follower.who, Poll(cursor, 2, 0))
        cursor = polled.end.text()
        found += [json.loads(each.body)["data"]["events"]["subject"]["name"] for each in polled.answers]
        assert polled.more == (len(found) < 5)
    assert (found, widths) == (list("ABCDE"), [2, 2, 1])
    assert cursor > start


async def test_who_takes_events_quickly_has_the_next_read_meanwhile(world: World, following, monkeypatch) -> None:
    read, starts = feeds.Feed.page, []

    async def counted(self: feeds.Feed, after: Any, **given: Any) -> Any:
        starts.append(after.position)
        return await read(self, after, **given | {"width": 1})

    monkeypatch.setattr(feeds.Feed, "page", counted)
    start = await world.engine.subscriptions.following.head()
    for name in "ABCDE":
        await customer(world, name=name)
    await place(world)
    stream = await following().open(EVENTS, after=start.text())
    await some(stream, 2)
    async with asyncio.timeout(WAIT_S):
        while len(starts) < 3:
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.05)
    assert len(starts) == 3, "one page ahead, and no more"
    monkeypatch.setattr(channels, "QUICK_S", 0)
    assert [each["subject"]["name"] for each in await some(stream, 3)] == ["C", "D", "E"]
    assert starts == sorted(starts)


async def test_an_event_comes_with_what_it_changed(world: World, following) -> None:
    id = await customer(world)
    await place(world)
    stream = await following().open(EVENTS)
    await rename(world, id, "Acme SE")
    (event,) = await some(stream, 1)
    assert event["kind"] == "customer.updated"
    assert event["changes"] == [{"field": "name", "before": "Acme", "after": "Acme SE"}]
    assert event["changed"] == ["name"]
    assert event["subject"] == {"id": id, "name": "Acme SE"}
    assert event["customer"]["id"] == id
    assert event["actor"]["id"] == id_of("User", world.people["ADMIN"])
    assert event["isLast"] is True
    assert event["cursor"].startswith("evc_")
    assert stream.position == event["cursor"]


async def test_ids_that_changed_are_as_the_api_writes_them(world: World, following) -> None:
    id = await customer(world)
    await place(world)
    stream = await following().open(EVENTS)
    owner = id_of("User", world.people["STRANGER"])
    assert not (await world.do("customerUpdate", id=id, ownerId=owner)).codes
    await place(world)
    (event,) = await some(stream, 1)
    before = id_of("User", world.people["SELLER"])
    assert {"field": "ownerId", "before": before, "after": owner} in event["changes"]


async def test_a_cursor_resumes_without_a_gap_or_a_double(world: World, following) -> None:
    id = await customer(world)
    await place(world)
    stream = await following().open(EVENTS)
    await rename(world, id, "1")
    (first,) = await some(stream, 1)
    await stream.aclose()
    for number in range(2, 6):
        await rename(world, id, str(number))
    again = await following().open(EVENTS, after=first["cursor"])
    beside = await following().open(EVENTS, resume=first["cursor"])
    await rename(world, id, "6")
    for each in (again, beside):
        assert [event["changes"][0]["after"] for event in await some(each, 5)] == ["2", "3", "4", "5", "6"]


async def test_how_far_it_has_come_is_never_in_the_middle_of_a_transaction(
    world: World, following, monkeypatch
) -> None:
    """Who waits for the rest of a transaction takes such a position for its end."""
    id = await customer(world)
    await place(world)
    start = (await positions.head(world.database)).text()
    async with world.engine.database.transaction() as tx:
        gap = outbox.Entry("gap.recorded", ("Gap", UUID(int=1)), payload={"type": "Order", "reason": "test"})
        renamed = outbox.Entry("customer.updated", ("Customer", uuid_of(id)), uuid_of(id), payload={"version": 2})
        await outbox.record_many(tx, system(), [renamed, gap, renamed, gap])
    await place(world)
    monkeypatch.setattr(feeds.Feed, "page", partialmethod(feeds.Feed.page, width=1))
    person = following()
    told: list[str | None] = []

    async def who() -> Viewer:  # asked before each batch is handed over
        told.extend(stream.position for stream in person.streams)
        return person.viewer

    monkeypatch.setattr(person, "who", who)
    stream = await person.open(EVENTS, kinds=["customer.*"], after=start)
    first, second = await some(stream, 2)
    assert not first["isLast"]
    assert not second["isLast"]
    assert set(told) == {start, first["cursor"]}
    assert stream.position == second["cursor"]
    waiting = asyncio.create_task(one(stream))
    newest = (await positions.head(world.database)).text()
    async with asyncio.timeout(WAIT_S):
        while stream.position != newest:
            await asyncio.sleep(0.01)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)


async def test_kinds_and_conditions_narrow_it(world: World, following) -> None:
    mine, other = await customer(world), await customer(world, name="Other")
    await place(world)
    person = following()
    by_kind = await person.open(EVENTS, kinds=["customer.updated"])
    by_where = await person.open(EVENTS, where={"customer": {"id": {"eq": other}}})
    by_field = await person.open('subscription { events(fields: ["phone"]) { changed } }')
    typed = await person.open("subscription($id: ID!) { customerChanged(id: $id) { kind customer { id } } }", id=other)
    await world.do("ticketOpen", customerId=mine, subject="Broken")
    await rename(world, mine, "A")
    await rename(world, other, "B")
    await world.do("customerUpdate", id=other, phone="+49 30 901820")
    await place(world)
    assert [event["kind"] for event in await some(by_kind, 2)] == ["customer.updated"] * 2
    assert [event["customer"]["id"] for event in await some(by_where, 2)] == [other] * 2
    assert await some(typed, 2) == [{"kind": "customer.updated", "customer": {"id": other}}] * 2
    assert "phone" in (await some(by_field, 1))[0]["changed"]


async def test_each_follows_what_they_may_see(world: World, following) -> None:
    mine, theirs = await customer(world, "SELLER"), await customer(world, "STRANGER")
    await place(world)
    stream = await following("SELLER").open(EVENTS, kinds=["customer.*"])
    await rename(world, theirs, "hidden")
    await rename(world, mine, "shown")
    assert (await some(stream, 1))[0]["subject"] == {"id": mine, "name": "shown"}
    owner = id_of("User", world.people["STRANGER"])
    await world.do("customerUpdate", id=mine, ownerId=owner)
    await rename(world, mine, "gone from sight")
    assert (await some(stream, 1))[0]["subject"] is None
    assert await nothing(stream)


async def test_who_follows_learns_what_comes_into_sight_and_what_leaves_it(world: World, following) -> None:
    id = await customer(world, "SELLER")
    await place(world)
    query = """subscription { customers: events(kinds: ["customer.*"]) {
      sight kind subjectId subjectType payload changed isLast actor { id } customer { id }
      who: subject { __typename ... on Customer { name } } changes { field }
    } }"""
    old, new = await following("SELLER").open(query), await following("STRANGER").open(query)
    every, narrow = await following().open(query), await following("SELLER").open(EVENTS, where={"kind": {"eq": "x"}})
    await world.do("customerUpdate", id=id, ownerId=id_of("User", world.people["STRANGER"]))
    await place(world)
    (left,), (entered,), (seen,) = await some(old, 1), await some(new, 1), await some(every, 1)
    about = {"kind": "customer.assigned", "subjectId": id, "subjectType": "Customer", "isLast": True}
    nothing_else = {"payload": {}, "changed": [], "actor": None, "customer": None, "who": None, "changes": []}
    assert left == {"sight": "LEFT", **about, **nothing_else}
    assert entered["sight"] == "ENTERED"
    assert entered["who"] == {"__typename": "Customer", "name": "Acme"}
    assert seen["sight"] == "SEEN"
    assert await nothing(narrow)
    await rename(world, id, "Acme SE")
    assert (await some(new, 1))[0]["sight"] == "SEEN"
    assert await nothing(old)


async def test_everybodys_sight_can_be_asked_for(world: World) -> None:
    plans = world.engine.plans
    for role in ROLES:
        viewer = world.viewer(role)
        plan = plans.sights(viewer.who)
        await world.database.fetch(plan.sql, *plan.values({EVENT_IDS: [uuid4()]}, viewer))
    assert "ownerId" in sights.deciding(world.viewer("SELLER").who)["Customer"]
    assert "Customer" not in sights.deciding(world.viewer("ADMIN").who)


async def test_fields_that_are_hidden_are_not_among_the_changes(world: World, following) -> None:
    made = await world.do("productCreate", sku="P-1", name="Pump", price={"amount": "10.00", "currency": "EUR"})
    id = made.done["id"]
    await place(world)
    changes = 'subscription { events(kinds: ["product.*"]) { kind changes { field after } } }'
    finance, seller = await following("FINANCE").open(changes), await following("SELLER").open(changes)
    update = {"price": {"amount": "12.00", "currency": "EUR"}, "cost": {"amount": "7.00", "currency": "EUR"}}
    assert not (await world.do("productUpdate", id=id, **update)).codes
    await place(world)
    assert {each["field"] for each in (await some(finance, 1))[0]["changes"]} >= {"price", "cost"}
    assert {each["field"] for each in (await some(seller, 1))[0]["changes"]} == {"price"}


async def test_a_right_that_is_taken_away_stops_the_flow_at_once(world: World, following) -> None:
    id = await customer(world)
    await place(world)
    person = following("ADMIN")
    stream = await person.open(EVENTS)
    waiting = asyncio.create_task(one(stream))
    await asyncio.sleep(0)
    person.viewer = Viewer(person.viewer.user_id, Who(frozenset()), clock=person.viewer.clock)
    await rename(world, id, "unseen")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await waiting


async def test_a_session_that_ended_ends_the_stream(world: World, following) -> None:
    id = await customer(world)
    await place(world)
    person = following()
    stream = await person.open(EVENTS)
    person.gone = True
    await rename(world, id, "unseen")
    with pytest.raises(Rejected) as refused:
        await one(stream)
    assert refused.value.errors[0]["extensions"]["code"] == "UNAUTHENTICATED"


async def test_the_same_document_is_read_once_for_all_with_the_same_rights(
    world: World, following, monkeypatch
) -> None:
    id = await customer(world)
    other = await world.user("ADMIN")
    await place(world)
    people = [following("ADMIN"), following("ADMIN"), following("ADMIN")]
    people[2].viewer = replace(people[2].viewer, user_id=other)  # sees other notifications, and the same customers
    streams = [await person.open(EVENTS) for person in people]
    statements: list[str] = []
    rows = Reads.rows

    async def counted(self: Reads, sql: str, values: list[Any]) -> Any:
        statements.append(sql)
        return await rows(self, sql, values)

    monkeypatch.setattr(Reads, "rows", counted)
    waiting = [asyncio.create_task(some(stream, 3)) for stream in streams]
    for name in "abc":
        assert not (await world.do("customerUpdate", id=id, name=name)).codes
    await place(world)
    assert [[each["changes"][0]["after"] for each in await task] for task in waiting] == [["a", "b", "c"]] * 3
    assert len(statements) == 1


async def test_what_only_its_user_sees_is_read_for_its_user(world: World, following) -> None:
    other = await world.user("ADMIN")
    await place(world)
    one, two = following("ADMIN"), following("ADMIN")
    two.viewer = replace(two.viewer, user_id=other)
    query = 'subscription { events(kinds: ["notification.received"]) { subject { ... on Notification { kind } } } }'
    first, second = await one.open(query), await two.open(query)
    await world.do("leadCreate", name="Ann", email="ann@example.com", ownerId=id_of("User", other))
    await place(world)
    assert (await some(second, 1))[0]["subject"]["kind"] == "lead.assigned"
    assert await nothing(first)


async def test_what_is_wrong_is_refused_when_it_is_opened(world: World, following) -> None:
    person = following()
    for query, variables, code in [
        (EVENTS, {"after": "evc_1"}, "CURSOR_INVALID"),
        (EVENTS, {"after": "evc_" + "0" * 7 + "1" + f"{10**6:016x}" + "1" * 32}, "CURSOR_OF_ANOTHER_HISTORY"),
        (EVENTS, {"kinds": ["order.confirmd"]}, "BAD_USER_INPUT"),
        ("subscription { events { nothing } }", {}, "GRAPHQL_VALIDATION_FAILED"),
        ("subscription { events { id } leadRouted { id } }", {}, "GRAPHQL_VALIDATION_FAILED"),
        ("query { me { id } }", {}, "BAD_USER_INPUT"),
        ('subscription { customerChanged(id: "cus_1") { id } }', {}, "BAD_USER_INPUT"),
        (f'subscription {{ jobProgress(id: "job_{"1" * 32}") {{ id }} }}', {}, "NOT_FOUND"),
        ("query @live { __schema { queryType { name } } }", {}, "BAD_USER_INPUT"),
    ]:
        with pytest.raises(Rejected) as refused:
            await person.open(query, **variables)
        assert refused.value.errors[0]["extensions"]["code"] == code, query
    answer = await world.ask("subscription { events { id } }", person.viewer)
    assert answer["errors"][0]["extensions"]["code"] == "STREAM_NEEDED"


async def test_notifications_are_followed_by_their_own_user(world: World, following) -> None:
    query = "subscription { notificationReceived { subject { ... on Notification { title kind } } } }"
    seller, stranger = await following("SELLER").open(query), await following("STRANGER").open(query)
    await world.do("leadCreate", name="Ann", email="ann@example.com", ownerId=id_of("User", world.people["SELLER"]))
    await place(world)
    assert (await some(seller, 1))[0]["subject"]["kind"] == "lead.assigned"
    assert await nothing(stranger)


LIVE = "query($id: ID!) @live { customer(id: $id) { name tickets(first: 5) { nodes { subject } } } }"


async def test_a_live_query_answers_again_when_something_in_it_changed(world: World, following, monkeypatch) -> None:
    monkeypatch.setattr(live_queries, "APART_S", 0.02)
    id, other = await customer(world), await customer(world, name="Other")
    await place(world)
    stream = await following().open(LIVE, id=id)
    assert (await one(stream))["customer"] == {"name": "Acme", "tickets": {"nodes": []}}
    await rename(world, other, "elsewhere")
    assert await nothing(stream)
    await stream.aclose()
    stream = await following().open(LIVE, id=id)
    await one(stream)
    await world.do("ticketOpen", customerId=id, subject="Broken")
    await place(world)
    assert (await one(stream))["customer"]["tickets"]["nodes"] == [{"subject": "Broken"}]
    assert json.loads(await world.engine.answer(Request(LIVE, None, {"id": id}), world.viewer()))["data"]["customer"]


async def test_a_jobs_progress_until_it_is_finished(world: World, following, monkeypatch) -> None:
    monkeypatch.setattr(live_queries, "APART_S", 0.02)
    made = await world.do("jobEnqueue", kind="leads.route", arguments={})
    id = made.payload["job"]["id"] if made.payload.get("job") else made.done["id"]
    stream = await following().open("subscription($id: ID!) { jobProgress(id: $id) { status progressDone } }", id=id)
    assert (await one(stream))["jobProgress"] == {"status": "PENDING", "progressDone": 0}
    await world.database.execute("UPDATE jobs SET status = 'CANCELLED', finished_at = now() WHERE id = $1", uuid_of(id))
    assert (await one(stream))["jobProgress"]["status"] == "CANCELLED"
    assert await stream.some(1) == []
