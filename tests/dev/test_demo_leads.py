"""The demo company's leads and pipeline say of themselves what the product would say of them, and go on living."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import asyncpg
import orjson
import pytest

from crmgql import db
from crmgql.dev import demo
from crmgql.domain.jobs import kinds
from crmgql.domain.leads import duplicates, lead_states, leads
from crmgql.domain.marketing import templates
from crmgql.domain.opportunities import scores, stale_alerts
from crmgql.domain.pools import pool_items
from crmgql.domain.routing import assign, conditions, facts, hours, rulesets
from crmgql.engine.operations import Engine, Request
from crmgql.records.records import Act
from crmgql.viewer import Viewer, Who, system
from tests.conftest import once

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
KINDS = {"LEAD": pool_items.LEAD, "CUSTOMER": pool_items.CUSTOMER}


@pytest.fixture
async def company(database: asyncpg.Connection) -> demo.DemoCompany:
    return await once(
        database, "60 customers", lambda: demo.load(database, customers=60, seed=7, now=NOW, password_hash="hash")
    )


async def acts(crm: db.Database, work: Any) -> Any:
    async with crm.transaction() as tx:
        return await work(Act(tx, system(lambda: NOW)))


async def test_every_opportunity_came_to_where_it_stands(
    database: asyncpg.Connection, company: demo.DemoCompany
) -> None:
    assert company.counts["opportunities"] > 50
    wrong = """
SELECT o.name FROM opportunities o LEFT JOIN LATERAL (
    SELECT * FROM stage_transitions t WHERE t.opportunity_id = o.id ORDER BY occurred_at DESC, id DESC LIMIT 1) last ON true
WHERE to_stage_id IS DISTINCT FROM stage_id OR last.occurred_at <> stage_since OR amount_after <> amount OR last.currency <> o.currency
    OR closed_on <> (last.occurred_at AT TIME ZONE 'UTC')::date OR o.last_activity_at < stage_since OR o.last_activity_at > $1"""
    assert not await database.fetch(wrong, NOW)
    torn = """
SELECT id FROM (
    SELECT t.*, lag(to_stage_id) OVER w AS before, lag(occurred_at) OVER w AS since, o.created_at AS born FROM stage_transitions t
    JOIN opportunities o ON o.id = opportunity_id WINDOW w AS (PARTITION BY opportunity_id ORDER BY occurred_at, t.id)) t
WHERE from_stage_id IS DISTINCT FROM before OR (before IS NULL AND occurred_at <> born)
    OR seconds_in_stage <> floor(extract(epoch FROM occurred_at - since))"""
    assert not await database.fetch(torn)


async def test_its_days_are_the_companys(database: asyncpg.Connection) -> None:
    await database.execute("UPDATE companies SET timezone = 'Asia/Shanghai'")
    await demo.load(database, customers=60, seed=7, now=NOW, password_hash="hash")
    closed = await database.fetch(
        "SELECT closed_on, (t.occurred_at AT TIME ZONE 'Asia/Shanghai')::date AS day FROM opportunities o"
        " JOIN stage_transitions t ON t.opportunity_id = o.id AND t.to_stage_id = o.stage_id WHERE closed_on IS NOT NULL"
    )
    assert len(closed) > 20
    assert all(row["closed_on"] == row["day"] for row in closed)
    began = await database.fetch(
        "SELECT engaged_on, (created_at AT TIME ZONE 'Asia/Shanghai')::date AS day FROM opportunities"
        " WHERE engaged_on IS NOT NULL AND (created_at AT TIME ZONE 'UTC')::date"
        " <> (created_at AT TIME ZONE 'Asia/Shanghai')::date"
    )
    assert began
    assert all(row["engaged_on"] == row["day"] for row in began)
    assert await database.fetchval("SHOW timezone") == "UTC"


async def test_what_a_passed_stage_requires_was_done(database: asyncpg.Connection, company: demo.DemoCompany) -> None:
    undone = """
SELECT o.name, a.name FROM opportunities o JOIN stages now ON now.id = o.stage_id
JOIN stages s ON s.pipeline_id = o.pipeline_id AND s.position < now.position JOIN key_actions a ON a.stage_id = s.id
WHERE required AND o.status <> 'LOST'
    AND NOT EXISTS (SELECT FROM opportunity_actions d WHERE d.opportunity_id = o.id AND d.key_action_id = a.id)"""
    assert not await database.fetch(undone)
    assert await database.fetchval("SELECT max(done_at) FROM opportunity_actions") <= NOW


async def test_every_lead_has_the_history_of_its_status(
    database: asyncpg.Connection, company: demo.DemoCompany
) -> None:
    assert company.counts["leads"] == 72
    rows = await database.fetch("""
SELECT l.status, l.status_since, l.received_at, l.lost_reason, array_agg(t.to_status::text ORDER BY occurred_at, t.id) AS path,
    max(occurred_at) AS last, min(occurred_at) AS first, max(reason) AS reason
FROM leads l JOIN lead_transitions t ON t.lead_id = l.id GROUP BY l.id""")
    assert len(rows) == 72
    for row in rows:
        path = row["path"]
        assert (path[0], path[-1]) == ("NEW", row["status"])
        assert all(
            any(move.target == to and before in move.sources for move in lead_states.MOVES)
            for before, to in pairwise(path)
        )
        assert (row["first"], row["last"]) == (row["received_at"], row["status_since"])
        assert row["reason"] == row["lost_reason"]
    seen = {row["status"] for row in rows}
    assert seen == {"NEW", "NURTURING", "QUALIFIED", "CONVERTED", "LOST"}


async def test_leads_are_as_if_created(database: asyncpg.Connection, company: demo.DemoCompany) -> None:
    """The normal forms are those that duplicates are found by, and who was converted became what it says."""
    rows = [dict(row) for row in await database.fetch("SELECT * FROM leads")]
    for row in rows:
        assert leads.normal_forms(row) == {name: row[name] for name in ("normal_email", "normal_phone", "domain")}
        assert row["received_at"] <= row["last_activity_at"] <= row["updated_at"] <= NOW
    assert len({row["currency"] for row in rows if row["budget_amount"] is not None}) > 2
    assert not await database.fetch("""
SELECT l.name FROM leads l LEFT JOIN opportunities o ON o.id = l.opportunity_id AND o.customer_id = l.customer_id
    AND o.contact_id = l.contact_id AND o.created_at = l.converted_at AND o.owner_id = l.owner_id
WHERE l.status = 'CONVERTED' AND o.id IS NULL""")


async def test_every_owner_was_decided(database: asyncpg.Connection, company: demo.DemoCompany) -> None:
    rows = await database.fetch("""
SELECT l.status, l.owner_id, l.queue_id, u.active AND u.roles @> '{SELLER}' AS sells, d.id, d.reason, d.chosen_id, d.queue_id AS decided_queue,
    d.candidates, d.explanation, u.name
FROM leads l LEFT JOIN users u ON u.id = l.owner_id LEFT JOIN assignment_decisions d ON d.id = l.routing_id AND d.lead_id = l.id
WHERE l.pool_id IS NULL""")
    placed = [row for row in rows if row["owner_id"] or row["queue_id"]]
    assert len(rows) - len(placed) == 6
    for row in placed:
        assert row["sells"] or row["queue_id"]
        assert (row["chosen_id"], row["decided_queue"]) == (row["owner_id"], row["queue_id"])
        candidates = orjson.loads(row["candidates"])
        eligible = [id for id, standing in candidates.items() if standing == "ELIGIBLE"]
        if row["reason"] == "MATCHED":
            assert len(candidates) == 10
            assert f"usr_{row['owner_id'].hex}" in eligible
            assert f"{row['name']} is next of {len(eligible)} (" in row["explanation"]
        elif row["queue_id"]:
            assert (row["reason"], eligible) == ("NO_ELIGIBLE_SELLER", [])
    assert {"MATCHED", "EXISTING_ACCOUNT_OWNER", "NO_ELIGIBLE_SELLER"} <= {row["reason"] for row in placed}


async def test_the_rules_decide_as_the_decisions_say(
    database: asyncpg.Connection, crm: db.Database, company: demo.DemoCompany
) -> None:
    """By the rule that each decision names: the same conditions are met, and the same words said of them."""
    exchange = conditions.Exchange(
        "USD",
        conditions.parse_rates(
            orjson.loads(await database.fetchval("SELECT rates FROM routing_rulesets WHERE number = 1"))
        ),
    )
    rules = await database.fetch("""
SELECT r.* FROM routing_rules r JOIN routing_rulesets s ON s.id = ruleset_id AND number = 1 ORDER BY r.position""")
    parsed = [(rule, conditions.parse(orjson.loads(rule["conditions"]))) for rule in rules]
    decided = await database.fetch("""
SELECT l.*, d.rule_id, d.explanation FROM leads l JOIN assignment_decisions d ON d.lead_id = l.id WHERE d.rule_id IS NOT NULL""")
    assert len({row["rule_id"] for row in decided}) == 4
    for row in decided:
        values = facts.lead_of(dict(row)).values
        rule, because = next(
            (rule, said)
            for rule, condition in parsed
            for met, said in [conditions.evaluate(condition, values, exchange)]
            if met
        )
        assert row["rule_id"] == rule["id"]
        assert row["explanation"].startswith(f"Rule “{rule['name']}”: {because}. ")


async def test_settings_are_such_as_the_api_takes(
    database: asyncpg.Connection, crm: db.Database, company: demo.DemoCompany
) -> None:
    for row in await database.fetch("SELECT * FROM follow_up_rules"):
        templates.check(row["subject"], field="subject")
        templates.check(row["body"], field="body")
    for row in await database.fetch("SELECT field, operator, value FROM score_rules"):
        scores.check(row["field"], row["operator"], orjson.loads(row["value"]))
    for row in await database.fetch("SELECT hours FROM seller_profiles"):
        hours.parse(orjson.loads(row["hours"]))
    for row in await database.fetch("SELECT kind, shows FROM pools"):
        pool_items.check_shows(KINDS[row["kind"]], row["shows"])
    for job in await database.fetch(
        "SELECT kind, queue, arguments, arguments_version, priority, max_failures FROM jobs"
    ):
        known = kinds.find(job["kind"])
        known.read(orjson.loads(job["arguments"]), job["arguments_version"])
        assert (job["queue"], job["priority"], job["max_failures"]) == (known.queue, known.priority, known.max_failures)
    for id in await database.fetch("SELECT id FROM routing_rulesets"):
        assert await acts(crm, lambda act, id=id["id"]: rulesets.warnings(act, id=id)) == []


async def test_pools_show_what_they_would(database: asyncpg.Connection, company: demo.DemoCompany) -> None:
    for kind in KINDS.values():
        before = await database.fetch("SELECT id, shown FROM pool_items ORDER BY id")
        pool = await database.fetchrow("SELECT id, shows FROM pools WHERE kind = $1", kind.name)
        sql = pool_items.REFRESH.format(column=kind.column, table=kind.table, shown=kind.shown, which="i.pool_id = $1")
        assert int((await database.execute(sql, pool["id"])).split()[1]) >= 1
        assert await database.fetch("SELECT id, shown FROM pool_items ORDER BY id") == before
        out = f"SELECT count(*) FROM {kind.table} WHERE pool_id = $1 AND owner_id IS NULL"
        here = "SELECT count(*) FROM pool_items WHERE pool_id = $1 AND left_at IS NULL"
        assert await database.fetchval(out, pool["id"]) == await database.fetchval(here, pool["id"])
    assert not await database.fetch("SELECT id FROM pool_items WHERE last_owner_id IS NULL OR entered_at > $1", NOW)


async def test_duplicates_are_what_would_be_found(database: asyncpg.Connection, company: demo.DemoCompany) -> None:
    rows = {row["id"]: dict(row) for row in await database.fetch("SELECT * FROM leads")}
    pairs = await database.fetch(
        "SELECT lead_id, other_id, reasons, similarity FROM lead_duplicates WHERE status = 'OPEN'"
    )
    assert len(pairs) == 3
    for pair in pairs:
        assert pair["lead_id"] > pair["other_id"]
        judged = duplicates.judge(rows[pair["lead_id"]], rows[pair["other_id"]])
        assert (pair["similarity"], orjson.loads(pair["reasons"])["reasons"]) == judged


async def test_the_fresh_leads_are_routed_and_the_late_one_goes_on(
    database: asyncpg.Connection, crm: db.Database, company: demo.DemoCompany
) -> None:
    fresh = [row["id"] for row in await database.fetch("SELECT id FROM leads WHERE routing_id IS NULL")]
    jobs = await database.fetch("SELECT arguments FROM jobs WHERE kind = 'lead.route' AND status = 'PENDING'")
    assert {orjson.loads(job["arguments"])["lead_id"] for job in jobs} == {str(id) for id in fresh}
    for id in fresh:
        assert (await acts(crm, lambda act, id=id: assign.route(act, lead_id=id)))["routed"]
    swept = await acts(crm, assign.reroute_due)
    assert swept == {"notAccepted": 1, "waited": 0, "placeless": 0}
    assert await database.fetchval("SELECT count(*) FROM assignment_decisions WHERE previous_id IS NOT NULL") == 1


async def test_some_opportunities_are_stale_and_most_are_not(
    database: asyncpg.Connection, crm: db.Database, company: demo.DemoCompany
) -> None:
    while await acts(crm, stale_alerts.sweep):
        pass
    count = "SELECT count(*) FILTER (WHERE stale_level > 0), count(*) FROM opportunities WHERE status = 'OPEN'"
    stale, total = await database.fetchrow(count)
    assert 0 < stale < total / 2
    assert await database.fetchval("SELECT count(*) FROM notifications WHERE kind = 'opportunity.stale'") >= stale
    assert await database.fetchval("SELECT count(DISTINCT score) FROM opportunities WHERE status = 'OPEN'") > 3


SEES = {
    "admin": ("leads", "campaigns", "opportunities", "poolItems", "tasks", "leadDuplicates", "routingRulesets"),
    "marketer": ("leads", "campaigns", "poolItems", "tasks", "leadDuplicates", "routingRulesets", "followUpRules"),
    "manager": ("leads", "campaigns", "opportunities", "poolItems", "tasks", "routingRulesets", "sellerProfiles"),
    "seller": ("leads", "campaigns", "opportunities", "poolItems", "tasks", "sellerProfiles"),
    "finance": ("campaigns", "opportunities", "tasks"),
    "support": ("campaigns", "opportunities", "tasks"),
}


@pytest.mark.parametrize("name", SEES)
async def test_every_role_sees_something(
    database: asyncpg.Connection, engine: Engine, company: demo.DemoCompany, name: str
) -> None:
    user = await database.fetchrow("SELECT id, roles FROM users WHERE email = $1", getattr(company, name))
    viewer = Viewer(user["id"], Who(frozenset(user["roles"]), None), clock=lambda: NOW)
    fields = " ".join(f"{field}(first: 1) {{ totalCount nodes {{ id }} }}" for field in SEES[name])
    answer = orjson.loads(
        await engine.answer(Request(query=f"{{ {fields} me {{ tasks {{ nodes {{ subject }} }} }} }}"), viewer)
    )
    assert "errors" not in answer
    assert all(answer["data"][field]["totalCount"] > 0 for field in SEES[name])
    assert answer["data"]["me"]["tasks"]["nodes"]


async def test_the_draft_differs_from_what_is_active(
    database: asyncpg.Connection, engine: Engine, company: demo.DemoCompany
) -> None:
    marketer = await database.fetchval("SELECT id FROM users WHERE email = $1", company.marketer)
    draft = await database.fetchval("SELECT id FROM routing_rulesets WHERE status = 'DRAFT'")
    query = f'{{ routingDryRun(rulesetId: "rrs_{draft.hex}") {{ total changed }} campaignResults(by: CHANNEL) {{ leads won }} }}'
    viewer = Viewer(marketer, Who(frozenset({"MARKETER"}), None), clock=lambda: NOW)
    answer = orjson.loads(await engine.answer(Request(query=query), viewer))
    tried = answer["data"]["routingDryRun"]
    assert tried["total"] == 72
    assert 0 < tried["changed"] < 72
    assert sum(row["leads"] for row in answer["data"]["campaignResults"]) == 72
    assert sum(row["won"] for row in answer["data"]["campaignResults"]) > 0
