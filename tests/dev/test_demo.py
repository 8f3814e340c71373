"""The demo company is the same for the same seed, keeps every rule of the database, and has something to show."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from crmgql import errors
from crmgql.dev import demo, embedded
from crmgql.ledger import audits

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
# What a person reads of each table; ids and whatever refers to them are left out.
CONTENT = {
    "fx_rates": "currency, base_currency, effective_on, rate, source, created_at",
    "users": "name, email, roles, region, city, password_hash, created_at",
    "salaries": "amount, currency, period, starts_on, ends_on, created_at",
    "teams": "name, region, created_at",
    "products": "sku, name, category, status, price_amount, cost_amount, created_at",
    "customers": "name, status, email, industry, city, currency, founded_year, annual_revenue_amount, created_at",
    "contacts": "name, title, email, phone, is_primary, created_at",
    "orders": "number, status, currency, subtotal_amount, total_amount, ordered_at, delivered_at, created_at",
    "order_lines": "position, description, quantity, unit_price_amount, line_amount, currency, created_at",
    "payments": "amount, currency, method, status, received_at, reference, created_at",
    "invoices": "number, currency, total_amount, issued_on, due_on, payment_terms, status",
    "credit_notes": "number, currency, net_amount, tax_amount, total_amount, issued_on, reason",
    "refunds": "currency, amount, method, status, reason, requested_at, ended_at",
    "disputes": "currency, amount, fee_amount, status, reason, opened_at, ended_at",
    "commissions": "base_amount, rate, amount, currency, status, earned_at, created_at",
    "opportunities": "name, stage_id, amount, probability, expected_close, closed_on, lost_reason, created_at",
    "interactions": "kind, subject, body, occurred_at",
    "tickets": "subject, status, priority, resolved_at, created_at",
    "key_actions": "position, name, required",
    "score_rules": "name, field, operator, value, points",
    "stage_transitions": "to_stage_id, seconds_in_stage, amount_before, amount_after, currency, occurred_at",
    "opportunity_actions": "done_at",
    "campaigns": "name, channel, status, currency, budget_amount, spend_amount, starts_on, ends_on",
    "follow_up_rules": "name, lead_status, after_h, action, subject, body",
    "seller_profiles": "attributes, max_open, max_per_day, weight, hours, opted_out",
    "absences": "starts_at, ends_at, reason",
    "lead_queues": "name, deadline_min",
    "routing_rulesets": "name, number, status, rates, accept_within_min, activated_at",
    "routing_rules": "position, name, conditions, target, seller_match, distribution",
    "pools": "name, kind, reclaim_after_d, shows",
    "leads": "name, company, email, phone, region, budget_amount, currency, lead_source, status, status_since, received_at,"
    " last_activity_at, accept_by, queue_deadline",
    "lead_transitions": "from_status, to_status, reason, seconds_in_status, occurred_at",
    "assignment_decisions": "reason, explanation, decided_at",
    "lead_duplicates": "reasons, similarity, status",
    "jobs": "kind, queue, priority, due_at",
    "pool_items": "shown, entered_at",
    "pool_moves": "kind, reason, occurred_at",
    "tasks": "subject, status, due_at, done_at",
}


async def load(connection: asyncpg.Connection, **changes: Any) -> demo.DemoCompany:
    options: dict[str, Any] = {"customers": 60, "seed": 7, "now": NOW, "password_hash": "hash"} | changes
    return await demo.load(connection, **options)


async def content(connection: asyncpg.Connection) -> dict[str, list[tuple[Any, ...]]]:
    return {
        table: [tuple(row) for row in await connection.fetch(f"SELECT {columns} FROM {table} ORDER BY {columns}")]
        for table, columns in CONTENT.items()
    }


async def test_the_same_seed_gives_the_same_company(
    database: asyncpg.Connection, servers: embedded.Servers, template: str
) -> None:
    company = await load(database)
    for seed in (7, 8):
        await database.execute(f"CREATE DATABASE demo_{seed} TEMPLATE {template}")
        other = await asyncpg.connect(servers.database_url, database=f"demo_{seed}")
        other_company, other_content = await load(other, seed=seed), await content(other)
        await other.close()
        await database.execute(f"DROP DATABASE demo_{seed}")
        assert (other_company == company) is (seed == 7)
        assert (other_content == await content(database)) is (seed == 7)


async def test_what_is_counted_is_there(database: asyncpg.Connection) -> None:
    rates = await database.fetchval("SELECT count(*) FROM fx_rates")
    company = await load(database)
    assert company.counts.keys() == CONTENT.keys()
    for table, count in company.counts.items():
        there = await database.fetchval(f"SELECT count(*) FROM {table}") - (rates if table == "fx_rates" else 0)
        assert count == there > 0
    roles = {
        company.admin: "ADMIN",
        company.finance: "FINANCE",
        company.manager: "MANAGER",
        company.seller: "SELLER",
        company.support: "SUPPORT",
        company.marketer: "MARKETER",
    }
    for email, role in roles.items():
        assert await database.fetchval("SELECT roles FROM users WHERE email = $1", email) == [role]


@pytest.mark.parametrize("many_orders", [demo.MANY_ORDERS, 1], ids=["checked by row", "checked at the end"])
async def test_every_rule_holds(
    database: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch, many_orders: int
) -> None:
    monkeypatch.setattr(demo, "MANY_ORDERS", many_orders)
    await load(database)
    unenforced = "SELECT count(*) FROM pg_constraint WHERE NOT conenforced OR NOT convalidated"
    assert await database.fetchval(unenforced) == 0
    # What no constraint says: an order's sums are those of its lines, and nobody pays or earns more than there is.
    assert not await database.fetch(
        "SELECT o.number FROM orders o LEFT JOIN order_lines l ON l.order_id = o.id GROUP BY o.id"
        " HAVING o.subtotal_amount IS DISTINCT FROM sum(l.line_amount)"
        " OR o.shipping_amount IS DISTINCT FROM sum(l.shipping_amount)"
    )
    assert not await database.fetch(
        "SELECT o.number FROM orders o JOIN payments p ON p.order_id = o.id WHERE p.status IN ('RECEIVED', 'PENDING')"
        " AND right(p.reference, 3) < '900'"  # from there on are the cases of `demo_money`
        " GROUP BY o.id HAVING sum(p.amount) <> o.total_amount"
    )
    assert not await database.fetch(
        "SELECT p.id FROM payments p LEFT JOIN commissions c ON c.payment_id = p.id AND c.base_amount = p.amount"
        " AND c.amount = round(p.amount * c.rate, currency_scale(c.currency)) AND c.earned_at = p.received_at"
        " GROUP BY p.id HAVING count(c.id) <> (p.status = 'RECEIVED' AND p.order_id IS NOT NULL)::integer"
    )
    for table in ("customers", "orders", "order_lines", "payments", "commissions", "interactions", "tickets"):
        assert await database.fetchval(f"SELECT max(created_at) FROM {table}") <= NOW
        late = (
            f"SELECT count(*) FROM {table} t JOIN customers c ON c.id = t.customer_id WHERE t.created_at < c.created_at"
        )
        assert table == "customers" or await database.fetchval(late) == 0


async def test_there_is_something_of_everything(database: asyncpg.Connection) -> None:
    await load(database)
    seen = {
        "SELECT array_agg(DISTINCT stage_id) FROM opportunities": 6,
        "SELECT array_agg(DISTINCT kind) FROM interactions": 5,
        "SELECT array_agg(DISTINCT currency) FROM orders": 4,
        "SELECT array_agg(DISTINCT region) FROM customers": 3,
    }
    for sql, count in seen.items():
        assert len(await database.fetchval(sql)) == count, sql
    rates = await database.fetch(
        "SELECT DISTINCT ON (currency) currency, base_currency, rate::text FROM fx_rates WHERE source = 'DEMO'"
        " ORDER BY currency, effective_on"
    )
    assert {tuple(row) for row in rates} == {
        ("EUR", "USD", "1.086957"),
        ("JPY", "USD", "0.006667"),
        ("KWD", "USD", "3.257329"),
    }
    assert await database.fetchval(
        "SELECT min(effective_on) FROM fx_rates WHERE source = 'DEMO'"
    ) < await database.fetchval("SELECT min(ordered_at)::date FROM orders")
    assert await database.fetchval("SELECT max(effective_on) FROM fx_rates WHERE source = 'DEMO'") <= NOW.date()
    assert {"RECEIVED", "PENDING", "FAILED"} <= set(await database.fetchval("SELECT array_agg(status) FROM payments"))
    assert await database.fetchval(
        "SELECT bool_and(n = 1) FROM (SELECT count(*) FILTER (WHERE is_primary) AS n"
        " FROM contacts GROUP BY customer_id) c"
    )


async def test_money_has_been_everywhere(database: asyncpg.Connection, database_url: str) -> None:
    await load(database)
    overdue = await database.fetch(
        "SELECT greatest(0, ceil(($1::date - due_on) / 30.0))::integer AS bucket FROM open_items"
        " WHERE purpose = 'RECEIVABLE' AND invoice_id IS NOT NULL AND open > 0",
        NOW.date(),
    )
    assert {min(row["bucket"], 4) for row in overdue} == {0, 1, 2, 3, 4}
    there = {
        "SELECT array_agg(status ORDER BY status) FROM refunds": ["REQUESTED", "SUCCEEDED"],
        "SELECT array_agg(status ORDER BY status) FROM disputes": ["LOST", "OPEN"],
        "SELECT array_agg(DISTINCT purpose ORDER BY purpose) FROM open_items"
        " WHERE open > 0 AND purpose IN ('CREDIT', 'UNEARNED')": ["CREDIT", "UNEARNED"],
        "SELECT array_agg(paid_currency || ' ' || currency) FROM allocations WHERE paid_currency <> currency": [
            "USD EUR"
        ],
        "SELECT array_agg(open > credit_limit_amount) FROM customers c JOIN LATERAL (SELECT sum(open) AS open FROM open_items"
        " WHERE owner_id = c.id AND purpose = 'RECEIVABLE') o ON true WHERE credit_limit_amount IS NOT NULL": [True],
        "SELECT array_agg(n) FROM (SELECT count(*) AS n FROM instalments GROUP BY invoice_id) i WHERE n > 1": [3],
    }
    for sql, expected in there.items():
        assert await database.fetchval(sql) == expected, sql
    credit = await database.fetchval(
        "SELECT open = total_amount FROM credit_notes n JOIN open_items i ON i.credit_note_id = n.id"
    )
    assert credit, "all of the invoice was paid"
    deferred = "SELECT count(*) FILTER (WHERE entry_id IS NULL), count(*) FROM recognition_schedules"
    waiting, parts = await database.fetchrow(deferred)
    assert 0 < waiting < parts == 12
    books = await audits.verify_all(database_url, processes=1, progress=lambda done, total: None)
    assert books.is_whole, books.found.broken


async def test_the_smallest_company(database: asyncpg.Connection) -> None:
    assert (await load(database, customers=1)).counts["customers"] == 1


async def test_the_newest_customer_has_paid_orders(database: asyncpg.Connection) -> None:
    company = await load(database)
    newest = await database.fetchrow(
        "SELECT c.id, u.email FROM customers c JOIN users u ON u.id = c.owner_id ORDER BY c.created_at DESC LIMIT 1"
    )
    assert newest["email"] == company.seller
    orders = await database.fetch(
        "SELECT o.id, count(DISTINCT p.id) AS payments, count(DISTINCT c.id) AS commissions FROM orders o"
        " LEFT JOIN payments p ON p.order_id = o.id LEFT JOIN commissions c ON c.payment_id = p.id"
        " WHERE o.customer_id = $1 GROUP BY o.id",
        newest["id"],
    )
    assert len(orders) >= 5
    assert all(order["payments"] == order["commissions"] > 0 for order in orders)


async def test_the_shape_for_benchmarks(database: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "CUSTOMERS_PER_BATCH", 25)
    company = await load(database, orders_per_customer=4)
    assert company.counts | {"users": 0, "salaries": 0, "teams": 0, "products": 0} == {
        "fx_rates": 3,
        "users": 0,
        "salaries": 0,
        "teams": 0,
        "products": 0,
        "customers": 60,
        "contacts": 60,
        "orders": 240,
        "order_lines": 240,
        "payments": 480,
        "commissions": 480,
    }
    assert await database.fetchval(
        "SELECT bool_and(n = 2) FROM (SELECT count(*) FILTER (WHERE p.status = 'RECEIVED') AS n FROM orders o"
        " JOIN payments p ON p.order_id = o.id JOIN commissions c ON c.payment_id = p.id GROUP BY o.id) per_order"
    )
    assert await database.fetchval("SELECT max(received_at) FROM payments") <= NOW
    assert await database.fetchval("SELECT min(ordered_at) FROM orders") >= NOW - timedelta(days=731)


async def test_a_second_company_is_refused(database: asyncpg.Connection) -> None:
    await load(database)
    with pytest.raises(errors.SetupError, match="loaded already"):
        await load(database)
    with pytest.raises(ValueError, match="time zone"):
        await load(database, now=NOW.replace(tzinfo=None))


async def test_the_callers_transaction_is_used(database: asyncpg.Connection) -> None:
    seen: list[str] = []
    transaction = database.transaction()
    await transaction.start()
    await load(database, progress=lambda step, done, total: seen.append(step))
    await transaction.rollback()
    assert {"customers", "orders", "activity", "statistics"} <= set(seen)
    assert await database.fetchval("SELECT count(*) FROM customers") == 0
    await load(database)
