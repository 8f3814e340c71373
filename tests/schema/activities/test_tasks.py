"""Tasks: whose they are, what they are about, and their life."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.schema.cases_messages import lead, task
from tests.schema.world import NOW, World, id_of, uuid_of


async def test_create_and_read_back(world: World) -> None:
    opportunity = await world.opportunity(customer=(customer := await world.customer()))
    lead_id = id_of("Lead", await lead(world))
    given = {"subject": "Call 公司", "description": "Soon", "dueAt": "2026-12-01T09:00:00+00:00"}
    show = "id subject description dueAt status assignee { id } customer { id } lead { id } opportunity { id } version"
    made = (await world.do("taskCreate", "SELLER", show, **given, leadId=lead_id, opportunityId=opportunity)).done
    id = made.pop("id")
    assert made == {
        **given,
        "status": "OPEN",
        "assignee": {"id": id_of("User", world.people["SELLER"])},
        "customer": {"id": customer},
        "lead": {"id": lead_id},
        "opportunity": {"id": opportunity},
        "version": 1,
    }
    assert await world.told(id) == ["task.created"]


@pytest.mark.parametrize(
    ("role", "assignee", "code"),
    [
        ("SUPPORT", "SUPPORT", None),
        ("SELLER", "SELLER", None),
        ("SELLER", "STRANGER", "FORBIDDEN"),
        ("SELLER", None, "FORBIDDEN"),
        ("MANAGER", "SELLER", None),
        ("MANAGER", "STRANGER", "FORBIDDEN"),
        ("MARKETER", "SELLER", "FORBIDDEN"),
        ("INTEGRATION", "STRANGER", None),
        ("ADMIN", None, None),
    ],
)
async def test_who_may_give_tasks_to_whom(world: World, role: str, assignee: str | None, code: str | None) -> None:
    user = assignee and id_of("User", world.people[assignee])
    assert (await world.do("taskCreate", role, subject="Call", assigneeId=user)).code == code
    mine = await task(world, role)
    assert (await world.do("taskUpdate", role, id=mine, assigneeId=user)).code == code


async def test_a_task_without_an_assignee_is_ones_own(world: World) -> None:
    for role in ("FINANCE", "SELLER", "ADMIN"):
        made = (await world.do("taskCreate", role, "id assignee { id }", subject="Call")).done
        assert made["assignee"] == {"id": id_of("User", world.people[role])}


async def test_the_customer_is_the_opportunitys(world: World) -> None:
    customer, other = await world.customer(), await world.customer()
    opportunity = await world.opportunity(customer=customer)
    wrong = await world.do("taskCreate", subject="Call", opportunityId=opportunity, customerId=other)
    assert (wrong.code, wrong.field) == ("BAD_USER_INPUT", "customerId")
    made = (await world.do("taskCreate", subject="Call", opportunityId=opportunity)).done["id"]
    wrong = await world.do("taskUpdate", id=made, customerId=other)
    assert (wrong.code, wrong.field) == ("BAD_USER_INPUT", "customerId")
    moved = await world.opportunity(customer=other)
    done = (await world.do("taskUpdate", show="customer { id }", id=made, opportunityId=moved)).done
    assert done == {"customer": {"id": other}}
    done = (await world.do("taskUpdate", show="customer { id } opportunity { id }", id=made, opportunityId=None)).done
    assert done == {"customer": {"id": other}, "opportunity": None}


async def test_what_a_task_is_about_must_be_visible(world: World) -> None:
    hidden = {
        "customerId": await world.customer("STRANGER"),
        "leadId": id_of("Lead", await lead(world, "STRANGER")),
        "opportunityId": await world.opportunity(customer=await world.customer("STRANGER")),
    }
    mine = await task(world)
    for field, id in hidden.items():
        for answer in (
            await world.do("taskCreate", "SELLER", subject="Call", **{field: id}),
            await world.do("taskUpdate", "SELLER", id=mine, **{field: id}),
        ):
            assert (answer.code, answer.field) == ("NOT_FOUND", field)


@pytest.mark.parametrize("status", ["OPEN", "DONE", "CANCELLED"])
async def test_the_life_of_a_task(world: World, status: str) -> None:
    allowed = {
        "OPEN": {"taskComplete": "DONE", "taskCancel": "CANCELLED"},
        "DONE": {"taskReopen": "OPEN"},
        "CANCELLED": {"taskReopen": "OPEN"},
    }[status]
    told = {"taskComplete": "task.completed", "taskCancel": "task.cancelled", "taskReopen": "task.reopened"}
    for mutation in told:
        id = (await world.do("taskCreate", "SELLER", subject="Call")).done["id"]
        if status != "OPEN":
            await world.do("taskComplete" if status == "DONE" else "taskCancel", "SELLER", id=id)
        answer = await world.do(mutation, "SELLER", "status doneAt", id=id)
        if mutation in allowed:
            done = "2026-11-01T12:00:00+00:00" if allowed[mutation] == "DONE" else None
            assert answer.done == {"status": allowed[mutation], "doneAt": done}
            assert (await world.told(id))[-1] == told[mutation]
        else:
            assert (answer.code, answer.field) == ("ILLEGAL_TRANSITION", "id")


async def test_an_opportunity_with_an_open_task_is_planned_for(world: World) -> None:
    one, other = await world.opportunity(), await world.opportunity()

    async def unplanned() -> list[bool]:
        rows = [await world.row("opportunities", id) for id in (one, other)]
        return ["NOTHING_PLANNED" in row["risk_factors"] for row in rows]

    id = (await world.do("taskCreate", subject="Call", opportunityId=one)).done["id"]
    await world.do("opportunityUpdate", id=other, name="Other")
    assert await unplanned() == [False, True]
    assert (await world.do("taskUpdate", id=id, opportunityId=other)).code is None
    assert await unplanned() == [True, False]
    await world.do("taskCancel", id=id)
    assert await unplanned() == [True, True]
    await world.do("taskReopen", id=id)
    assert await unplanned() == [True, False]
    await world.do("taskComplete", id=id)
    assert await unplanned() == [True, True]


async def test_what_is_done_is_not_changed(world: World) -> None:
    id = await task(world)
    await world.do("taskComplete", "SELLER", id=id)
    assert (await world.do("taskUpdate", "SELLER", id=id, subject="Other")).code == "ILLEGAL_TRANSITION"


@pytest.mark.parametrize(
    ("role", "seen"), [("SELLER", True), ("MANAGER", True), ("ADMIN", True), ("STRANGER", False), ("SUPPORT", False)]
)
async def test_who_sees_a_sellers_task(world: World, role: str, seen: bool) -> None:
    id = await task(world)
    answer = await world.do("taskComplete", role, id=id)
    assert answer.code == (None if seen else "NOT_FOUND")


async def test_who_gets_a_task_from_somebody_else_is_told(world: World) -> None:
    seller, manager = (id_of("User", world.people[role]) for role in ("SELLER", "MANAGER"))
    customer = await world.customer()
    id = (await world.do("taskCreate", "MANAGER", subject="SessionCall", assigneeId=seller, customerId=customer)).done[
        "id"
    ]
    await world.do("taskUpdate", "MANAGER", id=id, description="Soon")
    await world.do("taskUpdate", "SELLER", id=id, assigneeId=seller)
    await world.do("taskUpdate", "ADMIN", id=id, assigneeId=manager)
    await world.do("taskCreate", "SELLER", subject="SessionCall")
    sql = "SELECT user_id, customer_id FROM notifications WHERE title = 'A task for you: SessionCall' ORDER BY id"
    told = [tuple(row) for row in await world.database.fetch(sql)]
    assert told == [(world.people[role], uuid_of(customer)) for role in ("SELLER", "MANAGER")]


@pytest.mark.parametrize(("mutation", "active"), [("taskComplete", True), ("taskCancel", False)])
async def test_what_is_done_about_a_lead_is_its_activity(world: World, mutation: str, active: bool) -> None:
    before = NOW - timedelta(days=29)
    lead_id = id_of("Lead", await lead(world, last_activity_at=before, reclaim_warned_at=before))
    await world.do(mutation, "SELLER", id=await task(world, lead_id=uuid_of(lead_id)))
    row = await world.row("leads", lead_id)
    assert (row["last_activity_at"], row["reclaim_warned_at"]) == ((NOW, None) if active else (before, before))
