"""Deletes what is past its retention, in batches, so that no transaction holds locks for long."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

from crmgql.db import Transaction
from crmgql.domain.jobs import jobs, kinds
from crmgql.domain.money.hooks import events as provider_events
from crmgql.domain.people import login_attempts, sessions
from crmgql.domain.streams import exports
from crmgql.domain.webhooks import attempts
from crmgql.events import months
from crmgql.records import idempotency, records
from crmgql.workers.handlers import Result, Run, long_handler

KEYS_KEPT = timedelta(days=30)
JOBS_KEPT = timedelta(days=14)
BATCH = 5000
Purge = Callable[[Transaction, datetime, int], Awaitable[int]]

PURGES: dict[str, Purge] = {
    "sessions": lambda tx, now, limit: sessions.purge(tx, now=now, limit=limit),
    "loginAttempts": lambda tx, now, limit: login_attempts.purge(tx, now=now, limit=limit),
    "idempotencyKeys": lambda tx, now, limit: idempotency.purge(tx, before=now - KEYS_KEPT, limit=limit),
    "exports": lambda tx, now, limit: exports.purge(tx, now=now, limit=limit),
    "jobs": lambda tx, now, limit: jobs.purge(tx, before=now - JOBS_KEPT, limit=limit),
}


@long_handler(kinds.HOUSEKEEPING)
async def housekeeping(run: Run, arguments: kinds.Nothing) -> Result:
    """Deletes ended sessions, old login counters, idempotency keys, finished jobs, exports past their time and months of events past their retention."""
    purges = PURGES | _webhooks(timedelta(days=run.settings.webhook_log_days))
    purges["providerPosts"] = _posts(timedelta(days=run.settings.provider_posts_days))
    counts = dict.fromkeys(purges, 0)
    for name, purge in purges.items():
        gone = BATCH
        while gone == BATCH:
            async with run.step() as act:
                gone = await purge(act.tx, act.now, BATCH)
                run.progress(done=run.done + gone)
            counts[name] += gone
    async with run.step() as act:
        await months.make(act.tx, now=act.now)
    kept = {"events": run.settings.events_retention_days, "audit_entries": run.settings.audit_retention_days}
    dropped = {relation: await _drop_months(run, relation, days) for relation, days in kept.items() if days is not None}
    return {**counts, **dropped}


def _webhooks(kept: timedelta) -> dict[str, Purge]:
    return {
        "webhookAttempts": lambda tx, now, limit: attempts.purge(tx, before=now - kept, limit=limit),
        "webhookDeliveries": lambda tx, now, limit: attempts.purge_deliveries(tx, before=now - kept, limit=limit),
    }


def _posts(kept: timedelta) -> Purge:
    return lambda tx, now, limit: provider_events.purge_posts(tx, before=now - kept, limit=limit)


async def _drop_months(run: Run, relation: str, days: int) -> int:
    """Drops each month in a transaction of its own: if one fails, the earlier ones stay dropped. Returns the number of rows."""
    async with run.step() as act:
        over = await months.over(act.tx, relation, now=act.now, days=days)
    gone = 0
    for month in over:
        async with run.step() as act:
            await records.allow_long_statements(act)
            gone += await months.drop(act.tx, relation, month)
    return gone
