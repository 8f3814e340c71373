"""Cases of notifications, tasks and follow-up rules."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

from tests.schema.cases import EVERYBODY, case, move
from tests.schema.world import NOW, World, id_of

MARKETING = "ADMIN MARKETER"


async def notification(world: World, user: str = "ADMIN", **values: Any) -> str:
    given = {"kind": "lead.assigned", "title": "A lead", "occurred_at": NOW, "user_id": world.people[user], **values}
    return id_of("Notification", await world.insert("notifications", **given))


async def task(world: World, assignee: str | None = "SELLER", **values: Any) -> str:
    assignee_id = world.people[assignee] if assignee else None
    return id_of("Task", await world.insert("tasks", **{"subject": "Call", "assignee_id": assignee_id, **values}))


async def rule(world: World, **values: Any) -> str:
    given = {
        "name": f"Rule {uuid4()}",
        "lead_status": "NEW",
        "after_h": 24,
        "action": "EMAIL",
        "subject": "Hello {{ lead.first_name }}",
        "body": "Dear {{ lead.name }}",
    }
    return id_of("FollowUpRule", await world.insert("follow_up_rules", **{**given, **values}))


async def lead(world: World, owner: str | None = "SELLER", **values: Any) -> UUID:
    times = dict.fromkeys(("status_since", "received_at", "last_activity_at"), NOW)
    owner_id = world.people[owner] if owner else None
    return await world.insert("leads", **{"name": "Ann Lee", "owner_id": owner_id, **times, **values})


@case("notificationRead", EVERYBODY)
async def notification_read(world: World, role: str) -> dict[str, Any]:
    return {"id": await notification(world, role)}


@case("notificationReadAll", EVERYBODY)
async def notification_read_all(world: World, role: str) -> dict[str, Any]:
    await notification(world, role)
    return {"id": await notification(world, role)}


@case("taskCreate", EVERYBODY)
async def task_create(world: World, role: str) -> dict[str, Any]:
    if role == "PAYROLL":  # they see no customers
        return {"subject": "Call back"}
    if role in ("FINANCE", "SUPPORT"):  # they see no leads
        return {"subject": "Call back", "customerId": await world.customer()}
    lead_id = id_of("Lead", await lead(world))
    return {"subject": "Call back", "customerId": await world.customer(), "leadId": lead_id}


for verb, status in (("Complete", "OPEN"), ("Cancel", "OPEN"), ("Reopen", "CANCELLED"), ("Update", "OPEN")):

    @case(f"task{verb}", EVERYBODY)
    async def task_moved(world: World, role: str, verb: str = verb, status: str = status) -> dict[str, Any]:
        given = {"id": await task(world, role, status=status)}
        return {**given, "subject": "Other"} if verb == "Update" else given


@case("followUpRuleCreate", MARKETING)
async def rule_create(world: World, role: str) -> dict[str, Any]:
    return {"name": f"Rule {uuid4()}", "leadStatus": "NEW", "afterH": 2, "action": "TASK", "subject": "Call them"}


move("followUpRuleUpdate", MARKETING, rule, active=False)
