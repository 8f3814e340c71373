"""Leads: taken in, given to somebody, followed up, won over or lost."""

from __future__ import annotations

import asyncio
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from crmgql.domain.leads import leads
from crmgql.models import LeadStatus
from crmgql.records.records import Act
from crmgql.viewer import system
from tests.schema.cases_leads import lead, pair, queued
from tests.schema.world import NOW, World, id_of, money, unlike, uuid_of

MOVES = {
    "leadNurture": ("NEW QUALIFIED", "NURTURING"),
    "leadQualify": ("NEW NURTURING", "QUALIFIED"),
    "leadConvert": ("NEW NURTURING QUALIFIED", "CONVERTED"),
    "leadLose": ("NEW NURTURING QUALIFIED", "LOST"),
    "leadReopen": ("LOST", "NEW"),
}


async def jobs_of(world: World, id: str) -> list[str]:
    sql = "SELECT kind FROM jobs WHERE arguments ->> 'lead_id' = $1 AND status = 'PENDING' ORDER BY kind"
    return [row["kind"] for row in await world.database.fetch(sql, str(uuid_of(id)))]


async def transitions(world: World, id: str) -> list[tuple[Any, ...]]:
    sql = (
        "SELECT from_status, to_status, reason, seconds_in_status FROM lead_transitions WHERE lead_id = $1 ORDER BY id"
    )
    return [tuple(row) for row in await world.database.fetch(sql, uuid_of(id))]


async def given(world: World, mutation: str, **more: Any) -> dict[str, Any]:
    return {**more, **({"reason": "Too dear"} if mutation == "leadLose" else {})}


async def in_status(world: World, status: str) -> str:
    if status == "MERGED":
        return await lead(world, status=status, merged_into_id=uuid_of(await lead(world)))
    return await lead(world, status=status, lost_reason="Too dear" if status == "LOST" else None)


async def test_create_and_read_back(world: World) -> None:
    campaign = id_of("Campaign", await world.insert("campaigns", name="Spring", channel="SEARCH"))
    given = {
        "name": "李伟",
        "company": "深圳市华为技术有限公司",
        "title": "CTO",
        "email": "Li.Wei+web@HUAWEI.com",
        "phone": "０１０－１２３４５６７８",
        "website": "https://www.huawei.com/cn",
        "industry": "Telecom",
        "region": "South",
        "country": "China",
        "city": "深圳",
        "segment": "Enterprise",
        "employeeCount": 3,
        "budget": money("1000", "JPY"),
        "message": "你好",
        "attributes": {"size": "L", "tags": ["a"]},
        "leadSource": "web",
        "score": 40,
        "emailOptOut": True,
        "receivedAt": "2026-10-31T08:00:00+00:00",
    }
    show = (
        "id name company title email phone website industry region country city segment employeeCount message attributes"
        " budget { amount currency } leadSource score emailOptOut receivedAt version currency status campaign { id }"
    )
    made = (await world.do("leadCreate", show=show, **given, campaignId=campaign)).done
    id = made.pop("id")
    rest = {name: made.pop(name) for name in ("version", "currency", "status", "campaign")}
    assert rest == {"version": 1, "currency": "JPY", "status": "NEW", "campaign": {"id": campaign}}
    assert made == {**given, "email": "Li.Wei+web@huawei.com"}
    row = await world.row("leads", id)
    assert (row["normal_email"], row["normal_phone"]) == ("li.wei@huawei.com", "+861012345678")
    assert row["domain"] == "huawei.com"
    assert row["status_since"] == row["last_activity_at"] == NOW
    assert await world.told(id) == ["lead.created"]
    assert await transitions(world, id) == [(None, "NEW", None, None)]


@pytest.mark.parametrize(
    ("role", "given", "owner"),
    [
        ("SELLER", {}, "SELLER"),
        ("MANAGER", {}, "MANAGER"),
        ("MARKETER", {}, None),
        ("INTEGRATION", {}, None),
        ("ADMIN", {}, None),
        ("SELLER", {"route": True}, None),
        ("SELLER", {"route": False}, "SELLER"),
        ("MANAGER", {"ownerId": "SELLER"}, "SELLER"),
        ("ADMIN", {"ownerId": "STRANGER"}, "STRANGER"),
        ("ADMIN", {"ownerId": None}, None),
    ],
)
async def test_whose_a_new_lead_is(world: World, role: str, given: dict[str, Any], owner: str | None) -> None:
    if given.get("ownerId"):
        given = {"ownerId": id_of("User", world.people[given["ownerId"]])}
    name = f"Ann by {role} {given}"
    answer = await world.do("leadCreate", role, name=name, **given)
    assert not answer.codes
    row = await world.database.fetchrow("SELECT * FROM leads WHERE name = $1", name)
    id = id_of("Lead", row["id"])
    assert row["owner_id"] == (owner and world.people[owner])
    assert row["version"] == 1
    decisions = await world.database.fetch("SELECT * FROM assignment_decisions WHERE lead_id = $1", row["id"])
    if owner is None:
        assert await jobs_of(world, id) == ["lead.duplicates", "lead.route"]
        assert not decisions
        assert row["assigned_at"] is None
    else:
        assert await jobs_of(world, id) == ["lead.duplicates"]
        assert [(each["reason"], each["chosen_id"]) for each in decisions] == [("MANUAL", world.people[owner])]
        assert row["routing_id"] == decisions[0]["id"]
        told = await world.database.fetch("SELECT user_id FROM notifications WHERE lead_id = $1", row["id"])
        assert [each["user_id"] for each in told] == [world.people[owner]] * (owner != role)
        assert row["assigned_at"] == row["accepted_at"] == NOW


@pytest.mark.parametrize(
    ("role", "given", "code", "field"),
    [
        ("SELLER", {"ownerId": "STRANGER"}, "FORBIDDEN", None),
        ("MANAGER", {"ownerId": "STRANGER"}, "FORBIDDEN", None),
        ("MARKETER", {"ownerId": "SELLER"}, "FORBIDDEN", None),
        ("SELLER", {"ownerId": None}, "FORBIDDEN", None),
        ("SELLER", {"ownerId": "SELLER", "route": True}, "BAD_USER_INPUT", "route"),
        ("ADMIN", {"name": " \u200b"}, "BAD_USER_INPUT", "name"),
        ("ADMIN", {"attributes": ["no object"]}, "BAD_USER_INPUT", "attributes"),
        ("ADMIN", {"employeeCount": -1}, "BAD_USER_INPUT", "employeeCount"),
        ("ADMIN", {"budget": money("-1.00")}, "BAD_USER_INPUT", "budget"),
        ("ADMIN", {"budget": money("1.00"), "currency": "USD"}, "CURRENCY_MISMATCH", "budget"),
        ("ADMIN", {"receivedAt": "2026-11-01T13:00:00Z"}, "BAD_USER_INPUT", "receivedAt"),
        ("ADMIN", {"campaignId": "cam_" + "0" * 32}, "NOT_FOUND", "campaignId"),
        ("ADMIN", {"externalId": "1"}, "BAD_USER_INPUT", "source"),
    ],
)
async def test_what_is_no_lead(world: World, role: str, given: dict[str, Any], code: str, field: str | None) -> None:
    if given.get("ownerId"):
        given = {**given, "ownerId": id_of("User", world.people[given["ownerId"]])}
    before = await world.counts()
    answer = await world.do("leadCreate", role, **{"name": "Ann", **given})
    assert (answer.code, answer.field) == (code, field)
    assert await world.counts() == before


async def test_update_keeps_what_duplicates_are_found_by(world: World) -> None:
    id = await lead(world, email="ann@example.com", normal_email="ann@example.com", domain="example.com")
    changes = {"email": "Ann.Lee@gmail.com", "phone": "030 123456", "country": "Germany", "website": "https://acme.de"}
    assert (await world.do("leadUpdate", "SELLER", id=id, **changes)).done
    row = await world.row("leads", id)
    assert (row["normal_email"], row["normal_phone"], row["domain"]) == ("annlee@gmail.com", "+4930123456", "acme.de")
    assert await jobs_of(world, id) == ["lead.duplicates"]
    assert (await world.do("leadUpdate", id=id, country="United States", email=None)).done
    row = await world.row("leads", id)
    assert (row["normal_email"], row["normal_phone"], row["domain"]) == (None, "030123456", "acme.de")


async def test_an_update_is_activity_only_if_it_changes_something(world: World) -> None:
    long_ago = NOW - timedelta(days=30)
    id = await lead(world, city="Rome", last_activity_at=long_ago, reclaim_warned_at=long_ago)
    assert (await world.do("leadUpdate", id=id, city="Rome")).done
    row = await world.row("leads", id)
    assert (row["version"], row["last_activity_at"]) == (1, long_ago)
    assert (await world.do("leadUpdate", id=id, city="Oslo")).done
    row = await world.row("leads", id)
    assert (row["version"], row["last_activity_at"], row["reclaim_warned_at"]) == (2, NOW, None)
    assert await jobs_of(world, id) == []


async def test_a_budget_keeps_its_currency(world: World) -> None:
    id = await lead(world, currency="EUR")
    show = "budget { amount currency } currency"
    assert (await world.do("leadUpdate", show=show, id=id, budget=money("5.00"))).done["currency"] == "EUR"
    mismatch = await world.do("leadUpdate", id=id, currency="USD")
    assert (mismatch.code, mismatch.field) == ("CURRENCY_MISMATCH", "currency")
    changed = (await world.do("leadUpdate", show=show, id=id, budget=money("700", "JPY"))).done
    assert changed == {"budget": {"amount": "700", "currency": "JPY"}, "currency": "JPY"}
    assert (await world.do("leadUpdate", show=show, id=id, budget=None)).done["budget"] is None


@pytest.mark.parametrize("status", ["LOST", "CONVERTED", "MERGED"])
async def test_a_closed_lead_stays_as_it_is(world: World, status: str) -> None:
    id = await in_status(world, status)
    before = await world.counts()
    for mutation, more in (
        ("leadUpdate", {"city": "Rome"}),
        ("leadAccept", {}),
        ("leadAssign", {"ownerId": id_of("User", world.people["STRANGER"])}),
    ):
        answer = await world.do(mutation, id=id, **more)
        assert (answer.code, answer.field) == ("ILLEGAL_TRANSITION", "id")
    assert await world.counts() == before
    # Somebody who wants no more mail is heard in any case; for a merged lead, by the one in which it lives on.
    opted_out = await world.do("leadUpdate", id=id, emailOptOut=True)
    assert opted_out.code == ("ILLEGAL_TRANSITION" if status == "MERGED" else None)


@pytest.mark.parametrize("status", sorted(LeadStatus))
@pytest.mark.parametrize("mutation", sorted(MOVES))
async def test_every_move_from_every_status(world: World, status: str, mutation: str) -> None:
    id = await in_status(world, status)
    answer = await world.do(mutation, "ADMIN", "id status", **await given(world, mutation, id=id))
    sources, target = MOVES[mutation]
    if status in sources.split():
        assert answer.done["status"] == target
        assert (await transitions(world, id))[-1][:2] == (status, target)
    else:
        assert (answer.code, answer.field) == ("ILLEGAL_TRANSITION", "id")
        assert await transitions(world, id) == []


@pytest.mark.parametrize(
    ("status", "says"), [("LOST", "leadReopen"), ("CONVERTED", "cus_"), ("MERGED", "lives on in led_")]
)
async def test_a_refused_move_names_the_way_out(world: World, status: str, says: str) -> None:
    message = (await world.do("leadQualify", id=await in_status(world, status))).rejections[0]["message"]
    assert status in message
    assert says in message


async def test_a_transition_knows_how_long_it_took(world: World) -> None:
    id = await lead(world, status_since=NOW - timedelta(hours=2))
    assert (await world.do("leadLose", id=id, reason="No budget")).done
    assert await transitions(world, id) == [("NEW", "LOST", "No budget", 7200)]
    assert await world.told(id) == ["lead.lost"]
    shown = (await world.do("leadReopen", show="status lostReason statusSince", id=id)).done
    assert shown == {"status": "NEW", "lostReason": None, "statusSince": "2026-11-01T12:00:00+00:00"}
    assert (await world.do("leadLose", id=id, reason=" ")).field == "reason"


async def test_a_status_brings_its_follow_ups(world: World) -> None:
    rule = {"name": "Call", "action": "TASK", "subject": "Call them", "after_h": 2, "lead_status": "QUALIFIED"}
    rule_id = await world.insert("follow_up_rules", **rule)
    id = await lead(world)
    await world.do("leadNurture", id=id)
    assert await jobs_of(world, id) == []
    await world.do("leadQualify", id=id)
    assert await jobs_of(world, id) == ["lead.followUp"]
    due = await world.database.fetchval("SELECT due_at FROM jobs WHERE arguments ->> 'rule_id' = $1", str(rule_id))
    assert due == NOW + timedelta(hours=2)


async def test_accepting(world: World) -> None:
    id = await lead(world, "SELLER", accept_by=NOW + timedelta(hours=1), assigned_at=NOW)
    for other in ("MANAGER", "ADMIN"):
        assert (await world.do("leadAccept", other, id=id)).code == "FORBIDDEN"
    accepted = (await world.do("leadAccept", "SELLER", "acceptedAt acceptBy", id=id)).done
    assert accepted == {"acceptedAt": "2026-11-01T12:00:00+00:00", "acceptBy": None}
    assert (await world.do("leadAccept", "SELLER", id=id)).code == "ILLEGAL_TRANSITION"
    assert await world.told(id) == ["lead.accepted"]


@pytest.mark.parametrize(
    ("role", "owner", "code"),
    [
        ("ADMIN", "STRANGER", None),
        ("INTEGRATION", "STRANGER", None),
        ("MANAGER", "SELLER", None),
        ("MANAGER", "MANAGER", None),
        ("MANAGER", "STRANGER", "FORBIDDEN"),
        ("SELLER", "SELLER", None),
        ("SELLER", "STRANGER", "FORBIDDEN"),
        ("MARKETER", "SELLER", "FORBIDDEN"),
    ],
)
async def test_who_assigns_to_whom(world: World, role: str, owner: str, code: str | None) -> None:
    id = await queued(world)
    answer = await world.do("leadAssign", role, id=id, ownerId=id_of("User", world.people[owner]))
    assert answer.code == code
    row = await world.row("leads", id)
    assert row["owner_id"] == (None if code else world.people[owner])
    assert (row["queue_id"] is None) == (code is None)


async def test_assigning_by_hand_says_who_had_it(world: World) -> None:
    id = await lead(world, "SELLER", accept_by=NOW)
    stranger = id_of("User", world.people["STRANGER"])
    show = "owner { id } acceptBy acceptedAt queue { id } routing { reason explanation previous { id } chosen { id } actor { id } }"
    shown = (await world.do("leadAssign", show=show, id=id, ownerId=stranger)).done
    assert shown == {
        "owner": {"id": stranger},
        "acceptBy": None,
        "acceptedAt": "2026-11-01T12:00:00+00:00",
        "queue": None,
        "routing": {
            "reason": "MANUAL",
            "explanation": "Assigned by hand.",
            "previous": {"id": id_of("User", world.people["SELLER"])},
            "chosen": {"id": stranger},
            "actor": {"id": id_of("User", world.people["ADMIN"])},
        },
    }
    told = await world.database.fetch("SELECT user_id FROM notifications WHERE lead_id = $1", uuid_of(id))
    assert [row["user_id"] for row in told] == [world.people["STRANGER"]]
    again = (await world.do("leadAssign", show="id version", id=id, ownerId=stranger)).done
    assert again["version"] == 2
    inactive = id_of("User", await world.user("SELLER", active=False))
    assert (await world.do("leadAssign", id=id, ownerId=inactive)).field == "ownerId"
    assert (await world.do("leadAssign", id=id, ownerId=unlike(stranger))).code == "NOT_FOUND"


async def pooled(world: World) -> str:
    pool = await world.insert("pools", name=f"Pool {await world.database.fetchval('SELECT uuidv7()')}", kind="LEAD")
    id = await lead(world, None, pool_id=pool)
    await world.insert("pool_items", pool_id=pool, lead_id=uuid_of(id), entered_at=NOW)
    return id


@pytest.mark.parametrize("mutation", ["leadAssign", "leadLose", "leadConvert"])
async def test_what_is_given_or_closed_leaves_the_pool(world: World, mutation: str) -> None:
    id = await pooled(world)
    more = {"ownerId": id_of("User", world.people["SELLER"])} if mutation == "leadAssign" else {}
    assert (await world.do(mutation, **await given(world, mutation, id=id, **more))).done
    assert (await world.row("leads", id))["pool_id"] is None
    item = await world.database.fetchrow("SELECT left_at FROM pool_items WHERE lead_id = $1", uuid_of(id))
    assert item["left_at"] == NOW
    moves = await world.database.fetch("SELECT kind FROM pool_moves WHERE lead_id = $1", uuid_of(id))
    assert [row["kind"] for row in moves] == ["WITHDRAWN"]


async def test_a_lost_lead_waits_for_nobody(world: World) -> None:
    id = await queued(world)
    assert (await world.do("leadLose", id=id, reason="Spam")).done
    row = await world.row("leads", id)
    assert (row["queue_id"], row["queue_deadline"], row["accept_by"]) == (None, None, None)


async def test_reopening_finds_a_new_owner_for_one_who_left(world: World) -> None:
    left = await world.user("SELLER", active=False)
    lost = {"status": "LOST", "lost_reason": "No budget"}
    stays, orphan, placeless = (
        await lead(world, **lost),
        await lead(world, left, **lost),
        await lead(world, None, **lost),
    )
    for id in (stays, orphan, placeless):
        assert (await world.do("leadReopen", id=id)).done
    assert (await world.row("leads", stays))["owner_id"] == world.people["SELLER"]
    assert (await world.row("leads", orphan))["owner_id"] is None
    assert [await jobs_of(world, id) for id in (stays, orphan, placeless)] == [[], ["lead.route"], ["lead.route"]]


async def test_a_lead_of_others_is_not_there(world: World) -> None:
    id = await lead(world, "STRANGER")
    for mutation in ("leadUpdate", "leadAccept", "leadQualify", "leadReopen", "leadConvert"):
        hidden = await world.do(mutation, "SELLER", id=id)
        missing = await world.do(mutation, "SELLER", id=unlike(id))
        assert hidden.rejections == missing.rejections
        assert hidden.code == "NOT_FOUND"


async def test_two_moves_at_once_are_one(world: World) -> None:
    id = await lead(world)
    answers = await asyncio.gather(*(world.do("leadQualify", id=id) for _ in range(4)))
    assert sorted(str(answer.code) for answer in answers) == ["ILLEGAL_TRANSITION"] * 3 + ["None"]
    assert await transitions(world, id) == [("NEW", "QUALIFIED", None, 0)]


async def test_of_lose_and_convert_at_once_one_is_done(world: World) -> None:
    for _ in range(4):
        id = await lead(world)
        answers = await asyncio.gather(world.do("leadLose", id=id, reason="Gone"), world.do("leadConvert", id=id))
        assert sorted(str(answer.code) for answer in answers) == ["ILLEGAL_TRANSITION", "None"]
        row = await world.row("leads", id)
        assert (row["status"] == "CONVERTED") == (row["customer_id"] is not None)
        assert len(await transitions(world, id)) == 1


async def test_the_system_takes_in_leads_for_nobody(world: World) -> None:
    async with world.engine.database.transaction() as tx:
        id = await leads.create(Act(tx, system(lambda: NOW)), name="Web form", lead_source="web")
    row = await world.row("leads", id_of("Lead", id))
    assert row["owner_id"] is None
    assert await jobs_of(world, id_of("Lead", id)) == ["lead.duplicates", "lead.route"]
    event = await world.database.fetchrow("SELECT actor_id FROM events WHERE subject_id = $1", id)
    assert event["actor_id"] is None


async def test_the_how_to_works(world: World) -> None:
    """Its operations, as a reader would send them one after the other."""
    page = (Path(__file__).parents[3] / "docs" / "howto" / "leads.md").read_text("utf-8")
    operations = re.findall(r"```graphql\n(.*?)```", page, re.S)
    admin = id_of("User", world.people["ADMIN"])
    variables = {
        "id": await lead(world, "ADMIN"),
        "owner": admin,
        "other": await lead(world),
        "pair": await pair(world),
    }
    for operation in operations:
        named = {name: id for name, id in variables.items() if f"${name}:" in operation}
        answer = await world.ask(operation, world.viewer(), **named)
        assert "errors" not in answer, operation
        for payload in answer["data"].values():
            assert payload.get("userErrors", []) == [], operation
    assert len(operations) == 8
    assert (await world.row("leads", variables["id"]))["status"] == "CONVERTED"
