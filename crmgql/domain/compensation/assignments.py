"""Whom a plan pays, on which days: many people are assigned at once, each assignment ends or is cancelled by itself.

Always holds: nobody is paid by two plans on one day. Who assigns waits for who assigns at the same time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

from crmgql import access
from crmgql.errors import AssignmentsOverlap, BadUserInput, Forbidden, IllegalTransition
from crmgql.events import outbox
from crmgql.events.outbox import Entry
from crmgql.models import CompAssignment, CompPlan, User
from crmgql.records import checks, records
from crmgql.records.records import Act, Row

LONGEST_RAMP = 60
TAKEN = """
SELECT wanted.place, u.name, p.name AS plan, a.starts_on, a.ends_on
FROM unnest($1::uuid[]) WITH ORDINALITY AS wanted (user_id, place)
JOIN comp_assignments a ON a.user_id = wanted.user_id AND a.days && daterange($2, $3, '[]')
JOIN users u ON u.id = a.user_id JOIN comp_plans p ON p.id = a.plan_id
WHERE a.id IS DISTINCT FROM $4 ORDER BY wanted.place, a.starts_on LIMIT 1"""
ASSIGN = """
INSERT INTO comp_assignments (plan_id, user_id, starts_on, ends_on, ramp)
SELECT $1, given.user_id, $2, $3, given.ramp FROM jsonb_to_recordset($4) AS given (user_id uuid, ramp integer[])
RETURNING id, user_id, plan_id, starts_on, ends_on, ramp, version"""


@dataclass(frozen=True, slots=True)
class NewAssignment:
    """A person. `ramp`: per cent of their quota in the first month after the start, in the second one, and so on."""

    user_id: UUID
    ramp: Sequence[int] | None = None


async def assign(
    act: Act,
    *,
    id: UUID,
    people: Sequence[NewAssignment],
    starts_on: date,
    ends_on: date | None = None,
    expected_version: int | None = None,
) -> UUID:
    """Assigns people to a plan from a day on, by as many statements for one as for all. Returns the plan's id.

    Raises `NotFound` for somebody who is not there, `BadUserInput`, `AssignmentsOverlap` for somebody whom a plan pays on one
    of these days already; then nobody is assigned.
    """
    access.require_write(act.viewer, "CompPlan")
    if not access.sees_all(act.viewer.who, "CompAssignment"):
        raise Forbidden(
            "Assigning people is for those who see whom all plans pay, as nobody is paid by two.", field="people"
        )
    plan = await records.lock(act, CompPlan, id, expected_version=expected_version)
    _check_days(starts_on, ends_on)
    _check_people(people)
    seen = await records.visible_many(act, User, [each.user_id for each in people])
    for number, each in enumerate(people):
        if each.user_id not in seen:
            raise records.not_found(User, field=f"people.{number}.userId")
    await records.serialize(act, "comp_assignments")
    await _check_free(act, [each.user_id for each in people], starts_on, ends_on)
    given = outbox.as_json([{"user_id": each.user_id, "ramp": each.ramp} for each in people])
    rows = await act.tx.connection.fetch(ASSIGN, id, starts_on, ends_on, given)
    payload = {"people": len(rows), "starts_on": starts_on, "ends_on": ends_on}
    await records.change(act, CompPlan, plan, {}, kind="plan.assigned", payload=payload, touch=True)
    await outbox.record_many(act.tx, act.viewer, [_made(dict(row)) for row in rows])
    return id


async def end(act: Act, *, id: UUID, ends_on: date, expected_version: int | None = None) -> UUID:
    """Sets the last day of an assignment, which may be later than the one that it has. Raises `BadUserInput` for one before the
    first, `AssignmentsOverlap`, `IllegalTransition` for what is cancelled."""
    row = await _live(act, id, expected_version)
    if ends_on < row["starts_on"]:
        raise BadUserInput(
            f"It starts on {row['starts_on']}, which is the earliest last day; compAssignmentCancel takes all of it back.",
            field="endsOn",
        )
    checks.check(CompAssignment, {"ends_on": ends_on})
    await records.serialize(act, "comp_assignments")
    await _check_free(act, [row["user_id"]], row["starts_on"], ends_on, own=id, field="endsOn")
    await records.change(act, CompAssignment, row, {"ends_on": ends_on}, kind="assignment.ended", payload=_payload(row))
    return id


async def cancel(act: Act, *, id: UUID, expected_version: int | None = None) -> UUID:
    """Takes back an assignment that was a mistake: none of its days counts. Raises `IllegalTransition` if it is cancelled."""
    row = await _live(act, id, expected_version)
    changes = {"cancelled_at": act.now}
    await records.change(act, CompAssignment, row, changes, kind="assignment.cancelled", payload=_payload(row))
    return id


async def _live(act: Act, id: UUID, expected_version: int | None) -> Row:
    access.require_write(act.viewer, "CompAssignment")
    row = await records.lock(act, CompAssignment, id, expected_version=expected_version)
    if row["cancelled_at"] is not None:
        raise IllegalTransition("The assignment is cancelled; assign the person again.", field="id")
    return row


def _check_days(starts_on: date, ends_on: date | None) -> None:
    checks.check(CompAssignment, {"starts_on": starts_on} | ({} if ends_on is None else {"ends_on": ends_on}))
    if ends_on is not None and ends_on < starts_on:
        raise BadUserInput(f"It can't end on {ends_on}, before it starts on {starts_on}.", field="endsOn")


def _check_people(people: Sequence[NewAssignment]) -> None:
    if not people:
        raise BadUserInput("Name at least one person.", field="people")
    known: set[UUID] = set()
    for number, each in enumerate(people):
        if each.user_id in known:
            raise BadUserInput("The same person is there twice.", field=f"people.{number}.userId")
        known.add(each.user_id)
        if each.ramp is not None:
            _check_ramp(each.ramp, f"people.{number}.ramp")


def _check_ramp(ramp: Sequence[int], field: str) -> None:
    if not 0 < len(ramp) <= LONGEST_RAMP:
        raise BadUserInput(f"A ramp has 1 to {LONGEST_RAMP} months; leave it out for none.", field=field)
    if any(not 0 <= each <= 100 for each in ramp):
        raise BadUserInput("A ramp is in per cent of the quota: whole numbers from 0 to 100.", field=field)


async def _check_free(
    act: Act, users: Sequence[UUID], starts_on: date, ends_on: date | None, own: UUID | None = None, field: str = ""
) -> None:
    taken = await act.tx.connection.fetchrow(TAKEN, users, starts_on, ends_on, own)
    if taken is None:
        return
    days = f"from {taken['starts_on']} " + ("on" if taken["ends_on"] is None else f"to {taken['ends_on']}")
    raise AssignmentsOverlap(
        f"{taken['name']} is paid by “{taken['plan']}” {days}; end that first (compAssignmentEnd).",
        field=field or f"people.{taken['place'] - 1}.userId",
    )


def _made(row: Row) -> Entry:
    columns = ("plan_id", "user_id", "starts_on", "ends_on", "ramp")
    changes: dict[str, tuple[Any, Any]] = {name: (None, row[name]) for name in columns if row[name] is not None}
    payload = _payload(row) | {"version": row["version"]}
    return Entry("assignment.made", ("CompAssignment", row["id"]), None, changes, payload)


def _payload(row: Row) -> Row:
    return {"user_id": row["user_id"], "plan_id": row["plan_id"]}
