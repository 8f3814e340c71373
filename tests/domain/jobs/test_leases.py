"""Jobs as the machine sees them: of all that want one, one gets it; who lost it writes nothing."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crmgql.domain.jobs import jobs, kinds, leases
from crmgql.domain.jobs.leases import LEASE, Lease, LeaseLost
from crmgql.errors import BadUserInput, Conflict
from tests.conftest import NOW
from tests.jobs import Numbered, acting, claimed, end, kind, put, row, status

LATER = NOW + timedelta(seconds=10)
AFTER_LEASE = NOW + LEASE + timedelta(seconds=1)


class Boom(Conflict):
    code = "BOOM"


async def take(crm, limit: int = 100, queue: str = "default", now=NOW) -> list[UUID]:
    """Claims what is next; the ids in their order."""
    async with crm.connection() as connection:
        found = await leases.claim(connection, queue=queue, limit=limit, holder=uuid4(), now=now)
    return [each.id for each in found]


async def fail(crm, lease: Lease, error=None, now=NOW) -> bool:
    async with crm.transaction() as tx:
        return await leases.failed(tx.connection, lease, now=now, error=error)


async def expire(crm, now=AFTER_LEASE) -> int:
    async with crm.transaction() as tx:
        return await leases.expire(tx.connection, now=now)


# Claiming


async def test_of_twenty_claims_one_wins(crm, database) -> None:
    id = await put(database, error_code="BOOM", error_message="It went wrong.")
    won = [ids for ids in await asyncio.gather(*(take(crm) for _ in range(20))) if ids]
    job = await row(database, id)
    assert won == [[id]]
    assert (job["status"], job["attempts"], job["failures"], job["error_code"]) == ("RUNNING", 1, 0, None)
    assert (job["lease_until"], job["started_at"]) == (NOW + LEASE, NOW)


@pytest.mark.parametrize("over", ["RUNNING", "WAITING", "DONE", "DEAD", "CANCELLED", "DROPPED"])
async def test_what_is_not_pending_is_not_claimed(crm, database, over: str) -> None:
    id = await put(database, status=over, attempts=1)
    before = await row(database, id)
    assert await take(crm) == []
    assert await row(database, id) == before


async def test_what_is_next_goes_by_priority_then_time(crm, database) -> None:
    late = await put(database, due_at=NOW)
    early = await put(database, due_at=NOW - timedelta(hours=2))
    high = await put(database, priority=5, due_at=NOW)
    low = await put(database, priority=-5, due_at=NOW - timedelta(days=1))
    await put(database, due_at=NOW + timedelta(microseconds=1), priority=50)
    await put(database, queue="email")
    assert await take(crm, 1) == [high]
    assert await take(crm, 2) == [early, late]
    assert await take(crm, 9) == [low]
    assert await take(crm) == []


async def test_several_claim_each_job_once_and_do_not_wait_for_each_other(crm, database) -> None:
    ids = {await put(database) for _ in range(60)}
    async with crm.transaction() as tx, asyncio.timeout(5):
        first = await leases.claim(tx.connection, queue="default", limit=25, holder=uuid4(), now=NOW)
        taken = [each.id for each in first]
        taken += [each for part in await asyncio.gather(*(take(crm, 20) for _ in range(3))) for each in part]
    taken += await take(crm, 1000)
    assert sorted(taken) == sorted(ids)


async def test_what_a_process_holds_and_knows_nothing_of_is_given_back(crm, database) -> None:
    me = uuid4()
    known, orphan, other, over = [await put(database) for _ in range(4)]
    for id in (known, orphan, over):
        lease = await claimed(crm, id, by=me)
    await end(crm, lease)
    await claimed(crm, other)
    async with crm.transaction() as tx:
        assert await leases.give_back_orphans(tx.connection, holder=me, known=[known], now=NOW) == 1
    job = await row(database, orphan)
    assert (job["status"], job["attempts"], job["failures"], job["lease_by"]) == ("PENDING", 1, 0, None)
    assert [await status(database, id) for id in (known, other, over)] == ["RUNNING", "RUNNING", "DONE"]


# Ends that share a statement


async def done_together(crm, *ended: Lease, holder: UUID, result=None) -> set[UUID]:
    async with crm.connection() as connection:
        return await leases.done_together(connection, [(each, result) for each in ended], holder=holder, now=LATER)


async def test_ends_share_a_statement_each_under_its_own_lease(crm, database) -> None:
    me = uuid4()
    ids = [await put(database) for _ in range(5)]
    held = [await claimed(crm, id, by=me) for id in ids]
    await database.execute("UPDATE jobs SET lease_by = $2 WHERE id = $1", ids[0], uuid4())
    await database.execute("UPDATE jobs SET attempts = 2 WHERE id = $1", ids[1])
    await end(crm, held[2])
    before = [await row(database, id) for id in ids[:3]]
    assert await done_together(crm, *held, holder=me, result={"n": 1}) == set(ids[3:])
    assert [await row(database, id) for id in ids[:3]] == before
    for id in ids[3:]:
        job = await row(database, id)
        assert (job["status"], job["finished_at"], job["result"]) == ("DONE", LATER, {"n": 1})
        assert (job["lease_by"], job["lease_until"]) == (None, None)


async def test_families_end_one_by_one(crm, database) -> None:
    """The end of one of them locks the rows of others."""
    me = uuid4()
    parent, lone = await put(database), await put(database)
    child = await put(database, parent_id=parent)
    held = [await claimed(crm, id, by=me) for id in (parent, child, lone)]
    assert await done_together(crm, *held, holder=me) == {lone}
    assert {await status(database, id) for id in (parent, child)} == {"RUNNING"}


# The end is written under the lease


async def keep(connection: Any, lease: Lease) -> None:
    await leases.keep(connection, lease, now=LATER, checkpoint={"at": 1}, done=1, total=2, message="x" * 300)


async def done(connection: Any, lease: Lease) -> None:
    await leases.done(connection, lease, now=LATER, result={"n": 1})


async def failed(connection: Any, lease: Lease) -> None:
    if not await leases.failed(connection, lease, now=LATER, error=Boom("no")):
        raise LeaseLost("lost")


async def dead(connection: Any, lease: Lease) -> None:
    if not await leases.failed(connection, lease, now=LATER, error=BadUserInput("no")):
        raise LeaseLost("lost")


async def given_back(connection: Any, lease: Lease) -> None:
    await leases.give_back(connection, lease, now=LATER)


async def cancelled(connection: Any, lease: Lease) -> None:
    await leases.cancelled(connection, lease, now=LATER)


WAYS = {"keep": keep, "done": done, "failed": failed, "dead": dead, "give_back": given_back, "cancelled": cancelled}
SILENT = {"give_back", "cancelled"}


@pytest.mark.parametrize("how", sorted(WAYS))
@pytest.mark.parametrize("lost", ["holder", "attempts", "ended"])
async def test_who_lost_the_lease_writes_nothing(crm, database, how: str, lost: str) -> None:
    id = await put(database)
    lease = await claimed(crm, id)
    if lost == "ended":
        await end(crm, lease)
    else:
        lease = replace(lease, **{"holder": uuid4()} if lost == "holder" else {"attempts": lease.attempts + 1})
    before = await row(database, id)
    try:
        async with crm.transaction() as tx:
            await WAYS[how](tx.connection, lease)
    except LeaseLost:
        assert how not in SILENT
    else:
        assert how in SILENT
    assert await row(database, id) == before


@pytest.mark.parametrize(
    ("how", "after", "failures"),
    [
        ("done", "DONE", 0),
        ("failed", "PENDING", 1),
        ("dead", "DEAD", 1),
        ("give_back", "PENDING", 0),
        ("cancelled", "CANCELLED", 0),
    ],
)
async def test_who_has_it_ends_it(crm, database, how: str, after: str, failures: int) -> None:
    id = await put(database)
    lease = await claimed(crm, id)
    async with crm.transaction() as tx:
        await WAYS[how](tx.connection, lease)
    job = await row(database, id)
    assert (job["status"], job["failures"], job["attempts"]) == (after, failures, 1)
    assert (job["lease_by"], job["lease_until"]) == (None, None)
    assert job["finished_at"] == (None if after == "PENDING" else LATER)
    assert job["result"] == ({"n": 1} if how == "done" else None)


async def test_keeping_writes_how_far_it_is_and_lengthens_the_lease(crm, database) -> None:
    id = await put(database)
    lease = await claimed(crm, id)
    async with crm.transaction() as tx:
        await keep(tx.connection, lease)
    job = await row(database, id)
    assert (job["checkpoint"], job["progress_done"], job["progress_total"]) == ({"at": 1}, 1, 2)
    assert (job["progress_message"], job["lease_until"]) == ("x" * 200, LATER + LEASE)
    await database.execute("UPDATE jobs SET cancel_requested_at = $1", NOW)
    with pytest.raises(LeaseLost):
        async with crm.transaction() as tx:
            await keep(tx.connection, lease)


# Failures


@given(st.integers(0, 10_000), st.floats(0, 1))
def test_back_off_doubles_within_its_jitter_up_to_the_longest(failures: int, roll: float) -> None:
    seconds = leases.backoff_s(failures, roll)
    whole = min(2.0 ** min(failures, 60), 600.0)
    assert whole / 2 <= seconds <= whole
    assert leases.backoff_s(failures) <= 600
    assert leases.backoff_s(failures + 1, roll) >= seconds
    assert leases.backoff_s(failures, 1.0) >= seconds >= leases.backoff_s(failures, 0.0)


async def test_a_failure_waits_longer_each_time_and_the_last_is_the_end(crm, database) -> None:
    id = await put(database, max_failures=3)
    waits = []
    for attempt in range(3):
        assert await fail(crm, await claimed(crm, id, attempt), Boom("It went\x00 wrong."))
        job = await row(database, id)
        assert (job["failures"], job["error_code"], job["error_message"]) == (attempt + 1, "BOOM", "It went wrong.")
        waits.append((job["due_at"] - NOW).total_seconds())
        assert job["status"] == ("DEAD" if attempt == 2 else "PENDING")
    assert 0.5 <= waits[0] <= 1 <= waits[1] <= 2
    assert job["finished_at"] == NOW


async def test_what_failed_is_not_claimed_before_its_time(crm, database) -> None:
    id = await put(database, failures=3, attempts=3)
    await fail(crm, await claimed(crm, id, 3), None)
    assert await take(crm) == []
    assert (await row(database, id))["error_code"] == "INTERNAL_SERVER_ERROR"
    assert await take(crm, now=NOW + timedelta(seconds=9)) == [id]


async def test_what_no_retry_mends_is_dead_at_once(crm, database) -> None:
    for error in (kinds.KindUnknown("?"), kinds.ArgumentsOutdated("?"), BadUserInput("?")):
        id = await put(database, max_failures=100)
        assert await fail(crm, await claimed(crm, id), error)
        job = await row(database, id)
        assert (job["status"], job["failures"], job["error_code"]) == ("DEAD", 1, error.code)


async def test_administrators_are_told_of_a_dead_job_once(crm, database) -> None:
    for name, roles, active in (("Ada", ["ADMIN"], True), ("Old", ["ADMIN"], False), ("Sal", ["SELLER"], True)):
        await database.execute("INSERT INTO users (name, roles, active) VALUES ($1, $2, $3)", name, roles, active)
    id = await put(database, max_failures=2)
    for attempt in range(2):
        assert await database.fetchval("SELECT count(*) FROM notifications") == 0
        await fail(crm, await claimed(crm, id, attempt), Boom("The printer is out."))
    news = await database.fetch("SELECT u.name, n.body FROM notifications n JOIN users u ON u.id = n.user_id")
    assert [tuple(each) for each in news] == [("Ada", f"Job job_{id.hex}: The printer is out.")]


async def test_a_new_attempt_forgets_the_last_one_s_error(crm, database) -> None:
    id = await put(database)
    await fail(crm, await claimed(crm, id), Boom("no"))
    await end(crm, await claimed(crm, id, 1))
    job = await row(database, id)
    assert (job["status"], job["error_code"], job["error_message"]) == ("DONE", None, None)


# Leases that ran out


async def test_only_leases_that_ran_out_are_taken(crm, database) -> None:
    silent, alive = await put(database), await put(database)
    old, young = await claimed(crm, silent), await claimed(crm, alive, now=LATER)
    assert await expire(crm, NOW + LEASE) == 0
    assert await expire(crm) == 1
    job = await row(database, silent)
    assert (job["status"], job["failures"], job["error_code"]) == ("PENDING", 1, "JOB_LEASE_LOST")
    assert await status(database, alive) == "RUNNING"
    with pytest.raises(LeaseLost):
        await end(crm, old)
    await end(crm, young)


async def test_many_sweeps_at_once_count_one_failure(crm, database) -> None:
    ids = [await put(database) for _ in range(10)]
    for id in ids:
        await claimed(crm, id)
    assert sum(await asyncio.gather(*(expire(crm) for _ in range(8)))) == 10
    assert {(await row(database, id))["failures"] for id in ids} == {1}


async def test_a_job_that_kills_its_worker_ends_dead(crm, database) -> None:
    id = await put(database, max_failures=3)
    for attempt in range(3):
        await claimed(crm, id, attempt)
        assert await expire(crm) == 1
    job = await row(database, id)
    assert (job["status"], job["attempts"], job["failures"]) == ("DEAD", 3, 3)
    assert await take(crm) == []


@pytest.mark.parametrize("max_failures", [1, 5])
async def test_a_cancelled_job_whose_worker_dies_is_cancelled(crm, database, max_failures: int) -> None:
    id = await put(database, max_failures=max_failures)
    await claimed(crm, id)
    async with acting(crm) as act:
        await jobs.cancel(act, id=id)
    assert await status(database, id) == "RUNNING"
    await expire(crm)
    job = await row(database, id)
    assert (job["status"], job["finished_at"]) == ("CANCELLED", AFTER_LEASE)


@pytest.mark.parametrize("how", ["failed", "dead", "give_back"])
async def test_a_cancelled_job_that_ends_otherwise_is_cancelled(crm, database, how: str) -> None:
    id = await put(database)
    lease = await claimed(crm, id)
    async with acting(crm) as act:
        await jobs.cancel(act, id=id)
    async with crm.transaction() as tx:
        await WAYS[how](tx.connection, lease)
    job = await row(database, id)
    assert (job["status"], job["finished_at"]) == ("CANCELLED", LATER)


async def test_the_heartbeat_lengthens_what_is_ours_and_tells_what_to_stop(crm, database) -> None:
    me = uuid4()
    mine, asked, lost, over = [await put(database) for _ in range(4)]
    for id in (mine, asked, over):
        lease = await claimed(crm, id, by=me)
    await end(crm, lease)
    await claimed(crm, lost)
    await database.execute("UPDATE jobs SET cancel_requested_at = $2 WHERE id = $1", asked, NOW)
    async with crm.connection() as connection:
        stop = await leases.beat(connection, holder=me, job_ids=[mine, asked, lost, over], now=LATER)
    assert stop == {asked: False, lost: True, over: True}
    assert (await row(database, mine))["lease_until"] == LATER + LEASE
    assert (await row(database, lost))["lease_until"] == NOW + LEASE


async def test_the_heartbeat_does_not_wait_for_an_end_that_is_being_written(crm, database) -> None:
    me, id = uuid4(), await put(database)
    lease = await claimed(crm, id, by=me)
    async with crm.transaction() as tx, asyncio.timeout(3):
        await leases.done(tx.connection, lease, now=NOW, result=None)
        async with crm.connection() as other:
            assert await leases.beat(other, holder=me, job_ids=[id], now=LATER) == {}
            assert await expire(crm) == 0
    assert await status(database, id) == "DONE"


# Asking for jobs


async def test_a_job_is_there_exactly_when_what_wanted_it_happened(crm, database) -> None:
    with pytest.raises(Boom):
        async with acting(crm) as act:
            await jobs.enqueue(act, kind("test"), Numbered(n=1))
            raise Boom("no")
    assert await database.fetchval("SELECT count(*) FROM jobs") == 0
    async with acting(crm) as act:
        id = await jobs.enqueue(act, kind("test", priority=3, max_failures=7, version=2), Numbered(n=1))
    job = await row(database, id)
    assert (job["kind"], job["priority"], job["max_failures"], job["arguments_version"]) == ("test", 3, 7, 2)
    assert (job["due_at"], job["arguments"], job["status"]) == (NOW, '{"n": 1}', "PENDING")


async def test_many_at_once_are_in_order(crm, database) -> None:
    async with acting(crm) as act:
        ids = await jobs.enqueue_many(act, kind("test"), [Numbered(n=n) for n in range(50)], priority=1)
    rows = await database.fetch("SELECT (arguments->>'n')::int AS n FROM jobs WHERE id = ANY ($1) ORDER BY id", ids)
    assert [row["n"] for row in rows] == list(range(50))


async def test_of_one_key_one_job_is_alive(crm, database) -> None:
    async def enqueue(key: str = "k", name: str = "test") -> UUID:
        async with acting(crm) as act:
            return await jobs.enqueue(act, kind(name), Numbered(), unique_key=key)

    [id] = set(await asyncio.gather(*(enqueue() for _ in range(12))))
    assert await enqueue("other") != id
    assert await enqueue(name="other") != id
    await end(crm, await claimed(crm, id))
    assert await enqueue() != id


async def test_a_key_whose_job_ends_just_now(crm, database) -> None:
    async def enqueue() -> UUID:
        async with acting(crm) as act:
            return await jobs.enqueue(act, kind("test"), Numbered(), unique_key="k")

    for _ in range(20):
        id = await enqueue()
        lease = await claimed(crm, id)
        _, *made = await asyncio.gather(end(crm, lease), *(enqueue() for _ in range(3)))
        assert None not in made
        await database.execute("DELETE FROM jobs")


async def test_purging_keeps_the_dead_the_living_and_the_parents(crm, database) -> None:
    old, young = NOW - timedelta(days=30), NOW - timedelta(days=1)
    for status_ in ("DONE", "CANCELLED", "DROPPED"):
        await put(database, status=status_, finished_at=old)
    parent = await put(database, status="DONE", finished_at=old)
    kept = {
        await put(database, status="DEAD", finished_at=old),
        await put(database, status="DONE", finished_at=young),
        await put(database, due_at=old),
        await put(database, status="WAITING", due_at=old),
        await put(database, status="RUNNING", due_at=old),
    }
    await put(database, status="DONE", finished_at=old, parent_id=parent)
    before = NOW - timedelta(days=14)
    async with acting(crm) as act:
        assert await jobs.purge(act.tx, before=before, limit=100) == 4
        assert await jobs.purge(act.tx, before=before, limit=100) == 1
        assert await jobs.purge(act.tx, before=before, limit=100) == 0
    assert {row["id"] for row in await database.fetch("SELECT id FROM jobs")} == kept
