"""Routes leads one by one: after they came in, again if nobody accepted them or they waited too long, and by hand.

Always holds: the active rule set's row is locked first, then the lead, so that two routings never deadlock. A lead with an
owner or in a pool is not routed, unless its owner did not accept it.

Routing a lead ends: each re-route leaves out who did not accept; after the rule set's `max_reroutes` the lead waits in the
fallback queue; from a queue it goes to a seller or to the queue's owner, never to another queue; and the queue's owner need
not accept it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

from crmgql import access
from crmgql.domain.leads import lead_states
from crmgql.domain.messages import notifications
from crmgql.domain.messages.notifications import Notice
from crmgql.domain.people import users
from crmgql.domain.routing import bulk, decide, facts, placing
from crmgql.domain.routing.candidates import Seller
from crmgql.domain.routing.decide import LONGEST, Board, Decision, Lead
from crmgql.errors import Conflict, Forbidden, IllegalTransition
from crmgql.models.leads import OPEN_LEAD
from crmgql.records.records import Act, Row

NO_RULESET = Decision("NO_RULE", "No rule set is active.")
MOST = 500
"""The most leads of each sort in one sweep; the next sweep comes within a minute."""

FREE = "SELECT * FROM leads WHERE id = $1 FOR NO KEY UPDATE"
NOT_ACCEPTED = f"""
SELECT * FROM leads WHERE accept_by <= $1 AND accepted_at IS NULL AND owner_id IS NOT NULL
    AND {OPEN_LEAD}
ORDER BY accept_by, id LIMIT $2 FOR NO KEY UPDATE SKIP LOCKED"""
WAITED = f"""
SELECT * FROM leads WHERE queue_deadline <= $1 AND {OPEN_LEAD}
ORDER BY queue_deadline, id LIMIT $2 FOR NO KEY UPDATE SKIP LOCKED"""


async def route(act: Act, *, lead_id: UUID) -> dict[str, Any]:
    """Routes a lead that has no owner, queue or pool; returns the job's result. A second run does nothing."""
    ruleset = await facts.lock_active(act.tx.connection)
    row = await act.tx.connection.fetchrow(FREE, lead_id)
    if row is None:
        return {"routed": False, "why": "There is no such lead."}
    if row["status"] not in lead_states.OPEN or row["owner_id"] or row["queue_id"] or row["pool_id"]:
        return {"routed": False, "why": f"The lead is {row['status']} and has its place already."}
    if ruleset is None and row["routing_id"] is not None:
        return {"routed": False, "why": NO_RULESET.explanation}
    decision = await _route(act, ruleset, dict(row))
    return {"routed": decision.chosen is not None, "reason": decision.reason, "why": decision.explanation}


async def by_hand(act: Act, *, id: UUID, expected_version: int | None = None) -> UUID:
    """Routes a lead now that has no place or waits in a queue; a lead with an owner or in a pool stays as it is."""
    access.require_write(act.viewer, "Lead")
    access.require(act.viewer, "lead.route", "Routing leads")
    ruleset = await facts.lock_active(act.tx.connection)
    row = await lead_states.lock(act, id, "route", expected_version=expected_version)
    if ruleset is None:
        raise Conflict("No rule set is active; routingRulesetActivate makes one so.", field="id")
    if row["owner_id"] is None and row["pool_id"] is None:
        await _route(act, ruleset, row)
    return id


async def decline(act: Act, *, id: UUID, expected_version: int | None = None) -> UUID:
    """The owner declines the lead, which is routed to somebody else. Raises `Forbidden`, `IllegalTransition`."""
    access.require_write(act.viewer, "Lead")
    ruleset = await facts.lock_active(act.tx.connection)
    row = await lead_states.lock(act, id, "decline", expected_version=expected_version)
    if row["owner_id"] is None or row["owner_id"] != act.viewer.actor_id:
        raise Forbidden("Only its owner declines a lead; leadAssign gives it another owner.", field="id")
    if row["accepted_at"] is not None:
        raise IllegalTransition("You have accepted this lead already; ask for another owner.", field="id")
    lead = facts.lead_of(row)
    if ruleset is None:
        await placing.write(act, None, [(lead, replace(NO_RULESET, previous=row["owner_id"]))])
    else:
        await placing.place(act, ruleset, [lead], lambda lead, board: _reroute(lead, board, "declined it"))
    return id


async def reroute_due(act: Act) -> dict[str, int]:
    """Routes again what was not accepted in time, what waited in a queue too long, and what found no place."""
    ruleset = await facts.lock_active(act.tx.connection)
    late = [dict(row) for row in await act.tx.connection.fetch(NOT_ACCEPTED, act.now, MOST)] if ruleset else []
    waited = [dict(row) for row in await act.tx.connection.fetch(WAITED, act.now, MOST)]
    leads = [facts.lead_of(row) for row in (*late, *waited)]
    await _notify_stuck(act, await placing.place(act, ruleset, leads, _again, each=True))
    tried = 0 if ruleset is None else await bulk.retry(act, ruleset, limit=MOST)
    return {"notAccepted": len(late), "waited": len(waited), "placeless": tried}


async def _route(act: Act, ruleset: facts.Row | None, row: Row) -> Decision:
    lead = facts.lead_of(row)
    if ruleset is None:
        await placing.write(act, None, [(lead, NO_RULESET)])
        return NO_RULESET
    ((_, decision),) = await placing.place(act, ruleset, [lead], decide.decide)
    return decision


def _again(lead: Lead, board: Board) -> Decision:
    if lead.row["owner_id"] is not None:
        return _reroute(lead, board, _too_late(lead))
    return _out_of_queue(lead, board)


def _too_late(lead: Lead) -> str:
    return f"did not accept it by {lead.row['accept_by']:%Y-%m-%d %H:%M} UTC"


def _reroute(lead: Lead, board: Board, how: str) -> Decision:
    """The decision after an owner declined it, or did not accept it in time."""
    before: UUID = lead.row["owner_id"]
    lead.declined |= {before}
    lead.reroutes += 1
    found = decide.decide(lead, board)
    owner = board.sellers.get(before)
    text = f"{owner.name if owner else 'The owner'} {how}. {found.explanation}"[:LONGEST]
    reason = "NOT_ACCEPTED" if found.chosen is not None else found.reason
    return replace(found, reason=reason, explanation=text, previous=before)


def _out_of_queue(lead: Lead, board: Board) -> Decision:
    """The decision after the deadline in a queue: a seller, else the queue's owner."""
    queue = board.queues[lead.row["queue_id"]]
    text = f"It waited in the queue “{queue.name}” until its deadline."
    found = decide.decide(lead, board)
    if found.chosen is not None:
        return replace(found, explanation=f"{text} {found.explanation}"[:LONGEST])
    text = f"{text} {found.reason}: {found.explanation}"
    owner: Seller | None = board.sellers.get(queue.owner_id) if queue.owner_id else None
    if owner is not None and owner.active:
        text = f"{text[: LONGEST - 250]} {owner.name} has the queue and takes it."
        return Decision("ESCALATED", text, chosen=owner)
    deadline = board.now + timedelta(minutes=queue.deadline_min)
    text = f"{text[: LONGEST - 100]} The queue has no active owner, so it goes on waiting."
    return Decision("ESCALATED", text, queue=queue, queue_deadline=deadline)


async def _notify_stuck(act: Act, outcomes: Sequence[placing.Outcome]) -> None:
    """Notifies the administrators of leads that wait in a queue without an active owner, once per lead."""
    stuck = [outcome for outcome in outcomes if outcome[1].reason == "ESCALATED" and outcome[1].chosen is None]
    if stuck:
        receivers = await users.administrators(act)
        await notifications.notify_many(act, [_stuck(id, *outcome) for outcome in stuck for id in receivers])


def _stuck(user_id: UUID, lead: Lead, decision: Decision) -> Notice:
    title, key = f"The lead {lead.name} waits in a queue without an owner", f"lead.stuck:{lead.id}"
    return Notice(user_id, "lead.stuck", title, decision.explanation, key, lead.id)
