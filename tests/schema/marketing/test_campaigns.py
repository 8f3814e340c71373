"""Campaigns: their amounts and currency, when they run, and what came of them."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest

from tests.schema.cases_marketing import campaign
from tests.schema.world import NOW, World, id_of, money, uuid_of

TODAY = NOW.date()


def days(number: int) -> date:
    return TODAY + timedelta(days=number)


async def lead(world: World, campaign: str, status: str = "NEW", owner: str | None = None, **values: Any) -> str:
    if status == "CONVERTED":
        values |= {"converted_at": NOW}
    if status == "LOST":
        values |= {"lost_reason": "Too dear"}
    given = {"name": "Ann", "status": status, "status_since": NOW, "received_at": NOW, "last_activity_at": NOW}
    given |= {"campaign_id": uuid_of(campaign), "owner_id": owner and world.people[owner], **values}
    return id_of("Lead", await world.insert("leads", **given))


async def test_create_and_read_back(world: World) -> None:
    given = {
        "name": "Spring 春",
        "channel": "SEARCH",
        "budget": money("1000", "JPY"),
        "spend": money("250", "JPY"),
        "startsOn": "2026-03-01",
        "endsOn": "2026-05-31",
    }
    show = "id status currency channel name budget { amount currency } spend { amount currency } startsOn endsOn"
    made = (await world.do("campaignCreate", "MARKETER", f"{show} owner {{ id }}", **given)).done
    id = made.pop("id")
    mine = {"id": id_of("User", world.people["MARKETER"])}
    assert made == {**given, "status": "PLANNED", "currency": "JPY", "owner": mine}
    assert await world.told(id) == ["campaign.created"]


@pytest.mark.parametrize(
    ("given", "code", "field"),
    [
        ({"name": " "}, "BAD_USER_INPUT", "name"),
        ({"budget": money("-1.00")}, "BAD_USER_INPUT", "budget"),
        ({"spend": money("-0.01")}, "BAD_USER_INPUT", "spend"),
        ({"spend": money("1.001")}, "BAD_USER_INPUT", "spend"),
        ({"spend": money("1.00", "USD")}, "CURRENCY_MISMATCH", "spend"),
        ({"startsOn": "2026-05-02", "endsOn": "2026-05-01"}, "BAD_USER_INPUT", "endsOn"),
        ({"startsOn": "0999-01-01"}, "BAD_USER_INPUT", "startsOn"),
        ({"ownerId": "usr_" + "0" * 32}, "NOT_FOUND", "ownerId"),
    ],
)
async def test_values_that_do_not_fit(world: World, given: dict[str, Any], code: str, field: str) -> None:
    existing = await campaign(world)
    before = await world.counts()
    base = {"name": f"New {uuid4().hex}", "channel": "EVENT", "currency": "EUR"}
    for mutation, fixed in (("campaignCreate", base), ("campaignUpdate", {"id": existing})):
        answer = await world.do(mutation, **{**fixed, **given})
        assert (answer.code, answer.field) == (code, field)
    assert await world.counts() == before


async def test_a_name_is_taken_in_any_case(world: World) -> None:
    await world.do("campaignCreate", name="Autumn", channel="EMAIL")
    answer = await world.do("campaignCreate", name="AUTUMN", channel="EMAIL")
    assert (answer.code, answer.field) == ("CONFLICT", "name")


async def test_the_currency_changes_with_all_amounts_or_not(world: World) -> None:
    id = await campaign(world, budget_amount=Decimal("5.00"), spend_amount=Decimal("1.00"))
    for given in ({}, {"budget": money("5.00", "USD")}):
        answer = await world.do("campaignUpdate", id=id, currency="USD", **given)
        assert (answer.code, answer.field) == ("CURRENCY_MISMATCH", "currency")
    given = {"currency": "USD", "budget": money("6.00", "USD"), "spend": None}
    show = "currency budget { amount currency } spend { amount }"
    assert (await world.do("campaignUpdate", show=show, id=id, **given)).done == given


@pytest.mark.parametrize(
    ("verb", "status", "code", "after"),
    [
        ("campaignStart", "PLANNED", None, "ACTIVE"),
        ("campaignStart", "ACTIVE", "ILLEGAL_TRANSITION", "ACTIVE"),
        ("campaignStart", "ENDED", "ILLEGAL_TRANSITION", "ENDED"),
        ("campaignEnd", "PLANNED", None, "ENDED"),
        ("campaignEnd", "ACTIVE", None, "ENDED"),
        ("campaignEnd", "ENDED", "ILLEGAL_TRANSITION", "ENDED"),
    ],
)
async def test_it_starts_and_ends_once(world: World, verb: str, status: str, code: str | None, after: str) -> None:
    id = await campaign(world, status)
    assert (await world.do(verb, id=id)).code == code
    assert (await world.row("campaigns", id))["status"] == after


@pytest.mark.parametrize(
    ("planned", "started"), [(None, 0), (-3, -3), (0, 0), (5, 0)], ids=["open", "past", "today", "early"]
)
async def test_the_day_on_which_it_started(world: World, planned: int | None, started: int) -> None:
    id = await campaign(world, starts_on=None if planned is None else days(planned), ends_on=days(9))
    await world.do("campaignStart", id=id)
    row = await world.row("campaigns", id)
    assert (row["starts_on"], row["ends_on"]) == (days(started), days(9))
    assert await world.told(id) == ["campaign.started"]


async def test_what_was_to_end_before_now_does_not_start(world: World) -> None:
    id = await campaign(world, starts_on=days(-9), ends_on=days(-1))
    answer = await world.do("campaignStart", id=id)
    assert (answer.code, answer.field) == ("BAD_USER_INPUT", "endsOn")


async def test_the_day_on_which_it_ended(world: World) -> None:
    for status, planned, ended in (("ACTIVE", 9, 0), ("ACTIVE", None, 0), ("ACTIVE", -2, -2), ("PLANNED", 9, 9)):
        ends_on = None if planned is None else days(planned)
        id = await campaign(world, status, starts_on=days(-5), ends_on=ends_on)
        await world.do("campaignEnd", id=id)
        assert (await world.row("campaigns", id))["ends_on"] == days(ended)


async def test_spend_is_told_after_the_end(world: World) -> None:
    id = await campaign(world, "ENDED")
    answer = await world.do("campaignUpdate", "MARKETER", "spend { amount }", id=id, spend=money("12.50"))
    assert answer.done == {"spend": {"amount": "12.50"}}
    assert await world.changes(id) == {"spend_amount": [None, "12.50"]}


RESULTS = (
    "leadCount qualifiedCount convertedCount conversionRate wonCount costPerLead { amount currency } "
    'wonRevenue { amount currency } dollars: wonRevenue(currency: "USD") { amount } returnOnSpend spend { amount }'
)


async def results(world: World, id: str, role: str = "ADMIN") -> dict[str, Any]:
    answer = await world.ask(f'{{ campaign(id: "{id}") {{ {RESULTS} }} }}', world.viewer(role))
    assert "errors" not in answer
    return answer["data"]["campaign"]  # type: ignore[no-any-return]


async def seven_leads(world: World) -> str:
    """Six leads that count, and a merged one: four converted, to two won deals, one of them twice, and a lost one."""
    id = await campaign(world, spend_amount=Decimal("100.00"))
    customer = await world.customer("SELLER")
    won = await world.opportunity("WON", customer, amount=Decimal("250.00"), currency="EUR")
    dollars = await world.opportunity("WON", customer, amount=Decimal("40.00"), currency="USD")
    lost = await world.opportunity("LOST", customer, amount=Decimal("999.00"), currency="EUR")
    for deal in (won, won, dollars, lost):
        await lead(world, id, "CONVERTED", "SELLER", opportunity_id=uuid_of(deal))
    was_qualified = await lead(world, id, "LOST", "STRANGER")
    values = {"lead_id": uuid_of(was_qualified), "to_status": "QUALIFIED", "occurred_at": NOW}
    await world.insert("lead_transitions", **values)
    into = await lead(world, id, "NEW")
    await lead(world, id, "MERGED", merged_into_id=uuid_of(into))
    return id


async def test_what_came_of_it(world: World) -> None:
    expected = {
        "leadCount": 6,
        "qualifiedCount": 5,
        "convertedCount": 4,
        "conversionRate": "66.67",
        "wonCount": 2,
        "costPerLead": {"amount": "16.67", "currency": "EUR"},
        "wonRevenue": {"amount": "250.00", "currency": "EUR"},
        "dollars": {"amount": "40.00"},
        "returnOnSpend": "1.5000",
        "spend": {"amount": "100.00"},
    }
    id = await seven_leads(world)
    for role in ("ADMIN", "MARKETER", "FINANCE"):
        assert await results(world, id, role) == expected


async def test_who_sees_a_part_gets_the_figures_of_that_part(world: World) -> None:
    id = await seven_leads(world)
    theirs = {"leadCount": 4, "qualifiedCount": 4, "convertedCount": 4, "conversionRate": "100.00", "wonCount": 2}
    money_ = {"wonRevenue": {"amount": "250.00", "currency": "EUR"}, "dollars": {"amount": "40.00"}}
    nothing = {"costPerLead": None, "returnOnSpend": None}
    hidden = {"wonRevenue": None, "dollars": None, "spend": None}
    assert await results(world, id, "MANAGER") == {**theirs, **money_, **nothing, "spend": {"amount": "100.00"}}
    assert await results(world, id, "SELLER") == {**theirs, **hidden, **nothing}
    stranger = {"leadCount": 1, "qualifiedCount": 1, "convertedCount": 0, "conversionRate": "0.00", "wonCount": 0}
    assert await results(world, id, "STRANGER") == {**stranger, **hidden, **nothing}
    assert set((await results(world, id, "SUPPORT")).values()) == {None}


async def test_nothing_is_divided_by_nothing(world: World) -> None:
    empty = {"leadCount": 0, "qualifiedCount": 0, "convertedCount": 0, "conversionRate": None, "wonCount": 0}
    none = {"wonRevenue": {"amount": "0.00", "currency": "EUR"}, "dollars": {"amount": "0.00"}, "costPerLead": None}
    assert await results(world, await campaign(world)) == {**empty, **none, "returnOnSpend": None, "spend": None}
    spent = await results(world, await campaign(world, spend_amount=Decimal("5.00")))
    assert (spent["costPerLead"], spent["returnOnSpend"]) == (None, "-1.0000")
    free = await results(world, await campaign(world, spend_amount=Decimal("0.00")))
    assert (free["costPerLead"], free["returnOnSpend"]) == (None, None)


async def test_a_key_without_the_scope_learns_nothing_of_leads(world: World) -> None:
    id = await seven_leads(world)
    query = f'{{ campaign(id: "{id}") {{ leadCount wonCount wonRevenue {{ amount }} costPerLead {{ amount }} }} }}'
    for role in ("ADMIN", "FINANCE"):
        narrow = world.viewer(role, scopes=frozenset({"marketing:read", "opportunities:read"}))
        answer = await world.ask(query, narrow)
        assert set(answer["data"]["campaign"].values()) == {None}
