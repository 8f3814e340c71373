"""Long jobs continue from their last step, and every step is done once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from crmgql.config import Settings
from crmgql.domain.jobs import jobs, kinds, leases
from crmgql.viewer import system_clock
from crmgql.workers.attempts import Attempts
from crmgql.workers.handlers import Run, long_handler
from tests.jobs import Numbered, acting, kind, put, row, undone
from tests.workers.test_attempts import again, effect, effects, started

LONG = timedelta(hours=1)


@pytest.fixture(autouse=True)
def kinds_of_this_test() -> Iterator[None]:
    with undone():
        yield


@pytest.fixture
def attempts(crm) -> Attempts:
    return Attempts(crm, Settings(log_level="error"))


def handle_long(run: Any, **values: Any) -> None:
    long_handler(kinds.declare(kind("test", **values)))(run)


def five_steps(stop_after: list[int]) -> Any:
    async def run(run: Run, arguments: Numbered) -> dict[str, Any]:
        for n in range(run.checkpoint.get("next", 0), 5):
            async with run.step() as act:
                await effect(act, f"step {n}")
                run.checkpoint["next"] = n + 1
                run.progress(done=n + 1, total=5, message=f"{n + 1} of 5")
            if stop_after and stop_after[0] == n + 1:
                stop_after.pop()
                raise RuntimeError("stopped")
        return {"steps": run.done}

    return run


STEPS = [f"step {n}" for n in range(5)]


@pytest.mark.parametrize("after", [1, 3, 5])
async def test_a_long_job_goes_on_where_it_was(database, attempts, after: int) -> None:
    handle_long(five_steps([after]))
    id = await put(database)
    job = await again(database, id, attempts)
    assert (job["status"], job["checkpoint"], job["progress_done"], job["progress_total"]) == (
        "PENDING",
        {"next": after},
        after,
        5,
    )
    assert job["progress_message"] == f"{after} of 5"
    assert await effects(database) == STEPS[:after]
    job = await again(database, id, attempts)
    assert (job["status"], job["result"], job["attempts"]) == ("DONE", {"steps": 5}, 2)
    assert await effects(database) == STEPS


async def test_a_step_that_breaks_is_undone_with_its_checkpoint(database, attempts) -> None:
    breaks = [True]

    async def run(run: Run, arguments: Numbered) -> None:
        for n in range(run.checkpoint.get("next", 0), 5):
            async with run.step() as act:
                await effect(act, f"step {n}")
                run.checkpoint["next"] = n + 1
                if n == 2 and breaks and breaks.pop():
                    raise RuntimeError("broken")

    handle_long(run)
    id = await put(database)
    assert (await again(database, id, attempts))["checkpoint"] == {"next": 2}
    assert await effects(database) == STEPS[:2]
    await again(database, id, attempts)
    assert await effects(database) == STEPS


async def test_a_long_job_that_lost_its_lease_stops_at_its_next_step(database, crm, attempts) -> None:
    inside, go = asyncio.Event(), asyncio.Event()

    async def run(run: Run, arguments: Numbered) -> None:
        for n in range(run.checkpoint.get("next", 0), 5):
            async with run.step() as act:
                await effect(act, f"step {n}")
                run.checkpoint["next"] = n + 1
            if n == 1 and not inside.is_set():
                inside.set()
                await go.wait()

    handle_long(run)
    id = await put(database)
    zombie = await started(attempts, id, inside)
    async with crm.transaction() as tx:
        await leases.expire(tx.connection, now=system_clock() + LONG)
    go.set()
    await zombie
    assert await effects(database) == STEPS[:2]
    assert (await again(database, id, Attempts(crm, attempts.settings)))["status"] == "DONE"
    assert await effects(database) == STEPS


async def test_cancelling_a_running_job_undoes_the_step_it_is_in(database, crm, attempts) -> None:
    inside = asyncio.Event()

    async def run(run: Run, arguments: Numbered) -> None:
        for n in range(5):
            async with run.step() as act:
                await effect(act, f"step {n}")
                if n == 2:
                    inside.set()
                    await asyncio.sleep(60)

    handle_long(run)
    id = await put(database)
    going = await started(attempts, id, inside)
    async with acting(crm) as act:
        await jobs.cancel(act, id=id)
    await attempts._beat()
    async with asyncio.timeout(30):
        await going
    job = await row(database, id)
    assert (job["status"], job["failures"], job["error_code"]) == ("CANCELLED", 0, None)
    assert attempts.tally.outcomes == {("test", "cancelled"): 1}
    assert await effects(database) == STEPS[:2]


async def test_a_cancelled_long_job_stops_at_its_next_step_even_unheard(database, crm, attempts) -> None:
    async def run(run: Run, arguments: Numbered) -> None:
        for n in range(5):
            async with run.step() as act:
                await effect(act, f"step {n}")
            if n == 1:
                async with acting(crm) as act:
                    await jobs.cancel(act, id=run.lease.id)

    handle_long(run)
    job = await again(database, await put(database), attempts)
    assert job["status"] == "CANCELLED"
    assert await effects(database) == STEPS[:2]


async def test_children_of_a_job_are_waited_for(database, attempts) -> None:
    async def run(run: Run, arguments: Numbered) -> None:
        if arguments.n:
            async with run.step() as act:
                for _ in range(arguments.n):
                    await jobs.enqueue(act, kinds.find("test"), Numbered(), parent_id=run.lease.id)

    handle_long(run)
    id = await put(database, arguments='{"n": 2}')
    assert (await again(database, id, attempts))["status"] == "WAITING"
    for child in await database.fetch("SELECT id FROM jobs WHERE parent_id = $1", id):
        await again(database, child["id"], attempts)
    assert (await row(database, id))["status"] == "DONE"
