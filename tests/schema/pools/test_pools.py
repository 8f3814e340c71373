"""The public pool: what is shown, who may give up and claim, that each has one winner and limits are exact."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest

from crmgql.viewer import Viewer, Who
from tests.schema.cases_messages import lead
from tests.schema.cases_pools import item, pool, pooled_lead
from tests.schema.world import NOW, World, id_of, uuid_of


async def seller(world: World, *, now=NOW) -> Viewer:
    return Viewer(await world.user("SELLER"), Who(frozenset({"SELLER"})), clock=lambda: now)


def later(viewer: Viewer, **time: float) -> Viewer:
    return Viewer(viewer.user_id, viewer.who, clock=lambda: NOW + timedelta(**time))


async def released(world: World, pool_id: str, who: str = "SELLER", **values: Any) -> str:
    """The item of a lead that its owner has just given up."""
    lead_id = id_of("Lead", await lead(world, who, **values))
    return (await world.do("poolRelease", who, leadId=lead_id, poolId=pool_id)).done["id"]


async def moves(world: World, column: str, id: Any) -> list[tuple[str, Any, str | None]]:
    sql = f"SELECT kind, user_id, reason FROM pool_moves WHERE {column} = $1 ORDER BY id"
    return [tuple(row) for row in await world.database.fetch(sql, id)]


async def test_create_and_read_back(world: World) -> None:
    given = {
        "name": "公海",
        "kind": "LEAD",
        "reclaimAfterD": 30,
        "warnBeforeD": 3,
        "claimLimitPerDay": 5,
        "holdingLimit": 20,
        "protectionH": 48,
        "cooldownH": 72,
        "shows": ["name", "region", "budget"],
        "active": False,
    }
    made = (await world.do("poolCreate", "MARKETER", f"id version {' '.join(given)}", **given)).done
    id = made.pop("id")
    assert made == {**given, "version": 1}
    assert await world.told(id) == ["pool.created"]
    plain = (await world.do("poolCreate", show="cooldownH protectionH shows active", name="P", kind="CUSTOMER")).done
    assert plain == {"cooldownH": 24, "protectionH": 0, "shows": [], "active": True}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("shows", ["name", "email"]),
        ("shows", ["phone"]),
        ("shows", ["foundedYear"]),
        ("reclaimAfterD", 0),
        ("reclaimAfterD", 100_000),
        ("warnBeforeD", -1),
        ("claimLimitPerDay", 0),
        ("protectionH", -1),
        ("cooldownH", 2**31 - 1),
        ("name", " "),
    ],
)
async def test_a_mistake_is_named(world: World, field: str, value: Any) -> None:
    before = await world.counts()
    answer = await world.do("poolCreate", **{"name": "X", "kind": "LEAD", field: value})
    assert answer.code == "BAD_USER_INPUT"
    assert (answer.field or "").split(".")[0] == field
    answer = await world.do("poolCreate", name="X", kind="LEAD", reclaimAfterD=5, warnBeforeD=5)
    assert (answer.code, answer.field) == ("BAD_USER_INPUT", "warnBeforeD")
    assert await world.counts() == before


async def test_one_pool_of_a_kind_reclaims(world: World) -> None:
    first = (await world.do("poolCreate", name="First", kind="CUSTOMER", reclaimAfterD=5)).done["id"]
    answer = await world.do("poolCreate", name="Second", kind="CUSTOMER", reclaimAfterD=5)
    assert (answer.code, answer.field) == ("CONFLICT", "reclaimAfterD")
    await world.do("poolUpdate", id=first, active=False)
    second = (await world.do("poolCreate", name="Second", kind="CUSTOMER", reclaimAfterD=5)).done["id"]
    await world.do("poolUpdate", id=second, active=False)


async def test_a_seller_sees_what_the_pool_shows_and_nothing_else(world: World) -> None:
    made = await world.do(
        "poolCreate", name="Seen", kind="LEAD", shows=["name", "region", "budget", "employeeCount", "receivedAt"]
    )
    lead_id = await lead(
        world,
        "STRANGER",
        name="Ann",
        region="North",
        email="ann@example.com",
        budget_amount=Decimal("10.50"),
        currency="EUR",
    )
    await world.do("poolRelease", "STRANGER", leadId=id_of("Lead", lead_id), poolId=made.done["id"])
    query = f'{{ pool(id: "{made.done["id"]}") {{ items {{ nodes {{ shown lead {{ id email }} }} }} }} }}'
    for role in ("SELLER", "STRANGER"):
        seen = await world.ask(query, world.viewer(role))
        assert seen["data"]["pool"]["items"]["nodes"] == [
            {
                "shown": {
                    "name": "Ann",
                    "region": "North",
                    "budget": {"amount": "10.50", "currency": "EUR"},
                    "employeeCount": None,
                    "receivedAt": "2026-11-01T12:00:00+00:00",
                },
                "lead": None,
            }
        ]
    await world.do("poolUpdate", id=made.done["id"], shows=["region"])
    seen = await world.ask(query, world.viewer("SELLER"))
    assert [node["shown"] for node in seen["data"]["pool"]["items"]["nodes"]] == [{"region": "North"}]


async def test_what_is_corrected_or_erased_is_shown_no_more(world: World) -> None:
    pool_id = await pool(world, shows=["name", "region"])
    item_id = await released(world, pool_id, region="EMEA")
    mine = await world.database.fetchval("SELECT lead_id FROM pool_items WHERE id = $1", uuid_of(item_id))
    changed = await world.do("leadUpdate", id=id_of("Lead", mine), name="Somebody", region=None)
    assert changed.code is None
    shown = json.loads(await world.database.fetchval("SELECT shown FROM pool_items WHERE id = $1", uuid_of(item_id)))
    assert (shown["name"], shown.get("region")) == ("Somebody", None)


async def test_a_claimed_lead_is_the_winners(world: World) -> None:
    pool_id = await pool(world, name="Claims", protection_h=48)
    id = await released(world, pool_id, "STRANGER", last_activity_at=NOW - timedelta(days=90))
    show = "leftAt claimedBy { id } lead { id owner { id } pool { id } protectedUntil lastActivityAt acceptedAt }"
    done = (await world.do("poolClaim", "SELLER", show, id=id)).done
    me, now = id_of("User", world.people["SELLER"]), "2026-11-01T12:00:00+00:00"
    lead_id = done["lead"].pop("id")
    assert done == {
        "leftAt": now,
        "claimedBy": {"id": me},
        "lead": {
            "owner": {"id": me},
            "pool": None,
            "protectedUntil": "2026-11-03T12:00:00+00:00",
            "lastActivityAt": now,
            "acceptedAt": now,
        },
    }
    assert await world.told(id) == ["pool.released", "pool.claimed"]
    assert await world.told(lead_id) == ["lead.pooled", "lead.assigned"]
    assert await moves(world, "lead_id", uuid_of(lead_id)) == [
        ("RELEASED", world.people["STRANGER"], None),
        ("CLAIMED", world.people["SELLER"], None),
    ]
    decision = await world.database.fetchrow(
        "SELECT d.* FROM assignment_decisions d JOIN leads ON routing_id = d.id WHERE leads.id = $1", uuid_of(lead_id)
    )
    assert (decision["reason"], decision["chosen_id"]) == ("MANUAL", world.people["SELLER"])
    assert decision["previous_id"] == world.people["STRANGER"]
    assert decision["explanation"] == "claimed from the pool “Claims”"


async def test_a_customer_goes_round(world: World) -> None:
    pool_id = await pool(world, "CUSTOMER", shows=["name", "annualRevenue"])
    customer = await world.customer("SELLER", annual_revenue_amount=Decimal("5.00"))
    id = (await world.do("poolRelease", "MANAGER", customerId=customer, poolId=pool_id, reason="Moved")).done["id"]
    assert (await world.do("customerUpdate", "SELLER", id=customer, city="Rome")).code == "NOT_FOUND"
    shown = json.loads((await world.row("pool_items", id))["shown"])
    assert shown == {"name": "Acme", "annualRevenue": {"amount": "5.00", "currency": "EUR"}}
    done = (await world.do("poolClaim", "STRANGER", "customer { id owner { id } }", id=id)).done
    assert done["customer"] == {"id": customer, "owner": {"id": id_of("User", world.people["STRANGER"])}}
    assert await world.told(customer) == ["customer.pooled", "customer.assigned"]
    timeline = await world.database.fetch("SELECT kind FROM events WHERE customer_id = $1", uuid_of(customer))
    assert Counter(row["kind"] for row in timeline) == Counter(
        ["pool.released", "customer.pooled", "pool.claimed", "customer.assigned"]
    )
    assert [move[0] for move in await moves(world, "customer_id", uuid_of(customer))] == ["RELEASED", "CLAIMED"]


async def test_a_customer_given_to_somebody_leaves_the_pool(world: World) -> None:
    pool_id = await pool(world, "CUSTOMER")
    customer = await world.customer()
    id = (await world.do("poolRelease", customerId=customer, poolId=pool_id)).done["id"]
    assert (await world.do("customerUpdate", id=customer, city="Rome")).code is None
    assert (await world.row("pool_items", id))["left_at"] is None
    stranger = id_of("User", world.people["STRANGER"])
    assert (await world.do("customerUpdate", id=customer, ownerId=stranger)).code is None
    row = await world.row("customers", customer)
    assert (row["owner_id"], row["pool_id"]) == (world.people["STRANGER"], None)
    assert [move[0] for move in await moves(world, "customer_id", uuid_of(customer))] == ["RELEASED", "WITHDRAWN"]
    assert (await world.do("poolClaim", "SELLER", id=id)).code == "POOL_ITEM_TAKEN"


async def test_of_twenty_one_wins(world: World) -> None:
    id = await item(world)
    viewers = [await seller(world) for _ in range(20)]
    answers = await asyncio.gather(*(world.do("poolClaim", viewer, id=id) for viewer in viewers))
    assert Counter(answer.code for answer in answers) == {None: 1, "POOL_ITEM_TAKEN": 19}
    winner = viewers[[answer.code for answer in answers].index(None)].user_id
    row = await world.row("pool_items", id)
    assert row["claimed_by_id"] == winner
    owner = await world.database.fetchval("SELECT owner_id FROM leads WHERE id = $1", row["lead_id"])
    assert owner == winner
    assert len(await moves(world, "lead_id", row["lead_id"])) == 1


@pytest.mark.parametrize(
    ("limit", "code"), [("claim_limit_per_day", "POOL_DAILY_LIMIT"), ("holding_limit", "POOL_HOLDING_LIMIT")]
)
async def test_limits_are_exact_however_fast_one_claims(world: World, limit: str, code: str) -> None:
    pool_id = await pool(world, **{limit: 3})
    ids = [await item(world, pool_id) for _ in range(10)]
    me = await seller(world)
    answers = await asyncio.gather(*(world.do("poolClaim", me, id=id) for id in ids))
    assert Counter(answer.code for answer in answers) == {None: 3, code: 7}
    owned = await world.database.fetchval("SELECT count(*) FROM leads WHERE owner_id = $1", me.user_id)
    assert owned == 3


async def test_the_daily_limit_is_of_the_day_and_the_pool(world: World) -> None:
    pool_id, other = await pool(world, claim_limit_per_day=1), await pool(world, claim_limit_per_day=1)
    me = await seller(world)
    first, second, third = [await item(world, pool_id) for _ in range(3)]
    assert (await world.do("poolClaim", me, id=first)).code is None
    assert (await world.do("poolClaim", later(me, hours=11.9), id=second)).code == "POOL_DAILY_LIMIT"
    assert (await world.do("poolClaim", me, id=await item(world, other))).code is None
    assert (await world.do("poolClaim", later(me, hours=12), id=second)).code is None
    assert (await world.do("poolClaim", later(me, hours=13), id=third)).code == "POOL_DAILY_LIMIT"


async def test_what_is_finished_or_given_back_is_held_no_more(world: World) -> None:
    pool_id = await pool(world, holding_limit=1, cooldown_h=0)
    me = await seller(world)
    lead_id = await pooled_lead(world, pool_id)
    assert (await world.do("poolClaim", me, id=await item(world, pool_id, lead_id=lead_id))).code is None
    assert (await world.do("poolClaim", me, id=await item(world, pool_id))).code == "POOL_HOLDING_LIMIT"
    assert (await world.do("poolRelease", me, leadId=id_of("Lead", lead_id), poolId=pool_id)).code is None
    lead_id = await pooled_lead(world, pool_id)
    assert (await world.do("poolClaim", me, id=await item(world, pool_id, lead_id=lead_id))).code is None
    await world.database.execute("UPDATE leads SET status = 'LOST', lost_reason = 'Gone' WHERE id = $1", lead_id)
    assert (await world.do("poolClaim", me, id=await item(world, pool_id))).code is None


async def test_the_last_owner_waits(world: World) -> None:
    pool_id = await pool(world, cooldown_h=24)
    id = await released(world, pool_id, "SELLER")
    me = world.viewer("SELLER")
    refused = await world.do("poolClaim", later(me, hours=23.9), id=id)
    assert refused.code == "POOL_COOLDOWN"
    assert "2026-11-02 12:00" in refused.rejections[0]["message"]
    assert (await world.do("poolClaim", later(me, hours=24), id=id)).code is None


@pytest.mark.parametrize(
    ("role", "code"),
    [("SELLER", None), ("MANAGER", None), ("ADMIN", None), ("STRANGER", "NOT_FOUND"), ("MARKETER", "FORBIDDEN")],
)
async def test_who_may_give_up_a_sellers_lead(world: World, role: str, code: str | None) -> None:
    lead_id, pool_id = id_of("Lead", await lead(world)), await pool(world)
    assert (await world.do("poolRelease", role, leadId=lead_id, poolId=pool_id)).code == code


async def test_what_can_not_go_to_a_pool(world: World) -> None:
    leads, customers, idle = await pool(world), await pool(world, "CUSTOMER"), await pool(world, active=False)
    mine = id_of("Lead", await lead(world))
    closed = id_of("Lead", await lead(world, status="LOST", lost_reason="Gone"))
    pooled = id_of("Lead", await pooled_lead(world, leads))
    for expected, given in [
        (("BAD_USER_INPUT", "leadId"), {}),
        (("BAD_USER_INPUT", "leadId"), {"leadId": mine, "customerId": await world.customer()}),
        (("BAD_USER_INPUT", "poolId"), {"leadId": mine, "poolId": customers}),
        (("BAD_USER_INPUT", "poolId"), {"leadId": mine, "poolId": idle}),
        (("BAD_USER_INPUT", "reason"), {"leadId": mine, "poolId": leads, "reason": "x" * 301}),
        (("ILLEGAL_TRANSITION", "leadId"), {"leadId": closed, "poolId": leads}),
        (("CONFLICT", "leadId"), {"leadId": pooled, "poolId": leads}),
    ]:
        answer = await world.do("poolRelease", **given)
        assert (answer.code, answer.field) == expected


async def test_two_who_release_at_once_make_one_stay(world: World) -> None:
    lead_id, pool_id = await lead(world), await pool(world)
    answers = await asyncio.gather(
        *(world.do("poolRelease", "ADMIN", leadId=id_of("Lead", lead_id), poolId=pool_id) for _ in range(5))
    )
    assert Counter(answer.code for answer in answers) == {None: 1, "CONFLICT": 4}


async def test_without_a_name_it_is_the_reclaiming_pool(world: World) -> None:
    await world.database.execute("UPDATE pools SET active = false WHERE kind = 'LEAD'")
    mine = id_of("Lead", await lead(world))
    assert (await world.do("poolRelease", leadId=mine)).field == "poolId"
    await pool(world), await pool(world)
    assert (await world.do("poolRelease", leadId=mine)).field == "poolId"
    chosen = await pool(world, reclaim_after_d=9)
    assert (await world.do("poolRelease", show="pool { id }", leadId=mine)).done == {"pool": {"id": chosen}}


async def test_nothing_is_claimed_from_an_idle_pool_or_out_of_nowhere(world: World) -> None:
    id = await item(world, await pool(world, active=False))
    assert (await world.do("poolClaim", "SELLER", id=id)).code == "CONFLICT"
    assert (await world.do("poolClaim", "SELLER", id=f"pit_{uuid4().hex}")).code == "NOT_FOUND"
    gone = await item(world, left_at=NOW)
    assert (await world.do("poolClaim", "SELLER", id=gone)).code == "POOL_ITEM_TAKEN"
    stale = await item(world)
    await world.database.execute(
        "UPDATE leads SET pool_id = NULL WHERE id = $1", (await world.row("pool_items", stale))["lead_id"]
    )
    assert (await world.do("poolClaim", "SELLER", id=stale)).code == "POOL_ITEM_TAKEN"


async def test_a_lead_that_an_import_closed_is_not_claimed(world: World) -> None:
    id = await released(world, await pool(world, cooldown_h=0))
    lead_id = (await world.row("pool_items", id))["lead_id"]
    await world.database.execute("UPDATE leads SET status = 'LOST', lost_reason = 'Gone' WHERE id = $1", lead_id)
    answer = await world.do("poolClaim", "SELLER", id=id)
    assert answer.code == "POOL_ITEM_TAKEN"
    assert await world.database.fetchval("SELECT owner_id FROM leads WHERE id = $1", lead_id) is None


async def test_a_claim_waits_for_who_gives_the_lead_away_and_not_the_other_way_round(world: World) -> None:
    id = await released(world, await pool(world, cooldown_h=0))
    lead_id = (await world.row("pool_items", id))["lead_id"]
    async with world.database.transaction():
        await world.database.execute("SELECT FROM leads WHERE id = $1 FOR NO KEY UPDATE", lead_id)
        claiming = asyncio.create_task(world.do("poolClaim", "SELLER", id=id))
        await asyncio.sleep(0.3)
        await world.database.execute("SET LOCAL lock_timeout = '300ms'")
        await world.database.execute("UPDATE pool_items SET left_at = $2 WHERE lead_id = $1", lead_id, NOW)
        await world.database.execute("UPDATE leads SET pool_id = NULL WHERE id = $1", lead_id)
    assert (await claiming).code == "POOL_ITEM_TAKEN"


async def test_whatever_happens_at_once_a_lead_is_in_one_place(world: World) -> None:
    pool_id = await pool(world, cooldown_h=0)
    leads = [await lead(world) for _ in range(8)]
    ids = [await released(world, pool_id) for _ in range(4)]
    leads += [(await world.row("pool_items", id))["lead_id"] for id in ids]
    stranger = id_of("User", world.people["STRANGER"])
    asked = [world.do("poolClaim", role, id=id) for id in ids for role in ("SELLER", "STRANGER", "MANAGER")]
    for lead_id in leads:
        given = {"id": id_of("Lead", lead_id)}
        asked.append(world.do("poolRelease", leadId=given["id"], poolId=pool_id))
        asked.append(world.do("leadAssign", **given, ownerId=stranger))
        asked.append(world.do("leadLose", **given, reason="Gone"))
    answers = await asyncio.gather(*asked)
    assert {answer.code for answer in answers} <= {
        None,
        "POOL_ITEM_TAKEN",
        "CONFLICT",
        "ILLEGAL_TRANSITION",
        "NOT_FOUND",
    }
    rows = await world.database.fetch(
        """SELECT l.status, l.owner_id, l.pool_id, count(i.id) AS stays FROM leads l
        LEFT JOIN pool_items i ON i.lead_id = l.id AND i.left_at IS NULL WHERE l.id = ANY($1) GROUP BY l.id""",
        leads,
    )
    assert len(rows) == 12
    for row in rows:
        assert row["stays"] == (row["pool_id"] is not None)
        assert row["status"] == "LOST" or (row["owner_id"] is None) != (row["pool_id"] is None)
