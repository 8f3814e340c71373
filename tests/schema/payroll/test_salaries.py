"""Salaries: a history without gaps and overlaps, which its person and payroll see, and nobody else."""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from crmgql.postgres.connection import ROLE
from tests.schema.cases_payroll import PAYROLL, salaries_of, salary
from tests.schema.compensation.test_kept import KEPT, refused, undone
from tests.schema.compensation.test_quotas import counted
from tests.schema.world import ROLES, World, id_of, money, uuid_of

SHOW = "{ startsOn endsOn period amount { amount currency } reason cancelledAt }"


async def history(world: World, user: str) -> list[tuple[str, str | None, str]]:
    """Of a person: first day, last day, amount of each that counts, the earliest first."""
    rows = await world.database.fetch(
        "SELECT starts_on, ends_on, amount FROM salaries WHERE user_id = $1 AND cancelled_at IS NULL ORDER BY starts_on",
        uuid_of(user),
    )
    return [(str(row["starts_on"]), row["ends_on"] and str(row["ends_on"]), f"{row['amount']:f}") for row in rows]


async def seller(world: World) -> str:
    return id_of("User", await world.user("SELLER"))


async def put(world: World, user: str, day: str, amount: str, **more: Any) -> str:
    given = salaries_of(user, startsOn=day, amount=money(amount), **more)
    id: str = (await world.do("salarySet", PAYROLL, salaries=given)).done["id"]
    return id


async def test_a_new_one_ends_the_one_before(world: World) -> None:
    user = await seller(world)
    first = await put(world, user, "2026-01-01", "4000.00")
    second = await put(world, user, "2026-07-01", "4500.00", reason="Promoted")
    assert await history(world, user) == [("2026-01-01", "2026-06-30", "4000.00"), ("2026-07-01", None, "4500.00")]
    assert await world.told(first) == ["salary.set", "salary.ended"]
    assert await world.told(second) == ["salary.set"]
    await put(world, user, "2026-04-01", "4200.00")
    assert [each[:2] for each in await history(world, user)] == [
        ("2026-01-01", "2026-03-31"),
        ("2026-04-01", "2026-06-30"),
        ("2026-07-01", None),
    ]


async def test_a_whole_history_at_once(world: World) -> None:
    user = await seller(world)
    days = {"2026-03-01": "3.00", "2024-01-01": "1.00", "2025-02-01": "2.00"}
    given = [each for day, amount in days.items() for each in salaries_of(user, startsOn=day, amount=money(amount))]
    first = (await world.do("salarySet", PAYROLL, show="startsOn", salaries=given)).done
    assert first == {"startsOn": "2026-03-01"}
    assert await history(world, user) == [
        ("2024-01-01", "2025-01-31", "1.00"),
        ("2025-02-01", "2026-02-28", "2.00"),
        ("2026-03-01", None, "3.00"),
    ]


async def test_one_from_the_same_day_replaces_and_the_same_changes_nothing(world: World) -> None:
    user = await seller(world)
    first = await put(world, user, "2026-01-01", "4000.00")
    before = await world.counts()
    assert await put(world, user, "2026-01-01", "4000.00") == first
    assert await world.counts() == before
    second = await put(world, user, "2026-01-01", "4100.00")
    assert second != first
    assert await world.told(first) == ["salary.set", "salary.cancelled"]
    assert await history(world, user) == [("2026-01-01", None, "4100.00")]


async def test_what_was_cancelled_was_never_due(world: World) -> None:
    user = await seller(world)
    first = await put(world, user, "2026-01-01", "4000.00")
    second = await put(world, user, "2026-07-01", "4500.00")
    await put(world, user, "2026-10-01", "5000.00")
    assert (await world.do("salaryCancel", PAYROLL, id=second)).done
    assert [each[:2] for each in await history(world, user)] == [("2026-01-01", "2026-09-30"), ("2026-10-01", None)]
    assert await world.told(first) == ["salary.set", "salary.ended", "salary.ended"]
    assert (await world.do("salaryCancel", PAYROLL, id=second)).code == "ILLEGAL_TRANSITION"
    assert (await world.do("salaryEnd", PAYROLL, id=second, endsOn="2026-12-31")).code == "ILLEGAL_TRANSITION"


async def test_somebody_leaves_and_comes_back(world: World) -> None:
    user = await seller(world)
    first = await put(world, user, "2026-01-01", "4000.00")
    early = await world.do("salaryEnd", PAYROLL, id=first, endsOn="2025-12-31")
    assert (early.code, early.field) == ("BAD_USER_INPUT", "endsOn")
    assert (await world.do("salaryEnd", PAYROLL, id=first, endsOn="2026-03-31")).done
    await put(world, user, "2026-06-01", "4200.00")
    assert await history(world, user) == [("2026-01-01", "2026-03-31", "4000.00"), ("2026-06-01", None, "4200.00")]
    late = await world.do("salaryEnd", PAYROLL, id=first, endsOn="2026-06-01")
    assert (late.code, late.field) == ("SALARIES_OVERLAP", "endsOn")
    assert "2026-06-01" in late.rejections[0]["message"]


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"amount": money("-1.00")}, "amount"),
        ({"amount": money("1.5", "JPY")}, "amount"),
        ({"reason": ""}, "reason"),
        ({"reason": "x" * 1001}, "reason"),
        ({"startsOn": "9999-01-01"}, "startsOn"),
    ],
)
async def test_one_that_is_wrong_sets_none(world: World, wrong: dict[str, Any], field: str) -> None:
    given = salaries_of(await seller(world), await seller(world))
    given[1] |= wrong
    before = await world.counts()
    answer = await world.do("salarySet", PAYROLL, salaries=given)
    assert (answer.code, answer.field) == ("BAD_USER_INPUT", f"salaries.1.{field}")
    assert await world.counts() == before


async def test_nobody_twice_from_one_day_nobody_unknown_and_not_none(world: World) -> None:
    user, before = await seller(world), await world.counts()
    twice = await world.do("salarySet", PAYROLL, salaries=salaries_of(user, user))
    assert (twice.code, twice.field) == ("BAD_USER_INPUT", "salaries.1.startsOn")
    unknown = await world.do("salarySet", PAYROLL, salaries=salaries_of(user, "usr_" + "0" * 32))
    assert (unknown.code, unknown.field) == ("NOT_FOUND", "salaries.1.userId")
    assert (await world.do("salarySet", PAYROLL, salaries=[])).field == "salaries"
    assert await world.counts() == before


async def test_the_person_and_payroll_see_it_and_nobody_else(world: World) -> None:
    """Also not administrators, finance and the person's managers: neither the record, nor its events, nor its audit trail."""
    user, reason = id_of("User", world.people["SELLER"]), "Secret reason 7351"
    id = await put(world, user, "2026-01-01", "7351.00", reason=reason)
    query = f"""query($id: ID!, $user: ID!) {{ node(id: $id) {{ id }} salaries(where: {{id: {{eq: $id}}}}) {{ totalCount nodes {SHOW} }}
        user(id: $user) {{ salary {{ amount currency }} salaries {{ nodes {SHOW} }} }}
        events(first: 100, orderBy: [{{field: CREATED_AT, direction: DESC}}]) {{ nodes {{ kind subjectType payload }} }}
        auditEntries(first: 100) {{ nodes {{ subjectType changes }} }} }}"""
    for role in (*ROLES, "STRANGER"):
        answer = await world.ask(query, world.viewer(role), id=id, user=user)
        assert "errors" not in answer, (role, answer)
        sees = role in (PAYROLL, "SELLER")
        assert (answer["data"]["salaries"]["totalCount"], answer["data"]["node"]) == (
            (1, {"id": id}) if sees else (0, None)
        )
        assert answer["data"]["user"]["salary"] == (money("7351.00") if sees else None), role
        assert len(answer["data"]["user"]["salaries"]["nodes"]) == sees
        assert ("7351" in str(answer)) == sees, role
        told = [each for each in answer["data"]["events"]["nodes"] if each["subjectType"] == "Salary"]
        assert "7351" not in str(told)
        audited = [each for each in answer["data"]["auditEntries"]["nodes"] if each["subjectType"] == "Salary"]
        assert bool(audited) == (role == PAYROLL), role


async def test_a_key_needs_the_scope_and_sets_nothing(world: World) -> None:
    user = id_of("User", world.people[PAYROLL])
    await put(world, user, "2026-01-01", "4000.00")
    query = "{ me { salary { amount } } salaries { totalCount } }"
    narrow = world.viewer(PAYROLL, scopes=frozenset({"users:read"}), key=UUID(int=1))
    answer = await world.ask("{ me { salary { amount } } }", narrow)
    assert answer["data"] == {"me": {"salary": None}}
    assert "errors" in await world.ask(query, narrow)
    wide = world.viewer(PAYROLL, scopes=frozenset({"*:read", "*:write"}), key=UUID(int=1))
    assert (await world.ask(query, wide))["data"]["me"]["salary"] == {"amount": "4000.00"}
    assert (await world.do("salarySet", wide, salaries=salaries_of(user))).code == "FORBIDDEN"


async def test_now_is_today(world: World) -> None:
    """What is over, to come or cancelled is not what somebody is paid now."""
    user = await seller(world)
    query = "query($user: ID!) { user(id: $user) { salary { amount } } }"
    now = world.viewer(PAYROLL)
    await put(world, user, "2020-01-01", "1.00")
    await put(world, user, "2025-01-01", "2.00")
    last = await put(world, user, "2199-01-01", "3.00")
    assert (await world.ask(query, now, user=user))["data"]["user"]["salary"] == {"amount": "2.00"}
    await world.do("salaryCancel", PAYROLL, id=last)
    assert (await world.ask(query, now, user=user))["data"]["user"]["salary"] == {"amount": "2.00"}


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE salaries SET amount = 9.00 WHERE id = $1",
        "UPDATE salaries SET starts_on = '2020-01-01' WHERE id = $1",
        "UPDATE salaries SET user_id = (SELECT id FROM users ORDER BY id LIMIT 1), ends_on = '2026-12-31' WHERE id = $1",
        "UPDATE salaries SET reason = 'Other' WHERE id = $1",
        "UPDATE salaries SET period = 'YEAR' WHERE id = $1",
        "DELETE FROM salaries WHERE id = $1",
    ],
)
async def test_a_salary_never_changes(world: World, change: str) -> None:
    await refused(world, KEPT, change, uuid_of(await salary(world)))


async def test_a_cancelled_one_stays_so_and_none_overlap(world: World) -> None:
    user = await world.user("SELLER")
    cancelled = uuid_of(await salary(world, user))
    await world.do("salaryCancel", PAYROLL, id=id_of("Salary", cancelled))
    await refused(world, KEPT, "UPDATE salaries SET cancelled_at = NULL WHERE id = $1", cancelled)
    await salary(world, user)
    with pytest.raises(asyncpg.ExclusionViolationError):
        async with undone(world):
            await salary(world, user, amount=Decimal("9.00"))
    await refused(world, KEPT, "TRUNCATE salaries")


async def test_the_role_of_the_application_may_no_more(world: World) -> None:
    for verb, columns in (("DELETE", None), ("UPDATE", "amount"), ("UPDATE", "user_id"), ("UPDATE", "reason")):
        has = "SELECT has_table_privilege($1, 'salaries', $2)"
        if columns:
            allowed = await world.database.fetchval(
                "SELECT has_column_privilege($1, 'salaries', $2, $3)", ROLE, columns, verb
            )
        else:
            allowed = await world.database.fetchval(has, ROLE, verb)
        assert allowed is False, (verb, columns)


async def test_five_hundred_take_as_many_statements_as_one(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    users = [await seller(world) for _ in range(502)]
    for user in (users[0], *users[2:]):
        await salary(world, uuid_of(user))
    counts = []
    for part in (users[:1], users[2:]):
        with counted(monkeypatch) as sent:
            assert (await world.do("salarySet", PAYROLL, salaries=salaries_of(*part))).done
        counts.append(len(sent))
    assert 3 < counts[1] <= counts[0]
