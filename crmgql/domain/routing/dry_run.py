"""A dry run: what a rule set would do with the latest leads, compared with what happened to them. Nothing is written.

Each lead is decided as of the time when it came in, the earliest first, with the working hours and absences of that time.
Open leads are counted as they are now, without the leads of the run.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from crmgql import access
from crmgql.db import Database, Transaction
from crmgql.domain.leads import lead_states
from crmgql.domain.routing import decide, facts, hours
from crmgql.domain.routing.decide import Board, Decision, Lead
from crmgql.errors import BadUserInput
from crmgql.models import RoutingRuleset, names
from crmgql.records import records
from crmgql.records.records import Act
from crmgql.viewer import Viewer

MOST = 1000
SLICE = 10
LATEST = "SELECT * FROM ({leads}) visible ORDER BY received_at DESC, id DESC LIMIT {last}"
PLACES = """
SELECT l.id, u.name AS owner, q.name AS queue, d.reason FROM leads l
LEFT JOIN users u ON u.id = l.owner_id LEFT JOIN lead_queues q ON q.id = l.queue_id
LEFT JOIN assignment_decisions d ON d.id = l.routing_id WHERE l.id = ANY ($1::uuid[])"""

Outcome = tuple[Lead, Decision]


async def dry_run(database: Database, viewer: Viewer, *, ruleset_id: UUID, last_n: int | None = None) -> dict[str, Any]:
    """The result per lead and in total, for leads that the viewer sees. Raises `NotFound`, `BadUserInput`."""
    last_n = 100 if last_n is None else last_n
    if not 1 <= last_n <= MOST:
        raise BadUserInput(f"Must be 1 to {MOST}.", field="lastN")
    zone = await database.zone()
    async with database.snapshot() as connection:
        act = Act(Transaction(connection, zone), viewer)
        ruleset = await records.shown(act, RoutingRuleset, ruleset_id, field="rulesetId")
        leads = await _latest(act, last_n)
        board = await _board(act, ruleset, leads) if leads else None
        places = {row["id"]: row for row in await connection.fetch(PLACES, [lead.id for lead in leads])}
    outcomes = await _try(leads, board) if board else []
    return _as_json(ruleset_id, [_compared(lead, decision, places[lead.id]) for lead, decision in outcomes])


async def _latest(act: Act, last_n: int) -> list[Lead]:
    """The latest leads that the viewer sees, the earliest first."""
    leads = access.visible("Lead", act.viewer.who)
    sql, values = access.statement(LATEST, act.viewer, selects={"leads": leads}, last=last_n)
    rows = await act.tx.connection.fetch(sql, *values)
    return [facts.lead_of(dict(row)) for row in reversed(rows)]


async def _board(act: Act, ruleset: facts.Row, leads: Sequence[Lead]) -> Board:
    """The facts for deciding, as if the leads had not been assigned to anybody yet."""
    connection, zone, since = act.tx.connection, act.tx.zone, leads[0].received_at
    board = await facts.board(connection, ruleset, leads, act.now, zone=zone, since=since, exact=True)
    for lead in leads:
        lead.declined, lead.reroutes, lead.attempt = frozenset(), 0, 1
        owner = lead.row["owner_id"]
        if owner in board.loads and lead.row["status"] in lead_states.OPEN:
            board.loads[owner].open = max(0, board.loads[owner].open - 1)
    return board


async def _try(leads: Sequence[Lead], board: Board) -> list[Outcome]:
    """Decides about each lead. A decision takes up to a millisecond, so the event loop runs others after each slice."""
    days: dict[UUID, datetime] = {}
    outcomes: list[Outcome] = []
    for lead in leads:
        outcomes.append((lead, _decide(lead, board, days)))
        if len(outcomes) % SLICE == 0:
            await asyncio.sleep(0)
    return outcomes


def _decide(lead: Lead, board: Board, days: dict[UUID, datetime]) -> Decision:
    board.at(lead.received_at)
    for seller in board.sellers.values():
        if seller.max_per_day is not None:
            day = (seller.hours or hours.ALWAYS).day_start(lead.received_at)
            if days.get(seller.id) != day:
                days[seller.id], board.loads[seller.id].today = day, 0
    return decide.decide(lead, board)


def _compared(lead: Lead, decision: Decision, place: facts.Row) -> dict[str, Any]:
    row = lead.row
    now = _place(row["owner_id"], place["owner"], row["queue_id"], place["queue"], place["reason"])
    chosen, queue = decision.chosen, decision.queue
    would = _place(
        chosen.id if chosen else None,
        chosen.name if chosen else None,
        queue.id if queue else None,
        queue.name if queue else None,
        decision.reason,
    )
    return {
        "leadId": names.api_id("Lead", lead.id),
        "name": lead.name,
        "now": now,
        "would": would,
        "explanation": decision.explanation,
        "changed": (now["ownerId"], now["queueId"]) != (would["ownerId"], would["queueId"]),
    }


def _place(
    owner_id: UUID | None, owner: str | None, queue_id: UUID | None, queue: str | None, reason: str | None
) -> dict[str, Any]:
    return {
        "ownerId": owner_id and names.api_id("User", owner_id),
        "owner": owner,
        "queueId": queue_id and names.api_id("LeadQueue", queue_id),
        "queue": queue,
        "reason": reason,
    }


def _as_json(ruleset_id: UUID, leads: Sequence[dict[str, Any]]) -> dict[str, Any]:
    owners = {each[when]["ownerId"]: each[when]["owner"] for each in leads for when in ("now", "would")}
    sellers = _counted(leads, "ownerId")
    return {
        "rulesetId": names.api_id("RoutingRuleset", ruleset_id),
        "total": len(leads),
        "changed": sum(each["changed"] for each in leads),
        "leads": list(reversed(leads)),
        "sellers": [{"userId": id, "name": owners[id], "now": a, "would": b} for id, a, b in sellers],
        "reasons": [{"reason": reason, "now": a, "would": b} for reason, a, b in _counted(leads, "reason")],
    }


def _counted(leads: Iterable[dict[str, Any]], key: str) -> list[tuple[str, int, int]]:
    now = Counter(each["now"][key] for each in leads)
    would = Counter(each["would"][key] for each in leads)
    return [(value, now[value], would[value]) for value in sorted((now.keys() | would.keys()) - {None})]
