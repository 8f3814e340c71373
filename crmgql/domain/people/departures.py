"""Deactivates a user: tsuccessor sessions and keys end, and what they own goes to others, all in one transaction.

Enters: who leaves and, if named, who gets tsuccessor records. Leaves: how many records of each type were handed over. Always
holds, except for imported records: an inactive user owns nothing open. A verb that assigns a record locks the user, who stays
active until its commit (`users.assignable`); that waits for this transaction or this one for it, so records that were
assigned a moment before are handed over, too.

The number of statements does not grow with the records.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from crmgql import access
from crmgql.db import Connection
from crmgql.domain.jobs import jobs, kinds
from crmgql.domain.messages import notifications
from crmgql.domain.people import sessions, users
from crmgql.errors import BadUserInput, Conflict, IllegalTransition
from crmgql.events import outbox
from crmgql.models import User
from crmgql.models.activities import OPEN_TICKET
from crmgql.models.leads import OPEN_LEAD
from crmgql.records import records, retries
from crmgql.records.records import Act, Collided, Row

EXPLANATION = 1000


@dataclass(frozen=True, slots=True)
class Holding:
    """Rows of a table that a user owns, by a column, while they are open; `event` records that a row was handed over.

    `customer` is the customer that the event belongs to, as SQL over a row `t`.
    """

    name: str
    record: str
    table: str
    column: str
    event: str
    open: str = "true"
    customer: str = "t.customer_id"


HOLDINGS = (
    Holding("opportunities", "Opportunity", "opportunities", "owner_id", "opportunity.updated", "t.status = 'OPEN'"),
    Holding("tasks", "Task", "tasks", "assignee_id", "task.updated", "t.status = 'OPEN'"),
    Holding("tickets", "Ticket", "tickets", "assignee_id", "ticket.assigned", f"t.{OPEN_TICKET}"),
    Holding("customers", "Customer", "customers", "owner_id", "customer.assigned", customer="t.id"),
    Holding("queues", "LeadQueue", "lead_queues", "owner_id", "leadQueue.updated", customer="NULL::uuid"),
)
"""All but leads. Closed records keep tsuccessor owner; a team without an active manager is managed by its parent's manager."""

ONE = {
    "leads": "lead",
    "opportunities": "opportunity",
    "tasks": "task",
    "tickets": "ticket",
    "customers": "customer",
    "queues": "queue",
}
"""The singular of each name."""

HAND_OVER = """
WITH held AS (
    SELECT id FROM {table} t WHERE {column} = $1 AND {open} ORDER BY id FOR NO KEY UPDATE
)
UPDATE {table} t SET {column} = $2::uuid, version = t.version + 1, updated_at = $3 FROM held WHERE t.id = held.id
RETURNING t.id, t.version, {customer} AS customer_id"""
LEADS = f"""
WITH held AS (
    SELECT id, assigned_at, accepted_at, accept_by, routing_id, uuidv7() AS decision_id,
        CASE WHEN $2::uuid IS NOT NULL THEN $3::timestamptz END AS since
    FROM leads WHERE owner_id = $1 AND {OPEN_LEAD} ORDER BY id FOR NO KEY UPDATE
), decided AS (
    INSERT INTO assignment_decisions (id, lead_id, reason, chosen_id, previous_id, explanation, actor_id, decided_at)
    SELECT decision_id, id, 'MANUAL', $2::uuid, $1, $5, $4, $3 FROM held
), moved AS (
    UPDATE leads t SET owner_id = $2::uuid, assigned_at = since, accepted_at = since, accept_by = NULL, routing_id = decision_id,
        last_activity_at = $3, reclaim_warned_at = NULL, version = t.version + 1, updated_at = $3
    FROM held WHERE t.id = held.id
    RETURNING t.id, t.version, t.customer_id, held.assigned_at, held.accepted_at, held.accept_by, held.routing_id, since, decision_id
)
SELECT * FROM moved ORDER BY id"""


async def deactivate(
    act: Act, *, id: UUID, hand_over_to: UUID | None = None, expected_version: int | None = None
) -> dict[str, int]:
    """Ends a user's sessions and API keys, and hands over what they own. Returns how many records of each type.

    All go to `hand_over_to`, if named. Else leads are routed again, and the rest goes to the nearest active manager above
    the user, or has no owner if there is none. Raises `NotFound`, `BadUserInput`, `Conflict`, `IllegalTransition`.
    """
    access.require_write(act.viewer, "User")
    users.require_person(act, ["active"])
    user = await records.lock(act, User, id, expected_version=expected_version)
    if not user["active"]:
        raise IllegalTransition("The user is not active already.", field="id")
    if id == act.viewer.user_id:
        raise Conflict("You can't deactivate yourself; ask another administrator.", field="id")
    await users.require_other_administrator(act, user)
    successor = await _successor(act, user, hand_over_to)
    await records.change(act, User, user, {"active": False}, kind="user.deactivated")
    await sessions.revoke_all(act.tx, user_id=id, now=act.now)
    await records.allow_long_statements(act)
    counts = {"leads": await _leads(act, user, hand_over_to)}
    for each in HOLDINGS:
        counts[each.name] = await _hand_over(act, each, user, successor)
    await _notify(act, user, successor, counts if hand_over_to else {**counts, "leads": 0})
    return counts


async def _successor(act: Act, user: Row, named: UUID | None) -> UUID | None:
    """Who gets the records, locked so that they stay active until the commit."""
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


async def _leads(act: Act, user: Row, successor: UUID | None) -> int:
    """Hands over open leads: to the user who is named, else to routing, as if they were new."""
    connection: Connection = act.tx.connection
    how = "handed over" if successor else "it is routed again"
    explanation = notifications.cut(f"{user['name']} was deactivated: {how}.", EXPLANATION)
    rows = await connection.fetch(LEADS, user["id"], successor, act.now, act.viewer.actor_id, explanation)
    await outbox.record_many(act.tx, act.viewer, [_lead_entry(row, user, successor) for row in rows])
    if successor is None:
        await jobs.enqueue_many(act, kinds.LEAD_ROUTE, [kinds.LeadOf(lead_id=row["id"]) for row in rows])
    return len(rows)


def _lead_entry(row: Any, user: Row, successor: UUID | None) -> outbox.Entry:
    changes: outbox.Changes = {
        "owner_id": (user["id"], successor),
        "assigned_at": (row["assigned_at"], row["since"]),
        "accepted_at": (row["accepted_at"], row["since"]),
        "accept_by": (row["accept_by"], None),
        "routing_id": (row["routing_id"], row["decision_id"]),
    }
    payload = {"version": row["version"], "handedOverFrom": user["id"], "reason": "MANUAL"}
    kind = "lead.unassigned" if successor is None else "lead.assigned"
    return outbox.Entry(kind, ("Lead", row["id"]), row["customer_id"], changes, payload)


async def _hand_over(act: Act, holding: Holding, user: Row, successor: UUID | None) -> int:
    sql = HAND_OVER.format(table=holding.table, column=holding.column, open=holding.open, customer=holding.customer)
    connection: Connection = act.tx.connection
    rows = await connection.fetch(sql, user["id"], successor, act.now)
    changes: outbox.Changes = {holding.column: (user["id"], successor)}
    entries = [
        outbox.Entry(
            holding.event,
            (holding.record, row["id"]),
            row["customer_id"],
            changes,
            {"version": row["version"], "handedOverFrom": user["id"]},
        )
        for row in rows
    ]
    await outbox.record_many(act.tx, act.viewer, entries)
    return len(rows)


async def _notify(act: Act, user: Row, successor: UUID | None, counts: dict[str, int]) -> None:
    """Notifies the successor, in one message, unless they did it themselves."""
    got = ", ".join(f"{count} {name if count > 1 else ONE[name]}" for name, count in counts.items() if count)
    if not got or successor is None or successor == act.viewer.actor_id:
        return
    title = f"Yours now: {got}"
    body = f"{user['name']} was deactivated, and what was open of tsuccessors was handed over to you: {got}."
    await notifications.notify(act, user_ids=[successor], kind="work.handedOver", title=title, body=body)
