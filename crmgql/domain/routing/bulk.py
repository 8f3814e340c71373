"""Routes leads in batches: one lock, one read of the facts, decisions in memory, one write.

Each lead is decided by the same `decide` as a single one, one after the other, so that turns, loads and limits are exact.
"""

from __future__ import annotations

from crmgql.db import Connection
from crmgql.domain.routing import decide, facts, placing
from crmgql.models.leads import OPEN_LEAD
from crmgql.records.records import Act

COLUMNS = """id, name, company, title, email, industry, region, country, city, segment, employee_count, budget_amount, currency,
    attributes, lead_source, campaign_id, score, normal_email, domain, received_at, owner_id, assigned_at, accepted_at,
    accept_by, routing_id, queue_id, queue_deadline, customer_id, version"""
PLACELESS = f"{OPEN_LEAD} AND owner_id IS NULL AND queue_id IS NULL AND pool_id IS NULL"
FRESH = f"""
SELECT {COLUMNS} FROM leads WHERE {PLACELESS} AND routing_id IS NULL AND ($2::text IS NULL OR source = $2)
ORDER BY received_at, id LIMIT $1 FOR NO KEY UPDATE SKIP LOCKED"""
TRIED = f"""
SELECT {", ".join(f"leads.{column.strip()}" for column in COLUMNS.split(","))}
FROM leads JOIN assignment_decisions d ON d.id = routing_id
WHERE {PLACELESS.replace("queue_id", "leads.queue_id")} AND ($2::text IS NULL OR source = $2)
    AND (d.ruleset_id IS DISTINCT FROM $4 OR d.decided_at + least(interval '1 hour', interval '5 minutes' * power(2, least(d.attempt, 9))) <= $3)
ORDER BY d.decided_at, leads.id LIMIT $1 FOR NO KEY UPDATE OF leads SKIP LOCKED"""
"""A lead that found no place is tried again ten minutes later, then after longer and longer times, up to an hour; at once
after another rule set was activated."""


async def route_batch(act: Act, *, limit: int, source: str | None = None) -> int:
    """Routes up to `limit` leads that have no place, those first that were never tried; returns how many.

    0: there is nothing more to do now, or no rule set is active.
    """
    ruleset = await facts.lock_active(act.tx.connection)
    if ruleset is None:
        return 0
    rows = await act.tx.connection.fetch(FRESH, limit, source)
    return await _place(act, ruleset, rows) or await retry(act, ruleset, limit=limit, source=source)


async def retry(act: Act, ruleset: facts.Row, *, limit: int, source: str | None = None) -> int:
    """The same for leads that found no place before; the rule set is locked."""
    connection: Connection = act.tx.connection
    return await _place(act, ruleset, await connection.fetch(TRIED, limit, source, act.now, ruleset["id"]))


async def _place(act: Act, ruleset: facts.Row, rows: list[facts.Row]) -> int:
    leads = [facts.lead_of(row) for row in rows]
    return len(await placing.place(act, ruleset, leads, decide.decide))
