"""Somebody leaves: their sessions and keys end, and what they hold goes to others, all in one transaction.

Enters: who leaves and, if named, who gets what they held. Leaves: how many records of each type were handed over. Always
holds, but for what imports bring: nobody who is not active holds anything open. Who puts somebody in charge holds that user
active until the commit (`people.assignable`), which waits for this, or this for it; so what was given to them a moment before
goes on, too.

As many statements for one record as for thousands.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from crmgql import access
from crmgql.db import Connection
from crmgql.domain.jobs import jobs, kinds
from crmgql.domain.messages import notifications
from crmgql.domain.people import sessions, users
from crmgql.errors import BadUserInput, Conflict, IllegalTransition
from crmgql.models import User
from crmgql.records import records, retries
from crmgql.records.records import Act, Collided, Row

EXPLANATION = 1000


@dataclass(frozen=True, slots=True)
class Holding:
    """What somebody holds: rows of a table, by a column, as long as they are open; `told` is the event of a change.

    `customer` is the customer that the event belongs to, as SQL over a row `t`.
    """

    name: str
    record: str
    table: str
    column: str
    told: str
    open: str = "true"
    customer: str = "t.customer_id"


HOLDINGS = (
    Holding("opportunities", "Opportunity", "opportunities", "owner_id", "opportunity.updated", "t.status = 'OPEN'"),
    Holding("tasks", "Task", "tasks", "assignee_id", "task.updated", "t.status = 'OPEN'"),
    Holding("tickets", "Ticket", "tickets", "assignee_id", "ticket.assigned", "t.status IN ('OPEN', 'PENDING')"),
    Holding("customers", "Customer", "customers", "owner_id", "customer.assigned", customer="t.id"),
    Holding("queues", "LeadQueue", "lead_queues", "owner_id", "leadQueue.updated", customer="NULL::uuid"),
)
"""Beside leads. What is closed keeps the name of who closed it; a team without an active manager is its parent's manager's."""

ONE = {
    "leads": "lead",
    "opportunities": "opportunity",
    "tasks": "task",
    "tickets": "ticket",
    "customers": "customer",
    "queues": "queue",
}
"""The names of what is handed over, as one has one of it."""

TELL = """
told AS (
    INSERT INTO events (kind, subject_type, subject_id, customer_id, actor_id, payload, occurred_at)
    SELECT {told}, '{record}', id, customer_id, $4, jsonb_build_object('version', version, 'handedOverFrom', $1::uuid) || payload, $3
    FROM moved
), audited AS (
    INSERT INTO audit_entries (action, subject_type, subject_id, customer_id, actor_id, changes, occurred_at)
    SELECT {told}, '{record}', id, customer_id, $4, changes, $3 FROM moved
)
SELECT coalesce(array_agg(id ORDER BY id), '{{}}') FROM moved"""
HAND_OVER = """
WITH held AS (
    SELECT id FROM {table} t WHERE {column} = $1 AND {open} ORDER BY id FOR NO KEY UPDATE
), moved AS (
    UPDATE {table} t SET {column} = $2::uuid, version = t.version + 1, updated_at = $3 FROM held WHERE t.id = held.id
    RETURNING t.id, t.version, {customer} AS customer_id, '{{}}'::jsonb AS payload,
        jsonb_build_object('{column}', jsonb_build_array($1::uuid, $2::uuid)) AS changes
), """
LEADS = """
WITH held AS (
    SELECT id, assigned_at, accepted_at, accept_by, routing_id, uuidv7() AS decision_id,
        CASE WHEN $2::uuid IS NOT NULL THEN $3::timestamptz END AS since
    FROM leads WHERE owner_id = $1 AND status IN ('NEW', 'NURTURING', 'QUALIFIED') ORDER BY id FOR NO KEY UPDATE
), decided AS (
    INSERT INTO assignment_decisions (id, lead_id, reason, chosen_id, previous_id, explanation, actor_id, decided_at)
    SELECT decision_id, id, 'MANUAL', $2::uuid, $1, $5, $4, $3 FROM held
), moved AS (
    UPDATE leads t SET owner_id = $2::uuid, assigned_at = since, accepted_at = since, accept_by = NULL, routing_id = decision_id,
        last_activity_at = $3, reclaim_warned_at = NULL, version = t.version + 1, updated_at = $3
    FROM held WHERE t.id = held.id
    RETURNING t.id, t.version, t.customer_id, '{"reason": "MANUAL"}'::jsonb AS payload, jsonb_build_object(
        'owner_id', jsonb_build_array($1::uuid, $2::uuid),
        'assigned_at', jsonb_build_array(held.assigned_at, since),
        'accepted_at', jsonb_build_array(held.accepted_at, since),
        'accept_by', jsonb_build_array(held.accept_by, NULL),
        'routing_id', jsonb_build_array(held.routing_id, decision_id)) AS changes
), """ + TELL.format(told="CASE WHEN $2::uuid IS NULL THEN 'lead.unassigned' ELSE 'lead.assigned' END", record="Lead")


async def deactivate(
    act: Act, *, id: UUID, hand_over_to: UUID | None = None, expected_version: int | None = None
) -> dict[str, int]:
    """Ends a user's sessions and API keys' use, and hands over what they hold. Answers how many records of each type.

    All to `hand_over_to`, if named. Else leads are routed anew, and the rest goes to the nearest active manager above
    the user, or is nobody's where there is none. Raises `NotFound`, `BadUserInput`, `Conflict`, `IllegalTransition`.
    """
    access.require_write(act.viewer, "User")
    users.require_person(act, ["active"])
    user = await records.lock(act, User, id, expected_version=expected_version)
    if not user["active"]:
        raise IllegalTransition("The user is not active already.", field="id")
    if id == act.viewer.user_id:
        raise Conflict("You can't deactivate yourself; ask another administrator.", field="id")
    await users.require_other_administrator(act, user)
    heir = await _heir(act, user, hand_over_to)
    await records.change(act, User, user, {"active": False}, kind="user.deactivated")
    await sessions.revoke_all(act.tx, user_id=id, now=act.now)
    await records.unhurried(act)
    counts = {"leads": await _leads(act, user, hand_over_to)}
    for each in HOLDINGS:
        counts[each.name] = await _hand_over(act, each, user, heir)
    await _record(act, user, heir, counts if hand_over_to else {**counts, "leads": 0})
    return counts


async def _heir(act: Act, user: Row, named: UUID | None) -> UUID | None:
    """Who gets it, held active until the commit."""
    if named == user["id"]:
        raise BadUserInput("Name somebody else: this is the user who leaves.", field="handOverTo")
    if named is not None:
        return await users.assignable(act, named, field="handOverTo")

    async def attempt() -> tuple[UUID | None] | None:
        above = (await users.managers_above(act, [user["id"]])).get(user["id"])
        return (above,) if above is None or await users.still_here(act, above) else None

    found = await retries.look_again(attempt)
    if found is None:
        raise Collided
    return found[0]


async def _leads(act: Act, user: Row, heir: UUID | None) -> int:
    """Open leads: to the one who is named, else back to routing, as if they were new."""
    connection: Connection = act.tx.connection
    how = "handed over" if heir else "it is routed anew"
    explanation = notifications.cut(f"{user['name']} was deactivated: {how}.", EXPLANATION)
    ids = await connection.fetchval(LEADS, user["id"], heir, act.now, act.viewer.actor_id, explanation)
    if heir is None:
        await jobs.enqueue_many(act, kinds.LEAD_ROUTE, [kinds.LeadOf(lead_id=id) for id in ids])
    return len(ids)


async def _hand_over(act: Act, holding: Holding, user: Row, heir: UUID | None) -> int:
    sql = HAND_OVER.format(
        table=holding.table, column=holding.column, open=holding.open, customer=holding.customer
    ) + TELL.format(told=f"'{holding.told}'", record=holding.record)
    connection: Connection = act.tx.connection
    return len(await connection.fetchval(sql, user["id"], heir, act.now, act.viewer.actor_id))


async def _record(act: Act, user: Row, heir: UUID | None, counts: dict[str, int]) -> None:
    """One message, however much it is; none to who did it."""
    got = ", ".join(f"{count} {name if count > 1 else ONE[name]}" for name, count in counts.items() if count)
    if not got or heir is None or heir == act.viewer.actor_id:
        return
    title = f"Yours now: {got}"
    body = f"{user['name']} was deactivated, and what was open of theirs was handed over to you: {got}."
    await notifications.notify(act, user_ids=[heir], kind="work.handedOver", title=title, body=body)
