"""The relay: what is due is rung, once and again where a ring was lost; what is dead does not lie about in arq."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
import pytest_asyncio
from arq.connections import ArqRedis
from arq.constants import in_progress_key_prefix, job_key_prefix, retry_key_prefix
from arq.jobs import Job as Rung
from redis.exceptions import RedisError

from crmgql.domain.jobs import leases
from crmgql.workers import relay as relays
from crmgql.workers import runner
from crmgql.workers.relay import Relay, queue_name
from tests.conftest import NOW
from tests.jobs import claimed, end, put, row, until

DEFAULT = queue_name("default")


class Hands:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now: datetime = NOW

    def __call__(self) -> datetime:
        return self.now

    def pass_(self, **values: float) -> None:
        self.now += timedelta(**values)


@pytest.fixture
def clock() -> Hands:
    return Hands()


def apart(url: str) -> str:
    """A database of this module's own in the Valkey that all tests share."""
    address, _, options = url.partition("?")
    if address.startswith("unix:"):
        return f"{address}?{options}&db=9" if options else f"{address}?db=9"
    return f"{address.rpartition('/')[0]}/9"


@pytest_asyncio.fixture
async def redis(servers) -> AsyncIterator[ArqRedis]:
    client = runner.client(apart(servers.redis_url))
    await client.flushdb()
    yield client
    await client.flushdb()
    await client.aclose(close_connection_pool=True)


@pytest.fixture
def relay(crm, redis, clock) -> Relay:
    return Relay(crm, redis, ["default", "email"], room=10, clock=clock)


async def rung(redis: ArqRedis, queue: str = "default") -> list[str]:
    return [name.decode() for name in await redis.zrange(queue_name(queue), 0, -1)]


async def test_what_is_due_is_rung_for_arq_to_read(database, redis, relay) -> None:
    id, other = await put(database), await put(database, queue="email", attempts=3)
    await put(database, queue="bulk")
    await put(database, due_at=NOW + timedelta(seconds=1))
    await relay.ring()
    await relay.ring()
    assert (await rung(redis), await rung(redis, "email")) == ([f"{id}:0"], [f"{other}:3"])
    assert (await rung(redis, "bulk"), (await row(database, id))["rung_at"]) == ([], NOW)
    rung_ids = await Rung(
        f"{other}:3", redis, _queue_name=queue_name("email"), _deserializer=redis.job_deserializer
    ).info()
    assert rung_ids is not None
    assert (rung_ids.function, rung_ids.args, rung_ids.kwargs) == ("attempt", [str(other), 3], {})


async def test_what_is_deferred_is_rung_at_its_time(database, redis, relay, clock) -> None:
    id = await put(database, due_at=NOW + timedelta(hours=1))
    clock.pass_(minutes=59)
    await relay.ring()
    assert await rung(redis) == []
    clock.pass_(minutes=1)
    await relay.ring()
    assert await rung(redis) == [f"{id}:0"]


async def test_what_is_important_overtakes_a_thousand(database, redis, relay) -> None:
    await database.execute(
        "INSERT INTO jobs (kind, queue, due_at, max_failures) SELECT 'test', 'default', $1, 5 FROM generate_series(1, 1000)",
        NOW - timedelta(hours=1),
    )
    await relay.ring()
    assert len(await rung(redis)) == 10
    urgent = await put(database, priority=1, due_at=NOW)
    for each in await database.fetch("SELECT id FROM jobs WHERE rung_at IS NOT NULL LIMIT 1"):
        await claimed(relay.database, each["id"])
    await relay.ring()
    assert f"{urgent}:0" in await rung(redis)
    assert len(await rung(redis)) == 11


async def test_many_relays_ring_each_job_once(crm, database, redis, clock) -> None:
    ids = {await put(database) for _ in range(80)}
    several = [Relay(crm, redis, ["default"], room=1000, clock=clock) for _ in range(4)]
    rung_ids: list[str] = []
    for each in several:
        ring = each._ring

        async def noted(rings: Any, ring: Any = ring) -> None:
            rung_ids.extend(str(ring.job_id) for ring in rings)
            await ring(rings)

        each._ring = noted  # type: ignore[method-assign]
    await asyncio.gather(*(each.ring() for each in several))
    assert sorted(rung_ids) == sorted(str(id) for id in ids)
    assert len(await rung(redis)) == 80


async def test_a_valkey_that_lost_everything_is_told_again(database, redis, relay, clock) -> None:
    ids = [await put(database) for _ in range(3)]
    taken = await put(database)
    await relay.ring()
    await claimed(relay.database, taken)
    await redis.flushdb()
    await relay.ring_lost()
    assert await rung(redis) == []
    clock.pass_(seconds=21)
    await relay.ring_lost()
    assert sorted(await rung(redis)) == sorted(f"{id}:0" for id in ids)


async def test_ringing_again_what_is_there_changes_nothing(database, redis, relay, clock) -> None:
    id = await put(database)
    await relay.ring()
    before = await redis.zrange(DEFAULT, 0, -1, withscores=True)
    text = await redis.get(job_key_prefix + f"{id}:0")
    clock.pass_(seconds=21)
    await relay.ring_lost()
    assert await redis.zrange(DEFAULT, 0, -1, withscores=True) == before
    assert await redis.get(job_key_prefix + f"{id}:0") == text
    assert (await row(database, id))["rung_at"] == clock.now


async def test_a_valkey_that_is_away_leaves_jobs_unrung(crm, database, redis, relay, clock) -> None:
    id = await put(database)
    nowhere = runner.client("redis://127.0.0.1:1/0")
    with pytest.raises((RedisError, OSError)):
        await Relay(crm, nowhere, ["default"], room=10, clock=clock).ring()
    await nowhere.aclose(close_connection_pool=True)
    assert (await row(database, id))["rung_at"] is None
    await relay.ring()
    assert await rung(redis) == [f"{id}:0"]


async def test_dead_rings_are_taken_out_and_live_ones_stay(database, redis, relay) -> None:
    waiting, running, over = [await put(database) for _ in range(3)]
    await relay.ring()
    await claimed(relay.database, running)
    await end(relay.database, await claimed(relay.database, over))
    again = await put(database, attempts=1)
    live = [f"{waiting}:0", f"{running}:0", f"{again}:1"]
    dead = [f"{over}:0", f"{again}:0", f"{waiting}:1", f"{uuid4()}:0"]
    prefixes = (job_key_prefix, in_progress_key_prefix, retry_key_prefix)
    for name in [*live, *dead]:
        await redis.zadd(DEFAULT, {name: 1})
        for prefix in prefixes:
            await redis.set(prefix + name, "x")
    await redis.zadd(DEFAULT, {"somebody else's": 0})
    await relay.forget()
    assert set(await rung(redis)) == {*live, "somebody else's"}
    assert await redis.exists(*(prefix + name for prefix in prefixes for name in live)) == 9
    assert await redis.exists(*(prefix + name for prefix in prefixes for name in dead)) == 0


async def test_a_head_full_of_dead_rings_does_not_block_the_queue(database, redis, relay) -> None:
    await redis.zadd(DEFAULT, {f"{uuid4()}:{n}": n for n in range(relays.HEAD + 50)})
    id = await put(database)
    await relay.ring()
    await relay.forget()
    await relay.forget()
    assert await rung(redis) == [f"{id}:0"]


async def test_the_relay_rings_by_itself_and_waits_for_a_lost_database(database, redis, relay, clock) -> None:
    going = asyncio.create_task(relay.run())
    try:

        async def rung_ids(id: UUID) -> bool:
            return f"{id}:0" in await rung(redis)

        first = await put(database)
        await until(lambda: rung_ids(first))
        await database.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        second = await put(database)
        await until(lambda: rung_ids(second))
        clock.pass_(seconds=leases.RING_AGAIN.seconds + 1)
        assert not going.done()
    finally:
        going.cancel()
        await asyncio.gather(going, return_exceptions=True)
