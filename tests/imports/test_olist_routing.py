"""Olist's 8,000 leads, routed as they came by a rule set over origin and segment, and compared with the files."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path
from typing import Any

import orjson

from crmgql import db
from crmgql.config import Settings
from crmgql.domain.jobs import jobs, kinds
from crmgql.engine.operations import Engine, Request
from crmgql.imports.execution import run
from crmgql.records.records import Act
from crmgql.viewer import system
from crmgql.workers import chapters  # noqa: F401 - importing it is what declares
from crmgql.workers.attempts import Attempts
from tests.conftest import NOW, viewer
from tests.imports.test_graphql_totals import ROOT
from tests.jobs import attempt

SEARCH = ["organic_search", "paid_search"]
HOME = ["home_decor", "household_utilities", "construction_tools_house_garden"]
WEIGHTS = {"Bruna": 3, "Caio": 2, "Davi": 1}


class Office:
    """Somebody who sets routing up through the API."""

    def __init__(self, engine: Engine, boss: Any) -> None:
        self.engine = engine
        self.boss = viewer(boss, "ADMIN")

    async def do(self, mutation: str, record: str, **given: Any) -> str:
        name = self.engine.schema.mutation_type.fields[mutation].args["input"].type
        query = (
            f"mutation($i: {name}) {{ {mutation}(input: $i) {{ {record} {{ id }} userErrors {{ field message }} }} }}"
        )
        answer = orjson.loads(await self.engine.answer(Request(query, None, {"i": given}), self.boss))
        assert answer["data"][mutation]["userErrors"] == [], answer
        return str(answer["data"][mutation][record]["id"])

    async def ask(self, query: str) -> Any:
        return orjson.loads(await self.engine.answer(Request(query), self.boss))["data"]


async def rules(office: Office) -> None:
    team = await office.do("teamCreate", "team", name="Search")
    for name, weight in WEIGHTS.items():
        user = await office.do("userCreate", "user", name=name, roles=["SELLER"], teamId=team)
        await office.do("sellerProfileSet", "sellerProfile", userId=user, weight=weight)
    for name in ("Ela", "Fabio"):
        user = await office.do("userCreate", "user", name=name, roles=["SELLER"])
        await office.do("sellerProfileSet", "sellerProfile", userId=user, attributes={"segments": HOME})
    queue = await office.do("leadQueueCreate", "leadQueue", name="Unknown origin")
    ruleset = await office.do(
        "routingRulesetCreate", "routingRuleset", name="Origin and segment", fallbackQueueId=queue
    )
    by_segment = {"match": [{"seller": "attributes.segments", "op": "contains", "lead": "segment"}]}
    for rule in (
        {"name": "Home", "conditions": {"field": "segment", "op": "in", "value": HOME}, "target": "MATCHING"}
        | {"sellerMatch": by_segment},
        {"name": "Search", "conditions": {"field": "leadSource", "op": "in", "value": SEARCH}, "target": "TEAM"}
        | {"targetTeamId": team, "distribution": "WEIGHTED"},
    ):
        await office.do("routingRuleCreate", "routingRule", rulesetId=ruleset, **rule)
    await office.do("routingRulesetActivate", "routingRuleset", id=ruleset)


async def import_as_they_came(database: Any, shared_data: Path, tmp_path: Path) -> None:
    """The example's mapping without what happened later: nobody has won or owns them yet."""
    text = (ROOT / "examples" / "import" / "olist_funnel.toml").read_text("utf-8")
    early = text.partition("# The same leads once more")[0].replace('owner = "{deal.sr_id}"\n', "")
    mapping = tmp_path / "early.toml"
    mapping.write_text(early, "utf-8")
    report = await run(
        database, mapping, base_dir=shared_data / "olist_funnel", rejects_path=tmp_path / "rejects.csv", now=NOW
    )
    assert report.total.rejected == 0


def expected(shared_data: Path) -> Counter[str]:
    """Which rule each lead should meet, from the files alone."""
    folder = shared_data / "olist_funnel"
    with (folder / "olist_closed_deals_dataset.csv").open(newline="") as stream:
        segments = {row["mql_id"]: row["business_segment"] for row in csv.DictReader(stream)}
    with (folder / "olist_marketing_qualified_leads_dataset.csv").open(newline="") as stream:
        leads = [(segments.get(row["mql_id"]), row["origin"]) for row in csv.DictReader(stream)]
    return Counter(
        "Home" if segment in HOME else "Search" if origin in SEARCH else "NO_RULE" for segment, origin in leads
    )


async def test_every_lead_goes_where_its_rule_says(
    engine: Engine, crm: db.Database, database: Any, shared_data: Path, tmp_path: Path
) -> None:
    boss = await database.fetchval("INSERT INTO users (name, roles) VALUES ('Boss', '{ADMIN}') RETURNING id")
    office = Office(engine, boss)
    await rules(office)
    await import_as_they_came(database, shared_data, tmp_path)
    async with crm.transaction() as tx:
        id = await jobs.enqueue(Act(tx, system()), kinds.LEADS_ROUTE, kinds.RouteMany(source="olist-funnel"))
    await attempt(Attempts(crm, Settings(log_level="error")), id, 0)
    shown = await office.ask("{ jobs(first: 1) { nodes { status progressDone result } } }")
    assert shown["jobs"]["nodes"] == [{"status": "DONE", "progressDone": 8000, "result": {"routed": 8000}}]
    by_rule = expected(shared_data)
    found = await database.fetch(
        "SELECT coalesce(r.name, d.reason) AS rule, count(*) FROM leads l JOIN assignment_decisions d ON d.id = l.routing_id"
        " LEFT JOIN routing_rules r ON r.id = d.rule_id GROUP BY 1"
    )
    assert dict(found) == by_rule
    placed = await office.ask(
        '{ waiting: leads(where: {queue: {name: {eq: "Unknown origin"}}}) { totalCount }'
        " owned: leads(where: {owner: {name: {isNull: false}}}) { totalCount } }"
    )
    assert placed["waiting"]["totalCount"] == by_rule["NO_RULE"]
    assert placed["owned"]["totalCount"] == by_rule["Home"] + by_rule["Search"]
    owners = dict(
        await database.fetch("SELECT u.name, count(*) FROM leads l JOIN users u ON u.id = l.owner_id GROUP BY u.name")
    )
    assert abs(owners["Ela"] - owners["Fabio"]) <= 1
    for name, weight in WEIGHTS.items():
        assert abs(owners[name] - by_rule["Search"] * weight / sum(WEIGHTS.values())) <= 1
