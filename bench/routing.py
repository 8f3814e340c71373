"""How fast leads are routed in bulk, and how exactly by the sellers' weights: through the same batches as a worker's."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

import asyncpg
import uvloop
from rich.console import Console
from rich.table import Table

from bench import comparison, data
from crmgql import db
from crmgql.domain.routing import bulk
from crmgql.records.records import Act
from crmgql.viewer import system

SELLERS = 20
BATCH = 1000
GOAL = 2000  # leads per second
STEPS = ("West", "East", "North", "South")

COMPANY = """
WITH sellers AS (
    INSERT INTO users (name, roles) SELECT 'Seller ' || n, ARRAY['SELLER'] FROM generate_series(1, $1) n RETURNING id, name
), profiles AS (
    INSERT INTO seller_profiles (user_id, weight, attributes)
    SELECT id, 1 + substr(name, 8)::integer % 5, '{"regions": ["North", "South", "East", "West"]}' FROM sellers
), queue AS (
    INSERT INTO lead_queues (name) VALUES ('Rest') RETURNING id
), ruleset AS (
    INSERT INTO routing_rulesets (name, number, status, currency, rates, fallback_queue_id)
    SELECT 'Bench', 1, 'ACTIVE', 'EUR', '{"USD": "0.9"}', id FROM queue RETURNING id
)
INSERT INTO routing_rules (ruleset_id, position, name, conditions, target, target_queue_id, seller_match, distribution)
SELECT ruleset.id, n, name, conditions::jsonb, target, CASE target WHEN 'QUEUE' THEN queue.id END, matched::jsonb, 'WEIGHTED'
FROM ruleset, queue, (VALUES
    (1, 'Spam', '{"field": "company", "op": "contains", "value": "casino"}', 'QUEUE', '{}'),
    (2, 'Large', '{"field": "budget", "op": "gte", "value": {"amount": "10000000", "currency": "EUR"}}', 'MATCHING', '{}'),
    (3, 'By region', '{"any": [{"field": "region", "op": "in", "value": ["North", "South", "East", "West"]}]}', 'MATCHING',
     '{"match": [{"seller": "attributes.regions", "op": "contains", "lead": "region"}]}')
) AS rules (n, name, conditions, target, matched)"""
LEADS = """
INSERT INTO leads (name, company, email, normal_email, domain, region, industry, budget_amount, currency, status_since,
    received_at, last_activity_at)
SELECT 'Lead ' || n, 'Company ' || n, 'lead' || n || '@c' || n || '.example', 'lead' || n || '@c' || n || '.example',
    'c' || n || '.example', ($2::text[])[1 + n % 4], 'Tools', n % 90000 + 0.00, 'USD', $3, $3::timestamptz + n * interval '1 ms', $3
FROM generate_series(1, $1) n"""
CUSTOMERS = """
INSERT INTO customers (name, email, currency) SELECT 'Customer ' || n, 'info@k' || n || '.example', 'EUR' FROM generate_series(1, $1) n"""
SPREAD = """
SELECT p.weight, (SELECT count(*) FROM leads WHERE owner_id = p.user_id) AS leads FROM seller_profiles p ORDER BY p.user_id"""


def run(console: Console, *, leads: int) -> dict[str, Any]:
    """Prints a table and writes `results/routing.json`; on an embedded server of its own."""
    with data.servers(None, None, None) as urls:
        data.migrate(urls.database_url)
        return uvloop.run(_run(urls.database_url, leads, console))


async def _run(url: str, leads: int, console: Console) -> dict[str, Any]:
    connection = await asyncpg.connect(url)
    await connection.execute(COMPANY.replace("$1", str(SELLERS)))
    await connection.execute(CUSTOMERS, 10_000)
    await connection.execute(LEADS, leads, list(STEPS), data.NOW - timedelta(hours=1))
    await connection.execute("ANALYZE")
    crm = await db.connect(url, pool_size=2)
    started = time.perf_counter()
    routed = 0
    while moved := await _step(crm):
        routed += moved
    seconds = time.perf_counter() - started
    spread = await connection.fetch(SPREAD)
    await crm.close()
    await connection.close()
    assert routed == leads, (routed, leads)
    total, weights = sum(row["leads"] for row in spread), sum(row["weight"] for row in spread)
    assert total == leads, "each lead has an owner"
    off = max(abs(row["leads"] / (total * row["weight"] / weights) - 1) * 100 for row in spread)
    result = {
        "machine": comparison.machine(),
        "leads": leads,
        "sellers": SELLERS,
        "batch": BATCH,
        "fsync": "off",
        "seconds": round(seconds, 2),
        "leads_per_second": round(leads / seconds, 1),
        "largest_deviation_percent": round(off, 4),
    }
    _show(console, result)
    comparison.write("routing.json", result)
    return result


async def _step(crm: db.Database) -> int:
    async with crm.transaction() as tx:
        return await bulk.route_batch(Act(tx, system(lambda: data.NOW)), limit=BATCH)


def _show(console: Console, result: dict[str, Any]) -> None:
    table = Table(title=f"{result['leads']:,} leads to {SELLERS} sellers by weight, in batches of {BATCH:,}")
    for heading in ("leads/s", f"goal ≥ {GOAL:,}", "seconds", "largest deviation from a weight", "goal ≤ 1 %"):
        table.add_column(heading, justify="right")
    fast, exact = result["leads_per_second"] >= GOAL, result["largest_deviation_percent"] <= 1
    table.add_row(
        f"{result['leads_per_second']:,.0f}",
        "met" if fast else "MISSED",
        f"{result['seconds']:.1f}",
        f"{result['largest_deviation_percent']:.4f} %",
        "met" if exact else "MISSED",
    )
    console.print(table)
