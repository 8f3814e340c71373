"""Cases of plans, whom they pay, who signs them; and of quotas."""

from __future__ import annotations

from datetime import date
from typing import Any
from uuid import UUID, uuid4

from tests.schema.cases import EVERYBODY, case, move
from tests.schema.world import World, id_of, money, uuid_of

PAYING = "ADMIN FINANCE"
SIGNING = " ".join(role for role in EVERYBODY.split() if role != "INTEGRATION")
TEXT = "We pay 5 % of what is collected, and 8 % of all above 100,000 a month. Each new customer brings 50.00."
TIERS = [
    {"fromValue": "0", "toValue": "100000", "rate": "0.05"},
    {"fromValue": "100000", "rate": "0.08"},
]
RULES = [
    {"name": "Share", "kind": "PERCENT", "tiers": TIERS, "sentence": "5 % of what is collected"},
    {"name": "New ones", "kind": "FIXED", "group": "new", "customers": "NEW", "amount": money("50.00")},
]
SAYS = {
    "startsOn": "2026-01-01",
    "currency": "EUR",
    "measure": "COLLECTED",
    "basis": "NET",
    "text": TEXT,
    "rules": RULES,
}


async def plan(world: World) -> str:
    return id_of("CompPlan", await world.insert("comp_plans", name=f"Plan {uuid4().hex}"))


async def draft(world: World, of: str | None = None, *, maker: UUID | None = None, **says: Any) -> str:
    """A draft that somebody else than the people of the company wrote."""
    of = of or await plan(world)
    answer = await world.do("compVersionDraft", planId=of, **{**SAYS, **says})
    id: str = answer.done["id"]
    maker = maker or await world.user("FINANCE")
    await world.database.execute("UPDATE comp_plan_versions SET made_by_id = $2 WHERE id = $1", uuid_of(id), maker)
    return id


async def approved(world: World, of: str | None = None, **says: Any) -> str:
    """A version that the administrator approved."""
    id = await draft(world, of, **says)
    await world.database.execute(
        "UPDATE comp_plan_versions SET status = 'APPROVED', approved_by_id = $2, approved_at = now() WHERE id = $1",
        uuid_of(id),
        world.people["ADMIN"],
    )
    return id


async def assignment(world: World, user: UUID | None = None, of: str | None = None, **values: Any) -> str:
    given = {"user_id": user or await world.user("SELLER"), "plan_id": uuid_of(of or await plan(world))}
    return id_of(
        "CompAssignment", await world.insert("comp_assignments", starts_on=date(2026, 1, 1), **given, **values)
    )


async def pay(world: World, role: str, of: str) -> str:
    """Has the plan pay the role's person, and no other one do so."""
    await world.database.execute("DELETE FROM comp_assignments WHERE user_id = $1", world.people[role])
    return await assignment(world, world.people[role], of)


async def quota(world: World, **values: Any) -> str:
    given = {
        "user_id": await world.user("SELLER"),
        "starts_on": date(2026, 1, 1),
        "ends_on": date(2026, 12, 31),
        "measure": "BOOKED",
        "basis": "NET",
        "currency": "EUR",
        "amount": 1000,
    }
    sql = """
        INSERT INTO quotas (user_id, starts_on, ends_on, measure, basis, currency, amount)
        VALUES ($1, $2, $3, $4, $5, $6, $7::text::numeric) RETURNING id"""
    row = {**given, **values}
    return id_of("Quota", await world.database.fetchval(sql, *list(row.values())[:-1], f"{row['amount']}.00"))


def quotas_of(*owners: dict[str, Any], **values: Any) -> list[dict[str, Any]]:
    days = {"startsOn": "2026-01-01", "endsOn": "2026-12-31"}
    return [
        {**days, "measure": "BOOKED", "basis": "NET", "amount": money("120000.00"), **owner, **values}
        for owner in owners
    ]


@case("compPlanCreate", PAYING)
async def comp_plan_create(world: World, role: str) -> dict[str, Any]:
    return {"name": f"Plan {uuid4().hex}", "description": "Of those who sell"}


@case("compPlanAssign", PAYING, events=3)
async def comp_plan_assign(world: World, role: str) -> dict[str, Any]:
    people = [{"userId": id_of("User", await world.user("SELLER")), "ramp": [50, 75]} for _ in range(2)]
    return {"id": await plan(world), "people": people, "startsOn": "2026-01-01"}


@case("compVersionDraft", PAYING)
async def comp_version_draft(world: World, role: str) -> dict[str, Any]:
    product = await world.product()
    rule = {"name": "Anvils", "kind": "PERCENT", "productIds": [product], "tiers": [{"fromValue": "0", "rate": "0.1"}]}
    return {**SAYS, "planId": await plan(world), "rules": [rule, *RULES]}


@case("compVersionRedraft", PAYING)
async def comp_version_redraft(world: World, role: str) -> dict[str, Any]:
    return {**SAYS, "id": await draft(world), "startsOn": "2027-01-01"}


@case("compVersionSign", SIGNING)
async def comp_version_sign(world: World, role: str) -> dict[str, Any]:
    of = await plan(world)
    version = await approved(world, of)
    await pay(world, role, of)
    return {"planVersionId": version}


@case("quotaSet", PAYING, events=2)
async def quota_set(world: World, role: str) -> dict[str, Any]:
    user, team = await world.user("SELLER"), await world.insert("teams", name="South")
    return {"quotas": quotas_of({"userId": id_of("User", user)}, {"teamId": id_of("Team", team)})}


move("compPlanUpdate", PAYING, plan, description="Other")
move("compVersionApprove", PAYING, draft)
move("compVersionRetire", PAYING, approved, endsOn="2026-12-31")
move("compAssignmentEnd", PAYING, assignment, endsOn="2026-12-31")
move("compAssignmentCancel", PAYING, assignment)
move("quotaCancel", PAYING, quota)
