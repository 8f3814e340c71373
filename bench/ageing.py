"""`python -m bench ageing`: what customers owe by how long it is due, over a million items, beside the plain GROUP BY that it stands for.

The plain one adds up the same postings by currency and bucket, in SQL by hand, and knows of no customers. The answers are compared
before the first round: the totals with it, the first page of customers with a GROUP BY by customer.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Awaitable, Callable
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import partial
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

GOAL = 2.0
# Items of three currencies, opened over two years and due 0 to 60 days later: half of them paid, a fifth in part, up to 89 days after
# they were opened. Entries are recorded on their day. Past triggers and keys, which would take an hour.
FILL = """
SET session_replication_role = replica;
INSERT INTO customers (name, currency) SELECT 'Customer ' || n, 'USD' FROM generate_series(1, %(customers)s) n;
CREATE TEMP TABLE billed AS SELECT b.n, c.id AS customer_id, uuidv7() AS item_id, uuidv7() AS rest_id, currency, opened_on,
    opened_on + (ARRAY[0, 14, 30, 60])[b.n %% 4 + 1] AS due_on, opened_on + b.n %% 90 AS paid_on, amount,
    CASE WHEN b.n %% 10 < 5 THEN amount WHEN b.n %% 10 < 7 THEN round(amount / 2, currency_scale(currency)) END AS paid
FROM (
    SELECT n, n %% %(customers)s + 1 AS customer, current_date - (n::bigint * 7919 %% 730)::integer AS opened_on, currency,
        round(10 + (n %% 99000) / 100.0, currency_scale(currency)) AS amount
    FROM generate_series(1, %(items)s) n CROSS JOIN LATERAL (SELECT (ARRAY['EUR', 'JPY', 'USD'])[n %% 3 + 1] AS currency) each
) b JOIN (SELECT id, row_number() OVER () AS n FROM customers) c ON c.n = b.customer;
UPDATE billed SET paid = NULL WHERE paid_on > current_date;
CREATE TEMP TABLE posted AS
SELECT uuidv7(day - now()) AS entry_id, k.*, b.*, CASE kind WHEN 'order.confirmed' THEN b.amount ELSE paid END AS moved
FROM billed b CROSS JOIN LATERAL (VALUES
    ('order.confirmed', opened_on, 1, 'RECEIVABLE', 'REVENUE', item_id, NULL::uuid, due_on, NULL::date),
    ('payment.received', paid_on, 1, 'BANK', 'UNEARNED', NULL, rest_id, NULL, NULL),
    ('allocation.made', paid_on, 0, 'UNEARNED', 'RECEIVABLE', rest_id, item_id, NULL, due_on)
) k (kind, day, opens, debit, credit, debit_item_id, credit_item_id, debit_due_on, credit_due_on)
WHERE kind = 'order.confirmed' OR paid IS NOT NULL;
INSERT INTO open_items (id, owner_id, customer_id, purpose, currency, order_id, payment_id, opened_on, due_on, debited, credited, settled, base, entry_id, n, opens)
SELECT item_id, customer_id, customer_id, 'RECEIVABLE', currency, item_id, NULL::uuid, opened_on, due_on, amount, coalesce(paid, 0), coalesce(paid, 0),
    round(amount - coalesce(paid, 0), 2), entry_id, 1, 1 FROM posted WHERE kind = 'order.confirmed'
UNION ALL
SELECT rest_id, customer_id, customer_id, 'UNEARNED', currency, NULL, rest_id, paid_on, NULL, paid, paid, 0, 0, entry_id, 1, 1
FROM posted WHERE kind = 'payment.received';
INSERT INTO ledger_entries (id, company_id, owner_id, customer_id, kind, key, request_hash, source_type, source_id, effective_on, recorded_at,
    base_currency, size, opens)
SELECT entry_id, (SELECT id FROM companies), customer_id, customer_id, kind, kind || n, repeat('0', 64),
    CASE kind WHEN 'order.confirmed' THEN 'Order' ELSE 'Payment' END, item_id, day, day, 'USD', 1, opens FROM posted;
INSERT INTO postings (owner_id, entry_id, n, size, phase, effective_on, base_currency, debit, credit, currency, amount, base_amount,
    debit_item_id, credit_item_id, debit_due_on, credit_due_on)
SELECT customer_id, entry_id, 1, 1, 'POSTED', day, 'USD', debit, credit, currency, moved, round(moved, 2), debit_item_id, credit_item_id,
    debit_due_on, credit_due_on FROM posted ORDER BY day, n;
RESET session_replication_role"""
MOVES = """
    SELECT owner_id, currency, $1 - debit_due_on AS late, amount FROM postings
    WHERE debit = 'RECEIVABLE' AND phase = 'POSTED' AND effective_on <= $1 {known}
    UNION ALL
    SELECT owner_id, currency, $1 - credit_due_on, -amount FROM postings
    WHERE credit = 'RECEIVABLE' AND phase = 'POSTED' AND effective_on <= $1 {known}"""
SUMS = """sum(amount), coalesce(sum(amount) FILTER (WHERE late <= 0 OR late IS NULL), 0), coalesce(sum(amount) FILTER (WHERE late BETWEEN 1 AND 30), 0),
    coalesce(sum(amount) FILTER (WHERE late BETWEEN 31 AND 60), 0), coalesce(sum(amount) FILTER (WHERE late BETWEEN 61 AND 90), 0),
    coalesce(sum(amount) FILTER (WHERE late > 90), 0)"""
PLAIN = f"SELECT currency, {SUMS} FROM ({MOVES}) moves GROUP BY currency ORDER BY currency"
PLAIN_BY_CUSTOMER = f"""
SELECT moves.currency, customers.name, {SUMS} FROM ({MOVES}) moves JOIN customers ON customers.id = moves.owner_id
GROUP BY moves.currency, moves.owner_id, customers.name HAVING sum(amount) <> 0 ORDER BY moves.currency, sum(amount) DESC, moves.owner_id LIMIT 20"""
OPEN_NOW = """
SELECT currency, sum(open), count(*) FROM open_items WHERE purpose = 'RECEIVABLE' AND open > 0 GROUP BY currency ORDER BY currency"""
QUERY = """{ receivables(%s) {
    totals { currency customers outstanding { amount } ageing { bucket amount { amount } } }
    customers { name currency outstanding { amount } ageing { bucket amount { amount } } } } }"""


def run(urls: embedded.Servers, *, customers: int, items: int, rounds: int, console: Console) -> dict[str, Any]:
    """Prints a table and writes `results/ageing.json`: milliseconds, medians of alternating rounds."""
    url = data.sister(urls.database_url, f"bench_ageing_{items}")
    data.migrate(url)
    with console.status("Writing the books …"):
        uvloop.run(_fill(url, customers, items))
    seconds, told = uvloop.run(_measure(url, rounds))
    table = Table(title=told)
    for heading in ("", "ms (median)", "min–max", "× plain"):
        table.add_column(heading, justify="right")
    medians = {name: statistics.median(each) * 1000 for name, each in seconds.items()}
    ratios = {}
    for name, each in seconds.items():
        case = name.partition(", plain")[0].partition(", totals")[0]
        ratios[name] = medians[name] / medians.get(f"{case}, plain", medians[name])
        span = f"{min(each) * 1000:,.0f}–{max(each) * 1000:,.0f}"
        table.add_row(name, f"{medians[name]:,.0f}", span, f"{ratios[name]:.2f}")
    console.print(table)
    console.print(f"goal: ≤ {GOAL} × plain")
    result = {"machine": comparison.machine(), "items": items, "goal": GOAL, "ms": medians, "ratios": ratios}
    comparison.write("ageing.json", result)
    return result


async def _fill(url: str, customers: int, items: int) -> None:
    """Writes the books, unless they are there."""
    connection = await asyncpg.connect(url)
    if not await connection.fetchval("SELECT EXISTS (SELECT FROM open_items)"):
        await connection.execute(FILL % {"customers": customers, "items": items})
        await connection.execute("VACUUM ANALYZE")
    await connection.close()


async def _measure(url: str, rounds: int) -> tuple[dict[str, list[float]], str]:
    crm = await db.connect(url, pool_size=1, statement_timeout_ms=120_000)
    engine = build.engine(crm, Settings(log_level="error"))
    connection = await asyncpg.connect(url, server_settings=server_settings(120_000))
    today = await connection.fetchval("SELECT current_date")
    past, then = today - timedelta(days=180), await connection.fetchval("SELECT now() - interval '10 days'")
    asked: dict[str, Callable[[], Awaitable[Any]]] = {}
    for name, day, known in (
        ("today", today, None),
        ("180 days ago", past, None),
        ("as known 10 days ago", today, then),
    ):
        given = f'asOf: "{day}"' + (f', knownAt: "{_text(known)}"' if known else "")
        plain = [connection, PLAIN, day, known]
        await _compare(engine, given, plain, [connection, PLAIN_BY_CUSTOMER, day, known])
        asked[f"{name}, plain"] = partial(_plain, *plain)
        asked[f"{name}, plain by customer"] = partial(_plain, connection, PLAIN_BY_CUSTOMER, day, known)
        asked[name] = partial(_ask, engine, given)
        asked[f"{name}, totals alone"] = partial(_ask, engine, f"{given}, first: 0")
    seconds: dict[str, list[float]] = {name: [] for name in asked}
    for number in range(rounds):
        for name, ask in list(asked.items())[:: -1 if number % 2 else 1]:  # nobody is always the first
            started = time.perf_counter()
            await ask()
            seconds[name].append(time.perf_counter() - started)
    open_now = sum(row["count"] for row in await connection.fetch(OPEN_NOW))
    items, postings = await connection.fetchrow(
        "SELECT (SELECT count(*) FROM open_items WHERE purpose = 'RECEIVABLE'), (SELECT count(*) FROM postings)"
    )
    await connection.close()
    await crm.close()
    return seconds, f"{items:,} receivables, {open_now:,} of them open, {postings:,} postings"


def _text(time: datetime) -> str:
    return time.isoformat().replace("+00:00", "Z")


async def _plain(connection: Any, sql: str, day: date, known: datetime | None) -> list[tuple[Any, ...]]:
    known_too = "" if known is None else "AND entry_id < uuidv7_at($2)"
    rows = await connection.fetch(sql.format(known=known_too), day, *([] if known is None else [known]))
    return [tuple(row) for row in rows]


async def _ask(engine: Engine, given: str) -> Any:
    viewer = Viewer(UUID(int=0), Who(frozenset({"ADMIN"})))
    answer = json.loads(await engine.answer(Request(QUERY % given), viewer))
    return answer["data"]["receivables"]


async def _compare(engine: Engine, given: str, plain: list[Any], by_customer: list[Any]) -> None:
    """Raises where an answer is another than the plain one's."""
    answer = await _ask(engine, given)
    totals = [(row["currency"], *_amounts(row)) for row in answer["totals"]]
    page = [(row["currency"], row["name"], *_amounts(row)) for row in answer["customers"]]
    if totals != await _plain(*plain) or page != await _plain(*by_customer):
        raise SystemExit(f"receivables({given}) and the plain GROUP BY differ")
    assert all(amount for _, *amounts in totals for amount in amounts), totals


def _amounts(row: dict[str, Any]) -> list[Decimal]:
    return [Decimal(each["amount"]) for each in (row["outstanding"], *(part["amount"] for part in row["ageing"]))]
