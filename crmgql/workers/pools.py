"""Jobs of the public pool."""

from __future__ import annotations

from crmgql.domain.jobs import kinds
from crmgql.domain.pools import pool_sweeps
from crmgql.workers.handlers import Result, Run, long_handler


@long_handler(kinds.POOLS_RECLAIM)
async def pools_reclaim(run: Run, arguments: kinds.Nothing) -> Result:
    counts = {"warned": 0, "reclaimed": 0, **run.checkpoint.get("counts", {})}
    at = run.checkpoint.get("at", {})
    while at is not None:
        async with run.step() as act:
            swept = await pool_sweeps.sweep(act, at)
            at = swept.at
            counts = {"warned": counts["warned"] + swept.warned, "reclaimed": counts["reclaimed"] + swept.reclaimed}
            run.checkpoint = {"at": at, "counts": counts}
            run.progress(done=sum(counts.values()))
    return counts
