"""How opportunities went from stage to stage in a period, as far as the viewer may see them.

An opportunity entered a stage if a move into it is recorded, or if the first recorded move leaves it, or if no move is
recorded and it is in the stage now. Of those that entered in the period, the funnel counts how many went on. Each counts
once per stage, however often it came and went; amounts are summed per currency.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import orjson

from crmgql import access
from crmgql.db import Database
from crmgql.errors import BadUserInput, NotFound
from crmgql.records import checks, days
from crmgql.viewer import Viewer

FUNNEL = """
WITH seen AS MATERIALIZED (
    SELECT o.id, o.stage_id, o.stage_since, o.amount, o.currency FROM ({seen}) o
    WHERE ({owner}::uuid IS NULL OR o.owner_id = {owner}) AND (o.pipeline_id = {pipeline}::uuid OR EXISTS (
        SELECT FROM stage_transitions t JOIN stages s ON s.id = t.to_stage_id OR s.id = t.from_stage_id
        WHERE t.opportunity_id = o.id AND s.pipeline_id = {pipeline}))
),
moves AS MATERIALIZED (
    SELECT t.id, t.opportunity_id, t.from_stage_id, t.to_stage_id, t.occurred_at, t.seconds_in_stage, goes.status,
        goes.pipeline_id = leaves.pipeline_id AND goes.position > leaves.position AND goes.status <> 'LOST' AS onwards,
        row_number() OVER (PARTITION BY t.opportunity_id ORDER BY t.occurred_at, t.id) = 1 AS is_first
    FROM stage_transitions t JOIN seen ON seen.id = t.opportunity_id
    JOIN stages goes ON goes.id = t.to_stage_id LEFT JOIN stages leaves ON leaves.id = t.from_stage_id
    WHERE {until}::timestamptz IS NULL OR t.occurred_at < {until}
),
entered AS MATERIALIZED (
    SELECT stage_id, opportunity_id FROM (
        SELECT to_stage_id, opportunity_id, occurred_at FROM moves
        UNION ALL SELECT from_stage_id, opportunity_id, occurred_at FROM moves WHERE is_first AND from_stage_id IS NOT NULL
        UNION ALL SELECT stage_id, id, stage_since FROM seen
            WHERE NOT EXISTS (SELECT FROM stage_transitions t WHERE t.opportunity_id = seen.id)
                AND ({until}::timestamptz IS NULL OR stage_since < {until})
    ) e (stage_id, opportunity_id, at)
    WHERE {since}::timestamptz IS NULL OR at >= {since} GROUP BY 1, 2
),
entries AS (SELECT stage_id, count(*) AS entered FROM entered GROUP BY 1),
standing AS (SELECT stage_id, count(*) AS current FROM seen GROUP BY 1),
gone AS (
    SELECT e.stage_id, count(DISTINCT e.opportunity_id) FILTER (WHERE onwards) AS moved_on,
        count(DISTINCT e.opportunity_id) FILTER (WHERE m.status = 'WON') AS won,
        count(DISTINCT e.opportunity_id) FILTER (WHERE m.status = 'LOST') AS lost,
        avg(seconds_in_stage) AS average_s, percentile_cont(0.5) WITHIN GROUP (ORDER BY seconds_in_stage) AS median_s
    FROM entered e JOIN moves m ON m.from_stage_id = e.stage_id AND m.opportunity_id = e.opportunity_id
    WHERE {since}::timestamptz IS NULL OR m.occurred_at >= {since} GROUP BY 1
),
stages_seen AS (
    SELECT s.id, s.name, s.position, s.status, s.conversion_goal, coalesce(entered, 0) AS entered,
        coalesce(current, 0) AS current, coalesce(moved_on, 0) AS moved_on, coalesce(won, 0) AS won,
        coalesce(lost, 0) AS lost, average_s::numeric::text AS average_s, median_s::numeric::text AS median_s
    FROM stages s LEFT JOIN entries ON entries.stage_id = s.id LEFT JOIN standing ON standing.stage_id = s.id
    LEFT JOIN gone ON gone.stage_id = s.id
    WHERE s.pipeline_id = {pipeline} AND (archived_at IS NULL OR entered > 0)
),
ends AS (
    SELECT stages.status, seen.currency, count(*) AS n, sum(seen.amount)::text AS amount
    FROM entered e JOIN seen ON seen.id = e.opportunity_id AND seen.stage_id = e.stage_id
    JOIN stages ON stages.id = e.stage_id AND stages.status <> 'OPEN' AND stages.pipeline_id = {pipeline} GROUP BY 1, 2
)
SELECT jsonb_build_object(
    'pipeline', (SELECT name FROM pipelines WHERE id = {pipeline}),
    'stages', (SELECT coalesce(jsonb_agg(to_jsonb(s) ORDER BY position), '[]') FROM stages_seen s),
    'ends', (SELECT coalesce(jsonb_agg(to_jsonb(e) ORDER BY currency), '[]') FROM ends e)) AS data, 0 AS nodes"""
DEFAULT = "(SELECT id FROM pipelines WHERE is_default)"


async def funnel(
    database: Database,
    viewer: Viewer,
    *,
    pipeline_id: UUID | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    first_day: date | None = None,
    last_day: date | None = None,
    owner_id: UUID | None = None,
) -> dict[str, Any]:
    """The stages of a pipeline, by default the default one, with what entered them from `since` until before `until`.

    Instead of moments, days of the company may be named: from `first_day` to `last_day`, both included. Raises `Forbidden`
    for a key that may not read opportunities, `NotFound`, `BadUserInput`.
    """
    for record in ("Opportunity", "Pipeline"):
        access.require_read(viewer.who, record)
    zone = await database.zone()
    since = _begin(first_day, zone, since, field="firstDay")
    until = _begin(last_day and _after(last_day), zone, until, field="lastDay")
    if since is not None and until is not None and since >= until:
        raise BadUserInput("Must be later than since.", field="until" if last_day is None else "lastDay")
    seen = access.visible("Opportunity", viewer.who)
    template = FUNNEL if pipeline_id is not None else FUNNEL.replace("{pipeline}", DEFAULT)
    values = {"pipeline": pipeline_id, "since": since, "until": until, "owner": owner_id}
    row = await database.fetch_json(*access.statement(template, viewer, selects={"seen": seen}, **values))
    found = orjson.loads(row["data"])
    if found["pipeline"] is None:
        raise NotFound("There is no such pipeline.", field="pipelineId")
    return _shown(found)


def _after(day: date) -> date:
    return day if day == date.max else day + timedelta(days=1)


def _begin(day: date | None, zone: ZoneInfo, moment: datetime | None, *, field: str) -> datetime | None:
    """The start of the day, or else the moment. Raises `BadUserInput` if both are named, and for a year out of range."""
    if day is None:
        return moment
    if moment is not None:
        raise BadUserInput("Name a moment or a day, not both.", field=field)
    checks.check_year(day, field)
    return days.start_of(day, zone)


def _shown(found: dict[str, Any]) -> dict[str, Any]:
    ends = {status: [end for end in found["ends"] if end["status"] == status] for status in ("WON", "LOST")}
    return {
        "pipeline": found["pipeline"],
        "stages": [_stage(stage) for stage in found["stages"]],
        "won": sum(end["n"] for end in ends["WON"]),
        "lost": sum(end["n"] for end in ends["LOST"]),
        "wonAmounts": _amounts(ends["WON"]),
        "lostAmounts": _amounts(ends["LOST"]),
    }


def _stage(stage: dict[str, Any]) -> dict[str, Any]:
    goal, entered = stage["conversion_goal"], stage["entered"]
    share = Decimal(stage["moved_on"] * 100) / entered if entered and stage["status"] == "OPEN" else None
    conversion = None if share is None else share.quantize(Decimal("0.01"), ROUND_HALF_UP)
    return {
        "name": stage["name"],
        "position": stage["position"],
        "status": stage["status"],
        "entered": entered,
        "current": stage["current"],
        "movedOn": stage["moved_on"],
        "won": stage["won"],
        "lost": stage["lost"],
        "conversion": conversion,
        "conversionGoal": goal,
        "goalMet": None if goal is None or share is None else share >= goal,
        "averageHours": _hours(stage["average_s"]),
        "medianHours": _hours(stage["median_s"]),
    }


def _hours(seconds: str | None) -> Decimal | None:
    return None if seconds is None else (Decimal(seconds) / 3600).quantize(Decimal("0.01"), ROUND_HALF_UP)


def _amounts(ends: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {"amount": Decimal(end["amount"]), "currency": end["currency"]} for end in ends if end["amount"] is not None
    ]
