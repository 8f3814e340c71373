"""Quotas of people and teams: set many at once, changed, cancelled; and that many take no more statements than one."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import asyncpg
import pytest

from tests.schema.cases_plans import SAYS, plan, quotas_of
from tests.schema.world import World, id_of, money, unlike, uuid_of

LISTED = "SELECT id, starts_on::text, ends_on::text, amount::text, version FROM quotas WHERE user_id = $1 ORDER BY starts_on, id"


async def seller(world: World) -> str:
    return id_of("User", await world.user("SELLER"))


async def set_all(world: World, *quotas: dict[str, Any]) -> Any:
    return await world.do(
        "quotaSet", "FINANCE", "amount { amount currency } user { id } team { id }", quotas=list(quotas)
    )


async def test_people_and_teams_get_theirs(world: World) -> None:
    ann, team = await seller(world), id_of("Team", await world.insert("teams", name="East"))
    answer = await set_all(world, *quotas_of({"teamId": team}, {"userId": ann}, amount=money("5.00")))
    assert answer.done == {"amount": {"amount": "5.00", "currency": "EUR"}, "user": None, "team": {"id": team}}
    query = "query($id: ID!) { user(id: $id) { quotas { nodes { startsOn endsOn measure basis amount { amount } } } } }"
    found = (await world.ask(query, world.viewer("FINANCE"), id=ann))["data"]["user"]["quotas"]["nodes"]
    assert found == [
        {
            "startsOn": "2026-01-01",
            "endsOn": "2026-12-31",
            "measure": "BOOKED",
            "basis": "NET",
            "amount": {"amount": "5.00"},
        }
    ]


async def test_the_same_days_get_the_amount(world: World) -> None:
    ann, bo = await seller(world), await seller(world)
    first, second = quotas_of({"userId": ann}, {"userId": bo})
    await set_all(world, first, second)
    changed = {**first, "amount": money("7.00", "USD")}
    third = {**first, "measure": "COLLECTED"}
    answer = await set_all(world, changed, second, third)
    assert answer.done["amount"] == {"amount": "7.00", "currency": "USD"}
    rows = await world.database.fetch(LISTED, uuid_of(ann))
    assert sorted((row["amount"], row["version"]) for row in rows) == [("120000.00", 1), ("7.00", 2)]
    (same,) = await world.database.fetch(LISTED, uuid_of(bo))
    assert same["version"] == 1
    assert await world.told(id_of("Quota", same["id"])) == ["quota.set"]
    (again,) = [row for row in rows if row["version"] == 2]
    assert await world.told(id_of("Quota", again["id"])) == ["quota.set", "quota.set"]
    assert await world.changes(id_of("Quota", again["id"])) == {
        "amount": ["120000.00", "7.00"],
        "currency": ["EUR", "USD"],
    }


async def test_no_two_are_for_the_same_on_a_day(world: World) -> None:
    ann, bo = await seller(world), await seller(world)
    (first,) = quotas_of({"userId": ann})
    await set_all(world, first)
    before = await world.counts()
    others = quotas_of({"userId": bo})
    for days in (("2026-12-31", "2027-12-31"), ("2026-01-01", "2026-12-30"), ("2025-01-01", "2027-01-01")):
        answer = await set_all(world, *others, {**first, "startsOn": days[0], "endsOn": days[1]})
        assert (answer.code, answer.field) == ("QUOTAS_OVERLAP", "quotas.1.startsOn")
    twice = await set_all(world, *others, {**others[0], "startsOn": "2026-12-31", "endsOn": "2027-01-31"})
    assert (twice.code, twice.field) == ("QUOTAS_OVERLAP", "quotas.1.startsOn")
    assert await world.counts() == before
    (row,) = await world.database.fetch(LISTED, uuid_of(ann))
    assert (await world.do("quotaCancel", id=id_of("Quota", row["id"]))).done
    assert (await world.do("quotaCancel", id=id_of("Quota", row["id"]))).code == "ILLEGAL_TRANSITION"
    assert (await set_all(world, {**first, "startsOn": "2026-02-01"})).done


async def test_two_at_once_set_one(world: World) -> None:
    ann = await seller(world)
    wanted = [{**quotas_of({"userId": ann})[0], "startsOn": f"2026-0{month}-01"} for month in (1, 2, 3)]
    answers = await asyncio.gather(*(set_all(world, each) for each in wanted))
    assert sorted(str(answer.code) for answer in answers) == ["None", "QUOTAS_OVERLAP", "QUOTAS_OVERLAP"]


async def test_quotas_that_say_nothing_sensible(world: World) -> None:
    ann, team = await seller(world), id_of("Team", world.team)
    good = quotas_of({"userId": ann})[0]
    before = await world.counts()
    for wrong, code, field in (
        ({"teamId": team}, "BAD_USER_INPUT", "userId"),
        ({"userId": None}, "BAD_USER_INPUT", "userId"),
        ({"userId": unlike(ann)}, "NOT_FOUND", "userId"),
        ({"userId": None, "teamId": unlike(team)}, "NOT_FOUND", "teamId"),
        ({"amount": money("0.00")}, "BAD_USER_INPUT", "amount"),
        ({"amount": money("0.001")}, "BAD_USER_INPUT", "amount"),
        ({"endsOn": "2025-12-31"}, "BAD_USER_INPUT", "endsOn"),
        ({"startsOn": "0001-01-01"}, "BAD_USER_INPUT", "startsOn"),
    ):
        answer = await set_all(world, {**good, **wrong})
        assert (answer.code, answer.field) == (code, f"quotas.0.{field}")
    assert (await set_all(world)).field == "quotas"
    assert await world.counts() == before


async def test_a_teams_is_seen_by_its_manager_and_not_by_its_members(world: World) -> None:
    team = id_of("Team", world.team)
    mine = id_of("User", world.people["SELLER"])
    await set_all(world, *quotas_of({"teamId": team}, {"userId": mine}, startsOn="2031-01-01", endsOn="2031-12-31"))
    query = '{ quotas(where: {startsOn: {eq: "2031-01-01"}}) { nodes { user { id } team { id } } } }'
    seen = {
        role: (await world.ask(query, world.viewer(role)))["data"]["quotas"]["nodes"]
        for role in ("FINANCE", "MANAGER", "SELLER", "STRANGER", "INTEGRATION")
    }
    own = {"user": {"id": mine}, "team": None}
    assert [len(seen[role]) for role in ("FINANCE", "MANAGER", "STRANGER", "INTEGRATION")] == [2, 2, 0, 0]
    assert seen["SELLER"] == [own]


@contextmanager
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The statements that are sent meanwhile."""
    sent: list[str] = []

    def counting(name: str) -> Any:
        send = getattr(asyncpg.Connection, name)

        async def noted(self: Any, query: str, *arguments: Any, **options: Any) -> Any:
            sent.append(query)
            return await send(self, query, *arguments, **options)

        return noted

    with monkeypatch.context() as patch:
        for name in ("execute", "fetch", "fetchrow", "fetchval"):
            patch.setattr(asyncpg.Connection, name, counting(name))
        yield sent


async def test_five_hundred_take_as_many_statements_as_one(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    users = [id_of("User", await world.user("SELLER")) for _ in range(502)]
    share = {"name": "Share", "kind": "PERCENT", "tiers": [{"fromValue": "0", "rate": "0.05"}]}
    many = [
        *({"fromValue": str(n), "toValue": str(n + 1), "rate": "0.1"} for n in range(9)),
        {"fromValue": "9", "rate": "0.2"},
    ]
    wide = [{"name": f"Share {n}", "kind": "PERCENT", "group": f"g{n}", "tiers": many} for n in range(50)]
    given: list[tuple[str, list[dict[str, Any]]]] = [
        ("quotaSet", [{"quotas": quotas_of(*({"userId": user} for user in part))} for part in (users[:1], users[2:])]),
        (
            "compPlanAssign",
            [
                {"id": await plan(world), "startsOn": "2026-01-01", "people": [{"userId": user} for user in part]}
                for part in (users[:1], users[2:])
            ],
        ),
        ("compVersionDraft", [{**SAYS, "planId": await plan(world), "rules": rules} for rules in ([share], wide)]),
    ]
    for mutation, inputs in given:
        counts = []
        for each in inputs:
            with counted(monkeypatch) as sent:
                assert (await world.do(mutation, "FINANCE", **each)).done
            counts.append(len(sent))
        assert 3 < counts[1] <= counts[0], mutation  # the first may read what is kept from then on
