"""Housekeeping: by a real worker process through its schedule, and the job itself, run twice."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from crmgql.config import Settings
from crmgql.domain.jobs import jobs, schedules
from crmgql.domain.people import login_attempts, sessions
from crmgql.domain.webhooks import attempts
from crmgql.records import idempotency
from crmgql.viewer import system_clock
from crmgql.workers import chapters  # noqa: F401 - declares
from crmgql.workers import housekeeping as house
from crmgql.workers.attempts import Attempts
from tests import processes
from tests.jobs import attempt, put, row, status, until


async def fill(database) -> None:
    """An idempotency record that is to go, and one that is to stay."""
    user = await database.fetchval("INSERT INTO users (name) VALUES ('Ann') RETURNING id")
    for key, age in (("old", timedelta(days=31)), ("new", timedelta(days=1))):
        await database.execute(
            "INSERT INTO idempotency_records (actor_id, key, mutation, request_hash, result, created_at)"
            " VALUES ($1, $2, 'x', 'x', '{}', $3)",
            user,
            key,
            system_clock() - age,
        )


async def kept(database) -> list[str]:
    return await database.fetchval("SELECT array_agg(key) FROM idempotency_records")


async def swept(database) -> None:
    """Until housekeeping has been done."""

    async def done() -> bool:
        return await kept(database) == ["new"]

    await until(done)


@asynccontextmanager
async def process(servers, database_url: str, *arguments: str):
    environment = {**os.environ, "CRMGQL_DATABASE_URL": database_url, "CRMGQL_REDIS_URL": servers.redis_url}
    started = processes.crmgql("worker", *arguments, environment=environment, log=Path(os.devnull))
    try:
        yield started
    finally:
        started.kill()
        await started.ended()


async def test_it_deletes_what_has_had_its_day_however_often_it_runs(crm, database) -> None:
    await fill(database)
    long_ago, lately = system_clock() - timedelta(days=15), system_clock() - timedelta(days=13)
    over = await put(database, status="DONE", finished_at=long_ago)
    young, dead = (
        await put(database, status="DONE", finished_at=lately),
        await put(database, status="DEAD", finished_at=long_ago),
    )
    ids = [await put(database, kind="housekeeping", due_at=lately) for _ in range(2)]
    for id, gone in zip(ids, (1, 0), strict=True):
        await attempt(Attempts(crm, Settings(log_level="error")), id, 0)
        job = await row(database, id)
        assert (job["status"], job["result"]["jobs"]) == ("DONE", gone)
        assert await kept(database) == ["new"]
    assert await database.fetchval("SELECT count(*) FROM jobs WHERE id = $1", over) == 0
    assert [await status(database, id) for id in (young, dead)] == ["DONE", "DEAD"]


async def test_it_deletes_in_batches_that_commit(crm, database, monkeypatch) -> None:
    monkeypatch.setattr(house, "BATCH", 3)
    await fill(database)
    long_ago = system_clock() - timedelta(days=200)
    user = await database.fetchval("SELECT id FROM users")
    for n in range(7):
        await put(database, status="DONE", finished_at=long_ago)
        sql = "INSERT INTO sessions (family, token_hash, expires_at, user_id) VALUES (uuidv7(), $1, $2, $3)"
        await database.execute(sql, str(n), long_ago, user)
        sql = "INSERT INTO login_attempts (key, window_ends_at) VALUES ($1, $2)"
        await database.execute(sql, str(n), long_ago)
    id = await put(database, kind="housekeeping", due_at=long_ago)
    await attempt(Attempts(crm, Settings(log_level="error")), id)
    job = await row(database, id)
    none = {"exports": 0, "webhookAttempts": 0, "webhookDeliveries": 0, "providerPosts": 0}
    assert job["result"] == {"sessions": 7, "loginAttempts": 7, "idempotencyKeys": 1, "jobs": 7, **none}
    assert job["progress_done"] == 22


PURGED = {
    "webhook_attempts_created": attempts.PURGE,
    "webhook_deliveries_ended": attempts.PURGE_DELIVERIES,
    "idempotency_records_created": idempotency.PURGE,
    "sessions_expires": sessions.PURGE,
    "login_attempts_window": login_attempts.PURGE,
    "jobs_finished_at": jobs.PURGE,
}


@pytest.mark.parametrize("index", sorted(PURGED))
async def test_what_is_deleted_is_found_by_an_index(database, index: str) -> None:
    await database.execute(
        """
        INSERT INTO users (name) VALUES ('Ann');
        INSERT INTO idempotency_records (actor_id, key, mutation, request_hash, result, created_at)
            SELECT users.id, i, 'x', 'x', '{}', now() - i * interval '1 min' FROM users, generate_series(1, 5000) i;
        INSERT INTO sessions (family, token_hash, expires_at, user_id)
            SELECT uuidv7(), i, now() - i * interval '1 min', users.id FROM users, generate_series(1, 5000) i;
        INSERT INTO login_attempts (key, window_ends_at)
            SELECT i, now() - i * interval '1 min' FROM generate_series(1, 5000) i;
        INSERT INTO jobs (kind, queue, due_at, max_failures, status, finished_at)
            SELECT 'x', 'default', now(), 1, 'DONE', now() - i * interval '1 min' FROM generate_series(1, 5000) i;
        INSERT INTO webhook_endpoints (url, api_version, owner_id, key_salt, public_key, cursor)
            SELECT 'x', 'x', users.id, 'x', 'x', 'x' FROM users;
        INSERT INTO webhook_attempts (endpoint_id, message_id, kind, number, url, request_sha256, response_status, latency_ms,
                accepted, attempted_at, created_at)
            SELECT e.id, i, 'x', 1, 'x', 'x', 204, 1, true, now(), now() - i * interval '1 min'
            FROM webhook_endpoints e, generate_series(1, 5000) i;
        INSERT INTO webhook_deliveries (endpoint_id, message_id, position, kind, line, status, finished_at)
            SELECT e.id, i, i, 'x', e.id, 'DEAD', now() - i * interval '1 min' FROM webhook_endpoints e, generate_series(1, 5000) i;
        ANALYZE;
        """
    )
    sql = PURGED[index]
    plan = await database.fetchval(f"EXPLAIN (FORMAT JSON) {sql}", system_clock() - timedelta(minutes=4900), 50)
    assert f'"Index Name": "{index}"' in plan


async def test_a_worker_on_an_empty_database_keeps_house_at_once_and_stops_when_told(
    servers, database_url, database
) -> None:
    await fill(database)
    async with process(servers, database_url) as worker:
        await swept(database)
        names = {row["name"] for row in await database.fetch("SELECT name FROM schedules")}
        assert names == {each.name for each in schedules.BUILT_IN}

        async def all_ran() -> bool:
            sql = "SELECT count(DISTINCT schedule_id) FROM jobs WHERE status = 'DONE'"
            return await database.fetchval(sql) == len(names)

        await until(all_ran)
        worker.send_signal(signal.SIGTERM)
        async with asyncio.timeout(60):
            assert await worker.ended() == 0
    assert await database.fetchval("SELECT count(*) FROM jobs WHERE status = 'RUNNING'") == 0


async def test_a_worker_of_other_queues_leaves_it_alone(servers, database_url, database) -> None:
    await fill(database)
    async with process(servers, database_url, "--queues", "email"):

        async def digests() -> bool:
            sql = "SELECT count(*) FROM jobs WHERE kind = 'notifications.digest' AND attempts > 0"
            return await database.fetchval(sql) == 1

        await until(digests)
        assert await database.fetchval("SELECT status FROM jobs WHERE kind = 'housekeeping'") == "PENDING"
        assert len(await kept(database)) == 2


async def test_it_makes_months_and_gives_up_those_that_are_old_enough(crm, database) -> None:
    now = system_clock()
    old = now - timedelta(days=400)
    await database.execute("SELECT event_months($1, 0)", old)
    for relation, kind in (("events", "kind"), ("audit_entries", "action")):
        await database.execute(
            f"INSERT INTO {relation} (id, {kind}, subject_type, subject_id, occurred_at)"
            " VALUES (uuidv7(-$1::interval), 'lead.created', 'Lead', uuidv7(), $2)",
            now - old,
            old,
        )
    later = now + timedelta(days=200)
    for settings in (Settings(), Settings(events_retention_days=365), Settings(events_retention_days=365)):
        job = await put(database, kind="housekeeping", due_at=later)
        await attempt(Attempts(crm, settings, clock=lambda: later), job)
        assert await status(database, job) == "DONE"
        kept = 0 if settings.events_retention_days else 1
        assert await database.fetchval("SELECT count(*) FROM events WHERE kind = 'lead.created'") == kept
    assert await database.fetchval("SELECT count(*) FROM audit_entries WHERE action = 'lead.created'") == 1
    rows = await database.fetch("SELECT relation, month, rows FROM event_checkpoints WHERE rows > 0")
    assert [tuple(row) for row in rows] == [("events", old.date().replace(day=1), 1)]
    ahead = f"events_{later + timedelta(days=80):%Y_%m}"
    assert await database.fetchval("SELECT to_regclass($1) IS NOT NULL", ahead)
