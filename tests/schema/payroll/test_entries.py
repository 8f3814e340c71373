"""Entries of pay: added and reversed, never changed; seen by their person and by payroll, and by nobody else."""

from __future__ import annotations

import asyncio
from datetime import date
from decimal import Decimal
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from crmgql.postgres.connection import ROLE
from tests.schema.cases_payroll import PAYROLL, entries_of, entry
from tests.schema.compensation.test_kept import KEPT, refused
from tests.schema.compensation.test_quotas import counted
from tests.schema.world import ROLES, World, id_of, money, uuid_of

SHOW = "id kind amount { amount currency } effectiveOn reason reverses { id }"


async def seller(world: World) -> str:
    return id_of("User", await world.user("SELLER"))


async def test_one_is_added_and_reversed_once(world: World) -> None:
    user = await seller(world)
    made = (await world.do("payEntryAdd", PAYROLL, SHOW, entries=entries_of(user, user))).done
    given = {name: value for name, value in entries_of(user)[0].items() if name != "userId"}
    assert made == {**given, "id": made["id"], "reverses": None}
    undone = (await world.do("payEntryReverse", PAYROLL, SHOW, id=made["id"], reason="A mistake")).done
    said = {"kind": "BONUS", "amount": money("-500.00"), "effectiveOn": "2026-06-30", "reason": "A mistake"}
    assert undone == {**said, "id": undone["id"], "reverses": {"id": made["id"]}}
    again = await world.do("payEntryReverse", PAYROLL, id=made["id"], reason="A mistake")
    assert (again.code, again.field) == ("REVERSED_ALREADY", "id")
    back = await world.do("payEntryReverse", PAYROLL, id=undone["id"], reason="It was right")
    assert (back.code, back.field) == ("ILLEGAL_TRANSITION", "id")
    assert (await world.told(made["id"]), await world.told(undone["id"])) == (["payEntry.added"], ["payEntry.reversed"])
    total = "SELECT sum(amount) FROM pay_entries WHERE user_id = $1"
    assert await world.database.fetchval(total, uuid_of(user)) == Decimal("500.00")


async def test_of_two_reversals_at_once_one_wins(world: World) -> None:
    id = await entry(world)
    answers = await asyncio.gather(
        *(world.do("payEntryReverse", PAYROLL, id=id, reason=f"Mistake {n}") for n in range(4))
    )
    codes = sorted(str(answer.code) for answer in answers)
    assert codes == ["None", *["REVERSED_ALREADY"] * 3]


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"amount": money("0.00")}, "amount"),
        ({"amount": money("-5.00")}, "amount"),
        ({"kind": "RECOVERY"}, "amount"),
        ({"amount": money("1.005")}, "amount"),
        ({"reason": " "}, "reason"),
        ({"reason": "x" * 1001}, "reason"),
        ({"effectiveOn": "9999-01-01"}, "effectiveOn"),
    ],
)
async def test_one_that_is_wrong_adds_none(world: World, wrong: dict[str, Any], field: str) -> None:
    given = entries_of(await seller(world), await seller(world))
    given[1] |= wrong
    before = await world.counts()
    answer = await world.do("payEntryAdd", PAYROLL, entries=given)
    assert (answer.code, answer.field) == ("BAD_USER_INPUT", f"entries.1.{field}")
    assert await world.counts() == before


async def test_nobody_unknown_and_not_none(world: World) -> None:
    before = await world.counts()
    unknown = await world.do("payEntryAdd", PAYROLL, entries=entries_of("usr_" + "0" * 32))
    assert (unknown.code, unknown.field) == ("NOT_FOUND", "entries.0.userId")
    assert (await world.do("payEntryAdd", PAYROLL, entries=[])).field == "entries"
    missing = await world.do("payEntryReverse", PAYROLL, id="pen_" + "0" * 32, reason="A mistake")
    assert (missing.code, missing.field) == ("NOT_FOUND", "id")
    assert await world.counts() == before


async def test_what_is_taken_is_below_zero(world: World) -> None:
    user = await seller(world)
    given = entries_of(user, kind="RECOVERY", amount=money("-50.00")) + entries_of(
        user, kind="MANUAL", amount=money("-1.00")
    )
    assert (await world.do("payEntryAdd", PAYROLL, "amount { amount }", entries=given)).done == {
        "amount": {"amount": "-50.00"}
    }


async def test_the_person_and_payroll_see_it_and_nobody_else(world: World) -> None:
    """Also not administrators, finance and the person's managers: neither the record, nor its events, nor its audit trail."""
    user = id_of("User", world.people["SELLER"])
    given = entries_of(user, amount=money("8642.00"), reason="Secret reason 8642")
    id = (await world.do("payEntryAdd", PAYROLL, entries=given)).done["id"]
    query = f"""query($id: ID!, $user: ID!) {{ node(id: $id) {{ id }} payEntries(where: {{id: {{eq: $id}}}}) {{ totalCount nodes {{ {SHOW} }} }}
        user(id: $user) {{ payEntries {{ nodes {{ {SHOW} }} }} }}
        events(first: 100, orderBy: [{{field: CREATED_AT, direction: DESC}}]) {{ nodes {{ subjectType payload }} }}
        auditEntries(first: 100) {{ nodes {{ subjectType changes }} }} }}"""
    for role in (*ROLES, "STRANGER"):
        answer = await world.ask(query, world.viewer(role), id=id, user=user)
        assert "errors" not in answer, (role, answer)
        sees = role in (PAYROLL, "SELLER")
        assert (answer["data"]["payEntries"]["totalCount"], answer["data"]["node"]) == (
            (1, {"id": id}) if sees else (0, None)
        )
        assert ("8642" in str(answer)) == sees, role
        assert ("PayEntry" in str(answer["data"]["auditEntries"])) == (role == PAYROLL), role


async def test_a_key_adds_nothing(world: World) -> None:
    key = world.viewer(PAYROLL, scopes=frozenset({"*:read", "*:write"}), key=UUID(int=1))
    assert (await world.do("payEntryAdd", key, entries=entries_of(await seller(world)))).code == "FORBIDDEN"
    assert (await world.do("payEntryReverse", key, id=await entry(world), reason="A mistake")).code == "FORBIDDEN"


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE pay_entries SET amount = 9.00 WHERE id = $1",
        "UPDATE pay_entries SET reason = 'Other' WHERE id = $1",
        "UPDATE pay_entries SET effective_on = '2020-01-01' WHERE id = $1",
        "DELETE FROM pay_entries WHERE id = $1",
    ],
)
async def test_an_entry_never_changes(world: World, change: str) -> None:
    await refused(world, KEPT, change, uuid_of(await entry(world)))


async def test_they_are_not_emptied_and_the_application_may_not(world: World) -> None:
    await refused(world, KEPT, "TRUNCATE pay_entries")
    for verb in ("UPDATE", "DELETE", "TRUNCATE"):
        assert not await world.database.fetchval("SELECT has_table_privilege($1, 'pay_entries', $2)", ROLE, verb), verb


async def test_raw_sql_reverses_what_was_once_and_whole(world: World) -> None:
    user = await world.user("SELLER")
    first = uuid_of(await entry(world, user))
    undone = {"reverses_id": first, "amount": Decimal("-500.00")}
    other: list[tuple[dict[str, Any], Any]] = [
        ({"amount": Decimal("-499.00")}, asyncpg.ForeignKeyViolationError),
        ({"currency": "USD"}, asyncpg.ForeignKeyViolationError),
        ({"kind": "GUARANTEE"}, asyncpg.ForeignKeyViolationError),
        ({"effective_on": date(2026, 7, 1)}, asyncpg.ForeignKeyViolationError),
        ({"amount": Decimal("500.00")}, asyncpg.CheckViolationError),
        ({"reverses_id": None}, asyncpg.CheckViolationError),
    ]
    for values, error in other:
        with pytest.raises(error):
            await entry(world, user, **{**undone, **values})
    with pytest.raises(asyncpg.ForeignKeyViolationError):
        await entry(world, await world.user("SELLER"), **undone)
    await entry(world, user, **undone)
    with pytest.raises(asyncpg.UniqueViolationError):
        await entry(world, user, **undone)
    manual = uuid_of(await entry(world, user, kind="MANUAL"))
    back = uuid_of(await entry(world, user, kind="MANUAL", reverses_id=manual, amount=Decimal("-500.00")))
    with pytest.raises(asyncpg.ForeignKeyViolationError):
        await entry(world, user, kind="MANUAL", reverses_id=back)


async def test_five_hundred_take_as_many_statements_as_one(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    users = [await seller(world) for _ in range(502)]
    counts = []
    for part in (users[:1], users[2:]):
        with counted(monkeypatch) as sent:
            assert (await world.do("payEntryAdd", PAYROLL, entries=entries_of(*part))).done
        counts.append(len(sent))
    assert 3 < counts[1] <= counts[0]
