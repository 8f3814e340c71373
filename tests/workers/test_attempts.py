"""Attempts at jobs: the effect exists exactly when the job is DONE, whatever happens in between."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from crmgql.config import Settings
from crmgql.domain.jobs import kinds, leases
from crmgql.errors import BadUserInput, Conflict, CrmError, NotFound
from crmgql.records.records import Act, Collided
from crmgql.viewer import system_clock
from crmgql.workers import chapters  # noqa: F401 - declares
from crmgql.workers.attempts import Attempts
from crmgql.workers.handlers import HANDLERS
from tests.jobs import Numbered, attempt, put, row, undone, until
from tests.workers.attempting import LONG, again, effect, effects, handle, started


@pytest.fixture(autouse=True)
def kinds_of_this_test() -> Iterator[None]:
    with undone():
        yield


@pytest.fixture
def attempts(crm) -> Attempts:
    return Attempts(crm, Settings(log_level="error"))


# In one transaction


async def test_the_effect_and_the_end_are_one(database, attempts) -> None:
    async def run(act: Act, arguments: Numbered) -> dict[str, Any]:
        await effect(act, f"team {arguments.n}")
        return {"n": arguments.n, "at": act.now.year > 2000, "who": act.viewer.actor_id}

    handle(run)
    id = await put(database, arguments='{"n": 7}')
    job = await again(database, id, attempts)
    assert (job["status"], job["result"]) == ("DONE", {"n": 7, "at": True, "who": None})
    assert await effects(database) == ["team 7"]
    await attempt(attempts, id, 0)
    await attempt(attempts, id, 1)
    assert await effects(database) == ["team 7"]
    assert attempts.running == {}


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (RuntimeError("secret"), "PENDING", "INTERNAL_SERVER_ERROR"),
        (Conflict("busy"), "PENDING", "CONFLICT"),
        (Collided("x"), "PENDING", "SERVICE_UNAVAILABLE"),
        (NotFound("gone"), "DEAD", "NOT_FOUND"),
    ],
)
async def test_a_failure_after_the_effect_undoes_it(
    database, attempts, error: Exception, status: str, code: str
) -> None:
    failing = [error]

    async def run(act: Act, arguments: Numbered) -> None:
        await effect(act)
        if failing:
            raise failing.pop()

    handle(run)
    id = await put(database)
    job = await again(database, id, attempts)
    assert (job["status"], job["error_code"], job["failures"]) == (status, code, 1)
    assert "secret" not in job["error_message"]
    assert await effects(database) == []
    if status == "PENDING":
        assert (await again(database, id, attempts))["status"] == "DONE"
        assert await effects(database) == ["effect"]


async def test_a_result_that_is_no_json_is_a_failure(database, attempts) -> None:
    async def run(act: Act, arguments: Numbered) -> dict[str, Any]:
        await effect(act)
        return {"text": "nul \x00"}

    handle(run)
    assert (await again(database, await put(database), attempts))["status"] == "DEAD"
    assert await effects(database) == []


@pytest.mark.parametrize("where", ["before", "after"])
async def test_a_connection_that_is_cut_in_the_middle(database, attempts, where: str) -> None:
    cuts = [where]

    async def run(act: Act, arguments: Numbered) -> None:
        if cuts == ["after"]:
            await effect(act)
        if cuts:
            cuts.pop()
            await database.execute("SELECT pg_terminate_backend($1, 30_000)", act.tx.connection.get_server_pid())
        await effect(act)

    handle(run)
    id = await put(database)
    job = await again(database, id, attempts)
    assert (job["status"], job["failures"], job["error_code"]) == ("PENDING", 0, "SERVICE_UNAVAILABLE")
    assert await effects(database) == []
    assert (await again(database, id, attempts))["status"] == "DONE"
    assert await effects(database) == ["effect"]


async def test_who_lost_the_lease_writes_nothing(database, crm, attempts) -> None:
    first, go = asyncio.Event(), asyncio.Event()

    async def run(act: Act, arguments: Numbered) -> None:
        await effect(act)
        if not first.is_set():
            first.set()
            await go.wait()

    handle(run)
    id = await put(database)
    zombie = await started(attempts, id, first)
    async with crm.transaction() as tx:
        assert await leases.expire(tx.connection, now=system_clock() + LONG) == 1
    other = Attempts(crm, attempts.settings)
    assert (await again(database, id, other))["status"] == "DONE"
    before = await row(database, id)
    go.set()
    await zombie
    assert await effects(database) == ["effect"]
    assert await row(database, id) == before


async def test_the_heartbeat_stops_who_lost_the_lease(database, crm, attempts) -> None:
    inside = asyncio.Event()

    async def run(act: Act, arguments: Numbered) -> None:
        await effect(act)
        inside.set()
        await asyncio.sleep(60)

    handle(run)
    id = await put(database)
    zombie = await started(attempts, id, inside)
    async with crm.transaction() as tx:
        await leases.expire(tx.connection, now=system_clock() + LONG)
    before = await row(database, id)
    await attempts._beat()
    async with asyncio.timeout(30):
        await zombie
    assert await effects(database) == []
    assert await row(database, id) == before
    assert attempts.tally.outcomes == {("test", "lease lost"): 1}


async def test_a_later_attempt_in_the_same_process_keeps_its_heartbeat(database, crm, attempts) -> None:
    insides = [asyncio.Event(), asyncio.Event()]
    goes = [asyncio.Event(), asyncio.Event()]
    entered = iter(range(2))

    async def run(act: Act, arguments: Numbered) -> None:
        mine = next(entered)
        insides[mine].set()
        await goes[mine].wait()
        await effect(act)

    handle(run)
    id = await put(database)
    zombie = await started(attempts, id, insides[0])
    async with crm.transaction() as tx:
        await leases.expire(tx.connection, now=system_clock() + LONG)
    second = await started(attempts, id, insides[1], 1)
    goes[0].set()
    await zombie
    assert attempts.running == {id: second}
    goes[1].set()
    await second
    assert (await row(database, id))["status"] == "DONE"
    assert await effects(database) == ["effect"]


async def test_the_heartbeat_lengthens_what_runs(database, attempts) -> None:
    inside, go = asyncio.Event(), asyncio.Event()

    async def run(act: Act, arguments: Numbered) -> None:
        inside.set()
        await go.wait()

    handle(run)
    id = await put(database)
    going = await started(attempts, id, inside)
    before = (await row(database, id))["lease_until"]
    await attempts._beat()
    assert (await row(database, id))["lease_until"] > before
    go.set()
    await going
    await attempts._beat()
    assert (await row(database, id))["status"] == "DONE"


async def test_an_attempt_that_takes_too_long(database, attempts) -> None:
    async def run(act: Act, arguments: Numbered) -> None:
        await effect(act)
        await act.tx.connection.execute("SELECT pg_sleep(30)")

    handle(run, timeout_s=0.3)
    job = await again(database, await put(database), attempts)
    assert (job["status"], job["error_code"], job["failures"]) == ("PENDING", "JOB_TIMED_OUT", 1)
    assert await effects(database) == []


async def test_a_database_that_is_away_leaves_the_job_as_it_is(database, crm, attempts) -> None:
    async def run(act: Act, arguments: Numbered) -> None:
        await effect(act)

    handle(run)
    id = await put(database)
    async with crm.connection() as one, crm.connection() as two, crm.connection() as three, crm.connection() as four:
        for each in (one, two, three, four):
            await database.execute("SELECT pg_terminate_backend($1)", each.get_server_pid())
    for _ in range(6):
        if (await row(database, id))["status"] != "DONE":
            await again(database, id, attempts)
    assert (await row(database, id))["status"] == "DONE"
    assert await effects(database) == ["effect"]


# Kinds and arguments


async def test_a_kind_that_nothing_here_knows(database, attempts) -> None:
    job = await again(database, await put(database, kind="no.such"), attempts)
    assert (job["status"], job["error_code"]) == ("DEAD", "JOB_KIND_UNKNOWN")


@pytest.mark.parametrize(
    ("version", "arguments", "code"),
    [
        (1, '{"n": 1}', "JOB_ARGUMENTS_OUTDATED"),
        (3, '{"n": 1}', "JOB_ARGUMENTS_OUTDATED"),
        (2, '{"n": "x"}', "BAD_USER_INPUT"),
        (2, '{"m": 1}', "BAD_USER_INPUT"),
        (2, "[]", "BAD_USER_INPUT"),
    ],
)
async def test_arguments_that_do_not_fit(database, attempts, version: int, arguments: str, code: str) -> None:
    async def run(act: Act, arguments: Numbered) -> None:
        await effect(act)

    handle(run, version=2)
    job = await again(database, await put(database, arguments=arguments, arguments_version=version), attempts)
    assert (job["status"], job["error_code"], job["failures"]) == ("DEAD", code, 1)
    assert await effects(database) == []


async def test_older_arguments_are_upgraded(database, attempts) -> None:
    async def run(act: Act, arguments: Numbered) -> dict[str, Any]:
        return {"n": arguments.n}

    handle(run, version=3, upgrade=lambda given, version: {"n": given["number"] * version})
    id = await put(database, arguments='{"number": 5}', arguments_version=2)
    assert (await again(database, id, attempts))["result"] == {"n": 10}


def test_every_kind_has_a_handler_and_every_handler_a_kind() -> None:
    assert HANDLERS.keys() == kinds.KINDS.keys()


# Stopping the worker


async def test_a_stopped_worker_gives_back_what_it_does(database, attempts) -> None:
    inside = asyncio.Event()

    async def run(act: Act, arguments: Numbered) -> None:
        await effect(act)
        inside.set()
        await asyncio.sleep(60)

    handle(run)
    id = await put(database)
    going = await started(attempts, id, inside)
    async with asyncio.timeout(30):
        await attempts.finish(0.1)
    assert going.cancelled()
    job = await row(database, id)
    assert (job["status"], job["failures"], job["attempts"]) == ("PENDING", 0, 1)
    assert job["due_at"] <= system_clock()
    assert await effects(database) == []


async def test_a_stopped_worker_lets_end_what_is_about_to(database, attempts) -> None:
    inside = asyncio.Event()

    async def run(act: Act, arguments: Numbered) -> None:
        inside.set()
        await asyncio.sleep(0.2)
        await effect(act)

    handle(run)
    id = await put(database)
    await started(attempts, id, inside)
    await attempts.finish(10)
    assert (await row(database, id))["status"] == "DONE"
    assert await effects(database) == ["effect"]


async def test_a_job_started_by_many_rings_at_once_is_done_once(database, crm, attempts) -> None:
    async def run(act: Act, arguments: Numbered) -> None:
        await effect(act)
        await asyncio.sleep(0.01)

    handle(run)
    ids = [await put(database) for _ in range(5)]
    workers = [attempts, Attempts(crm, attempts.settings)]
    await asyncio.gather(*(attempt(worker, id, n) for worker in workers for id in ids for n in (0, 1, 0)))
    assert len(await effects(database)) == 5


async def test_the_heartbeat_goes_on_while_jobs_hold_every_connection(database, attempts) -> None:
    inside, go = asyncio.Event(), asyncio.Event()
    held = []

    async def run(act: Act, arguments: Numbered) -> None:
        held.append(1)
        if len(held) == 4:
            inside.set()
        await go.wait()

    handle(run)
    ids = [await put(database) for _ in range(4)]
    going = [asyncio.create_task(attempt(attempts, id, 0)) for id in ids]
    async with asyncio.timeout(60):
        await inside.wait()
    before = await database.fetchval("SELECT min(lease_until) FROM jobs")
    beating = asyncio.create_task(attempts._beat())
    done, _ = await asyncio.wait([beating], timeout=20)
    after = await database.fetchval("SELECT min(lease_until) FROM jobs")
    go.set()
    await asyncio.gather(*going, beating)
    assert done
    assert after > before


async def test_the_heartbeat_comes_back_after_its_connection_was_cut(database, attempts) -> None:
    inside, go = asyncio.Event(), asyncio.Event()

    async def run(act: Act, arguments: Numbered) -> None:
        inside.set()
        await go.wait()

    handle(run)
    id = await put(database)
    going = await started(attempts, id, inside)
    await attempts._beat()
    async with attempts.database.reserved() as connection:
        await database.execute("SELECT pg_terminate_backend($1)", connection.get_server_pid())
    beats = []
    for _ in range(2):
        before = (await row(database, id))["lease_until"]
        with suppress(CrmError):
            await attempts._beat()
        beats.append((await row(database, id))["lease_until"] > before)
    assert beats[-1]
    go.set()
    await going
    assert (await row(database, id))["status"] == "DONE"


async def test_a_handler_that_will_not_stop_does_not_keep_the_worker(database, attempts) -> None:
    inside = asyncio.Event()

    async def run(act: Act, arguments: Numbered) -> None:
        inside.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError as error:
            raise BadUserInput("swallowed") from error

    handle(run)
    id = await put(database)
    await started(attempts, id, inside)
    async with asyncio.timeout(30):
        await attempts.finish(0.1)

    async def over() -> bool:
        return (await row(database, id))["status"] == "DEAD"

    await until(over)


async def test_an_error_whose_text_is_no_unicode_is_written(database, attempts) -> None:
    """As an SMTP server may answer in another encoding."""

    async def run(act: Act, arguments: Numbered) -> None:
        raise Conflict("Postfach \udcfcberf\udcfcllt \x00")

    handle(run)
    job = await again(database, await put(database), attempts)
    assert (job["status"], job["failures"], job["error_message"]) == ("PENDING", 1, "Postfach ?berf?llt ")
