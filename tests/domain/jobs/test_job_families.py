"""Parents and children: a parent ends with its last child, whoever ends first; jobs cancelled, retried, dropped."""

from __future__ import annotations

import asyncio
import random
from typing import Any
from uuid import UUID

import pytest

from crmgql.domain.jobs import jobs, kinds, leases
from crmgql.domain.jobs.leases import Lease
from crmgql.errors import BadUserInput, Conflict, IllegalTransition
from crmgql.records import records
from tests.conftest import NOW
from tests.jobs import acting, claimed, end, kind, put, row, status, undone


@pytest.fixture(autouse=True)
def kinds_of_this_test():
    with undone():
        kinds.declare(kind("test"))
        yield


async def running(crm, database, parent: UUID | None = None) -> Lease:
    return await claimed(crm, await put(database, parent_id=parent))


async def die(crm, lease: Lease) -> None:
    async with crm.transaction() as tx:
        assert await leases.failed(tx.connection, lease, now=NOW, error=BadUserInput("no"))


async def retry(crm, id: UUID) -> None:
    async with acting(crm) as act:
        await jobs.retry(act, id=id)


async def cancel(crm, id: UUID) -> None:
    async with acting(crm) as act:
        await jobs.cancel(act, id=id)


async def statuses(database, *of: Any) -> list[str]:
    return [await status(database, each.id if isinstance(each, Lease) else each) for each in of]


async def test_a_parent_waits_for_its_children_and_theirs(crm, database) -> None:
    top = await running(crm, database)
    middle = await running(crm, database, top.id)
    one, two = [await running(crm, database, middle.id) for _ in range(2)]
    await end(crm, top)
    await end(crm, middle)
    await end(crm, one)
    assert await statuses(database, top, middle, one, two) == ["WAITING", "WAITING", "DONE", "RUNNING"]
    await end(crm, two)
    assert await statuses(database, top, middle, one, two) == ["DONE"] * 4
    assert (await row(database, top.id))["finished_at"] == NOW


async def test_a_parent_whose_children_ended_first_does_not_wait(crm, database) -> None:
    parent = await running(crm, database)
    await end(crm, await running(crm, database, parent.id))
    assert await statuses(database, parent) == ["RUNNING"]
    await end(crm, parent)
    assert await statuses(database, parent) == ["DONE"]


@pytest.mark.parametrize("first", ["parent", "child"])
async def test_a_dead_child_makes_its_parent_dead_whoever_ends_first(crm, database, first: str) -> None:
    top = await running(crm, database)
    parent = await running(crm, database, top.id)
    child, good = await running(crm, database, parent.id), await running(crm, database, parent.id)
    steps = [end(crm, top), end(crm, parent), die(crm, child), end(crm, good)]
    for step in steps if first == "parent" else reversed(steps):
        await step
    assert await statuses(database, top, parent, child, good) == ["DEAD", "DEAD", "DEAD", "DONE"]
    assert (await row(database, parent.id))["error_code"] == "JOB_CHILD_DEAD"
    await retry(crm, child.id)
    assert await statuses(database, top, parent, child) == ["WAITING", "WAITING", "PENDING"]
    await end(crm, await claimed(crm, child.id, 1))
    assert await statuses(database, top, parent, child) == ["DONE"] * 3
    assert (await row(database, parent.id))["error_code"] is None


async def test_a_parent_dead_of_its_own_stays_so(crm, database) -> None:
    parent = await running(crm, database)
    child = await running(crm, database, parent.id)
    await die(crm, parent)
    await die(crm, child)
    await retry(crm, child.id)
    assert await statuses(database, parent, child) == ["DEAD", "PENDING"]


async def test_of_two_dead_children_the_second_keeps_the_parent_dead(crm, database) -> None:
    parent = await running(crm, database)
    one, two = [await running(crm, database, parent.id) for _ in range(2)]
    await end(crm, parent)
    await die(crm, one)
    assert await statuses(database, parent) == ["WAITING"]
    await die(crm, two)
    await retry(crm, one.id)
    await end(crm, await claimed(crm, one.id, 1))
    assert await statuses(database, parent, one, two) == ["DEAD", "DONE", "DEAD"]


async def test_parent_and_children_ending_at_once_all_end(crm, database) -> None:
    for _ in range(60):
        top = await running(crm, database)
        parent = await running(crm, database, top.id)
        family = [top, parent, *[await running(crm, database, parent.id) for _ in range(2)]]
        random.shuffle(family)
        await asyncio.gather(*(end(crm, lease) for lease in family))
        assert await statuses(database, *family) == ["DONE"] * 4


async def test_a_child_retried_while_its_sibling_ends_is_waited_for(crm, database) -> None:
    for _ in range(40):
        parent = await running(crm, database)
        dead, last = [await running(crm, database, parent.id) for _ in range(2)]
        await end(crm, parent)
        await die(crm, dead)
        await asyncio.gather(end(crm, last), retry(crm, dead.id))
        assert await statuses(database, parent, dead, last) == ["WAITING", "PENDING", "DONE"]
        await end(crm, await claimed(crm, dead.id, 1))
        assert await statuses(database, parent) == ["DONE"]


async def test_cancelling_while_it_is_claimed_or_ends_leaves_one_of_both(crm, database) -> None:
    for _ in range(25):
        id = await put(database)

        async def take(id: UUID = id) -> list[Lease]:
            async with crm.connection() as connection:
                return await leases.claim(connection, queue="default", limit=1, holder=UUID(int=1), now=NOW)

        mine, _ = await asyncio.gather(take(), cancel(crm, id))
        job = await row(database, id)
        assert job["status"] == ("RUNNING" if mine else "CANCELLED")
        assert job["cancel_requested_at"] == NOW


async def test_cancelling_a_parent_while_its_child_ends_leaves_neither_alive(crm, database) -> None:
    """They lock from opposite ends; one of them may be undone and is then done again, as workers and the API do."""

    async def insisting(verb: Any, *arguments: Any) -> None:
        while True:
            try:
                return await verb(*arguments)
            except records.COLLIDED:
                continue
            except IllegalTransition:
                return None

    for _ in range(15):
        parent = await running(crm, database)
        child = await running(crm, database, parent.id)
        await end(crm, parent)
        await asyncio.gather(insisting(end, crm, child), insisting(cancel, crm, parent.id))
        assert await statuses(database, parent, child) in (["CANCELLED", "DONE"], ["DONE", "DONE"])


async def test_cancelling_ends_what_waits_and_asks_what_runs(crm, database) -> None:
    top = await put(database)
    parent = await running(crm, database, top)
    child, over = await put(database, parent_id=parent.id), await put(database, status="DONE", parent_id=parent.id)
    busy = await running(crm, database, parent.id)
    await end(crm, parent)
    await end(crm, await claimed(crm, top))
    await cancel(crm, top)
    assert await statuses(database, top, parent, child, over) == ["CANCELLED", "CANCELLED", "CANCELLED", "DONE"]
    job = await row(database, busy.id)
    assert (job["status"], job["cancel_requested_at"], job["finished_at"]) == ("RUNNING", NOW, None)
    async with crm.transaction() as tx:
        await leases.cancelled(tx.connection, busy, now=NOW)
    assert await statuses(database, busy) == ["CANCELLED"]


@pytest.mark.parametrize("was", ["PENDING", "RUNNING"])
async def test_a_parent_does_not_wait_for_a_cancelled_child(crm, database, was: str) -> None:
    parent = await running(crm, database)
    child = await put(database, parent_id=parent.id)
    lease = await claimed(crm, child) if was == "RUNNING" else None
    await end(crm, parent)
    await cancel(crm, child)
    if lease is not None:
        assert await statuses(database, parent) == ["WAITING"]
        async with crm.transaction() as tx:
            await leases.cancelled(tx.connection, lease, now=NOW)
    assert await statuses(database, parent, child) == ["DONE", "CANCELLED"]


async def test_what_is_under_way_again_is_not_retried(crm, database) -> None:
    schedule = await database.fetchval(
        "INSERT INTO schedules (name, kind, every_s) VALUES ('x', 'test', 60) RETURNING id"
    )
    for own in ({"unique_key": "k"}, {"schedule_id": schedule}):
        dead = await put(database, status="DEAD", error_code="JOB_CHILD_DEAD", **own)
        child = await put(database, status="DEAD", parent_id=dead)
        await put(database, **own)
        for id in (dead, child):
            with pytest.raises(Conflict):
                await retry(crm, id)
        assert await statuses(database, dead, child) == ["DEAD", "DEAD"]


async def test_a_retried_job_has_all_its_patience_and_is_due_now(crm, database) -> None:
    id = await put(
        database,
        status="DEAD",
        attempts=9,
        failures=5,
        max_failures=5,
        error_code="X",
        checkpoint='{"a": 1}',
    )
    await retry(crm, id)
    job = await row(database, id)
    assert (job["status"], job["failures"], job["max_failures"], job["due_at"]) == ("PENDING", 5, 10, NOW)
    assert (job["error_code"], job["finished_at"], job["checkpoint"]) == (None, None, {"a": 1})
