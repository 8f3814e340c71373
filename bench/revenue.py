"""`python -m bench revenue`: revenue by month and by other groups, beside a plain GROUP BY that adds up the same rows.

The plain ones: over the postings, by month and accounts, which is all that the report reads; and over orders and payments, by month,
which is what would be asked without books.
"""

from __future__ import annotations

import json
import statistics
import time
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
from crmgql.schema import build
from crmgql.viewer import Viewer, Who

GOAL = 2.0
# Orders of two lines, confirmed and paid over three years, as the product books them; past triggers and keys, which take minutes.
FILL = """
SET session_replication_role = replica;
INSERT INTO users (name, roles) SELECT 'Seller ' || n, '{SELLER}' FROM generate_series(1, 100) n;
INSERT INTO products (name, category) SELECT 'Product ' || n, 'Category ' || n %% 20 FROM generate_series(1, 500) n;
INSERT INTO customers (name, currency, region) SELECT 'Customer ' || n, 'USD', 'Region ' || n %% 9 FROM generate_series(1, %(customers)s) n;
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
GROUPED = {
    "month": "groupBy: [MONTH]",
    "month, one quarter": 'groupBy: [MONTH], since: "2026-01-01", until: "2026-03-31"',
    "month, in base currency": "groupBy: [MONTH], convertTo: BASE",
    "largest 100 customers": "groupBy: [CUSTOMER], first: 100",
    "product": "groupBy: [PRODUCT]",
    "month and seller": "groupBy: [MONTH, SELLER], first: 1000",
}
FIGURES = "booked recognised received refunded cost margin"


def run(urls: embedded.Servers, shape: data.Shape, *, rounds: int, console: Console) -> dict[str, Any]:
    """Prints a table and writes `results/revenue.json`: milliseconds, medians of alternating rounds."""
    url = data.sister(urls.database_url, "bench_revenue")
    data.migrate(url)
    with console.status("Writing the books …"):
        uvloop.run(_fill(url, shape))
    seconds = uvloop.run(_measure(url, rounds))
    table = Table(title=f"{shape.customers * shape.orders:,} orders")
    for heading in ("", "ms (median)", "min–max", "× plain over postings"):
        table.add_column(heading, justify="right")
    medians = {name: statistics.median(each) * 1000 for name, each in seconds.items()}
    for name, each in seconds.items():
        span = f"{min(each) * 1000:,.0f}–{max(each) * 1000:,.0f}"
        table.add_row(name, f"{medians[name]:,.0f}", span, f"{medians[name] / medians['postings']:.2f}")
    console.print(table)
    console.print(f"goal: by month ≤ {GOAL} × plain over postings")
    result = {"machine": comparison.machine(), "orders": shape.customers * shape.orders, "goal": GOAL, "ms": medians}
    comparison.write("revenue.json", result)
    return result


async def _fill(url: str, shape: data.Shape) -> None:
    connection = await asyncpg.connect(url)
    numbers = {"customers": shape.customers, "orders": shape.customers * shape.orders}
    await connection.execute(FILL % numbers)
    await connection.close()


async def _measure(url: str, rounds: int) -> dict[str, list[float]]:
    crm = await db.connect(url, pool_size=1, statement_timeout_ms=120_000)
    engine = build.engine(crm, Settings(log_level="error"))
    connection = await asyncpg.connect(url)
    await connection.execute("VACUUM ANALYZE")
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


async def _ask(engine: Engine, arguments: str) -> None:
    shown = " ".join(f"{name} {{ amount }}" for name in FIGURES.split())
    query = f"{{ revenue({arguments}) {{ groups {{ month currency {shown} }} }} }}"
    viewer = Viewer(UUID(int=0), Who(frozenset({"ADMIN"})))
    answer = json.loads(await engine.answer(Request(query), viewer))
    assert answer["data"]["revenue"], answer
