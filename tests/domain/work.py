"""How a test makes people and leads, and has jobs done by the real machine, at a time of its choosing."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
import orjson

from crmgql import db
from crmgql.config import Settings
from crmgql.domain.jobs import jobs, kinds
from crmgql.domain.jobs.kinds import Kind
from crmgql.records.records import Act
from crmgql.viewer import system
from crmgql.workers import (
    marketing,  # noqa: F401 - they declare what is done
    messages,  # noqa: F401 - they declare what is done
    money,  # noqa: F401 - they declare what is done
    pools,  # noqa: F401 - they declare what is done
    webhooks,  # noqa: F401 - they declare what is done
)
from crmgql.workers.attempts import Attempts
from tests.jobs import attempt

DUE = "SELECT id, attempts FROM jobs WHERE kind = $1 AND status = 'PENDING' AND due_at <= $2 ORDER BY id"


async def work(
    crm: db.Database, database: asyncpg.Connection, kind: Kind[Any], *, now: datetime, **settings: Any
) -> list[asyncpg.Record]:
    """Attempts every due job of a kind once; the jobs as they are then."""
    attempts = Attempts(crm, Settings(**settings), clock=lambda: now)
    due = await database.fetch(DUE, kind.name, now)
    for job in due:
        await attempt(attempts, job["id"], job["attempts"])
    return await database.fetch("SELECT * FROM jobs WHERE id = ANY($1) ORDER BY id", [job["id"] for job in due])


async def run(crm: db.Database, database: asyncpg.Connection, kind: Kind[Any], *, now: datetime) -> Any:
    """Asks for a job without arguments and has it done; its result."""
    async with crm.transaction() as tx:
        await jobs.enqueue(Act(tx, system(lambda: now)), kind, kinds.Nothing())
    (job,) = await work(crm, database, kind, now=now)
    assert job["status"] == "DONE", dict(job)
    return orjson.loads(job["result"])


async def run_all(crm: db.Database, database: asyncpg.Connection, kind: Kind[Any], *, now: datetime) -> list[Any]:
    """As `run`, and those that are due already before it; the result of each."""
    async with crm.transaction() as tx:
        await jobs.enqueue(Act(tx, system(lambda: now)), kind, kinds.Nothing())
    done = await work(crm, database, kind, now=now)
    assert {job["status"] for job in done} == {"DONE"}, done
    return [orjson.loads(job["result"]) for job in done]


async def insert(database: asyncpg.Connection, table: str, **values: Any) -> UUID:
    columns = ", ".join(values)
    places = ", ".join(f"${number}" for number in range(1, len(values) + 1))
    sql = f"INSERT INTO {table} ({columns}) VALUES ({places}) RETURNING id"
    return await database.fetchval(sql, *values.values())  # type: ignore[no-any-return]


async def user(database: asyncpg.Connection, name: str = "Bob", **values: Any) -> UUID:
    return await insert(database, "users", **{"name": name, "roles": ["SELLER"], **values})


async def lead(database: asyncpg.Connection, *, now: datetime, **values: Any) -> UUID:
    times = dict.fromkeys(("status_since", "received_at", "last_activity_at"), now)
    return await insert(database, "leads", **{"name": "Ann Lee", **times, **values})
