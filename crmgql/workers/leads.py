"""Jobs about leads."""

from __future__ import annotations

from uuid import UUID

from crmgql.domain.jobs import kinds
from crmgql.domain.leads import duplicates
from crmgql.records.records import Act
from crmgql.workers.handlers import Result, Run, handler, long_handler

BATCH = 50


@handler(kinds.LEAD_DUPLICATES)
async def lead_duplicates(act: Act, arguments: kinds.LeadOf) -> Result:
    """Looks for duplicates of a lead. Returns no count: not everybody who can read the job may see those leads."""
    await duplicates.find(act, lead_id=arguments.lead_id)
    return None


@long_handler(kinds.LEADS_DUPLICATES)
async def leads_duplicates(run: Run, arguments: kinds.LeadsOf) -> Result:
    """Compares all leads in the order of their ids; the checkpoint is the last one compared."""
    last: UUID | None = UUID(run.checkpoint["last"]) if run.checkpoint else None
    while True:
        async with run.step() as act:
            found, last = await duplicates.find_some(act, after=last, limit=BATCH, source=arguments.source)
            run.checkpoint = {"last": last.hex} if last else run.checkpoint
            run.progress(done=run.done + found, message=f"{run.done + found} pairs found")
        if last is None:
            return {"found": run.done}
