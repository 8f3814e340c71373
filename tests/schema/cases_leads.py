"""One input per mutation of leads."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from tests.schema.cases import case, move
from tests.schema.world import NOW, World, id_of, money, uuid_of

LEADS = "ADMIN MANAGER SELLER MARKETER INTEGRATION"
ASSIGNING = "ADMIN MANAGER SELLER INTEGRATION"


async def lead(world: World, owner: str | UUID | None = "SELLER", **values: Any) -> str:
    """A lead that was there before, by way of the table: without its jobs."""
    owner_id = world.people[owner] if isinstance(owner, str) else owner
    times = dict.fromkeys(("status_since", "received_at", "last_activity_at"), NOW)
    given = {"name": "Ann Lee", "owner_id": owner_id, **times, **values}
    if given.get("status") == "CONVERTED":
        given = {"converted_at": NOW, "customer_id": uuid_of(await world.customer()), **given}
    return id_of("Lead", await world.insert("leads", **given))


async def queued(world: World, owner: str = "SELLER") -> str:
    """A lead that waits in a queue, which the owner looks after."""
    queue = await world.insert("lead_queues", name=f"Queue {len(QUEUES)}", owner_id=world.people[owner])
    QUEUES.append(queue)
    return await lead(world, None, queue_id=queue, queue_deadline=NOW)


QUEUES: list[UUID] = []


async def pair(world: World) -> str:
    """Two leads that look like one."""
    one, other = uuid_of(await lead(world)), uuid_of(await lead(world))
    values = {"lead_id": other, "other_id": one, "similarity": 100, "reasons": "{}"}
    return id_of("LeadDuplicate", await world.insert("lead_duplicates", **values))


@case("leadCreate", LEADS)
async def lead_create(world: World, role: str) -> dict[str, Any]:
    return {"name": "Ann Lee", "email": "ann@example.com", "budget": money("100.00"), "attributes": {"size": "L"}}


@case("leadAccept", LEADS)
async def lead_accept(world: World, role: str) -> dict[str, Any]:
    return {"id": await lead(world, role, accept_by=NOW)}


@case("leadAssign", ASSIGNING)
async def lead_assign(world: World, role: str) -> dict[str, Any]:
    return {"id": await queued(world), "ownerId": id_of("User", world.people[role])}


@case("leadMerge", LEADS, events=2)
async def lead_merge(world: World, role: str) -> dict[str, Any]:
    return {"id": await lead(world), "otherId": await lead(world)}


@case("leadConvert", ASSIGNING, events=4)
async def lead_convert(world: World, role: str) -> dict[str, Any]:
    return {"id": await lead(world), "stageId": await world.stage("ENGAGING"), "amount": money("5.00")}


@case("leadDuplicateDismiss", LEADS)
async def lead_duplicate_dismiss(world: World, role: str) -> dict[str, Any]:
    return {"id": await pair(world)}


move("leadUpdate", LEADS, lead, city="Rome")
move("leadNurture", LEADS, lead)
move("leadQualify", LEADS, lead)
move("leadLose", LEADS, lead, reason="No budget")
move("leadReopen", LEADS, lambda world: lead(world, status="LOST", lost_reason="No budget"))
