"""Cases of webhook endpoints."""

from __future__ import annotations

from typing import Any

from crmgql.domain.webhooks import endpoints
from crmgql.events.cursors import START
from tests.schema.cases import case, move
from tests.schema.world import NOW, World, id_of

INTEGRATORS = "ADMIN INTEGRATION"
URL = "https://hooks.invalid/crm"
"""Nobody has this name: its challenge fails without asking anybody."""


async def endpoint(world: World, status: str = "PENDING", **values: Any) -> str:
    given = {
        "url": URL,
        "api_version": "2026-11",
        "status": status,
        "verified_at": None if status == "PENDING" else NOW,
        "owner_id": world.people["INTEGRATION"],
        "cursor": START.text(),
        **endpoints._new_key(),
        **values,
    }
    return id_of("WebhookEndpoint", await world.insert("webhook_endpoints", **given))


async def active(world: World) -> str:
    return await endpoint(world, "ACTIVE")


async def paused(world: World) -> str:
    return await endpoint(world, "PAUSED")


@case("webhookEndpointCreate", INTEGRATORS)
async def webhook_endpoint_create(world: World, role: str) -> dict[str, Any]:
    return {"url": URL, "kinds": ["order.*"], "fields": ["status"], "orderBy": "CUSTOMER"}


move("webhookEndpointUpdate", INTEGRATORS, active, payload="THIN")
move("webhookEndpointRotateSecret", INTEGRATORS, active, overlapH=1)
move("webhookEndpointChallenge", INTEGRATORS, endpoint)
move("webhookPing", INTEGRATORS, active)
move("webhookReplay", INTEGRATORS, active, dead=True)
move("webhookEndpointPause", INTEGRATORS, active)
move("webhookEndpointResume", INTEGRATORS, paused)
move("webhookEndpointDelete", INTEGRATORS, active)
