"""Merges two leads: the survivor takes over what the other has, and nothing is lost.

Always holds: of two values the survivor's stays and the other's is kept in the attribute "merged", except that the earlier
lead decides where the lead came from. Append-only rows (transitions, decisions, moves of the pool) stay with the merged
lead, which stays readable and refers to the survivor.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import orjson

from crmgql import access
from crmgql.domain.jobs import jobs, kinds
from crmgql.domain.leads import lead_states, leads
from crmgql.domain.leads.lead_states import MOVES, UNPLACED
from crmgql.domain.messages import notifications
from crmgql.domain.opportunities import standings
from crmgql.domain.people import users
from crmgql.errors import BadUserInput, IllegalTransition
from crmgql.events import outbox
from crmgql.models import Lead, names
from crmgql.records import records
from crmgql.records.moves import Move
from crmgql.records.records import Act, Row

KEPT = (
    *("name", "company", "title", "email", "phone", "website", "industry", "region", "country", "city", "segment"),
    *("employee_count", "message"),
)
FIRST_TOUCH = ("campaign_id", "lead_source", "intake_source_id")
CONVERSION = ("converted_at", "customer_id", "contact_id", "opportunity_id")
OWNING = ("owner_id", "assigned_at", "accepted_at", "accept_by")
PLACES = ("owner_id", "queue_id", "pool_id")
FURTHER = ("LOST", "NEW", "NURTURING", "QUALIFIED", "CONVERTED")
"""From first to last; the later of two statuses stays. An open lead counts as later than a lost one: somebody asked again."""

NAMED = {"campaign_id": "Campaign", "intake_source_id": "IntakeSource"}

MOVE_TASKS = """
UPDATE tasks SET lead_id = $2, version = version + 1, updated_at = $3 WHERE lead_id = $1
RETURNING id, version, customer_id"""
MOVE_EMAILS = """
WITH moved AS (UPDATE email_messages SET lead_id = $2 WHERE lead_id = $1 RETURNING id) SELECT count(*) FROM moved"""
CLOSE_PAIR = """
UPDATE lead_duplicates SET status = 'MERGED', settled_at = $3
WHERE least(lead_id, other_id) = least($1::uuid, $2) AND greatest(lead_id, other_id) = greatest($1::uuid, $2)"""
REPOINT_PAIRS = """
WITH closed AS (
    UPDATE lead_duplicates SET status = 'MERGED', settled_at = $3
    WHERE (lead_id = $1 OR other_id = $1) AND status = 'OPEN'
    RETURNING CASE WHEN lead_id = $1 THEN other_id ELSE lead_id END AS third_id, reasons, similarity
)
INSERT INTO lead_duplicates (lead_id, other_id, reasons, similarity)
SELECT greatest(third_id, $2), least(third_id, $2), reasons, similarity FROM closed WHERE third_id <> $2
ON CONFLICT (least(lead_id, other_id), greatest(lead_id, other_id)) DO NOTHING"""
"""Moves the merged lead's other open pairs to the survivor, except pairs that the survivor has already."""


async def merge(act: Act, *, id: UUID, other_id: UUID, expected_version: int | None = None) -> UUID:
    """Merges `other_id` into `id`, which survives. Raises `NotFound`, `IllegalTransition`, `BadUserInput`.

    Both rows are locked in the order of their ids, so that of two opposite merges at once one is done and one refused.
    """
    access.require_write(act.viewer, "Lead")
    survivor, other = await _lock(act, id, other_id, expected_version)
    await _require_mergeable(act, survivor, other)
    changes = combine(survivor, other, now=act.now)
    changes |= await _place(act, survivor, other, is_open=changes["status"] in lead_states.OPEN)
    changes |= leads.normal_forms(survivor | changes)
    await _close(act, other, id)
    after = await _absorb(act, survivor, other, changes)
    if after["status"] in lead_states.OPEN and not any(after[name] for name in PLACES):
        await jobs.enqueue(act, kinds.LEAD_ROUTE, kinds.LeadOf(lead_id=id))
    if after["opportunity_id"] is not None:  # it scores by where the lead came from
        await standings.refresh(act, [after["opportunity_id"]])
    if any(survivor[name] != after[name] for name in leads.COMPARED):
        await leads.look_for_duplicates(act, id)
    return id


async def _lock(act: Act, id: UUID, other_id: UUID, expected_version: int | None) -> tuple[Row, Row]:
    if id == other_id:
        raise BadUserInput("A lead can't be merged into itself; name another one.", field="otherId")
    await records.visible(act, Lead, id, field="id")
    await records.visible(act, Lead, other_id, field="otherId")
    versions = {id: expected_version, other_id: None}
    locked = {each: await records.lock(act, Lead, each, expected_version=versions[each]) for each in sorted(versions)}
    return locked[id], locked[other_id]


async def _require_mergeable(act: Act, survivor: Row, other: Row) -> None:
    for lead, field in ((survivor, "id"), (other, "otherId")):
        if lead["status"] == "MERGED":
            lives_on = names.api_id("Lead", await lead_states.survivor_of(act, lead["id"]))
            raise IllegalTransition(
                f"{names.api_id('Lead', lead['id'])} is merged already and lives on in {lives_on}.", field=field
            )
    if survivor["status"] == other["status"] == "CONVERTED":
        customers = " and ".join(names.api_id("Customer", lead["customer_id"]) for lead in (survivor, other))
        raise IllegalTransition(f"Both are converted, to {customers}; they stay two.", field="otherId")


def combine(survivor: Row, other: Row, *, now: datetime) -> Row:
    """The survivor's columns after the merge, without owner, queue and pool. Pure, so that a test can check that nothing is lost."""
    changes: Row = {}
    kept_out: tuple[Row, Row] = ({}, {})  # the values of the survivor and of the other that found no column
    for column in KEPT:
        _choose(changes, kept_out, column, survivor, other)
    earlier, later = (other, survivor) if other["received_at"] < survivor["received_at"] else (survivor, other)
    for column in FIRST_TOUCH:
        _choose(changes, kept_out, column, survivor, other, first=earlier, second=later)
    better, worse = (other, survivor) if other["score"] > survivor["score"] else (survivor, other)
    _choose(changes, kept_out, "score", survivor, other, first=better, second=worse)
    changes |= _further(survivor, other, kept_out) | _budget(survivor, other, kept_out)
    changes["received_at"] = earlier["received_at"]
    changes["email_opt_out"] = survivor["email_opt_out"] or other["email_opt_out"]
    protected = [lead["protected_until"] for lead in (survivor, other) if lead["protected_until"] is not None]
    changes["protected_until"] = max(protected, default=None)
    changes["attributes"] = _attributes(survivor, other, kept_out, now)
    return changes


def _choose(
    changes: Row,
    kept_out: tuple[Row, Row],
    column: str,
    survivor: Row,
    other: Row,
    *,
    first: Row | None = None,
    second: Row | None = None,
) -> None:
    """Takes the first one's value, or the second one's where the first has none. The other value goes to `kept_out`."""
    first, second = first or survivor, second or other
    chosen = changes[column] = second[column] if first[column] is None else first[column]
    for lead, out in zip((survivor, other), kept_out, strict=True):
        if lead[column] is not None and lead[column] != chosen:
            out[names.api_name(column)] = _noted(column, lead[column])


def _further(survivor: Row, other: Row, kept_out: tuple[Row, Row]) -> Row:
    """The later of the two statuses, with the columns that belong to it."""
    taken = FURTHER.index(other["status"]) > FURTHER.index(survivor["status"])
    status = other["status"] if taken else survivor["status"]
    changes: Row = {"status": status, "lost_reason": survivor["lost_reason"] if status == "LOST" else None}
    if status == "CONVERTED" and taken:
        changes |= {column: other[column] for column in CONVERSION}
    for lead, out in zip((survivor, other), kept_out, strict=True):
        if lead["lost_reason"] not in (None, changes["lost_reason"]):
            out["lostReason"] = lead["lost_reason"]
    return changes


def _budget(survivor: Row, other: Row, kept_out: tuple[Row, Row]) -> Row:
    mine, its = ((lead["budget_amount"], lead["currency"]) for lead in (survivor, other))
    if mine[0] is None and its[0] is not None:
        return {"budget_amount": its[0], "currency": its[1]}
    if its[0] is not None and its != mine:
        kept_out[1]["budget"] = {"amount": str(its[0]), "currency": its[1]}
    return {}


def _attributes(survivor: Row, other: Row, kept_out: tuple[Row, Row], now: datetime) -> Row:
    """The attributes of both; where they differ, the other's value goes into a note, after earlier notes."""
    mine, its = dict(survivor["attributes"]), dict(other["attributes"])
    notes = [*_take_notes(mine), *_take_notes(its)]
    note: Row = {
        "lead": names.api_id("Lead", other["id"]),
        "at": now.isoformat(),
        "receivedAt": other["received_at"].isoformat(),
    }
    origin = {"source": other["source"], "externalId": other["external_id"]}
    parts = {"replaced": kept_out[0], "values": kept_out[1] | {k: v for k, v in origin.items() if v is not None}}
    parts["attributes"] = {
        name: its[name] for name in mine.keys() & its.keys() if _json(mine[name]) != _json(its[name])
    }
    note |= {name: part for name, part in parts.items() if part}
    return {**its, **mine, leads.NOTED: [*notes, note]}


def _take_notes(attributes: Row) -> list[Any]:
    """Takes the notes of earlier merges out of the attributes. A user's own attribute of that name becomes a note."""
    notes = attributes.pop(leads.NOTED, [])
    return notes if isinstance(notes, list) else [{"attributes": {leads.NOTED: notes}}]


def _noted(column: str, value: Any) -> Any:
    if isinstance(value, UUID):
        return names.api_id(NAMED[column], value)
    return f"{value:f}" if isinstance(value, Decimal) else value


def _json(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


async def _place(act: Act, survivor: Row, other: Row, *, is_open: bool) -> Row:
    """The survivor's owner or queue, or the other's where it has none. An owner who has left keeps no open lead."""
    mine, its = survivor["owner_id"], other["owner_id"]
    if is_open:
        mine, its = await users.still_here(act, mine), await users.still_here(act, its)
    if mine is None and its is not None:
        await lead_states.leave_pool(act, survivor, reason="Merged with a lead that has an owner.")
        why = f"Taken over from {names.api_id('Lead', other['id'])} by merging."
        decision_id = await leads.decide_by_hand(act, survivor, other["owner_id"], why)
        return UNPLACED | {column: other[column] for column in OWNING} | {"routing_id": decision_id}
    freed: Row = dict.fromkeys(OWNING) if mine != survivor["owner_id"] else {}
    placeless = not any({**survivor, **freed}[name] for name in PLACES)
    if placeless and survivor["status"] in lead_states.OPEN and other["queue_id"] is not None:
        return {**freed, "queue_id": other["queue_id"], "queue_deadline": other["queue_deadline"]}
    return freed


async def _close(act: Act, other: Row, survivor_id: UUID) -> None:
    """Marks the other lead as MERGED; its tasks, e-mails and pairs go to the survivor."""
    await lead_states.leave_pool(act, other, reason="Merged.")
    connection = act.tx.connection
    tasks = await _move_tasks(act, other["id"], survivor_id)
    emails = await connection.fetchval(MOVE_EMAILS, other["id"], survivor_id)
    await connection.execute(CLOSE_PAIR, other["id"], survivor_id, act.now)
    await connection.execute(REPOINT_PAIRS, other["id"], survivor_id, act.now)
    changes: Row = {**UNPLACED, "merged_into_id": survivor_id}
    if other["status"] == "CONVERTED":
        changes |= dict.fromkeys(CONVERSION)
    payload = {"into": survivor_id, "tasks": tasks, "emails": emails}
    await lead_states.move(act, other, MOVES["merge"], changes=changes, payload=payload)


async def _move_tasks(act: Act, id: UUID, survivor_id: UUID) -> int:
    moved = await act.tx.connection.fetch(MOVE_TASKS, id, survivor_id, act.now)
    changes, kind = {"lead_id": (id, survivor_id)}, "task.updated"
    entries = [
        outbox.Entry(kind, ("Task", row["id"]), row["customer_id"], changes, {"version": row["version"]})
        for row in moved
    ]
    await outbox.record_many(act.tx, act.viewer, entries)
    return len(moved)


async def _absorb(act: Act, survivor: Row, other: Row, changes: Row) -> Row:
    status = changes.pop("status")
    changes |= lead_states.touched(act)
    if status not in lead_states.OPEN:
        await lead_states.leave_pool(act, survivor, reason="Merged with a lead that is closed.")
        changes |= UNPLACED
    payload, reason = {"merged": other["id"]}, f"Merged with {names.api_id('Lead', other['id'])}."
    move = Move({survivor["status"]}, status, "lead.absorbed")
    if status == survivor["status"]:
        conflicts = lead_states.CONFLICTS
        after = await records.change(
            act, Lead, survivor, changes, kind=move.event, conflicts=conflicts, payload=payload
        )
    else:
        after = await lead_states.move(act, survivor, move, reason=reason, changes=changes, payload=payload)
    await _notify_owner(act, other, after)
    return after


async def _notify_owner(act: Act, other: Row, survivor: Row) -> None:
    """Notifies the merged lead's owner, if the survivor has another."""
    if other["owner_id"] not in (None, survivor["owner_id"], act.viewer.actor_id):
        title = f"Your lead {other['name']} was merged into another one's"
        await notifications.notify(
            act, user_ids=[other["owner_id"]], kind="lead.merged", title=title, lead_id=survivor["id"]
        )
