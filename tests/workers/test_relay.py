"""Bells, the look and the relay: a committed job starts at once, and one without a bell within a second."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
import pytest_asyncio
from arq.connections import ArqRedis
from redis.exceptions import RedisError

from crmgql.config import Settings
from crmgql.domain.jobs import jobs, kinds, queues
from crmgql.records.records import Act
from crmgql.viewer import system, system_clock
from crmgql.workers import bells, drains, rings, runner, upkeep
from crmgql.workers.attempts import Attempts
from crmgql.workers.bells import PREFIX, Bells
from crmgql.workers.drains import Drain
from crmgql.workers.failures import Failures
from crmgql.workers.relay import Relay, Wanted
from crmgql.workers.rings import queue_name
from crmgql.workers.upkeep import Upkeep
from tests.conftest import NOW
from tests.jobs import Numbered, acting, put, status, undone, until
from tests.workers.attempting import handle

LATER = NOW + timedelta(seconds=1)


@pytest.fixture(autouse=True)
def kinds_of_this_test(monkeypatch) -> Iterator[None]:
    monkeypatch.setattr(drains, "LINGER_S", 0.05)
    with undone():
        yield


def apart(url: str) -> str:
    """A database of this module's own in the Valkey that all tests share."""
    address, _, options = url.partition("?")
    if address.startswith("unix:"):
        return f"{address}?{options}&db=9" if options else f"{address}?db=9"
    return f"{address.rpartition('/')[0]}/9"


@pytest_asyncio.fixture
async def redis(servers) -> AsyncIterator[ArqRedis]:
    client = rings.client(apart(servers.redis_url))
    await client.flushdb()
    yield client
    await client.flushdb()
    await client.aclose(close_connection_pool=True)


class Working:
    """What a worker process has, with the look or without it."""

    def __init__(self, crm: Any, redis: ArqRedis, *names: str, at_once: int = 5) -> None:
        self.attempts = Attempts(crm, Settings(log_level="error"))
        self.wanted = Wanted()
        self.drains = {name: Drain(self.attempts, name, at_once) for name in names}
        self.relay = Relay(redis, self.drains, self.wanted)
        self.upkeep = Upkeep(crm, system_clock, names, self.wanted, Failures())
        self.parts: list[asyncio.Task[None]] = []

    def start(self, *, looking: bool = False) -> None:
        works = [self.relay.run(), self.relay.listen(), *(each.run() for each in self.relay.rings.values())]
        if looking:
            works.append(self.upkeep.run())
        self.parts = [asyncio.create_task(work) for work in works]

    async def stop(self) -> None:
        await runner.ended(*self.parts)
        await self.relay.bells.stop()
        await asyncio.gather(*(drain.stop(1) for drain in self.drains.values()))
        await self.attempts.finish(1)


@pytest_asyncio.fixture
async def working(crm, redis) -> AsyncIterator[Working]:
    one = Working(crm, redis, "default", "email")
    yield one
    await one.stop()


async def done(database: Any, id: UUID, *, seconds: float = 60) -> None:
    async def is_done() -> bool:
        return await status(database, id) == "DONE"

    await until(is_done, seconds=seconds)


async def nothing(act: Act, arguments: Numbered) -> None: ...


async def enqueue(crm: Any, **values: Any) -> UUID:
    async with crm.transaction() as tx:
        return await jobs.enqueue(Act(tx, system()), kinds.find("test"), Numbered(), **values)


# Bells


async def test_a_commit_that_put_jobs_into_queues_tells_of_them_once(crm, database) -> None:
    told: list[set[str]] = []
    crm.on_queued = told.append
    handle(nothing)
    async with crm.transaction() as tx:
        for _ in range(3):
            await jobs.enqueue(Act(tx, system()), kinds.find("test"), Numbered())
        assert told == []
    assert told == [{"default"}]
    with suppress(ZeroDivisionError):
        async with crm.transaction() as tx:
            await jobs.enqueue(Act(tx, system()), kinds.find("test"), Numbered())
            raise ZeroDivisionError
    await enqueue(crm, due_at=system_clock() + timedelta(hours=1))
    assert told == [{"default"}]
    dead = await put(database, status="DEAD", attempts=1, queue="email")
    async with acting(crm) as act:
        await jobs.retry(act, id=dead)
    assert told == [{"default"}, {"email", "feed"}]  # trying a job again is an event


async def test_a_bell_rung_many_times_is_received_once_and_by_one(redis) -> None:
    receiving = [asyncio.create_task(bells.receive(redis, ["default", "email"])) for _ in range(2)]
    await asyncio.sleep(0.2)
    ringing = Bells(redis)
    for _ in range(50):
        ringing.ring({"email"})
    done, waiting = await asyncio.wait(receiving, return_when=asyncio.FIRST_COMPLETED, timeout=30)
    assert [each.result() for each in done] == ["email"]
    for each in waiting:
        each.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    await ringing.stop()


async def test_a_bell_that_nobody_hears_keeps_ringing(redis) -> None:
    ringing = Bells(redis)
    ringing.ring(["email"])
    await ringing.stop()
    assert await redis.zcard(PREFIX + "email") == 1
    assert await bells.receive(redis, ["default", "email"]) == "email"
    assert await redis.exists(PREFIX + "email") == 0


async def test_ringing_a_valkey_that_is_away_raises_nothing(crm, database) -> None:
    nowhere = rings.client("redis://127.0.0.1:1/0")
    crm.on_queued = Bells(nowhere).ring
    handle(nothing)
    id = await enqueue(crm)
    await asyncio.sleep(0.1)
    assert await status(database, id) == "PENDING"
    await nowhere.aclose(close_connection_pool=True)


# The relay and arq


async def test_what_is_committed_is_taken_up_at_once(crm, database, redis, working) -> None:
    """Without the look; the first time through arq, then while the drain lingers."""
    handle(nothing)
    crm.on_queued = Bells(redis).ring
    working.start()
    await asyncio.sleep(0.3)
    waits = []
    for pause_s in (0.2, 0.2, 0.0, 0.02, 0.2):
        started = time.monotonic()
        await done(database, await enqueue(crm))
        waits.append(time.monotonic() - started)
        await asyncio.sleep(pause_s)
    assert sorted(waits)[2] < 1, waits
    assert not working.drains["default"].is_draining or await redis.zcard(queue_name("default")) <= 1


async def test_a_ring_is_any_workers(crm, database, redis, working) -> None:
    """What one relay rings, another's arq may take up."""
    handle(nothing)
    id = await put(database)
    await Relay(redis, {"default": Drain(working.attempts, "default", 1)}, Wanted()).rings["default"].ring()
    assert await redis.zcard(queue_name("default")) == 1
    working.start()
    await done(database, id)

    async def gone() -> bool:
        return await redis.zcard(queue_name("default")) == 0

    await until(gone)


async def test_a_queue_whose_workers_are_full_is_rung_for_others(crm, database, redis) -> None:
    go = asyncio.Event()

    async def run(act: Act, arguments: Numbered) -> None:
        await go.wait()

    handle(run)
    full, free = Working(crm, redis, "default", at_once=1), Working(crm, redis, "default", at_once=1)
    crm.on_queued = Bells(redis).ring
    full.start()
    try:
        first = await enqueue(crm)

        async def running() -> bool:
            return await status(database, first) == "RUNNING"

        await until(running)
        second = await enqueue(crm)
        await asyncio.sleep(0.3)
        assert await status(database, second) == "PENDING"
        free.start()

        async def taken() -> bool:
            return await status(database, second) == "RUNNING"

        await until(taken)
        go.set()
        await done(database, second)
    finally:
        go.set()
        await full.stop()
        await free.stop()


async def test_a_queue_that_has_room_again_is_listened_for_at_once(crm, database, redis, monkeypatch) -> None:
    """Without the look: a wait for other queues' bells, begun while this one was full, must not keep its bell waiting."""
    go = asyncio.Event()

    async def run(act: Act, arguments: Numbered) -> None:
        await go.wait()

    handle(run)

    async def idle() -> bool:
        return not one.drains["default"].is_draining

    one = Working(crm, redis, "default", "email", at_once=1)
    crm.on_queued = Bells(redis).ring
    monkeypatch.setattr(bells, "BLOCK_S", 0.5)
    one.start()
    try:
        first = await enqueue(crm)
        await until(lambda: _is(database, first, "RUNNING"))
        monkeypatch.setattr(bells, "BLOCK_S", 20.0)
        await asyncio.sleep(1)  # so that the wait was begun while it was full
        go.set()
        await done(database, first)
        await until(idle)
        started = time.monotonic()
        await done(database, await enqueue(crm))
        assert time.monotonic() - started < 10
    finally:
        go.set()
        await one.stop()


async def _is(database: Any, id: UUID, wanted: str) -> bool:
    return await status(database, id) == wanted


async def test_a_worker_without_room_still_sees_valkey_answer(crm, redis) -> None:
    """Else `/readyz` of a worker whose queues are full of long jobs would say that Valkey is away."""
    full, answers = Drain(Attempts(crm, Settings()), "default", 0), []
    relay = Relay(redis, {"default": full}, Wanted(), lambda: answers.append(True))
    listening = asyncio.create_task(relay.listen())

    async def answered() -> bool:
        return bool(answers)

    await until(answered)
    await runner.ended(listening)


async def test_rings_that_nobody_answered_are_taken_out(redis, working) -> None:
    """A killed worker's lie at the head of the queue, and arq looks at the head only."""
    name = queue_name("default")
    for n in range(300):
        await redis.zadd(name, {uuid4().hex: n + 1})
    await working.relay.rings["default"].ring()
    assert await redis.zcard(name) == 1


async def test_a_valkey_that_is_away_is_told_to_whoever_runs_the_relay(crm) -> None:
    nowhere = rings.client("redis://127.0.0.1:1/0")
    lost = Working(crm, nowhere, "default")
    lost.wanted.add("default")
    with pytest.raises((RedisError, OSError)):
        await lost.relay.run()
    assert lost.wanted.queues == {"default"}
    await nowhere.aclose(close_connection_pool=True)


# The look


async def test_the_look_finds_what_no_bell_told_of(crm, database, redis, working) -> None:
    handle(nothing)
    working.start(looking=True)
    await done(database, await put(database))
    await redis.flushdb()
    await done(database, await put(database, queue="email"))


async def test_what_is_due_in_a_moment_is_taken_up_when_it_is(crm, database, redis, working, monkeypatch) -> None:
    """The next look would come after six seconds."""
    monkeypatch.setattr(upkeep, "LOOK_S", 6.0)
    handle(nothing)
    due = system_clock() + timedelta(seconds=1.5)
    id = await put(database, due_at=due)
    working.start(looking=True)
    await done(database, id)
    started = await database.fetchval("SELECT started_at FROM jobs WHERE id = $1", id)
    assert timedelta(0) <= started - due < timedelta(seconds=3)


async def test_a_look_tells_what_there_is_to_do(crm, database) -> None:
    ahead = timedelta(seconds=2)

    async def look(*names: str) -> queues.Look:
        async with crm.connection() as connection:
            return await queues.look(connection, queues=names, now=NOW, ahead=ahead)

    assert await look(*kinds.QUEUES) == queues.Look({}, lease_ran_out=False, schedule_due=False)
    await put(database, queue="bulk", due_at=NOW - timedelta(hours=1))
    await put(database, queue="bulk", due_at=NOW)
    await put(database, queue="email", due_at=LATER)
    await put(database, queue="routing", due_at=NOW + timedelta(hours=1))
    await put(database, status="RUNNING", lease_until=LATER)
    sql = "INSERT INTO schedules (name, kind, every_s, next_at) VALUES ($1, 'x', 60, $2)"
    await database.execute(sql, "soon", LATER)
    due = {"bulk": NOW - timedelta(hours=1), "email": LATER}
    assert await look(*kinds.QUEUES) == queues.Look(due, lease_ran_out=False, schedule_due=False)
    await put(database, status="RUNNING", lease_until=NOW - timedelta(seconds=1))
    await database.execute(sql, "now", NOW)
    assert await look("email") == queues.Look({"email": LATER}, lease_ran_out=True, schedule_due=True)


async def test_how_deep_the_queues_are(crm, database) -> None:
    await put(database, queue="bulk", due_at=NOW - timedelta(hours=1))
    await put(database, queue="bulk", due_at=NOW)
    await put(database, queue="bulk", due_at=LATER)
    await put(database, queue="email", status="RUNNING")
    await put(database, status="DEAD")
    async with crm.connection() as connection:
        found = await queues.depths(connection, queues=["bulk", "email"], now=NOW)
    assert found == queues.Depths({"bulk": queues.Depth(2, 3600.0, 0), "email": queues.Depth(0, 0.0, 1)}, dead=1)
