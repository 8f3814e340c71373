"""Who earned and attained how much in some days, by person, team or region, of the people whose commissions the viewer sees.

Each person counts in the currency of the plan that pays them last in these days, with what this plan attains by, on the days of the
period on which plans pay them. Shares of a quota are of those who have one. One statement, however many they are.
"""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any
from uuid import UUID

import orjson

from crmgql import access
from crmgql.db import Database
from crmgql.domain.compensation.periods import FiscalStart, period_of
from crmgql.errors import BadUserInput
from crmgql.models import CompPeriod, names
from crmgql.records import checks, days
from crmgql.sql import ast
from crmgql.viewer import Viewer, Who

MOST = 1000
USUAL = 100
LOW = 60
"""Per cent of the target below which a team is low."""

PERSON, TEAM, REGION = GROUPINGS = ("PERSON", "TEAM", "REGION")
# What a group is, by what it is made.
KEYS = {
    PERSON: ("id AS user_id, NULL::uuid AS team_id, NULL::text AS region", "id"),
    TEAM: ("NULL::uuid AS user_id, team_id, NULL::text AS region", "team_id"),
    REGION: ("NULL::uuid AS user_id, NULL::uuid AS team_id, region", "region"),
}
RANKED = """
WITH people AS MATERIALIZED ({people}), paid AS (
    SELECT p.id, p.team_id, p.region, v.currency::text AS currency, v.attains_measure, v.attains_basis,
        greatest({since}::date, held.first_on) AS first_on, least({until}::date, held.last_on) AS last_on, held.ramped_on, held.ramp,
        commission_counted_as(v.id) AS role
    FROM people p
    CROSS JOIN LATERAL (
        SELECT min(r.first_on) AS first_on, max(r.last_on) AS last_on, (array_agg(r.version_id ORDER BY r.first_on DESC))[1] AS version_id,
            (array_agg(r.ramped_on ORDER BY r.first_on))[1] AS ramped_on,
            (SELECT o.ramp FROM commission_runs(p.id) o WHERE o.first_on <= {until} AND o.last_on >= {since} ORDER BY o.first_on LIMIT 1) AS ramp
        FROM commission_runs(p.id) r WHERE r.first_on <= {until} AND r.last_on >= {since}
    ) AS held
    JOIN comp_plan_versions v ON v.id = held.version_id
), counted AS (
    SELECT p.*, commission_earned(p.id, p.first_on, p.last_on, p.currency) AS earned,
        commission_attained(p.id, p.role, p.first_on, p.last_on, p.attains_measure, p.attains_basis, p.currency) AS attained,
        commission_quota(p.id, p.role, p.first_on, p.last_on, p.attains_measure, p.attains_basis, p.currency, p.ramped_on, p.ramp) AS quota,
        commission_quota(p.id, p.role, p.first_on, least(p.last_on, {today}::date), p.attains_measure, p.attains_basis, p.currency, p.ramped_on, p.ramp) AS target
    FROM paid p
), own AS (
    -- What a manager attains is what the team does: it counts once, with the people of the team.
    SELECT c.id, c.team_id, c.region, c.currency, c.earned, CASE WHEN {by_person} OR c.role = 'OWNER' THEN c.attained END AS attained,
        CASE WHEN {by_person} OR c.role = 'OWNER' THEN c.quota END AS quota, CASE WHEN {by_person} OR c.role = 'OWNER' THEN c.target END AS target
    FROM counted c
), groups AS (
    SELECT KEY, currency, count(*) AS people, sum(earned) AS earned, coalesce(sum(attained), 0) AS attained,
        sum(attained) FILTER (WHERE quota IS NOT NULL) AS held, sum(quota) AS quota, sum(target) AS target
    FROM own GROUP BY GROUPED, currency
)
SELECT coalesce(jsonb_agg(to_jsonb(r) ORDER BY r.currency, r.rank, r.name, r.user_id, r.team_id), '[]') AS data, 0 AS nodes FROM (
    SELECT rank() OVER (PARTITION BY s.currency ORDER BY s.attained DESC) AS rank, coalesce(u.name, t.name, s.region) AS name, s.user_id, s.team_id, s.region,
        s.currency, s.people, round(s.earned, currency_scale(s.currency))::text AS earned, round(s.attained, currency_scale(s.currency))::text AS attained,
        round(s.quota, currency_scale(s.currency))::text AS quota, round(s.target, currency_scale(s.currency))::text AS target,
        round(s.held / nullif(s.quota, 0), 4)::text AS of_quota, round(s.held / nullif(s.target, 0), 4)::text AS of_target
    FROM groups s LEFT JOIN users u ON u.id = s.user_id LEFT JOIN teams t ON t.id = s.team_id
    WHERE {percent}::integer IS NULL OR s.team_id IS NOT NULL AND s.target > 0 AND s.held * 100 < {percent} * s.target
    ORDER BY s.currency, rank, name, s.user_id, s.team_id LIMIT {most}) AS r"""


async def leaderboard(
    database: Database,
    viewer: Viewer,
    *,
    by: str | None = None,
    since: date | None = None,
    until: date | None = None,
    first: int | None = None,
) -> list[dict[str, Any]]:
    """Groups by what they attained in the company's days from `since` to `until`, both included, without them this month; each
    currency by itself. `by`: one of `GROUPINGS`, people without it. Raises `Forbidden` for who sees no commissions, `BadUserInput`.
    """
    return await _ranked(database, viewer, by=by or PERSON, since=since, until=until, first=first, percent=None)


async def teams_below(
    database: Database,
    viewer: Viewer,
    *,
    percent: int | None = None,
    since: date | None = None,
    until: date | None = None,
    first: int | None = None,
) -> list[dict[str, Any]]:
    """Teams that attained less than `percent` (60 without it) of what their people's quotas come to up to today. Raises as `leaderboard` does."""
    if percent is not None and not 1 <= percent <= MOST:
        raise BadUserInput(f"Must be between 1 and {MOST}.", field="percent")
    percent = LOW if percent is None else percent
    return await _ranked(database, viewer, by=TEAM, since=since, until=until, first=first, percent=percent)


async def _ranked(
    database: Database,
    viewer: Viewer,
    *,
    by: str,
    since: date | None,
    until: date | None,
    first: int | None,
    percent: int | None,
) -> list[dict[str, Any]]:
    for record in ("Commission", "Quota", "User"):
        access.require_read(viewer.who, record)
    for name, day in (("since", since), ("until", until)):
        if day is not None:
            checks.check_year(day, name)
    if first is not None and not 1 <= first <= MOST:
        raise BadUserInput(f"Must be between 1 and {MOST}.", field="first")
    today = days.day_of(viewer.clock(), await database.zone())
    since = since or (until or today).replace(day=1)
    until = until or period_of(since, CompPeriod.MONTH, FiscalStart()).last_on
    if until < since:
        raise BadUserInput("Can't be before since.", field="until")
    key, grouped = KEYS[by]
    template = RANKED.replace("KEY", key).replace("GROUPED", grouped)
    given: dict[str, Any] = {"since": since, "until": until, "today": today, "percent": percent}
    given |= {"by_person": by == PERSON, "most": first or USUAL}
    row = await database.fetch_json(
        *access.statement(template, viewer, selects={"people": people(viewer.who)}, **given)
    )
    return [_shown(each) for each in orjson.loads(row["data"])]


def people(who: Who) -> ast.Select:
    """Those whose commissions one sees."""
    rule = ast.all_of([access.rows("User", who, "t"), access.field("User", "commission", who, "t")])
    return ast.Select((), ast.Table("users", "t"), where=rule, star="t")


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    def money(name: str) -> Any:
        return None if row[name] is None else {"amount": Decimal(row[name]), "currency": row["currency"]}

    def id(record: str, value: str | None) -> str | None:
        return None if value is None else names.api_id(record, UUID(value))

    def share(name: str) -> Decimal | None:
        return None if row[name] is None else Decimal(row[name])

    return {
        "rank": row["rank"],
        "name": row["name"],
        "userId": id("User", row["user_id"]),
        "teamId": id("Team", row["team_id"]),
        "region": row["region"],
        "people": row["people"],
        "earned": money("earned"),
        "attained": money("attained"),
        "quota": money("quota"),
        "target": money("target"),
        "attainment": share("of_quota"),
        "ofTarget": share("of_target"),
    }
