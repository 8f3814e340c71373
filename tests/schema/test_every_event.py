"""Every mutation and every job, and each event that came of them, held against the registry."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import asyncpg

from crmgql.config import Settings
from crmgql.db import Database
from crmgql.domain.jobs import jobs
from crmgql.domain.jobs import kinds as job_kinds
from crmgql.events import kinds, outbox
from crmgql.records.records import Act
from crmgql.viewer import system
from crmgql.workers import chapters  # noqa: F401 - they declare what is done
from crmgql.workers.attempts import Attempts
from tests.jobs import attempt
from tests.schema.cases import CASES, load
from tests.schema.cases_contracts import contract
from tests.schema.world import NOW, World, id_of, uuid_of

load()
TESTS = Path(__file__).resolve().parents[1]
LATER = NOW + timedelta(days=60)

ELSEWHERE = {
    "commission.recorded": "imports/test_all_nouns.py",
    "commission.updated": "imports/test_all_nouns.py",
    "contact.erased": "schema/customers/test_erasure.py",
    "customer.erased": "schema/customers/test_erasure.py",
    "email.failed": "domain/messages/test_emails.py",
    "email.retried": "domain/messages/test_emails.py",
    "email.sent": "domain/messages/test_emails.py",
    "gap.recorded": "events/test_tables.py",
    "import.finished": "imports/test_engine.py",
    "invoice.sent": "domain/money/test_mailing.py",
    "creditNote.sent": "domain/money/test_mailing.py",
    "customer.statementSent": "domain/money/test_mailing.py",
    "lead.duplicateFound": "domain/leads/test_duplicates.py",
    "lead.unassigned": "schema/people/test_departures.py",
    "login.throttled": "domain/people/test_session_events.py",
    "opportunity.revived": "domain/opportunities/test_stale_alerts.py",
    "routingRuleset.retired": "schema/routing/test_routing.py",
    "order.creditLimitPassed": "domain/money/test_standings.py",
    "revenue.recognised": "domain/sales/test_deferrals.py",
    "revenue.reversed": "domain/sales/test_deferrals.py",
    "stageTransition.recorded": "imports/test_all_nouns.py",
    "user.loggedIn": "domain/people/test_session_events.py",
    "user.loggedOut": "domain/people/test_session_events.py",
    "user.sessionEnded": "domain/people/test_session_events.py",
    "webhookEndpoint.disabled": "workers/test_webhooks_in_trouble.py",
    "webhookEndpoint.verified": "schema/webhooks/test_endpoints.py",
}
"""Kinds that neither a mutation's case nor a job here comes to, and the test that does."""


async def test_what_leaves_is_declared(world: World) -> None:
    for mutation, (_, make) in CASES.items():
        await world.do(mutation, **await make(world, "ADMIN"))
    await prepare(world)
    await work(world.engine.database, world.database)
    rows = await world.database.fetch(
        "SELECT e.*, a.action, a.changes FROM events e LEFT JOIN audit_entries a USING (id)"
    )
    for row in rows:
        kind = kinds.find(row["kind"])
        payload = json.loads(row["payload"])
        kind.check_subject(row["subject_type"], row["customer_id"])
        assert kind.check(payload) == payload, row["kind"]
        assert row["action"] == row["kind"]
        assert json.loads(row["changes"]).keys() <= outbox.columns_of(row["subject_type"])
    recorded = {row["kind"] for row in rows}
    assert sorted(kinds.KINDS.keys() - recorded) == sorted(ELSEWHERE)
    for name, path in ELSEWHERE.items():
        assert f'"{name}"' in (TESTS / path).read_text("utf-8"), name


async def prepare(world: World) -> None:
    """A deal that nothing happens in, a plan of payments that nobody pays, records that nobody follows up, somebody to tell by e-mail."""
    await world.opportunity()
    deal = await contract(world, "ACTIVE")
    days = [(LATER + timedelta(days=more)).date().isoformat() for more in (-20, 20)]
    plan = [{"dueOn": day, "share": "50", "reminderDays": 30} for day in days]
    await world.do("contractSetPlan", id=deal, payments=plan)
    await world.database.execute("UPDATE users SET email = id || '@example.com' WHERE email IS NULL")
    await world.database.execute("UPDATE pools SET reclaim_after_d = NULL WHERE active")
    for kind in ("LEAD", "CUSTOMER"):
        await world.insert("pools", name=f"Reclaiming {kind}", kind=kind, reclaim_after_d=30, warn_before_d=1)
    customer = await world.customer()
    await world.do("customerUpdate", id=customer, name="Ajax")
    await world.do("customerUpdate", id=customer, ownerId=id_of("User", world.people["STRANGER"]))
    seller = id_of("User", await world.user("SELLER"))
    await world.do("userUpdate", id=seller, password="correct horse battery")
    await world.do("sellerProfileSet", userId=seller, maxOpen=3)
    await world.do("sellerProfileSet", userId=seller, maxOpen=4)
    job = (await world.do("jobEnqueue", kind="housekeeping")).done["id"]
    await world.database.execute(
        "UPDATE jobs SET status = 'RUNNING', lease_until = now(), lease_by = id WHERE id = $1", uuid_of(job)
    )
    await world.do("jobCancel", id=job)
    await world.database.execute("DELETE FROM jobs WHERE id = $1", uuid_of(job))


async def work(crm: Database, database: asyncpg.Connection) -> None:
    """Every kind of job, each until nothing is due."""
    for now in (LATER, LATER + timedelta(days=2)):
        async with crm.transaction() as tx:
            act = Act(tx, system(lambda now=now: now))  # type: ignore[misc]
            for kind in job_kinds.KINDS.values():
                if kind.arguments in (job_kinds.Nothing, job_kinds.LeadsOf, job_kinds.RouteMany) and kind.manual:
                    await jobs.enqueue(act, kind, kind.arguments())
        attempts = Attempts(crm, Settings(smtp_url=None), clock=lambda now=now: now)
        while due := await database.fetch(
            "SELECT id, attempts FROM jobs WHERE status = 'PENDING' AND due_at <= $1 ORDER BY id LIMIT 500", now
        ):
            for job in due:
                await attempt(attempts, job["id"], job["attempts"])
