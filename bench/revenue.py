"""`python -m bench revenue`: revenue by month and by other groups, beside a plain GROUP BY that adds up the same rows.

The plain ones: over the postings, by month and accounts, which is all that the report reads; over orders and payments, by month,
which is what would be asked without books; and, for groups of lines and orders, over the postings joined with the same tables, in
shares that are not rounded. What these find is compared with the report before the first round, to a cent of each line.
"""

from __future__ import annotations

import json
import statistics
import time
from decimal import Decimal
from typing import Any
from uuid import UUID

import asyncpg
import uvloop
from rich.console import Console
from rich.table import Table

from bench import comparison, data
from crmgql import db
from crmgql.config import Settings
from crmgql.dev import embedded
from crmgql.engine.operations import Engine, Request
from crmgql.postgres.connection import server_settings
from crmgql.schema import build
from crmgql.viewer import Viewer, Who

GOAL, GOAL_OF_LINES = 2.0, 3.0
# Orders of two lines, confirmed and paid over three years, as the product books them; past triggers and keys, which take minutes.
FILL = """
SET session_replication_role = replica;
INSERT INTO teams (name) SELECT 'Team ' || n FROM generate_series(1, 10) n;
INSERT INTO users (name, roles, team_id) SELECT 'Seller ' || n, '{SELLER}', t.id FROM generate_series(1, 100) n
JOIN (SELECT id, row_number() OVER () AS place FROM teams) t ON place = n %% 10 + 1;
INSERT INTO products (name, category) SELECT 'Product ' || n, 'Category ' || n %% 20 FROM generate_series(1, 500) n;
INSERT INTO customers (name, currency, region) SELECT 'Customer ' || n, 'USD', 'Region ' || n %% 9 FROM generate_series(1, %(customers)s) n;
INSERT INTO leads (name, lead_source, status, status_since, received_at, last_activity_at, converted_at, customer_id)
SELECT name, (ARRAY['FAIR', 'WEB', 'CALL'])[n %% 3 + 1], 'CONVERTED', now(), now(), now(), now(), id
FROM (SELECT id, name, row_number() OVER () AS n FROM customers) c WHERE n %% 2 = 0;
CREATE TEMP TABLE sold AS SELECT o.n, uuidv7() AS id, uuidv7() AS item_id, uuidv7() AS payment_id, uuidv7() AS rest_id,
    c.id AS customer_id, u.id AS seller_id, date '2024-01-01' + o.n %% 1000 AS day, round((10 + o.n %% 90)::numeric, 2) AS net
FROM (SELECT n, n %% %(customers)s + 1 AS customer, n %% 100 + 1 AS seller FROM generate_series(1, %(orders)s) n) o
JOIN (SELECT id, row_number() OVER () AS n FROM customers) c ON c.n = o.customer
JOIN (SELECT id, row_number() OVER () AS n FROM users) u ON u.n = o.seller;
INSERT INTO orders (id, customer_id, seller_id, number, status, currency, subtotal_amount, shipping_amount, tax_amount, discount_amount,
    total_amount, ordered_at)
SELECT id, customer_id, seller_id, 'B-' || n, 'DELIVERED', 'USD', net + 1, 0.00, 0.00, 1.00, net, day FROM sold;
INSERT INTO order_lines (customer_id, order_id, product_id, position, description, currency, unit_price_amount, discount_amount,
    shipping_amount, line_amount, unit_cost_amount)
SELECT s.customer_id, s.id, p.id, l, 'Thing', 'USD', price, 0.00, 0.00, price, 2.00
FROM sold s CROSS JOIN generate_series(1, 2) l CROSS JOIN LATERAL (SELECT CASE l WHEN 1 THEN 5.00 ELSE net - 4 END AS price) x
JOIN (SELECT id, row_number() OVER () AS n FROM products) p ON p.n = (s.n * l) %% 500 + 1;
INSERT INTO revenue_records (customer_id, order_id, revision, currency, subtotal_amount, shipping_amount, tax_amount, discount_amount,
    total_amount, cost_amount, booked_on, item_id)
SELECT customer_id, id, 1, 'USD', net + 1, 0.00, 0.00, 1.00, net, 4.00, day, item_id FROM sold;
INSERT INTO payments (id, customer_id, order_id, amount, currency, method, status, received_at)
SELECT payment_id, customer_id, id, net, 'USD', 'CASH', 'RECEIVED', day FROM sold;
CREATE TEMP TABLE posted AS SELECT uuidv7() AS entry_id, s.*, k.kind, k.size FROM sold s
CROSS JOIN (VALUES ('order.confirmed', 2), ('payment.received', 1), ('allocation.made', 1)) k (kind, size);
INSERT INTO open_items (id, owner_id, customer_id, purpose, currency, order_id, payment_id, opened_on, debited, credited, settled, entry_id, n, opens)
SELECT item_id, customer_id, customer_id, 'RECEIVABLE', 'USD', id, NULL::uuid, day, net, net, net, entry_id, 1, 1 FROM posted WHERE kind = 'order.confirmed'
UNION ALL
SELECT rest_id, customer_id, customer_id, 'UNEARNED', 'USD', NULL, payment_id, day, net, net, 0, entry_id, 1, 1 FROM posted WHERE kind = 'payment.received';
INSERT INTO ledger_entries (id, company_id, owner_id, customer_id, kind, key, request_hash, source_type, source_id, effective_on, base_currency, size, opens)
SELECT entry_id, (SELECT id FROM companies), customer_id, customer_id, kind, kind || n, repeat('0', 64),
    CASE kind WHEN 'order.confirmed' THEN 'Order' ELSE 'Payment' END, CASE kind WHEN 'order.confirmed' THEN id ELSE payment_id END, day, 'USD', size, (kind <> 'allocation.made')::integer
FROM posted;
INSERT INTO postings (owner_id, entry_id, n, size, phase, effective_on, base_currency, debit, credit, currency, amount, base_amount,
    debit_item_id, credit_item_id)
SELECT customer_id, entry_id, 1, size, 'POSTED', day, 'USD', debit, credit, 'USD', net, net, CASE debit WHEN 'RECEIVABLE' THEN item_id WHEN 'UNEARNED' THEN rest_id END,
    CASE credit WHEN 'RECEIVABLE' THEN item_id WHEN 'UNEARNED' THEN rest_id END
FROM posted JOIN (VALUES ('order.confirmed', 'RECEIVABLE', 'REVENUE'), ('payment.received', 'BANK', 'UNEARNED'),
    ('allocation.made', 'UNEARNED', 'RECEIVABLE')) a (kind, debit, credit) USING (kind)
UNION ALL
SELECT customer_id, entry_id, 2, 2, 'POSTED', day, 'USD', 'COST', 'INVENTORY', 'USD', 4.00, 4.00, NULL, NULL FROM posted WHERE kind = 'order.confirmed';
RESET session_replication_role"""
PLAIN = {
    "postings": """
        SELECT date_trunc('month', effective_on), debit, credit, currency, sum(amount) FROM postings
        WHERE phase = 'POSTED' GROUP BY 1, 2, 3, 4""",
    "orders and payments": """
        SELECT date_trunc('month', ordered_at), currency, sum(subtotal_amount - discount_amount) FROM orders
        WHERE committed GROUP BY 1, 2 UNION ALL
        SELECT date_trunc('month', received_at), currency, sum(amount) FROM payments WHERE status = 'RECEIVED' GROUP BY 1, 2""",
}
# What a group of lines or orders is made by: its key, and what it is joined with besides the postings' documents.
LINES = """
    LEFT JOIN (SELECT *, sum(line_amount) OVER own AS total, quantity * unit_cost_amount AS cost, sum(quantity * unit_cost_amount) OVER own AS costs
        FROM order_lines WINDOW own AS (PARTITION BY customer_id, order_id)) l ON l.customer_id = m.owner_id AND l.order_id = m.order_id
    LEFT JOIN products each ON each.id = l.product_id"""
SELLERS = """
    LEFT JOIN orders o ON o.customer_id = m.owner_id AND o.id = m.order_id LEFT JOIN users each ON each.id = o.seller_id"""
CHANNELS = """
    LEFT JOIN orders o ON o.customer_id = m.owner_id AND o.id = m.order_id
    LEFT JOIN (SELECT DISTINCT ON (opportunity_id) opportunity_id, lead_source FROM leads WHERE opportunity_id IS NOT NULL
        ORDER BY opportunity_id, received_at, id) of_deal ON of_deal.opportunity_id = o.opportunity_id
    LEFT JOIN (SELECT DISTINCT ON (customer_id) customer_id, lead_source FROM leads ORDER BY customer_id, received_at, id) each
    ON each.customer_id = m.owner_id"""
PLAIN_OF = {
    "product": ("each.name", LINES),
    "category": ("each.category", LINES),
    "seller": ("each.name", SELLERS),
    "department": ("t.name", f"{SELLERS} LEFT JOIN teams t ON t.id = each.team_id"),
    "channel": ("coalesce(of_deal.lead_source, each.lead_source)", CHANNELS),
}
OF_DOCUMENTS = """
    SELECT {key} AS key, m.currency, coalesce(sum({share}) FILTER (WHERE m.credit IN ('REVENUE', 'DEFERRED')), 0) AS booked,
        coalesce(sum({share}) FILTER (WHERE m.credit = 'REVENUE'), 0) AS recognised,
        coalesce(sum({share}) FILTER (WHERE m.credit = 'RECEIVABLE'), 0) AS received,
        coalesce(sum({share}) FILTER (WHERE m.credit = 'BANK'), 0) AS refunded, coalesce(sum({cost}) FILTER (WHERE m.debit = 'COST'), 0) AS cost
    FROM (
        SELECT p.owner_id, p.debit, p.credit, p.currency, p.amount, coalesce(d.order_id, c.order_id,
            CASE WHEN p.credit = 'BANK' THEN pay.order_id END, CASE e.source_type WHEN 'Order' THEN e.source_id END) AS order_id
        FROM postings p JOIN ledger_entries e ON e.owner_id = p.owner_id AND e.id = p.entry_id
        LEFT JOIN open_items d ON d.id = p.debit_item_id LEFT JOIN open_items c ON c.id = p.credit_item_id
        LEFT JOIN payments pay ON pay.id = d.payment_id WHERE p.phase = 'POSTED'
    ) m {joins}
    GROUP BY 1, 2 ORDER BY booked DESC, key"""
SHARES = {True: ("m.amount * l.line_amount / l.total", "m.amount * l.cost / l.costs"), False: ("m.amount", "m.amount")}
PLAIN |= {
    f"plain by {name}": OF_DOCUMENTS.format(
        key=key, joins=joins, share=SHARES[joins is LINES][0], cost=SHARES[joins is LINES][1]
    )
    for name, (key, joins) in PLAIN_OF.items()
}
GROUPED = {
    "month": "groupBy: [MONTH]",
    "month, one quarter": 'groupBy: [MONTH], since: "2026-01-01", until: "2026-03-31"',
    "month, in base currency": "groupBy: [MONTH], convertTo: BASE",
    "largest 100 customers": "groupBy: [CUSTOMER], first: 100",
    **{name: f"groupBy: [{name.upper()}]" for name in PLAIN_OF},
    "month and seller": "groupBy: [MONTH, SELLER], first: 1000",
    "month and category": "groupBy: [MONTH, CATEGORY], first: 1000",
}
FIGURES = "booked recognised received refunded cost margin"


def run(urls: embedded.Servers, shape: data.Shape, *, rounds: int, console: Console) -> dict[str, Any]:
    """Prints a table and writes `results/revenue.json`: milliseconds, medians of alternating rounds."""
    url = data.sister(urls.database_url, f"bench_revenue_{shape.customers * shape.orders}")
    data.migrate(url)
    with console.status("Writing the books …"):
        uvloop.run(_fill(url, shape))
    seconds = uvloop.run(_measure(url, rounds))
    table = Table(title=f"{shape.customers * shape.orders:,} orders")
    for heading in ("", "ms (median)", "min–max", "× plain over postings", "× plain with its joins"):
        table.add_column(heading, justify="right")
    medians = {name: statistics.median(each) * 1000 for name, each in seconds.items()}
    for name, each in seconds.items():
        span = f"{min(each) * 1000:,.0f}–{max(each) * 1000:,.0f}"
        joined = medians.get(f"plain by {name}")
        ratio = "" if joined is None else f"{medians[name] / joined:.2f}"
        table.add_row(name, f"{medians[name]:,.0f}", span, f"{medians[name] / medians['postings']:.2f}", ratio)
    console.print(table)
    console.print(
        f"goals: by month ≤ {GOAL} × plain over postings; by line or order ≤ {GOAL_OF_LINES} × plain with the same joins"
    )
    result = {"machine": comparison.machine(), "orders": shape.customers * shape.orders, "goal": GOAL, "ms": medians}
    comparison.write("revenue.json", result)
    return result


async def _fill(url: str, shape: data.Shape) -> None:
    """Writes the books, unless they are there."""
    connection = await asyncpg.connect(url)
    if not await connection.fetchval("SELECT EXISTS (SELECT FROM orders)"):
        await connection.execute(FILL % {"customers": shape.customers, "orders": shape.customers * shape.orders})
    await connection.close()


async def _measure(url: str, rounds: int) -> dict[str, list[float]]:
    crm = await db.connect(url, pool_size=1, statement_timeout_ms=120_000)
    engine = build.engine(crm, Settings(log_level="error"))
    connection = await asyncpg.connect(url, server_settings=server_settings(120_000))
    await connection.execute("VACUUM ANALYZE")
    await _compare(engine, connection)
    seconds: dict[str, list[float]] = {name: [] for name in (*PLAIN, *GROUPED)}
    for _ in range(rounds + 1):  # the first one warms up
        for name, sql in PLAIN.items():
            started = time.perf_counter()
            await connection.fetch(sql)
            seconds[name].append(time.perf_counter() - started)
        for name, arguments in GROUPED.items():
            started = time.perf_counter()
            await _ask(engine, arguments)
            seconds[name].append(time.perf_counter() - started)
    await connection.close()
    await crm.close()
    return {name: each[1:] for name, each in seconds.items()}


async def _compare(engine: Engine, connection: Any) -> None:
    """Raises where a group is further from the plain one's than a cent for each line that it may be of."""
    cents = Decimal("0.01") * await connection.fetchval("SELECT count(*) FROM order_lines")
    for name in PLAIN_OF:
        told = {each[name]: each for each in await _ask(engine, GROUPED[name], name)}
        plain = [row for row in await connection.fetch(PLAIN[f"plain by {name}"]) if any(list(row)[2:])]
        assert told.keys() == {row["key"] for row in plain}, name
        for row in plain:
            for figure in ("booked", "recognised", "received", "refunded", "cost"):
                given = Decimal(told[row["key"]][figure]["amount"])
                assert abs(given - row[figure]) <= cents / len(plain), (name, row["key"], figure, given, row[figure])


async def _ask(engine: Engine, arguments: str, *names: str) -> list[dict[str, Any]]:
    shown = " ".join(f"{name} {{ amount }}" for name in FIGURES.split())
    query = f"{{ revenue({arguments}) {{ groups {{ month currency {' '.join(names)} {shown} }} }} }}"
    viewer = Viewer(UUID(int=0), Who(frozenset({"ADMIN"})))
    answer = json.loads(await engine.answer(Request(query), viewer))
    assert answer["data"]["revenue"], answer
    return list(answer["data"]["revenue"]["groups"])
