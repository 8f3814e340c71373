"""Somebody with a password, and the ways in."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import argon2
import asyncpg

from crmgql.db import Database
from crmgql.domain.people import sessions
from crmgql.domain.people.login_attempts import Blocks
from crmgql.viewer import Viewer, Who

NOW = datetime(2031, 5, 6, 7, 8, 9, tzinfo=UTC)
ISSUE = sessions.Issue("a-test-secret-of-more-than-32-bytes!", access_token_minutes=15, refresh_token_days=30)
EMAIL, PASSWORD = "Ada@example.com", "correct horse battery"
ADDRESS = "192.0.2.1"
CHEAP = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


async def add_user(database: asyncpg.Connection, email: str | None, *, hash: str | None = "", **values: Any) -> UUID:
    columns = {"name": "Ada", "email": email, "password_hash": CHEAP.hash(PASSWORD) if hash == "" else hash, **values}
    places = ", ".join(f"${number}" for number in range(1, len(columns) + 1))
    sql = f"INSERT INTO users ({', '.join(columns)}) VALUES ({places}) RETURNING id"
    return await database.fetchval(sql, *columns.values())


async def login(crm: Database, **changes: Any) -> sessions.Tokens:
    """Without `blocks` as if by a process that remembers nothing."""
    values = {"email": EMAIL, "password": PASSWORD, "remote": ADDRESS, "blocks": Blocks(), "now": NOW, "issue": ISSUE}
    return await sessions.login(crm, **(values | changes))


async def change(crm: Database, by: Viewer, current: str, new: str, **changes: Any) -> sessions.Tokens:
    values = {"remote": ADDRESS, "blocks": Blocks(), "issue": ISSUE, **changes}
    return await sessions.change_password(crm, by, current=current, new=new, **values)


def viewer(user_id: UUID, *, api_key_id: UUID | None = None) -> Viewer:
    return Viewer(user_id, Who(frozenset()), api_key_id, lambda: NOW)


async def outcomes(*tries: Any) -> Counter[str]:
    return Counter(type(each).__name__ for each in await asyncio.gather(*tries, return_exceptions=True))
