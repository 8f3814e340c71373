"""One input per mutation of routing."""

from __future__ import annotations

from datetime import timedelta
from itertools import count
from typing import Any
from uuid import UUID

from tests.schema.cases import case, move
from tests.schema.cases_leads import lead
from tests.schema.world import NOW, World, id_of, uuid_of

RULES = "ADMIN MARKETER"
LEADING = "ADMIN MANAGER"
NUMBERS = count(1000)


async def ruleset(world: World, status: str = "DRAFT", **values: Any) -> str:
    """A rule set; an active one takes the place of the one before, by way of the table."""
    if status == "ACTIVE":
        await no_active_ruleset(world)
    number = await world.database.fetchval("SELECT coalesce(max(number), 0) + 1 FROM routing_rulesets")
    given = {"name": "Rules", "number": number, "status": status, **values}
    return id_of("RoutingRuleset", await world.insert("routing_rulesets", **given))


async def no_active_ruleset(world: World) -> None:
    await world.database.execute("UPDATE routing_rulesets SET status = 'RETIRED' WHERE status = 'ACTIVE'")


async def rule(world: World, of: str | None = None, **values: Any) -> str:
    of = of or await ruleset(world)
    given = {"ruleset_id": uuid_of(of), "position": 1, "name": "All", "target": "MATCHING", **values}
    return id_of("RoutingRule", await world.insert("routing_rules", **given))


async def queue(world: World, owner: str | None = None) -> str:
    owner_id = world.people[owner] if owner else None
    return id_of("LeadQueue", await world.insert("lead_queues", name=f"Queue {next(NUMBERS)}", owner_id=owner_id))


async def waiting(world: World, role: str) -> str:
    """A lead in a queue that the role's person looks after, which the active rules give to the seller."""
    active = await ruleset(world, "ACTIVE")
    await rule(world, active, target="USER", target_user_id=world.people["SELLER"])
    return await lead(world, None, queue_id=uuid_of(await queue(world, role)), queue_deadline=NOW + timedelta(hours=1))


async def absence(world: World, role: str = "SELLER") -> str:
    values = {"user_id": world.people[role], "starts_at": NOW + timedelta(days=30), "ends_at": NOW + timedelta(days=31)}
    return id_of("Absence", await world.insert("absences", **values))


async def profile(world: World) -> UUID:
    """Somebody of the manager's team with a profile."""
    user = await world.user("SELLER", team_id=world.team)
    await world.insert("seller_profiles", user_id=user)
    return user


async def draft_alone(world: World) -> str:
    await no_active_ruleset(world)
    return await ruleset(world)


@case("routingRulesetCreate", RULES)
async def routing_ruleset_create(world: World, role: str) -> dict[str, Any]:
    return {"name": "New", "copyOfId": await ruleset(world), "fallbackQueueId": await queue(world)}


@case("routingRuleCreate", RULES)
async def routing_rule_create(world: World, role: str) -> dict[str, Any]:
    user = id_of("User", world.people["SELLER"])
    return {"rulesetId": await ruleset(world), "name": "New", "target": "USER", "targetUserId": user}


@case("routingRuleDelete", RULES)
async def routing_rule_delete(world: World, role: str) -> dict[str, Any]:
    return {"ruleId": await rule(world)}


@case("sellerProfileSet", LEADING)
async def seller_profile_set(world: World, role: str) -> dict[str, Any]:
    return {"userId": id_of("User", await profile(world)), "weight": 3}


@case("absenceCreate", "ADMIN MANAGER SELLER")
async def absence_create(world: World, role: str) -> dict[str, Any]:
    return {"startsAt": "2026-12-24T00:00:00Z", "endsAt": "2027-01-01T00:00:00Z", "reason": "Holidays"}


@case("leadQueueCreate", RULES)
async def lead_queue_create(world: World, role: str) -> dict[str, Any]:
    return {"name": f"Queue {next(NUMBERS)}", "ownerId": id_of("User", world.people["SELLER"])}


@case("leadRoute", "ADMIN MANAGER MARKETER", events=2)
async def lead_route(world: World, role: str) -> dict[str, Any]:
    return {"id": await waiting(world, role)}


@case("leadDecline", "ADMIN MANAGER SELLER MARKETER INTEGRATION")
async def lead_decline(world: World, role: str) -> dict[str, Any]:
    await ruleset(world, "ACTIVE", fallback_queue_id=uuid_of(await queue(world, role)))
    return {"id": await lead(world, role)}


move("routingRulesetUpdate", RULES, ruleset, name="Other")
move("routingRulesetActivate", RULES, draft_alone)
move("routingRuleUpdate", RULES, rule, name="Other")
move("absenceCancel", "ADMIN MANAGER SELLER", absence)
move("leadQueueUpdate", RULES, queue, deadlineMin=5)
