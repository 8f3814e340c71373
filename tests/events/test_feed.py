"""The feed's order: passes of the relay, cursors, and followers from the past into the present."""

from __future__ import annotations

import asyncio
import json
import re
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import asyncpg
import pytest

from crmgql import db
from crmgql.events import cursors, feed, outbox, positions
from crmgql.events.cursors import START, Cursor
from crmgql.viewer import system

Connection = asyncpg.Connection


async def record(tx: db.Transaction, *numbers: int) -> list[uuid.UUID]:
    """Records gaps, which are events without a record. Returns their ids."""
    entries = [
        outbox.Entry("gap.recorded", ("Gap", uuid.UUID(int=number)), payload={"type": "Order", "reason": str(number)})
        for number in numbers
    ]
    await outbox.record_many(tx, system(), entries)
    return [uuid.UUID(int=number) for number in numbers]


async def commit(crm: db.Database, *numbers: int) -> None:
    async with crm.transaction() as tx:
        await record(tx, *numbers)


async def subjects(connection: Connection) -> list[int]:
    """In the order of the feed, as `record` numbered them."""
    rows = await connection.fetch(
        "SELECT subject_id FROM event_positions JOIN events ON id = event_id ORDER BY position"
    )
    return [row[0].int for row in rows]


async def is_gapless(connection: Connection) -> bool:
    rows = await connection.fetch("SELECT position FROM event_positions ORDER BY position")
    return [row[0] for row in rows] == list(range(1, len(rows) + 1))


async def test_a_pass_gives_positions_in_the_order_of_commits(crm: db.Database, database: Connection) -> None:
    assert await positions.head(database) == START
    await commit(crm, 1, 2)
    assert await positions.place(database) == 2
    assert await positions.place(database) == 2
    await commit(crm, 3)
    assert await positions.place(database) == 3
    assert await subjects(database) == [1, 2, 3]
    rows = await database.fetch("SELECT is_last, epoch FROM event_positions ORDER BY position")
    assert [tuple(row) for row in rows] == [(False, 1), (True, 1), (True, 1)]


async def test_a_long_transaction_holds_up_nobody_and_is_not_skipped(crm: db.Database, database: Connection) -> None:
    async with crm.transaction() as slow:
        await record(slow, 1)
        for number in (2, 3, 4):
            await commit(crm, number)
            await positions.place(database)
        assert await subjects(database) == [2, 3, 4]
        assert not await database.fetchval(f"SELECT {positions.WAITING}")
        await record(slow, 5)
    assert await database.fetchval(f"SELECT {positions.WAITING}")
    await positions.place(database)
    assert await subjects(database) == [2, 3, 4, 1, 5]


async def test_what_was_rolled_back_has_no_place(crm: db.Database, database: Connection) -> None:
    with pytest.raises(ZeroDivisionError):
        async with crm.transaction() as tx:
            await record(tx, 1)
            raise ZeroDivisionError
    await commit(crm, 2)
    await positions.place(database)
    assert await subjects(database) == [2]


async def test_many_relays_and_writers_at_once(crm: db.Database, database_url: str, database: Connection) -> None:
    async def write(first: int) -> None:
        for number in range(first, first + 20):
            async with crm.transaction() as tx:
                await record(tx, 2 * number, 2 * number + 1)
                await asyncio.sleep(0.001 * (number % 3))

    async def relay(until: asyncio.Event) -> None:
        connection = await asyncpg.connect(database_url)
        while not until.is_set():
            await positions.place(connection)
        await connection.close()

    stop = asyncio.Event()
    relays = [asyncio.create_task(relay(stop)) for _ in range(3)]
    await asyncio.gather(*(write(100 * writer) for writer in range(1, 5)))
    stop.set()
    await asyncio.gather(*relays)
    await positions.place(database)
    placed = await subjects(database)
    assert sorted(placed) == sorted(
        2 * n + half for w in range(1, 5) for n in range(100 * w, 100 * w + 20) for half in (0, 1)
    )
    assert await is_gapless(database)
    for even, odd in zip(placed[::2], placed[1::2], strict=True):  # no transaction was cut in two
        assert odd == even + 1
    for writer in range(1, 5):  # and each writer's are in their order
        own = [number for number in placed if 200 * writer <= number < 200 * writer + 100]
        assert all(one < other for one, other in pairwise(own))


async def test_a_dump_in_another_server_goes_on_without_doubles(crm: db.Database, database: Connection) -> None:
    """There, transactions have lower numbers than those of the events that came with the dump."""
    await commit(crm, 1)
    await positions.place(database)
    await commit(crm, 2)
    await database.execute("ALTER TABLE events DISABLE TRIGGER USER")
    await database.execute("UPDATE events SET transaction_id = '4000000000'")
    await database.execute("ALTER TABLE events ENABLE TRIGGER USER")
    await database.execute("UPDATE feed SET server = 'another', pass = '3999999999:3999999999:'")
    assert await positions.place(database) == 2
    await commit(crm, 3)
    assert await positions.place(database) == 3
    await commit(crm, 4)
    assert await positions.place(database) == 4
    assert await subjects(database) == [1, 2, 3, 4]
    rows = await database.fetch("SELECT epoch FROM event_positions ORDER BY position")
    assert [row[0] for row in rows] == [1, 2, 2, 2]


async def test_another_timeline_is_another_epoch(crm: db.Database, database: Connection) -> None:
    await commit(crm, 1)
    await positions.place(database)
    await database.execute("UPDATE feed SET timeline = '00000000'")
    await commit(crm, 2)
    await positions.place(database)
    assert (await positions.head(database)).epoch == 2
    page = await positions.page(database, START, width=10)
    await positions.check(database, page.events[0].cursor)
    assert [event.position for event in page.events] == [1, 2]


async def test_cursors_are_checked(crm: db.Database, database: Connection) -> None:
    await commit(crm, 1, 2, 3)
    await positions.place(database)
    newest = await positions.head(database)
    await positions.check(database, newest)
    await positions.check(database, START)
    lost = Cursor(1, 2, uuid.uuid4())
    for foreign in (lost, Cursor(1, 9, uuid.uuid4())):
        with pytest.raises(cursors.CursorOfAnotherHistory) as refused:
            await positions.page(database, foreign, width=10)
        assert cursors.parse(refused.value.snapshot_cursor) == newest


async def test_a_dropped_month_expires_its_cursors(crm: db.Database, database: Connection) -> None:
    await commit(crm, 1)
    await positions.place(database)
    old = await positions.head(database)
    month = await database.fetchval("SELECT date_trunc('month', now() AT TIME ZONE 'UTC')::date")
    await database.fetchval("SELECT event_month_drop('events', $1)", month)
    await database.execute("SELECT event_months(now(), 1)")
    await commit(crm, 2)
    await positions.place(database)
    for cursor in (old, START):
        with pytest.raises(cursors.CursorExpired) as refused:
            await positions.page(database, cursor, width=10)
    again = cursors.parse(refused.value.snapshot_cursor)
    assert again.position == 2
    assert (await positions.page(database, again, width=10)).events == []


@pytest.mark.parametrize(
    "text", ["", "evc_", "evc_" + "0" * 55, "evc_" + "g" * 56, "evc_00000001" + "f" * 16 + "0" * 32, " "]
)
def test_what_is_no_cursor(text: str) -> None:
    with pytest.raises(cursors.CursorInvalid):
        cursors.parse(text)


def test_cursors_sort_like_the_feed() -> None:
    made = [Cursor(epoch, position, uuid.uuid4()) for epoch in (1, 2, 300) for position in (1, 20, 70_000, 2**40)]
    assert sorted(made) == sorted(made, key=Cursor.text)
    assert [cursors.parse(cursor.text()) for cursor in made] == made


async def test_the_database_writes_the_same_cursors(crm: db.Database, database: Connection) -> None:
    await commit(crm, 1)
    await positions.place(database)
    text = await database.fetchval(f"SELECT {cursors.SQL.format(p='p')} FROM event_positions p")
    assert cursors.parse(text) == await positions.head(database)


@asynccontextmanager
async def following(crm: db.Database) -> AsyncIterator[feed.Feed]:
    """A feed without announcements, which looks instead."""
    made = feed.Feed(crm, None)
    running = asyncio.create_task(made.run())
    try:
        yield made
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def read(pages: Any, count: int) -> list[int]:
    """The numbers of so many events."""
    found: list[int] = []
    async with asyncio.timeout(20):
        while len(found) < count:
            page = await anext(pages)
            found += [event.subject_id.int for event in page.events]
    return found


async def test_followers_replay_and_then_go_on_live(
    crm: db.Database, database: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "KEPT", 10)
    monkeypatch.setattr(feed, "LOOK_S", 0.02)
    await commit(crm, *range(1, 26))
    await positions.place(database)
    async with following(crm) as followed:
        early = followed.follow(START, width=10)
        late = followed.follow(await followed.head())
        waiting = asyncio.create_task(read(late, 40))
        assert await read(early, 25) == list(range(1, 26))
        for number in range(26, 66):
            await commit(crm, number)
            await positions.place(database)
        assert await waiting == list(range(26, 66))
        assert await read(early, 40) == list(range(26, 66))  # a slow one: the tail has forgotten the first of these
        middle = followed.follow((await positions.page(database, START, width=30)).end, width=7)
        assert await read(middle, 35) == list(range(31, 66))
        for each in (early, late, middle):
            await each.aclose()
    assert followed.followers == 0


async def test_followers_of_some_kinds_move_on_over_the_others(
    crm: db.Database, database: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "LOOK_S", 0.02)
    await commit(crm, *range(1, 31))
    await positions.place(database)
    async with following(crm) as followed:
        none = followed.follow(START, kinds={"order.created"}, width=10)
        ends = [(await anext(none)) for _ in range(3)]
        assert [page.events for page in ends] == [[], [], []]
        assert [page.end.position for page in ends] == [10, 20, 30]
        await none.aclose()


@pytest.mark.parametrize("analyzed", [False, True])
async def test_a_page_reads_no_more_events_than_it_has_positions(
    crm: db.Database, database: Connection, analyzed: bool
) -> None:
    await commit(crm, *range(5000))
    await positions.place(database)
    if analyzed:
        await database.execute("ANALYZE")
    for sql, kinds in ((positions.PAGE_OF_ALL, []), (positions.PAGE_OF_KINDS, [["gap.recorded"]])):
        plan = json.loads(await database.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}", 1000, 10, *kinds))
        assert read_rows(plan[0]["Plan"], "events") == read_rows(plan[0]["Plan"], "event_positions") == 11


def read_rows(plan: dict[str, Any], table: str) -> float:
    """Rows that a plan took out of a table, or its months."""
    relation = plan.get("Relation Name", "")
    own = (
        plan["Actual Rows"] + plan.get("Rows Removed by Filter", 0) if re.fullmatch(rf"{table}(_\d+)*", relation) else 0
    )
    return own * plan["Actual Loops"] + sum(read_rows(each, table) for each in plan.get("Plans", ()))


async def test_followers_find_out_that_history_changed(
    crm: db.Database, database: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a failover to a replica without the last commits: other events are at those positions."""
    monkeypatch.setattr(feed, "LOOK_S", 0.02)
    await commit(crm, 1, 2)
    await positions.place(database)
    kept = (await positions.page(database, START, width=1)).end
    async with following(crm) as followed:
        ahead, behind = followed.follow(await followed.head()), followed.follow(kept)
        assert await read(behind, 1) == [2]
        waiting = asyncio.create_task(read(ahead, 1))
        again = followed.follow(kept)
        await asyncio.sleep(0.05)
        await database.execute("ALTER TABLE event_positions DISABLE TRIGGER USER")
        await database.execute("DELETE FROM event_positions WHERE position = 2")
        await database.execute("UPDATE feed SET position = 1, event_id = $1, timeline = 'before'", kept.event_id)
        await commit(crm, 3)
        await positions.place(database)
        with pytest.raises(cursors.CursorOfAnotherHistory):
            await waiting
        with pytest.raises(cursors.CursorOfAnotherHistory):
            await read(behind, 1)
        assert await read(again, 1) == [3]
        await again.aclose()


async def test_who_comes_after_a_failover_gets_nothing_that_it_undid(
    crm: db.Database, database: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the tail keeps in memory is dropped before anybody else gets it, however long it does not look itself."""
    monkeypatch.setattr(feed, "LOOK_S", 60)
    await commit(crm, 1)
    await positions.place(database)
    kept = await positions.head(database)
    async with following(crm) as followed:
        ahead = followed.follow(kept)
        waiting = asyncio.create_task(read(ahead, 1))
        async with asyncio.timeout(20):
            while followed.tail is None:
                await asyncio.sleep(0.01)
        await commit(crm, 2)
        await positions.place(database)
        followed._hear(2)
        assert await waiting == [2]
        await database.execute("ALTER TABLE event_positions DISABLE TRIGGER USER")
        await database.execute("DELETE FROM event_positions WHERE position = 2")
        await database.execute("UPDATE feed SET position = 1, event_id = $1, timeline = 'before'", kept.event_id)
        await commit(crm, 3)
        await positions.place(database)
        again = followed.follow(kept)
        assert await read(again, 1) == [3]
        with pytest.raises(cursors.CursorOfAnotherHistory):
            await read(ahead, 1)
        await again.aclose()


async def test_positions_from_before_the_first_pass_stay(crm: db.Database, database: Connection) -> None:
    await commit(crm, 1, 2)
    await database.execute("INSERT INTO event_positions SELECT 1, id, true, 1 FROM events ORDER BY id LIMIT 1")
    await positions.place(database)
    assert await subjects(database) == [1, 2]
    await commit(crm, 3)
    await positions.place(database)
    assert await subjects(database) == [1, 2, 3]
    assert await database.fetchval("SELECT base FROM feed") == 0


async def test_what_waits_for_a_place_is_measured(crm: db.Database, database: Connection) -> None:
    await positions.place(database)
    assert await positions.backlog(database) == positions.Backlog(0, None)
    await commit(crm, 1)
    waiting = await positions.backlog(database)
    assert waiting.position == 0
    assert waiting.oldest == await database.fetchval("SELECT occurred_at FROM events")
    await positions.place(database)
    assert await positions.backlog(database) == positions.Backlog(1, None)
