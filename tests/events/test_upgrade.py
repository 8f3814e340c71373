"""A database of the version before months: every event and audit row is there afterwards, and says the same."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest_asyncio
from tortoise import Tortoise
from tortoise.connection import get_connection
from tortoise.migrations.executor import MigrationExecutor, MigrationTarget

from crmgql import migrate
from crmgql.db import tortoise_config
from crmgql.events import personal
from crmgql.ledger import audits
from tests.conftest import administering, named

NOW = datetime.now(UTC)
OLD = [
    ("lead.created", "Lead", {"version": 1}, {"name": [None, "Ann"], "score": [None, 1], "message": [None, "é"]}, 400),
    ("lead.assigned", "Lead", {"version": 2, "reason": "MANUAL"}, {"owner_id": [None, str(uuid.uuid4())]}, 380),
    ("pool.released", "PoolItem", {"leadId": str(uuid.uuid4()), "reason": "Ann is tired"}, {}, 40),
    ("order.confirmed", "Order", {"version": 2}, {"status": ["DRAFT", "CONFIRMED"]}, 1),
    ("import.finished", "import", {"source": "x", "counts": {"already_done": 1}}, {}, 0),
    ("apiKey.created", "ApiKey", {}, {"userId": [None, "x"], "name": [None, "Key"]}, 0),
]


@pytest_asyncio.fixture
async def old(servers: Any) -> Any:
    """The URL of a database at 0005, with rows of more than a year."""
    name = f"old_{uuid.uuid4().hex}"
    async with administering(servers.database_url) as admin:
        await admin.execute(f"CREATE DATABASE {name}")
        url = named(servers.database_url, name)
        config = tortoise_config(url, pool_size=1, statement_timeout_ms=0)
        await Tortoise.init(config=config, _enable_global_fallback=True)
        await MigrationExecutor(get_connection("default"), config["apps"]).migrate(
            [MigrationTarget("crm", "0005_sessions")]
        )
        await Tortoise.close_connections()
        await fill(url)
        yield url
        await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


async def fill(url: str) -> None:
    connection = await asyncpg.connect(url)
    user = await connection.fetchval("INSERT INTO users (name) VALUES ('Ann') RETURNING id")
    customer = await connection.fetchval("INSERT INTO customers (name) VALUES ('Acme') RETURNING id")
    for position, (kind, record, payload, changes, days) in enumerate(OLD, start=1):
        at, id = NOW - timedelta(days=days), uuid.uuid4()
        await connection.execute(
            "INSERT INTO events (id, kind, subject_type, subject_id, customer_id, actor_id, payload, occurred_at, position)"
            " VALUES (uuidv7(-$1::interval), $2, $3, $4, $5, $6, $7, $8, $9)",
            *(
                timedelta(days=days),
                kind,
                record,
                id,
                customer,
                user,
                json.dumps(payload),
                at,
                position if days else None,
            ),
        )
        await connection.execute(
            "INSERT INTO audit_entries (id, action, subject_type, subject_id, customer_id, actor_id, changes, occurred_at)"
            " VALUES (uuidv7(-$1::interval), $2, $3, $4, $5, $6, $7, $8)",
            *(timedelta(days=days), kind, record, id, customer, user, json.dumps(changes), at),
        )
    # Not a UUIDv7: somebody's own.
    await connection.execute(
        "INSERT INTO events (id, kind, subject_type, subject_id, occurred_at)"
        " VALUES ('f0000000-0000-4000-8000-000000000000', 'a.b', 'A', uuidv7(), now())"
    )
    await connection.close()


COMMON = "id, subject_id, customer_id, actor_id, occurred_at, created_at"


async def rows(url: str, sql: str) -> list[tuple[Any, ...]]:
    connection = await asyncpg.connect(url)
    found = [tuple(row) for row in await connection.fetch(sql)]
    await connection.close()
    return found


async def test_old_rows_say_the_same_afterwards(old: str) -> None:
    events = f"SELECT {COMMON}, kind, payload::text FROM events ORDER BY id"
    audit = f"SELECT {COMMON}, api_key_id, action, subject_type, changes::text FROM audit_entries ORDER BY id"
    positions = "SELECT position, id FROM events WHERE position IS NOT NULL ORDER BY position"
    before = [await rows(old, sql) for sql in (events, audit, positions)]
    assert (await migrate.migrate(old))[0] == "0006_events"
    after = [
        await rows(old, sql) for sql in (events, audit, "SELECT position, event_id FROM event_positions ORDER BY 1")
    ]
    assert [len(part) for part in after] == [len(OLD) + 1, len(OLD), 4]
    assert after == before
    assert set(await rows(old, "SELECT kind_version, transaction_id::text FROM events")) == {(0, "0")}
    assert await rows(old, "SELECT kind FROM events WHERE subject_type = 'ImportRun'") == [("import.finished",)]


async def test_old_personal_values_lie_apart(old: str) -> None:
    await migrate.migrate(old)
    found = await rows(
        old,
        "SELECT personal, salt, commitment FROM audit_entries WHERE personal IS NOT NULL"
        " UNION ALL SELECT personal, salt, commitment FROM events WHERE personal IS NOT NULL",
    )
    assert [json.loads(text) for text, *_ in found] == [
        {"name": [None, "Ann"], "message": [None, "é"]},
        {"reason": "Ann is tired"},
    ]
    for text, salt, commitment in found:
        assert commitment == personal.commit(text, salt)


async def test_old_audit_rows_are_in_chains(old: str) -> None:
    await migrate.migrate(old)
    verified = await audits.verify_all(old, processes=1, progress=lambda done, total: None)
    assert (verified.found.broken, verified.found.audited) == ([], len(OLD))
    assert await rows(old, "SELECT lane, seq, cardinality(ids) FROM audit_links") == [(-1, 1, len(OLD))]


async def test_old_rows_are_in_their_months(old: str) -> None:
    await migrate.migrate(old)
    found = await rows(old, "SELECT tableoid::regclass::text, uuid_extract_timestamp(id) FROM events ORDER BY id")
    assert found[-1] == ("events_default", None)
    assert [part for part, _ in found[:-1]] == [f"events_{at:%Y_%m}" for _, at in found[:-1]]
