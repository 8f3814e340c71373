"""Relays that stand still, and transactions that take their time: nobody else waits, and nothing comes twice."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest

from crmgql.records.records import Act
from tests.faults.company import Company
from tests.faults.feed import check_feed, cursors_of, placed
from tests.faults.installation import Installation
from tests.faults.subscribers import Subscriber
from tests.jobs import until

PASSING = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%feed_pass%'"


@asynccontextmanager
async def subscribed(company: Company) -> AsyncIterator[list[Subscriber]]:
    made = [
        Subscriber(way, list(company.urls), company.token, [], random.Random(number))
        for number, way in enumerate(("socket", "events"))
    ]
    for subscriber in made:
        subscriber.start()
    yield made
    for subscriber in made:
        await subscriber.kill()


async def received(subscribers: list[Subscriber], feed: list[asyncpg.Record]) -> None:
    """Waits until they have all of it, and has a look that they have it once."""

    async def all_there() -> bool:
        return all(subscriber.cursor >= feed[-1]["cursor"] for subscriber in subscribers)

    await until(all_there)
    for subscriber in subscribers:
        assert [event["cursor"] for event in subscriber.events] == cursors_of(feed)
        assert not subscriber.refused


async def go_on(company: Company, seconds: float) -> None:
    """Sells for so long, and once at least."""
    ends = time.monotonic() + seconds
    while True:
        await company.sell()
        await company.sell_at_once(number=3)
        if time.monotonic() > ends:
            return


@pytest.mark.parametrize("seconds", [0, pytest.param(40, marks=pytest.mark.soak)])
async def test_a_relay_that_stands_still_in_the_middle_of_a_pass(
    company: Company, installation: Installation, database: asyncpg.Connection, seconds: float
) -> None:
    """What it had begun is done by the database. Another one goes on meanwhile, and when it wakes up it finds nothing to do."""
    [stopped] = installation.workers

    async def begun() -> bool:
        return bool(await company.database.fetchval(PASSING))

    async with subscribed(company) as subscribers:
        await company.sell()
        await received(subscribers, await placed(database))
        async with database.transaction():
            await database.execute("SELECT FROM feed FOR UPDATE")
            other = await asyncpg.connect(company.database_url)
            company.database = other
            await company.sell_at_once()
            await until(begun)
            stopped.send_signal(signal.SIGSTOP)
        installation.workers.append(installation.worker())
        await go_on(company, seconds)
        await received(subscribers, await placed(other))
        await company.sell_at_once()
        stopped.send_signal(signal.SIGCONT)
        await company.sell()
        feed = await placed(other)
        await received(subscribers, feed)
        await other.close()
    check_feed(feed)


@pytest.mark.parametrize("seconds", [0, pytest.param(60, marks=pytest.mark.soak)])
async def test_others_go_on_while_a_transaction_stays_open(
    company: Company, installation: Installation, seconds: float
) -> None:
    """Its events come when it commits, all of them; the copy never has the half of it."""
    integrator = installation.integrator(company.key).start()
    async with subscribed(company) as subscribers:
        async with company.crm.transaction() as tx:
            await company.sell_in(Act(tx, company.viewer))
            await go_on(company, seconds)
            await received(subscribers, await placed(company.database))
            assert await integrator.is_equal(), integrator.log
            await company.sell_in(Act(tx, company.viewer))
        await company.sell()
        feed = await placed(company.database)
        await received(subscribers, feed)
        assert await integrator.is_equal(), integrator.log
    check_feed(feed)
