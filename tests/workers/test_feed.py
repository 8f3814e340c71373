"""The relay of the feed: commits wake it, whatever dies meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
import pytest_asyncio

from crmgql.events import announcements, feed
from crmgql.workers import bells
from crmgql.workers import feed as workers_feed
from crmgql.workers.feed import FeedRelay
from crmgql.workers.rings import client
from tests.events.test_feed import commit, read, subjects

pytestmark = pytest.mark.usefixtures("database")


@pytest_asyncio.fixture
async def valkey(servers):
    made = client(servers.redis_url)
    await made.flushall()
    yield made
    await made.aclose(close_connection_pool=True)


@asynccontextmanager
async def relaying(crm, redis_url: str) -> AsyncIterator[FeedRelay]:
    relay = FeedRelay(crm, redis_url)
    running = asyncio.create_task(relay.run())
    try:
        yield relay
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


@pytest.fixture
def bell(crm, valkey):
    made = bells.Bells(valkey)
    crm.on_queued = made.ring
    return made


async def test_followers_get_at_once_what_was_committed(crm, database, servers, valkey, bell) -> None:
    followed = feed.Feed(crm, valkey)
    running = asyncio.create_task(followed.run())
    async with relaying(crm, servers.redis_url), relaying(crm, servers.redis_url):
        pages = followed.follow(await followed.head())
        await commit(crm, 1)
        assert await read(pages, 1) == [1]
        loop = asyncio.get_running_loop()
        started = loop.time()
        for number in range(2, 12):
            await commit(crm, number)
            assert await read(pages, 1) == [number]
        assert loop.time() - started < 8  # the look alone would take ten seconds
        await pages.aclose()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert await subjects(database) == list(range(1, 12))


async def test_without_valkey_the_look_wakes_the_relay(crm, database) -> None:
    async with relaying(crm, "redis://127.0.0.1:1/0") as relay:
        await commit(crm, 1)
        relay.wake()
        async with asyncio.timeout(60):
            while await subjects(database) != [1]:
                await asyncio.sleep(0.02)


async def test_a_failed_pass_is_done_again(crm, database, servers, monkeypatch) -> None:
    monkeypatch.setattr(workers_feed, "AGAIN_S", 0.05)
    await database.execute("ALTER FUNCTION feed_pass RENAME TO feed_pass_away")
    await database.execute(
        "CREATE FUNCTION feed_pass() RETURNS bigint LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = 'query_canceled'; END $$"
    )
    async with relaying(crm, servers.redis_url) as relay:
        await commit(crm, 1)
        async with asyncio.timeout(60):
            while relay.limit_s != workers_feed.LONGEST_S:
                await asyncio.sleep(0.02)
            await database.execute("DROP FUNCTION feed_pass")
            await database.execute("ALTER FUNCTION feed_pass_away RENAME TO feed_pass")
            while await subjects(database) != [1] or relay.limit_s is not None:
                await asyncio.sleep(0.02)


async def test_listening_survives_a_lost_connection(valkey) -> None:
    heard: list[int] = []
    listening = asyncio.create_task(announcements.listen(valkey, heard.append))
    async with asyncio.timeout(60):
        while 0 not in heard:
            await asyncio.sleep(0.01)
        await announcements.publish(valkey, 5)
        while 5 not in heard:
            await asyncio.sleep(0.01)
        with suppress(Exception):
            await valkey.client_kill_filter(_type="pubsub")
        while heard.count(0) < 2:
            await asyncio.sleep(0.01)
        await announcements.publish(valkey, 6)
        while 6 not in heard:
            await asyncio.sleep(0.01)
    listening.cancel()
    await asyncio.gather(listening, return_exceptions=True)
