"""Leads: created, assigned, followed up, qualified or lost.

Always holds: a lead without an owner has a job that routes it; the columns that duplicates are found by (`normal_email`,
`normal_phone`, `domain`) follow what people typed. Merging and converting are in `merging` and `conversion`.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

from crmgql import access
from crmgql.domain.jobs import jobs, kinds
from crmgql.domain.leads import lead_contacts, lead_states
from crmgql.domain.leads.lead_states import CONFLICTS, MOVES, UNPLACED
from crmgql.domain.marketing import follow_ups
from crmgql.domain.messages import notifications
from crmgql.domain.opportunities import standings
from crmgql.domain.people import users
from crmgql.domain.pools import pool_items
from crmgql.errors import BadUserInput, Forbidden, IllegalTransition
from crmgql.models import AssignmentDecision, Campaign, Lead
from crmgql.records import checks, money, records
from crmgql.records.columns import ORIGIN, takes
from crmgql.records.records import Act, Row

FACTS = (
    "name company title email phone website industry region country city segment employee_count budget currency message "
    "attributes lead_source campaign_id score email_opt_out"
)
"""What may be set when a lead is made, and changed while it is open."""

CLOCKS_DIFFER = timedelta(minutes=5)
CHANGES_WHEN_CLOSED = frozenset({"email_opt_out", "campaign_id", "lead_source"})
"""What may still be changed of a closed lead: whether it wants e-mails, and where it came from."""

COMPARED = frozenset({"name", "company", "normal_email", "normal_phone", "domain"})
"""Columns whose change may reveal a duplicate."""

NOTED = "merged"
"""The attribute in which merging keeps the values that found no column."""

SET_ROUTING = "UPDATE leads SET routing_id = $2 WHERE id = $1"


@takes(Lead, FACTS, "received_at owner_id intake_source_id", ORIGIN)
async def create(act: Act, *, route: bool | None = None, **values: Any) -> UUID:
    """Makes a lead: the viewer's own if they sell or manage, else routed, unless an owner is named.

    `route`: it is routed in any case. Raises `BadUserInput`, `Conflict`, `Forbidden`, `NotFound`.
    """
    access.require_write(act.viewer, "Lead")
    values["owner_id"] = await _first_owner(act, route, values)
    await _check_campaign(act, values)
    values |= money.columns(values, "budget")
    lead = await records.create(act, Lead, values | _arrival(act, values), kind="lead.created", conflicts=CONFLICTS)
    await lead_states.note(act, lead["id"], None, lead["status"])
    await _place(act, lead)
    await look_for_duplicates(act, lead["id"])
    await follow_ups.plan(act, lead)
    return lead["id"]  # type: ignore[no-any-return]


@takes(Lead, FACTS)
async def update(act: Act, *, id: UUID, expected_version: int | None = None, **changes: Any) -> UUID:
    """Changes what is named; of a closed lead only `CHANGES_WHEN_CLOSED`."""
    access.require_write(act.viewer, "Lead")
    lead = await records.lock(act, Lead, id, expected_version=expected_version)
    await _check_closed(act, lead, changes)
    if changes.get("campaign_id") != lead["campaign_id"]:
        await _check_campaign(act, changes)
    if changes.get("budget") is not None:  # the lead takes its currency
        changes.setdefault("currency", changes["budget"][1])
    changes |= money.columns(changes, "budget", before=lead)
    if changes.get("attributes") is not None:
        changes["attributes"] = _with_notes(lead, changes["attributes"])
    changes |= normal_forms(lead | changes)
    if any(lead[name] != value for name, value in changes.items()):
        changes |= lead_states.touched(act)
    after = await records.change(act, Lead, lead, changes, kind="lead.updated", conflicts=CONFLICTS)
    await pool_items.refresh_one(act, pool_items.LEAD, after)
    if after["opportunity_id"] is not None and after["lead_source"] != lead["lead_source"]:
        await standings.refresh(act, [after["opportunity_id"]])
    if any(lead[name] != after[name] for name in COMPARED):
        await look_for_duplicates(act, id)
    return id


async def accept(act: Act, *, id: UUID, expected_version: int | None = None) -> UUID:
    """The owner accepts the lead, so that it is not routed to somebody else."""
    lead = await lead_states.lock(act, id, "accept", expected_version=expected_version)
    if lead["owner_id"] is None or lead["owner_id"] != act.viewer.actor_id:
        raise Forbidden("Only its owner accepts a lead; leadAssign gives it another owner.", field="id")
    if lead["accepted_at"] is not None:
        raise IllegalTransition("You have accepted this lead already.", field="id")
    changes = {"accepted_at": act.now, "accept_by": None, **lead_states.touched(act)}
    await records.change(act, Lead, lead, changes, kind="lead.accepted")
    return id


async def assign(act: Act, *, id: UUID, owner_id: UUID, expected_version: int | None = None) -> UUID:
    """Assigns an owner by hand, who need not accept; the lead leaves its queue and its pool."""
    lead = await lead_states.lock(act, id, "assign", expected_version=expected_version)
    await users.assignable(act, owner_id, field="ownerId")
    if lead["owner_id"] == owner_id and lead["accept_by"] is None:
        return id
    await lead_states.leave_pool(act, lead, reason="Assigned by hand.")
    decision_id = await decide_by_hand(act, lead, owner_id, "Assigned by hand.")
    changes = {**UNPLACED, **_owned(act, owner_id), "routing_id": decision_id, **lead_states.touched(act)}
    await records.change(act, Lead, lead, changes, kind="lead.assigned", payload={"reason": "MANUAL"})
    await _notify_owner(act, lead, owner_id)
    return id


async def move(act: Act, verb: str, *, id: UUID, expected_version: int | None = None) -> UUID:
    """Nurtures a lead that is not ready to buy, or qualifies one that is worth a seller's time."""
    lead = await lead_states.lock(act, id, verb, expected_version=expected_version)
    await lead_states.move(act, lead, MOVES[verb])
    return id


async def lose(act: Act, *, id: UUID, reason: str, expected_version: int | None = None) -> UUID:
    """Closes the lead as lost, with a reason."""
    checks.check_text(reason, "reason", longest=300, required=True)
    lead = await lead_states.lock(act, id, "lose", expected_version=expected_version)
    await lead_states.leave_pool(act, lead, reason="Lost.")
    changes = {**UNPLACED, "lost_reason": reason}
    await lead_states.move(act, lead, MOVES["lose"], reason=reason, changes=changes)
    return id


async def reopen(act: Act, *, id: UUID, expected_version: int | None = None) -> UUID:
    """Makes a lost lead NEW again; it is routed if it has no owner or the owner has left."""
    lead = await lead_states.lock(act, id, "reopen", expected_version=expected_version)
    changes: Row = {"lost_reason": None}
    if await users.still_here(act, lead["owner_id"]) is None:
        changes |= {"owner_id": None, "assigned_at": None, "accepted_at": None}
    after = await lead_states.move(act, lead, MOVES["reopen"], changes=changes)
    if after["owner_id"] is None:
        await jobs.enqueue(act, kinds.LEAD_ROUTE, kinds.LeadOf(lead_id=id))
    return id


def normal_forms(values: Row) -> Row:
    """The columns that duplicates are found by, computed from what people typed."""
    return {
        "normal_email": lead_contacts.email(values.get("email")),
        "normal_phone": lead_contacts.phone(values.get("phone"), values.get("country")),
        "domain": lead_contacts.domain(values.get("email"), values.get("website")),
    }


async def look_for_duplicates(act: Act, id: UUID) -> None:
    """Enqueues the search for a lead's duplicates. Each change has a job of its own: one that runs already may not see it."""
    await jobs.enqueue(act, kinds.LEAD_DUPLICATES, kinds.LeadOf(lead_id=id))


async def decide_by_hand(act: Act, lead: Row, owner_id: UUID, explanation: str) -> UUID:
    """Records that a person, not a rule, chose the owner; returns the decision's id."""
    values: Row = {
        "lead_id": lead["id"],
        "reason": "MANUAL",
        "chosen_id": owner_id,
        "previous_id": lead["owner_id"],
        "explanation": explanation,
        "actor_id": act.viewer.actor_id,
        "decided_at": act.now,
    }
    return (await records.insert(act, AssignmentDecision, values))["id"]  # type: ignore[no-any-return]


async def _first_owner(act: Act, route: bool | None, values: Row) -> UUID | None:
    if route:
        if values.get("owner_id") is not None:
            raise BadUserInput("A lead has an owner named or is routed, not both.", field="route")
        return None
    return await users.owner(act, values)


def _arrival(act: Act, values: Row) -> Row:
    received_at = values.get("received_at") or act.now
    if received_at > act.now + CLOCKS_DIFFER:
        raise BadUserInput("A lead can't be received in the future.", field="receivedAt")
    owned = {} if values["owner_id"] is None else _owned(act, values["owner_id"])
    times = {"received_at": received_at, "status_since": act.now, "last_activity_at": act.now}
    return {**times, **owned, **normal_forms(values)}


def _owned(act: Act, owner_id: UUID) -> Row:
    return {"owner_id": owner_id, "assigned_at": act.now, "accepted_at": act.now}


async def _place(act: Act, lead: Row) -> None:
    """Records who chose a new lead's owner; without an owner, enqueues the routing."""
    if lead["owner_id"] is None:
        arguments = kinds.LeadOf(lead_id=lead["id"])
        await jobs.enqueue(act, kinds.LEAD_ROUTE, arguments, unique_key=str(lead["id"]))
        return
    decision_id = await decide_by_hand(act, lead | {"owner_id": None}, lead["owner_id"], "Came with its owner.")
    await act.tx.connection.execute(SET_ROUTING, lead["id"], decision_id)
    await _notify_owner(act, lead, lead["owner_id"])


async def _notify_owner(act: Act, lead: Row, owner_id: UUID) -> None:
    """Notifies the owner, unless they made or took the lead themselves."""
    if owner_id != act.viewer.actor_id:
        title = f"A lead for you: {lead['name']}"
        await notifications.notify(act, user_ids=[owner_id], kind="lead.assigned", title=title, lead_id=lead["id"])


async def _check_campaign(act: Act, values: Row) -> None:
    if values.get("campaign_id") is not None:
        await records.visible(act, Campaign, values["campaign_id"], field="campaignId")


async def _check_closed(act: Act, lead: Row, changes: Row) -> None:
    closed = lead["status"] not in lead_states.OPEN
    if closed and (lead["status"] == "MERGED" or not changes.keys() <= CHANGES_WHEN_CLOSED):
        way_out = await lead_states.way_out_of(act, lead)
        raise IllegalTransition(f"This lead is {lead['status']} and stays as it is. {way_out}", field="id")


def _with_notes(lead: Row, attributes: Any) -> Any:
    """The new attributes, with the notes of earlier merges kept."""
    notes = lead["attributes"].get(NOTED)
    return attributes | {NOTED: notes} if isinstance(attributes, dict) and isinstance(notes, list) else attributes
