"""Opportunities: possible deals, moved between the open stages, then won or lost.

Always holds: only `win` and `lose` close one and only `reopen` opens it again; the figures of a closed one do not change;
each move leaves a `StageTransition`. After each change `standings` computes alerts, score and risk again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from crmgql import access
from crmgql.domain.customers import customers
from crmgql.domain.opportunities import standings
from crmgql.domain.people import users
from crmgql.errors import BadUserInput, Conflict, CrmError, IllegalTransition, NotFound
from crmgql.events import outbox
from crmgql.models import Contact, KeyAction, Opportunity, OpportunityAction, Product, Stage, StageTransition
from crmgql.records import checks, money, records
from crmgql.records.columns import ORIGIN, takes
from crmgql.records.money import Money
from crmgql.records.moves import Move, Moves
from crmgql.records.records import Act, Row

FACTS = "name contact_id owner_id product_id probability engaged_on expected_close"
"""What may be set of an opportunity beside its customer and amount."""

MOVES = Moves(
    Opportunity,
    move=Move({"OPEN"}, "OPEN", "opportunity.moved"),
    win=Move({"OPEN"}, "WON", "opportunity.won"),
    lose=Move({"OPEN"}, "LOST", "opportunity.lost"),
    reopen=Move({"WON", "LOST"}, "OPEN", "opportunity.reopened"),
    snooze=Move({"OPEN"}),
    unsnooze=Move({"OPEN"}),
    change=Move({"OPEN"}),
)
FIND = """
SELECT stages.* FROM stages JOIN pipelines ON pipelines.id = pipeline_id
WHERE stages.status = $1 AND archived_at IS NULL AND CASE WHEN $2::uuid IS NULL THEN is_default ELSE pipelines.id = $2 END
ORDER BY position {} LIMIT 1 FOR SHARE OF stages"""
FIRST, LAST = FIND.format("ASC"), FIND.format("DESC")
POSITION = "SELECT pipeline_id, position FROM stages WHERE id = $1"
ACTIONS_LEFT = """
SELECT name FROM key_actions k WHERE stage_id = $1 AND required AND archived_at IS NULL
    AND NOT EXISTS (SELECT FROM opportunity_actions d WHERE d.opportunity_id = $2 AND d.key_action_id = k.id)
ORDER BY position"""
LAST_TRANSITION = """
SELECT amount_after, currency, expected_close_after FROM stage_transitions WHERE opportunity_id = $1
ORDER BY occurred_at DESC, id DESC LIMIT 1"""
CUSTOMERS = "SELECT id, customer_id FROM opportunities WHERE id = ANY ($1) ORDER BY id"
DONE = "SELECT id FROM opportunity_actions WHERE opportunity_id = $1 AND key_action_id = $2"
UNDO = "DELETE FROM opportunity_actions WHERE opportunity_id = $1 AND key_action_id = $2 RETURNING id"
CHANGES_WHEN_CLOSED = frozenset({"name", "owner_id"})
CONFLICTS = {"opportunities_probability": ("probability", "A probability is 0 to 100 per cent.")}
OF_ANOTHER = ("opportunityId", "The opportunity belongs to another customer; choose one of this customer's.")
"""What a record is told whose opportunity became another customer's meanwhile."""

LONGEST_SNOOZE = timedelta(days=366)


class KeyActionsOpen(CrmError):
    """A required key action of the stage is not done yet."""

    code = "KEY_ACTIONS_OPEN"


@takes(Opportunity, FACTS, "stage_id", ORIGIN)
async def create(act: Act, *, customer_id: UUID | None = None, amount: Money | None = None, **values: Any) -> UUID:
    """Makes an open opportunity: the viewer's own if they sell or manage, unless an owner is named."""
    access.require_write(act.viewer, "Opportunity")
    stage_id = values.pop("stage_id", None)
    stage = await _open_stage(act, stage_id) if stage_id is not None else await _stage(act, FIRST, "OPEN", None)
    if customer_id is not None:
        customer = await customers.living(act, customer_id, field="customerId")
        values["currency"] = customer["currency"]
    values["owner_id"] = await users.owner(act, values)
    await _check(act, customer_id, values)
    values |= {"customer_id": customer_id, "stage_id": stage["id"], "stage_since": act.now, **_amount(amount)}
    opportunity = await records.create(act, Opportunity, values, kind="opportunity.created", conflicts=CONFLICTS)
    await _record_transition(act, None, opportunity)
    await standings.refresh(act, [opportunity["id"]])
    return opportunity["id"]  # type: ignore[no-any-return]


@takes(Opportunity, FACTS, "customer_id amount")
async def update(act: Act, *, id: UUID, expected_version: int | None = None, **changes: Any) -> UUID:
    """Changes what is named; of a closed opportunity only name and owner."""
    access.require_write(act.viewer, "Opportunity")
    keys = "customer_id" in changes
    opportunity = await records.lock(act, Opportunity, id, expected_version=expected_version, keys=keys)
    if not changes.keys() <= CHANGES_WHEN_CLOSED:
        MOVES.check("change", opportunity, to="change its figures")
    if "owner_id" in changes and changes["owner_id"] != opportunity["owner_id"]:
        await users.assignable(act, changes["owner_id"], field="ownerId")
    customer_id = await _customer(act, opportunity, changes)
    await _check(act, customer_id, {name: value for name, value in changes.items() if value != opportunity[name]})
    if "amount" in changes:
        changes |= _amount(changes["amount"])
    await records.change(act, Opportunity, opportunity, changes, kind="opportunity.updated", conflicts=CONFLICTS)
    await standings.refresh(act, [id], was=opportunity)
    return id


async def move(act: Act, *, id: UUID, stage_id: UUID, expected_version: int | None = None) -> UUID:
    """Moves to another open stage, onwards or back, also of another pipeline. Leaving the first stage sets `engaged_on`.

    Raises `KeyActionsOpen` for a move onwards while a required key action of its stage is not done.
    """
    access.require_write(act.viewer, "Opportunity")
    stage = await _open_stage(act, stage_id)
    opportunity, move = await MOVES.lock(act, "move", id, expected_version=expected_version)
    changes: Row = {}
    if stage["position"] > 1 and opportunity["engaged_on"] is None:
        changes["engaged_on"] = act.today
    await _go(act, opportunity, move, stage, changes, payload={"to": stage["name"]})
    return id


async def win(act: Act, *, id: UUID, expected_version: int | None = None) -> UUID:
    """Closes it as won. Raises `KeyActionsOpen` while a required key action of its stage is not done."""
    opportunity, move = await MOVES.lock(act, "win", id, expected_version=expected_version)
    if opportunity["customer_id"] is None:
        raise IllegalTransition("An opportunity without a customer can't be won; name the customer first.", field="id")
    stage = await _stage(act, FIRST, "WON", opportunity["pipeline_id"])
    changes = {"closed_on": act.today, "probability": 100, "snoozed_until": None}
    await _go(act, opportunity, move, stage, changes)
    return id


async def lose(act: Act, *, id: UUID, reason: str, expected_version: int | None = None) -> UUID:
    """Closes it as lost, with a reason."""
    opportunity, move = await MOVES.lock(act, "lose", id, expected_version=expected_version)
    checks.check_text(reason, "reason", longest=300, required=True)
    stage = await _stage(act, FIRST, "LOST", opportunity["pipeline_id"])
    changes = {"closed_on": act.today, "probability": 0, "lost_reason": reason, "snoozed_until": None}
    await _go(act, opportunity, move, stage, changes)
    return id


async def reopen(act: Act, *, id: UUID, stage_id: UUID | None = None, expected_version: int | None = None) -> UUID:
    """Moves it back to an open stage, by default the last one of its pipeline. It has no owner if the owner has left."""
    opportunity, move = await MOVES.lock(act, "reopen", id, expected_version=expected_version)
    if stage_id is not None:
        stage = await _open_stage(act, stage_id)
    else:
        stage = await _stage(act, LAST, "OPEN", opportunity["pipeline_id"])
    owner_id = await users.still_here(act, opportunity["owner_id"])
    changes = {"closed_on": None, "probability": None, "lost_reason": None, "owner_id": owner_id}
    await _go(act, opportunity, move, stage, changes)
    return id


async def finish_action(act: Act, *, id: UUID, key_action_id: UUID, expected_version: int | None = None) -> UUID:
    """Records that a key action was done. Raises `IllegalTransition` if it is recorded already."""
    opportunity, _ = await MOVES.lock(act, "change", id, expected_version=expected_version)
    action = await records.visible(act, KeyAction, key_action_id, field="keyActionId")
    stage = await act.tx.connection.fetchrow(POSITION, action["stage_id"])
    if stage["pipeline_id"] != opportunity["pipeline_id"] or action["archived_at"] is not None:
        raise BadUserInput("This key action is not one of the opportunity's pipeline (any more).", field="keyActionId")
    if await act.tx.connection.fetchval(DONE, id, key_action_id):
        raise IllegalTransition("This key action is done already.", field="keyActionId")
    done = {"opportunity_id": id, "key_action_id": key_action_id, "done_at": act.now, "done_by_id": act.viewer.actor_id}
    customer = {"customer_id": opportunity["customer_id"]} if opportunity["customer_id"] else {}
    await records.insert(act, OpportunityAction, {**done, **customer})
    payload = {"action": action["name"]}
    await records.change(act, Opportunity, opportunity, {}, kind="opportunity.actionDone", payload=payload, touch=True)
    await standings.refresh(act, [id], active_at=act.now)
    return id


async def undo_action(act: Act, *, id: UUID, key_action_id: UUID, expected_version: int | None = None) -> UUID:
    """Removes the record that a key action was done. Raises `IllegalTransition` if there is none."""
    opportunity, _ = await MOVES.lock(act, "change", id, expected_version=expected_version)
    action = await records.visible(act, KeyAction, key_action_id, field="keyActionId")
    if not await act.tx.connection.fetchval(UNDO, id, key_action_id):
        raise IllegalTransition("This key action is not done.", field="keyActionId")
    payload = {"action": action["name"]}
    kind = "opportunity.actionUndone"
    await records.change(act, Opportunity, opportunity, {}, kind=kind, payload=payload, touch=True)
    await activity_changed(act, [id])
    return id


async def snooze(act: Act, *, id: UUID, until: datetime, expected_version: int | None = None) -> UUID:
    """Puts alerts off until a time, at most a year ahead; the opportunity is not stale until then."""
    opportunity, _ = await MOVES.lock(act, "snooze", id, expected_version=expected_version)
    if not act.now < until <= act.now + LONGEST_SNOOZE:
        raise BadUserInput(f"Must be ahead of now, by at most {LONGEST_SNOOZE.days} days.", field="until")
    await records.change(act, Opportunity, opportunity, {"snoozed_until": until}, kind="opportunity.snoozed")
    await standings.refresh(act, [id])
    return id


async def unsnooze(act: Act, *, id: UUID, expected_version: int | None = None) -> UUID:
    """Ends the snooze: alerts are due as if there had been none."""
    opportunity, _ = await MOVES.lock(act, "unsnooze", id, expected_version=expected_version)
    if opportunity["snoozed_until"] is None:
        raise IllegalTransition("The opportunity is not snoozed.", field="id")
    await records.change(act, Opportunity, opportunity, {"snoozed_until": None}, kind="opportunity.unsnoozed")
    await standings.refresh(act, [id])
    return id


async def give_customer(act: Act, opportunity_id: UUID, customer_id: UUID) -> None:
    """Sees to it that what is made for this customer may refer to the opportunity: one without a customer gets this one.

    It needs no permission for the opportunity, as `touched`, and a closed one gets its customer too. Of two customers at once
    the second is refused. Raises `NotFound`, and `BadUserInput` if the opportunity belongs to another customer.
    """
    field = "opportunityId"
    opportunity = await records.shown(act, Opportunity, opportunity_id, field=field)
    if opportunity["customer_id"] is None:
        opportunity = await records.lock(act, Opportunity, opportunity_id, field=field, keys=True)
    if opportunity["customer_id"] is None:
        change = {"customer_id": customer_id}
        opportunity = await records.change(act, Opportunity, opportunity, change, kind="opportunity.updated")
        await standings.refresh(act, [opportunity_id])
    records.require_same_customer(opportunity, customer_id, field=field)


async def touched(act: Act, opportunity_id: UUID, *, at: datetime | None = None) -> None:
    """Counts an activity, now or `at` an earlier time. Records `opportunity.revived` if that ends being stale.

    Needs no permission for the opportunity: the caller had one for the activity.
    """
    active_at = act.now if at is None else min(at, act.now)
    await _record_revived(act, await standings.refresh(act, [opportunity_id], active_at=active_at))


async def activity_changed(act: Act, opportunity_ids: Iterable[UUID | None]) -> None:
    """Looks the last activity up again, after an activity of these was moved, redated or removed.

    Needs no permission, as `touched`. All are locked in the order of their ids.
    """
    if ids := sorted(id for id in set(opportunity_ids) if id is not None):
        await _record_revived(act, await standings.refresh(act, ids, from_history=True))


async def _record_revived(act: Act, ids: Sequence[UUID]) -> None:
    if ids:
        rows = await act.tx.connection.fetch(CUSTOMERS, ids)
        revived = [outbox.Entry("opportunity.revived", ("Opportunity", row["id"]), row["customer_id"]) for row in rows]
        await outbox.record_many(act.tx, act.viewer, revived)


async def _go(act: Act, opportunity: Row, move: Move, stage: Row, changes: Row, *, payload: Row | None = None) -> None:
    """Moves into a stage, with other changes. If it is there already, nothing happens."""
    if stage["id"] == opportunity["stage_id"]:
        return
    await _require_done(act, opportunity, stage)
    place = {"stage_id": stage["id"], "pipeline_id": stage["pipeline_id"]}
    changes = {**changes, **move.changes(act.now), **place, "stage_since": act.now}
    after = await records.change(act, Opportunity, opportunity, changes, kind=move.event, payload=payload)
    await _record_transition(act, opportunity, after)
    await standings.refresh(act, [opportunity["id"]], active_at=act.now)


async def _require_done(act: Act, opportunity: Row, stage: Row) -> None:
    left = await act.tx.connection.fetchrow(POSITION, opportunity["stage_id"])
    onwards = left["pipeline_id"] == stage["pipeline_id"] and stage["position"] > left["position"]
    if opportunity["status"] != "OPEN" or stage["status"] == "LOST" or not onwards:
        return
    rows = await act.tx.connection.fetch(ACTIONS_LEFT, opportunity["stage_id"], opportunity["id"])
    if rows:
        names = ", ".join(row["name"] for row in rows)
        raise KeyActionsOpen(f"Before it can go on, this has to be done: {names}.", field="id")


async def _record_transition(act: Act, before: Row | None, after: Row) -> None:
    """Inserts the transition; `before` is None for a new opportunity. The figures before are those at its last transition."""
    was = await act.tx.connection.fetchrow(LAST_TRANSITION, after["id"]) if before else None
    figures = dict(was) if was else dict.fromkeys(("amount_after", "currency", "expected_close_after"))
    comparable = figures["currency"] == after["currency"]
    values = {
        "opportunity_id": after["id"],
        "customer_id": after["customer_id"],
        "from_stage_id": before and before["stage_id"],
        "to_stage_id": after["stage_id"],
        "actor_id": act.viewer.actor_id,
        "seconds_in_stage": before and max(0, int((act.now - before["stage_since"]).total_seconds())),
        "amount_before": figures["amount_after"] if comparable else None,
        "amount_after": after["amount"],
        "currency": after["currency"],
        "expected_close_before": figures["expected_close_after"],
        "expected_close_after": after["expected_close"],
        "occurred_at": act.now,
    }
    await records.insert(act, StageTransition, {name: each for name, each in values.items() if each is not None})


async def _stage(act: Act, sql: str, status: str, pipeline_id: UUID | None) -> Row:
    """The first or last stage of a status that is not archived; of the default pipeline if none is named."""
    found = await act.tx.connection.fetchrow(sql, status, pipeline_id)
    if found is None:
        raise NotFound("There is no such pipeline with an open stage.", field="stageId")
    return dict(found)


async def _open_stage(act: Act, stage_id: UUID) -> Row:
    stage = await records.visible(act, Stage, stage_id, field="stageId", steady=True)
    if stage["status"] != "OPEN":
        raise IllegalTransition(
            "A stage of WON or LOST is reached by opportunityWin and opportunityLose.", field="stageId"
        )
    if stage["archived_at"] is not None:
        raise IllegalTransition("This stage is archived; choose one that is not.", field="stageId")
    return stage


async def _customer(act: Act, opportunity: Row, changes: Row) -> UUID | None:
    """The customer after the change. What hangs on it is of the same customer, so one that is set stays."""
    before: UUID | None = opportunity["customer_id"]
    after: UUID | None = changes.get("customer_id", before)
    if after == before:
        return before
    if before is not None:
        raise Conflict(
            "The opportunity belongs to a customer already, as do its orders and interactions; make another opportunity.",
            field="customerId",
        )
    if after is not None:
        await customers.living(act, after, field="customerId")
    return after


async def _check(act: Act, customer_id: UUID | None, values: Row) -> None:
    """Checks that the contact is the customer's and that the product exists."""
    if values.get("contact_id") is not None:
        contact = await records.visible(act, Contact, values["contact_id"], field="contactId")
        records.require_same_customer(contact, customer_id, field="contactId")
    if values.get("product_id") is not None:
        await records.visible(act, Product, values["product_id"], field="productId")


def _amount(sent: Money | None) -> Row:
    """The columns of an amount. Without one the currency stays as it was."""
    if sent is None:
        return {"amount": None}
    return {"amount": money.amount(sent, field="amount"), "currency": sent[1]}
