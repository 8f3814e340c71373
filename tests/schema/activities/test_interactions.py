"""Interactions: who, when, with whom, about what."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

from tests.schema.world import NOW, World, id_of, uuid_of


async def test_log_and_update(world: World) -> None:
    customer = await world.customer()
    given = {"customerId": customer, "kind": "MEETING", "subject": "Lunch", "body": "Soup"}
    show = "id kind author { id } occurredAt customer { lastActivityAt }"
    made = (await world.do("interactionLog", "SELLER", show, **given)).done
    assert made["author"] == {"id": id_of("User", world.people["SELLER"])}
    assert made["occurredAt"].startswith(NOW.isoformat()[:19])
    assert made["customer"]["lastActivityAt"] == made["occurredAt"]
    changed = await world.do("interactionUpdate", "SELLER", "kind body", id=made["id"], kind="NOTE", body=None)
    assert changed.done == {"kind": "NOTE", "body": None}
    assert await world.told(made["id"]) == ["interaction.logged", "interaction.updated"]


async def test_another_customers_contact_or_opportunity_is_refused(world: World) -> None:
    customer = await world.customer()
    mine = await world.interaction(customer)
    for name, other in (("contactId", await world.contact()), ("opportunityId", await world.opportunity())):
        for mutation, base in (
            ("interactionLog", {"customerId": customer, "kind": "CALL", "subject": "Hello"}),
            ("interactionUpdate", {"id": mine}),
        ):
            answer = await world.do(mutation, **base, **{name: other})
            assert (answer.code, answer.field) == ("BAD_USER_INPUT", name)
            assert "another customer" in answer.rejections[0]["message"]


async def test_an_opportunity_of_nobody_becomes_the_customers(world: World) -> None:
    opportunity, customer = await world.opportunity(customer_id=None), await world.customer()
    given = {"kind": "CALL", "subject": "Hello", "opportunityId": opportunity}
    shown = "opportunity { customer { id } }"
    made = (await world.do("interactionLog", "SUPPORT", shown, customerId=customer, **given)).done
    assert made == {"opportunity": {"customer": {"id": customer}}}
    assert await world.told(opportunity) == ["opportunity.updated"]
    for mutation, base in (
        ("interactionLog", {**given, "customerId": await world.customer()}),
        ("interactionUpdate", {"id": await world.interaction(), "opportunityId": opportunity}),
    ):
        answer = await world.do(mutation, **base)
        assert (answer.code, answer.field) == ("BAD_USER_INPUT", "opportunityId")
    answer = await world.do("opportunityUpdate", id=opportunity, customerId=None)
    assert (answer.code, answer.field) == ("CONFLICT", "customerId")
    assert "make another opportunity" in answer.rejections[0]["message"]


async def test_only_some_may_log_for_others(world: World) -> None:
    given = {"customerId": await world.customer(), "kind": "CALL", "subject": "Hello"}
    author = id_of("User", world.people["STRANGER"])
    assert (await world.do("interactionLog", "SELLER", **given, authorId=author)).code == "FORBIDDEN"
    made = await world.do("interactionLog", "INTEGRATION", "author { id }", **given, authorId=author)
    assert made.done == {"author": {"id": author}}


async def test_the_ends_of_time(world: World) -> None:
    given = {"customerId": await world.customer(), "kind": "CALL", "subject": "Hello"}
    for moment in ("1000-01-01T00:00:00Z", "2200-12-31T23:59:59.999999Z"):
        answer = await world.do("interactionLog", show="occurredAt", **given, occurredAt=moment)
        assert answer.done["occurredAt"][:19] == moment[:19]
    for moment in ("0001-01-01T00:00:00Z", "2201-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z"):
        assert (await world.do("interactionLog", **given, occurredAt=moment)).field == "occurredAt"
    for moment in ("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2026-01-01", "10000-01-01T00:00:00Z"):
        assert (await world.do("interactionLog", **given, occurredAt=moment)).code == "BAD_USER_INPUT"


DAY = timedelta(days=1)
CONTACTED = {
    "name": "Contacted",
    "field": "interactionsLast30Days",
    "operator": "GTE",
    "value": {"value": 1},
    "points": 5,
}


async def standing(world: World, deal: str) -> dict[str, Any]:
    row = await world.row("opportunities", deal)
    names = ("score", "last_activity_at", "stale_since", "stale_at")
    factors = {each["factor"] for each in json.loads(row["risk_factors"])}
    return {**{name: row[name] for name in names}, "stale": bool(factors & {"STALE", "STAGNANT"})}


async def test_moved_to_another_deal_it_counts_there_and_no_more_here(world: World) -> None:
    await world.do("scoreRuleCreate", **CONTACTED)
    customer, since = await world.customer(), NOW - 10 * DAY
    silent: dict[str, Any] = {
        "stage_since": since,
        "stale_level": 1,
        "stale_since": since + 2 * DAY,
        "stale_known": True,
    }
    wrong = await world.opportunity(customer=customer, stage_since=since)
    right = await world.opportunity(customer=customer, **silent)
    logged = {"customerId": customer, "opportunityId": wrong, "kind": "CALL", "subject": "Hello"}
    occurred = NOW - DAY
    id = (await world.do("interactionLog", occurredAt=occurred.isoformat(), **logged)).done["id"]
    counted = {
        "score": 5,
        "last_activity_at": occurred,
        "stale_since": None,
        "stale_at": occurred + 2 * DAY,
        "stale": False,
    }
    assert await standing(world, wrong) == counted
    assert (await world.do("interactionUpdate", id=id, opportunityId=right)).code is None
    assert await standing(world, right) == counted
    left = await standing(world, wrong)
    assert (left["score"], left["last_activity_at"], left["stale_at"]) == (0, None, since + 2 * DAY)
    assert (await world.told(right), await world.told(wrong)) == (["opportunity.revived"], [])
    assert (await world.do("interactionUpdate", id=id, opportunityId=None)).code is None
    assert (await standing(world, right))["last_activity_at"] is None


async def test_at_another_time_it_counts_then(world: World) -> None:
    await world.do("scoreRuleCreate", **CONTACTED)
    customer = await world.customer()
    deal = await world.opportunity(customer=customer, stage_since=NOW - 90 * DAY)
    logged = {"customerId": customer, "opportunityId": deal, "kind": "CALL", "subject": "Hello"}
    await world.do("interactionLog", occurredAt=(NOW - 50 * DAY).isoformat(), **logged)
    id = (await world.do("interactionLog", **logged)).done["id"]
    for days, score in ((40, 0), (60, 0), (3, 5)):
        moved = await world.do("interactionUpdate", id=id, occurredAt=(NOW - days * DAY).isoformat())
        assert moved.code is None
        found = await standing(world, deal)
        assert (found["score"], found["last_activity_at"]) == (score, NOW - min(days, 50) * DAY)
    version = (await world.row("opportunities", deal))["version"]
    assert (await world.do("interactionUpdate", id=id, occurredAt="2030-01-01T00:00:00Z")).code is None
    assert (await standing(world, deal))["last_activity_at"] == NOW
    assert (await world.row("opportunities", deal))["version"] == version


async def test_another_text_leaves_the_deal_alone(world: World) -> None:
    customer = await world.customer()
    deal = await world.opportunity(customer=customer)
    logged = {"customerId": customer, "opportunityId": deal, "kind": "CALL", "subject": "Hello"}
    id = (await world.do("interactionLog", **logged)).done["id"]
    await world.database.execute("UPDATE opportunities SET score = 77 WHERE id = $1", uuid_of(deal))
    assert (await world.do("interactionUpdate", id=id, subject="Hi", opportunityId=deal)).code is None
    assert (await world.row("opportunities", deal))["score"] == 77
