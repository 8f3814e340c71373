"""Cases of contracts."""

from __future__ import annotations

from functools import partial
from typing import Any

from tests.schema.cases import ORDERING, case, move
from tests.schema.world import World, id_of, money, uuid_of


async def contract(world: World, status: str = "DRAFT", customer: str | None = None) -> str:
    sql = """
        INSERT INTO contracts (title, currency, status, starts_on, value_amount, customer_id)
        VALUES ('Supply', 'EUR', $1, '2026-01-01', 100.00, $2) RETURNING id"""
    owner = uuid_of(customer or await world.customer())
    return id_of("Contract", await world.database.fetchval(sql, status, owner))


@case("contractCreate", ORDERING)
async def contract_create(world: World, role: str) -> dict[str, Any]:
    given = {"title": "Supply", "startsOn": "2026-01-01", "value": money("100.00")}
    return {**given, "customerId": await world.customer()}


@case("contractSetPlan", ORDERING)
async def contract_set_plan(world: World, role: str) -> dict[str, Any]:
    plan = [{"dueOn": "2026-02-01", "share": "30"}, {"dueOn": "2026-01-01", "share": "70"}]
    return {"id": await contract(world), "payments": plan}


move("contractUpdate", ORDERING, contract, title="Other")
move("contractActivate", ORDERING, contract)
move("contractEnd", ORDERING, partial(contract, status="ACTIVE"))
move("contractTerminate", ORDERING, contract, reason="They moved")
