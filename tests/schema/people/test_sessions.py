"""Logging in, staying in, leaving, changing the password, over GraphQL."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from crmgql.domain.people import passwords
from crmgql.domain.people.identity import Identities
from crmgql.schema import build
from crmgql.viewer import Viewer
from tests.schema.world import NOW, SECRET, World, id_of

PASSWORD = "correct horse battery"
SHOW = "id roles salary { amount }"


@pytest.fixture
async def login(world: World) -> dict[str, str]:
    """The e-mail and password of a fresh seller."""
    email = f"{uuid4().hex}@example.com"
    await world.user("SELLER", email=email, password_hash=await passwords.hash(PASSWORD))
    return {"email": email, "password": PASSWORD}


async def identified(world: World, payload: dict[str, Any]) -> Viewer:
    return await Identities(world.engine.database, SECRET).identify(f"Bearer {payload['accessToken']}", lambda: NOW)


async def test_login_shows_tokens_and_the_user(world: World, login: dict[str, str]) -> None:
    answer = await world.do("login", None, SHOW, **login)
    assert answer.done["roles"] == ["SELLER"]
    assert answer.payload["expiresAt"] == "2026-11-01T12:15:00+00:00"
    viewer = await identified(world, answer.payload)
    assert id_of("User", viewer.user_id) == answer.done["id"]
    assert viewer.roles == {"SELLER"}


@pytest.mark.parametrize(
    "change", [{"password": "wrong"}, {"email": "nobody@example.com"}, {"email": "\ud800"}, {"password": "\x00"}]
)
async def test_wrong_credentials_all_look_the_same(world: World, login: dict[str, str], change: dict[str, str]) -> None:
    answer = await world.do("login", None, **{**login, **change})
    assert answer.payload["accessToken"] is None
    assert answer.rejections == [{"code": "UNAUTHENTICATED", "field": None, "message": "E-mail or password is wrong."}]
    assert answer.errors == []


async def test_too_many_tries_are_throttled(world: World, login: dict[str, str]) -> None:
    for _ in range(5):
        assert (await world.do("login", None, **{**login, "password": "wrong"})).code == "UNAUTHENTICATED"
    answer = await world.do("login", None, **login)
    assert answer.code == "THROTTLED"
    assert answer.errors[0]["extensions"]["retryAfterSeconds"] == 900
    assert answer.errors[0]["path"] == ["login"]


async def test_refresh_works_once(world: World, login: dict[str, str]) -> None:
    first = (await world.do("login", None, **login)).payload["refreshToken"]
    second = await world.do("refresh", None, SHOW, refreshToken=first)
    assert second.done["roles"] == ["SELLER"]
    again = await world.do("refresh", None, refreshToken=first)
    assert again.code == "UNAUTHENTICATED"
    ended = await world.do("refresh", None, refreshToken=second.payload["refreshToken"])
    assert ended.code == "UNAUTHENTICATED"
    for bad in ("", "\ud800", "x" * 5000):
        assert (await world.do("refresh", None, refreshToken=bad)).code == "UNAUTHENTICATED"


async def test_logout_ends_the_session(world: World, login: dict[str, str]) -> None:
    tokens = (await world.do("login", None, **login)).payload
    assert (await world.do("logout", None, refreshToken=tokens["refreshToken"])).done["id"]
    assert (await world.do("refresh", None, refreshToken=tokens["refreshToken"])).code == "UNAUTHENTICATED"
    unknown = await world.do("logout", None, refreshToken="unknown")
    assert (unknown.code, unknown.field) == ("UNAUTHENTICATED", "refreshToken")


async def test_password_change(world: World, login: dict[str, str]) -> None:
    tokens = (await world.do("login", None, **login)).payload
    viewer = await identified(world, tokens)
    assert (await world.do("passwordChange", None, current=PASSWORD, new="another one")).code == "UNAUTHENTICATED"
    wrong = await world.do("passwordChange", viewer, current="wrong", new="another one")
    assert (wrong.code, wrong.field) == ("BAD_USER_INPUT", "current")
    short = await world.do("passwordChange", viewer, current=PASSWORD, new="short")
    assert (short.code, short.field) == ("BAD_USER_INPUT", "new")
    changed = await world.do("passwordChange", viewer, SHOW, current=PASSWORD, new="another one")
    assert changed.done["roles"] == ["SELLER"]
    assert await identified(world, changed.payload)
    assert (await world.do("refresh", None, refreshToken=tokens["refreshToken"])).code == "UNAUTHENTICATED"
    assert (await world.do("login", None, **{**login, "password": "another one"})).code is None


async def test_what_can_not_be_shown_costs_nobody_their_tokens(world: World, login: dict[str, str]) -> None:
    query = """mutation($input: LoginInput!) { login(input: $input) { accessToken userErrors { code }
        user { customers(first: 100) { nodes { orders(first: 100) { nodes { lines(first: 100) { nodes { id } } } } } } } } }"""
    answer = await world.ask(query, None, input=login)
    assert answer["data"]["login"]["accessToken"]
    assert answer["data"]["login"]["user"] is None
    assert answer["errors"][0]["extensions"]["code"] == "MAX_COST_EXCEEDED"
    assert answer["errors"][0]["path"] == ["login", "user"]


async def test_other_fields_beside_a_login_need_a_viewer_first(world: World, login: dict[str, str]) -> None:
    query = """mutation($input: LoginInput!) { login(input: $input) { accessToken }
        customerCreate(input: {name: "A"}) { userErrors { code } } }"""
    before = await world.counts()
    answer = await world.ask(query, None, input=login)
    assert answer["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
    assert answer["data"] is None
    assert await world.counts() == before


async def test_without_a_secret_nobody_logs_in(world: World, login: dict[str, str]) -> None:
    other = World(build.engine(world.engine.database, world.engine.settings), world.database)
    assert (await other.do("login", None, **login)).code == "SERVICE_UNAVAILABLE"


async def test_logout_and_password_change_are_told_to_who_remembers(
    world: World, login: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    forgotten: list[str] = []

    class Remembering:
        def forget(self, user_id: Any) -> None:
            forgotten.append(id_of("User", user_id))

    monkeypatch.setattr(world.engine, "identities", Remembering())
    made = await world.do("login", None, **login)
    assert forgotten == []
    changed = await world.do(
        "passwordChange", await identified(world, made.payload), current=PASSWORD, new="another one"
    )
    await world.do("logout", None, refreshToken=changed.payload["refreshToken"])
    assert forgotten == [made.done["id"]] * 2
