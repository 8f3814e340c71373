"""Writes decisions about one lead or thousands: leads, decisions, events, audit rows, turns and notifications.

Always holds: all of it in the caller's transaction, with a number of statements that does not grow with the leads.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from crmgql.domain.messages import notifications
from crmgql.domain.messages.notifications import Notice
from crmgql.domain.people import users
from crmgql.domain.routing import facts
from crmgql.domain.routing.decide import Board, Decision, Lead
from crmgql.domain.routing.distribution import TURN
from crmgql.events import outbox
from crmgql.records import retries
from crmgql.records.records import Act, Collided

STILL_ACTIVE = "SELECT id FROM users WHERE id = ANY ($1::uuid[]) AND active ORDER BY id FOR SHARE"
IDS = "SELECT array_agg(uuidv7()) FROM generate_series(1, $1)"
PLACE = """
UPDATE leads SET owner_id = to_owner, assigned_at = CASE WHEN to_owner IS NULL THEN NULL ELSE $1::timestamptz END, accepted_at = NULL,
    accept_by = to_accept_by, queue_id = to_queue, queue_deadline = to_deadline, pool_id = NULL, reclaim_warned_at = NULL,
    routing_id = decision_id, version = version + 1, updated_at = $1
FROM unnest($2::uuid[], $3::uuid[], $4::uuid[], $5::timestamptz[], $6::uuid[], $7::timestamptz[])
    AS placed (lead_id, decision_id, to_owner, to_accept_by, to_queue, to_deadline)
WHERE leads.id = lead_id"""
SERVE = """
INSERT INTO routing_shares (rule_id, user_id, turns, last_at) SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::numeric[], $4::timestamptz[])
ON CONFLICT (rule_id, user_id) DO UPDATE SET turns = EXCLUDED.turns, last_at = EXCLUDED.last_at"""

DECISION = (
    "id", "lead_id", "ruleset_id", "rule_id", "reason", "chosen_id", "previous_id", "queue_id", "candidates",
    "explanation", "attempt", "actor_id", "decided_at",
)  # fmt: skip

Outcome = tuple[Lead, Decision]


async def place(
    act: Act,
    ruleset: facts.Row | None,
    leads: Sequence[Lead],
    how: Callable[[Lead, Board], Decision],
    *,
    each: bool = False,
) -> list[Outcome]:
    """Decides about leads and writes the decisions. Leads and rule set are locked; None: there is no rule set.

    The chosen sellers are locked, so that they stay active until the commit. If one was deactivated in the meantime, all is
    decided again; after several tries it raises `Collided`.
    """
    if not leads:
        return []

    async def attempt() -> list[Outcome] | None:
        board = await facts.board(act.tx.connection, ruleset, leads, act.now, zone=act.tx.zone)
        outcomes = [(lead, how(lead, board)) for lead in leads]
        chosen = {decision.chosen.id for _, decision in outcomes if decision.chosen is not None}
        if len(await act.tx.connection.fetch(STILL_ACTIVE, list(chosen))) < len(chosen):
            return None
        await write(act, None if ruleset is None else ruleset["id"], outcomes, board, each=each)
        return outcomes

    done = await retries.look_again(attempt)
    if done is None:
        raise Collided
    return done


async def write(
    act: Act, ruleset_id: UUID | None, outcomes: Sequence[Outcome], board: Board | None = None, *, each: bool = False
) -> None:
    """Writes decisions about locked leads. `each`: owners get a notification per lead, even for many leads."""
    if not outcomes:
        return
    connection, now, actor = act.tx.connection, act.now, act.viewer.actor_id
    ids = await connection.fetchval(IDS, len(outcomes))
    decided = [_decided(id, ruleset_id, *outcome, actor, now) for id, outcome in zip(ids, outcomes, strict=True)]
    await connection.copy_records_to_table("assignment_decisions", records=decided, columns=DECISION)
    await connection.execute(PLACE, now, *_places(ids, outcomes))
    entries = [_entry(act, id, *outcome) for id, outcome in zip(ids, outcomes, strict=True)]
    await outbox.record_many(act.tx, act.viewer, entries)
    if board is not None:
        await _serve(act, board)
    await _notify(act, ids, outcomes, each=each or len(outcomes) == 1)


def _decided(
    id: UUID, ruleset_id: UUID | None, lead: Lead, decision: Decision, actor: UUID | None, now: datetime
) -> tuple[Any, ...]:
    return (
        id,
        lead.id,
        ruleset_id,
        decision.rule and decision.rule.id,
        decision.reason,
        decision.chosen and decision.chosen.id,
        decision.previous,
        decision.queue and decision.queue.id,
        decision.considered.text,
        decision.explanation,
        lead.attempt,
        actor,
        now,
    )


def _places(ids: Sequence[UUID], outcomes: Sequence[Outcome]) -> Iterator[list[Any]]:
    yield [lead.id for lead, _ in outcomes]
    yield list(ids)
    yield [decision.chosen and decision.chosen.id for _, decision in outcomes]
    yield [decision.accept_by for _, decision in outcomes]
    yield [decision.queue and decision.queue.id for _, decision in outcomes]
    yield [decision.queue_deadline for _, decision in outcomes]


def _kind(decision: Decision) -> str:
    if decision.chosen is not None:
        return "lead.routed"
    return "lead.queued" if decision.queue is not None else "lead.unrouted"


def _entry(act: Act, id: UUID, lead: Lead, decision: Decision) -> outbox.Entry:
    after = {
        "owner_id": decision.chosen and decision.chosen.id,
        "assigned_at": None if decision.chosen is None else act.now,
        "accepted_at": None,
        "accept_by": decision.accept_by,
        "queue_id": decision.queue and decision.queue.id,
        "queue_deadline": decision.queue_deadline,
        "routing_id": id,
    }
    before = lead.row
    changes = {column: (before[column], value) for column, value in after.items() if before[column] != value}
    payload = {"version": before["version"] + 1, "reason": decision.reason, "attempt": lead.attempt}
    return outbox.Entry(_kind(decision), ("Lead", lead.id), before["customer_id"], changes, payload)


async def _serve(act: Act, board: Board) -> None:
    changed = [(rule_id, runner) for (rule_id, _), runner in sorted(board.runners.items()) if runner.changed]
    if changed:
        await act.tx.connection.execute(
            SERVE,
            [rule_id for rule_id, _ in changed],
            [runner.id for _, runner in changed],
            [Decimal(runner.turns) / TURN for _, runner in changed],
            [runner.seen_at for _, runner in changed],
        )


async def _notify(act: Act, ids: Sequence[UUID], outcomes: Sequence[Outcome], *, each: bool) -> None:
    if each:
        notices = [item for id, outcome in zip(ids, outcomes, strict=True) for item in _notices(act, id, *outcome)]
    else:
        notices = _summaries(ids[0], outcomes)
    await notifications.notify_many(act, notices)
    lost = [lead for lead, decision in outcomes if decision.chosen is None and decision.queue is None]
    if lost:
        await _notify_of_lost(act, lost)


def _notices(act: Act, id: UUID, lead: Lead, decision: Decision) -> Iterator[Notice]:
    if decision.chosen is not None and decision.chosen.id != act.viewer.actor_id:
        title, key = f"A lead for you: {lead.name}", f"lead.assigned:{id}"
        yield Notice(decision.chosen.id, "lead.assigned", title, decision.explanation, key, lead.id)


def _summaries(id: UUID, outcomes: Sequence[Outcome]) -> list[Notice]:
    """One notification per seller, however many leads."""
    counted = Counter(decision.chosen.id for _, decision in outcomes if decision.chosen is not None)
    key = f"lead.assigned:{id}"
    titles = {seller: f"{count} leads for you" if count > 1 else "A lead for you" for seller, count in counted.items()}
    return [Notice(seller, "lead.assigned", title, None, key) for seller, title in sorted(titles.items())]


async def _notify_of_lost(act: Act, lost: Sequence[Lead]) -> None:
    """Notifies the administrators of leads without a place: once per lead; if there are many at a time, once a day."""
    alone = lost[0] if len(lost) == 1 else None
    await notifications.notify(
        act,
        user_ids=await users.administrators(act),
        kind="lead.unrouted",
        title=f"Nobody gets the lead {alone.name}" if alone else f"{len(lost)} leads found no place",
        body="Routing found neither a seller nor a fallback queue; its decisions say why. It will be tried again.",
        dedupe_key=f"lead.unrouted:{alone.id if alone else act.today}",
        lead_id=alone.id if alone else None,
    )
