"""Score rules, which administrators set up; after a change a job scores all open opportunities again."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from crmgql import access
from crmgql.domain.jobs import jobs, kinds
from crmgql.domain.opportunities import scores, standings
from crmgql.models import ScoreRule
from crmgql.records import checks, records
from crmgql.records.columns import ORIGIN, takes
from crmgql.records.records import Act

FACTS = "name field operator points value active"
NEXT = """
SELECT id FROM opportunities WHERE status = 'OPEN' AND ($1::uuid IS NULL OR id > $1) ORDER BY id LIMIT $2"""
STATE = "SELECT md5(coalesce(string_agg(id || ':' || version, ',' ORDER BY id), '')) FROM score_rules"
CONFLICTS = {
    "score_rules_name": ("name", "Another rule has this name."),
    "score_rules_points": ("points", "Points are -100 to 100."),
}


@takes(ScoreRule, FACTS, ORIGIN)
async def create(act: Act, **values: Any) -> UUID:
    """Makes a rule; a job scores open opportunities again."""
    access.require_write(act.viewer, "ScoreRule")
    values["value"] = values.get("value") or {}
    scores.check(values["field"], values["operator"], values["value"])
    rule = await records.create(act, ScoreRule, values, kind="scoreRule.created", conflicts=CONFLICTS)
    await _rescore_all(act)
    return rule["id"]  # type: ignore[no-any-return]


@takes(ScoreRule, FACTS)
async def update(act: Act, *, id: UUID, expected_version: int | None = None, **changes: Any) -> UUID:
    """Changes what is named; the rule as a whole must make sense."""
    access.require_write(act.viewer, "ScoreRule")
    rule = await records.lock(act, ScoreRule, id, expected_version=expected_version)
    if "value" in changes:
        changes["value"] = changes["value"] or {}
    checks.check(ScoreRule, changes)
    after = {**rule, **changes}
    scores.check(after["field"], after["operator"], after["value"])
    changed = await records.change(act, ScoreRule, rule, changes, kind="scoreRule.updated", conflicts=CONFLICTS)
    if changed["version"] != rule["version"]:
        await _rescore_all(act)
    return id


async def _rescore_all(act: Act) -> None:
    """Enqueues one job per state of the rules: another change while it runs gets another job."""
    state = await act.tx.connection.fetchval(STATE)
    await jobs.enqueue(act, kinds.OPPORTUNITIES_SCORE, kinds.Nothing(), unique_key=state)


async def rescore(act: Act, *, after: UUID | None, limit: int = 1000) -> tuple[int, UUID | None]:
    """Scores the next open opportunities after an id by the current rules. Returns how many, and the last one's id."""
    ids = [row["id"] for row in await act.tx.connection.fetch(NEXT, after, limit)]
    if ids:
        await standings.refresh(act, ids)
    return len(ids), ids[-1] if ids else None
