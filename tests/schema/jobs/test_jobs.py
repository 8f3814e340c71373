"""Jobs and schedules through the API: asked for, watched, cancelled, retried, dropped, timed."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from crmgql.domain.jobs import kinds
from tests.schema.cases_jobs import job, schedule, status_of
from tests.schema.world import NOW, World, id_of, unlike, uuid_of

STATUSES = ("PENDING", "RUNNING", "WAITING", "DONE", "DEAD", "CANCELLED", "DROPPED")
LATER = "2026-11-02T08:00:00+00:00"


async def enqueue(world: World, who: str = "ADMIN", **given: Any) -> Any:
    return await world.do("jobEnqueue", who, **{"kind": "leads.route", **given})


# Asking


async def test_a_job_is_enqueued_as_it_was_asked_for(world: World) -> None:
    show = "id kind queue status arguments priority dueAt attempts maxFailures actor { id } startedAt result"
    given = {"arguments": {"batch_size": 7, "source": "maven"}, "priority": -3, "dueAt": LATER}
    done = (await world.do("jobEnqueue", show=show, kind="leads.route", **given)).done
    assert await world.told(done.pop("id")) == ["job.enqueued"]
    assert done == {
        "kind": "leads.route",
        "queue": "bulk",
        "status": "PENDING",
        "arguments": {"batch_size": 7, "source": "maven"},
        "priority": -3,
        "dueAt": "2026-11-02T08:00:00+00:00",
        "attempts": 0,
        "maxFailures": kinds.LEADS_ROUTE.max_failures,
        "actor": {"id": id_of("User", world.people["ADMIN"])},
        "startedAt": None,
        "result": None,
    }


async def test_arguments_that_are_left_out_have_their_defaults(world: World) -> None:
    for given in ({}, {"arguments": None}, {"arguments": {}}):
        done = (await world.do("jobEnqueue", show="arguments dueAt", kind="leads.route", **given)).done
        assert done == {"arguments": {"batch_size": 1000, "source": None}, "dueAt": "2026-11-01T12:00:00+00:00"}


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"kind": "no.such"}, "kind"),
        ({"kind": ""}, "kind"),
        ({"kind": "email.send", "arguments": {"email_id": "0" * 32}}, "kind"),
        ({"kind": "lead.followUp"}, "kind"),
        ({"arguments": {"batch_size": 0}}, "arguments.batch_size"),
        ({"arguments": {"batch_size": "many"}}, "arguments.batch_size"),
        ({"arguments": {"batch_size": 10**12}}, "arguments.batch_size"),
        ({"arguments": {"batch_size": 10**30}}, "arguments"),
        ({"arguments": {"batchSize": 5}}, "arguments.batchSize"),
        ({"arguments": [1]}, "arguments"),
        ({"arguments": "text"}, "arguments"),
        ({"kind": "lead.route"}, "arguments.lead_id"),
        ({"kind": "lead.route", "arguments": {"lead_id": "nonsense"}}, "arguments.lead_id"),
        ({"kind": "housekeeping", "arguments": {"days": 1}}, "arguments.days"),
        ({"priority": 101}, "priority"),
        ({"priority": -101}, "priority"),
    ],
)
async def test_what_can_not_be_enqueued(world: World, given: dict[str, Any], field: str) -> None:
    before = await world.counts()
    answer = await enqueue(world, **given)
    assert (answer.code, answer.field) == ("BAD_USER_INPUT", field)
    assert await world.counts() == before


@pytest.mark.parametrize("source", ["nul \x00", "half \ud800"])
async def test_arguments_that_no_database_takes(world: World, source: Any) -> None:
    before = await world.counts()
    assert (await enqueue(world, arguments={"source": source})).code == "BAD_USER_INPUT"
    assert await world.counts() == before


async def test_arguments_written_in_the_document(world: World) -> None:
    for number, code in (("5", None), ("9" * 40, "BAD_USER_INPUT"), ("1e400", "BAD_USER_INPUT")):
        query = (
            f'mutation {{ jobEnqueue(input: {{kind: "leads.route", arguments: {{batch_size: {number}}}}}) '
            "{ userErrors { code } } }"
        )
        answer = await world.ask(query, world.viewer())
        codes = [item["code"] for item in ((answer["data"] or {}).get("jobEnqueue") or {}).get("userErrors", [])]
        codes += [error["extensions"]["code"] for error in answer.get("errors", [])]
        assert codes == ([code] if code else [])


# Cancelling, retrying, dropping


@pytest.mark.parametrize("before", STATUSES)
async def test_each_verb_in_each_status(world: World, before: str) -> None:
    verbs = {
        "jobCancel": {"PENDING": "CANCELLED", "WAITING": "CANCELLED", "RUNNING": "RUNNING"},
        "jobRetry": {"DEAD": "PENDING", "CANCELLED": "PENDING"},
        "jobDrop": {"DEAD": "DROPPED"},
    }
    for verb, moves in verbs.items():
        id = await job(world, before)
        answer = await world.do(verb, show="status cancelRequestedAt finishedAt", id=id)
        if before in moves:
            assert answer.done["status"] == moves[before]
            assert (answer.done["cancelRequestedAt"] is not None) == (verb == "jobCancel")
            assert (answer.done["finishedAt"] is None) == (moves[before] in ("PENDING", "RUNNING"))
            assert len(await world.told(id)) == 1
        else:
            assert (answer.code, answer.field) == ("ILLEGAL_TRANSITION", "id")
            assert await status_of(world, id) == before


async def test_a_job_that_is_not_there(world: World) -> None:
    for verb in ("jobCancel", "jobRetry", "jobDrop"):
        answer = await world.do(verb, id=unlike(await job(world)))
        assert (answer.code, answer.field) == ("NOT_FOUND", "id")


async def test_a_dead_job_of_a_kind_that_is_gone_can_be_dropped_not_retried(world: World) -> None:
    id = await job(world, "DEAD", kind="no.such")
    assert (await world.do("jobRetry", id=id)).code == "JOB_KIND_UNKNOWN"
    assert (await world.do("jobDrop", show="status", id=id)).done == {"status": "DROPPED"}


async def test_a_retry_while_its_like_is_under_way(world: World) -> None:
    id = await job(world, "DEAD", unique_key="retry")
    await job(world, unique_key="retry")
    assert (await world.do("jobRetry", id=id)).code == "CONFLICT"
    assert await status_of(world, id) == "DEAD"


async def test_a_retried_job_forgets_its_error_and_keeps_its_count(world: World) -> None:
    id = await job(world, "DEAD", failures=1, error_code="X", error_message="y")
    show = "failures maxFailures errorCode errorMessage"
    done = (await world.do("jobRetry", show=show, id=id)).done
    assert done == {
        "failures": 1,
        "maxFailures": 1 + kinds.HOUSEKEEPING.max_failures,
        "errorCode": None,
        "errorMessage": None,
    }


# Watching


async def jobs_of(world: World, who: str, where: dict[str, Any]) -> list[dict[str, Any]]:
    query = (
        "query($where: JobWhere) { jobs(first: 100, where: $where) { nodes { id status kind progressDone progressTotal "
        "progressMessage attempts failures errorCode children(first: 5) { nodes { id } } } } }"
    )
    answer = await world.ask(query, world.viewer(who), where=where)
    assert "errors" not in answer, answer
    return answer["data"]["jobs"]["nodes"]  # type: ignore[no-any-return]


async def test_jobs_by_status_and_kind_with_their_progress(world: World) -> None:
    id = await job(world, "RUNNING", kind="watched", progress_done=3, progress_total=9, progress_message="3 of 9")
    child = await job(world, kind="watched", parent_id=uuid_of(id))
    [shown] = await jobs_of(world, "ADMIN", {"kind": {"eq": "watched"}, "status": {"eq": "RUNNING"}})
    assert (shown["id"], shown["children"]["nodes"]) == (id, [{"id": child}])
    assert (shown["progressDone"], shown["progressTotal"], shown["progressMessage"]) == (3, 9, "3 of 9")
    assert {each["id"] for each in await jobs_of(world, "ADMIN", {"kind": {"eq": "watched"}})} == {id, child}


async def test_everybody_sees_their_own_jobs_only(world: World) -> None:
    mine = await job(world, kind="own", actor_id=world.people["SELLER"])
    await job(world, kind="own", actor_id=world.people["STRANGER"])
    await job(world, kind="own")
    own = {"kind": {"eq": "own"}}
    assert [each["id"] for each in await jobs_of(world, "SELLER", own)] == [mine]
    assert await jobs_of(world, "FINANCE", own) == []
    assert len(await jobs_of(world, "ADMIN", own)) == 3
    for verb in ("jobCancel", "jobRetry", "jobDrop"):
        assert (await world.do(verb, "SELLER", id=mine)).code == "FORBIDDEN"
    assert await status_of(world, mine) == "PENDING"


async def test_schedules_are_for_administrators(world: World) -> None:
    await schedule(world)
    for who, seen in (("ADMIN", True), ("SELLER", False), ("MANAGER", False)):
        answer = await world.ask("{ schedules(first: 100) { nodes { name nextAt } } }", world.viewer(who))
        nodes = ((answer["data"] or {}).get("schedules") or {"nodes": []})["nodes"]
        assert bool(nodes) == seen


async def test_the_kinds_with_the_schemas_of_their_arguments(world: World) -> None:
    answer = await world.ask("{ jobKinds { name queue manual maxFailures timeoutS arguments doc } }", world.viewer())
    shown = {kind["name"]: kind for kind in answer["data"]["jobKinds"]}
    assert shown.keys() == kinds.KINDS.keys()
    route = shown["leads.route"]
    assert route["arguments"]["properties"]["batch_size"]["maximum"] == 5000
    assert (route["queue"], route["manual"], route["timeoutS"]) == ("bulk", True, 3600)
    assert not shown["email.send"]["manual"]
    assert all(kind["doc"] for kind in shown.values())


# Schedules


async def create(world: World, **given: Any) -> Any:
    return await world.do(
        "scheduleCreate", show="id nextAt enabled cron everyS onceAt", **{"kind": "housekeeping", **given}
    )


@pytest.mark.parametrize(
    ("timing", "next_at"),
    [
        ({"cron": "30 2 * * *"}, "2026-11-02T02:30:00+00:00"),
        ({"cron": "30 2 * * *", "timezone": "Asia/Kolkata"}, "2026-11-01T21:00:00+00:00"),
        ({"everyS": 90}, "2026-11-01T12:01:30+00:00"),
        ({"onceAt": LATER}, LATER),
        ({"everyS": 90, "enabled": False}, None),
    ],
)
async def test_when_a_schedule_is_due_first(world: World, timing: dict[str, Any], next_at: str | None) -> None:
    done = (await create(world, name=json.dumps(timing), **timing)).done
    assert done["nextAt"] == next_at
    assert await world.told(done["id"]) == ["schedule.created"]


WRONG = [
    ({}, "cron"),
    ({"cron": "0 * * * *", "everyS": 60}, "cron"),
    ({"everyS": 60, "onceAt": LATER}, "cron"),
    ({"cron": "0 * * * *", "everyS": 60, "onceAt": LATER}, "cron"),
    ({"cron": ""}, "cron"),
    ({"cron": "every day"}, "cron"),
    ({"cron": "61 * * * *"}, "cron"),
    ({"cron": "0 0 30 2 *"}, "cron"),
    ({"cron": ",".join(["1"] * 90) + " * * * *"}, "cron"),
    ({"everyS": 0}, "everyS"),
    ({"everyS": -60}, "everyS"),
    ({"onceAt": "2026-11-01T12:00:00+00:00"}, "onceAt"),
    ({"onceAt": "2001-01-01T00:00:00+00:00"}, "onceAt"),
    ({"cron": "0 * * * *", "timezone": "Mars/Phobos"}, "timezone"),
    ({"cron": "0 * * * *", "timezone": "../../etc/passwd"}, "timezone"),
]


@pytest.mark.parametrize(("timing", "field"), WRONG)
async def test_timings_that_are_none(world: World, timing: dict[str, Any], field: str) -> None:
    before = await world.counts()
    answer = await create(world, name="Wrong", **timing)
    assert (answer.code, answer.field) == ("BAD_USER_INPUT", field)
    assert await world.counts() == before


@pytest.mark.parametrize("enabled", [True, False])
@pytest.mark.parametrize(("timing", "field"), WRONG[1:])
async def test_timings_that_are_none_change_nothing(
    world: World, timing: dict[str, Any], field: str, enabled: bool
) -> None:
    id = await schedule(world, enabled=enabled)
    before = await world.counts()
    answer = await world.do("scheduleUpdate", id=id, **timing)
    assert (answer.code, answer.field) == ("BAD_USER_INPUT", field)
    assert await world.counts() == before


@pytest.mark.parametrize("way", ["cron", "everyS", "onceAt"])
async def test_a_schedule_without_a_timing_is_none(world: World, way: str) -> None:
    given = {"cron": "0 * * * *"} if way == "cron" else {"everyS": 60} if way == "everyS" else {"onceAt": LATER}
    id = (await create(world, name=f"Emptied {way}", **given)).done["id"]
    answer = await world.do("scheduleUpdate", id=id, **{way: None})
    assert (answer.code, answer.field) == ("BAD_USER_INPUT", "cron")


async def test_kinds_and_arguments_of_a_schedule(world: World) -> None:
    for given, field in (
        ({"kind": "no.such"}, "kind"),
        ({"kind": "email.send"}, "kind"),
        ({"kind": "leads.route", "arguments": {"batch_size": 0}}, "arguments.batch_size"),
        ({"kind": "lead.route"}, "arguments.lead_id"),
    ):
        answer = await create(world, name="x", everyS=60, **given)
        assert (answer.code, answer.field) == ("BAD_USER_INPUT", field)
    id = await schedule(world, kind="leads.route")
    wrong = await world.do("scheduleUpdate", id=id, arguments={"batch_size": "x"})
    assert (wrong.code, wrong.field) == ("BAD_USER_INPUT", "arguments.batch_size")
    right = await world.do("scheduleUpdate", show="arguments", id=id, arguments={"batch_size": 9})
    assert right.done == {"arguments": {"batch_size": 9}}


async def test_another_way_of_timing_replaces_the_one_there_was(world: World) -> None:
    id = (await create(world, name="Moved", everyS=60)).done["id"]
    show = "cron everyS onceAt nextAt version"
    done = (await world.do("scheduleUpdate", show=show, id=id, cron="0 0 * * *")).done
    assert (done["cron"], done["everyS"], done["nextAt"]) == ("0 0 * * *", None, "2026-11-02T00:00:00+00:00")
    done = (await world.do("scheduleUpdate", show=show, id=id, timezone="Europe/Berlin")).done
    assert done["nextAt"] == "2026-11-01T23:00:00+00:00"
    done = (await world.do("scheduleUpdate", show=show, id=id, onceAt=LATER)).done
    assert (done["cron"], done["onceAt"], done["nextAt"], done["version"]) == (None, LATER, LATER, 4)


async def test_switching_off_and_on(world: World) -> None:
    overdue = NOW - timedelta(hours=5)
    id = await schedule(world, next_at=overdue)
    renamed = await world.do("scheduleUpdate", show="nextAt", id=id, name="Renamed and overdue")
    assert renamed.done["nextAt"] == "2026-11-01T07:00:00+00:00"
    off = await world.do("scheduleUpdate", show="nextAt enabled", id=id, enabled=False)
    assert off.done == {"nextAt": None, "enabled": False}
    on = await world.do("scheduleUpdate", show="nextAt enabled", id=id, enabled=True)
    assert on.done == {"nextAt": "2026-11-01T13:00:00+00:00", "enabled": True}
    assert (await world.do("scheduleUpdate", id=id, enabled=None)).field == "enabled"


async def test_a_deleted_schedule_is_over_and_its_name_is_free(world: World) -> None:
    id = (await create(world, name="Once there", everyS=60)).done["id"]
    twice = await create(world, name="Once there", everyS=60)
    assert (twice.code, twice.field) == ("CONFLICT", "name")
    run = await job(world, schedule_id=uuid_of(id))
    assert (await world.do("scheduleDelete", show="deletedAt nextAt", id=id)).done["nextAt"] is None
    assert await status_of(world, run) == "PENDING"
    for verb, given in (("scheduleUpdate", {"enabled": True}), ("scheduleDelete", {})):
        assert (await world.do(verb, id=id, **given)).code == "ILLEGAL_TRANSITION"
    assert (await create(world, name="Once there", everyS=60)).code is None
    answer = await world.ask("query($id: ID!) { job(id: $id) { schedule { name } } }", world.viewer(), id=run)
    assert answer["data"]["job"]["schedule"] == {"name": "Once there"}
