"""Rule sets from draft to retired, rules in order, profiles, absences, queues; leads routed by hand and declined."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from tests.schema.cases_leads import lead
from tests.schema.cases_routing import NUMBERS, absence, no_active_ruleset, profile, queue, rule, ruleset, waiting
from tests.schema.world import NOW, World, id_of, uuid_of

WARNED = "warnings { code ruleName }"


async def names(world: World, of: str) -> list[str]:
    sql = "SELECT name, position FROM routing_rules WHERE ruleset_id = $1 ORDER BY position"
    rows = await world.database.fetch(sql, uuid_of(of))
    assert [row["position"] for row in rows] == list(range(1, len(rows) + 1))
    return [row["name"] for row in rows]


async def add(world: World, of: str, name: str, **given: Any) -> str:
    made = await world.do("routingRuleCreate", rulesetId=of, name=name, **{"target": "MATCHING", **given})
    return made.done["id"]  # type: ignore[no-any-return]


async def test_from_draft_to_retired(world: World) -> None:
    await no_active_ruleset(world)
    first = (await world.do("routingRulesetCreate", name="First", show="id status number", rates={"EUR": "1.08"})).done
    assert first["status"] == "DRAFT"
    rule_id = await add(
        world, first["id"], "All", conditions={"field": "region", "op": "isSet"}, distribution="WEIGHTED"
    )
    shown = "status activatedAt"
    assert (await world.do("routingRulesetActivate", show=shown, id=first["id"])).done == {
        "status": "ACTIVE",
        "activatedAt": "2026-11-01T12:00:00+00:00",
    }
    copy = (
        await world.do(
            "routingRulesetCreate",
            name="Second",
            copyOfId=first["id"],
            show="id number rates rules(first: 5) { nodes { name conditions distribution } }",
        )
    ).done
    assert copy["number"] == first["number"] + 1
    assert copy["rates"] == {"EUR": "1.08"}
    assert copy["rules"]["nodes"] == [
        {"name": "All", "conditions": {"field": "region", "op": "isSet"}, "distribution": "WEIGHTED"}
    ]
    assert (await world.do("routingRulesetActivate", id=copy["id"])).code is None
    assert (await world.row("routing_rulesets", first["id"]))["status"] == "RETIRED"
    assert await world.told(first["id"]) == [
        "routingRuleset.created",
        "routingRuleset.activated",
        "routingRuleset.retired",
    ]
    for mutation, given in (
        ("routingRulesetUpdate", {"id": copy["id"], "name": "x"}),
        ("routingRulesetActivate", {"id": first["id"]}),
        ("routingRuleCreate", {"rulesetId": first["id"], "name": "x", "target": "MATCHING"}),
        ("routingRuleUpdate", {"id": rule_id, "name": "x"}),
        ("routingRuleDelete", {"ruleId": rule_id}),
    ):
        answer = await world.do(mutation, **given)
        assert answer.code == "ILLEGAL_TRANSITION"
        assert "Make a draft that is a copy" in answer.rejections[0]["message"]


async def test_of_two_activated_at_once_both_are_and_one_stays(world: World) -> None:
    await ruleset(world, "ACTIVE")
    drafts = [await ruleset(world) for _ in range(4)]
    answers = await asyncio.gather(*(world.do("routingRulesetActivate", id=each) for each in drafts))
    assert {answer.code for answer in answers} <= {None, "CONFLICT"}
    assert await world.database.fetchval("SELECT count(*) FROM routing_rulesets WHERE status = 'ACTIVE'") == 1


async def test_rules_are_added_moved_and_removed_in_order(world: World) -> None:
    of = await ruleset(world)
    ids = {name: await add(world, of, name) for name in "abc"}
    ids["first"] = await add(world, of, "first", position=1)
    assert await names(world, of) == ["first", "a", "b", "c"]
    assert (await world.do("routingRuleUpdate", id=ids["c"], position=2, show="position")).done == {"position": 2}
    assert await names(world, of) == ["first", "c", "a", "b"]
    assert (await world.do("routingRuleUpdate", id=ids["first"], position=99)).code is None
    assert await names(world, of) == ["c", "a", "b", "first"]
    deleted = await world.do("routingRuleDelete", ruleId=ids["a"], show="id version")
    assert deleted.done == {"id": of, "version": 2}
    assert await names(world, of) == ["c", "b", "first"]
    assert (await world.do("routingRuleUpdate", id=ids["b"], position=0)).field == "position"
    assert (await world.do("routingRuleDelete", ruleId=ids["a"])).field == "ruleId"


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"conditions": {"field": "colour", "op": "eq", "value": "x"}}, "conditions.field"),
        ({"conditions": {"all": [{"field": "score", "op": "gte", "value": "x"}]}}, "conditions.all.0.value"),
        ({"conditions": []}, "conditions"),
        (
            {"sellerMatch": {"match": [{"seller": "salary", "op": "eq", "lead": "region"}]}},
            "sellerMatch.match.0.seller",
        ),
        ({"target": "USER"}, "targetUserId"),
        ({"target": "TEAM"}, "targetTeamId"),
        ({"target": "QUEUE"}, "targetQueueId"),
        ({"maxLeadAgeH": 0}, "maxLeadAgeH"),
        ({"position": -1}, "position"),
    ],
)
async def test_what_is_wrong_with_a_rule_is_said_when_it_is_written(
    world: World, given: dict[str, Any], field: str
) -> None:
    of = await ruleset(world)
    before = await world.counts()
    answer = await world.do("routingRuleCreate", rulesetId=of, name="x", **{"target": "MATCHING", **given})
    assert (answer.code, answer.field) == ("BAD_USER_INPUT", field)
    written = await rule(world, of)
    after = await world.counts()
    answer = await world.do("routingRuleUpdate", id=written, **given)
    assert (answer.code, answer.field) == ("BAD_USER_INPUT", field)
    assert before != after == await world.counts()


async def test_a_new_target_drops_the_one_before(world: World) -> None:
    written = await rule(world, target="USER", target_user_id=world.people["SELLER"])
    assert (await world.do("routingRuleUpdate", id=written, targetQueueId=await queue(world))).field == "targetQueueId"
    team = id_of("Team", world.team)
    shown = "target targetUser { id } targetTeam { id }"
    moved = await world.do("routingRuleUpdate", show=shown, id=written, target="TEAM", targetTeamId=team)
    assert moved.done == {"target": "TEAM", "targetUser": None, "targetTeam": {"id": team}}


async def test_a_rule_broken_by_hand_can_not_become_active(world: World) -> None:
    of = await ruleset(world)
    await rule(world, of, conditions='{"field": "score", "op": "gte", "value": "high"}')
    answer = await world.do("routingRulesetActivate", id=of)
    assert answer.code == "BAD_USER_INPUT"
    assert "Rule “All”: conditions.value" in answer.rejections[0]["message"]
    assert (await world.do("routingRulesetUpdate", id=await ruleset(world), rates={"EUR": 0.9})).field == "rates.EUR"


async def test_warnings_come_with_the_answer(world: World) -> None:
    of = await ruleset(world)
    await add(world, of, "All")
    await add(world, of, "Never", conditions={"field": "region", "op": "eq", "value": "North"})
    query = f"mutation($id: ID!) {{ routingRulesetActivate(input: {{id: $id}}) {{ {WARNED} userErrors {{ code }} }} }}"
    answer = await world.ask(query, world.viewer(), id=of)
    assert answer["data"]["routingRulesetActivate"] == {
        "warnings": [{"code": "NO_FALLBACK", "ruleName": None}, {"code": "UNREACHABLE", "ruleName": "Never"}],
        "userErrors": [],
    }


async def test_profiles(world: World) -> None:
    seller = id_of("User", await world.user("SELLER", team_id=world.team))
    hours = {"timezone": "Asia/Shanghai", "mon": ["09:00-18:00"]}
    given = {"userId": seller, "hours": hours, "attributes": {"regions": ["North"]}, "maxOpen": 5}
    made = (await world.do("sellerProfileSet", "MANAGER", "id version weight hours maxOpen", **given)).done
    assert made == {"id": made["id"], "version": 1, "weight": 1, "hours": hours, "maxOpen": 5}
    again = await world.do(
        "sellerProfileSet", show="id version maxOpen", userId=seller, maxOpen=None, expectedVersion=1
    )
    assert again.done == {"id": made["id"], "version": 2, "maxOpen": None}
    assert await world.told(made["id"]) == ["sellerProfile.created", "sellerProfile.updated"]
    stranger = id_of("User", world.people["STRANGER"])
    assert (await world.do("sellerProfileSet", "MANAGER", userId=stranger, weight=2)).code == "FORBIDDEN"
    assert (await world.do("sellerProfileSet", userId=stranger, expectedVersion=1)).code == "VERSION_CONFLICT"
    for field, value in (
        ("weight", 0),
        ("weight", 1001),
        ("maxOpen", -1),
        ("maxPerDay", -1),
        ("hours", {"timezone": "Berlin"}),
        ("hours", {"timezone": "UTC", "mon": ["22:00-06:00"]}),
        ("attributes", []),
    ):
        answer = await world.do("sellerProfileSet", userId=seller, **{field: value})
        assert (answer.code, (answer.field or "").partition(".")[0]) == ("BAD_USER_INPUT", field)


async def test_absences(world: World) -> None:
    times = {"startsAt": "2026-12-24T00:00:00Z", "endsAt": "2027-01-01T00:00:00Z"}
    mine = (await world.do("absenceCreate", "SELLER", "id user { id }", **times)).done
    seller, stranger = (id_of("User", world.people[who]) for who in ("SELLER", "STRANGER"))
    assert mine["user"]["id"] == seller
    assert (await world.do("absenceCreate", "MANAGER", userId=seller, **times)).code is None
    assert (await world.do("absenceCreate", "SELLER", userId=stranger, **times)).code == "FORBIDDEN"
    assert (await world.do("absenceCreate", "MANAGER", userId=stranger, **times)).code == "FORBIDDEN"
    assert (await world.do("absenceCreate", startsAt=times["endsAt"], endsAt=times["startsAt"])).field == "endsAt"
    assert (await world.do("absenceCancel", "STRANGER", id=mine["id"])).code == "NOT_FOUND"
    assert (await world.do("absenceCancel", "SELLER", "cancelledAt", id=mine["id"])).done["cancelledAt"]
    assert (await world.do("absenceCancel", "SELLER", id=mine["id"])).code == "ILLEGAL_TRANSITION"


async def test_queues(world: World) -> None:
    name = f"Queue {next(NUMBERS)}"
    owner = id_of("User", world.people["STRANGER"])
    made = (await world.do("leadQueueCreate", "MARKETER", "id deadlineMin owner { id }", name=name, ownerId=owner)).done
    assert made == {"id": made["id"], "deadlineMin": 240, "owner": {"id": owner}}
    assert (await world.do("leadQueueCreate", name=name.upper())).code == "CONFLICT"
    assert (await world.do("leadQueueUpdate", id=made["id"], deadlineMin=0)).field == "deadlineMin"
    idle = id_of("User", await world.user("SELLER", active=False))
    assert (await world.do("leadQueueUpdate", id=made["id"], ownerId=idle)).field == "ownerId"
    assert (await world.do("leadQueueUpdate", "MARKETER", "owner { id }", id=made["id"], ownerId=None)).done == {
        "owner": None
    }


async def test_routing_by_hand(world: World) -> None:
    shown = "owner { id } queue { id } routing { reason actor { id } }"
    done = (await world.do("leadRoute", "MARKETER", shown, id=await waiting(world, "MARKETER"))).done
    seller, marketer = (id_of("User", world.people[who]) for who in ("SELLER", "MARKETER"))
    assert done == {"owner": {"id": seller}, "queue": None, "routing": {"reason": "MATCHED", "actor": {"id": marketer}}}
    owned = await lead(world, "STRANGER")
    before = await world.counts()
    assert (await world.do("leadRoute", id=owned)).code is None
    assert await world.counts() == before
    assert (
        await world.do("leadRoute", id=await lead(world, None, status="LOST", lost_reason="x"))
    ).code == "ILLEGAL_TRANSITION"
    await no_active_ruleset(world)
    answer = await world.do("leadRoute", id=await lead(world, None))
    assert (answer.code, answer.field) == ("CONFLICT", "id")


async def test_declining(world: World) -> None:
    active = await ruleset(world, "ACTIVE", accept_within_min=30)
    await rule(world, active, target="USER", target_user_id=world.people["STRANGER"])
    mine = await lead(world, "SELLER", accept_by=NOW + timedelta(hours=1))
    assert (await world.do("leadDecline", "MANAGER", id=mine)).code == "FORBIDDEN"
    answer = await world.do("leadDecline", "SELLER", id=mine)
    assert (answer.code, answer.record) == (None, None)  # it is not the seller's any more
    row = await world.row("leads", mine)
    assert (row["owner_id"], row["accept_by"]) == (world.people["STRANGER"], NOW + timedelta(minutes=30))
    accepted = await lead(world, "SELLER", accepted_at=NOW)
    assert (await world.do("leadDecline", "SELLER", id=accepted)).code == "ILLEGAL_TRANSITION"


async def test_a_team_and_those_below_it(world: World) -> None:
    """A rule for a team reaches the teams below it."""
    below = await world.insert("teams", name="Below", parent_id=world.team)
    inside = await world.user("SELLER", team_id=below)
    await world.database.execute("UPDATE users SET active = false WHERE team_id = $1", world.team)
    try:
        active = await ruleset(world, "ACTIVE")
        await rule(world, active, target="TEAM", target_team_id=world.team)
        done = (await world.do("leadRoute", show="owner { id }", id=await lead(world, None))).done
        assert done["owner"]["id"] == id_of("User", inside)
    finally:
        await world.database.execute("UPDATE users SET active = true")


async def test_a_cancelled_absence_counts_no_more(world: World) -> None:
    seller = await profile(world)
    active = await ruleset(world, "ACTIVE")
    await rule(world, active, target="USER", target_user_id=seller)
    away = await absence(world)
    sql = "UPDATE absences SET user_id = $1, starts_at = $3 WHERE id = $2"
    await world.database.execute(sql, seller, uuid_of(away), NOW)
    one = await lead(world, None)
    assert (await world.do("leadRoute", show="routing { reason }", id=one)).done["routing"][
        "reason"
    ] == "NO_AVAILABILITY"
    await world.do("absenceCancel", id=away)
    assert (await world.do("leadRoute", show="owner { id }", id=one)).done["owner"]["id"] == id_of("User", seller)
