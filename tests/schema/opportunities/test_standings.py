"""Scores follow the facts of what opportunities hang on: customer, contact, lead."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from crmgql.domain.opportunities import standings
from tests.schema.world import World, uuid_of

RULES: tuple[dict[str, Any], ...] = (
    {"field": "customer.industry", "operator": "EQ", "value": {"value": "Mining"}, "points": 1},
    {"field": "customer.region", "operator": "EQ", "value": {"value": "North"}, "points": 2},
    {"field": "customer.country", "operator": "EQ", "value": {"value": "FR"}, "points": 4},
    {"field": "customer.status", "operator": "EQ", "value": {"value": "CUSTOMER"}, "points": 8},
    {"field": "customer.employeeCount", "operator": "GTE", "value": {"value": 10}, "points": 16},
    {"field": "contactTitle", "operator": "EQ", "value": {"value": "CTO"}, "points": 32},
    {"field": "leadSource", "operator": "EQ", "value": {"value": "fair"}, "points": 64},
)


@pytest_asyncio.fixture(autouse=True)
async def rules(world: World) -> AsyncIterator[None]:
    for number, rule in enumerate(RULES):
        assert (await world.do("scoreRuleCreate", name=f"Rule {number}", **rule)).code is None
    yield
    await world.database.execute("DELETE FROM score_rules")


async def score(world: World, deal: str) -> int:
    return int((await world.row("opportunities", deal))["score"])


async def test_facts_of_the_customer(world: World) -> None:
    customer = await world.customer(status="PROSPECT")
    deal, other = await world.opportunity(customer=customer), await world.opportunity()
    won = await world.opportunity("WON", customer=customer, score=77)
    steps: list[tuple[dict[str, Any], int]] = [
        ({"industry": "mining"}, 1),
        ({"region": "North"}, 3),
        ({"country": "FR"}, 7),
        ({"status": "CUSTOMER"}, 15),
        ({"employeeCount": 10}, 31),
        ({"industry": None, "name": "Other"}, 30),
    ]
    for changes, points in steps:
        assert (await world.do("customerUpdate", "SELLER", id=customer, **changes)).code is None
        assert await score(world, deal) == points
    assert (await score(world, won), await score(world, other)) == (77, 0)
    assert (await world.row("opportunities", deal))["version"] == 1
    assert await world.told(deal) == []


async def test_other_columns_of_the_customer_refresh_nothing(world: World) -> None:
    customer = await world.customer()
    deal = await world.opportunity(customer=customer, score=77)
    assert (await world.do("customerUpdate", id=customer, name="Other", city="Paris")).code is None
    assert await score(world, deal) == 77


async def test_the_title_of_the_contact(world: World) -> None:
    customer = await world.customer()
    contact = await world.contact(customer)
    deal = await world.opportunity(customer=customer, contact_id=uuid_of(contact))
    other = await world.opportunity(customer=customer, score=77)
    assert (await world.do("contactUpdate", id=contact, title="cto")).code is None
    assert (await score(world, deal), await score(world, other)) == (32, 77)
    assert (await world.do("contactUpdate", id=contact, name="Bob")).code is None
    assert (await world.do("contactUpdate", id=contact, title=None)).code is None
    assert await score(world, deal) == 0


async def test_where_the_lead_came_from(world: World) -> None:
    lead = (await world.do("leadCreate", name="Ann")).done["id"]
    shown = await world.do("leadConvert", "ADMIN", "opportunity { id }", id=lead)
    deal = shown.done["opportunity"]["id"]
    assert await score(world, deal) == 0
    assert (await world.do("leadUpdate", id=lead, leadSource="fair")).code is None
    assert await score(world, deal) == 64


async def test_a_merged_leads_opportunity(world: World) -> None:
    converted = (await world.do("leadCreate", name="Ann")).done["id"]
    shown = await world.do("leadConvert", "ADMIN", "opportunity { id }", id=converted)
    deal = shown.done["opportunity"]["id"]
    survivor = (await world.do("leadCreate", name="Ann", leadSource="fair")).done["id"]
    assert (await world.do("leadMerge", id=survivor, otherId=converted)).code is None
    assert await score(world, deal) == 64


async def test_of_many_deals_the_next_sweep_works_them_out(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standings, "AT_ONCE", 2)
    customer = await world.customer()
    deals = [await world.opportunity(customer=customer, stale_known=True) for _ in range(3)]
    assert (await world.do("customerUpdate", id=customer, industry="Mining")).code is None
    for deal in deals:
        row = await world.row("opportunities", deal)
        assert (row["score"], row["stale_known"]) == (0, False)
    assert (await world.do("customerUpdate", id=await world.customer(), industry="Mining")).code is None
