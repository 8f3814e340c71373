"""A company sells while API processes, workers with their relays, Valkey, subscribers, receivers of webhooks and the integrator are
killed, stopped and started again at random. Every subscriber gets every event once, in order, transactions whole; every
webhook endpoint at least once, in order; the copy is equal to the server; the books are whole.

In the suite each fault comes once, and leases on webhooks are short; `make soak` goes on for a minute, with leases as they are.
"""

from __future__ import annotations

import asyncio
import random
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import pytest_asyncio
import redis.asyncio
from redis.exceptions import RedisError

from crmgql import db
from crmgql.ledger import audits
from tests.faults.company import Company
from tests.faults.feed import check_feed, cursors_of, placed
from tests.faults.installation import Installation, Integrator, installed
from tests.faults.subscribers import Subscriber
from tests.faults.webhooks import Endpoint, registered

WAYS = ("socket", "events") * 5 + ("poll",) * 2
KINDS = ["order.*", "payment.*"]
TORN = """
SELECT count(*) FROM orders WHERE note LIKE 'at once%' AND status = 'CONFIRMED'
AND NOT EXISTS (SELECT 1 FROM payments WHERE "order" = orders.id)"""
PATIENCE_S = 120


@dataclass(frozen=True)
class Pace:
    """`rounds`: how often each fault comes at least; `seconds`: for how long at least."""

    name: str
    rounds: int
    seconds: float
    is_hasty: bool
    timeout_s: float


SHORT = Pace("short", rounds=1, seconds=0, is_hasty=True, timeout_s=300)
LONG = Pace("minute", rounds=3, seconds=60, is_hasty=False, timeout_s=900)


class Faults:
    """`done` counts them."""

    def __init__(
        self, installation: Installation, company: Company, subscribers: list[Subscriber], endpoints: list[Endpoint]
    ) -> None:
        self.installation = installation
        self.company = company
        self.subscribers = subscribers
        self.endpoints = endpoints
        self.dice = random.Random(17)
        self.done: Counter[str] = Counter()
        [self.integrator] = installation.integrators
        self.all = [
            self.kill_api,
            self.deploy_api,
            self.kill_worker,
            self.pause_worker,
            self.kill_valkey,
            self.cut_valkey,
            self.kill_subscribers,
            self.kill_receivers,
            self.kill_integrator,
        ]

    async def strike(self, pace: Pace) -> None:
        """One after another, each when something was sold since."""
        until = time.monotonic() + pace.seconds
        while min(self.done[each.__name__] for each in self.all) < pace.rounds or time.monotonic() < until:
            for fault in self.dice.sample(self.all, len(self.all)):
                await self._sales(1)
                await fault()
                self.done[fault.__name__] += 1

    async def _sales(self, number: int) -> None:
        """Waits for so many more."""
        sold = self.company.sold
        async with asyncio.timeout(PATIENCE_S):
            while self.company.sold < sold + number:
                await asyncio.sleep(0.01)

    async def kill_api(self) -> None:
        api = self.dice.choice(self.installation.apis)
        await api.kill()
        api.start()
        await api.ready()

    async def deploy_api(self) -> None:
        api = self.dice.choice(self.installation.apis)
        await api.kill(signal.SIGTERM)
        api.start()
        await api.ready()

    async def kill_worker(self) -> None:
        index = self.dice.randrange(len(self.installation.workers))
        self.installation.workers[index].kill()
        await self.installation.workers[index].ended()
        self.installation.workers[index] = self.installation.worker()

    async def pause_worker(self) -> None:
        """Until others have given positions to what it may have had in hand."""
        worker = self.dice.choice(self.installation.workers)
        worker.send_signal(signal.SIGSTOP)
        await self._sales(3)
        worker.send_signal(signal.SIGCONT)

    async def kill_valkey(self) -> None:
        self.installation.valkey.kill()
        self.installation.valkey.start()

    async def cut_valkey(self) -> None:
        async with redis.asyncio.Redis.from_url(self.installation.valkey.url) as valkey:
            for kind in ("normal", "pubsub"):
                with suppress(RedisError, OSError):  # it was killed just before
                    await valkey.client_kill_filter(_type=kind, skipme=True)

    async def kill_subscribers(self) -> None:
        for subscriber in self.dice.sample(self.subscribers, len(self.subscribers) // 2):
            await subscriber.kill()
            subscriber.start()

    async def kill_receivers(self) -> None:
        down = self.dice.sample(self.endpoints, 2)
        for endpoint in down:
            endpoint.is_down = True
        await self._sales(3)
        for endpoint in down:
            endpoint.is_down = False

    async def kill_integrator(self) -> None:
        self.integrator.kill()
        self.integrator.start()


async def sell(company: Company, enough: asyncio.Event) -> None:
    """All that a company does, again and again."""
    ways = [company.sell, company.sell_at_once, company.sell_in_two_steps]
    while not enough.is_set():
        for way in company.dice.sample(ways, len(ways)):
            await way()
            company.sold += 1
        await company.sell_at_once(number=company.dice.randrange(2, 5))
    await company.mend_by_hand()
    await company.erase()


def torn(integrator: Integrator) -> int:
    """Orders of the copy without the payment that came in the same transaction."""
    if not integrator.file.exists():
        return 0
    copy = sqlite3.connect(integrator.file)
    try:
        return int(copy.execute(TORN).fetchone()[0])
    except sqlite3.OperationalError:  # no tables yet
        return 0
    finally:
        copy.close()


async def watch(integrator: Integrator) -> None:
    """Looks again and again as its readers would."""
    while True:
        assert await asyncio.to_thread(torn, integrator) == 0
        await asyncio.sleep(0.02)


@dataclass
class Founded:
    pace: Pace
    installation: Installation
    company: Company


@pytest_asyncio.fixture(
    params=[SHORT, pytest.param(LONG, marks=pytest.mark.soak)],
    ids=lambda pace: pace.name,
)
async def founded(
    request: Any, crm: db.Database, database: asyncpg.Connection, database_url: str, tmp_path: Path
) -> AsyncIterator[Founded]:
    pace: Pace = request.param
    with installed(database_url, tmp_path, apis=2, workers=2, hasty=pace.is_hasty) as installation:
        await installation.ready()
        company = await Company.founded(crm, database, database_url, [api.url for api in installation.apis])
        yield Founded(pace, installation, company)
        await company.http.aclose()


async def test_every_event_once_in_order_and_an_equal_copy(founded: Founded) -> None:
    company, integrator = founded.company, founded.installation.integrator(founded.company.key).start()
    subscribers = [
        Subscriber(way, list(company.urls), company.token, kinds, random.Random(number))
        for number, way in enumerate(WAYS)
        for kinds in ([], KINDS)
    ]
    for subscriber in subscribers:
        subscriber.start()
    enough = asyncio.Event()
    async with registered(company) as endpoints:
        faults = Faults(founded.installation, company, subscribers, endpoints)
        selling, watching = asyncio.create_task(sell(company, enough)), asyncio.create_task(watch(integrator))
        try:
            async with asyncio.timeout(founded.pace.timeout_s):
                await first_of(faults.strike(founded.pace), selling, watching)
                enough.set()
                await first_of(asyncio.shield(selling), watching)
                feed = await placed(company.database)
                await first_of(all_received(subscribers, endpoints, feed), watching)
                assert await integrator.is_equal(), integrator.log
        finally:
            for task in (selling, watching):
                task.cancel()
            for subscriber in subscribers:
                await subscriber.kill()
    check_feed(feed)
    for subscriber in subscribers:
        assert [event["cursor"] for event in subscriber.events] == cursors_of(feed, subscriber.kinds)
        assert not subscriber.refused
        assert not subscriber.lost
    assert sum(subscriber.connections for subscriber in subscribers) > len(subscribers)
    for endpoint in endpoints:
        assert all(line == sorted(line) for line in endpoint.lines())
    books = await audits.verify_all(company.database_url, processes=1, progress=lambda done, total: None)
    assert books.is_whole, books.found.broken
    paid = await company.database.fetchval("SELECT count(*) FROM payments WHERE status = 'RECEIVED'")
    assert books.found.entries >= 3 * paid > 0  # an order, its payment, what of it is allocated


async def first_of(work: Any, *beside: asyncio.Task[None]) -> None:
    """Waits for the work; what is beside it must not fail meanwhile."""
    working = asyncio.ensure_future(work)
    await asyncio.wait([working, *beside], return_when=asyncio.FIRST_COMPLETED)
    for task in beside:
        if task.done() and not working.done():
            working.cancel()
            await task
    await working


async def all_received(subscribers: list[Subscriber], endpoints: list[Endpoint], feed: list[asyncpg.Record]) -> None:
    """Waits for the last event, and no longer: what comes twice has come by then."""
    async with asyncio.timeout(PATIENCE_S):
        for subscriber in subscribers:
            while subscriber.cursor < cursors_of(feed, subscriber.kinds)[-1]:
                await asyncio.sleep(0.02)
        for endpoint in endpoints:
            expected = {cursor for cursor in cursors_of(feed, endpoint.kinds) if cursor > endpoint.begun}
            while not expected <= {got.json["cursor"] for got in endpoint.accepted}:
                await asyncio.sleep(0.1)
