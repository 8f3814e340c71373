"""Who attained and earned how much: the leaderboard by person, team and region, teams below their target."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any
from uuid import UUID

import asyncpg
import pytest_asyncio

from crmgql import db
from crmgql.domain.compensation import splits
from crmgql.domain.compensation.splits import Part
from tests.conftest import NOW
from tests.domain import work
from tests.domain.compensation.paying import assign, plan, posted
from tests.domain.sales.test_revenue import confirmed
from tests.ledger.conftest import acting, add_customer
from tests.schema.compensation.paid import Asked

BOARD = """query($by: CommissionGrouping, $since: Date, $until: Date) { commissionLeaderboard(by: $by, since: $since, until: $until) {
    rank name people earned { amount } attained { amount } quota { amount } target { amount } attainment ofTarget } }"""
BELOW = "query($percent: Int) { teamsBelow(percent: $percent) { name teamId people ofTarget target { amount } } }"
QUOTA = {"measure": "BOOKED", "basis": "NET", "currency": "USD"}


@pytest_asyncio.fixture
async def people(crm: db.Database, database: asyncpg.Connection, ann: UUID) -> dict[str, UUID]:
    """Ann in the North sold 400 of 3,000 in November, Bob in the South 1,500 of 1,000; Mia, who leads the North, has 1 % of it."""
    bob = await work.user(database, "Bob", region="EU")
    mia = await work.user(database, "Mia", roles=["MANAGER"])
    first = await confirmed(crm, await add_customer(database), "400.00")
    second = await confirmed(crm, await add_customer(database, "Zeta"), "1500.00")
    for order, person in ((first, ann), (second, bob)):
        async with acting(crm) as act:
            await splits.set_parts(act, id=order, parts=[Part(person, Decimal(100))])
    north = await work.insert(database, "teams", name="North", manager_id=mia)
    south = await work.insert(database, "teams", name="South")
    for person, team in ((ann, north), (bob, south)):
        await database.execute("UPDATE users SET team_id = $1 WHERE id = $2", team, person)
    await assign(database, await plan(database, measure="BOOKED"), ann, bob)
    await assign(database, await plan(database, ("0", None, "0.01"), role="MANAGER", measure="BOOKED"), mia)
    november = {"starts_on": date(2026, 11, 1), "ends_on": date(2026, 11, 30)}
    for owner, amount in (
        ({"user_id": ann}, "3000.00"),
        ({"user_id": bob}, "1000.00"),
        ({"team_id": north}, "3000.00"),
    ):
        await work.insert(database, "quotas", **owner, **QUOTA, **november, amount=Decimal(amount))
    await posted(crm)
    return {"ann": ann, "bob": bob, "mia": mia, "boss": await work.user(database, "Zoe")}


async def board(asked: Asked, user: UUID, role: str = "FINANCE", **variables: Any) -> list[Any]:
    found: list[Any] = (await asked.data(BOARD, user, role, **variables))["commissionLeaderboard"]
    return found


async def test_people_are_ranked_by_what_they_attained(asked: Asked, people: dict[str, UUID]) -> None:
    found = await board(asked, people["boss"])
    assert [(each["rank"], each["name"], each["attained"]["amount"], each["earned"]["amount"]) for each in found] == [
        (1, "Bob", "1500.00", "60.00"),
        (2, "Ann", "400.00", "16.00"),
        (2, "Mia", "400.00", "4.00"),
    ]
    ann = found[1]
    assert (ann["quota"]["amount"], ann["target"]["amount"]) == ("3000.00", "100.00")
    assert (ann["attainment"], ann["ofTarget"]) == ("0.1333", "4.0000")
    assert await board(asked, people["boss"], since="2026-10-01", until="2026-10-31") == [
        {**each, "rank": 1, "earned": {"amount": "0.00"}, "attained": {"amount": "0.00"}, **NOTHING}
        for each in by_name(found)
    ]


NOTHING = dict.fromkeys(("quota", "target", "attainment", "ofTarget"))


def by_name(found: list[Any]) -> list[Any]:
    return sorted(found, key=lambda each: str(each["name"]))


async def test_a_team_counts_its_people_once(asked: Asked, people: dict[str, UUID]) -> None:
    found = {each["name"]: each for each in await board(asked, people["boss"], by="TEAM")}
    assert found["North"]["attained"]["amount"] == "400.00"
    assert found["South"]["attainment"] == "1.5000"
    assert (found[None]["earned"]["amount"], found[None]["attained"]["amount"]) == ("4.00", "0.00")
    regions = {each["name"]: each for each in await board(asked, people["boss"], by="REGION")}
    assert (regions["EU"]["people"], regions["EU"]["attained"]["amount"]) == (1, "1500.00")


async def test_who_has_no_quota_fills_nobodys(
    asked: Asked, people: dict[str, UUID], database: asyncpg.Connection
) -> None:
    await database.execute("UPDATE users SET team_id = (SELECT id FROM teams WHERE name = 'North')")
    await database.execute("UPDATE quotas SET cancelled_at = now() WHERE user_id = $1", people["bob"])
    (north,) = await board(asked, people["boss"], by="TEAM")
    assert (north["people"], north["attained"]["amount"], north["attainment"]) == (3, "1900.00", "0.1333")


async def test_each_sees_those_whose_commissions_they_see(asked: Asked, people: dict[str, UUID]) -> None:
    assert [each["name"] for each in await board(asked, people["bob"], "SELLER")] == ["Bob"]
    assert [each["name"] for each in await board(asked, people["mia"], "MANAGER")] == ["Ann", "Mia"]
    assert await board(asked, people["bob"], "SUPPORT") == []


async def test_teams_below_their_target_are_named(
    asked: Asked, people: dict[str, UUID], database: asyncpg.Connection
) -> None:
    """The target is what of the quotas falls on the days up to today, here one of thirty."""

    async def below(percent: int | None = None) -> list[Any]:
        found: list[Any] = (await asked.data(BELOW, people["boss"], "FINANCE", percent=percent))["teamsBelow"]
        return found

    assert NOW.date() == date(2026, 11, 1)
    assert await below() == []
    (north,) = await below(500)
    assert (north["name"], north["people"], north["ofTarget"], north["target"]) == (
        "North",
        1,
        "4.0000",
        {"amount": "100.00"},
    )
    more = {"starts_on": date(2026, 10, 1), "ends_on": date(2026, 10, 31)}
    await database.execute("UPDATE quotas SET amount = 30000.00 WHERE user_id = $1", people["ann"])
    assert [each["ofTarget"] for each in await below()] == ["0.4000"]
    await work.insert(database, "quotas", user_id=people["ann"], **QUOTA, **more, amount=Decimal("1.00"))
    assert [each["ofTarget"] for each in await below()] == ["0.4000"]


async def test_what_can_not_be_asked(asked: Asked, people: dict[str, UUID]) -> None:
    async def refused(query: str) -> tuple[str, str]:
        (error,) = (await asked.answer(query, people["boss"], "FINANCE"))["errors"]
        return error["extensions"]["code"], error["extensions"]["field"]

    board = "{ commissionLeaderboard(%s) { rank } }"
    assert await refused(board % 'since: "2026-11-02", until: "2026-11-01"') == ("BAD_USER_INPUT", "until")
    assert await refused(board % "first: 1001") == ("BAD_USER_INPUT", "first")
    assert await refused("{ teamsBelow(percent: 0) { rank } }") == ("BAD_USER_INPUT", "percent")
