"""The steps of docs/howto/payroll.md, one after the other."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

from crmgql.domain.compensation import splits
from crmgql.records.records import Act
from tests.domain.compensation.paying import posted
from tests.schema.cases_plans import approved, pay, plan
from tests.schema.money.test_howto import steps as steps_of
from tests.schema.world import World, id_of, money, uuid_of

PAGE = Path(__file__).resolve().parents[3] / "docs" / "howto" / "payroll.md"


def steps(section: str) -> list[str]:
    return steps_of(section, PAGE)


async def ask(world: World, query: str, role: str = "FINANCE", **variables: str) -> Any:
    """What the only field of a step answers."""
    answer = await world.ask(query, world.viewer(role), **variables)
    assert "errors" not in answer, answer
    ((_, found),) = answer["data"].items()
    assert not isinstance(found, dict) or not found.get("userErrors"), found
    return found


async def test_a_plan_is_made(world: World) -> None:
    create, draft, redraft, warned, approve = steps("Make a plan")
    made = (await ask(world, create))["compPlan"]["id"]
    drafted = await ask(world, draft, plan=made)
    version = drafted["compPlanVersion"]["id"]
    assert (drafted["compPlanVersion"]["n"], drafted["warnings"]) == (1, [])
    assert (await ask(world, redraft, version=version))["compPlanVersion"] == {"n": 1, "status": "DRAFT"}
    assert await ask(world, warned, version=version) == []
    assert (await world.do("compVersionApprove", "FINANCE", id=version)).code == "MAKER_IS_CHECKER"
    found = await ask(world, approve, "ADMIN", version=version)
    assert found["compPlanVersion"] == {"status": "APPROVED", "approvedBy": {"name": "Somebody"}}


async def test_people_are_assigned_sign_and_see_what_pays_them(world: World) -> None:
    assign, end = steps("Assign people to a plan")
    see, sign = steps("Sign a plan")
    of, seller = await plan(world), id_of("User", world.people["SELLER"])
    version = await approved(world, of)
    found = await ask(world, assign, plan=of, seller=seller)
    (made,) = found["compPlan"]["assignments"]["nodes"]
    assert (made["user"], made["ramp"]) == ({"name": "Somebody"}, [50, 75])
    me = await ask(world, see, "SELLER")
    (mine,) = me["compAssignments"]["nodes"]
    assert [each["id"] for each in mine["plan"]["versions"]["nodes"]] == [version]
    signed = (await ask(world, sign, "SELLER", version=version))["compSignature"]
    assert (signed["user"], len(signed["textHash"])) == ({"name": "Somebody"}, 64)
    assert (await ask(world, end, assignment=made["id"]))["compAssignment"] == {"endsOn": "2026-12-31"}


async def test_quotas_are_set(world: World) -> None:
    set_many, show = steps("Set quotas")
    seller = id_of("User", await world.user("SELLER"))
    found = await ask(world, set_many, seller=seller, team=id_of("Team", world.team))
    assert found["quota"]["amount"] == {"amount": "1200000.00"}
    teams = (await ask(world, show, "MANAGER"))["nodes"]
    quotas = {each["name"]: [quota["amount"] for quota in each["quotas"]["nodes"]] for each in teams}
    assert quotas["North"] == [{"amount": "5000000.00", "currency": "EUR"}]


async def test_a_plan_is_changed(world: World) -> None:
    (retire,) = steps("Change a plan")
    found = await ask(world, retire, version=await approved(world))
    assert found["compPlanVersion"] == {"status": "RETIRED", "endsOn": "2026-12-31"}


async def test_an_order_is_shared(world: World) -> None:
    (share,) = steps("Share an order")
    people = [id_of("User", await world.user("SELLER", name=name)) for name in ("Ann", "Bob")]
    found = await ask(world, share, "MANAGER", order=await world.order("CONFIRMED"), ann=people[0], bob=people[1])
    shares = {each["user"]["name"]: each["share"] for each in found["order"]["commissionSplits"]["nodes"]}
    assert shares == {"Ann": "0.6", "Bob": "0.4"}


async def test_salaries_are_set(world: World) -> None:
    set_many, end, cancel, mine = steps("Set salaries")
    seller = id_of("User", world.people["SELLER"])
    first = (await ask(world, set_many, "PAYROLL", seller=seller))["salary"]
    assert (first["startsOn"], first["endsOn"]) == ("2026-01-01", "2026-06-30")
    me = await ask(world, mine, "SELLER")
    second, _ = me["salaries"]["nodes"]
    assert (me["salary"]["amount"], second["reason"]) == ("4200.00", "After the trial")
    show = "query($user: ID!) { salaries(where: {user: {id: {eq: $user}}, endsOn: {isNull: true}}) { nodes { id } } }"
    (latest,) = (await ask(world, show, "PAYROLL", user=seller))["nodes"]
    assert (await ask(world, end, "PAYROLL", salary=latest["id"]))["salary"] == {"endsOn": "2026-12-31"}
    assert (await ask(world, cancel, "PAYROLL", salary=latest["id"]))["salary"]["cancelledAt"]


async def test_entries_of_pay_are_added(world: World) -> None:
    add, reverse, mine = steps("Add entries of pay")
    made = (await ask(world, add, "PAYROLL", seller=id_of("User", world.people["SELLER"])))["payEntry"]
    undone = (await ask(world, reverse, "PAYROLL", entry=made["id"]))["payEntry"]
    assert undone == {"amount": {"amount": "-500.00"}, "effectiveOn": "2026-06-30", "reverses": made}
    assert len((await ask(world, mine, "SELLER"))["payEntries"]["nodes"]) == 2


async def test_commissions_are_asked_about(world: World) -> None:
    why, standing, problems, board, below, what_if = steps("Commissions")
    of = await plan(world)
    await approved(world, of)
    await pay(world, "SELLER", of)
    order = uuid_of(await world.order("CONFIRMED"))
    await world.database.execute("UPDATE orders SET seller_id = $1 WHERE id = $2", world.people["SELLER"], order)
    async with world.engine.database.transaction() as tx:
        await splits.set_parts(
            Act(tx, world.viewer("ADMIN")), id=order, parts=[splits.Part(world.people["SELLER"], Decimal(100))]
        )
    await world.do("paymentRecord", orderId=id_of("Order", order), amount=money("12.50"), method="CASH")
    await posted(world.engine.database)
    listed = (await ask(world, why, "SELLER"))["nodes"]
    assert sum(Decimal(each["amount"]["amount"]) for each in listed) == Decimal("50.63")
    assert all(each["explanation"] for each in listed)
    assert (await ask(world, standing, "SELLER"))["commission"]["nextTier"]["rate"] == "0.08"
    assert (await ask(world, problems))["nodes"] == []
    assert [each["name"] for each in await ask(world, board)] == ["North"]
    assert await ask(world, below) == []
    deal = await world.opportunity(owner_id=world.people["SELLER"], currency="EUR")
    found = await ask(world, what_if, "SELLER", deal=deal)
    assert (found["hasPlan"], found["brings"]["amount"]) == (True, "150.00")


def test_each_section_has_its_row() -> None:
    text = PAGE.read_text("utf-8")
    sections = [line.removeprefix("## ") for line in text.splitlines() if line.startswith("## ")]
    for section in sections:
        assert f"[{section}](#{section.lower().replace(' ', '-')})" in text
