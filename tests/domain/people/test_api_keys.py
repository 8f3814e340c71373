from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from crmgql.db import Database
from crmgql.domain.people import api_keys, tokens
from crmgql.errors import BadUserInput, Forbidden, NotFound
from crmgql.records.records import Act
from crmgql.viewer import Viewer, Who

NOW = datetime(2031, 5, 6, 7, 8, 9, tzinfo=UTC)
ABSENT = UUID(int=7)


def viewer(user_id: UUID, *roles: str, api_key_id: UUID | None = None) -> Viewer:
    scopes = None if api_key_id is None else frozenset({"*:write"})
    return Viewer(user_id, Who(frozenset(roles), scopes), api_key_id, lambda: NOW)


@pytest.fixture
async def user_id(database: asyncpg.Connection) -> UUID:
    return await database.fetchval("INSERT INTO users (name, roles) VALUES ('Ada', '{ADMIN}') RETURNING id")


async def create(crm: Database, by: Viewer, **changes: Any) -> tuple[UUID, str]:
    values = {"user_id": by.user_id, "name": "Shop", "scopes": ["orders:write"]}
    async with crm.transaction() as tx:
        return await api_keys.create(Act(tx, by), **(values | changes))


async def revoke(crm: Database, by: Viewer, id: UUID) -> UUID:
    async with crm.transaction() as tx:
        return await api_keys.revoke(Act(tx, by), id=id)


async def trail(database: asyncpg.Connection) -> list[tuple[Any, ...]]:
    rows = await database.fetch("SELECT * FROM audit_entries ORDER BY id")
    return [(row["action"], row["actor_id"], row["subject_id"], row["occurred_at"]) for row in rows]


async def test_a_key_is_shown_once_and_kept_as_a_hash(crm: Database, database: asyncpg.Connection, user_id: UUID):
    ends = NOW + timedelta(days=90)
    scopes = ["orders:write", "customers:read", "orders:write"]
    id, key = await create(crm, viewer(user_id, "ADMIN"), name="  Shop ", scopes=scopes, expires_at=ends)

    row = await database.fetchrow("SELECT * FROM api_keys")
    assert key.startswith("crm_")
    assert dict(row) == {
        "id": id,
        "name": "Shop",
        "hint": key[:12],
        "key_hash": tokens.digest(key),
        "scopes": ["customers:read", "orders:write"],
        "expires_at": ends,
        "revoked_at": None,
        "user_id": user_id,
        "created_at": NOW,
    }


async def test_making_and_revoking_leave_a_trail_without_the_key(
    crm: Database, database: asyncpg.Connection, user_id: UUID
):
    admin = viewer(user_id, "ADMIN")
    id, key = await create(crm, admin)
    assert await revoke(crm, admin, id) == user_id

    assert await database.fetchval("SELECT revoked_at FROM api_keys WHERE id = $1", id) == NOW
    assert await trail(database) == [("apiKey.created", user_id, id, NOW), ("apiKey.revoked", user_id, id, NOW)]
    changes = json.loads(await database.fetchval("SELECT changes FROM audit_entries WHERE action = 'apiKey.created'"))
    assert changes == {
        "user_id": [None, str(user_id)],
        "name": [None, "Shop"],
        "scopes": [None, ["orders:write"]],
        "expires_at": [None, None],
    }
    events = await database.fetch("SELECT kind, subject_id, subject_type, actor_id, payload FROM events ORDER BY id")
    assert [tuple(event) for event in events] == [
        ("apiKey.created", id, "ApiKey", user_id, "{}"),
        ("apiKey.revoked", id, "ApiKey", user_id, "{}"),
    ]
    everything = str([*events, *await database.fetch("SELECT * FROM audit_entries")])
    assert key not in everything
    assert tokens.digest(key) not in everything


async def test_revoking_again_changes_nothing(crm: Database, database: asyncpg.Connection, user_id: UUID):
    admin = viewer(user_id, "ADMIN")
    id, _ = await create(crm, admin)
    await revoke(crm, admin, id)
    later = Viewer(user_id, admin.who, None, lambda: NOW + timedelta(days=1))

    assert await revoke(crm, later, id) == user_id
    assert await database.fetchval("SELECT revoked_at FROM api_keys") == NOW
    assert len(await trail(database)) == 2


@pytest.mark.parametrize("role", ["FINANCE", "MANAGER", "SELLER", "SUPPORT", "MARKETER", "INTEGRATION"])
async def test_only_an_administrator_may(crm: Database, database: asyncpg.Connection, user_id: UUID, role: str):
    id, _ = await create(crm, viewer(user_id, "ADMIN"))
    with pytest.raises(Forbidden):
        await create(crm, viewer(user_id, role))
    with pytest.raises(Forbidden):
        await revoke(crm, viewer(user_id, role), id)

    assert await database.fetchval("SELECT count(*) FROM api_keys WHERE revoked_at IS NULL") == 1


async def test_an_administrators_key_may_not(crm: Database, user_id: UUID):
    """The attack: a key limited to some scopes makes itself one without limits."""
    id, _ = await create(crm, viewer(user_id, "ADMIN"))
    key_viewer = viewer(user_id, "ADMIN", api_key_id=id)
    with pytest.raises(Forbidden):
        await create(crm, key_viewer, scopes=["*:write"])
    with pytest.raises(Forbidden):
        await revoke(crm, key_viewer, id)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "   "}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"name": "NUL \0"}, "name"),
        ({"name": "surrogate \ud800"}, "name"),
        ({"name": "two\nlines"}, "name"),
        ({"scopes": []}, "scopes"),
        ({"scopes": ["orders:write", "nothings:read"]}, "scopes.1"),
        ({"scopes": ["Orders:read"]}, "scopes.0"),
        ({"scopes": ["*"]}, "scopes.0"),
        ({"scopes": ["\0\ud800" * 5000]}, "scopes.0"),
        ({"expires_at": NOW}, "expiresAt"),
        ({"expires_at": NOW.replace(tzinfo=None) + timedelta(days=1)}, "expiresAt"),
    ],
)
async def test_bad_input_is_named(crm: Database, user_id: UUID, changes: dict[str, Any], field: str):
    with pytest.raises(BadUserInput) as refusal:
        await create(crm, viewer(user_id, "ADMIN"), **changes)

    assert refusal.value.field == field
    refusal.value.message.encode()  # it can be sent


async def test_names_in_any_script_are_fine(crm: Database, user_id: UUID):
    await create(crm, viewer(user_id, "ADMIN"), name="営業\u3000連携 – Österreich 🔑")


async def test_what_is_absent_is_not_found(crm: Database, database: asyncpg.Connection, user_id: UUID):
    admin = viewer(user_id, "ADMIN")
    gone = await database.fetchval("INSERT INTO users (name, active) VALUES ('Gone', false) RETURNING id")
    for absent in (ABSENT, gone):
        with pytest.raises(NotFound):
            await create(crm, admin, user_id=absent)
    with pytest.raises(NotFound):
        await revoke(crm, admin, ABSENT)
