"""A lead's life cycle: what may follow what (`NEXT`), and the one place that writes a change of status.

    NEW ──▶ NURTURING ◀──▶ QUALIFIED ──▶ CONVERTED
     └─────────┴───────────────┴──▶ LOST ──reopen──▶ NEW

An open lead may be converted or lost from where it is. MERGED is reached by merging only. CONVERTED and MERGED are final.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from crmgql import access
from crmgql.domain.marketing import follow_ups
from crmgql.domain.pools import pool_items, pools
from crmgql.errors import IllegalTransition
from crmgql.models import Lead, LeadTransition, names
from crmgql.records import records
from crmgql.records.records import Act, Conflicts, Row

OPEN = ("NEW", "NURTURING", "QUALIFIED")
NEXT: dict[str, tuple[str, ...]] = {
    "NEW": ("NURTURING", "QUALIFIED", "CONVERTED", "LOST"),
    "NURTURING": ("QUALIFIED", "CONVERTED", "LOST"),
    "QUALIFIED": ("NURTURING", "CONVERTED", "LOST"),
    "LOST": ("NEW",),
    "CONVERTED": (),
    "MERGED": (),
}
NOWHERE: Row = {"queue_id": None, "queue_deadline": None, "pool_id": None, "accept_by": None}
"""Columns of a lead that waits for nobody."""

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
    """Columns that say that something happened now; whatever warned of silence is answered by it."""
    return {"last_activity_at": act.now, "reclaim_warned_at": None}


async def lock(act: Act, id: UUID, *, to: str, verb: str, expected_version: int | None = None) -> Row:
    """The lead, locked, if it may come to a status. Raises `Forbidden`, `NotFound`, `VersionConflict`, `IllegalTransition`."""
    sources = tuple(status for status, following in NEXT.items() if to in following)
    return await lock_in(act, id, sources, verb=verb, expected_version=expected_version)


async def lock_open(act: Act, id: UUID, *, verb: str, expected_version: int | None = None) -> Row:
    """The lead, locked, if it is open. Raises as `lock`."""
    return await lock_in(act, id, OPEN, verb=verb, expected_version=expected_version)


async def lock_in(
    act: Act, id: UUID, sources: tuple[str, ...], *, verb: str, expected_version: int | None = None
) -> Row:
    access.require_write(act.viewer, "Lead")
    lead = await records.lock(act, Lead, id, expected_version=expected_version)
    if lead["status"] not in sources:
        allowed = " or ".join(sources)
        way_out = await way_out_of(act, lead)
        raise IllegalTransition(
            f"This lead is {lead['status']}; to {verb} it, it must be {allowed}. {way_out}".strip(), field="id"
        )
    return lead


async def way_out_of(act: Act, lead: Row) -> str:
    """What can be done instead with a lead that is closed; nothing to say of an open one."""
    match lead["status"]:
        case "MERGED":
            return f"It lives on in {names.api_id('Lead', await survivor_of(act, lead['id']))}: do it there."
        case "CONVERTED":
            return f"It became the customer {names.api_id('Customer', lead['customer_id'])}: go on there."
        case "LOST":
            return "leadReopen opens it again."
    return ""


async def survivor_of(act: Act, id: UUID) -> UUID:
    """The lead in which a merged one lives on in the end."""
    return await act.tx.connection.fetchval(SURVIVOR, id)  # type: ignore[no-any-return]


async def move(
    act: Act,
    lead: Row,
    to: str,
    *,
    kind: str,
    reason: str | None = None,
    changes: Row | None = None,
    payload: dict[str, Any] | None = None,
) -> Row:
    """Brings a locked lead to a status, with other changes: the transition, one event, what follows by rule."""
    await note(act, lead["id"], lead["status"], to, reason=reason, since=lead["status_since"])
    columns = {"status": to, "status_since": act.now, **touched(act), **(changes or {})}
    told = {"from": lead["status"], "to": to, **(payload or {})}
    after = await records.change(act, Lead, lead, columns, kind=kind, conflicts=CONFLICTS, payload=told)
    await pool_items.refresh_one(act, pool_items.LEAD, after)
    if to in OPEN:
        await follow_ups.plan(act, after)
    return after


async def note(
    act: Act, lead_id: UUID, before: str | None, to: str, *, reason: str | None = None, since: Any = None
) -> None:
    """The append-only row of a change of status."""
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
    """Takes a lead out of the pool it is in; the lead's own columns are the caller's."""
    if lead["pool_id"] is not None:
        await pools.withdraw(act, pool_items.LEAD, lead["id"], reason=reason)
