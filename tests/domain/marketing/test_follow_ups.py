"""Follow-ups: planned with the lead's status, carried out once, if the lead still is where it was."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any

import orjson
import pytest

from crmgql.domain.jobs import jobs, kinds
from crmgql.domain.marketing import follow_ups
from crmgql.records.records import Act
from crmgql.viewer import system
from tests.conftest import NOW
from tests.domain.work import insert, lead, user, work


async def rule(database, **values: Any) -> Any:
    given = {"name": "Rule", "lead_status": "NEW", "after_h": 24, "action": "TASK", "subject": "Call {{ lead.name }}"}
    return await insert(database, "follow_up_rules", **{**given, **values})


async def email_rule(database, **values: Any) -> Any:
    given = {
        "action": "EMAIL",
        "subject": "Hi {{ lead.first_name }}",
        "body": "Yours, {{ owner.name }} {{ unsubscribe }}",
    }
    return await rule(database, **{**given, **values})


async def plan(crm, database, lead_id: Any, *, times: int = 1) -> None:
    row = dict(await database.fetchrow("SELECT * FROM leads WHERE id = $1", lead_id))
    async with crm.transaction() as tx:
        for _ in range(times):
            await follow_ups.plan(Act(tx, system(lambda: NOW)), row)


async def done(crm, database, *, now: datetime = NOW + timedelta(hours=24), **settings: Any) -> list[dict[str, Any]]:
    worked = await work(crm, database, kinds.LEAD_FOLLOW_UP, now=now, **settings)
    assert {job["status"] for job in worked} <= {"DONE"}, [dict(job) for job in worked]
    return [orjson.loads(job["result"]) for job in worked]


async def test_each_active_rule_of_the_status_is_planned_for_its_time(crm, database) -> None:
    first, second = await rule(database, after_h=0), await rule(database, name="Later", after_h=48)
    await rule(database, name="Off", active=False)
    await rule(database, name="Other", lead_status="NURTURING")
    id = await lead(database, now=NOW)
    await plan(crm, database, id, times=2)
    rows = await database.fetch("SELECT due_at, arguments FROM jobs ORDER BY due_at")
    planned = [(job["due_at"], orjson.loads(job["arguments"])["rule_id"]) for job in rows]
    assert planned == [(NOW, str(first)), (NOW + timedelta(hours=48), str(second))]


async def test_one_statement_plans_however_many_rules(crm, database) -> None:
    for number in range(20):
        await rule(database, name=f"Rule {number}", after_h=number)
    row = dict(await database.fetchrow("SELECT * FROM leads WHERE id = $1", await lead(database, now=NOW)))
    async with crm.transaction() as tx:
        statements: list[str] = []
        with tx.connection.query_logger(lambda query: statements.append(query.query)):
            await follow_ups.plan(Act(tx, system(lambda: NOW)), row)
    assert statements.count(jobs.INSERT) == 1
    assert await database.fetchval("SELECT count(DISTINCT unique_key) FROM jobs") == 20


async def test_the_owner_gets_a_task_and_is_told(crm, database) -> None:
    bob = await user(database)
    await rule(database, body="Ask {{ lead.first_name }} how it goes")
    id = await lead(database, now=NOW, owner_id=bob)
    await plan(crm, database, id)
    assert await done(crm, database, now=NOW + timedelta(hours=23)) == []
    (result,) = await done(crm, database)
    (task,) = await database.fetch("SELECT * FROM tasks")
    assert result == {"task": str(task["id"])}
    assert (task["subject"], task["description"]) == ("Call Ann Lee", "Ask Ann how it goes")
    assert (task["assignee_id"], task["lead_id"], task["status"]) == (bob, id, "OPEN")
    assert task["due_at"] == NOW + timedelta(hours=24)
    (news,) = await database.fetch("SELECT * FROM notifications")
    assert (news["user_id"], news["lead_id"], news["kind"]) == (bob, id, "lead.followUp")
    told = await database.fetch("SELECT kind FROM events WHERE subject_id = $1", task["id"])
    assert [row["kind"] for row in told] == ["task.created"]


@pytest.mark.parametrize("active", [True, False])
async def test_without_an_owner_it_is_the_queues(crm, database, active: bool) -> None:
    keeper = await user(database, active=active)
    queue = await insert(database, "lead_queues", name="Queue", owner_id=keeper)
    await rule(database)
    await plan(crm, database, await lead(database, now=NOW, queue_id=queue))
    await done(crm, database)
    assert await database.fetchval("SELECT assignee_id FROM tasks") == (keeper if active else None)


async def test_the_lead_gets_an_email(crm, database) -> None:
    bob = await user(database)
    await email_rule(database)
    id = await lead(database, now=NOW, owner_id=bob, email="ann@example.com", name="Ann\nBcc: x Lee")
    await plan(crm, database, id)
    await done(crm, database, mail_from="CRM <stop@example.com>")
    (email,) = await database.fetch("SELECT * FROM email_messages")
    assert (email["to_address"], email["subject"]) == ("ann@example.com", "Hi Ann")
    assert (email["body"], email["status"], email["lead_id"]) == ("Yours, Bob stop@example.com", "PENDING", id)
    (job,) = await database.fetch("SELECT arguments FROM jobs WHERE kind = 'email.send'")
    assert orjson.loads(job["arguments"]) == {"email_id": str(email["id"])}


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({}, "the lead has no e-mail address"),
        ({"email": "ann@example.com", "email_opt_out": True}, "the lead wants no e-mails"),
    ],
)
async def test_who_can_not_or_will_not_be_written_to(crm, database, values: dict[str, Any], reason: str) -> None:
    await email_rule(database)
    await plan(crm, database, await lead(database, now=NOW, **values))
    await done(crm, database)
    (email,) = await database.fetch("SELECT status, error FROM email_messages")
    assert tuple(email) == ("SKIPPED", reason)
    assert await database.fetchval("SELECT count(*) FROM jobs WHERE kind = 'email.send'") == 0


@pytest.mark.parametrize(
    "moved",
    [
        "UPDATE leads SET status = 'NURTURING'",
        "UPDATE leads SET status = 'LOST', lost_reason = 'Gone'",
        "UPDATE leads SET status_since = status_since + interval '1 microsecond'",
        "UPDATE follow_up_rules SET active = false",
        "UPDATE follow_up_rules SET lead_status = 'QUALIFIED'",
    ],
)
async def test_who_has_moved_on_is_left_alone(crm, database, moved: str) -> None:
    await rule(database)
    await plan(crm, database, await lead(database, now=NOW))
    await database.execute(moved)
    (result,) = await done(crm, database)
    assert result["done"] is None
    assert result["reason"]
    assert await database.fetchval("SELECT count(*) FROM tasks") == 0


@pytest.mark.parametrize("make", [rule, email_rule])
async def test_carried_out_twice_is_done_once(crm, database, make: Any) -> None:
    rule_id, id = await make(database), await lead(database, now=NOW, email="ann@example.com")
    arguments = kinds.FollowUp(lead_id=id, rule_id=rule_id, since=NOW)

    async def once() -> Any:
        async with crm.transaction() as tx:
            return await follow_ups.carry_out(Act(tx, system(lambda: NOW)), arguments, unsubscribe=None)

    results = [await once(), *await asyncio.gather(*(once() for _ in range(5)))]
    assert len({str(result) for result in results}) == 1
    table = "tasks" if make is rule else "email_messages"
    assert await database.fetchval(f"SELECT count(*) FROM {table}") == 1


async def test_who_comes_back_into_a_status_is_followed_up_again(crm, database) -> None:
    await rule(database)
    id = await lead(database, now=NOW)
    await plan(crm, database, id)
    await done(crm, database)
    await database.execute("UPDATE leads SET status_since = $1", NOW + timedelta(days=3))
    await plan(crm, database, id)
    await done(crm, database, now=NOW + timedelta(days=4))
    assert await database.fetchval("SELECT count(*) FROM tasks") == 2
