"""Ends that share a commit: each is under its own lease, and one that can't be written does not affect the others."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from crmgql.config import Settings
from crmgql.domain.jobs import jobs, kinds, leases
from crmgql.domain.jobs.leases import LeaseLost
from crmgql.errors import DatabaseTrouble
from crmgql.records.records import Act
from crmgql.viewer import system_clock
from crmgql.workers.attempts import Attempts
from crmgql.workers.ends import Ends
from crmgql.workers.handlers import Run, handler, long_handler
from tests.jobs import Numbered, acting, attempt, claimed, kind, put, row, status, undone
from tests.workers.attempting import again, effect, effects


@pytest.fixture(autouse=True)
def kinds_of_this_test() -> Iterator[None]:
    with undone():
        yield


@pytest.fixture
def attempts(crm) -> Attempts:
    return Attempts(crm, Settings(log_level="error"))


@pytest.fixture
def ends(crm) -> Ends:
    return Ends(crm, uuid4(), system_clock)


async def test_those_that_end_together_share_a_statement(database, ends, monkeypatch) -> None:
    sizes: list[int] = []
    real = leases.done_together

    async def counted(connection: Any, ended: Any, **options: Any) -> Any:
        sizes.append(len(ended))
        return await real(connection, ended, **options)

    monkeypatch.setattr(leases, "done_together", counted)
    ids = [await put(database) for _ in range(30)]
    held = [await claimed(ends.database, id, by=ends.holder) for id in ids]
    await asyncio.gather(*(ends.done(lease, {"n": n}) for n, lease in enumerate(held)))
    assert sizes == [30]
    assert [(await row(database, id))["result"] for id in ids] == [{"n": n} for n in range(30)]


async def test_who_lost_the_lease_hears_of_it_and_the_others_end(database, ends) -> None:
    ids = [await put(database) for _ in range(10)]
    held = [await claimed(ends.database, id, by=ends.holder) for id in ids]
    await database.execute("UPDATE jobs SET lease_by = $2 WHERE id = $1", ids[3], uuid4())
    told = await asyncio.gather(*(ends.done(lease, None) for lease in held), return_exceptions=True)
    assert [isinstance(each, LeaseLost) for each in told] == [n == 3 for n in range(10)]
    assert [await status(database, id) for id in ids] == ["RUNNING" if n == 3 else "DONE" for n in range(10)]


async def test_a_result_that_can_not_be_written_is_its_own_trouble(database, ends) -> None:
    ids = [await put(database) for _ in range(4)]
    held = [await claimed(ends.database, id, by=ends.holder) for id in ids]
    results = [{"text": "nul \x00" if n == 1 else "well"} for n in range(4)]
    told = await asyncio.gather(*map(ends.done, held, results), return_exceptions=True)
    assert [each is None for each in told] == [True, False, True, True]
    assert [await status(database, id) for id in ids] == ["DONE", "RUNNING", "DONE", "DONE"]


async def test_the_databases_trouble_is_told_to_each_and_the_next_ones_end(database, ends, monkeypatch) -> None:
    async def away(*args: Any, **options: Any) -> Any:
        raise DatabaseTrouble("away")

    ids = [await put(database) for _ in range(3)]
    held = [await claimed(ends.database, id, by=ends.holder) for id in ids]
    with monkeypatch.context() as patched:
        patched.setattr(leases, "done_together", away)
        told = await asyncio.gather(*(ends.done(lease, None) for lease in held), return_exceptions=True)
    assert [type(each) for each in told] == [DatabaseTrouble] * 3
    await asyncio.gather(*(ends.done(lease, None) for lease in held))
    assert {await status(database, id) for id in ids} == {"DONE"}


async def test_a_parent_waits_for_its_children_and_ends_with_the_last(database, attempts) -> None:
    @long_handler(kinds.declare(kind("test")))
    async def run(run: Run, arguments: Numbered) -> None:
        if arguments.n:
            async with run.step() as act:
                for _ in range(arguments.n):
                    await jobs.enqueue(act, kinds.find("test"), Numbered(), parent_id=run.lease.id)

    id = await put(database, arguments='{"n": 5}')
    lone = await put(database)
    await asyncio.gather(attempt(attempts, id), attempt(attempts, lone))
    assert [await status(database, each) for each in (id, lone)] == ["WAITING", "DONE"]
    children = [each["id"] for each in await database.fetch("SELECT id FROM jobs WHERE parent_id = $1", id)]
    await asyncio.gather(*(attempt(attempts, child) for child in children))
    assert {await status(database, each) for each in (id, *children)} == {"DONE"}


async def test_a_handler_that_writes_nothing_has_no_transaction(database, attempts) -> None:
    touched: list[bool] = []

    @handler(kinds.declare(kind("test", max_failures=1)), writes=False)
    async def run(act: Act, arguments: Numbered) -> dict[str, Any]:
        if arguments.n:
            touched.append(True)
            await effect(act)
        return {"who": act.viewer.actor_id}

    job = await again(database, await put(database), attempts)
    assert (job["status"], job["result"]) == ("DONE", {"who": None})
    job = await again(database, await put(database, arguments='{"n": 1}', max_failures=1), attempts)
    assert (job["status"], touched) == ("DEAD", [True])
    assert await effects(database) == []


async def test_a_pause_longer_than_the_lease_ends_nothing(crm, database, attempts) -> None:
    """Another worker has the job by then, and its end counts."""
    inside, go = asyncio.Event(), asyncio.Event()

    @long_handler(kinds.declare(kind("test")))
    async def run(run: Run, arguments: Numbered) -> dict[str, Any]:
        if not inside.is_set():
            inside.set()
            await go.wait()
            return {"who": "zombie"}
        return {"who": "other"}

    id = await put(database)
    zombie = asyncio.create_task(attempt(attempts, id))
    await inside.wait()
    async with crm.transaction() as tx:
        assert await leases.expire(tx.connection, now=system_clock() + timedelta(hours=1)) == 1
    other = Attempts(crm, attempts.settings)
    together = asyncio.create_task(attempt(other, id, 1))
    go.set()
    await asyncio.gather(zombie, together)
    job = await row(database, id)
    assert (job["status"], job["result"], job["failures"]) == ("DONE", {"who": "other"}, 1)


async def test_a_cancelled_job_may_still_end_well(crm, database, ends) -> None:
    id = await put(database)
    lease = await claimed(crm, id, by=ends.holder)
    async with acting(crm) as act:
        await jobs.cancel(act, id=id)
    await ends.done(lease, None)
    assert await status(database, id) == "DONE"
