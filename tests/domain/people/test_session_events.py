"""Sessions leave events: who came, who went, whose token was stolen, who guesses."""

from __future__ import annotations

import json
from uuid import UUID

import asyncpg
import pytest

from crmgql.db import Database
from crmgql.domain.people import login_attempts, passwords, sessions
from crmgql.errors import Throttled, Unauthenticated
from tests.domain.doors import CHEAP, EMAIL, ISSUE, NOW, add_user, login


@pytest.fixture(autouse=True)
def cheap_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "_hasher", CHEAP)


@pytest.fixture
async def user_id(database: asyncpg.Connection) -> UUID:
    return await add_user(database, EMAIL)


async def recorded(database: asyncpg.Connection) -> list[tuple[str, UUID, UUID]]:
    rows = await database.fetch(
        "SELECT kind, e.subject_id, a.actor_id FROM events e JOIN audit_entries a USING (id) ORDER BY id"
    )
    return [tuple(row) for row in rows]


async def test_coming_and_going(crm: Database, database: asyncpg.Connection, user_id: UUID) -> None:
    made = await login(crm)
    for _ in range(2):  # the second time there is nothing left to end
        await sessions.logout(crm, refresh_token=made.refresh_token, now=NOW)
    assert await recorded(database) == [("user.loggedIn", user_id, user_id), ("user.loggedOut", user_id, user_id)]


async def test_a_token_used_twice(crm: Database, database: asyncpg.Connection, user_id: UUID) -> None:
    made = await login(crm)
    renew = {"refresh_token": made.refresh_token, "client": None, "now": NOW, "issue": ISSUE}
    await sessions.refresh(crm, **renew)
    for _ in range(2):
        with pytest.raises(Unauthenticated):
            await sessions.refresh(crm, **renew)
    assert await recorded(database) == [("user.loggedIn", user_id, user_id), ("user.sessionEnded", user_id, user_id)]


@pytest.mark.parametrize("email", [EMAIL, "nobody@example.com"])
async def test_a_guesser_is_told_of_once_a_window(
    crm: Database, database: asyncpg.Connection, user_id: UUID, email: str
) -> None:
    for _ in range(login_attempts.CLIENT_FAILURES):
        with pytest.raises(Unauthenticated):
            await login(crm, email=email, password="a wrong one")
    for _ in range(3):
        with pytest.raises(Throttled):
            await login(crm, email=email, password="a wrong one")
    event = await database.fetchrow("SELECT * FROM events")
    assert (event["kind"], event["subject_type"], event["actor_id"]) == ("login.throttled", "LoginAttempt", None)
    payload = json.loads(event["payload"])
    assert payload["failures"] == login_attempts.CLIENT_FAILURES + 1
    assert payload.get("userId") == (f"usr_{user_id.hex}" if email == EMAIL else None)
    assert email not in str(event)
    assert await database.fetchval("SELECT count(*) FROM audit_entries") == 1
