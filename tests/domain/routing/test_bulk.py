"""Leads routed in batches: as exact as one by one, and nothing is lost or taken twice."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from uuid import UUID

import orjson
import pytest

from crmgql.domain.routing import assign, bulk
from tests.conftest import NOW
from tests.domain.routing.company import Firm


async def route_all(firm: Firm, limit: int = 1000) -> int:
    done = 0
    while moved := await firm.act(bulk.route_batch, limit=limit):
        done += moved
    return done


async def owners(firm: Firm) -> dict[UUID | None, int]:
    rows = await firm.database.fetch("SELECT owner_id, count(*) FROM leads GROUP BY owner_id")
    return {row["owner_id"]: row["count"] for row in rows}


async def test_five_thousand_leads_by_weight(firm: Firm) -> None:
    sellers = {await firm.seller(f"Seller {n}", weight=1 + n % 5): 1 + n % 5 for n in range(20)}
    await firm.ruleset({"distribution": "WEIGHTED"})
    await firm.leads(5000)
    assert await route_all(firm) == 5000
    got = await owners(firm)
    for seller, weight in sellers.items():
        assert abs(got[seller] - 5000 * weight / sum(sellers.values())) <= 1
    told = await firm.database.fetchval("SELECT count(*) FROM notifications")
    for table, count in (("assignment_decisions", 5000), ("events", 5000 + told), ("audit_entries", 5000 + told)):
        assert await firm.database.fetchval(f"SELECT count(*) FROM {table}") == count
    assert (
        await firm.database.fetchval(
            "SELECT count(*) FROM leads JOIN assignment_decisions d ON d.id = routing_id AND chosen_id = owner_id"
        )
        == 5000
    )
    news = await firm.database.fetch("SELECT user_id, count(*) FROM notifications GROUP BY user_id")
    assert {row["user_id"]: row["count"] for row in news} == dict.fromkeys(sellers, 5)


async def test_a_batch_decides_as_one_by_one(firm: Firm) -> None:
    people = [
        await firm.seller(f"Seller {n}", weight=n, attributes={"regions": [["N"], ["S"], ["N", "S"]][n % 3]})
        for n in range(1, 7)
    ]
    await firm.database.execute("UPDATE seller_profiles SET max_open = 9 WHERE user_id = $1", people[4])
    match = {"match": [{"seller": "attributes.regions", "op": "contains", "lead": "region"}]}
    rules = ({"distribution": "WEIGHTED", "seller_match": match, "conditions": {"field": "region", "op": "isSet"}},)
    await firm.ruleset(*rules)
    ids = [
        await firm.lead(f"Lead {n}", region=["N", "S", None][n % 3], received_at=NOW + timedelta(seconds=n))
        for n in range(60)
    ]
    for lead in ids:
        await firm.act(assign.route, lead_id=lead)
    sql = "SELECT owner_id, queue_id IS NOT NULL FROM leads ORDER BY received_at"
    alone = [tuple(row) for row in await firm.database.fetch(sql)]
    await firm.database.execute(
        "UPDATE leads SET owner_id = NULL, queue_id = NULL, queue_deadline = NULL, routing_id = NULL"
    )
    await firm.database.execute("DELETE FROM routing_shares")
    assert await route_all(firm, limit=25) == 60
    assert [tuple(row) for row in await firm.database.fetch(sql)] == alone
    said = await firm.database.fetch(
        "SELECT lead_id, candidates::text, explanation FROM assignment_decisions ORDER BY id"
    )
    assert [tuple(row) for row in said[:60]] == [tuple(row) for row in said[60:]]


async def test_who_is_deactivated_between_batches_gets_nothing_more(firm: Firm) -> None:
    leaving, staying = await firm.seller("Leaving"), await firm.seller("Staying")
    await firm.ruleset({})
    await firm.leads(100)
    await firm.act(bulk.route_batch, limit=10)
    await firm.database.execute("UPDATE users SET active = false WHERE id = $1", leaving)
    assert await route_all(firm, limit=10) == 90
    assert await owners(firm) == {leaving: 5, staying: 95}


async def test_capacities_hold_over_batches_and_the_rest_is_queued(firm: Firm) -> None:
    seller = await firm.seller("Full", max_open=15, max_per_day=12)
    await firm.ruleset({})
    await firm.leads(40)
    assert await route_all(firm, limit=10) == 40
    assert await owners(firm) == {seller: 12, None: 28}
    assert (
        await firm.database.fetchval("SELECT count(*) FROM leads WHERE queue_deadline = $1", NOW + timedelta(hours=1))
        == 28
    )


async def test_what_can_not_be_placed_does_not_hold_up_the_rest(firm: Firm) -> None:
    admin = await firm.seller("Root", roles=("ADMIN",))
    seller = await firm.seller()
    await firm.ruleset({"conditions": {"field": "region", "op": "eq", "value": "North"}}, fallback=False)
    await firm.leads(30)
    for _ in range(5):
        await firm.lead(region="north", received_at=NOW + timedelta(seconds=1))
    assert await route_all(firm, limit=10) == 35
    assert await owners(firm) == {seller: 5, None: 30}
    news = await firm.database.fetch("SELECT kind, title FROM notifications WHERE user_id = $1", admin)
    assert [tuple(row) for row in news] == [("lead.unrouted", "10 leads found no place")]


async def test_only_one_source(firm: Firm) -> None:
    await firm.seller()
    await firm.ruleset({})
    mine = await firm.lead(source="olist")
    other = await firm.lead(source="web")
    assert await firm.act(bulk.route_batch, limit=10, source="olist") == 1
    assert (await firm.row(mine))["owner_id"]
    assert not (await firm.row(other))["owner_id"]


async def test_no_active_rule_set_does_nothing(firm: Firm) -> None:
    await firm.leads(3)
    assert await route_all(firm) == 0


@pytest.mark.parametrize("tasks", [4])
async def test_batches_and_single_ones_at_once(firm: Firm, tasks: int) -> None:
    sellers = [await firm.seller(f"Seller {n}") for n in range(3)]
    await firm.ruleset({"distribution": "ROUND_ROBIN"})
    await firm.leads(150)
    ids = [row["id"] for row in await firm.database.fetch("SELECT id FROM leads")]

    async def single() -> None:
        for lead in ids[::10]:
            await firm.act(assign.route, lead_id=lead)

    await asyncio.gather(*(route_all(firm, limit=7) for _ in range(tasks - 1)), single())
    await route_all(firm)
    assert await owners(firm) == dict.fromkeys(sellers, 50)
    assert await firm.database.fetchval("SELECT count(*) FROM assignment_decisions") == 150


async def test_candidates_are_told_for_each_lead(firm: Firm) -> None:
    seller, away = await firm.seller(), await firm.seller("Away", opted_out=True)
    await firm.ruleset({})
    await firm.leads(3)
    await route_all(firm)
    told = await firm.database.fetch("SELECT candidates FROM assignment_decisions")
    expected = {f"usr_{seller.hex}": "ELIGIBLE", f"usr_{away.hex}": "OPTED_OUT"}
    assert [orjson.loads(row["candidates"]) for row in told] == [expected] * 3
