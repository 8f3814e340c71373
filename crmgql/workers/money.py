"""Jobs of the books."""

from __future__ import annotations

from crmgql.domain.jobs import kinds
from crmgql.ledger import anchors
from crmgql.records import records
from crmgql.workers.handlers import Result, Run, long_handler


@long_handler(kinds.LEDGER_ANCHOR)
async def ledger_anchor(run: Run, arguments: kinds.Nothing) -> Result:
    heads = anchors.MOST
    while heads == anchors.MOST:
        async with run.step() as act:
            await records.allow_long_statements(act)
            heads = await anchors.write(act.tx, now=act.now)
            run.progress(done=run.done + heads)
    return {"heads": run.done}
