"""Pipelines: one default, ordered stages, WON and LOST for good, where opportunities go, calendars and score rules."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from crmgql.domain.opportunities import standings
from tests.schema.cases_pipelines import action, calendar, pipeline, score_rule, stages_of
from tests.schema.world import World, id_of, uuid_of

STAGES = "name default stages { nodes { name status position } }"


async def names(world: World, home: str) -> list[str]:
    sql = "SELECT name FROM stages WHERE pipeline_id = $1 ORDER BY position"
    return [row["name"] for row in await world.database.fetch(sql, uuid_of(home))]


async def in_stage(world: World, stage: str, **values: Any) -> str:
    deal = await world.opportunity(**values)
    sql = "UPDATE opportunities SET stage_id = $1, stale_known = true WHERE id = $2"
    await world.database.execute(sql, uuid_of(stage), uuid_of(deal))
    return deal


async def marked(world: World, deal: str) -> bool:
    return not (await world.row("opportunities", deal))["stale_known"]


async def test_a_pipeline_has_its_ends(world: World) -> None:
    stages = [{"name": "Talk", "probability": 10, "staleAfterH": 24, "escalateAfterH": 12}, {"name": "Offer"}]
    made = (await world.do("pipelineCreate", show=STAGES, name="Renewals", stages=stages)).done
    assert [(each["name"], each["status"], each["position"]) for each in made["stages"]["nodes"]] == [
        ("Talk", "OPEN", 1),
        ("Offer", "OPEN", 2),
        ("Won", "WON", 3),
        ("Lost", "LOST", 4),
    ]
    answer = await world.do("pipelineCreate", name="Renewals", stages=stages)
    assert (answer.code, answer.field) == ("CONFLICT", "name")


@pytest.mark.parametrize(
    ("stages", "field"),
    [
        ([], "stages"),
        ([{"name": "S"}] * 51, "stages"),
        ([{"name": "Same"}, {"name": "same"}], "stages.1.name"),
        ([{"name": "S"}, {"name": "WON"}], "stages.1.name"),
        ([{"name": " "}], "stages.0.name"),
        ([{"name": "S", "probability": 101}], "stages.0.probability"),
        ([{"name": "S", "staleAfterH": 0}], "stages.0.staleAfterH"),
        ([{"name": "S", "staleAfterH": 8761}], "stages.0.staleAfterH"),
        ([{"name": "S", "escalateAfterH": 5}], "stages.0.escalateAfterH"),
    ],
)
async def test_stages_that_can_not_be(world: World, stages: list[dict[str, Any]], field: str) -> None:
    before = await world.counts()
    answer = await world.do("pipelineCreate", name="Wrong", stages=stages)
    assert answer.code in ("BAD_USER_INPUT", "CONFLICT")
    assert answer.field == field
    assert await world.counts() == before


async def test_exactly_one_is_the_default(world: World) -> None:
    one = (await world.do("pipelineCreate", name="One", stages=[{"name": "S"}], default=True)).done["id"]
    two = await pipeline(world)
    default = "SELECT array_agg(id) FROM pipelines WHERE is_default"
    assert await world.database.fetchval(default) == [uuid_of(one)]
    assert (await world.do("pipelineUpdate", show="default", id=two, default=True)).done == {"default": True}
    assert await world.database.fetchval(default) == [uuid_of(two)]
    made = await world.do("opportunityCreate", show="pipeline { id } stage { name }", name="Deal")
    assert made.done == {"pipeline": {"id": two}, "stage": {"name": "First"}}
    answer = await world.do("pipelineUpdate", id=two, default=False)
    assert (answer.code, answer.field) == ("CONFLICT", "default")
    sales = await world.database.fetchval("SELECT id FROM pipelines WHERE name = 'Sales'")
    assert (await world.do("pipelineUpdate", id=id_of("Pipeline", sales), default=True)).code is None


async def test_a_stage_comes_where_it_is_wanted(world: World) -> None:
    home = await pipeline(world)
    first, second, won, _ = await stages_of(world, home)
    await world.do("stageCreate", pipelineId=home, name="Between", afterId=first)
    await world.do("stageCreate", pipelineId=home, name="Last")
    assert await names(world, home) == ["First", "Between", "Second", "Last", "Won", "Lost"]
    for other in (won, (await stages_of(world, await pipeline(world)))[0]):
        answer = await world.do("stageCreate", pipelineId=home, name="Nowhere", afterId=other)
        assert (answer.code, answer.field) == ("BAD_USER_INPUT", "afterId")
    assert (await world.do("stageCreate", pipelineId=home, name="SECOND")).field == "name"
    _, between, _, last, *_ = await stages_of(world, home)
    order = [{"stageId": each} for each in (last, second, between, first)]
    assert (await world.do("stageReorder", id=home, stages=order)).code is None
    assert await names(world, home) == ["Last", "Second", "Between", "First", "Won", "Lost"]
    for wrong in (order[1:], [*order, order[0]], [*order[1:], {"stageId": won}]):
        answer = await world.do("stageReorder", id=home, stages=wrong)
        assert (answer.code, answer.field) == ("BAD_USER_INPUT", "stages")


async def test_what_was_archived_is_left_alone(world: World) -> None:
    home = await pipeline(world)
    first, second, won, lost = await stages_of(world, home)
    for end in (won, lost):
        assert (await world.do("stageArchive", id=end)).code == "ILLEGAL_TRANSITION"
    deal = await in_stage(world, first)
    answer = await world.do("stageArchive", id=first)
    assert (answer.code, answer.field) == ("CONFLICT", "stageId")
    for wrong in (first, won, await world.stage("PROSPECTING")):
        assert (await world.do("stageArchive", id=first, stageId=wrong)).field == "stageId"
    assert (await world.do("stageArchive", id=first, stageId=second)).code is None
    row = await world.row("opportunities", deal)
    assert (row["stage_id"], row["version"], row["stale_known"]) == (uuid_of(second), 2, False)
    assert await world.told(deal) == ["opportunity.moved"]
    passed = await world.database.fetchrow(
        "SELECT from_stage_id, to_stage_id FROM stage_transitions WHERE opportunity_id = $1", uuid_of(deal)
    )
    assert tuple(passed) == (uuid_of(first), uuid_of(second))
    assert await names(world, home) == ["Second", "First", "Won", "Lost"]
    assert (await world.do("stageArchive", id=first)).code == "ILLEGAL_TRANSITION"
    assert (await world.do("stageArchive", id=second)).code == "CONFLICT"
    for mutation, given in (("opportunityMove", {"id": deal}), ("opportunityCreate", {"name": "Deal"})):
        assert (await world.do(mutation, stageId=first, **given)).code == "ILLEGAL_TRANSITION"
    assert (await world.do("keyActionCreate", stageId=first, name="Call")).code == "ILLEGAL_TRANSITION"


async def test_closed_opportunities_do_not_keep_a_stage(world: World) -> None:
    first, second, *_ = await stages_of(world, await pipeline(world))
    deal = await in_stage(world, second)
    assert (await world.do("opportunityWin", id=deal)).code is None
    assert (await world.do("stageArchive", id=second)).code is None
    assert (await world.do("opportunityReopen", show="stage { id }", id=deal)).done == {"stage": {"id": first}}


async def test_other_patience_is_worked_out_by_the_sweep(world: World) -> None:
    home = await pipeline(world)
    first, second, *_ = await stages_of(world, home)
    days = await calendar(world)
    here, there = await in_stage(world, first), await in_stage(world, second)
    assert (await world.do("stageUpdate", id=first, name="Renamed")).code is None
    assert not await marked(world, here)
    assert (await world.do("stageUpdate", id=first, staleAfterH=5, escalateAfterH=5)).code is None
    assert await marked(world, here)
    assert not await marked(world, there)
    assert (await world.do("stageUpdate", id=second, probability=33)).code is None
    assert await marked(world, there)
    await world.database.execute("UPDATE opportunities SET stale_known = true")
    assert (await world.do("stageCreate", pipelineId=home, name="Last")).code is None
    assert not await marked(world, there)
    assert (await world.do("stageCreate", pipelineId=home, name="Between", afterId=first)).code is None
    assert (await marked(world, there), await marked(world, here)) == (True, False)
    await world.database.execute("UPDATE opportunities SET stale_known = true")
    assert (await world.do("stageUpdate", id=first, staleAfterH=None)).field == "escalateAfterH"
    assert (await world.do("pipelineUpdate", id=home, calendarId=days)).code is None
    assert await marked(world, there)
    await world.database.execute("UPDATE opportunities SET stale_known = true")
    assert (await world.do("businessCalendarUpdate", id=days, name="Renamed days")).code is None
    assert not await marked(world, here)
    assert (await world.do("businessCalendarUpdate", id=days, holidays=["2026-12-25"])).code is None
    assert await marked(world, here)


async def test_of_very_many_a_job_works_out_all(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standings, "MARKED_AT_ONCE", 2)
    jobs = "SELECT count(*) FROM jobs WHERE kind = 'opportunities.score'"
    first, *_ = await stages_of(world, await pipeline(world))
    for expected in (0, 1):
        before = await world.database.fetchval(jobs)
        for _ in range(1 + expected):
            await in_stage(world, first)
        assert (await world.do("stageUpdate", id=first, staleAfterH=5 + expected)).code is None
        assert await world.database.fetchval(jobs) == before + expected


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"timezone": "Mars/Olympus"}, "timezone"),
        ({"timezone": ""}, "timezone"),
        ({"workingDays": []}, "workingDays"),
        ({"workingDays": [0]}, "workingDays"),
        ({"workingDays": [1, 8]}, "workingDays"),
        ({"holidays": ["9999-12-31"]}, "holidays"),
        ({"holidays": ["2026-12-25"] * 1001}, "holidays"),
    ],
)
async def test_days_that_can_not_be(world: World, given: dict[str, Any], field: str) -> None:
    for mutation, base in (
        ("businessCalendarCreate", {"name": "Wrong days"}),
        ("businessCalendarUpdate", {"id": await calendar(world)}),
    ):
        answer = await world.do(mutation, **base, **given)
        assert (answer.code, answer.field) == ("BAD_USER_INPUT", field)


async def test_key_actions_come_one_after_the_other(world: World) -> None:
    first, _, won, _ = await stages_of(world, await pipeline(world))
    made = [
        (await world.do("keyActionCreate", show="position required", stageId=first, name=name)).done
        for name in ("Call", "SessionCall")
    ]
    assert made == [{"position": 1, "required": True}, {"position": 2, "required": True}]
    assert (await world.do("keyActionCreate", stageId=won, name="Call")).code == "ILLEGAL_TRANSITION"
    gone = await action(world, (await stages_of(world, await pipeline(world)))[0])
    assert (await world.do("keyActionArchive", id=gone)).code is None
    assert (await world.do("keyActionArchive", id=gone)).code == "ILLEGAL_TRANSITION"


@pytest.mark.parametrize(
    ("rule", "field"),
    [
        ({"field": "shoeSize"}, "field"),
        ({"field": "hasContact", "operator": "GTE", "value": {"value": 1}}, "operator"),
        ({"field": "amount", "operator": "GTE", "value": {"value": "1000"}}, "value"),
        ({"field": "amount", "operator": "GTE", "value": {"value": "lots", "currency": "EUR"}}, "value"),
        ({"field": "probability", "operator": "GTE", "value": {"value": True}}, "value"),
        ({"field": "probability", "operator": "GTE", "value": {}}, "value"),
        ({"field": "customer.industry", "operator": "EQ", "value": {"value": 5}}, "value"),
        ({"field": "customer.industry", "operator": "IN", "value": {"values": []}}, "value"),
        ({"field": "customer.industry", "operator": "IS_SET", "value": {"value": "x"}}, "value"),
        ({"points": 101}, "points"),
    ],
)
async def test_a_rule_that_makes_no_sense_is_refused(world: World, rule: dict[str, Any], field: str) -> None:
    fine = {"field": "hasContact", "operator": "IS_SET", "points": 5}
    answer = await world.do("scoreRuleCreate", name="Rule", **{**fine, **rule})
    assert (answer.code, answer.field) == ("BAD_USER_INPUT", field)
    answer = await world.do("scoreRuleUpdate", id=await score_rule(world), **rule)
    assert (answer.code, answer.field) == ("BAD_USER_INPUT", field)


@pytest.mark.parametrize("name", ["field", "operator", "points"])
async def test_what_a_rule_needs_is_not_taken_from_it(world: World, name: str) -> None:
    answer = await world.do("scoreRuleUpdate", id=await score_rule(world), **{name: None})
    assert (answer.code, answer.field) == ("BAD_USER_INPUT", name)


async def test_each_state_of_the_rules_gets_one_job(world: World) -> None:
    jobs = "SELECT count(*) FROM jobs WHERE kind = 'opportunities.score'"
    rule = await score_rule(world)
    before = await world.database.fetchval(jobs)
    assert (await world.do("scoreRuleUpdate", id=rule, points=5)).code is None
    assert await world.database.fetchval(jobs) == before
    assert (await world.do("scoreRuleUpdate", id=rule, points=6)).code is None
    assert await world.database.fetchval(jobs) == before + 1


async def test_a_new_opportunity_is_scored_at_once(world: World) -> None:
    await world.database.execute("UPDATE score_rules SET active = false")
    for name, rule in (
        ("Software", {"field": "customer.industry", "operator": "EQ", "value": {"value": "software"}, "points": 30}),
        ("Large", {"field": "amount", "operator": "GTE", "value": {"value": "1000", "currency": "EUR"}, "points": 90}),
    ):
        assert (await world.do("scoreRuleCreate", name=name, **rule)).code is None
    customer = await world.customer(industry="Software")
    given = {"name": "Deal", "customerId": customer, "amount": {"amount": "5.00", "currency": "EUR"}}
    made = (await world.do("opportunityCreate", show="id score scoreFactors", **given)).done
    factor = {"rule": "Software", "points": 30, "because": "customer.industry is Software"}
    assert (made["score"], made["scoreFactors"]) == (30, [factor])
    raised = {"id": made["id"], "amount": {"amount": "1000.00", "currency": "EUR"}}
    assert (await world.do("opportunityUpdate", show="score version", **raised)).done == {"score": 100, "version": 2}
    assert "score" not in json.dumps(await world.changes(made["id"]))


async def test_nothing_lands_in_a_stage_while_it_is_archived(world: World) -> None:
    for _ in range(6):
        home = await pipeline(world, "One", "Two", "Three")
        one, two, three, *_ = await stages_of(world, home)
        deals = [await in_stage(world, one) for _ in range(4)]
        moves = [world.do("opportunityMove", id=deal, stageId=two) for deal in deals]
        made = world.do("opportunityCreate", name="Deal", stageId=two)
        answers = await asyncio.gather(*moves[:2], world.do("stageArchive", id=two, stageId=three), *moves[2:], made)
        assert answers[2].code is None
        assert {answer.code for answer in answers} <= {None, "ILLEGAL_TRANSITION"}
        left = "SELECT count(*) FROM opportunities WHERE stage_id = $1"
        assert await world.database.fetchval(left, uuid_of(two)) == 0


async def test_moves_at_the_same_time_make_one_history(world: World) -> None:
    stages = (await stages_of(world, await pipeline(world, "One", "Two", "Three", "Four")))[:4]
    deal = (await world.do("opportunityCreate", name="Deal", stageId=stages[0])).done["id"]
    moves = [world.do("opportunityMove", id=deal, stageId=stages[n % 4]) for n in range(1, 13)]
    assert {answer.code for answer in await asyncio.gather(*moves)} == {None}
    passed = await world.database.fetch(
        "SELECT from_stage_id, to_stage_id FROM stage_transitions WHERE opportunity_id = $1", uuid_of(deal)
    )
    now = (await world.row("opportunities", deal))["stage_id"]
    balance = dict.fromkeys(map(uuid_of, stages), 0)
    for row in passed:
        balance[row["to_stage_id"]] += 1
        if row["from_stage_id"] is not None:
            balance[row["from_stage_id"]] -= 1
    assert balance == {id: int(id == now) for id in balance}
    assert len(await world.told(deal)) == len(passed)


async def test_one_of_several_new_stages_at_a_time(world: World) -> None:
    home = await pipeline(world)
    made = [world.do("stageCreate", pipelineId=home, name=f"Stage {n}") for n in range(5)]
    assert {answer.code for answer in await asyncio.gather(*made)} == {None}
    found = await names(world, home)
    assert (found[:2], sorted(found[2:7]), found[7:]) == (
        ["First", "Second"],
        [f"Stage {n}" for n in range(5)],
        ["Won", "Lost"],
    )
