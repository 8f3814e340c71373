"""Tasks: what a person is to do by a time. `MOVES` says which changes of status are allowed."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from crmgql import access
from crmgql.domain.messages import notifications
from crmgql.domain.opportunities import opportunities, standings
from crmgql.domain.people import users
from crmgql.errors import BadUserInput
from crmgql.models import Customer, Lead, Opportunity, Task
from crmgql.records import records
from crmgql.records.columns import ORIGIN, takes
from crmgql.records.moves import Move, Moves
from crmgql.records.records import Act, Row

FACTS = "subject description due_at assignee_id customer_id lead_id opportunity_id"
"""What may be set when a task is made, and changed while it is open."""

MOVES = Moves(
    Task,
    complete=Move({"OPEN"}, "DONE", "task.completed", "done_at"),
    cancel=Move({"OPEN"}, "CANCELLED", "task.cancelled"),
    reopen=Move({"DONE", "CANCELLED"}, "OPEN", "task.reopened"),
    change=Move({"OPEN"}),
)
LEAD_ACTIVE = """
UPDATE leads SET last_activity_at = $2, reclaim_warned_at = NULL WHERE id = $1 AND last_activity_at < $2"""
REFERENCES = ("customer_id", "lead_id", "opportunity_id")


@takes(Task, FACTS, ORIGIN)
async def create(act: Act, **values: Any) -> UUID:
    """Makes a task, the viewer's own unless an assignee is named. With an opportunity it belongs to that one's customer."""
    access.require_write(act.viewer, "Task")
    values["assignee_id"] = await _assignee(act, values.get("assignee_id", act.viewer.user_id))
    values |= await _references(act, {column: values[column] for column in REFERENCES if column in values}, {})
    task = await records.create(act, Task, values, kind="task.created")
    await _refresh_opportunities(act, task)
    await _notify_assignee(act, task)
    return task["id"]  # type: ignore[no-any-return]


@takes(Task, FACTS)
async def update(act: Act, *, id: UUID, expected_version: int | None = None, **changes: Any) -> UUID:
    """Changes what is named, while the task is open."""
    task, _ = await MOVES.lock(act, "change", id, expected_version=expected_version)
    if "assignee_id" in changes and changes["assignee_id"] != task["assignee_id"]:
        await _assignee(act, changes["assignee_id"])
    different = {name: changes[name] for name in REFERENCES if name in changes and changes[name] != task[name]}
    changes |= await _references(act, different, task)
    after = await records.change(act, Task, task, changes, kind="task.updated")
    if after["opportunity_id"] != task["opportunity_id"]:
        await _refresh_opportunities(act, task, after)
    if after["assignee_id"] != task["assignee_id"]:
        await _notify_assignee(act, after)
    return id


async def move(act: Act, verb: str, *, id: UUID, expected_version: int | None = None) -> UUID:
    """Completes, cancels or reopens; a reopened task is unassigned if its assignee has left."""
    task, move = await MOVES.lock(act, verb, id, expected_version=expected_version)
    changes = move.changes(act.now)
    if move.target == "OPEN":
        changes |= {"done_at": None, "assignee_id": await users.still_here(act, task["assignee_id"])}
    await records.change(act, Task, task, changes, kind=move.event)
    if move.target == "DONE":
        await _touch(act, task)
    elif task["status"] == "DONE":  # it was not done after all
        await opportunities.activity_changed(act, [task["opportunity_id"]])
    else:
        await _refresh_opportunities(act, task)
    return id


async def _refresh_opportunities(act: Act, *tasks: Row) -> None:
    """Refreshes the tasks' opportunities: one without an open task is at risk."""
    if ids := sorted({task["opportunity_id"] for task in tasks} - {None}):
        await standings.refresh(act, ids)


async def _touch(act: Act, task: Row) -> None:
    """Counts a completed task as activity of its opportunity and its lead."""
    if task["opportunity_id"] is not None:
        await opportunities.touched(act, task["opportunity_id"])
    if task["lead_id"] is not None:
        await act.tx.connection.execute(LEAD_ACTIVE, task["lead_id"], act.now)


async def _assignee(act: Act, user_id: UUID | None) -> UUID | None:
    """The viewer themselves in any case; others as `users.assignable` allows."""
    if user_id == act.viewer.user_id:
        return None if act.viewer.actor_id is None else await users.oneself(act)
    return await users.assignable(act, user_id, field="assigneeId")


async def _notify_assignee(act: Act, task: Row) -> None:
    """Notifies the assignee, unless they assigned the task themselves."""
    if task["assignee_id"] in (None, act.viewer.actor_id):
        return
    about = {name: task[name] for name in REFERENCES}
    title = f"A task for you: {task['subject']}"
    await notifications.notify(act, user_ids=[task["assignee_id"]], kind="task.assigned", title=title, **about)


async def _references(act: Act, changes: Row, before: Row) -> Row:
    """The changed references, checked, with the opportunity's customer added.

    Raises `NotFound`, `BadUserInput`.
    """
    for column, model, field in (("customer_id", Customer, "customerId"), ("lead_id", Lead, "leadId")):
        if changes.get(column) is not None:
            await records.visible(act, model, changes[column], field=field)
    after = {**{name: before.get(name) for name in REFERENCES}, **changes}
    if after["opportunity_id"] is None or not changes:
        return changes
    opportunity = await records.visible(act, Opportunity, after["opportunity_id"], field="opportunityId")
    if "customer_id" not in changes:
        return {**changes, "customer_id": opportunity["customer_id"]}
    if changes["customer_id"] != opportunity["customer_id"]:
        raise BadUserInput("The opportunity belongs to another customer; name that one, or none.", field="customerId")
    return changes
