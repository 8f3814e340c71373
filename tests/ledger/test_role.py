"""A database on a server of others: its owner is no superuser."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

import asyncpg
import pytest
import pytest_asyncio

from crmgql import db, migrate
from crmgql.errors import SetupError
from crmgql.postgres.connection import ROLE
from tests.conftest import administering, named

OWNER = "crm_owner"


@pytest_asyncio.fixture
async def owned(servers: Any, template: str) -> AsyncIterator[str]:
    """The URL of an empty database whose owner may neither make roles nor take the application's."""
    async with administering(servers.database_url) as admin:
        await admin.execute(f"CREATE ROLE {OWNER} LOGIN PASSWORD 'secret'")
        await admin.execute(f"CREATE DATABASE {OWNER} OWNER {OWNER}")
        yield of(named(servers.database_url, OWNER))
        await admin.execute(f"DROP DATABASE {OWNER} WITH (FORCE)")
        await admin.execute(f"DROP OWNED BY {OWNER}; DROP ROLE {OWNER}")


def of(url: str) -> str:
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{quote(OWNER)}:secret@{host}"))


async def test_an_owner_who_may_not_take_the_role_is_told_what_to_run(owned: str) -> None:
    with pytest.raises(asyncpg.RaiseError, match=f"CREATE ROLE {ROLE}; GRANT {ROLE} TO {OWNER}"):
        await migrate.migrate(owned)
    with pytest.raises(SetupError, match="run “crmgql migrate”"):
        await db.connect(owned)


async def test_an_owner_who_may_take_the_role_migrates_and_serves(owned: str, servers: Any) -> None:
    async with administering(servers.database_url) as admin:
        await admin.execute(f"GRANT {ROLE} TO {OWNER}")
    await migrate.migrate(owned)
    async with db.opened(owned) as database, database.connection() as connection:
        assert await connection.fetchval("SELECT current_user") == ROLE
        await connection.execute("SELECT event_months(now(), 1)")
        await connection.execute("SELECT feed_pass()")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("DELETE FROM audit_entries")
