"""Jobs of routing."""

from __future__ import annotations

from crmgql.domain.jobs import kinds
from crmgql.domain.routing import assign, bulk
from crmgql.records.records import Act
from crmgql.workers.handlers import Result, Run, handler, long_handler


@handler(kinds.LEAD_ROUTE)
async def lead_route(act: Act, arguments: kinds.LeadOf) -> Result:
    """Returns only whether the lead has an owner: whoever made the lead can read the job, but perhaps not the lead."""
    done = await assign.route(act, lead_id=arguments.lead_id)
    return {"routed": done["routed"]}


@long_handler(kinds.LEADS_ROUTE)
async def leads_route(run: Run, arguments: kinds.RouteMany) -> Result:
    while True:
        async with run.step() as act:
            moved = await bulk.route_batch(act, limit=arguments.batch_size, source=arguments.source)
            run.progress(done=run.done + moved, message=f"{run.done + moved} leads routed")
        if not moved:
            return {"routed": run.done}


@handler(kinds.LEADS_REROUTE)
async def leads_reroute(act: Act, arguments: kinds.Nothing) -> Result:
    return dict(await assign.reroute_due(act))
