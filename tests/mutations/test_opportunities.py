"""Opportunities: open stages, winning, losing, reopening, references."""

from __future__ import annotations

from typing import Any

import pytest

from .world import NOW, World, id_of, money, uuid_of

OPEN = ("PROSPECTING", "ENGAGING", "PROPOSAL", "NEGOTIATION")
TODAY = NOW.date().isoformat()


async def test_create(world: World) -> None:
    customer = await world.customer(currency="JPY")
    show = "id stage currency amount { amount currency } owner { id } expectedClose"
    given = {"name": "Deal", "customerId": customer, "expectedClose": "2027-01-31"}
    made = (await world.do("opportunityCreate", "SELLER", show, **given)).done
    owner = {"id": id_of("User", world.people["SELLER"])}
    rest = {"stage": "PROSPECTING", "currency": "JPY", "amount": None, "owner": owner, "expectedClose": "2027-01-31"}
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
        answer = await world.do(verb, show="stage closedOn lostReason", id=opportunity, **given)
        if legal:
            reason = given.get("reason")
            closed_on = TODAY if after in ("WON", "LOST") else None
            assert answer.done == {"stage": after, "closedOn": closed_on, "lostReason": reason}
        else:
            assert answer.code == "ILLEGAL_TRANSITION", (verb, given, answer)
            assert await world.told(opportunity) == []


async def test_leaving_the_first_stage_is_the_start_of_the_engagement(world: World) -> None:
    opportunity = await world.opportunity()
    assert (await world.do("opportunityMove", show="engagedOn", id=opportunity, stage="PROPOSAL")).done[
        "engagedOn"
    ] == TODAY
    assert (await world.do("opportunityMove", id=opportunity, stage="PROPOSAL")).code is None
    assert await world.told(opportunity) == ["opportunity.moved"]


async def test_created_closed_is_refused(world: World) -> None:
    for stage in ("WON", "LOST"):
        answer = await world.do("opportunityCreate", name="Deal", stage=stage)
        assert (answer.code, answer.field) == ("ILLEGAL_TRANSITION", "stage")


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
