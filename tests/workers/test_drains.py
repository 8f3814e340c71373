"""A drain does the jobs of a queue by priority, a limited number at once, independent of other queues, until it is stopped."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from crmgql.config import Settings
from crmgql.domain.jobs import kinds
from crmgql.records.records import Act
from crmgql.workers import drains
from crmgql.workers.attempts import Attempts
from crmgql.workers.drains import Drain
from crmgql.workers.handlers import handler
from tests.jobs import Numbered, kind, put, row, status, undone, until
from tests.workers.attempting import effect, effects, handle


@pytest.fixture(autouse=True)
def kinds_of_this_test(monkeypatch) -> Iterator[None]:
    monkeypatch.setattr(drains, "LINGER_S", 0.1)
    with undone():
        yield


@pytest.fixture
def attempts(crm) -> Attempts:
    return Attempts(crm, Settings(log_level="error"))


async def numbered(database, n: int, **values: Any) -> Any:
    return await put(database, arguments=f'{{"n": {n}}}', **values)


async def test_one_drain_does_all_there_is_by_priority(database, attempts) -> None:
    done: list[int] = []

    async def run(act: Act, arguments: Numbered) -> None:
        done.append(arguments.n)

    handle(run)
    for n in range(30):
        await numbered(database, n, priority=n % 3)
    async with asyncio.timeout(60):
        await Drain(attempts, "default", 1).drain()
    assert done == [n for priority in (2, 1, 0) for n in range(30) if n % 3 == priority]
    assert await database.fetchval("SELECT count(*) FROM jobs WHERE status <> 'DONE'") == 0
    assert not attempts.running


async def test_what_is_important_overtakes_what_waits(database, attempts) -> None:
    done: list[int] = []

    async def run(act: Act, arguments: Numbered) -> None:
        done.append(arguments.n)
        if arguments.n == 2:
            await numbered(database, 99, priority=10)

    handle(run)
    for n in range(20):
        await numbered(database, n)
    await Drain(attempts, "default", 1).drain()
    assert done[:5] == [0, 1, 2, 99, 3]


async def test_never_more_at_once_than_allowed(database, attempts) -> None:
    now, most = 0, 0

    async def run(act: Act, arguments: Numbered) -> None:
        nonlocal now, most
        now += 1
        most = max(now, most)
        await asyncio.sleep(0.003 * (arguments.n % 4))
        now -= 1

    handle(run)
    for n in range(60):
        await numbered(database, n)
    drain = Drain(attempts, "default", 4)
    await asyncio.gather(drain.drain(), drain.drain())
    assert most == 4
    assert await database.fetchval("SELECT count(*) FROM jobs WHERE status <> 'DONE'") == 0


async def test_a_place_that_gets_free_is_filled_while_others_work_on(database, attempts) -> None:
    go = asyncio.Event()

    async def run(act: Act, arguments: Numbered) -> None:
        if arguments.n == 0:
            await go.wait()
        await effect(act, f"{arguments.n}")

    handle(run)
    slow = await numbered(database, 0, priority=9)
    others = [await numbered(database, n) for n in range(1, 9)]
    going = asyncio.create_task(Drain(attempts, "default", 2).drain())

    async def all_others() -> bool:
        return {await status(database, id) for id in others} == {"DONE"}

    await until(all_others)
    assert await status(database, slow) == "RUNNING"
    go.set()
    await going
    assert len(await effects(database)) == 9


async def test_who_is_told_while_it_lingers_needs_no_ring(database, attempts, monkeypatch) -> None:
    monkeypatch.setattr(drains, "LINGER_S", 60)

    async def run(act: Act, arguments: Numbered) -> None: ...

    handle(run)
    drain = Drain(attempts, "default", 2)
    going = asyncio.create_task(drain.drain())
    await asyncio.sleep(0.1)
    assert drain.is_draining
    id = await put(database)
    await drain.drain()  # another ring: it is answered at once

    async def done() -> bool:
        return await status(database, id) == "DONE"

    await until(done, seconds=30)
    await drain.stop(2)
    await going
    assert not drain.is_draining


async def test_full_queues_tell_of_more_and_do_not_hold_up_others(database, attempts) -> None:
    go, told = asyncio.Event(), []

    async def run(act: Act, arguments: Numbered) -> None:
        if arguments.n:
            await go.wait()

    handle(run)
    long = [await numbered(database, 1) for _ in range(5)]
    short = await numbered(database, 0, queue="email")
    full = Drain(attempts, "default", 2, told.extend)
    going = asyncio.create_task(full.drain())

    async def two() -> bool:
        return [await status(database, id) for id in long].count("RUNNING") == 2 and bool(told)

    await until(two)
    assert not full.has_room()
    assert told == ["default"]
    await Drain(attempts, "email", 2).drain()
    assert await status(database, short) == "DONE"
    go.set()
    await going
    assert {await status(database, id) for id in long} == {"DONE"}


async def test_failures_are_each_their_own(database, attempts) -> None:
    @handler(kinds.declare(kind("test")), writes=False)
    async def run(act: Act, arguments: Numbered) -> dict[str, Any]:
        if arguments.n % 5 == 0:
            raise RuntimeError("as it should")
        return {"text": "nul \x00" if arguments.n % 5 == 1 else "well"}

    ids = [await numbered(database, n, max_failures=1) for n in range(50)]
    await Drain(attempts, "default", 20).drain()
    await attempts.finish(60)  # a drain ends when nothing waits, whatever runs
    ends = [await row(database, id) for id in ids]
    for n, job in enumerate(ends):
        assert job["status"] == ("DEAD" if n % 5 < 2 else "DONE"), n
        assert job["result"] == (None if n % 5 < 2 else {"text": "well"})


async def test_a_drain_that_is_stopped_claims_nothing_more(database, attempts) -> None:
    inside = asyncio.Event()

    async def run(act: Act, arguments: Numbered) -> None:
        inside.set()
        await asyncio.sleep(60)

    handle(run)
    ids = [await put(database) for _ in range(4)]
    drain = Drain(attempts, "default", 2)
    going = asyncio.create_task(drain.drain())
    async with asyncio.timeout(30):
        await inside.wait()
        await drain.stop(1)
        await attempts.finish(0.1)
        await going
    await drain.drain()
    jobs = [await row(database, id) for id in ids]
    assert {(job["status"], job["failures"]) for job in jobs} == {("PENDING", 0)}
    assert [job["attempts"] for job in jobs] == [1, 1, 0, 0]


async def test_what_was_being_claimed_when_it_was_stopped_is_given_back(database, attempts) -> None:
    async def run(act: Act, arguments: Numbered) -> None:
        raise AssertionError("It was stopped.")

    handle(run)
    id = await put(database)
    drain = Drain(attempts, "default", 2)
    going = asyncio.create_task(drain.drain())
    await asyncio.sleep(0)
    await drain.stop(30)
    await going
    job = await row(database, id)
    assert (job["status"], job["failures"], job["error_code"]) == ("PENDING", 0, None)
