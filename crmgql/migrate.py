"""Brings a database to this version's tables: Tortoise's own migrations, under a lock so that two can't collide."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
from tortoise import Tortoise
from tortoise.connection import get_connection
from tortoise.migrations.executor import MigrationExecutor

from crmgql.db import tortoise_config
from crmgql.errors import SetupError

LOCK = 0x63726D67716C
OLDEST = 180000


async def migrate(url: str) -> list[str]:
    """The names of the migrations that were applied now. Raises `SetupError`."""
    try:
        guard = await asyncpg.connect(url)
    except (OSError, asyncpg.PostgresError, TimeoutError) as error:
        raise SetupError(f"PostgreSQL can't be reached ({error}); check CRMGQL_DATABASE_URL.") from error
    try:
        number = int(await guard.fetchval("SHOW server_version_num"))
        if number < OLDEST:
            raise SetupError(f"PostgreSQL 18 is needed; this server is {number // 10000}.")
        await guard.execute("SELECT pg_advisory_lock($1)", LOCK)
        return await _apply(url)
    finally:
        await guard.close()


async def pending(url: str) -> list[str]:
    """The names of the migrations that the database still lacks."""
    async with _executor(url) as executor:
        return await _planned(executor)


async def _apply(url: str) -> list[str]:
    async with _executor(url) as executor:
        planned = await _planned(executor)
        await executor.migrate()
        return planned


async def _planned(executor: MigrationExecutor) -> list[str]:
    return [step.migration.name for step in await executor.plan()]


@asynccontextmanager
async def _executor(url: str) -> AsyncIterator[MigrationExecutor]:
    config = tortoise_config(url, pool_size=1, statement_timeout_ms=0)
    await Tortoise.init(config=config)
    logging.getLogger("tortoise").setLevel(logging.WARNING)
    try:
        yield MigrationExecutor(get_connection("default"), config["apps"])
    finally:
        await Tortoise.close_connections()
