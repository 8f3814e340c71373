"""Claims of one process share statements: each gets its own answer, and who left is not left holding a lease."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID, uuid4

import pytest

from crmgql.db import Database
from crmgql.domain.jobs import leases
from crmgql.errors import DatabaseTrouble, Unavailable
from crmgql.viewer import system_clock
from crmgql.workers.claims import Claims
from tests.jobs import put, row, status, until


@pytest.fixture
def claims(crm) -> Claims:
    return Claims(crm, uuid4(), system_clock)


async def test_each_gets_its_own(database, claims) -> None:
    ids = [await put(database, attempts=n % 3) for n in range(30)]
    asked = [(id, n % 3) for n, id in enumerate(ids)] + [(ids[0], 9), (uuid4(), 0)]
    leases = await asyncio.gather(*(claims.take(*each) for each in asked))
    assert [lease and (lease.id, lease.attempts - 1) for lease in leases] == [*asked[:30], None, None]
    assert {(await row(database, id))["lease_by"] for id in ids} == {claims.holder}


async def test_of_two_who_ask_for_the_same_one_gets_it(database, claims) -> None:
    id = await put(database)
    leases = await asyncio.gather(claims.take(id, 0), claims.take(id, 0), claims.take(id, 1))
    assert sum(lease is not None for lease in leases) == 1


async def test_two_processes_never_share_a_job(crm, database, claims) -> None:
    ids = [await put(database) for _ in range(40)]
    other = Claims(crm, uuid4(), system_clock)
    asked = [each.take(id, 0) for id in ids for each in (claims, other)]
    taken = [lease.id for lease in await asyncio.gather(*asked) if lease]
    assert sorted(taken) == sorted(ids)


async def test_who_is_stopped_while_it_asks_gives_the_job_back(database, claims) -> None:
    ids = [await put(database) for _ in range(3)]
    asking = [asyncio.create_task(claims.take(id, 0)) for id in ids]
    await asyncio.sleep(0)
    asking[1].cancel()
    first, second, third = await asyncio.gather(*asking, return_exceptions=True)
    assert not isinstance(first, BaseException)
    assert not isinstance(third, BaseException)
    assert isinstance(second, asyncio.CancelledError)

    async def given_back() -> bool:
        job = await row(database, ids[1])
        return (job["status"], job["attempts"], job["failures"]) in (("PENDING", 1, 0), ("PENDING", 0, 0))

    await until(given_back)
    assert {(await row(database, id))["status"] for id in (ids[0], ids[2])} == {"RUNNING"}


class Away(Database):
    """A database that does not answer for a while."""

    def __init__(self, crm: Database, refusals: int) -> None:
        self.__dict__.update(crm.__dict__)
        self.refusals = refusals

    def _refuse(self) -> None:
        self.refusals -= 1
        if self.refusals >= 0:
            raise Unavailable("away")

    def connection(self):
        self._refuse()
        return super().connection()

    def transaction(self):
        self._refuse()
        return super().transaction()


async def test_a_database_that_is_away_claims_nothing_and_blocks_nobody(crm, database) -> None:
    claims = Claims(Away(crm, 1), uuid4(), system_clock)
    id = await put(database)
    assert await claims.take(id, 0) is None
    assert (await row(database, id))["status"] == "PENDING"
    lease = await claims.take(id, 0)
    assert lease is not None


async def test_what_can_not_be_given_back_does_not_hold_up_the_others(crm, database) -> None:
    away = Away(crm, 0)
    claims = Claims(away, uuid4(), system_clock)
    left, other = await put(database), await put(database)
    leaving = asyncio.create_task(claims.take(left, 0))
    await asyncio.sleep(0)
    leaving.cancel()
    asked: asyncio.Task[object] | None = None

    real = away.transaction

    def refused():
        nonlocal asked
        asked = asyncio.ensure_future(claims.take(other, 0))  # while the other is being given back
        away.transaction = real  # type: ignore[method-assign]
        raise Unavailable("away")

    away.transaction = refused  # type: ignore[method-assign]

    async def tried() -> bool:
        return asked is not None

    await until(tried)
    assert asked is not None
    async with asyncio.timeout(5):
        lease = await asked
    assert isinstance(getattr(lease, "id", None), UUID)
    await asyncio.gather(leaving, return_exceptions=True)


async def test_a_claim_whose_answer_was_lost_is_given_back(database, claims, monkeypatch) -> None:
    """Nobody here does the job, and its lease running out would count as a failure."""
    real = leases.claim

    async def claim(*args: Any, **options: Any) -> list[leases.Lease]:
        monkeypatch.setattr(leases, "claim", real)
        await real(*args, **options)
        raise DatabaseTrouble("The answer was lost.")

    monkeypatch.setattr(leases, "claim", claim)
    id = await put(database)
    assert await claims.take(id, 0) is None

    async def given_back() -> bool:
        job = await row(database, id)
        return (job["status"], job["attempts"], job["failures"]) == ("PENDING", 1, 0)

    await until(given_back)
    assert await claims.take(id, 1) is not None
    await asyncio.sleep(0.1)
    assert await status(database, id) == "RUNNING"
