"""Leads that look like one: found whichever came first, once, and by index."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from crmgql import db
from crmgql.config import Settings
from crmgql.domain.jobs import jobs, kinds
from crmgql.domain.leads import duplicates, leads
from crmgql.errors import IllegalTransition
from crmgql.records.records import Act
from crmgql.viewer import system
from crmgql.workers import leads as lead_jobs
from crmgql.workers.attempts import Attempts
from tests.conftest import NOW
from tests.jobs import attempt

ANN = {"name": "Ann Lee", "company": "Acme GmbH"}


async def make(crm: db.Database, **values: Any) -> UUID:
    async with crm.transaction() as tx:
        return await leads.create(Act(tx, system(lambda: NOW)), **{"name": "Somebody", **values})


async def find(crm: db.Database, id: UUID) -> int:
    """What the job does, twice: the second time finds nothing new."""
    found = []
    for _ in range(2):
        async with crm.transaction() as tx:
            found.append((await duplicates.find(Act(tx, system(lambda: NOW)), lead_id=id))["found"])
    assert found[1] == 0
    return int(found[0])


async def pairs(database: asyncpg.Connection) -> list[dict[str, Any]]:
    rows = await database.fetch("SELECT * FROM lead_duplicates ORDER BY similarity DESC, id")
    return [{**row, "reasons": json.loads(row["reasons"])["reasons"]} for row in rows]


@pytest.mark.parametrize(
    ("one", "other", "similarity", "field"),
    [
        ({"email": "Ann.Lee@gmail.com"}, {"email": "annlee+x@googlemail.com"}, (100, 100), "email"),
        ({"phone": "030 12345678", "country": "Germany"}, {"phone": "+49 30 1234 5678"}, (95, 95), "phone"),
        ({"phone": "138 0013 8000", "country": "CN"}, {"phone": "0086 13800138000"}, (95, 95), "phone"),
        (ANN, {"name": "ANN LEE", "company": "ACME Ltd."}, (90, 90), "company"),
        (ANN, {"name": "Anne Lee", "company": "Acme"}, (60, 89), "company"),
        (
            {"name": "J. Smith", "email": "js@acme.com"},
            {"name": "John Smith", "email": "john@acme.com"},
            (60, 80),
            "domain",
        ),
        (
            {"name": "Jürgen Müller", "email": "a@x.de"},
            {"name": "Jurgen Muller", "email": "b@x.de"},
            (90, 90),
            "domain",
        ),
        ({"name": "李伟", "company": "华为技术有限公司"}, {"name": "李伟", "company": "华为技术"}, (90, 90), "company"),
    ],
)
async def test_what_is_alike(
    crm: db.Database, database: asyncpg.Connection, one: Any, other: Any, similarity: tuple[int, int], field: str
) -> None:
    first, second = await make(crm, **one), await make(crm, **other)
    assert await find(crm, second) == 1
    assert await find(crm, first) == 0
    (pair,) = await pairs(database)
    assert (pair["lead_id"], pair["other_id"], pair["status"]) == (second, first, "OPEN")
    assert similarity[0] <= pair["similarity"] <= similarity[1]
    assert pair["reasons"][0]["field"] == field
    told = await database.fetch("SELECT payload FROM events WHERE kind = 'lead.duplicateFound'")
    assert [json.loads(row["payload"])["leadId"] for row in told] == [f"led_{second.hex}"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"name": "Ann Lee", "email": "ann@acme.com"}, {"name": "Bob Ray", "email": "bob@acme.com"}),
        ({"name": "Ann Lee", "email": "ann@gmail.com"}, {"name": "Ann Lee", "email": "lee@gmail.com"}),
        ({"name": "Ann Lee", "company": "Acme"}, {"name": "Ann Lee", "company": "Globex"}),
        ({"name": "Ann Lee"}, {"name": "Ann Lee"}),
        ({"phone": "000000"}, {"phone": "000000"}),
        ({"phone": "030 12345678", "country": "DE"}, {"phone": "030 12345678", "country": "IT"}),
    ],
)
async def test_what_is_not_alike(crm: db.Database, database: asyncpg.Connection, one: Any, other: Any) -> None:
    ids = [await make(crm, **one), await make(crm, **other)]
    assert [await find(crm, id) for id in ids] == [0, 0]
    assert await pairs(database) == []


async def test_two_that_came_at_once_are_one_pair(crm: db.Database, database: asyncpg.Connection) -> None:
    """Neither sees the other before both are committed; the jobs run after that, also at once."""
    for number in range(5):
        ids = await asyncio.gather(*(make(crm, name=name, email=f"ann@{number}.com") for name in ("Ann", "Bob")))
        jobs = "SELECT count(*) FROM jobs WHERE kind = 'lead.duplicates' AND arguments ->> 'lead_id' = ANY($1)"
        assert await database.fetchval(jobs, [str(id) for id in ids]) == 2
        found = await asyncio.gather(*(once(crm, id) for id in ids))
        assert sum(found) == 1
    assert len(await pairs(database)) == 5
    assert await database.fetchval("SELECT count(*) FROM events WHERE kind = 'lead.duplicateFound'") == 5


async def test_workers_do_it(crm: db.Database, database: asyncpg.Connection) -> None:
    """The jobs that new leads bring, run as a worker runs them, both at once."""
    for name in ("Ann", "Bob"):
        await make(crm, name=name, phone="+49 30 12345678")
    made = await database.fetch("SELECT id FROM jobs WHERE kind = 'lead.duplicates'")
    worker = Attempts(crm, Settings(log_level="error"))
    await asyncio.gather(*(attempt(worker, job["id"], 0) for job in made))
    done = await database.fetch("SELECT status, result FROM jobs WHERE kind = 'lead.duplicates'")
    assert [job["status"] for job in done] == ["DONE", "DONE"]
    assert [job["result"] for job in done] == [None, None], "who may read the job may not see the leads"
    assert len(await pairs(database)) == 1


async def test_an_import_is_gone_through_in_steps(
    crm: db.Database, database: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One job for all leads of a source, twice; what belongs to other sources is not looked for."""
    monkeypatch.setattr(lead_jobs, "BATCH", 2)
    for number in range(5):
        await make(crm, name=f"L{number}", phone=f"+49 30 1234567{number % 2}", source="list", external_id=str(number))
    await make(crm, name="Other", phone="+49 40 7654321")
    await make(crm, name="Another", phone="+49 40 7654321")
    for found in (4, 0):
        async with crm.transaction() as tx:
            wanted = kinds.LeadsOf(source="list")
            id = await jobs.enqueue(Act(tx, system(lambda: NOW)), kinds.LEADS_DUPLICATES, wanted)
        await attempt(Attempts(crm, Settings(log_level="error")), id, 0)
        job = await database.fetchrow("SELECT status, result FROM jobs WHERE id = $1", id)
        assert (job["status"], json.loads(job["result"])) == ("DONE", {"found": found})
    assert len(await pairs(database)) == 4


async def once(crm: db.Database, id: UUID) -> int:
    async with crm.transaction() as tx:
        return int((await duplicates.find(Act(tx, system(lambda: NOW)), lead_id=id))["found"])


async def test_one_job_before_the_other_came_misses_nothing(crm: db.Database, database: asyncpg.Connection) -> None:
    """The first one's job ends while the second is not committed yet: the second's job finds the pair."""
    first = await make(crm, email="ann@example.com")
    async with crm.transaction() as tx:
        second = await leads.create(Act(tx, system(lambda: NOW)), name="Ann", email="ann@example.com")
        assert await once(crm, first) == 0
    assert await once(crm, second) == 1


async def test_a_shared_address_brings_the_best_only(crm: db.Database, database: asyncpg.Connection) -> None:
    for _ in range(30):
        await make(crm, email="info@example.com")
    assert await find(crm, await make(crm, email="info@example.com")) == duplicates.BEST


async def test_a_merged_lead_is_found_in_its_survivor(crm: db.Database, database: asyncpg.Connection) -> None:
    survivor, merged, again = [await make(crm, name=name) for name in ("Ann", "Bob", "Cem")]
    sql = "UPDATE leads SET status = 'MERGED', merged_into_id = $2, normal_email = $3 WHERE id = $1"
    await database.execute(sql, merged, survivor, "old@example.com")
    await database.execute(sql, again, merged, None)
    new = await make(crm, name="Dan", email="old@example.com")
    assert await find(crm, new) == 1
    assert await find(crm, merged) == 0
    (pair,) = await pairs(database)
    assert (pair["lead_id"], pair["other_id"]) == (new, survivor)


async def test_a_dismissed_pair_stays_dismissed(crm: db.Database, database: asyncpg.Connection) -> None:
    one, other = [await make(crm, email="info@example.com") for _ in range(2)]
    await find(crm, one)
    (pair,) = await pairs(database)

    async def dismiss() -> None:
        async with crm.transaction() as tx:
            await duplicates.dismiss(Act(tx, system(lambda: NOW)), id=pair["id"])

    results = await asyncio.gather(dismiss(), dismiss(), return_exceptions=True)
    assert sorted(type(result) for result in results if result) == [IllegalTransition]
    await find(crm, other)
    (after,) = await pairs(database)
    assert (after["status"], after["settled_at"]) == ("DISMISSED", NOW)
    told = await database.fetch("SELECT kind FROM events WHERE subject_id = $1 ORDER BY id", pair["id"])
    assert [row["kind"] for row in told] == ["lead.duplicateFound", "lead.duplicateDismissed"]


async def test_the_search_uses_indexes(crm: db.Database, database: asyncpg.Connection) -> None:
    """Among many leads no search walks the table."""
    await database.execute(
        "INSERT INTO leads (name, company, normal_email, normal_phone, domain, status_since, received_at, last_activity_at)"
        " SELECT md5(n::text), md5((n / 3)::text), n || '@' || n % 999 || '.com', '+49' || n, n % 999 || '.com',"
        " now(), now(), now() FROM generate_series(1, 20000) n"
    )
    await database.execute("ANALYZE leads")
    id = await database.fetchval("SELECT id FROM leads WHERE normal_phone = '+4977'")
    values = ["77@77.com", "+4977", "77.com", "Ann Lee", "Acme GmbH"]
    plan = await database.fetch(f"EXPLAIN {duplicates.CANDIDATES}", id, *values)
    lines = [row[0] for row in plan]
    assert not [line for line in lines if "Seq Scan on leads" in line], "\n".join(lines)
    text = "\n".join(lines)
    for index in ("leads_email", "leads_phone", "trigrams"):
        assert index in text
