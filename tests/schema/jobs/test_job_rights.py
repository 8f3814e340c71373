"""A job does nothing for anybody that they may not do themselves: all kinds, asked for, retried and scheduled by keys."""

from __future__ import annotations

from itertools import count
from typing import Any

import pytest

from crmgql import access
from crmgql.domain.jobs import jobs, kinds, schedules
from crmgql.records.records import Act
from crmgql.viewer import Viewer, system
from tests.schema.cases_jobs import job, schedule, status_of
from tests.schema.world import NOW, World, uuid_of

numbers = count()
ARGUMENTS: dict[str, dict[str, Any]] = {"lead.route": {"lead_id": "0" * 32}, "lead.duplicates": {"lead_id": "0" * 32}}
KINDS = sorted(name for name in kinds.KINDS if not name.startswith("test."))  # those are other tests' own
MANUAL = [name for name in KINDS if kinds.KINDS[name].manual]


async def key(world: World, *scopes: str) -> Viewer:
    return world.viewer(scopes=frozenset(scopes), key=uuid_of(await world.api_key()))


def needed(name: str) -> set[str]:
    """The scopes beside jobs:write."""
    return {f"{access.ENTRIES[record].noun}:write" for record in kinds.KINDS[name].writes} - {"jobs:write"}


async def ways(world: World, name: str) -> list[tuple[str, dict[str, Any]]]:
    """All mutations that make a job of this kind run."""
    dead = await job(world, "DEAD", kind=name)
    listed: list[tuple[str, dict[str, Any]]] = [("jobRetry", {"id": dead})]
    if kinds.KINDS[name].manual:
        given = {"kind": name, "arguments": ARGUMENTS.get(name, {})}
        fresh = {"name": f"{name} {next(numbers)}", "everyS": 60, **given}
        idle = await schedule(world, kind=name, enabled=False, next_at=None)
        listed += [("jobEnqueue", given), ("scheduleCreate", fresh), ("scheduleUpdate", {"id": idle, "enabled": True})]
        listed += [("scheduleUpdate", {"id": idle, "arguments": ARGUMENTS.get(name, {}), "everyS": 30})]
    return listed


@pytest.mark.parametrize("name", KINDS)
def test_each_kind_says_what_it_changes(name: str) -> None:
    writes = kinds.KINDS[name].writes
    assert writes, f"{name} must say which types of records it writes; Job where it is nothing but jobs."
    asked = [access.ENTRIES[record].write for record in writes]
    assert all(each is not None and "ADMIN" in access.roles_with(each) for each in asked), (
        "administrators may ask for everything"
    )


def test_a_kind_can_not_be_declared_without() -> None:
    with pytest.raises(TypeError, match="writes"):
        kinds.Kind("new", kinds.Nothing, "default", "New.")  # type: ignore[call-arg]


@pytest.mark.parametrize("name", [name for name in KINDS if needed(name)])
async def test_jobs_write_alone_is_no_way_around_the_other_scopes(world: World, name: str) -> None:
    """The attack: a key made to watch jobs gives all leads away, mails everybody, empties the owners' desks."""
    for missing in needed(name):
        allowed = await key(world, "*:read", "jobs:write", *(needed(name) - {missing}))
        for mutation, given in await ways(world, name):
            before = await world.counts()
            answer = await world.do(mutation, allowed, **given)
            assert answer.code == "FORBIDDEN", mutation
            assert answer.errors[0]["message"] == f"This API key lacks the scope {missing}."
            assert await world.counts() == before


@pytest.mark.parametrize("name", KINDS)
async def test_with_the_scopes_of_what_it_changes_it_passes(world: World, name: str) -> None:
    for scopes in ({"jobs:write", *needed(name)}, {"*:write"}):
        allowed = await key(world, "*:read", *scopes)
        for mutation, given in await ways(world, name):
            assert (await world.do(mutation, allowed, **given)).code is None, mutation


@pytest.mark.parametrize("name", KINDS)
async def test_cancelling_and_dropping_need_no_more_than_before(world: World, name: str) -> None:
    only = await key(world, "jobs:read", "jobs:write")
    assert (await world.do("jobCancel", only, id=await job(world, kind=name))).code is None
    assert (await world.do("jobDrop", only, id=await job(world, "DEAD", kind=name))).code is None


@pytest.mark.parametrize("name", MANUAL)
async def test_the_command_line_may_ask_for_everything(world: World, name: str) -> None:
    async with world.engine.database.transaction() as tx:
        act = Act(tx, system(lambda: NOW))
        dead = await job(world, "DEAD", kind=name)
        await jobs.ask(act, kind=name, arguments=ARGUMENTS.get(name, {}))
        await jobs.retry(act, id=uuid_of(dead))
        await schedules.create(act, kind=name, name=f"By hand: {name}", arguments=ARGUMENTS.get(name, {}), every_s=60)
    assert await status_of(world, dead) == "PENDING"


async def test_a_schedule_of_a_kind_that_is_gone_can_still_be_switched_off(world: World) -> None:
    id = await schedule(world, kind="no.such")
    only = await key(world, "jobs:read", "jobs:write")
    assert (await world.do("scheduleUpdate", only, "enabled", id=id, enabled=False)).done == {"enabled": False}


async def test_the_kinds_tell_what_they_change(world: World) -> None:
    answer = await world.ask("{ jobKinds { name writes } }", world.viewer())
    shown = {kind["name"]: kind["writes"] for kind in answer["data"]["jobKinds"]}
    assert shown == {name: list(kind.writes) for name, kind in kinds.KINDS.items()}
    assert shown["pools.reclaim"] == ["Lead", "Customer", "PoolItem"]
