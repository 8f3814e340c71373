"""Cases of opportunities' moves and of pipelines; see `cases`."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

from tests.schema.cases import ADMIN, SALES, case, move
from tests.schema.world import World, id_of, uuid_of


async def pipeline(world: World, *stages: str) -> str:
    """A pipeline with these open stages, and WON and LOST behind them."""
    id = await world.insert("pipelines", name=f"Pipeline {uuid4().hex[:12]}")
    for position, name in enumerate(stages or ("First", "Second"), start=1):
        await world.insert("stages", pipeline_id=id, name=name, position=position)
    for position, status in ((90, "WON"), (91, "LOST")):
        await world.insert("stages", pipeline_id=id, name=status.title(), position=position, status=status)
    return id_of("Pipeline", id)


async def stages_of(world: World, pipeline: str) -> list[str]:
    """The ids of its stages in order."""
    sql = "SELECT id FROM stages WHERE pipeline_id = $1 ORDER BY position"
    return [id_of("Stage", row["id"]) for row in await world.database.fetch(sql, uuid_of(pipeline))]


async def stage(world: World) -> str:
    return (await stages_of(world, await pipeline(world)))[0]


async def action(world: World, stage_id: str | None = None, **values: Any) -> str:
    stage_id = stage_id or await stage(world)
    values = {"stage_id": uuid_of(stage_id), "position": 1, "name": "Call them", **values}
    return id_of("KeyAction", await world.insert("key_actions", **values))


async def calendar(world: World, **values: Any) -> str:
    values = {"name": f"Calendar {uuid4().hex[:12]}", **values}
    return id_of("BusinessCalendar", await world.insert("business_calendars", **values))


async def score_rule(world: World) -> str:
    values = {"name": f"Rule {uuid4().hex[:12]}", "field": "hasContact", "operator": "IS_SET", "points": 5}
    return id_of("ScoreRule", await world.insert("score_rules", **values))


async def elsewhere(world: World) -> tuple[str, str]:
    """An opportunity in a pipeline of its own, and that one's first stage: what others do to the default one is far."""
    first = await stage(world)
    deal = await world.opportunity()
    await world.database.execute("UPDATE opportunities SET stage_id = $1 WHERE id = $2", uuid_of(first), uuid_of(deal))
    return deal, first


async def done(world: World, deal: str, key_action: str) -> UUID:
    return await world.insert(
        "opportunity_actions",
        opportunity_id=uuid_of(deal),
        key_action_id=uuid_of(key_action),
        done_at=await world.database.fetchval("SELECT now()"),
    )


@case("opportunityMove", SALES)
async def opportunity_move(world: World, role: str) -> dict[str, Any]:
    return {"id": await world.opportunity(), "stageId": await world.stage("PROPOSAL")}


@case("opportunityActionDone", SALES)
async def opportunity_action_done(world: World, role: str) -> dict[str, Any]:
    deal, first = await elsewhere(world)
    return {"id": deal, "keyActionId": await action(world, first)}


@case("opportunityActionUndone", SALES)
async def opportunity_action_undone(world: World, role: str) -> dict[str, Any]:
    deal, first = await elsewhere(world)
    key_action = await action(world, first)
    await done(world, deal, key_action)
    return {"id": deal, "keyActionId": key_action}


@case("opportunityUnsnooze", SALES)
async def opportunity_unsnooze(world: World, role: str) -> dict[str, Any]:
    deal = await world.opportunity()
    await world.database.execute("UPDATE opportunities SET snoozed_until = '2027-01-01' WHERE id = $1", uuid_of(deal))
    return {"id": deal}


@case("pipelineCreate", ADMIN)
async def pipeline_create(world: World, role: str) -> dict[str, Any]:
    stages = [{"name": "Talk", "staleAfterH": 24}, {"name": "Offer", "probability": 50}]
    return {"name": f"New {uuid4().hex[:12]}", "stages": stages, "calendarId": await calendar(world)}


@case("stageCreate", ADMIN)
async def stage_create(world: World, role: str) -> dict[str, Any]:
    home = await pipeline(world)
    return {"pipelineId": home, "name": "Between", "afterId": (await stages_of(world, home))[0], "staleAfterH": 24}


@case("stageArchive", ADMIN)
async def stage_archive(world: World, role: str) -> dict[str, Any]:
    first, second, *_ = await stages_of(world, await pipeline(world))
    return {"id": first, "stageId": second}


@case("stageReorder", ADMIN)
async def stage_reorder(world: World, role: str) -> dict[str, Any]:
    home = await pipeline(world)
    first, second, *_ = await stages_of(world, home)
    return {"id": home, "stages": [{"stageId": second}, {"stageId": first}]}


@case("keyActionCreate", ADMIN)
async def key_action_create(world: World, role: str) -> dict[str, Any]:
    return {"stageId": await stage(world), "name": "Call them"}


@case("businessCalendarCreate", ADMIN)
async def business_calendar_create(world: World, role: str) -> dict[str, Any]:
    name = f"Days {uuid4().hex[:12]}"
    return {"name": name, "timezone": "Europe/Berlin", "workingDays": [1, 2, 3], "holidays": ["2026-12-25"]}


@case("scoreRuleCreate", ADMIN)
async def score_rule_create(world: World, role: str) -> dict[str, Any]:
    value = {"value": "software"}
    rule = {"field": "customer.industry", "operator": "EQ", "value": value, "points": 20}
    return {"name": f"Industry {uuid4().hex[:12]}", **rule}


move("opportunitySnooze", SALES, World.opportunity, until="2026-12-01T00:00:00Z")


@case("pipelineUpdate", ADMIN)
async def pipeline_update(world: World, role: str) -> dict[str, Any]:
    return {"id": await pipeline(world), "name": f"Other {uuid4().hex[:12]}"}


move("stageUpdate", ADMIN, stage, name="Other", staleAfterH=72)
move("keyActionUpdate", ADMIN, action, name="Other", required=False)
move("keyActionArchive", ADMIN, action)
move("businessCalendarUpdate", ADMIN, calendar, timezone="Asia/Tokyo")
move("scoreRuleUpdate", ADMIN, score_rule, points=7)
