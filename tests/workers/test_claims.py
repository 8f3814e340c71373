"""Claims of one process: when a claim fails or its answer is lost, no lease is left to expire."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

import pytest

from crmgql.domain.jobs import leases
from crmgql.errors import DatabaseTrouble
from crmgql.viewer import system_clock
from crmgql.workers.claims import Claims
from crmgql.workers.failures import Failures
from tests.jobs import put, row, status


@pytest.fixture
def claims(crm) -> Claims:
    return Claims(crm, uuid4(), system_clock, Failures())


async def test_it_claims_for_its_process(database, claims) -> None:
    ids = [await put(database) for _ in range(5)]
    await put(database, queue="email")
    taken = await claims.take("default", 3)
    assert [lease.id for lease in taken] == ids[:3]
    assert {lease.holder for lease in taken} == {claims.holder}
    assert not claims.in_doubt


async def test_two_processes_never_share_a_job(crm, database, claims) -> None:
    ids = [await put(database) for _ in range(40)]
    other = Claims(crm, uuid4(), system_clock, Failures())
    taken = await asyncio.gather(*(each.take("default", 3) for _ in range(8) for each in (claims, other)))
    assert sorted(lease.id for some in taken for lease in some) == sorted(ids)


async def test_a_database_that_is_away_gives_nothing(database, claims, monkeypatch) -> None:
    async def claim(*args: Any, **options: Any) -> list[leases.Lease]:
        raise DatabaseTrouble("away")

    id = await put(database)
    with monkeypatch.context() as patched:
        patched.setattr(leases, "claim", claim)
        assert await claims.take("default", 1) == []
    assert claims.in_doubt
    assert [lease.id for lease in await claims.take("default", 1)] == [id]


async def test_a_claim_whose_answer_was_lost_is_given_back(database, claims, monkeypatch) -> None:
    """No process does the job, and an expired lease would count as a failure."""
    real = leases.claim

    async def claim(*args: Any, **options: Any) -> list[leases.Lease]:
        await real(*args, **options)
        raise DatabaseTrouble("The answer was lost.")

    known = await put(database)
    [lease] = await claims.take("default", 1)
    lost = await put(database)
    with monkeypatch.context() as patched:
        patched.setattr(leases, "claim", claim)
        assert await claims.take("default", 1) == []
    assert await status(database, lost) == "RUNNING"
    assert claims.in_doubt
    await claims.give_back_orphans([lease.id])
    job = await row(database, lost)
    assert (job["status"], job["attempts"], job["failures"]) == ("PENDING", 1, 0)
    assert await status(database, known) == "RUNNING"


async def test_who_is_stopped_while_it_claims_leaves_no_lease(database, claims) -> None:
    await put(database)
    claiming = asyncio.create_task(claims.take("default", 1))
    await asyncio.sleep(0.001)
    claiming.cancel()
    await asyncio.gather(claiming, return_exceptions=True)
    await claims.give_back_orphans([])
    assert await database.fetchval("SELECT count(*) FROM jobs WHERE status = 'RUNNING'") == 0


async def test_what_was_not_begun_is_given_back(database, claims) -> None:
    id = await put(database)
    await claims.give_back(await claims.take("default", 1))
    job = await row(database, id)
    assert (job["status"], job["failures"], job["lease_by"]) == ("PENDING", 0, None)
