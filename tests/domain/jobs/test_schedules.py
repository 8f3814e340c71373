"""Schedules: when they are due, what becomes of the times that passed, and never two runs at once."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crmgql.domain.jobs import kinds, schedules
from crmgql.domain.jobs.schedules import next_after
from tests.conftest import NOW
from tests.jobs import acting, kind, undone

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "Pacific/Apia")
CRONS = ("* * * * *", "*/7 * * * *", "30 2 * * *", "0 * * * *", "59 23 31 12 *", "0 9 * * MON-FRI", "15 0 29 2 *")


@pytest.fixture(autouse=True)
def kinds_of_this_test():
    with undone():
        kinds.declare(kind("test", priority=4, max_failures=3))
        yield


async def make(crm, now: datetime = NOW, **values: Any) -> UUID:
    async with acting(crm, now) as act:
        return await schedules.create(act, **{"name": "Nightly", "kind": "test", **values})


async def update(crm, id: UUID, now: datetime = NOW, **changes: Any) -> None:
    async with acting(crm, now) as act:
        await schedules.update(act, id=id, **changes)


async def tick(crm, now: datetime) -> int:
    async with acting(crm, now) as act:
        return await schedules.tick(act)


async def over(database) -> None:
    """Whatever run is going on ends."""
    await database.execute("UPDATE jobs SET status = 'DONE', finished_at = $1 WHERE finished_at IS NULL", NOW)


async def runs(database) -> list[datetime]:
    return [row["at"] for row in await database.fetch("SELECT scheduled_for AS at FROM jobs ORDER BY id")]


async def read(database, id: UUID) -> dict[str, Any]:
    return dict(await database.fetchrow("SELECT * FROM schedules WHERE id = $1", id))


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def times(cron: str, zone: str, start: datetime, count: int) -> list[str]:
    """The next times by a cron expression, as the clocks on the wall show them."""
    moment, found = start, []
    for _ in range(count):
        following = next_after({"cron": cron, "timezone": zone}, moment)
        assert following is not None
        moment = following
        found.append(moment.astimezone(ZoneInfo(zone)).isoformat())
    return found


# When


def test_a_time_that_the_clocks_skip_runs_right_after_and_once() -> None:
    assert times("30 2 * * *", "Europe/Berlin", at("2026-03-27T12:00+01:00"), 4) == [
        "2026-03-28T02:30:00+01:00",
        "2026-03-29T03:00:00+02:00",
        "2026-03-30T02:30:00+02:00",
        "2026-03-31T02:30:00+02:00",
    ]


def test_a_time_that_comes_twice_runs_once() -> None:
    assert times("30 2 * * *", "Europe/Berlin", at("2026-10-24T12:00+02:00"), 3) == [
        "2026-10-25T02:30:00+02:00",
        "2026-10-26T02:30:00+01:00",
        "2026-10-27T02:30:00+01:00",
    ]


@pytest.mark.parametrize("start", ["2026-03-08T00:30-05:00", "2026-11-01T00:30-04:00"])
def test_what_runs_hourly_goes_by_real_time(start: str) -> None:
    found = [at(text) for text in times("0 * * * *", "America/New_York", at(start), 6)]
    assert {later - earlier for earlier, later in pairwise(found)} == {HOUR}


def test_zones_off_by_half_an_hour() -> None:
    assert times("0 9 * * *", "Asia/Kolkata", at("2026-06-01T00:00+00:00"), 1) == ["2026-06-01T09:00:00+05:30"]
    assert next_after({"cron": "0 9 * * *", "timezone": "Asia/Kolkata"}, NOW) == at("2026-11-02T03:30+00:00")


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(CRONS), st.sampled_from(ZONES), st.datetimes(datetime(2024, 1, 1), datetime(2032, 1, 1)))
def test_the_next_time_is_always_ahead_and_they_rise(cron: str, zone: str, start: datetime) -> None:
    moment = start.replace(tzinfo=UTC)
    for _ in range(12):
        following = next_after({"cron": cron, "timezone": zone}, moment)
        assert following is not None
        assert following > moment
        moment = following


@given(st.integers(1, 10**8), st.integers(-(10**9), 10**9))
def test_every_so_many_seconds_stays_on_its_grid(every: int, offset: int) -> None:
    moment = NOW + timedelta(seconds=offset)
    following = next_after({"every_s": every, "next_at": NOW}, moment)
    assert following is not None
    assert moment < following <= moment + timedelta(seconds=every)
    assert (following - NOW) % timedelta(seconds=every) == timedelta(0)


def test_once_is_once() -> None:
    assert next_after({"once_at": NOW}, NOW - timedelta(microseconds=1)) == NOW
    assert next_after({"once_at": NOW}, NOW) is None


# Ticks


async def test_a_due_schedule_makes_a_job_like_its_kind(crm, database) -> None:
    id = await make(crm, every_s=60, arguments={"n": 3})
    assert (await read(database, id))["next_at"] == NOW + MINUTE
    assert await tick(crm, NOW + MINUTE - timedelta(seconds=1)) == 0
    assert await tick(crm, NOW + MINUTE) == 1
    job = dict(await database.fetchrow("SELECT * FROM jobs"))
    assert (job["kind"], job["queue"], job["arguments"], job["priority"]) == ("test", "default", '{"n": 3}', 4)
    assert (job["schedule_id"], job["scheduled_for"], job["max_failures"]) == (id, NOW + MINUTE, 3)
    after = await read(database, id)
    assert (after["next_at"], after["last_at"], after["skipped"]) == (NOW + 2 * MINUTE, NOW + MINUTE, 0)
    assert await tick(crm, NOW + MINUTE) == 0


@pytest.mark.parametrize(
    ("catch_up", "for_", "skipped"),
    [("SKIP", [], 6), ("ONE", [6], 5), ("ALL", [1, 2, 3, 4, 5, 6], 0)],
)
async def test_what_was_missed_in_hours(crm, database, catch_up: str, for_: list[int], skipped: int) -> None:
    id = await make(crm, every_s=3600, catch_up=catch_up)
    later = NOW + 6 * HOUR + 30 * MINUTE
    for _ in range(10):
        await tick(crm, later)
        await over(database)
    assert await runs(database) == [NOW + hours * HOUR for hours in for_]
    after = await read(database, id)
    assert (after["skipped"], after["next_at"]) == (skipped, NOW + 7 * HOUR)


@pytest.mark.parametrize("catch_up", ["SKIP", "ONE", "ALL"])
async def test_a_little_late_is_not_missed(crm, database, catch_up: str) -> None:
    id = await make(crm, cron="0 * * * *", catch_up=catch_up)
    assert await tick(crm, NOW + HOUR + timedelta(seconds=59)) == 1
    assert await runs(database) == [NOW + HOUR]
    assert (await read(database, id))["skipped"] == 0


@pytest.mark.parametrize("catch_up", ["SKIP", "ONE"])
async def test_a_time_that_comes_while_a_run_goes_on_is_passed_over_and_counted(crm, database, catch_up: str) -> None:
    id = await make(crm, every_s=60, catch_up=catch_up)
    for minutes in (1, 2, 3):
        await tick(crm, NOW + minutes * MINUTE)
    assert await runs(database) == [NOW + MINUTE]
    assert (await read(database, id))["skipped"] == 2
    await over(database)
    assert await tick(crm, NOW + 4 * MINUTE) == 1
    assert (await read(database, id))["skipped"] == 2


async def test_making_all_good_waits_for_the_run_that_goes_on(crm, database) -> None:
    id = await make(crm, every_s=60, catch_up="ALL")
    later = NOW + 3 * MINUTE
    assert [await tick(crm, later) for _ in range(3)] == [1, 0, 0]
    for made in (1, 1, 0):
        await over(database)
        assert await tick(crm, later) == made
    assert await runs(database) == [NOW + MINUTE, NOW + 2 * MINUTE, NOW + 3 * MINUTE]
    after = await read(database, id)
    assert (after["skipped"], after["last_at"], after["next_at"]) == (0, later, NOW + 4 * MINUTE)


async def test_those_that_wait_for_their_runs_do_not_hold_up_others(crm, database) -> None:
    for n in range(110):
        await make(crm, name=f"waits {n}", every_s=1, catch_up="ALL")
    while await tick(crm, NOW + MINUTE):
        pass
    assert await database.fetchval("SELECT count(*) FROM jobs") == 110
    await make(crm, name="late", every_s=90)
    assert await tick(crm, NOW + 2 * MINUTE) == 1


async def test_as_many_statements_for_many_schedules_as_for_one(crm, database) -> None:
    counts = []
    for number in (2, 1, 30):  # the first also asks for types
        for n in range(number):
            await make(crm, name=f"{number}: {n}", every_s=60, catch_up=("SKIP", "ONE", "ALL")[n % 3])
        async with acting(crm, NOW + MINUTE) as act:
            statements: list[str] = []
            with act.tx.connection.query_logger(lambda query, into=statements: into.append(query.query)):
                assert await schedules.tick(act) == number
        counts.append(len(statements))
    assert counts[1:] == [3, 3]


@pytest.mark.parametrize("catch_up", ["ONE", "ALL"])
async def test_never_two_runs_however_many_tick(crm, database, catch_up: str) -> None:
    for name in "abc":
        await make(crm, every_s=1, name=name, catch_up=catch_up)
    for second in range(1, 6):
        made = await asyncio.gather(*(tick(crm, NOW + timedelta(seconds=second)) for _ in range(8)))
        assert sum(made) == (3 if second == 1 else 0)
    assert await database.fetchval("SELECT count(*) FROM jobs") == 3


async def test_once_runs_once_and_is_over(crm, database) -> None:
    id = await make(crm, once_at=NOW + HOUR)
    late = await make(crm, once_at=NOW + HOUR, name="late", catch_up="SKIP")
    for minutes in (59, 70, 80):
        await tick(crm, NOW + minutes * MINUTE)
        await over(database)
    assert await runs(database) == [NOW + HOUR]
    assert ((await read(database, id))["next_at"], (await read(database, late))["next_at"]) == (None, None)
    assert (await read(database, late))["skipped"] == 1
    await update(crm, id, NOW + 2 * HOUR, name="done with")
    await update(crm, id, NOW + 2 * HOUR, enabled=False)


async def test_disabled_and_deleted_ones_do_not_run(crm, database) -> None:
    off, gone = await make(crm, every_s=60, enabled=False), await make(crm, every_s=60, name="gone")
    assert (await read(database, off))["next_at"] is None
    async with acting(crm) as act:
        await schedules.delete(act, id=gone)
    assert await tick(crm, NOW + HOUR) == 0
    await update(crm, off, NOW + HOUR, enabled=True)
    assert await tick(crm, NOW + HOUR) == 0
    assert await tick(crm, NOW + HOUR + MINUTE) == 1
    assert await runs(database) == [NOW + HOUR + MINUTE]


async def test_another_timing_counts_from_now_and_another_name_changes_no_time(crm, database) -> None:
    id = await make(crm, cron="0 * * * *", catch_up="ALL")
    later = NOW + 3 * HOUR + MINUTE
    await update(crm, id, later, name="Renamed")
    assert (await read(database, id))["next_at"] == NOW + HOUR
    await update(crm, id, later, every_s=7200)
    after = await read(database, id)
    assert (after["cron"], after["every_s"], after["next_at"]) == (None, 7200, later + 2 * HOUR)


@pytest.mark.parametrize("broken", [{"cron": "61 * * * *"}, {"timezone": "Mars/Phobos"}, {"timezone": "../x"}])
async def test_one_that_cannot_be_read_does_not_stop_the_others(crm, database, broken: dict[str, str]) -> None:
    bad = await make(crm, cron="0 * * * *", name="bad")
    await make(crm, cron="1 * * * *", name="good")
    for column, value in broken.items():
        await database.execute(f"UPDATE schedules SET {column} = $2 WHERE id = $1", bad, value)
    assert await tick(crm, NOW + 2 * HOUR) == 1
    assert (await read(database, bad))["next_at"] is None


async def test_a_kind_that_is_gone_makes_a_job_that_will_say_so(crm, database) -> None:
    await make(crm, every_s=60)
    del kinds.KINDS["test"]
    assert await tick(crm, NOW + MINUTE) == 1
    assert dict(await database.fetchrow("SELECT kind, queue, max_failures FROM jobs")) == {
        "kind": "test",
        "queue": "default",
        "max_failures": 1,
    }


async def test_thousands_of_missed_seconds_are_made_good_once(crm, database) -> None:
    id = await make(crm, every_s=1)
    later = NOW + 48 * HOUR
    assert await tick(crm, later) == 1
    after = await read(database, id)
    assert (await runs(database), after["next_at"]) == ([later], later + timedelta(seconds=1))
    assert after["skipped"] == 48 * 3600 - 1


# Built in


async def seed(crm, now: datetime = NOW) -> None:
    async with acting(crm, now) as act:
        await schedules.seed(act)


async def test_built_in_ones_are_made_once_however_many_start(crm, database) -> None:
    await asyncio.gather(*(seed(crm) for _ in range(6)))
    found = await database.fetch("SELECT name, kind, next_at FROM schedules")
    assert {row["name"] for row in found} == {each.name for each in schedules.BUILT_IN}
    assert len(found) == len(schedules.BUILT_IN)
    assert {row["next_at"] for row in found} == {NOW}
    assert await tick(crm, NOW) == len(found)
    assert await tick(crm, NOW + timedelta(seconds=59)) == 0
    assert await database.fetchval("SELECT sum(skipped) FROM schedules") == 0


async def test_what_was_deleted_renamed_or_changed_stays_so(crm, database) -> None:
    await seed(crm)
    ids = {row["name"]: row["id"] for row in await database.fetch("SELECT id, name FROM schedules")}
    async with acting(crm) as act:
        await schedules.delete(act, id=ids["Public pools"])
        await schedules.update(act, id=ids["Housekeeping"], name="Cleaning", cron="0 3 * * *")
        await schedules.update(act, id=ids["Digests by e-mail"], enabled=False)
    before = await database.fetch("SELECT * FROM schedules ORDER BY id")
    await seed(crm, NOW + HOUR)
    assert await database.fetch("SELECT * FROM schedules ORDER BY id") == before


async def test_somebody_s_schedule_of_that_name_is_no_obstacle(crm, database) -> None:
    await make(crm, name="Housekeeping", every_s=60)
    await seed(crm)
    assert await database.fetchval("SELECT count(*) FROM schedules") == len(schedules.BUILT_IN)
    assert await database.fetchval("SELECT count(*) FROM schedules WHERE name = 'Housekeeping'") == 1
