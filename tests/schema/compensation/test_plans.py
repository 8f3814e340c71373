"""Plans: drafted, replaced, approved by somebody else, retired; whom they pay; who signs them."""

from __future__ import annotations

import asyncio
import hashlib
from datetime import date
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from crmgql import access
from crmgql.access import roles
from crmgql.viewer import Viewer, Who
from tests.schema.cases_plans import RULES, SAYS, TEXT, approved, assignment, draft, pay, plan, quota, quotas_of
from tests.schema.world import NOW, World, id_of, money, unlike, uuid_of

SHARE = {"name": "Share", "kind": "PERCENT", "tiers": [{"fromValue": "0", "rate": "0.05"}]}
SHOWN = """
n status startsOn endsOn currency measure basis attainsMeasure attainsBasis period tierMode cap { amount } clawbackMonths
rules { nodes { position name kind role group productIds categories segments customers leastDeal { amount } amount { amount }
  tierUnit sentence tiers { nodes { fromValue toValue rate } } } }"""


def tiers(*ends: tuple[str, str | None, str]) -> list[dict[str, Any]]:
    return [
        {"fromValue": first, "rate": rate} | ({} if last is None else {"toValue": last}) for first, last, rate in ends
    ]


async def drafted(world: World, *rules: dict[str, Any], **says: Any) -> Any:
    return await world.do(
        "compVersionDraft",
        "FINANCE",
        SHOWN,
        planId=await plan(world),
        **{**SAYS, "rules": list(rules) or RULES, **says},
    )


async def test_a_draft_says_what_was_sent(world: World) -> None:
    product = await world.product()
    anvils = {
        "name": "Anvils",
        "kind": "PERCENT",
        "role": "MANAGER",
        "group": "extra",
        "customers": "REPEAT",
        "productIds": [product],
        "categories": ["tools"],
        "segments": ["gold", "silver", "gold"],
        "leastDeal": money("10.00"),
        "tierUnit": "QUOTA",
        "sentence": "Each new customer",
        "tiers": tiers(("1.2", None, "0.125"), ("0", "0.8", "0"), ("0.8", "1.2", "0.0375")),
    }
    bonus = {"name": "Fixed", "kind": "FIXED", "amount": money("50.00")}
    given = {
        "period": "QUARTER",
        "tierMode": "SLAB",
        "cap": money("99.00"),
        "clawbackMonths": 6,
        "endsOn": "2026-06-30",
    }
    found = (await drafted(world, anvils, bonus, **given, attainsMeasure="BOOKED")).done
    first, second = found.pop("rules")["nodes"]
    assert found == {
        "n": 1,
        "status": "DRAFT",
        "startsOn": "2026-01-01",
        "endsOn": "2026-06-30",
        "currency": "EUR",
        "measure": "COLLECTED",
        "basis": "NET",
        "attainsMeasure": "BOOKED",
        "attainsBasis": "NET",
        "period": "QUARTER",
        "tierMode": "SLAB",
        "cap": {"amount": "99.00"},
        "clawbackMonths": 6,
    }
    assert first == {
        "position": 1,
        "name": "Anvils",
        "kind": "PERCENT",
        "role": "MANAGER",
        "group": "extra",
        "productIds": [product],
        "categories": ["tools"],
        "segments": ["gold", "silver"],
        "customers": "REPEAT",
        "leastDeal": {"amount": "10.00"},
        "amount": None,
        "tierUnit": "QUOTA",
        "sentence": "Each new customer",
        "tiers": {
            "nodes": [
                {"fromValue": "0", "toValue": "0.8", "rate": "0"},
                {"fromValue": "0.8", "toValue": "1.2", "rate": "0.0375"},
                {"fromValue": "1.2", "toValue": None, "rate": "0.125"},
            ]
        },
    }
    assert (second["role"], second["group"], second["tierUnit"], second["tiers"]) == (
        "OWNER",
        "main",
        None,
        {"nodes": []},
    )
    assert second["amount"] == {"amount": "50.00"}


@pytest.mark.parametrize(
    "wrong",
    [
        [],
        tiers(("1", None, "0.05")),
        tiers(("0", "10", "0.05")),
        tiers(("0", "10", "0.05"), ("11", None, "0.08")),
        tiers(("0", "10", "0.05"), ("9", None, "0.08")),
        tiers(("0", None, "0.05"), ("10", None, "0.08")),
        tiers(("0", "10", "0.05"), ("0", "10", "0.05"), ("10", None, "0.08")),
        tiers(("0", "0", "0.05"), ("0", None, "0.05")),
        tiers(("-5", "0", "0.05"), ("0", None, "0.05")),
        tiers(("0", "10", "0.05"), ("10", "5", "0.08"), ("5", None, "0.08")),
    ],
)
async def test_tiers_lead_from_0_on_without_a_gap(world: World, wrong: list[dict[str, Any]]) -> None:
    of = await plan(world)
    before = await world.counts()
    answer = await world.do("compVersionDraft", planId=of, **{**SAYS, "rules": [SHARE, {**SHARE, "tiers": wrong}]})
    assert (answer.code, answer.field) == ("TIERS_NOT_CONTIGUOUS", "rules.1.tiers")
    assert await world.counts() == before


WRONG: list[tuple[dict[str, Any], str, str]] = [
    ({"tiers": tiers(("0", None, "10.1"))}, "BAD_USER_INPUT", "rules.0.tiers.0.rate"),
    ({"tiers": tiers(("0", None, "-0.1"))}, "BAD_USER_INPUT", "rules.0.tiers.0.rate"),
    ({"tiers": tiers(("0", None, "0.0000000000001"))}, "BAD_USER_INPUT", "rules.0.tiers.0.rate"),
    ({"tiers": tiers(("0", "0.005", "0.1"), ("0.005", None, "0.1"))}, "BAD_USER_INPUT", "rules.0.tiers.0.toValue"),
    ({"amount": money("1.00")}, "BAD_USER_INPUT", "rules.0.amount"),
    ({"kind": "FIXED"}, "BAD_USER_INPUT", "rules.0.amount"),
    ({"kind": "FIXED", "amount": money("1.00")}, "BAD_USER_INPUT", "rules.0.tiers"),
    (
        {"kind": "FIXED", "amount": money("1.00"), "tiers": None, "tierUnit": "QUOTA"},
        "BAD_USER_INPUT",
        "rules.0.tierUnit",
    ),
    ({"kind": "FIXED", "amount": money("0.00"), "tiers": None}, "BAD_USER_INPUT", "rules.0.amount"),
    ({"kind": "FIXED", "amount": money("1.00", "USD"), "tiers": None}, "CURRENCY_MISMATCH", "rules.0.amount"),
    ({"leastDeal": money("1.00", "USD")}, "CURRENCY_MISMATCH", "rules.0.leastDeal"),
    ({"leastDeal": money("0.00")}, "BAD_USER_INPUT", "rules.0.leastDeal"),
    ({"name": " "}, "BAD_USER_INPUT", "rules.0.name"),
    ({"group": ""}, "BAD_USER_INPUT", "rules.0.group"),
    ({"group": "x" * 51}, "BAD_USER_INPUT", "rules.0.group"),
    ({"categories": []}, "BAD_USER_INPUT", "rules.0.categories"),
    ({"productIds": []}, "BAD_USER_INPUT", "rules.0.productIds"),
    ({"segments": [""]}, "BAD_USER_INPUT", "rules.0.segments"),
    ({"sentence": "We pay 6 %"}, "BAD_USER_INPUT", "rules.0.sentence"),
    ({"sentence": ""}, "BAD_USER_INPUT", "rules.0.sentence"),
    ({"productIds": ["prd_" + "0" * 32]}, "NOT_FOUND", "rules.0.productIds.0"),
]


@pytest.mark.parametrize(("wrong", "code", "field"), WRONG)
async def test_rules_that_say_nothing_sensible(world: World, wrong: dict[str, Any], code: str, field: str) -> None:
    of = await plan(world)
    before = await world.counts()
    answer = await world.do("compVersionDraft", planId=of, **{**SAYS, "rules": [{**SHARE, **wrong}]})
    assert (answer.code, answer.field) == (code, field)
    assert await world.counts() == before


@pytest.mark.parametrize(
    ("wrong", "code", "field"),
    [
        ({"rules": []}, "BAD_USER_INPUT", "rules"),
        ({"rules": [SHARE] * 101}, "BAD_USER_INPUT", "rules"),
        (
            {
                "rules": [
                    {**SHARE, "tiers": tiers(*((str(n), str(n + 1), "0.1") for n in range(50)), ("50", None, "0.1"))}
                ]
            },
            "BAD_USER_INPUT",
            "rules.0.tiers",
        ),
        ({"text": " "}, "BAD_USER_INPUT", "text"),
        ({"endsOn": "2025-12-31"}, "BAD_USER_INPUT", "endsOn"),
        ({"startsOn": "0999-12-31"}, "BAD_USER_INPUT", "startsOn"),
        ({"cap": money("0.00")}, "BAD_USER_INPUT", "cap"),
        ({"cap": money("1.00", "USD")}, "CURRENCY_MISMATCH", "cap"),
        ({"clawbackMonths": -1}, "BAD_USER_INPUT", "clawbackMonths"),
        ({"clawbackMonths": 121}, "BAD_USER_INPUT", "clawbackMonths"),
        ({"currency": "JPY"}, "CURRENCY_MISMATCH", "rules.1.amount"),
    ],
)
async def test_versions_that_say_nothing_sensible(world: World, wrong: dict[str, Any], code: str, field: str) -> None:
    of = await plan(world)
    before = await world.counts()
    answer = await world.do("compVersionDraft", planId=of, **{**SAYS, **wrong})
    assert (answer.code, answer.field) == (code, field)
    assert await world.counts() == before


async def test_names_of_plans_are_theirs_alone(world: World) -> None:
    name = (await world.do("compPlanCreate", show="name", name="Those who sell")).done["name"]
    answer = await world.do("compPlanCreate", name=name.upper())
    assert (answer.code, answer.field) == ("CONFLICT", "name")


async def test_versions_are_counted(world: World) -> None:
    of = await plan(world)
    answers = await asyncio.gather(*(world.do("compVersionDraft", show="n", planId=of, **SAYS) for _ in range(4)))
    assert sorted(answer.done["n"] for answer in answers) == [1, 2, 3, 4]


async def test_a_draft_is_replaced_whole(world: World) -> None:
    version = await draft(world, cap=money("9.00"), clawbackMonths=3)
    answer = await world.do(
        "compVersionRedraft", "FINANCE", f"{SHOWN} version madeBy {{ id }}", id=version, **{**SAYS, "rules": [SHARE]}
    )
    found = answer.done
    assert (found["cap"], found["clawbackMonths"], found["version"]) == (None, None, 2)
    assert [rule["name"] for rule in found["rules"]["nodes"]] == ["Share"]
    assert found["madeBy"]["id"] == id_of("User", world.people["FINANCE"])
    assert await world.told(version) == ["plan.drafted", "plan.redrafted"]
    broken = await world.do("compVersionRedraft", id=version, **{**SAYS, "rules": [{**SHARE, "tiers": []}]})
    assert broken.code == "TIERS_NOT_CONTIGUOUS"
    assert (
        await world.database.fetchval("SELECT count(*) FROM comp_rules WHERE plan_version_id = $1", uuid_of(version))
        == 1
    )


@pytest.mark.parametrize("status", ["APPROVED", "RETIRED"])
async def test_what_was_approved_is_no_draft_any_more(world: World, status: str) -> None:
    version = await approved(world)
    if status == "RETIRED":
        assert (await world.do("compVersionRetire", id=version, endsOn="2026-03-31")).done
    before = await world.counts()
    assert (await world.do("compVersionRedraft", id=version, **SAYS)).code == "PLAN_APPROVED"
    assert (await world.do("compVersionApprove", id=version)).code == "ILLEGAL_TRANSITION"
    assert await world.counts() == before


async def test_nobody_approves_what_they_wrote(world: World) -> None:
    version = await draft(world, maker=world.people["FINANCE"])
    answer = await world.do("compVersionApprove", "FINANCE", id=version)
    assert (answer.code, answer.field) == ("MAKER_IS_CHECKER", "id")
    again = await world.do("compVersionRedraft", "ADMIN", id=version, **SAYS)
    assert (again.code, (await world.do("compVersionApprove", "ADMIN", id=version)).code) == (None, "MAKER_IS_CHECKER")
    assert (await world.do("compVersionApprove", "FINANCE", id=version)).done
    with pytest.raises(asyncpg.CheckViolationError, match="comp_plan_versions_checked"):
        await world.database.execute(
            "UPDATE comp_plan_versions SET status = 'APPROVED', approved_by_id = made_by_id, approved_at = now() WHERE id = $1",
            uuid_of(await draft(world)),
        )


async def test_api_keys_neither_write_nor_approve_nor_sign(world: World) -> None:
    """The attack: an administrator makes a key for somebody else, and is maker and checker by it."""
    key = world.viewer("ADMIN", scopes=frozenset({"*:read", "*:write"}), key=UUID(int=1))
    of, version = await plan(world), await draft(world)
    final = await approved(world, of)
    await pay(world, "ADMIN", of)
    before = await world.counts()
    for mutation, given in (
        ("compVersionDraft", {"planId": of, **SAYS}),
        ("compVersionRedraft", {"id": version, **SAYS}),
        ("compVersionApprove", {"id": version}),
        ("compVersionRetire", {"id": final, "endsOn": "2026-12-31"}),
        ("compVersionSign", {"planVersionId": final}),
    ):
        assert (await world.do(mutation, key, **given)).code == "FORBIDDEN", mutation
    assert await world.counts() == before


async def test_a_day_has_one_version(world: World) -> None:
    of = await plan(world)
    first = await approved(world, of)
    second = await draft(world, of, startsOn="2026-07-01")
    answer = await world.do("compVersionApprove", id=second)
    assert (answer.code, answer.field) == ("VERSIONS_OVERLAP", "id")
    assert "Version 1 of the plan pays from 2026-01-01 on" in answer.rejections[0]["message"]
    retired = (await world.do("compVersionRetire", show="status endsOn", id=first, endsOn="2026-06-30")).done
    assert retired == {"status": "RETIRED", "endsOn": "2026-06-30"}
    assert (await world.do("compVersionApprove", id=second)).done
    assert await world.told(first) == ["plan.drafted", "plan.retired"]


async def test_two_versions_approved_at_once_have_one_winner(world: World) -> None:
    of = await plan(world)
    versions = [await draft(world, of) for _ in range(3)]
    answers = await asyncio.gather(*(world.do("compVersionApprove", id=version) for version in versions))
    assert sorted(str(answer.code) for answer in answers) == ["None", "VERSIONS_OVERLAP", "VERSIONS_OVERLAP"]


async def test_the_last_day_is_set_once_and_never_later(world: World) -> None:
    version = await approved(world, endsOn="2026-12-31")
    for wrong in ("2025-12-31", "2027-01-01"):
        answer = await world.do("compVersionRetire", id=version, endsOn=wrong)
        assert (answer.code, answer.field) == ("BAD_USER_INPUT", "endsOn")
    assert (await world.do("compVersionRetire", id=version, endsOn="2026-01-01")).done
    assert (await world.do("compVersionRetire", id=version, endsOn="2026-01-01")).code == "ILLEGAL_TRANSITION"
    assert (
        await world.do("compVersionRetire", id=await draft(world), endsOn="2026-03-01")
    ).code == "ILLEGAL_TRANSITION"


async def test_warnings_come_with_the_draft_and_are_for_those_who_write(world: World) -> None:
    of, seller = await plan(world), await world.user("SELLER", name="Ann")
    await assignment(world, seller, of)
    by_quota = {**SHARE, "tierUnit": "QUOTA", "tiers": tiers(("0", "1", "0.05"), ("1", None, "0.1"))}
    query = """mutation($input: CompVersionDraftInput!) { compVersionDraft(input: $input) {
        compPlanVersion { id } warnings { code message ruleId ruleName } userErrors { code message } } }"""
    given = {**SAYS, "planId": of, "rules": [by_quota, SHARE]}
    answer = (await world.ask(query, world.viewer("FINANCE"), input=given))["data"]["compVersionDraft"]
    assert [each["code"] for each in answer["warnings"]] == ["NO_QUOTA", "SHADOWED"]
    assert "Ann" in answer["warnings"][0]["message"]
    version, again = (
        answer["compPlanVersion"]["id"],
        "query($id: ID!) { compVersionWarnings(planVersionId: $id) { code } }",
    )
    await quota(world, user_id=seller, measure="COLLECTED")
    found = await world.ask(again, world.viewer("FINANCE"), id=version)
    assert found["data"]["compVersionWarnings"] == [{"code": "SHADOWED"}]
    refused = await world.ask(again, world.viewer("MANAGER"), id=version)
    assert refused["errors"][0]["extensions"]["code"] == "FORBIDDEN"


async def test_a_quota_of_other_days_or_of_something_else_is_none(world: World) -> None:
    of, seller = await plan(world), await world.user("SELLER")
    version = await draft(world, of, rules=[{**SHARE, "tierUnit": "QUOTA"}], endsOn="2026-06-30")
    await assignment(world, seller, of)
    again = "query($id: ID!) { compVersionWarnings(planVersionId: $id) { code } }"

    async def codes() -> list[str]:
        answer = await world.ask(again, world.viewer("FINANCE"), id=version)
        return [each["code"] for each in answer["data"]["compVersionWarnings"]]

    await quota(world, user_id=seller, measure="BOOKED")
    await quota(world, user_id=seller, measure="COLLECTED", basis="GROSS")
    await quota(world, user_id=seller, measure="COLLECTED", starts_on=date(2026, 7, 1))
    assert await codes() == ["NO_QUOTA"]
    await quota(world, user_id=seller, measure="COLLECTED", ends_on=date(2026, 6, 30))
    assert await codes() == []


async def test_as_managers_people_attain_what_their_teams_do(world: World) -> None:
    of, manager, seller = await plan(world), await world.user("MANAGER", name="Mo"), await world.user("SELLER")
    team = await world.insert("teams", name="Far", manager_id=manager)
    version = await draft(world, of, rules=[{**SHARE, "tierUnit": "QUOTA", "role": "MANAGER"}])
    for user in (manager, seller):
        await assignment(world, user, of)
    again = "query($id: ID!) { compVersionWarnings(planVersionId: $id) { code message } }"
    found = (await world.ask(again, world.viewer("FINANCE"), id=version))["data"]["compVersionWarnings"]
    assert [(each["code"], "the teams of Mo:" in each["message"]) for each in found] == [("NO_QUOTA", True)]
    quotas = quotas_of({"teamId": id_of("Team", team)}, measure="COLLECTED")
    assert (await world.do("quotaSet", "FINANCE", quotas=quotas)).done
    assert (await world.ask(again, world.viewer("FINANCE"), id=version))["data"]["compVersionWarnings"] == []


async def test_nobody_is_paid_by_two_plans_on_one_day(world: World) -> None:
    one, other = await plan(world), await plan(world)
    ann, bo = [id_of("User", await world.user("SELLER", name=name)) for name in ("Ann", "Bo")]
    assert (
        await world.do("compPlanAssign", id=one, people=[{"userId": ann}], startsOn="2026-01-01", endsOn="2026-06-30")
    ).done
    before = await world.counts()
    answer = await world.do("compPlanAssign", id=other, people=[{"userId": bo}, {"userId": ann}], startsOn="2026-06-30")
    assert (answer.code, answer.field) == ("ASSIGNMENTS_OVERLAP", "people.1.userId")
    assert answer.rejections[0]["message"].startswith("Ann is paid by “Plan")
    assert await world.counts() == before
    assert (
        await world.do("compPlanAssign", id=other, people=[{"userId": bo}, {"userId": ann}], startsOn="2026-07-01")
    ).done
    show = "assignments { nodes { id user { name } startsOn endsOn } }"
    found = (await world.do("compPlanUpdate", show=show, id=one, description="First")).done["assignments"]["nodes"]
    assert [(each["user"]["name"], each["endsOn"]) for each in found] == [("Ann", "2026-06-30")]
    late = await world.do("compAssignmentEnd", id=found[0]["id"], endsOn="2026-07-01")
    assert (late.code, late.field) == ("ASSIGNMENTS_OVERLAP", "endsOn")
    assert (await world.do("compAssignmentEnd", show="endsOn", id=found[0]["id"], endsOn="2026-03-31")).done == {
        "endsOn": "2026-03-31"
    }
    early = await world.do("compAssignmentEnd", id=found[0]["id"], endsOn="2025-12-31")
    assert (early.code, early.field) == ("BAD_USER_INPUT", "endsOn")


async def test_a_cancelled_assignment_leaves_its_days(world: World) -> None:
    seller, of = await world.user("SELLER"), await plan(world)
    mistake = await assignment(world, seller)
    assert (await world.do("compAssignmentCancel", id=mistake)).done
    assert (await world.do("compAssignmentCancel", id=mistake)).code == "ILLEGAL_TRANSITION"
    assert (await world.do("compAssignmentEnd", id=mistake, endsOn="2026-12-31")).code == "ILLEGAL_TRANSITION"
    people = [{"userId": id_of("User", seller)}]
    assert (await world.do("compPlanAssign", id=of, people=people, startsOn="2026-01-01")).done


async def test_people_assigned_at_once_by_two_have_one_plan(world: World) -> None:
    seller = id_of("User", await world.user("SELLER"))
    plans = [await plan(world) for _ in range(3)]
    answers = await asyncio.gather(
        *(world.do("compPlanAssign", id=of, people=[{"userId": seller}], startsOn="2026-01-01") for of in plans)
    )
    assert sorted(str(answer.code) for answer in answers) == ["ASSIGNMENTS_OVERLAP", "ASSIGNMENTS_OVERLAP", "None"]


async def test_assignments_that_say_nothing_sensible(world: World) -> None:
    of, seller = await plan(world), id_of("User", await world.user("SELLER"))
    before = await world.counts()
    for people, more, code, field in (
        ([], {}, "BAD_USER_INPUT", "people"),
        ([{"userId": seller}, {"userId": seller}], {}, "BAD_USER_INPUT", "people.1.userId"),
        ([{"userId": unlike(seller)}], {}, "NOT_FOUND", "people.0.userId"),
        ([{"userId": seller, "ramp": []}], {}, "BAD_USER_INPUT", "people.0.ramp"),
        ([{"userId": seller, "ramp": [50, 101]}], {}, "BAD_USER_INPUT", "people.0.ramp"),
        ([{"userId": seller, "ramp": [-1]}], {}, "BAD_USER_INPUT", "people.0.ramp"),
        ([{"userId": seller, "ramp": [50] * 61}], {}, "BAD_USER_INPUT", "people.0.ramp"),
        ([{"userId": seller}], {"endsOn": "2025-12-31"}, "BAD_USER_INPUT", "endsOn"),
        ([{"userId": seller}], {"endsOn": "3000-12-31"}, "BAD_USER_INPUT", "endsOn"),
        ([{"userId": seller}], {"expectedVersion": 9}, "VERSION_CONFLICT", "expectedVersion"),
    ):
        answer = await world.do("compPlanAssign", id=of, people=people, startsOn="2026-01-01", **more)
        assert (answer.code, answer.field) == (code, field)
    assert await world.counts() == before


async def test_who_is_paid_signs_what_is_approved(world: World) -> None:
    of, seller = await plan(world), await world.user("SELLER")
    version, unfinished = await approved(world, of, endsOn="2026-06-30"), await draft(world, of)
    viewer = Viewer(seller, Who(frozenset({"SELLER"})), clock=lambda: NOW)
    assert (await world.do("compVersionSign", viewer, planVersionId=version)).code == "NOT_FOUND"
    await assignment(world, seller, of)
    assert (await world.do("compVersionSign", viewer, planVersionId=unfinished)).code == "NOT_FOUND"
    answers = await asyncio.gather(
        *(world.do("compVersionSign", viewer, "textHash planVersion { n }", planVersionId=version) for _ in range(3))
    )
    assert sorted(str(answer.code) for answer in answers) == ["None", "SIGNED_ALREADY", "SIGNED_ALREADY"]
    (done,) = [answer.done for answer in answers if answer.code is None]
    assert done == {"textHash": hashlib.sha256(TEXT.encode()).hexdigest(), "planVersion": {"n": 1}}
    # Who sees the plan, and is not paid by it, does not sign it.
    assert (await world.do("compVersionSign", "FINANCE", planVersionId=version)).code == "FORBIDDEN"
    await pay(world, "ADMIN", of)
    assert (await world.do("compVersionSign", "ADMIN", planVersionId=unfinished)).code == "ILLEGAL_TRANSITION"
    await world.do("compVersionRetire", "ADMIN", id=version, endsOn="2026-05-31")
    assert (await world.do("compVersionSign", "ADMIN", planVersionId=version)).code == "ILLEGAL_TRANSITION"


async def test_who_sees_some_plans_learns_of_no_others(world: World) -> None:
    """The attack: somebody of a role of the company's own finds out by conflicts who is paid by what."""
    try:
        roles.declare("CLERK", "user.read team.read plan.read.own plan.write quota.read.own quota.write")
        clerk = Viewer(world.people["SELLER"], Who(frozenset({"CLERK"})), clock=lambda: NOW)
        seller, of = id_of("User", await world.user("SELLER")), await plan(world)
        await pay(world, "SELLER", of)
        assigned = await world.do("compPlanAssign", clerk, id=of, people=[{"userId": seller}], startsOn="2026-01-01")
        assert assigned.code == "FORBIDDEN"
        assert (await world.do("quotaSet", clerk, quotas=quotas_of({"userId": seller}))).code == "FORBIDDEN"
    finally:
        roles.declare("CLERK", "")
        del access.ROLES["CLERK"]
