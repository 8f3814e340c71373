"""Opportunities: open stages, winning, losing, reopening, references."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.schema.cases_pipelines import action, pipeline, stages_of
from tests.schema.world import NOW, World, id_of, money, uuid_of

OPEN = ("PROSPECTING", "ENGAGING", "PROPOSAL", "NEGOTIATION")
TODAY = NOW.date().isoformat()


async def test_create(world: World) -> None:
    customer = await world.customer(currency="JPY")
    show = "id stage { name } status currency amount { amount currency } owner { id } expectedClose"
    given = {"name": "Deal", "customerId": customer, "expectedClose": "2027-01-31"}
    made = (await world.do("opportunityCreate", "SELLER", show, **given)).done
    owner = {"id": id_of("User", world.people["SELLER"])}
    rest = {
        "stage": {"name": "Prospecting"},
        "status": "OPEN",
        "currency": "JPY",
        "amount": None,
        "owner": owner,
        "expectedClose": "2027-01-31",
    }
    assert made == {"id": made["id"], **rest}
    changed = await world.do(
        "opportunityUpdate", show="amount { amount currency }", id=made["id"], amount=money("5.00")
    )
    assert changed.done == {"amount": money("5.00")}
    assert await world.told(made["id"]) == ["opportunity.created", "opportunity.updated"]


@pytest.mark.parametrize("before", [*OPEN, "WON", "LOST"])
async def test_each_transition(world: World, before: str) -> None:
    closed = before in ("WON", "LOST")
    tries: list[tuple[str, dict[str, Any], bool, str]] = [
        ("opportunityWin", {}, not closed, "WON"),
        ("opportunityLose", {"reason": "Too dear"}, not closed, "LOST"),
        ("opportunityReopen", {}, closed, "NEGOTIATION"),
        ("opportunityReopen", {"stage": "PROPOSAL"}, closed, "PROPOSAL"),
        *(("opportunityMove", {"stage": stage}, not closed, stage) for stage in OPEN),
        *(("opportunityMove", {"stage": stage}, False, stage) for stage in ("WON", "LOST")),
        *(("opportunityReopen", {"stage": stage}, False, stage) for stage in ("WON", "LOST")),
    ]
    for verb, given, legal, after in tries:
        opportunity = await world.opportunity(before)
        if "stage" in given:
            given = {"stageId": await world.stage(given["stage"])}
        answer = await world.do(verb, show="stage { name } status closedOn lostReason", id=opportunity, **given)
        if legal:
            reason = given.get("reason")
            closed_on = TODAY if after in ("WON", "LOST") else None
            status = after if after in ("WON", "LOST") else "OPEN"
            shown = {"stage": {"name": after.capitalize()}, "status": status}
            assert answer.done == {**shown, "closedOn": closed_on, "lostReason": reason}
        else:
            assert answer.code == "ILLEGAL_TRANSITION", (verb, given, answer)
            assert await world.told(opportunity) == []


async def test_leaving_the_first_stage_is_the_start_of_the_engagement(world: World) -> None:
    opportunity, stage = await world.opportunity(), await world.stage("PROPOSAL")
    moved = await world.do("opportunityMove", show="engagedOn", id=opportunity, stageId=stage)
    assert moved.done["engagedOn"] == TODAY
    assert (await world.do("opportunityMove", id=opportunity, stageId=stage)).code is None
    assert await world.told(opportunity) == ["opportunity.moved"]


async def test_created_closed_is_refused(world: World) -> None:
    for stage in ("WON", "LOST"):
        answer = await world.do("opportunityCreate", name="Deal", stageId=await world.stage(stage))
        assert (answer.code, answer.field) == ("ILLEGAL_TRANSITION", "stageId")


async def test_a_closed_one_keeps_its_figures(world: World) -> None:
    opportunity = await world.opportunity("WON")
    for given in ({"amount": money("1.00")}, {"probability": 5}, {"expectedClose": "2027-01-01"}, {"productId": None}):
        assert (await world.do("opportunityUpdate", id=opportunity, **given)).code == "ILLEGAL_TRANSITION"
    manager = id_of("User", world.people["MANAGER"])
    assert (await world.do("opportunityUpdate", id=opportunity, name="Big deal", ownerId=manager)).code is None


@pytest.mark.parametrize(
    ("given", "code", "field"),
    [
        ({"amount": money("-1")}, "BAD_USER_INPUT", "amount"),
        ({"amount": money("0.5", "JPY")}, "BAD_USER_INPUT", "amount"),
        ({"amount": money("1E20")}, "BAD_USER_INPUT", "amount"),
        ({"probability": 101}, "BAD_USER_INPUT", "probability"),
        ({"probability": -1}, "BAD_USER_INPUT", "probability"),
        ({"name": "x" * 201}, "BAD_USER_INPUT", "name"),
        ({"expectedClose": "9999-12-31"}, "BAD_USER_INPUT", "expectedClose"),
        ({"engagedOn": "0001-01-01"}, "BAD_USER_INPUT", "engagedOn"),
    ],
)
async def test_values_that_do_not_fit(world: World, given: dict[str, Any], code: str, field: str) -> None:
    for mutation, base in (
        ("opportunityCreate", {"name": "Deal"}),
        ("opportunityUpdate", {"id": await world.opportunity()}),
    ):
        answer = await world.do(mutation, **{**base, **given})
        assert (answer.code, answer.field) == (code, field)


async def test_a_loss_needs_its_reason(world: World) -> None:
    opportunity = await world.opportunity()
    for reason in ("", "  ", "x" * 301):
        assert (await world.do("opportunityLose", id=opportunity, reason=reason)).field == "reason"


async def test_the_customer_comes_once_and_brings_the_contacts(world: World) -> None:
    customer = await world.customer()
    contact, other = await world.contact(customer), await world.contact()
    opportunity = await world.opportunity(customer_id=None)
    assert (await world.do("opportunityUpdate", id=opportunity, contactId=contact)).field == "contactId"
    assert (await world.do("opportunityWin", id=opportunity)).code == "ILLEGAL_TRANSITION"
    answer = await world.do("opportunityUpdate", id=opportunity, customerId=customer, contactId=other)
    assert (answer.code, answer.field) == ("BAD_USER_INPUT", "contactId")
    assert (await world.do("opportunityUpdate", id=opportunity, customerId=customer, contactId=contact)).code is None
    for elsewhere in (await world.customer(), None):
        answer = await world.do("opportunityUpdate", id=opportunity, customerId=elsewhere)
        assert (answer.code, answer.field) == ("CONFLICT", "customerId")
    answer = await world.do("opportunityCreate", name="Deal", customerId=customer, contactId=other)
    assert (answer.code, answer.field) == ("BAD_USER_INPUT", "contactId")


async def test_owners(world: World) -> None:
    stranger = id_of("User", world.people["STRANGER"])
    for role in ("SELLER", "MANAGER"):
        answer = await world.do("opportunityCreate", role, name="Deal", ownerId=stranger)
        assert answer.code == "FORBIDDEN"
    assert (await world.do("opportunityCreate", name="Deal", ownerId=stranger)).code is None
    hidden = await world.opportunity(customer=await world.customer("STRANGER"))
    assert (await world.do("opportunityUpdate", "SELLER", id=hidden, name="x")).code == "NOT_FOUND"


async def test_the_owner_changes_a_deal_whose_customer_is_hidden(world: World) -> None:
    customer = await world.customer("STRANGER")
    contact = await world.contact(customer)
    deal = await world.opportunity(customer=customer, owner_id=world.people["SELLER"], contact_id=uuid_of(contact))
    answer = await world.do("opportunityUpdate", "SELLER", "name", id=deal, name="Mine", contactId=contact)
    assert answer.done == {"name": "Mine"}
    elsewhere = await world.contact(customer)
    assert (await world.do("opportunityUpdate", "SELLER", id=deal, contactId=elsewhere)).code == "NOT_FOUND"


async def test_each_move_is_on_record(world: World) -> None:
    given = {"name": "Deal", "customerId": await world.customer(), "amount": money("10.00")}
    deal = (await world.do("opportunityCreate", expectedClose="2026-12-01", **given)).done["id"]
    earlier = "UPDATE opportunities SET stage_since = stage_since - interval '1 hour' WHERE id = $1"
    await world.database.execute(earlier, uuid_of(deal))
    changed = {"amount": money("8.00"), "expectedClose": "2027-01-01"}
    assert (await world.do("opportunityUpdate", id=deal, **changed)).code is None
    for mutation, more in (
        ("opportunityMove", {"stageId": await world.stage("PROPOSAL")}),
        ("opportunityWin", {}),
        ("opportunityReopen", {}),
        ("opportunityLose", {"reason": "Too dear"}),
    ):
        assert (await world.do(mutation, id=deal, **more)).code is None
        await world.database.execute("SELECT pg_sleep(0.002)")
    sql = """SELECT f.name, t.name, seconds_in_stage, amount_before::text, amount_after::text, currency,
        expected_close_before::text, expected_close_after::text, actor_id
        FROM stage_transitions m LEFT JOIN stages f ON f.id = from_stage_id JOIN stages t ON t.id = to_stage_id
        WHERE opportunity_id = $1 ORDER BY m.id"""
    admin, figures = world.people["ADMIN"], ("8.00", "8.00", "EUR", "2027-01-01", "2027-01-01")
    assert [tuple(row) for row in await world.database.fetch(sql, uuid_of(deal))] == [
        (None, "Prospecting", None, None, "10.00", "EUR", None, "2026-12-01", admin),
        ("Prospecting", "Proposal", 3600, "10.00", "8.00", "EUR", "2026-12-01", "2027-01-01", admin),
        ("Proposal", "Won", 0, *figures, admin),
        ("Won", "Negotiation", 0, *figures, admin),
        ("Negotiation", "Lost", 0, *figures, admin),
    ]
    query = f'{{ opportunity(id: "{deal}") {{ transitions {{ totalCount }} stageSince status }} }}'
    shown = (await world.ask(query, world.viewer()))["data"]["opportunity"]
    assert (shown["transitions"]["totalCount"], shown["status"]) == (5, "LOST")
    assert shown["stageSince"].startswith("2026-11-01T12:00:00")


async def gated(world: World) -> tuple[str, list[str], str]:
    """An opportunity in the second of three stages, which asks for a call; a call would be nice."""
    stages = await stages_of(world, await pipeline(world, "One", "Two", "Three"))
    call = await action(world, stages[1], name="Call")
    await action(world, stages[1], name="SessionCall", position=2, required=False)
    deal = await world.opportunity()
    sql = "UPDATE opportunities SET stage_id = $1 WHERE id = $2"
    await world.database.execute(sql, uuid_of(stages[1]), uuid_of(deal))
    return deal, stages, call


async def test_key_actions_gate_the_way_onwards(world: World) -> None:
    deal, stages, call = await gated(world)
    for mutation, given in (("opportunityMove", {"stageId": stages[2]}), ("opportunityWin", {})):
        answer = await world.do(mutation, id=deal, **given)
        assert (answer.code, answer.field) == ("KEY_ACTIONS_OPEN", "id")
        assert "Call" in answer.rejections[0]["message"]
        assert "SessionCall" not in answer.rejections[0]["message"]
    show = "actions { nodes { keyAction { name } doneBy { id } } }"
    noted = (await world.do("opportunityActionDone", show=show, id=deal, keyActionId=call)).done
    admin = {"id": id_of("User", world.people["ADMIN"])}
    assert noted["actions"]["nodes"] == [{"keyAction": {"name": "Call"}, "doneBy": admin}]
    again = await world.do("opportunityActionDone", id=deal, keyActionId=call)
    assert (again.code, again.field) == ("ILLEGAL_TRANSITION", "keyActionId")
    assert (await world.do("opportunityActionUndone", id=deal, keyActionId=call)).code is None
    assert (await world.do("opportunityActionUndone", id=deal, keyActionId=call)).code == "ILLEGAL_TRANSITION"
    assert (await world.do("opportunityWin", id=deal)).code == "KEY_ACTIONS_OPEN"
    assert (await world.do("opportunityActionDone", id=deal, keyActionId=call)).code is None
    assert (await world.do("opportunityMove", id=deal, stageId=stages[2])).code is None
    assert await world.told(deal) == [
        "opportunity.actionDone",
        "opportunity.actionUndone",
        "opportunity.actionDone",
        "opportunity.moved",
    ]


async def test_no_gate_back_out_or_elsewhere(world: World) -> None:
    for mutation, place in (("opportunityMove", 0), ("opportunityMove", None), ("opportunityLose", None)):
        deal, stages, _ = await gated(world)
        given = {"stageId": await world.stage("PROPOSAL") if place is None else stages[place]}
        if mutation == "opportunityLose":
            given = {"reason": "Too dear"}
        assert (await world.do(mutation, id=deal, **given)).code is None


async def test_an_archived_action_gates_nothing(world: World) -> None:
    deal, _, call = await gated(world)
    assert (await world.do("keyActionArchive", id=call)).code is None
    assert (await world.do("opportunityActionDone", id=deal, keyActionId=call)).field == "keyActionId"
    assert (await world.do("opportunityWin", id=deal)).code is None
    other = await action(world)
    assert (await world.do("opportunityActionDone", id=await world.opportunity(), keyActionId=other)).code is not None


async def test_a_move_to_another_pipeline(world: World) -> None:
    home = await pipeline(world)
    deal, show = await world.opportunity(), "pipeline { id } stage { name } status"
    moved = await world.do("opportunityMove", show=show, id=deal, stageId=(await stages_of(world, home))[1])
    assert moved.done == {"pipeline": {"id": home}, "stage": {"name": "Second"}, "status": "OPEN"}
    won = await world.do("opportunityWin", show=show, id=deal)
    assert won.done == {"pipeline": {"id": home}, "stage": {"name": "Won"}, "status": "WON"}


async def test_how_long_one_may_snooze(world: World) -> None:
    deal = await world.opportunity()
    for until in ("2026-11-01T12:00:00Z", "2020-01-01T00:00:00Z", "2027-11-03T00:00:00Z"):
        answer = await world.do("opportunitySnooze", id=deal, until=until)
        assert (answer.code, answer.field) == ("BAD_USER_INPUT", "until")
    assert (await world.do("opportunityUnsnooze", id=deal)).code == "ILLEGAL_TRANSITION"
    snoozed = await world.do("opportunitySnooze", show="staleAt", id=deal, until="2026-12-24T00:00:00Z")
    assert snoozed.done["staleAt"].startswith("2026-12-24T00:00:00")
    assert (await world.do("opportunityUnsnooze", show="snoozedUntil", id=deal)).done == {"snoozedUntil": None}


async def test_an_interaction_ends_the_silence(world: World) -> None:
    customer = await world.customer()
    deal = await world.opportunity(customer=customer)
    logged = {"customerId": customer, "opportunityId": deal, "kind": "CALL", "subject": "Hello"}
    assert (await world.do("interactionLog", occurredAt="2026-11-01T11:00:00Z", **logged)).code is None
    row = await world.row("opportunities", deal)
    assert row["last_activity_at"] == NOW - timedelta(hours=1)
    assert row["stale_at"] == max(row["stage_since"], row["last_activity_at"]) + timedelta(hours=48)
    assert row["version"] == 1
    assert (await world.do("interactionLog", occurredAt="2030-01-01T00:00:00Z", **logged)).code is None
    assert (await world.row("opportunities", deal))["last_activity_at"] == NOW
    assert await world.told(deal) == []


async def test_a_completed_task_ends_the_silence(world: World) -> None:
    deal = await world.opportunity()
    sql = "UPDATE opportunities SET stale_level = 1, stale_since = $2, stage_since = $2 WHERE id = $1"
    await world.database.execute(sql, uuid_of(deal), NOW - timedelta(days=3))
    task = (await world.do("taskCreate", subject="Call", opportunityId=deal)).done["id"]
    assert (await world.row("opportunities", deal))["last_activity_at"] is None
    show = "opportunity { lastActivityAt staleSince }"
    done = (await world.do("taskComplete", show=show, id=task)).done["opportunity"]
    assert done["lastActivityAt"].startswith("2026-11-01T12:00:00")
    assert done["staleSince"] is None
    assert await world.told(deal) == ["opportunity.revived"]


async def test_what_is_taken_back_did_not_end_the_silence(world: World) -> None:
    deal, _, call = await gated(world)
    done = {"id": deal, "keyActionId": call}
    assert (await world.do("opportunityActionDone", **done)).code is None
    assert (await world.row("opportunities", deal))["last_activity_at"] == NOW
    assert (await world.do("opportunityActionUndone", **done)).code is None
    assert (await world.row("opportunities", deal))["last_activity_at"] is None
    task = (await world.do("taskCreate", subject="Call", opportunityId=deal)).done["id"]
    assert (await world.do("taskComplete", id=task)).code is None
    assert (await world.row("opportunities", deal))["last_activity_at"] == NOW
    assert (await world.do("taskReopen", id=task)).code is None
    assert (await world.row("opportunities", deal))["last_activity_at"] is None
