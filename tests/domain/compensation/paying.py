"""How a test makes plans and people whom they pay, and has what is due posted."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any
from uuid import UUID

import asyncpg

from crmgql import db
from crmgql.domain.compensation import crediting, posting
from tests.domain import work
from tests.ledger.conftest import acting

FIRST = date(2020, 1, 1)
SUMS = """
SELECT u.name, sum(c.amount) AS amount FROM commissions c JOIN users u ON u.id = c.seller_id GROUP BY u.name HAVING sum(c.amount) <> 0 ORDER BY 1"""
KINDS = "SELECT kind, amount FROM commissions ORDER BY id"


async def plan(database: asyncpg.Connection, *tiers: tuple[str, str | None, str], **version: Any) -> UUID:
    """A plan with one approved version of one rule, 4 % of what is collected unless something else is named; its id."""
    maker, checker = [await work.user(database, name, roles=["FINANCE"]) for name in ("Maker", "Checker")]
    rule = {key: version.pop(key) for key in ("role", "tier_unit", "customers", "segments") if key in version}
    id = await work.insert(database, "comp_plans", name=f"Plan {maker}")
    values = {
        "plan_id": id,
        "n": 1,
        "starts_on": FIRST,
        "currency": "USD",
        "measure": "COLLECTED",
        "basis": "NET",
        "text": "4 % of it.",
        "made_by_id": maker,
        **version,
    }
    values = {"attains_measure": values["measure"], "attains_basis": values["basis"], **values}
    async with database.transaction():
        of = await work.insert(database, "comp_plan_versions", **values)
        own = {"plan_version_id": of, "position": 1, "name": "Main", "kind": "PERCENT", "currency": values["currency"]}
        made = await work.insert(database, "comp_rules", **{"tier_unit": "AMOUNT", **own, **rule})
        for start, end, rate in tiers or (("0", None, "0.04"),):
            numbers = {"from_value": Decimal(start), "to_value": end and Decimal(end), "rate": Decimal(rate)}
            await work.insert(database, "comp_tiers", rule_id=made, **numbers)
    approved = (
        "UPDATE comp_plan_versions SET status = 'APPROVED', approved_by_id = $2, approved_at = now() WHERE id = $1"
    )
    await database.execute(approved, of, checker)
    return id


async def assign(database: asyncpg.Connection, plan: UUID, *people: UUID, **values: Any) -> None:
    for person in people:
        await work.insert(
            database, "comp_assignments", **{"plan_id": plan, "user_id": person, "starts_on": FIRST, **values}
        )


async def worked_out(crm: db.Database) -> int:
    """How many orders something waited of; nothing waits afterwards, for anybody."""
    done = 0
    while True:
        async with acting(crm) as act:
            if not (taken := await crediting.take(act)):
                return done
            await crediting.work_out(act, taken)
            done += len(taken)


async def posted(crm: db.Database) -> int:
    """How many commissions were made of what waits; nobody is left to calculate afterwards."""
    await worked_out(crm)
    made = 0
    while True:
        async with acting(crm) as act:
            if not (taken := await posting.take(act)):
                return made
            made += await posting.post(act, taken)


async def sums(crm: db.Database, database: asyncpg.Connection) -> dict[str, str]:
    """By person what all commissions come to, once everything is posted."""
    await posted(crm)
    return {row["name"]: str(row["amount"]) for row in await database.fetch(SUMS)}


async def kinds(database: asyncpg.Connection) -> list[tuple[str, str]]:
    return [(row["kind"], str(row["amount"])) for row in await database.fetch(KINDS)]
