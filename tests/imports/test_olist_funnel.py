"""Olist's marketing funnel, imported and asked for through GraphQL: 8,000 leads, 842 of them won."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

from crmgql.engine.operations import Engine
from crmgql.imports.execution import run
from tests.conftest import NOW
from tests.imports.test_graphql_totals import ROOT, ask, grouped, imported, month

WON = "status: {eq: CONVERTED}"


async def counts(engine: Engine, filters: dict[str, str]) -> dict[str, int]:
    answers = await grouped(engine, "leads", filters, "totalCount")
    return {name: answer["totalCount"] for name, answer in answers.items()}


def source(name: str) -> str:
    return "leadSource: {isNull: true}" if name == "(blank)" else f'leadSource: {{eq: "{name}"}}'


def segment(name: str) -> str:
    return f'segment: {{eq: "{name}"}}' if name else "segment: {isNull: true}"


async def test_totals(engine: Engine, database: Any, shared_data: Path, tmp_path: Path) -> None:
    totals = await imported(database, shared_data, "olist_funnel", "olist_funnel", tmp_path)
    whole = await counts(engine, {"leads": "{}", "won": f"{{{WON}}}", "open": "{status: {eq: NEW}}"})
    assert whole == {"leads": totals["leads"], "won": totals["closed_deals"], "open": 8000 - 842}
    sources = totals["leads_and_wins_by_origin"]
    leads = await counts(engine, {name: f"{{{source(name)}}}" for name in sources})
    won = await counts(engine, {name: f"{{{source(name)}, {WON}}}" for name in sources})
    assert {name: {"leads": leads[name], "won": won[name]} for name in sources} == sources
    for figures, condition in (
        ("leads_by_month", lambda name: month("receivedAt", name)),
        ("won_by_month", lambda name: month("convertedAt", name)),
        ("won_by_sr", lambda name: f'{{{WON}, owner: {{externalId: {{eq: "{name}"}}}}}}'),
        ("won_by_segment", lambda name: f"{{{WON}, {segment(name)}}}"),
    ):
        assert await counts(engine, {name: condition(name) for name in totals[figures]}) == totals[figures], figures
    users = await ask(engine, '{ users(where: {source: {eq: "olist-funnel"}}) { totalCount } }')
    assert users["users"]["totalCount"] == totals["sr"]


async def test_each_lead_is_what_its_row_says(engine: Engine, database: Any, shared_data: Path, tmp_path: Path) -> None:
    totals = await imported(database, shared_data, "olist_funnel", "olist_funnel", tmp_path)
    days = await database.fetchrow(
        "SELECT min(d), max(d), sum(d) FROM (SELECT (converted_at AT TIME ZONE 'UTC')::date - received_at::date AS d"
        " FROM leads WHERE converted_at IS NOT NULL) t"
    )
    assert dict(zip(("min", "max", "sum"), days, strict=True)) == totals["days_contact_to_won"]
    with (shared_data / "olist_funnel" / "olist_closed_deals_dataset.csv").open(newline="") as stream:
        deals = {row["mql_id"]: row for row in csv.DictReader(stream)}
    rows = await database.fetch(
        "SELECT external_id, attributes, converted_at, status_since, last_activity_at FROM leads WHERE status = 'CONVERTED'"
    )
    assert {row["external_id"] for row in rows} == deals.keys()
    for row in rows:
        deal, attributes = deals[row["external_id"]], json.loads(row["attributes"])
        assert attributes["monthly_revenue"] == deal["declared_monthly_revenue"]
        assert attributes.get("lead_type", "") == deal["lead_type"]
        assert attributes["landing_page"]
        assert row["converted_at"].strftime("%Y-%m-%d %H:%M:%S") == deal["won_date"]
        assert row["converted_at"] == row["status_since"] == row["last_activity_at"]


async def test_again_changes_nothing_and_routes_nobody(database: Any, shared_data: Path, tmp_path: Path) -> None:
    await imported(database, shared_data, "olist_funnel", "olist_funnel", tmp_path)
    before = await database.fetchval("SELECT sum(version) FROM leads")
    mapping, base = ROOT / "examples" / "import" / "olist_funnel.toml", shared_data / "olist_funnel"
    report = await run(database, mapping, base_dir=base, rejects_path=tmp_path / "again.csv", now=NOW)
    assert (report.total.unchanged, report.total.inserted, report.total.updated) == (8000 + 842 + 22, 0, 0)
    assert await database.fetchval("SELECT sum(version) FROM leads") == before
    assert await database.fetchval("SELECT count(*) FROM jobs") == 0
