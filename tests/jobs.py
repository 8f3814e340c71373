"""Helpers for tests of jobs: kinds, jobs inserted with any values, verbs in transactions."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from crmgql.db import Database
from crmgql.domain.jobs import kinds, leases
from crmgql.domain.jobs.kinds import Kind
from crmgql.domain.jobs.leases import Lease
from crmgql.errors import CrmError
from crmgql.records.records import Act
from crmgql.viewer import system
from crmgql.workers.attempts import Attempts
from crmgql.workers.handlers import HANDLERS
from tests.conftest import NOW


class Numbered(kinds.Arguments):
    """The arguments of kinds in tests."""

    n: int = 0


def kind(name: str, **values: Any) -> Kind[Numbered]:
    return Kind(name, Numbered, "default", "A test.", ("Job",), **values)


@contextmanager
def undone() -> Iterator[None]:
    """Removes the kinds and handlers that are declared within."""
    before = dict(kinds.KINDS), dict(HANDLERS)
    try:
        yield
    finally:
        for registry, then in zip((kinds.KINDS, HANDLERS), before, strict=True):
            registry.clear()
            registry.update(then)  # type: ignore[arg-type]


@asynccontextmanager
async def acting(crm: Database, now: datetime = NOW) -> AsyncIterator[Act]:
    """The system in a transaction, at a time."""
    async with crm.transaction() as tx:
        yield Act(tx, system(lambda: now))


async def put(database: Any, **values: Any) -> UUID:
    """Inserts a job with these values; by default it is pending, due for an hour, in the default queue."""
    row = {"kind": "test", "queue": "default", "due_at": NOW - timedelta(hours=1), "max_failures": 5, **values}
    if row.get("status") == "RUNNING":
        row = {"attempts": 1, "lease_by": uuid4(), "lease_until": NOW + leases.LEASE, **row}
    if row.get("status") in ("DONE", "DEAD", "CANCELLED", "DROPPED"):
        row = {"finished_at": NOW, **row}
    places = ", ".join(f"${number}" for number in range(1, len(row) + 1))
    sql = f"INSERT INTO jobs ({', '.join(row)}) VALUES ({places}) RETURNING id"
    return await database.fetchval(sql, *row.values())  # type: ignore[no-any-return]


async def row(database: Any, id: UUID) -> dict[str, Any]:
    found = dict(await database.fetchrow("SELECT * FROM jobs WHERE id = $1", id))
    return {**found, **{name: found[name] and json.loads(found[name]) for name in ("checkpoint", "result")}}


async def status(database: Any, id: UUID) -> str:
    return await database.fetchval("SELECT status FROM jobs WHERE id = $1", id)  # type: ignore[no-any-return]


CLAIM_ONE = f"""
UPDATE jobs SET status = 'RUNNING', attempts = attempts + 1, lease_by = $3, lease_until = $4, started_at = $5,
    error_code = NULL, error_message = NULL
WHERE id = $1 AND attempts = $2 AND status = 'PENDING' RETURNING {leases.LEASED}"""


async def claim_one(crm: Database, id: UUID, attempts: int, *, now: datetime, by: UUID) -> Lease | None:
    """A lease on one job, for the attempt that is meant; the product claims what is next in a queue."""
    async with crm.connection() as connection:
        row = await connection.fetchrow(CLAIM_ONE, id, attempts, by, now + leases.LEASE, now)
    return leases.leased(row) if row else None


async def claimed(crm: Database, id: UUID, attempts: int = 0, *, now: datetime = NOW, by: UUID | None = None) -> Lease:
    """A lease on a pending job."""
    lease = await claim_one(crm, id, attempts, now=now, by=by or uuid4())
    assert lease is not None
    return lease


async def attempt(attempts: Attempts, id: UUID, number: int = 0) -> None:
    """An attempt at one job, if that attempt is still to be made and the database lets us claim it."""
    try:
        lease = await claim_one(attempts.database, id, number, now=attempts.clock(), by=attempts.holder)
    except CrmError:
        return
    if lease is not None:
        await attempts.perform(lease)


async def end(crm: Database, lease: Lease, *, now: datetime = NOW) -> None:
    """Ends it well."""
    async with crm.transaction() as tx:
        await leases.done(tx.connection, lease, now=now, result=None)


async def until(true: Any, *, seconds: float = 60) -> None:
    """Waits until it returns true."""
    async with asyncio.timeout(seconds):
        while not await true():
            await asyncio.sleep(0.02)
