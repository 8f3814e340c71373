"""Helpers for tests of attempts: a kind for the test, an effect that can be seen, attempts one by one."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID

from crmgql.domain.jobs import kinds
from crmgql.records.records import Act
from crmgql.workers import chapters  # noqa: F401 - declares
from crmgql.workers.attempts import Attempts
from crmgql.workers.handlers import handler
from tests.jobs import attempt, kind, row

EFFECT = "INSERT INTO teams (name) VALUES ($1)"
LONG = timedelta(hours=1)


def handle(run: Any, **values: Any) -> None:
    handler(kinds.declare(kind("test", **values)))(run)


async def effect(act: Act, name: str = "effect") -> None:
    await act.tx.connection.execute(EFFECT, name)


async def effects(database) -> list[str]:
    return [row["name"] for row in await database.fetch("SELECT name FROM teams ORDER BY id")]


async def again(database, id: UUID, attempts: Attempts) -> dict[str, Any]:
    """Makes the next attempt, without waiting until it is due. Returns the job after it."""
    await attempt(attempts, id, await database.fetchval("SELECT attempts FROM jobs WHERE id = $1", id))
    return await row(database, id)


async def started(attempts: Attempts, id: UUID, inside: asyncio.Event, number: int = 0) -> asyncio.Task[None]:
    going = asyncio.create_task(attempt(attempts, id, number))
    async with asyncio.timeout(60):
        await inside.wait()
    return going
