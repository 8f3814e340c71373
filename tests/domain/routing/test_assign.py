"""Leads routed one by one, re-routed, declined: each ends in one place, with its reason, and no circle goes on."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import orjson

from crmgql.domain.routing import assign
from tests.conftest import NOW, viewer
from tests.domain.routing.company import Firm

HOUR = timedelta(hours=1)


async def test_a_lead_gets_its_owner_with_everything_that_belongs_to_it(firm: Firm) -> None:
    seller = await firm.seller("Ann")
    away = await firm.seller("Bob", opted_out=True)
    ruleset = await firm.ruleset({}, accept_within_min=30)
    lead = await firm.lead("Ada")
    assert (await firm.act(assign.route, lead_id=lead))["reason"] == "MATCHED"
    row, [decision] = await firm.row(lead), await firm.decisions(lead)
    assert (row["owner_id"], row["assigned_at"], row["accepted_at"]) == (seller, NOW, None)
    assert row["accept_by"] == NOW + timedelta(minutes=30)
    assert (row["routing_id"], row["version"]) == (decision["id"], 2)
    assert (decision["ruleset_id"], decision["chosen_id"], decision["attempt"]) == (ruleset, seller, 1)
    assert orjson.loads(decision["candidates"]) == {f"usr_{seller.hex}": "ELIGIBLE", f"usr_{away.hex}": "OPTED_OUT"}
    assert await firm.told(lead) == ["lead.routed"]
    news = await firm.database.fetchrow("SELECT * FROM notifications")
    assert (news["user_id"], news["kind"], news["title"]) == (seller, "lead.assigned", "A lead for you: Ada")
    audit = orjson.loads(await firm.database.fetchval("SELECT changes FROM audit_entries"))
    assert audit["owner_id"] == [None, str(seller)]


async def test_a_job_that_runs_twice_routes_once(firm: Firm) -> None:
    await firm.seller()
    await firm.seller()
    await firm.ruleset({})
    lead = await firm.lead()
    await firm.act(assign.route, lead_id=lead)
    before = await firm.row(lead)
    assert (await firm.act(assign.route, lead_id=lead))["routed"] is False
    assert await firm.row(lead) == before
    assert len(await firm.decisions(lead)) == 1


async def test_what_has_a_place_or_is_closed_is_left_alone(firm: Firm) -> None:
    seller = await firm.seller()
    await firm.ruleset({})
    queue = await firm.insert("lead_queues", name="Mine")
    pool = await firm.insert("pools", name="Pool", kind="LEAD")
    for values in (
        {"owner_id": seller},
        {"queue_id": queue},
        {"pool_id": pool},
        {"status": "LOST", "lost_reason": "x"},
    ):
        lead = await firm.lead(**values)
        before = await firm.row(lead)
        assert (await firm.act(assign.route, lead_id=lead))["routed"] is False
        assert await firm.row(lead) == before
    assert (await firm.act(assign.route, lead_id=UUID(int=1)))["why"] == "There is no such lead."


async def test_without_a_rule_set_it_waits_and_administrators_know(firm: Firm) -> None:
    admin = await firm.seller("Root", roles=("ADMIN",))
    seller = await firm.seller()
    lead = await firm.lead()
    assert (await firm.act(assign.route, lead_id=lead))["reason"] == "NO_RULE"
    assert await firm.told(lead) == ["lead.unrouted"]
    news = await firm.database.fetch("SELECT user_id, kind, lead_id FROM notifications")
    assert [tuple(row) for row in news] == [(admin, "lead.unrouted", lead)]
    await firm.act(assign.route, lead_id=lead)
    assert len(await firm.decisions(lead)) == 1
    await firm.ruleset({})
    await firm.act(assign.reroute_due)
    assert (await firm.row(lead))["owner_id"] == seller


async def test_what_found_no_place_is_tried_again_ever_less_often(firm: Firm) -> None:
    await firm.ruleset({}, fallback=False)
    lead = await firm.lead()
    await firm.act(assign.route, lead_id=lead)
    for minutes, tried in ((9, 1), (10, 2), (29, 2), (30, 3), (60, 3), (70, 4)):
        await firm.act(assign.reroute_due, at=NOW + timedelta(minutes=minutes))
        assert len(await firm.decisions(lead)) == tried, minutes
    seller = await firm.seller()
    await firm.act(assign.reroute_due, at=NOW + 3 * HOUR)
    assert (await firm.row(lead))["owner_id"] == seller
    assert await firm.database.fetchval("SELECT count(*) FROM notifications WHERE user_id <> $1", seller) == 0


async def test_every_seller_absent(firm: Firm) -> None:
    seller = await firm.seller()
    await firm.insert("absences", user_id=seller, starts_at=NOW - HOUR, ends_at=NOW + HOUR)
    await firm.ruleset({})
    lead = await firm.lead()
    await firm.act(assign.route, lead_id=lead)
    row, [decision] = await firm.row(lead), await firm.decisions(lead)
    assert (decision["reason"], row["queue_id"]) == ("NO_AVAILABILITY", decision["queue_id"])
    assert row["queue_deadline"] == NOW + HOUR
    assert await firm.told(lead) == ["lead.queued"]
    await firm.act(assign.reroute_due, at=NOW + HOUR)
    assert (await firm.row(lead))["owner_id"] == seller


async def test_a_rule_broken_by_hand_is_a_reason_and_not_a_crash(firm: Firm) -> None:
    await firm.seller("Ann", hours={"timezone": "Nowhere"})
    await firm.ruleset({"conditions": {"field": "score", "op": "gte", "value": "high"}})
    lead = await firm.lead()
    await firm.act(assign.route, lead_id=lead)
    [decision] = await firm.decisions(lead)
    assert (decision["reason"], decision["queue_id"] is not None) == ("ERROR", True)
    assert "Rule 1" in decision["explanation"]
    await firm.ruleset({}, fallback=False, rates={"USD": 5.5})
    other = await firm.lead()
    await firm.act(assign.route, lead_id=other)
    assert [each["reason"] for each in await firm.decisions(other)] == ["ERROR"]


async def test_wrong_hours_leave_the_seller_out(firm: Firm) -> None:
    seller = await firm.seller("Ann", hours={"timezone": "Nowhere"})
    await firm.database.execute("UPDATE seller_profiles SET attributes = '[]'")
    await firm.ruleset({})
    lead = await firm.lead()
    await firm.act(assign.route, lead_id=lead)
    [decision] = await firm.decisions(lead)
    assert orjson.loads(decision["candidates"]) == {f"usr_{seller.hex}": "PROFILE_WRONG"}


async def test_the_owner_of_the_customer(firm: Firm) -> None:
    owner, other = await firm.seller("Owner"), await firm.seller("Other")
    customer = await firm.insert("customers", name="Acme Ltd", email="Info@Acme.example", owner_id=owner)
    await firm.insert("contacts", name="Bo", email="Bo@else.example", customer_id=customer)
    await firm.ruleset({"target": "USER", "target_user_id": other})
    for values, how in (
        ({"email": "info@acme.example", "normal_email": "info@acme.example"}, "e-mail"),
        ({"email": "BO@else.example", "normal_email": "bo@else.example"}, "a contact's e-mail"),
        ({"email": "new@acme.example", "domain": "acme.example"}, "domain"),
        ({"company": "ACME LTD"}, "company"),
        ({"customer_id": customer}, "its customer"),
    ):
        lead = await firm.lead(**values)
        await firm.act(assign.route, lead_id=lead)
        [decision] = await firm.decisions(lead)
        assert (decision["reason"], decision["chosen_id"]) == ("EXISTING_ACCOUNT_OWNER", owner), how
        assert how in decision["explanation"]
    lead = await firm.lead(email="x@gmail.com", normal_email="x@gmail.com", company="Acme")
    await firm.act(assign.route, lead_id=lead)
    assert (await firm.row(lead))["owner_id"] == other


async def test_who_does_not_accept_loses_it_to_the_next_and_it_ends_with_the_queue_owner(firm: Firm) -> None:
    boss = await firm.seller("Boss", roles=("ADMIN",))
    sellers = {await firm.seller(f"Seller {number}") for number in range(3)}
    await firm.ruleset({}, accept_within_min=60, max_reroutes=1, queue_owner=boss)
    lead = await firm.lead()
    await firm.act(assign.route, lead_id=lead)
    owners = [(await firm.row(lead))["owner_id"]]
    for hours in range(1, 30):
        await firm.act(assign.reroute_due, at=NOW + hours * HOUR)
        if (owner := (await firm.row(lead))["owner_id"]) != owners[-1]:
            owners.append(owner)
    assert owners[0] != owners[1]
    assert {owners[0], owners[1]} <= sellers
    assert owners[2:] == [None, boss]
    decisions = await firm.decisions(lead)
    assert [each["reason"] for each in decisions] == ["MATCHED", "NOT_ACCEPTED", "NOT_ACCEPTED", "ESCALATED"]
    assert [each["previous_id"] for each in decisions] == [None, owners[0], owners[1], None]
    assert [each["attempt"] for each in decisions] == [1, 2, 3, 4]
    assert orjson.loads(decisions[1]["candidates"])[f"usr_{owners[0].hex}"] == "DECLINED"
    assert "did not accept it by 2026-11-01 13:00 UTC" in decisions[1]["explanation"]
    assert await firm.told(lead) == ["lead.routed", "lead.routed", "lead.queued", "lead.routed"]
    assert (await firm.row(lead))["accept_by"] is None


async def test_an_accepted_lead_is_never_taken_away(firm: Firm) -> None:
    seller = await firm.seller()
    await firm.seller()
    await firm.ruleset({}, accept_within_min=60)
    lead = await firm.lead(owner_id=seller, accept_by=NOW, accepted_at=NOW)
    by_hand = await firm.lead(owner_id=seller)
    assert await firm.act(assign.reroute_due, at=NOW + 9 * HOUR) == {"notAccepted": 0, "waited": 0, "placeless": 0}
    assert [(await firm.row(each))["owner_id"] for each in (lead, by_hand)] == [seller, seller]


async def test_a_queue_without_an_owner_waits_on_and_administrators_know_once(firm: Firm) -> None:
    admin = await firm.seller("Root", roles=("ADMIN",))
    await firm.ruleset()
    lead = await firm.lead()
    await firm.act(assign.route, lead_id=lead)
    for hours in (1, 2, 3):
        await firm.act(assign.reroute_due, at=NOW + hours * HOUR)
        assert (await firm.row(lead))["queue_deadline"] == NOW + (hours + 1) * HOUR
    news = await firm.database.fetch("SELECT user_id, kind FROM notifications")
    assert [tuple(row) for row in news] == [(admin, "lead.stuck")]


async def test_from_a_queue_it_never_goes_to_another_queue(firm: Firm) -> None:
    boss = await firm.seller("Boss", opted_out=True)
    first = await firm.insert("lead_queues", name="First", deadline_min=60, owner_id=boss)
    await firm.ruleset({"target": "QUEUE", "target_queue_id": first})
    lead = await firm.lead()
    await firm.act(assign.route, lead_id=lead)
    assert (await firm.row(lead))["queue_id"] == first
    await firm.act(assign.reroute_due, at=NOW + HOUR)
    assert (await firm.row(lead))["owner_id"] == boss
    assert (await firm.decisions(lead))[-1]["reason"] == "ESCALATED"


async def test_without_a_rule_set_queues_still_come_to_an_end(firm: Firm) -> None:
    boss = await firm.seller("Boss")
    queue = await firm.insert("lead_queues", name="Old", owner_id=boss)
    lead = await firm.lead(queue_id=queue, queue_deadline=NOW)
    await firm.act(assign.reroute_due)
    assert (await firm.row(lead))["owner_id"] == boss


async def test_a_chain_starts_anew_after_a_hand(firm: Firm) -> None:
    ann = await firm.seller("Ann")
    await firm.ruleset({}, accept_within_min=60)
    lead = await firm.lead()
    await firm.act(assign.route, lead_id=lead)
    await firm.act(assign.reroute_due, at=NOW + HOUR)
    assert (await firm.row(lead))["queue_id"]
    await firm.insert(
        "assignment_decisions", lead_id=lead, reason="MANUAL", explanation="By hand.", previous_id=ann, decided_at=NOW
    )
    await firm.database.execute("UPDATE leads SET queue_id = NULL, queue_deadline = NULL WHERE id = $1", lead)
    await firm.act(assign.reroute_due, at=NOW + 3 * HOUR)
    assert (await firm.row(lead))["owner_id"] == ann


async def test_decline(firm: Firm) -> None:
    ann, bob = await firm.seller("Ann"), await firm.seller("Bob")
    await firm.ruleset({})
    lead = await firm.lead()
    await firm.act(assign.route, lead_id=lead)
    owner = (await firm.row(lead))["owner_id"]
    await firm.act(assign.decline, viewer=viewer(owner, "SELLER"), id=lead)
    assert (await firm.row(lead))["owner_id"] == ({ann, bob} - {owner}).pop()
    last = (await firm.decisions(lead))[-1]
    assert (last["reason"], last["previous_id"], last["actor_id"]) == ("NOT_ACCEPTED", owner, owner)


async def test_two_hundred_leads_by_eight_at_once(firm: Firm) -> None:
    weights = {await firm.seller(f"Seller {n}", weight=n): n for n in (1, 2, 3, 4)}
    full = await firm.seller("Full", weight=100, max_open=7)
    daily = await firm.seller("Daily", weight=100, max_per_day=3)
    await firm.ruleset({"distribution": "WEIGHTED"})
    leads = [await firm.lead(f"Lead {number}") for number in range(210)]
    waiting = asyncio.Queue[UUID]()
    for lead in [*leads, *leads[:20]]:
        waiting.put_nowait(lead)

    async def work() -> None:
        while not waiting.empty():
            await firm.act(assign.route, lead_id=waiting.get_nowait())

    await asyncio.gather(*(work() for _ in range(8)))
    rows = await firm.database.fetch("SELECT owner_id, count(*) FROM leads GROUP BY owner_id")
    got: Counter[Any] = Counter({row["owner_id"]: row["count"] for row in rows})
    assert (got[full], got[daily], got.total()) == (7, 3, 210)
    for seller, weight in weights.items():
        assert abs(got[seller] - 200 * weight / 10) <= 1
    assert await firm.database.fetchval("SELECT count(*) FROM assignment_decisions") == 210


async def test_nobody_who_is_deactivated_at_the_same_time_gets_it(firm: Firm) -> None:
    leaving, staying = await firm.seller("A leaving one"), await firm.seller("Staying")
    await firm.ruleset({"distribution": "FIXED"})
    lead = await firm.lead()
    async with firm.crm.transaction() as other:
        await other.connection.execute("UPDATE users SET active = false WHERE id = $1", leaving)
        routing = asyncio.create_task(firm.act(assign.route, lead_id=lead))
        await asyncio.sleep(0.3)
        assert not routing.done()
    await routing
    assert (await firm.row(lead))["owner_id"] == staying
    [decision] = await firm.decisions(lead)
    assert orjson.loads(decision["candidates"])[f"usr_{leaving.hex}"] == "INACTIVE"


async def test_declining_without_a_rule_set(firm: Firm) -> None:
    ann = await firm.seller("Ann")
    lead = await firm.lead(owner_id=ann)
    await firm.act(assign.decline, viewer=viewer(ann, "SELLER"), id=lead)
    assert (await firm.row(lead))["owner_id"] is None
    [decision] = await firm.decisions(lead)
    assert (decision["reason"], decision["previous_id"]) == ("NO_RULE", ann)


async def test_a_limit_per_day_counts_from_the_companys_midnight_or_that_of_the_sellers_own_hours(firm: Firm) -> None:
    await firm.database.execute("UPDATE companies SET timezone = 'Asia/Shanghai'")
    plain = await firm.seller("Plain", max_per_day=1)
    await firm.ruleset({})
    midnight = datetime(2026, 2, 28, 16, 0, tzinfo=UTC)

    async def owner(at: datetime) -> Any:
        lead = await firm.lead()
        await firm.act(assign.route, at=at, lead_id=lead)
        return (await firm.row(lead))["owner_id"]

    moments = [midnight + timedelta(hours=hours) for hours in (-2, -1, 0, 1)]
    assert [await owner(moment) for moment in moments] == [plain, None, plain, None]
    await firm.database.execute("UPDATE seller_profiles SET opted_out = true")
    own = await firm.seller("Own", max_per_day=1, hours={"timezone": "UTC"})
    assert [await owner(moment) for moment in moments] == [own, None, None, None]
    assert await owner(midnight + timedelta(hours=8)) == own
