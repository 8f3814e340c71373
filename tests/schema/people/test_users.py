"""Users, teams and API keys: administrators only, and never beyond a key's scopes."""

from __future__ import annotations

import asyncio
import hashlib
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest

from crmgql.domain.people import passwords
from tests.schema.world import World, id_of, uuid_of

PASSWORD = "correct horse battery"


async def test_create_and_update(world: World) -> None:
    team = id_of("Team", world.team)
    given = {"name": "Ann", "email": "ann@people.example", "roles": ["SELLER", "MANAGER", "SELLER"], "teamId": team}
    show = "id email roles team { id } active"
    made = (await world.do("userCreate", show=show, **given, password=PASSWORD)).done
    assert made["roles"] == ["MANAGER", "SELLER"]
    assert made["team"] == {"id": team}
    row = await world.row("users", made["id"])
    assert await passwords.verify(row["password_hash"], PASSWORD)
    assert "password" not in str(await world.changes(made["id"]))
    changed = await world.do("userUpdate", show=show, id=made["id"], roles=["SELLER", "MANAGER"], teamId=None)
    assert changed.done == {**made, "team": None}
    assert await world.told(made["id"]) == ["user.created", "user.updated"]


async def test_a_new_password_ends_the_sessions(world: World) -> None:
    user = id_of("User", await world.user("SELLER"))
    assert (await world.do("userUpdate", id=user, password=PASSWORD)).code is None
    assert await world.told(user) == ["user.passwordChanged"]
    assert await world.changes(user) == {}
    for bad in ("short", "x" * 1025, "half \ud800 of it"):
        assert (await world.do("userUpdate", id=user, password=bad)).field == "password"


async def test_an_idempotency_key_tells_passwords_apart_and_keeps_none(world: World) -> None:
    given = {"name": "Ann", "idempotencyKey": "user"}
    made = await world.do("userCreate", **given, password=PASSWORD)
    assert (await world.do("userCreate", **given, password=PASSWORD)).done == made.done
    assert (await world.do("userCreate", **given, password=PASSWORD + "!")).code == "IDEMPOTENCY_CONFLICT"


@pytest.mark.parametrize(
    ("given", "code", "field"),
    [
        ({"name": " "}, "BAD_USER_INPUT", "name"),
        ({"email": "TAKEN@people.example"}, "CONFLICT", "email"),
        ({"teamId": "tea_" + "0" * 32}, "NOT_FOUND", "teamId"),
        ({"postalCode": "x" * 21}, "BAD_USER_INPUT", "postalCode"),
    ],
)
async def test_values_that_do_not_fit(world: World, given: dict[str, Any], code: str, field: str) -> None:
    if "email" in given:
        await world.user(email="taken@people.example")
    for mutation, base in (("userCreate", {"name": "Ann"}), ("userUpdate", {"id": id_of("User", await world.user())})):
        answer = await world.do(mutation, **{**base, **given})
        assert (answer.code, answer.field) == (code, field)


async def test_deactivate_and_reactivate(world: World) -> None:
    user = await world.user("SELLER")
    id = id_of("User", user)
    await world.insert(
        "sessions", user_id=user, family=uuid4(), token_hash=uuid4().hex, expires_at=world.viewer().now()
    )
    assert (await world.do("userDeactivate", show="active", id=id)).done == {"active": False}
    sql = "SELECT count(*) FROM sessions WHERE user_id = $1 AND revoked_at IS NULL"
    assert await world.database.fetchval(sql, user) == 0
    assert (await world.do("userDeactivate", id=id)).code == "ILLEGAL_TRANSITION"
    assert (await world.do("userReactivate", show="active", id=id)).done == {"active": True}
    assert (await world.do("userReactivate", id=id)).code == "ILLEGAL_TRANSITION"
    assert await world.told(id) == ["user.deactivated", "user.reactivated"]


async def test_an_administrator_always_remains(world: World) -> None:
    admin = id_of("User", world.people["ADMIN"])
    assert (await world.do("userDeactivate", id=admin)).code == "CONFLICT"
    answer = await world.do("userUpdate", id=admin, roles=["SELLER"])
    assert (answer.code, answer.rejections[0]["message"]) == (
        "CONFLICT",
        "This is the last active administrator; make another one first.",
    )
    assert (await world.do("userUpdate", id=admin, roles=["ADMIN"], city="Rome")).code is None


async def test_two_administrators_do_not_remove_each_other(world: World) -> None:
    second = await world.user("ADMIN")
    world.people["SECOND"] = second
    first = world.people["ADMIN"]
    try:
        answers = await asyncio.gather(
            world.do("userUpdate", id=id_of("User", second), roles=[]),
            world.do("userUpdate", id=id_of("User", first), roles=[]),
        )
        assert sorted(str(answer.code) for answer in answers) == ["CONFLICT", "None"]
    finally:
        await world.database.execute("UPDATE users SET roles = '{ADMIN}' WHERE id = $1", first)
        await world.database.execute("UPDATE users SET roles = '{}' WHERE id = $1", second)


async def test_a_key_decides_nothing_about_rights(world: World) -> None:
    key = world.viewer(scopes=frozenset({"*:read", "*:write"}), key=UUID(int=1))
    user = id_of("User", await world.user("SELLER"))
    for mutation, given in (
        ("userCreate", {"name": "Ann", "password": PASSWORD}),
        ("userCreate", {"name": "Ann", "roles": ["SELLER"]}),
        ("userUpdate", {"id": user, "password": PASSWORD}),
        ("userUpdate", {"id": user, "roles": ["FINANCE", "SELLER"]}),
        ("userUpdate", {"id": user, "roles": []}),
        ("userUpdate", {"id": user, "email": "mine@people.example"}),
        ("userUpdate", {"id": user, "teamId": id_of("Team", world.team)}),
        ("userDeactivate", {"id": user}),
        ("userReactivate", {"id": id_of("User", await world.user(active=False))}),
        ("teamCreate", {"name": "Mine", "managerId": user}),
        ("teamUpdate", {"id": id_of("Team", world.team), "managerId": user}),
        ("teamUpdate", {"id": id_of("Team", world.team), "managerId": None}),
        ("teamUpdate", {"id": id_of("Team", world.team), "parentId": id_of("Team", world.team)}),
        ("apiKeyCreate", {"userId": user, "name": "Key", "scopes": ["*:read"]}),
        ("apiKeyRevoke", {"id": await world.api_key()}),
    ):
        before = await world.counts()
        assert (await world.do(mutation, key, **given)).code == "FORBIDDEN", (mutation, given)
        assert await world.counts() == before


async def test_a_key_does_not_make_its_own_user_more(world: World) -> None:
    narrow = world.viewer(scopes=frozenset({"users:read", "users:write"}), key=UUID(int=1))
    itself = id_of("User", world.people["ADMIN"])
    answer = await world.do("userUpdate", narrow, id=itself, roles=["ADMIN", "FINANCE"])
    assert (answer.code, answer.errors[0]["extensions"]["field"]) == ("FORBIDDEN", "roles")
    assert (await world.row("users", itself))["roles"] == ["ADMIN"]


async def test_a_key_keeps_the_list_of_people(world: World) -> None:
    key = world.viewer(scopes=frozenset({"*:read", "*:write"}), key=uuid_of(await world.api_key()))
    team = (await world.do("teamCreate", key, name="East", parentId=id_of("Team", world.team))).done["id"]
    given = {
        "name": "Ann",
        "email": "key@people.example",
        "roles": [],
        "teamId": team,
        "source": "hr",
        "externalId": "1",
    }
    user = (await world.do("userCreate", key, **given)).done["id"]
    assert (await world.do("userUpdate", key, id=user, name="Anne", city="Rome", password=None)).code is None
    assert (await world.do("teamUpdate", key, id=team, name="Far East")).code is None


async def test_teams_form_no_circle(world: World) -> None:
    top = (await world.do("teamCreate", name="Top")).done["id"]
    below = (await world.do("teamCreate", show="id parent { id }", name="Below", parentId=top)).done
    assert below["parent"] == {"id": top}
    answer = await world.do("teamUpdate", id=top, parentId=below["id"])
    assert (answer.code, answer.field) == ("BAD_USER_INPUT", "parentId")
    assert (await world.do("teamUpdate", id=below["id"], parentId=None, name="Own")).code is None
    assert await world.told(below["id"]) == ["team.created", "team.updated"]
    gone = id_of("User", await world.user("MANAGER", active=False))
    assert (await world.do("teamUpdate", id=top, managerId=gone)).field == "managerId"
    assert (await world.do("teamCreate", name="x" * 101)).field == "name"


async def test_a_key_is_shown_once(world: World) -> None:
    user = id_of("User", world.people["INTEGRATION"])
    given = {"userId": user, "name": "Shop", "scopes": ["orders:write", "orders:read"], "idempotencyKey": "shop"}
    made = await world.do("apiKeyCreate", show="id name hint scopes user { id }", **given)
    key = made.payload["key"]
    assert key.startswith("crm_")
    assert made.done == {**made.done, "hint": key[:12], "scopes": ["orders:read", "orders:write"], "user": {"id": user}}
    again = await world.do("apiKeyCreate", show="id", **given)
    assert (again.done["id"], again.payload["key"]) == (made.done["id"], None)
    assert (await world.do("apiKeyRevoke", show="revokedAt", id=made.done["id"])).done["revokedAt"] is not None
    assert (await world.do("apiKeyRevoke", id=made.done["id"])).code is None
    assert await world.told(made.done["id"]) == ["apiKey.created", "apiKey.revoked"]


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"scopes": []}, "scopes"),
        ({"scopes": ["customers:read", "moon:read"]}, "scopes.1"),
        ({"scopes": ["\ud800"]}, "scopes.0"),
        ({"name": "\x00"}, "name"),
        ({"name": "\u200b"}, "name"),
        ({"expiresAt": "2020-01-01T00:00:00Z"}, "expiresAt"),
    ],
)
async def test_keys_that_can_not_be(world: World, given: dict[str, Any], field: str) -> None:
    base = {"userId": id_of("User", world.people["ADMIN"]), "name": "Key", "scopes": ["*:read"], "idempotencyKey": "no"}
    answer = await world.do("apiKeyCreate", **{**base, **given})
    assert (answer.code, answer.field) == ("BAD_USER_INPUT", field)


async def test_whoever_may_other_things_is_forgotten(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    forgotten: list[UUID] = []

    class Identities:
        def forget(self, user_id: UUID) -> None:
            forgotten.append(user_id)

    monkeypatch.setattr(world.engine, "identities", Identities())
    user = await world.user("SELLER")
    id, key = id_of("User", user), await world.api_key()
    await world.do("userUpdate", id=id, roles=["SUPPORT"])
    await world.do("userDeactivate", id=id)
    await world.do("userDeactivate", id=id)
    await world.do("userReactivate", id=id)
    await world.do("apiKeyRevoke", id=key)
    assert forgotten == [user] * 3 + [world.people["INTEGRATION"]]
    assert uuid_of(id) == user


async def test_no_connection_is_held_while_a_password_is_hashed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither by argon2 for the password nor by scrypt for the idempotency key."""
    free: list[int] = []
    hash_password, scrypt = passwords._hasher.hash, hashlib.scrypt

    def look() -> None:
        sizes = world.engine.database.pool_sizes()
        free.append(sizes["write_connections"] - sizes["write_connections_idle"])

    def argon(known: bytes) -> str:
        look()
        return hash_password(known)

    def slow(*values: Any, **more: Any) -> bytes:
        look()
        return scrypt(*values, **more)

    monkeypatch.setattr(passwords, "_hasher", SimpleNamespace(hash=argon, verify=passwords._hasher.verify))
    monkeypatch.setattr(hashlib, "scrypt", slow)
    given = {"password": PASSWORD, "idempotencyKey": "hashed outside"}
    id = (await world.do("userCreate", name="Bea", **given)).done["id"]
    assert (await world.do("userUpdate", id=id, password="another horse")).code is None
    assert free == [0, 0, 0]
    assert await passwords.verify((await world.row("users", id))["password_hash"], "another horse")
