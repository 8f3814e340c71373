"""Deletes what has had its day."""

from __future__ import annotations

from datetime import timedelta

from crmgql.domain.jobs import jobs, kinds
from crmgql.domain.people import sessions
from crmgql.events import months
from crmgql.records import idempotency, records
from crmgql.workers.bodies import Result, Run, long_task

KEYS_KEPT = timedelta(days=30)
JOBS_KEPT = timedelta(days=14)


@long_task(kinds.HOUSEKEEPING)
async def housekeeping(run: Run, arguments: kinds.Nothing) -> Result:
    """Ended sessions, old login counters, idempotency keys past their time, jobs long done; months of events."""
    async with run.step() as act:
        await records.unhurried(act)
        await sessions.purge(act.tx, now=act.now)
        await idempotency.purge(act.tx, before=act.now - KEYS_KEPT)
        purged = await jobs.purge(act, before=act.now - JOBS_KEPT)
    async with run.step() as act:
        await months.make(act.tx, now=act.now)
    kept = {"events": run.settings.events_retention_days, "audit_entries": run.settings.audit_retention_days}
    gone = {relation: await _give_up(run, relation, days) for relation, days in kept.items() if days is not None}
    return {"jobs": purged, **gone}


async def _give_up(run: Run, relation: str, days: int) -> int:
    """Each month in a transaction of its own: one that can't be dropped now leaves the earlier ones dropped."""
    async with run.step() as act:
        over = await months.over(act.tx, relation, now=act.now, days=days)
    gone = 0
    for month in over:
        async with run.step() as act:
            await records.unhurried(act)
            gone += await months.give_up(act.tx, relation, month)
    return gone
