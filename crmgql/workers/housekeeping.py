"""Deletes what has had its day."""

from __future__ import annotations

from datetime import timedelta

from crmgql.domain.jobs import jobs, kinds
from crmgql.domain.people import sessions
from crmgql.records import idempotency, records
from crmgql.records.records import Act
from crmgql.workers.bodies import Result, task

KEYS_KEPT = timedelta(days=30)
JOBS_KEPT = timedelta(days=14)


@task(kinds.HOUSEKEEPING)
async def housekeeping(act: Act, arguments: kinds.Nothing) -> Result:
    """Ended sessions, old login counters, idempotency keys past their time, jobs long done."""
    await records.unhurried(act)
    await sessions.purge(act.tx, now=act.now)
    await idempotency.purge(act.tx, before=act.now - KEYS_KEPT)
    return {"jobs": await jobs.purge(act, before=act.now - JOBS_KEPT)}
