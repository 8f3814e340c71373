"""A lead's life cycle: its moves (`MOVES`), and the one place that writes a change of status.

    NEW ──▶ NURTURING ◀──▶ QUALIFIED ──▶ CONVERTED
     └─────────┴───────────────┴──▶ LOST ──reopen──▶ NEW

An open lead may be converted or lost from any status. Only merging leads to MERGED. CONVERTED and MERGED are final.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from crmgql import access
from crmgql.domain.marketing import follow_ups
from crmgql.domain.pools import pool_items, pools
from crmgql.models import Lead, LeadTransition, names
from crmgql.models.leads import OPEN_LEAD_STATUSES
from crmgql.records import records
from crmgql.records.moves import Move, Moves
from crmgql.records.records import Act, Conflicts, Row

OPEN = frozenset(OPEN_LEAD_STATUSES)
MOVES = Moves(
    Lead,
    nurture=Move({"NEW", "QUALIFIED"}, "NURTURING", "lead.nurtured"),
    qualify=Move({"NEW", "NURTURING"}, "QUALIFIED", "lead.qualified"),
    convert=Move(OPEN, "CONVERTED", "lead.converted", "converted_at"),
    lose=Move(OPEN, "LOST", "lead.lost"),
    reopen=Move({"LOST"}, "NEW", "lead.reopened"),
    merge=Move(OPEN | {"CONVERTED", "LOST"}, "MERGED", "lead.merged"),
    accept=Move(OPEN),
    assign=Move(OPEN),
    decline=Move(OPEN),
    route=Move(OPEN),
)
UNPLACED: Row = {"queue_id": None, "queue_deadline": None, "pool_id": None, "accept_by": None}
"""The columns of a lead that is in no queue and no pool and waits for nobody's acceptance."""

CONFLICTS: Conflicts = {
    "leads_employees": ("employeeCount", "Can't be negative."),
    "leads_message_length": ("message", "At most 20000 characters fit."),
}

SURVIVOR = """
WITH RECURSIVE chain AS (
    SELECT id, merged_into_id FROM leads WHERE id = $1
    UNION ALL
    SELECT leads.id, leads.merged_into_id FROM chain JOIN leads ON leads.id = chain.merged_into_id
)
SELECT id FROM chain WHERE merged_into_id IS NULL"""


def touched(act: Act) -> Row:
    """The columns that record an activity now; it also clears the warning of a reclaim."""
    return {"last_activity_at": act.now, "reclaim_warned_at": None}


async def lock(act: Act, id: UUID, verb: str, *, expected_version: int | None = None) -> Row:
    """The lead, locked, if its status allows the verb. Raises `Forbidden`, `NotFound`, `VersionConflict`, `IllegalTransition`."""
    access.require_write(act.viewer, "Lead")
    lead = await records.lock(act, Lead, id, expected_version=expected_version)
    MOVES.check(verb, lead, hint=await way_out_of(act, lead))
    return lead


async def way_out_of(act: Act, lead: Row) -> str:
    """What can be done instead with a closed lead, as a sentence; empty for an open one."""
    match lead["status"]:
        case "MERGED":
            return f"It lives on in {names.api_id('Lead', await survivor_of(act, lead['id']))}: do it there."
        case "CONVERTED":
            return f"It became the customer {names.api_id('Customer', lead['customer_id'])}: go on there."
        case "LOST":
            return "leadReopen opens it again."
    return ""


async def survivor_of(act: Act, id: UUID) -> UUID:
    """The lead that a merged one was merged into in the end."""
    return await act.tx.connection.fetchval(SURVIVOR, id)  # type: ignore[no-any-return]


async def move(
    act: Act,
    lead: Row,
    move: Move,
    *,
    reason: str | None = None,
    changes: Row | None = None,
    payload: dict[str, Any] | None = None,
) -> Row:
    """Makes a move of a locked lead, with other changes: the transition, one event, the follow-ups of its new status."""
    await note(act, lead["id"], lead["status"], move.target, reason=reason, since=lead["status_since"])
    columns = {**move.changes(act.now), "status_since": act.now, **touched(act), **(changes or {})}
    payload = {"from": lead["status"], "to": move.target, **(payload or {})}
    after = await records.change(act, Lead, lead, columns, kind=move.event, conflicts=CONFLICTS, payload=payload)
    await pool_items.refresh_one(act, pool_items.LEAD, after)
    if move.target in OPEN:
        await follow_ups.plan(act, after)
    return after


async def note(
    act: Act, lead_id: UUID, before: str | None, to: str, *, reason: str | None = None, since: Any = None
) -> None:
    """Inserts the append-only row of a change of status."""
    seconds = None if since is None else max(0, int((act.now - since).total_seconds()))
    values: Row = {
        "lead_id": lead_id,
        "from_status": before,
        "to_status": to,
        "reason": reason,
        "seconds_in_status": seconds,
        "actor_id": act.viewer.actor_id,
        "occurred_at": act.now,
    }
    await records.insert(act, LeadTransition, values)


async def leave_pool(act: Act, lead: Row, *, reason: str) -> None:
    """Takes a lead out of its pool, if it is in one; the caller changes the lead's own columns."""
    if lead["pool_id"] is not None:
        await pools.withdraw(act, pool_items.LEAD, lead["id"], reason=reason)
