"""A real pipeline of 8,800 opportunities with its history: won totals, the funnel, who was silent on a day."""

from __future__ import annotations

import csv
import json
import shutil
import statistics
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

import pytest

from crmgql import db
from crmgql.domain.opportunities import stale_alerts
from crmgql.engine.operations import Engine
from crmgql.imports.execution import run
from crmgql.records.records import Act
from crmgql.viewer import system
from tests.imports.test_graphql_totals import ROOT, ask, imported, same_sums

DAY = date(2017, 6, 30)
AS_OF = datetime(2017, 6, 30, 18, tzinfo=UTC)
FUNNEL = """{ funnel%s { won lost wonAmounts { amount currency } lostAmounts { amount }
    stages { name entered current movedOn won lost conversion averageHours medianHours } } }"""


def rows(shared_data: Path) -> list[dict[str, str]]:
    with (shared_data / "crm_maven" / "sales_pipeline.csv").open(encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def exact(value: Any) -> str:
    return str(Decimal(value).quantize(Decimal("0.01"), ROUND_HALF_UP))


@pytest.mark.parametrize(
    ("figures", "condition"),
    [
        ("won_by_manager", 'owner: {{team: {{manager: {{name: {{eq: "{}"}}}}}}}}'),
        ("won_by_agent", 'owner: {{name: {{eq: "{}"}}}}'),
        ("won_by_product_normalised", 'product: {{name: {{eq: "{}"}}}}'),
    ],
)
async def test_won_totals(
    engine: Engine, database: Any, shared_data: Path, tmp_path: Path, figures: str, condition: str
) -> None:
    totals = await imported(database, shared_data, "maven", "crm_maven", tmp_path)
    where = 'stage: {{name: {{eq: "Won"}}}}, ' + condition
    await same_sums(engine, "opportunities", "amount", totals[figures], lambda name: "{" + where.format(name) + "}")


async def test_the_funnel(engine: Engine, database: Any, shared_data: Path, tmp_path: Path) -> None:
    totals = await imported(database, shared_data, "maven", "crm_maven", tmp_path)
    known = rows(shared_data)
    took = [
        24 * (date.fromisoformat(row["close_date"]) - date.fromisoformat(row["engage_date"])).days
        for row in known
        if row["close_date"]
    ]
    whole = (await ask(engine, FUNNEL % ""))["funnel"]
    assert (whole["won"], whole["lost"]) == (4238, 2473)
    assert whole["wonAmounts"] == [{"amount": totals["won_close_value_total"] + ".00", "currency": "USD"}]
    stages = {stage.pop("name"): stage for stage in whole["stages"]}
    unknown = {"averageHours": None, "medianHours": None}
    assert stages["Prospecting"] == {
        "entered": 8800,
        "current": 500,
        "movedOn": 8300,
        "won": 0,
        "lost": 0,
        "conversion": exact(Decimal(830000) / 8800),
        **unknown,
    }
    assert stages["Engaging"] == {
        "entered": 8300,
        "current": 1589,
        "movedOn": 4238,
        "won": 4238,
        "lost": 2473,
        "conversion": exact(Decimal(423800) / 8300),
        "averageHours": exact(Decimal(sum(took)) / len(took)),
        "medianHours": exact(statistics.median(took)),
    }
    assert [(name, stages[name]["entered"]) for name in ("Proposal", "Negotiation", "Won", "Lost")] == [
        ("Proposal", 0),
        ("Negotiation", 0),
        ("Won", 4238),
        ("Lost", 2473),
    ]


async def test_the_funnel_of_a_quarter(engine: Engine, database: Any, shared_data: Path, tmp_path: Path) -> None:
    await imported(database, shared_data, "maven", "crm_maven", tmp_path)
    since, until = "2017-04-01", "2017-07-01"
    engaged = [row for row in rows(shared_data) if since <= row["engage_date"] < until]
    closed = [row for row in rows(shared_data) if since <= row["close_date"] < until]
    times = f'(since: "{since}T00:00:00Z", until: "{until}T00:00:00Z")'
    quarter = (await ask(engine, FUNNEL % times))["funnel"]
    won = [row for row in closed if row["deal_stage"] == "Won"]
    assert (quarter["won"], quarter["lost"]) == (len(won), len(closed) - len(won))
    assert Decimal(quarter["wonAmounts"][0]["amount"]) == sum(Decimal(row["close_value"]) for row in won)
    engaging = next(stage for stage in quarter["stages"] if stage["name"] == "Engaging")
    ends = [row["deal_stage"] for row in engaged if row["close_date"] and row["close_date"] < until]
    assert (engaging["entered"], engaging["won"], engaging["lost"]) == (
        len(engaged),
        ends.count("Won"),
        ends.count("Lost"),
    )


async def test_a_rerun_moves_nothing(database: Any, shared_data: Path, tmp_path: Path) -> None:
    await imported(database, shared_data, "maven", "crm_maven", tmp_path)
    await database.execute("DELETE FROM import_runs")
    mapping = ROOT / "examples" / "import" / "maven.toml"
    folder = shared_data / "crm_maven"
    again = await run(database, mapping, base_dir=folder, rejects_path=tmp_path / "r.csv", now=AS_OF)
    assert (again.total.inserted, again.total.updated, again.total.rejected) == (0, 0, 0)
    assert await database.fetchval("SELECT count(*) FROM stage_transitions") == 8300 + 6711


def known_on(shared_data: Path, folder: Path) -> list[dict[str, str]]:
    """The data set as it was known on the evening of DAY: later engagements and closings are not in it."""
    shutil.copytree(shared_data / "crm_maven", folder)
    known, last = [], DAY.isoformat()
    for row in rows(shared_data):
        if row["engage_date"] > last or not row["engage_date"]:
            continue
        if row["close_date"] > last or not row["close_date"]:
            row |= {"deal_stage": "Engaging", "close_date": "", "close_value": ""}
        known.append(row)
    with (folder / "sales_pipeline.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(known[0]))
        writer.writeheader()
        writer.writerows(known)
    return known


async def test_who_was_silent_on_a_day(
    engine: Engine, crm: db.Database, database: Any, shared_data: Path, tmp_path: Path
) -> None:
    totals = json.loads((shared_data / "crm_maven" / "totals.json").read_text("utf-8"))
    known = known_on(shared_data, tmp_path / "known")
    mapping = ROOT / "examples" / "import" / "maven.toml"
    report = await run(database, mapping, base_dir=tmp_path / "known", rejects_path=tmp_path / "r.csv", now=AS_OF)
    assert report.total.rejected == 0
    while True:
        async with crm.transaction() as tx:
            if not await stale_alerts.sweep(Act(tx, system(lambda: AS_OF))):
                break
    open_since = {
        row["opportunity_id"]: datetime.combine(date.fromisoformat(row["engage_date"]), datetime.min.time(), UTC)
        for row in known
        if not row["close_date"]
    }
    assert len(open_since) == totals["open_opportunities_at_2017-06-30"] == 1686
    silent = {id for id, since in open_since.items() if since + timedelta(hours=48) <= AS_OF}
    escalated = {id for id, since in open_since.items() if since + timedelta(hours=96) <= AS_OF}
    assert 0 < len(escalated) < len(silent) < 1686
    listed = await ask(
        engine,
        """{ all: opportunities(where: {status: {eq: OPEN}}) { totalCount }
             silent: opportunities(where: {staleSince: {isNull: false}}) { totalCount }
             high: opportunities(where: {risk: {eq: HIGH}}) { totalCount }
             owners: staleAlerts(where: {threshold: {eq: OWNER}}) { totalCount }
             managers: staleAlerts(where: {threshold: {eq: MANAGER}}) { totalCount } }""",
    )
    assert {name: value["totalCount"] for name, value in listed.items()} == {
        "all": 1686,
        "silent": len(silent),
        "high": len(silent),
        "owners": len(silent),
        "managers": len(escalated),
    }
    found = await database.fetch("SELECT external_id, stale_since FROM opportunities WHERE stale_since IS NOT NULL")
    assert {row["external_id"]: row["stale_since"] for row in found} == {
        id: open_since[id] + timedelta(hours=48) for id in silent
    }
    told = await database.fetch(
        "SELECT m.name, count(*) FROM notifications n JOIN users m ON m.id = n.user_id"
        " WHERE 'MANAGER' = ANY (m.roles) GROUP BY 1"
    )
    with (shared_data / "crm_maven" / "sales_teams.csv").open(encoding="utf-8") as stream:
        managers = {row["sales_agent"]: row["manager"] for row in csv.DictReader(stream)}
    expected: dict[str, int] = {}
    for row in known:
        if row["opportunity_id"] in escalated:
            manager = managers[row["sales_agent"]]
            expected[manager] = expected.get(manager, 0) + 1
    assert dict(tuple(row) for row in told) == expected
