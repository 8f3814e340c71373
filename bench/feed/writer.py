"""Who records events, in a process of its own: one verb per transaction, or many events at once as an import does.

Orders, a line of JSON each: `log` interactions, whose subject is the event's number, at a rate or as fast as it goes; `update` customers
for some seconds; `record` many events in transactions of a given size. Times are `time.monotonic`, which is the same clock in
every process of a machine.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from typing import Any
from uuid import UUID

import redis.asyncio
import uvloop

from crmgql import db
from crmgql.domain.activities import interactions
from crmgql.domain.customers import customers
from crmgql.events import outbox
from crmgql.events.outbox import Entry
from crmgql.records.records import Act
from crmgql.viewer import Viewer, Who
from crmgql.workers.bells import Bells

AT_ONCE = 4
"""Transactions."""


class Writer:
    """`bells`: as the API's own process, it rings for the feed after each commit."""

    def __init__(self, database: db.Database, viewer: Viewer, customer_ids: list[UUID], bells: Bells) -> None:
        self.database = database
        self.viewer = viewer
        self.customer_ids = customer_ids
        self.bells = bells

    async def log(self, *, first: int, events: int, per_s: float | None = None) -> dict[str, Any]:
        """One interaction in each transaction. Answers when each was committed."""
        committed: dict[int, float] = {}
        numbers = iter(range(first, first + events))
        started = time.monotonic()

        async def work() -> None:
            for number in numbers:
                if per_s is not None:
                    await asyncio.sleep(started + (number - first) / per_s - time.monotonic())
                await self._log(self.customer_ids[number % len(self.customer_ids)], number)
                committed[number] = time.monotonic()

        await asyncio.gather(*(work() for _ in range(AT_ONCE)))
        return {"committed": committed, "seconds": time.monotonic() - started}

    async def warm_up(self, *, customers: int) -> dict[str, Any]:
        """An event with the number 0 about each of so many customers."""
        for customer_id in self.customer_ids[:customers]:
            await self._log(customer_id, 0)
        return {}

    async def _log(self, customer_id: UUID, number: int) -> None:
        async with self.database.transaction() as tx:
            subject = f"event-{number:06d}"
            await interactions.log(Act(tx, self.viewer), customer_id=customer_id, kind="NOTE", subject=subject)

    async def update(self, *, seconds: float, rings: bool) -> dict[str, Any]:
        """Changes of customers, one in each transaction. Without `rings` nobody hears of a commit."""
        self.database.on_queued = self.bells.ring if rings else _nobody
        ends, done = time.monotonic() + seconds, 0

        async def work(number: int) -> None:
            nonlocal done
            while time.monotonic() < ends:
                number += AT_ONCE
                customer_id = self.customer_ids[number % len(self.customer_ids)]
                async with self.database.transaction() as tx:
                    await customers.update(Act(tx, self.viewer), id=customer_id, city=f"City {number}")
                done += 1

        started, cpu_s = time.monotonic(), time.process_time()
        await asyncio.gather(*(work(number) for number in range(AT_ONCE)))
        elapsed = time.monotonic() - started
        return {"per_second": done / elapsed, "transactions": done, "cpu_s": time.process_time() - cpu_s}

    async def record(self, *, events: int, at_once: int) -> dict[str, Any]:
        """Events about customers, as an import records them: so many in each transaction."""
        started, done, longest = time.monotonic(), 0, 0.0
        while done < events:
            begun = time.monotonic()
            entries = [self._entry(number) for number in range(done, min(done + at_once, events))]
            async with self.database.transaction() as tx:
                await tx.allow(minutes=5)
                await outbox.record_many(tx, self.viewer, entries)
            done += len(entries)
            longest = max(longest, time.monotonic() - begun)
        return {"seconds": time.monotonic() - started, "longest_s": longest, "ended_s": time.monotonic()}

    def _entry(self, number: int) -> Entry:
        id = self.customer_ids[number % len(self.customer_ids)]
        return Entry("customer.updated", ("Customer", id), id, {"city": ("A", "B")}, {"version": 2})


def _nobody(queues: set[str]) -> None:
    """As in a process without Valkey."""


async def _work() -> None:
    database = await db.connect(os.environ["CRMGQL_DATABASE_URL"], pool_size=AT_ONCE)
    valkey = redis.asyncio.Redis.from_url(os.environ["CRMGQL_REDIS_URL"])
    bells = Bells(valkey)
    database.on_queued = bells.ring
    viewer = Viewer(UUID(os.environ["BENCH_ADMIN"]), Who(frozenset({"ADMIN"})))
    writer = Writer(database, viewer, [UUID(each) for each in os.environ["BENCH_CUSTOMERS"].split(",")], bells)
    try:
        while line := await asyncio.to_thread(sys.stdin.readline):
            order = json.loads(line)
            print(json.dumps(await getattr(writer, order.pop("do"))(**order)), flush=True)
    finally:
        await bells.stop()
        await valkey.aclose()
        await database.close()


if __name__ == "__main__":
    uvloop.run(_work())
