"""What holds for every mutation: who may, that a change is told, that a rejection leaves no trace."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from graphql import is_non_null_type

from crmgql import access
from crmgql.engine import mutations
from crmgql.schema import build
from crmgql.viewer import Viewer, Who
from tests.schema.cases import CASES, EVENTS, load
from tests.schema.world import MODELS, NOW, ROLES, World, unlike

load()
SELLING = pytest.mark.parametrize("mutation", sorted(name for name, (roles, _) in CASES.items() if "SELLER" in roles))
MAKING = {
    name for name in CASES if name.endswith(("Create", "Log", "Open", "Record", "Request", "suspenseReceive"))
} | {"creditNoteIssue", "compVersionDraft", "quotaSet"}
MADE_AT_ONCE = pytest.mark.parametrize("mutation", sorted(MAKING))
COUNTED = {model.__name__ for model in MODELS if "version" in model._meta.fields_map}
LEASING = {"subscriptionPull", "subscriptionCommit", "subscriptionRelease"}
"""They move who follows and how far, and change nothing else."""
SENDING = {"invoiceSend", "creditNoteSend", "customerStatementSend"}
"""They send a record, and change nothing of it."""
CHANGING = pytest.mark.parametrize(
    "mutation",
    sorted(name for name in CASES.keys() - MAKING - LEASING - SENDING if mutations.MUTATIONS[name].record in COUNTED),
)
SESSIONS = {"login", "refresh", "logout", "passwordChange"}
SHARED = {"cmp", "prd", "usr", "tea", "cam", "ppl", "stg", "kac", "cal", "scr", "pol", "pit"}
"""Prefixes of what all sellers see."""

EVERY = pytest.mark.parametrize("mutation", sorted(CASES))


def test_each_mutation_has_a_case(world: World) -> None:
    assert build.built()
    assert set(mutations.MUTATIONS) == CASES.keys() | SESSIONS


@EVERY
async def test_only_these_roles_may(world: World, mutation: str) -> None:
    roles, make = CASES[mutation]
    for role in ROLES:
        given = await make(world, role)
        before = await world.counts()
        answer = await world.do(mutation, role, **given)
        if role in roles.split():
            assert answer.done["id"]
        else:
            assert answer.code == "FORBIDDEN", (role, answer)
            assert await world.counts() == before


@EVERY
async def test_a_change_is_told(world: World, mutation: str) -> None:
    given = await CASES[mutation][1](world, "ADMIN")
    before = set(await world.database.fetch("SELECT id FROM events"))
    id = (await world.do(mutation, **given)).done["id"]
    news = set(await world.database.fetch("SELECT id FROM events")) - before
    assert len(news) == EVENTS[mutation]
    assert not news or mutation in SENDING or len(await world.told(id)) >= 1


@EVERY
async def test_nobody_and_a_narrow_key_may_not(world: World, mutation: str) -> None:
    given = await CASES[mutation][1](world, "ADMIN")
    before = await world.counts()
    assert (await world.do(mutation, None, **given)).code == "UNAUTHENTICATED"
    noun = access.ENTRIES[mutations.MUTATIONS[mutation].record].noun
    for scopes in (frozenset({"*:read"}), access.SCOPES - {f"{noun}:write", "*:write"}):
        answer = await world.do(mutation, world.viewer(scopes=scopes, key=UUID(int=1)), **given)
        assert answer.code == "FORBIDDEN"
    assert await world.counts() == before


@SELLING
async def test_unknown_and_hidden_records_look_the_same(world: World, mutation: str) -> None:
    given = await CASES[mutation][1](world, "SELLER")
    for path in [path for path, value in texts(given) if is_hidden(value)]:
        unknown = await world.do(mutation, "SELLER", **changed(given, path, unlike(at(given, path))))
        assert unknown.code == "NOT_FOUND"
        assert unknown.field == ".".join(str(part) for part in path)
    if any(is_hidden(value) for _, value in texts(given)):
        before = await world.counts()
        hidden = await world.do(mutation, "STRANGER", **given)
        assert hidden.code == "NOT_FOUND"
        assert await world.counts() == before
        first = next(path for path, _ in texts(given) if ".".join(map(str, path)) == hidden.field)
        missing = await world.do(mutation, "STRANGER", **changed(given, first, unlike(at(given, first))))
        assert missing.rejections == hidden.rejections


@EVERY
async def test_a_bad_text_leaves_no_trace(world: World, mutation: str) -> None:
    given = await CASES[mutation][1](world, "ADMIN")
    names = [name for name, kind in inputs_of(world, mutation).items() if kind == "String"]
    given |= {"source": "test"} if "externalId" in names else {}
    given |= (
        {"provider": "test", "providerReference": "1"} if "providerReference" in names and "provider" in names else {}
    )
    before = await world.counts()
    for name in names:
        for bad in ("nul \x00", "half \ud800", "x" * 30_000):
            answer = await world.do(mutation, **{**given, "idempotencyKey": f"bad {mutation} {name}", name: bad})
            assert answer.code == "BAD_USER_INPUT", (name, bad[:9], answer)
            assert answer.field == name
    assert await world.counts() == before


@EVERY
async def test_a_null_is_never_the_servers_mistake(world: World, mutation: str) -> None:
    kind: Any = world.engine.schema.type_map[mutations.MUTATIONS[mutation].input_name]
    for name in [name for name, field in kind.fields.items() if not is_non_null_type(field.type)]:
        given = await CASES[mutation][1](world, "ADMIN")
        answer = await world.do(mutation, **{**given, name: None})
        assert answer.code != "INTERNAL_SERVER_ERROR", name


@EVERY
async def test_an_id_of_another_type_is_refused(world: World, mutation: str) -> None:
    given = await CASES[mutation][1](world, "ADMIN")
    before = await world.counts()
    for path in [path for path, value in texts(given) if is_id(value)]:
        for bad in ("evt_" + "0" * 32, "nonsense", "", "\ud800", at(given, path) + "0"):
            answer = await world.do(mutation, **changed(given, path, bad))
            assert answer.code == "BAD_USER_INPUT"
            assert answer.field == ".".join(str(part) for part in path)
    assert await world.counts() == before


@CHANGING
async def test_another_version_is_a_conflict(world: World, mutation: str) -> None:
    given = await CASES[mutation][1](world, "ADMIN")
    before = await world.counts()
    for version in (0, 99, -(2**31)):
        answer = await world.do(mutation, **given, expectedVersion=version)
        assert answer.code == "VERSION_CONFLICT"
    assert await world.counts() == before
    shown = await world.do(mutation, show="id version", **given, expectedVersion=1)
    assert 2 <= shown.done["version"] <= 1 + EVENTS[mutation]


@EVERY
async def test_the_same_key_has_one_effect(world: World, mutation: str) -> None:
    given = await CASES[mutation][1](world, "ADMIN")
    key = f"key of {mutation}"
    first = await world.do(mutation, **given, idempotencyKey=key)
    after = await world.counts()
    again = await world.do(mutation, **given, idempotencyKey=key)
    assert again.done["id"] == first.done["id"]
    assert await world.counts() == after
    conflict = await world.do(mutation, **another(world, mutation, given), idempotencyKey=key)
    assert conflict.code == "IDEMPOTENCY_CONFLICT"
    assert conflict.field == "idempotencyKey"
    assert await world.counts() == after


@MADE_AT_ONCE
async def test_two_at_once_with_one_key_make_one_record(world: World, mutation: str) -> None:
    given = await CASES[mutation][1](world, "ADMIN")
    given["idempotencyKey"] = f"at once {mutation}"
    answers = await asyncio.gather(*(world.do(mutation, **given) for _ in range(4)))
    assert len({answer.done["id"] for answer in answers}) == 1
    assert 1 <= len(await world.told(answers[0].done["id"])) <= EVENTS[mutation]


@EVERY
async def test_a_crash_before_the_commit_is_as_if_never_asked(
    world: World, mutation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = await CASES[mutation][1](world, "ADMIN")
    given["idempotencyKey"] = f"crash {mutation}"
    before = await world.counts()

    async def crash(*_: Any, **__: Any) -> None:
        raise RuntimeError("the lights went out")

    with monkeypatch.context() as patch:
        patch.setattr("crmgql.records.idempotency.finish", crash)
        assert (await world.do(mutation, **given)).code == "INTERNAL_SERVER_ERROR"
    assert await world.counts() == before
    assert (await world.do(mutation, **given)).done["id"]


@pytest.mark.parametrize(
    ("mutation", "scopes"),
    [
        ("customerCreate", "customers:write customers:read"),
        ("interactionLog", "interactions:write interactions:read customers:read opportunities:read contacts:read"),
        ("orderCreate", "orders:write orders:read customers:read products:read"),
        ("opportunityCreate", "opportunities:write opportunities:read customers:read contacts:read products:read"),
        ("paymentRecord", "payments:write payments:read orders:read"),
    ],
)
async def test_the_scopes_that_a_key_needs(world: World, mutation: str, scopes: str) -> None:
    given = await CASES[mutation][1](world, "ADMIN")
    for role in ("INTEGRATION", "ADMIN"):
        assert (await world.do(mutation, world.viewer(role, scopes=frozenset(scopes.split())), **given)).code is None
    for scope in scopes.split():
        fewer = frozenset(scopes.split()) - {scope}
        answer = await world.do(mutation, world.viewer("INTEGRATION", scopes=fewer), **given)
        assert answer.code in ("FORBIDDEN", "NOT_FOUND") or (mutation, scope) == ("customerCreate", "customers:read")


async def test_somebody_without_roles_may_nothing(world: World) -> None:
    nobody = Viewer(await world.user(), Who(frozenset()), clock=lambda: NOW)
    for mutation, (_, make) in CASES.items():
        assert (await world.do(mutation, nobody, **await make(world, "ADMIN"))).code == "FORBIDDEN"


def inputs_of(world: World, mutation: str) -> dict[str, str]:
    """The names and types of an input's fields."""
    kind: Any = world.engine.schema.type_map[mutations.MUTATIONS[mutation].input_name]
    return {name: str(field.type).rstrip("!") for name, field in kind.fields.items()}


def another(world: World, mutation: str, given: dict[str, Any]) -> dict[str, Any]:
    """An input that asks for something else."""
    known = inputs_of(world, mutation)
    others = {"expectedVersion": 7, "source": "else", "expiresAt": "2030-01-01T00:00:00Z"}
    for name, value in others.items():
        if name in known:
            return {**given, name: value}
    for path, text in texts(given):
        if is_id(text):
            return dict(changed(given, path, unlike(text)))
    return {**given, next(name for name, kind in known.items() if kind == "String"): "Something else"}


def texts(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], str]]:
    """Every text of an input with its path."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from texts(item, (*path, name))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from texts(item, (*path, index))


def is_id(value: str) -> bool:
    return len(value) == 36 and value[3] == "_"


def is_hidden(value: str) -> bool:
    """An id of a record that not every seller sees."""
    return is_id(value) and value[:3] not in SHARED


def at(given: Any, path: tuple[Any, ...]) -> Any:
    for part in path:
        given = given[part]
    return given


def changed(given: Any, path: tuple[Any, ...], value: Any) -> Any:
    """The input with another value in one place."""
    if not path:
        return value
    copy = dict(given) if isinstance(given, dict) else list(given)
    copy[path[0]] = changed(given[path[0]], path[1:], value)
    return copy
