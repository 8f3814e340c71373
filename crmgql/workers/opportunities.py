"""Jobs of opportunities: the stale sweep, and new scores."""

from __future__ import annotations

from uuid import UUID

from crmgql.domain.jobs import kinds
from crmgql.domain.opportunities import score_rules, stale_alerts
from crmgql.workers.handlers import Result, Run, long_handler


@long_handler(kinds.OPPORTUNITIES_STALE)
async def opportunities_stale(run: Run, arguments: kinds.Nothing) -> Result:
    while True:
        async with run.step() as act:
            swept = await stale_alerts.sweep(act)
            run.progress(done=run.done + swept)
        if not swept:
            return {"swept": run.done}


@long_handler(kinds.OPPORTUNITIES_SCORE)
async def opportunities_score(run: Run, arguments: kinds.Nothing) -> Result:
    while True:
        async with run.step() as act:
            last = run.checkpoint.get("last")
            scored, last_id = await score_rules.rescore(act, after=UUID(last) if last else None)
            if last_id is not None:
                run.checkpoint = {"last": last_id.hex}
            run.progress(done=run.done + scored)
        if not scored:
            return {"scored": run.done}
