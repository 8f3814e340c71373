"""What nobody follows up: warned of, then reclaimed, over a clock that moves."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import orjson
import pytest

from crmgql import db
from crmgql.domain.jobs import jobs, kinds
from crmgql.domain.pools import pool_sweeps
from crmgql.records.records import Act
from crmgql.viewer import system
from tests.conftest import NOW
from tests.domain.work import insert, lead, run, user, work


def day(number: float) -> datetime:
    return NOW + timedelta(days=number)


async def pool(database, kind: str = "LEAD", **values: Any) -> UUID:
    given = {"name": f"{kind} pool", "kind": kind, "reclaim_after_d": 30, "warn_before_d": 3, "shows": ["name"]}
    return await insert(database, "pools", **{**given, **values})


async def customer(database, *, now: datetime = NOW, **values: Any) -> UUID:
    return await insert(database, "customers", **{"name": "Acme", "updated_at": now, "created_at": now, **values})


async def sweep(crm, database, now: datetime) -> tuple[int, int]:
    """(warned, reclaimed)"""
    result = await run(crm, database, kinds.POOLS_RECLAIM, now=now)
    return result["warned"], result["reclaimed"]


async def told(database, user_id: UUID) -> list[str]:
    rows = await database.fetch("SELECT kind FROM notifications WHERE user_id = $1 ORDER BY id", user_id)
    return [row["kind"] for row in rows]


async def test_a_lead_is_warned_of_and_then_taken(crm, database) -> None:
    bob, pool_id = await user(database), await pool(database)
    id = await lead(database, now=NOW, owner_id=bob, accept_by=NOW, accepted_at=NOW)
    assert await sweep(crm, database, day(27)) == (0, 0)
    assert await sweep(crm, database, day(27.1)) == (1, 0)
    assert await sweep(crm, database, day(27.1)) == (0, 0)
    assert await sweep(crm, database, day(30)) == (0, 0)
    assert await sweep(crm, database, day(30.1)) == (0, 1)
    assert await sweep(crm, database, day(30.1)) == (0, 0)
    row = await database.fetchrow("SELECT * FROM leads WHERE id = $1", id)
    assert (row["owner_id"], row["pool_id"], row["reclaim_warned_at"], row["accept_by"]) == (None, pool_id, None, None)
    assert row["version"] == 2
    item = await database.fetchrow("SELECT * FROM pool_items")
    assert (item["lead_id"], item["last_owner_id"], item["entered_at"]) == (id, bob, day(30.1))
    assert item["shown"] == '{"name": "Ann Lee"}'
    moves = await database.fetch("SELECT kind, user_id, reason, occurred_at FROM pool_moves ORDER BY id")
    assert [tuple(move) for move in moves] == [
        ("WARNED", bob, "no activity for 30 days", day(27.1)),
        ("RECLAIMED", bob, "no activity for 30 days", day(30.1)),
    ]
    assert await told(database, bob) == ["pool.warned", "pool.reclaimed"]
    events = await database.fetch("SELECT kind, subject_type, subject_id FROM events ORDER BY occurred_at, id")
    assert [tuple(event) for event in events if event["subject_type"] not in ("Job", "Notification")] == [
        ("lead.reclaimWarned", "Lead", id),
        ("pool.reclaimed", "PoolItem", item["id"]),
        ("lead.pooled", "Lead", id),
    ]
    assert (
        await database.fetchval("SELECT count(*) FROM audit_entries WHERE subject_type <> ALL ('{Job,Notification}')")
        == 3
    )


async def test_an_activity_makes_the_warning_void(crm, database) -> None:
    bob, _ = await user(database), await pool(database)
    await lead(database, now=NOW, owner_id=bob)
    assert await sweep(crm, database, day(28)) == (1, 0)
    await database.execute("UPDATE leads SET last_activity_at = $1", day(29))
    assert await sweep(crm, database, day(40)) == (0, 0)
    assert await sweep(crm, database, day(57)) == (1, 0)
    assert await sweep(crm, database, day(59.5)) == (0, 0)
    assert await sweep(crm, database, day(60)) == (0, 1)


async def test_nothing_is_taken_without_its_warning_having_passed(crm, database) -> None:
    bob, _ = await user(database), await pool(database)
    await lead(database, now=NOW, owner_id=bob)
    assert await sweep(crm, database, day(300)) == (1, 0)
    assert await sweep(crm, database, day(302.9)) == (0, 0)
    assert await sweep(crm, database, day(303)) == (0, 1)


@pytest.mark.parametrize("warn_before_d", [None, 0])
async def test_without_a_warning_time_it_is_taken_at_once(crm, database, warn_before_d: int | None) -> None:
    bob, _ = await user(database), await pool(database, warn_before_d=warn_before_d)
    await lead(database, now=NOW, owner_id=bob)
    assert await sweep(crm, database, day(30)) == (0, 0)
    assert await sweep(crm, database, day(30.1)) == (0, 1)
    assert await told(database, bob) == ["pool.reclaimed"]


async def test_what_is_protected_stays(crm, database) -> None:
    bob, _ = await user(database), await pool(database)
    await lead(database, now=NOW, owner_id=bob, protected_until=day(90))
    assert await sweep(crm, database, day(89)) == (0, 0)
    assert await sweep(crm, database, day(90)) == (1, 0)
    assert await sweep(crm, database, day(93)) == (0, 1)


@pytest.mark.parametrize(
    "values",
    [
        {"status": "LOST", "lost_reason": "Gone"},
        {"status": "CONVERTED", "converted_at": NOW},
        {"owner_id": None},
    ],
)
async def test_what_is_closed_or_nobodys_stays(crm, database, values: dict[str, Any]) -> None:
    await pool(database, warn_before_d=None)
    await lead(database, now=NOW, **{"owner_id": await user(database), **values})
    assert await sweep(crm, database, day(300)) == (0, 0)


@pytest.mark.parametrize("values", [{"active": False}, {"reclaim_after_d": None, "warn_before_d": None}])
async def test_without_a_reclaiming_pool_nothing_returns(crm, database, values: dict[str, Any]) -> None:
    await pool(database, **values)
    await lead(database, now=NOW, owner_id=await user(database))
    assert await sweep(crm, database, day(300)) == (0, 0)


async def test_a_customer_is_warned_of_and_then_taken(crm, database) -> None:
    bob, pool_id = await user(database), await pool(database, "CUSTOMER")
    id = await customer(database, owner_id=bob)
    assert await sweep(crm, database, day(27)) == (0, 0)
    assert await sweep(crm, database, day(28)) == (1, 0)
    row = await database.fetchrow("SELECT version, updated_at FROM customers WHERE id = $1", id)
    assert tuple(row) == (1, NOW)
    assert await sweep(crm, database, day(31)) == (0, 1)
    row = await database.fetchrow("SELECT owner_id, pool_id, version FROM customers WHERE id = $1", id)
    assert tuple(row) == (None, pool_id, 2)
    timeline = await database.fetch("SELECT kind FROM events WHERE customer_id = $1 ORDER BY id", id)
    assert [event["kind"] for event in timeline] == ["customer.reclaimWarned", "pool.reclaimed", "customer.pooled"]


NO_AMOUNTS = dict.fromkeys(
    [f"{name}_amount" for name in ("subtotal", "shipping", "tax", "discount", "total")], Decimal("0.00")
)


async def stage_of(database, status: str) -> UUID:
    return await database.fetchval("SELECT id FROM stages WHERE status = $1 ORDER BY position LIMIT 1", status)


async def something(database, what: str, customer_id: UUID, at: datetime) -> None:
    """Something that happens with a customer."""
    if what == "interaction":
        await insert(database, "interactions", customer_id=customer_id, kind="CALL", subject="Hi", occurred_at=at)
    elif what == "order":
        await insert(database, "orders", customer_id=customer_id, currency="EUR", ordered_at=at, **NO_AMOUNTS)
    elif what == "payment":
        values = {
            "amount": Decimal("1.00"),
            "currency": "EUR",
            "method": "CASH",
            "status": "PENDING",
            "received_at": at,
        }
        await insert(database, "payments", customer_id=customer_id, **values)
    elif what == "ticket":
        await insert(database, "tickets", customer_id=customer_id, subject="Broken", updated_at=at)
    elif what == "task":
        values = {"subject": "Call", "status": "DONE", "done_at": at}
        await insert(database, "tasks", customer_id=customer_id, **values)
    elif what == "change":
        await database.execute("UPDATE customers SET updated_at = $1 WHERE id = $2", at, customer_id)
    else:
        stage = await stage_of(database, "OPEN" if what == "deal" else "LOST")
        closed = None if what == "deal" else at.date()
        values = {"name": "Deal", "stage_id": stage, "stage_since": NOW, "last_activity_at": at, "closed_on": closed}
        await insert(database, "opportunities", customer_id=customer_id, **values)


@pytest.mark.parametrize(
    ("what", "active"),
    [
        ("interaction", True),
        ("order", True),
        ("payment", True),
        ("ticket", True),
        ("change", True),
        ("deal", True),
        ("lost deal", False),
    ],
)
async def test_what_keeps_a_customer(crm, database, what: str, active: bool) -> None:
    await pool(database, "CUSTOMER", warn_before_d=None)
    id = await customer(database, owner_id=await user(database))
    await something(database, what, id, day(20))
    assert await sweep(crm, database, day(49)) == (0, 0 if active else 1)
    assert await sweep(crm, database, day(51)) == (0, 1 if active else 0)


async def test_steps_look_at_everything_once(crm: db.Database, database) -> None:
    people = [await user(database) for _ in range(2)]
    await pool(database, warn_before_d=None)
    await pool(database, "CUSTOMER", warn_before_d=None)
    for number in range(7):
        await lead(database, now=NOW, owner_id=people[number % 2], name=f"{{{number}}} %s")
        await customer(database, owner_id=people[number % 2])
    at: dict[str, Any] | None = {}
    steps = []
    while at is not None:
        async with crm.transaction() as tx:
            swept = await pool_sweeps.sweep(Act(tx, system(lambda: day(31))), at, limit=3)
        steps.append(swept.reclaimed)
        at = swept.at
    assert steps == [3, 3, 1, 3, 3, 1]
    assert await database.fetchval("SELECT count(*) FROM pool_items") == 14
    rows = await database.fetch("SELECT user_id, kind FROM notifications")
    assert Counter(map(tuple, rows)) == {(people[0], "pool.reclaimed"): 8, (people[1], "pool.reclaimed"): 6}


async def test_what_somebody_works_on_just_now_waits_for_the_next_sweep(crm, database) -> None:
    await pool(database, warn_before_d=None)
    id = await lead(database, now=NOW, owner_id=await user(database))
    async with crm.transaction() as tx:
        await tx.connection.execute("SELECT FROM leads WHERE id = $1 FOR NO KEY UPDATE", id)
        assert await sweep(crm, database, day(31)) == (0, 0)
    assert await sweep(crm, database, day(31)) == (0, 1)


async def test_a_new_attempt_goes_on_where_the_last_one_stopped(crm, database) -> None:
    bob = await user(database)
    await pool(database, warn_before_d=None)
    await pool(database, "CUSTOMER", warn_before_d=None)
    await lead(database, now=NOW, owner_id=bob)
    await customer(database, owner_id=bob)
    async with crm.transaction() as tx:
        await jobs.enqueue(Act(tx, system(lambda: day(31))), kinds.POOLS_RECLAIM, kinds.Nothing())
    stopped = '{"at": {"kind": "CUSTOMER"}, "counts": {"warned": 2, "reclaimed": 5}}'
    await database.execute("UPDATE jobs SET checkpoint = $1", stopped)
    (job,) = await work(crm, database, kinds.POOLS_RECLAIM, now=day(31))
    assert (job["status"], job["progress_done"]) == ("DONE", 8)
    assert orjson.loads(job["result"]) == {"warned": 2, "reclaimed": 6}
    assert await database.fetchval("SELECT count(*) FROM leads WHERE owner_id IS NOT NULL") == 1
