"""Database trouble is no failure of the job: it is put back, and its end is written as soon as the database takes it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import timedelta

import pytest

from crmgql.config import Settings
from crmgql.db import Database
from crmgql.domain.jobs import leases
from crmgql.errors import Conflict, DiskFull, Unavailable
from crmgql.records.records import Act
from crmgql.viewer import system_clock
from crmgql.workers import chapters  # noqa: F401 - declares
from crmgql.workers.attempts import Attempts
from tests.jobs import Numbered, put, row, undone, until
from tests.workers.attempting import again, effect, effects, handle, started


@pytest.fixture(autouse=True)
def kinds_of_this_test() -> Iterator[None]:
    with undone():
        yield


@pytest.fixture
def attempts(crm) -> Attempts:
    return Attempts(crm, Settings(log_level="error"))


def raising(sqlstate: str) -> str:
    return f"DO $$ BEGIN RAISE EXCEPTION 'trouble' USING ERRCODE = '{sqlstate}'; END $$"


@pytest.mark.parametrize(
    ("sqlstate", "code", "failures"),
    [
        ("53100", "SERVICE_UNAVAILABLE", 0),
        ("57P01", "SERVICE_UNAVAILABLE", 0),
        ("57014", "TIMEOUT", 0),
        ("42P01", "INTERNAL_SERVER_ERROR", 1),
    ],
)
async def test_what_is_the_databases_trouble_is_no_failure(database, attempts, sqlstate, code, failures) -> None:
    async def run(act: Act, arguments: Numbered) -> None:
        await effect(act)
        await act.tx.connection.execute(raising(sqlstate))

    handle(run)
    job = await again(database, await put(database, max_failures=2), attempts)
    assert (job["status"], job["error_code"], job["failures"]) == ("PENDING", code, failures)
    assert job["error_message"]
    assert await effects(database) == []


async def test_an_e_mail_server_that_does_not_answer_is_a_failure(database, attempts) -> None:
    async def run(act: Act, arguments: Numbered) -> None:
        raise Unavailable("The SMTP server does not answer.")

    handle(run)
    job = await again(database, await put(database), attempts)
    assert (job["status"], job["error_code"], job["failures"]) == ("PENDING", "SERVICE_UNAVAILABLE", 1)


@pytest.mark.parametrize(("sqlstate", "failures"), [("53100", 0), ("57014", 1), ("57P02", 1)])
async def test_what_troubles_the_database_each_time_does_not_go_round_for_ever(
    database, attempts, sqlstate: str, failures: int
) -> None:
    async def run(act: Act, arguments: Numbered) -> None:
        await act.tx.connection.execute(raising(sqlstate))

    handle(run)
    id = await put(database, attempts=leases.PATIENCE - 1)
    job = await again(database, id, attempts)
    assert (job["status"], job["failures"]) == ("PENDING", 0)
    assert timedelta(seconds=29) < job["due_at"] - system_clock() <= timedelta(seconds=60)
    job = await again(database, id, attempts)
    assert (job["status"], job["failures"]) == ("PENDING", failures)


async def test_the_wait_grows(database, attempts) -> None:
    async def run(act: Act, arguments: Numbered) -> None:
        await act.tx.connection.execute(raising("53100"))

    handle(run)
    id = await put(database)
    waits = [(await again(database, id, attempts))["due_at"] - system_clock() for _ in range(8)]
    for n, wait in enumerate(waits):
        longest = timedelta(seconds=min(2**n, 60))
        assert longest / 2 - timedelta(seconds=1) < wait <= longest, n


class Sick(Database):
    """A database that can't begin a transaction for a while."""

    def __init__(self, crm: Database) -> None:
        self.__dict__.update(crm.__dict__)
        self.refusals = 0

    def transaction(self):
        self.refusals -= 1
        if self.refusals >= 0:
            raise DiskFull("full")
        return super().transaction()


@pytest.fixture
def sick(crm) -> Sick:
    return Sick(crm)


async def test_an_end_that_can_not_be_written_is_written_later(database, sick, monkeypatch) -> None:
    """Meanwhile the lease is extended, and a cancel request does not stop the writing."""
    monkeypatch.setattr("crmgql.workers.attempts.FIRST_WAIT_S", 0.1)
    attempts = Attempts(sick, Settings(log_level="error"))
    inside = asyncio.Event()

    async def run(act: Act, arguments: Numbered) -> None:
        sick.refusals = 1000
        inside.set()
        raise Conflict("As it happens.")

    handle(run)
    id = await put(database)
    going = await started(attempts, id, inside)

    async def refused() -> bool:
        return sick.refusals < 1000

    await until(refused)
    before = (await row(database, id))["lease_until"]
    await database.execute("UPDATE jobs SET cancel_requested_at = now() WHERE id = $1", id)
    await attempts._beat()
    assert (await row(database, id))["lease_until"] > before
    assert (await row(database, id))["status"] == "RUNNING"
    sick.refusals = 0
    await going
    job = await row(database, id)
    assert (job["status"], job["failures"], job["error_code"]) == ("CANCELLED", 1, "CONFLICT")
    assert not attempts.running


async def test_a_worker_that_is_stopped_waits_for_no_database(database, sick, monkeypatch) -> None:
    monkeypatch.setattr("crmgql.workers.attempts.GIVE_BACK_S", 0.3)
    attempts = Attempts(sick, Settings(log_level="error"))
    inside = asyncio.Event()

    async def run(act: Act, arguments: Numbered) -> None:
        sick.refusals = 1000
        inside.set()
        await asyncio.sleep(60)

    handle(run)
    ids = [await put(database), await put(database)]
    await started(attempts, ids[0], inside)
    async with asyncio.timeout(20):
        await attempts.finish(0.1)
    assert (await row(database, ids[0]))["status"] == "RUNNING"  # its lease runs out
    assert not attempts.running
