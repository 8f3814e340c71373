"""The dispatcher of webhooks in one worker process: takes endpoints that have something to send, a courier for each.

    new position announced ┐
    the look of the worker ┴▶ take leases ─▶ a courier per endpoint, until it has nothing to do

Each worker process has one. It asks nothing while nothing happens: the relay's announcements wake it, and the look, which the
worker has anyway, finds what nobody announced: retries that are due, and endpoints whose process was killed. While there are
couriers it follows the feed, once for all of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from time import monotonic
from typing import Any
from uuid import UUID, uuid4

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from redis.asyncio import Redis

from crmgql.config import Settings
from crmgql.db import Database
from crmgql.domain.streams.payloads import Registered
from crmgql.domain.webhooks import dispatching
from crmgql.errors import DATABASES_OWN
from crmgql.events import announcements
from crmgql.events.cursors import CursorLost
from crmgql.events.feed import Feed
from crmgql.outbound.network import Resolver
from crmgql.viewer import Clock, system_clock
from crmgql.workers.couriers import Courier
from crmgql.workers.failures import Failures
from crmgql.workers.sources import Shared
from crmgql.workers.webhooks import client

MOST = 100
"""Endpoints at once in a process."""

SPACING_S = 1.0
"""Between two statements that look for endpoints; couriers hear of new events themselves."""

AGAIN_S = 1.0


class Dispatcher:
    """`run` it beside the jobs, and `stop` it after that; `wake` it when an endpoint has something to send."""

    def __init__(
        self, database: Database, settings: Settings, valkey: Redis, failures: Failures, clock: Clock = system_clock
    ) -> None:
        self.database = database
        self.settings = settings
        self.valkey = valkey
        self.failures = failures
        self.couriers: dict[UUID, Courier] = {}
        self.feed = Feed(database, valkey)
        self.shared = Shared(
            database, partial(client, settings, Resolver()), self.feed, uuid4(), clock, self._documents
        )
        self._tasks: set[asyncio.Task[None]] = set()
        self._wanted = asyncio.Event()
        self._following: asyncio.Task[None] | None = None
        self._registered: Registered | None = None
        self._making = asyncio.Lock()

    def wake(self) -> None:
        self._wanted.set()

    def metrics(self) -> Iterator[Metric]:
        """For Prometheus."""
        sent = CounterMetricFamily("crmgql_webhook_requests", "Requests to webhook endpoints.", labels=("outcome",))
        for verdict, count in self.shared.verdicts.items():
            sent.add_metric((verdict.lower(),), count)
        yield sent
        doc = "Webhook endpoints that this process is sending to."
        yield GaugeMetricFamily("crmgql_webhook_endpoints", doc, value=len(self.couriers))

    async def run(self) -> None:
        """Until cancelled."""
        listening = announcements.listen(self.valkey, lambda _: self.wake())
        beside = [asyncio.create_task(work) for work in (listening, self.feed.run())]
        try:
            while True:
                await self._wanted.wait()
                self._wanted.clear()
                started = monotonic()
                await self._take()
                await asyncio.sleep(max(started + SPACING_S - monotonic(), 0))
        finally:
            for task in beside:
                task.cancel()
            await asyncio.gather(*beside, return_exceptions=True)

    async def stop(self, patience_s: float) -> None:
        """Gives the endpoints back: requests under way may take so long."""
        tasks = set(self._tasks)
        for courier in self.couriers.values():
            courier.stop()
        if tasks:
            await asyncio.wait(tasks, timeout=patience_s)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _take(self) -> None:
        room, now = MOST - len(self.couriers), self.shared.clock()
        if room <= 0:
            return
        try:
            async with self.database.connection() as connection:
                taken = await dispatching.take(connection, self.shared.holder, now=now, limit=room)
        except DATABASES_OWN:  # already in the log; the look finds them
            return
        for id in taken:
            courier = self.couriers[id] = Courier(self.shared, id, leased_at=now)
            task = asyncio.create_task(self._send(courier))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        if self.couriers and self._following is None:
            self._following = asyncio.create_task(self._follow())

    async def _send(self, courier: Courier) -> None:
        try:
            await courier.run()
        except DATABASES_OWN:  # already in the log; the lease runs out
            pass
        except Exception as trouble:
            self.failures.note("a webhook's courier failed", trouble, endpoint=str(courier.id))
        finally:
            del self.couriers[courier.id]
            if not self.couriers and self._following is not None:
                self._following.cancel()
                self._following = None
            self.wake()

    async def _follow(self) -> None:
        """Wakes the couriers when the feed has new events."""
        while True:
            with suppress(CursorLost, *DATABASES_OWN):
                head = await self.feed.head()
                self._wake_couriers()  # they may have read before that
                async for _ in self.feed.follow(head):
                    self._wake_couriers()
            await asyncio.sleep(AGAIN_S)

    def _wake_couriers(self) -> None:
        for courier in self.couriers.values():
            courier.wake()

    async def _documents(self) -> Registered:
        """What reads the documents of subscriptions. It takes the schema, which a worker has no other use for: it is made at
        the first need, in a thread."""
        async with self._making:
            if self._registered is None:
                build: Any = await asyncio.to_thread(_schema)
                self._registered = build.engine(self.database, self.settings).registered
        assert self._registered is not None
        return self._registered


def _schema() -> Any:
    from crmgql.schema import build

    build.built()
    return build
