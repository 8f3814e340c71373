"""Cases of campaigns and intake sources."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from tests.schema.cases import case, move
from tests.schema.world import World, id_of, money

MARKETING = "ADMIN MARKETER"


async def campaign(world: World, status: str = "PLANNED", **values: Any) -> str:
    given = {"name": f"Campaign {uuid4().hex}", "channel": "EMAIL", "status": status, "currency": "EUR", **values}
    return id_of("Campaign", await world.insert("campaigns", **given))


async def intake_source(world: World, **values: Any) -> str:
    given = {"name": f"Page {uuid4().hex}", "key_hash": uuid4().hex, "hint": "crmin_x", **values}
    return id_of("IntakeSource", await world.insert("intake_sources", **given))


async def running(world: World) -> str:
    return await campaign(world, "ACTIVE")


@case("campaignCreate", MARKETING)
async def campaign_create(world: World, role: str) -> dict[str, Any]:
    return {"name": f"Spring {uuid4().hex}", "channel": "SEARCH", "budget": money("100.00")}


@case("intakeSourceCreate", MARKETING)
async def intake_source_create(world: World, role: str) -> dict[str, Any]:
    return {"name": f"Page {uuid4().hex}", "campaignId": await campaign(world)}


move("campaignUpdate", MARKETING, campaign, spend=money("7.00"))
move("campaignStart", MARKETING, campaign)
move("campaignEnd", MARKETING, running)
move("intakeSourceUpdate", MARKETING, intake_source, ratePerMinute=5)
move("intakeSourceRotateKey", MARKETING, intake_source)
move("intakeSourceDeactivate", MARKETING, intake_source)
