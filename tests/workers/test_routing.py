"""The jobs of routing, done by the real machine; each may run twice."""

from __future__ import annotations

from datetime import timedelta

import asyncpg
import orjson

from crmgql import db
from crmgql.domain.jobs import jobs, kinds
from crmgql.records.records import Act
from crmgql.viewer import system
from crmgql.workers import routing  # noqa: F401 - declares what is done
from tests.conftest import NOW
from tests.domain import work
from tests.domain.routing.company import Firm


async def enqueue(crm: db.Database, kind: kinds.Kind[kinds.A], arguments: kinds.A) -> None:
    async with crm.transaction() as tx:
        await jobs.enqueue(Act(tx, system(lambda: NOW)), kind, arguments)


async def test_a_lead_is_routed_once_by_two_jobs(crm: db.Database, database: asyncpg.Connection) -> None:
    firm = Firm(crm, database)
    seller, _ = await firm.seller(), await firm.ruleset({})
    lead = await firm.lead()
    for _ in range(2):
        await enqueue(crm, kinds.LEAD_ROUTE, kinds.LeadOf(lead_id=lead))
    done = await work.work(crm, database, kinds.LEAD_ROUTE, now=NOW)
    assert [job["status"] for job in done] == ["DONE", "DONE"]
    assert [orjson.loads(job["result"]) for job in done] == [
        {"routed": True},
        {"routed": False},
    ]  # not why: see the task
    assert (await firm.row(lead))["owner_id"] == seller
    assert len(await firm.decisions(lead)) == 1


async def test_many_leads_are_routed_in_steps(crm: db.Database, database: asyncpg.Connection) -> None:
    firm = Firm(crm, database)
    await firm.seller()
    await firm.ruleset({})
    await firm.leads(25)
    for expected in (25, 0):
        await enqueue(crm, kinds.LEADS_ROUTE, kinds.RouteMany(batch_size=10))
        (job,) = await work.work(crm, database, kinds.LEADS_ROUTE, now=NOW)
        assert (job["status"], orjson.loads(job["result"])) == ("DONE", {"routed": expected})
    assert await database.fetchval("SELECT count(*) FROM leads WHERE owner_id IS NOT NULL") == 25


async def test_what_is_due_is_re_routed(crm: db.Database, database: asyncpg.Connection) -> None:
    firm = Firm(crm, database)
    ann, bob = await firm.seller("Ann"), await firm.seller("Bob")
    await firm.ruleset({})
    lead = await firm.lead(owner_id=ann, accept_by=NOW - timedelta(minutes=1))
    for late in (1, 0):
        result = await work.run(crm, database, kinds.LEADS_REROUTE, now=NOW)
        assert result == {"notAccepted": late, "waited": 0, "placeless": 0}
    assert (await firm.row(lead))["owner_id"] == bob
