"""The dispatcher of webhooks in one worker process: takes endpoints that have something to send, a courier for each.

    new position announced ┐
    the look of the worker ┴▶ take leases ─▶ a courier per endpoint, until it has nothing to do

Each worker process has one. It asks nothing while nothing happens: the relay's announcements wake it, and the look, which the
worker has anyway, finds what nobody announced: retries that are due, and endpoints whose process was killed.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from time import monotonic
from uuid import UUID, uuid4

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from redis.asyncio import Redis

from crmgql.config import Settings
from crmgql.db import Database
from crmgql.domain.webhooks import dispatching
from crmgql.errors import DATABASES_OWN
from crmgql.events import announcements
from crmgql.outbound.client import Client
from crmgql.viewer import Clock, system_clock
from crmgql.workers.couriers import Courier
from crmgql.workers.failures import Failures
from crmgql.workers.webhooks import client

MOST = 100
"""Endpoints at once in a process."""

SPACING_S = 1.0
"""Between two statements that look for endpoints; couriers hear of new events themselves."""

PATIENCE_S = 3.0
"""How long requests may take after the signal to stop."""


class Dispatcher:
    """`run` it beside the jobs; `wake` it when an endpoint has something to send. `holder` names this process in leases."""

    def __init__(self, database: Database, settings: Settings, failures: Failures, clock: Clock = system_clock) -> None:
        self.database = database
        self.settings = settings
        self.failures = failures
        self.clock = clock
        self.holder = uuid4()
        self.verdicts: Counter[str] = Counter()
        self.couriers: dict[UUID, Courier] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._wanted = asyncio.Event()

    def wake(self) -> None:
        self._wanted.set()

    def hear(self, position: int) -> None:
        """A new position was announced."""
        for courier in self.couriers.values():
            courier.wake()
        self.wake()

    def metrics(self) -> Iterator[Metric]:
        """For Prometheus."""
        sent = CounterMetricFamily("crmgql_webhook_requests", "Requests to webhook endpoints.", labels=("outcome",))
        for verdict, count in self.verdicts.items():
            sent.add_metric((verdict.lower(),), count)
        yield sent
        doc = "Webhook endpoints that this process is sending to."
        yield GaugeMetricFamily("crmgql_webhook_endpoints", doc, value=len(self.couriers))

    async def run(self, valkey: Redis) -> None:
        """Until cancelled; gives its endpoints back then."""
        reaching = client(self.settings)
        listening = asyncio.create_task(announcements.listen(valkey, self.hear))
        try:
            while True:
                await self._wanted.wait()
                self._wanted.clear()
                started = monotonic()
                await self._take(reaching)
                await asyncio.sleep(max(started + SPACING_S - monotonic(), 0))
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
            await self._stop()
            await reaching.close()

    async def _take(self, reaching: Client) -> None:
        room, now = MOST - len(self.couriers), self.clock()
        if room <= 0:
            return
        try:
            async with self.database.connection() as connection:
                taken = await dispatching.take(connection, self.holder, now=now, limit=room)
        except DATABASES_OWN:  # already in the log; the look finds them
            return
        for id in taken:
            courier = Courier(
                self.database, reaching, id, self.holder, leased_at=now, clock=self.clock, verdicts=self.verdicts
            )
            self.couriers[id] = courier
            task = asyncio.create_task(self._send(courier))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _send(self, courier: Courier) -> None:
        try:
            await courier.run()
        except DATABASES_OWN:  # already in the log; the lease runs out
            pass
        except Exception as trouble:
            self.failures.note("a webhook's courier failed", trouble, endpoint=str(courier.id))
        finally:
            del self.couriers[courier.id]
            self.wake()

    async def _stop(self) -> None:
        for courier in self.couriers.values():
            courier.stop()
        tasks = set(self._tasks)
        if tasks:
            await asyncio.wait(tasks, timeout=PATIENCE_S)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
