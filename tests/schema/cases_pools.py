"""Cases of the public pool."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

from tests.schema.cases import case, move
from tests.schema.cases_messages import lead
from tests.schema.world import NOW, World, id_of, uuid_of

KEEPING = "ADMIN MARKETER"
CLAIMING = "ADMIN MANAGER SELLER"


async def pool(world: World, kind: str = "LEAD", **values: Any) -> str:
    return id_of("Pool", await world.insert("pools", **{"name": f"Pool {uuid4()}", "kind": kind, **values}))


async def pooled_lead(world: World, pool_id: str, **values: Any) -> UUID:
    """A lead without an owner, in a pool; its item is still to be made."""
    return await lead(world, None, pool_id=uuid_of(pool_id), **values)


async def item(world: World, pool_id: str | None = None, **values: Any) -> str:
    pool_id = pool_id or await pool(world)
    given = {"pool_id": uuid_of(pool_id), "entered_at": NOW, **values}
    if "customer_id" not in given and "lead_id" not in given:
        given["lead_id"] = await pooled_lead(world, pool_id)
    return id_of("PoolItem", await world.insert("pool_items", **given))


@case("poolCreate", KEEPING)
async def pool_create(world: World, role: str) -> dict[str, Any]:
    return {"name": f"Pool {uuid4()}", "kind": "LEAD", "shows": ["name", "region"]}


@case("poolRelease", CLAIMING, events=2)
async def pool_release(world: World, role: str) -> dict[str, Any]:
    return {"leadId": id_of("Lead", await lead(world)), "poolId": await pool(world), "reason": "No time"}


@case("poolClaim", CLAIMING, events=2)
async def pool_claim(world: World, role: str) -> dict[str, Any]:
    return {"id": await item(world)}


move("poolUpdate", KEEPING, pool, holdingLimit=5)
