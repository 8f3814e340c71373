"""The demo company: people, products, customers and two years of their business, the same for the same seed.

Enters: a connection to a migrated database, sizes, a seed, the time that counts as now. Leaves: whom to log in as.
Always holds: everything is drawn from the seed and `now`, never from the clock; only the random part of ids differs.
The statements are in `demo.sql` and the files beside it: set-based, and in the order of time, so that tables and ids
look as if the business had happened.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import asyncpg

from crmgql import errors
from crmgql.db import Transaction
from crmgql.dev import demo_money
from crmgql.domain.money import receipts
from crmgql.domain.sales import revenue
from crmgql.records.records import Act
from crmgql.viewer import system

Progress = Callable[[str, int, int], None]  # step, done, total

DOMAIN = "demo.example"
CUSTOMERS_PER_BATCH = 50_000
MANY_ORDERS = 20_000  # from here on it pays to check foreign keys once, at the end
BOOKED_AT_ONCE = 5_000
BOOKED = "orders, order_lines, revenue_records, revenue_lines, payments, allocations, ledger_entries, postings, open_items, balances"
BUSINESS = timedelta(days=730)
PRODUCTS = 30
LEADS_PER_CUSTOMER, FEWEST_LEADS = 1.2, 60
ACTIVITY = ("activity", "pipeline", "marketing", "leads", "work")
COMPANYS_DAYS = "SELECT set_config('timezone', timezone, true) FROM companies"
"""What is cast to a date, is to the company's."""


@dataclass(frozen=True)
class DemoCompany:
    """E-mail addresses to log in with, and how many rows of each table were made."""

    admin: str
    finance: str
    manager: str
    seller: str
    support: str
    marketer: str
    counts: dict[str, int] = field(default_factory=dict)


async def load(
    connection: asyncpg.Connection,
    *,
    customers: int,
    orders_per_customer: int | None = None,
    seed: int,
    now: datetime,
    password_hash: str,
    progress: Progress | None = None,
) -> DemoCompany:
    """Load the company in one transaction (the caller's, if one is open), then gather the planner's statistics.

    Without `orders_per_customer` a customer has 0 to 25 orders of 1 to 4 lines, paid in every way, and the company has
    opportunities, interactions, tickets, leads, and what routes and pools them, and of what can become of money one case each
    (`demo_money`); with it, each has exactly so many orders
    of one line and two received payments with a commission each, which is the shape that benchmarks ask for. The newest
    customer has 6 orders or `orders_per_customer`, all paid. Raises SetupError when the company is there already.
    """
    if now.tzinfo is None:
        raise ValueError("now needs a time zone")
    if customers < 1 or not 0 <= (orders_per_customer or 0) < 1000:
        raise ValueError("customers must be 1 or more, orders_per_customer 0 to 999")
    values: dict[str, int | datetime] = {
        "now": now,
        "since": now - BUSINESS,
        "founded": now - 2 * BUSINESS,
        # With a fixed number of orders every customer is there before the first order.
        "joined": now - BUSINESS - (timedelta() if orders_per_customer is None else timedelta(days=710)),
        "seed": seed,
        "customers": customers,
        "orders": -1 if orders_per_customer is None else orders_per_customer,
        "sellers": max(6, min(18, customers // 30)),
        "products": PRODUCTS,
        "leads": max(FEWEST_LEADS, round(customers * LEADS_PER_CUSTOMER)),
    }
    run = _Run(connection, values, progress or (lambda step, done, total: None))
    nested = connection.is_in_transaction()
    async with connection.transaction():
        await connection.execute("SET LOCAL work_mem = '64MB'")
        await _load(run, customers, orders_per_customer, password_hash)
    run.progress("statistics", 0, 1)
    await connection.execute("ANALYZE" if nested else "VACUUM (ANALYZE)")
    run.progress("statistics", 1, 1)
    names = ("admin", "finance", "manager", "seller", "support", "marketing")
    admin, finance, manager, seller, support, marketer = (f"{name}@{DOMAIN}" for name in names)
    return DemoCompany(admin, finance, manager, seller, support, marketer, run.counts)


@dataclass
class _Run:
    connection: asyncpg.Connection
    values: dict[str, int | datetime]
    progress: Progress
    counts: dict[str, int] = field(default_factory=dict)

    @property
    def now(self) -> datetime:
        now = self.values["now"]
        assert isinstance(now, datetime)
        return now

    async def section(self, statements: list[str], **values: int) -> None:
        """Run statements with `:name` replaced by literals; count the rows that they insert into lasting tables."""
        for statement in statements:
            sql = re.sub(r"(?<!:):([a-z]+)\b", lambda match: _literal((self.values | values)[match[1]]), statement)
            tag = str(await self.connection.execute(sql)).split()
            inserted = re.search(r"^INSERT INTO (?!demo_)(\w+)", statement, re.MULTILINE)
            if inserted:
                self.count({inserted[1]: int(tag[2])})

    def count(self, made: Mapping[str, int]) -> None:
        for table, number in made.items():
            self.counts[table] = self.counts.get(table, 0) + number


def _literal(value: int | datetime) -> str:
    return f"({value})" if isinstance(value, int) else f"timestamptz '{value.isoformat()}'"


def _sections() -> dict[str, list[str]]:
    """The statements of `demo.sql` and the files beside it, by section."""
    sections: dict[str, list[str]] = {}
    for path in sorted(Path(__file__).parent.glob("demo*.sql")):
        parts = re.split(r"^-- name: (\w+)\n", path.read_text("utf-8"), flags=re.MULTILINE)
        for name, body in zip(parts[1::2], parts[2::2], strict=True):
            sections[name] = [statement for statement in body.split(";\n") if statement.strip()]
    return sections


async def _load(run: _Run, customers: int, orders_per_customer: int | None, password_hash: str) -> None:
    if await run.connection.fetchval("SELECT true FROM users WHERE lower(email) = $1", f"admin@{DOMAIN}"):
        raise errors.SetupError(f"The demo company is loaded already: admin@{DOMAIN} exists.")
    await run.connection.execute(COMPANYS_DAYS)
    sql = _sections()
    for section in ("functions", "tables", "words", "rates", "people", "catalog"):
        await run.section(sql[section])
    await run.connection.execute(
        "UPDATE users SET password_hash = $1 WHERE email LIKE '%@' || $2 AND password_hash IS NULL",
        password_hash,
        DOMAIN,
    )
    many = customers * (8 if orders_per_customer is None else orders_per_customer) >= MANY_ORDERS
    if many:
        await _enforce_foreign_keys(run, False)
    batches = [(n, min(n + CUSTOMERS_PER_BATCH - 1, customers)) for n in range(1, customers + 1, CUSTOMERS_PER_BATCH)]
    await _customers(run, sql["customers"], batches)
    sold = [statement for section in ("orders", "sold", "plans", "paid") for statement in sql[section]]
    await _orders(run, sold, batches, orders_per_customer)
    if orders_per_customer is None:
        await _money(run, sql)
        for done, section in enumerate(ACTIVITY):
            run.progress("activity", done, len(ACTIVITY))
            await run.section(sql[section])
        run.progress("activity", len(ACTIVITY), len(ACTIVITY))
    if many:
        await _enforce_foreign_keys(run, True)
    await run.section(sql["end"])


async def _customers(run: _Run, statements: list[str], batches: list[tuple[int, int]]) -> None:
    for first, last in batches:
        await run.section(statements, first=first, last=last)
        run.progress("customers", last, batches[-1][1])
    await run.connection.execute("ANALYZE demo_customers")


async def _orders(run: _Run, statements: list[str], batches: list[tuple[int, int]], fixed: int | None) -> None:
    rounds = [(1, 999)] if fixed is None else [(i, i) for i in range(1, fixed + 1)]
    done, total, analysed = 0, len(rounds) * batches[-1][1], 0
    for low, high in rounds:
        for batch, (first, last) in enumerate(batches):
            span = {"first": first, "last": last, "batch": batch, "batches": len(batches)}
            await run.section(statements, low=low, high=high, **span)
            await _book(run)
            done += last - first + 1
            if done >= 2 * analysed:  # nobody else does it before the commit, and plans for empty tables take hours
                await run.connection.execute(f"ANALYZE {BOOKED}")
                analysed = done
            run.progress("orders", done, total)


async def _money(run: _Run, sql: dict[str, list[str]]) -> None:
    tx = await _transaction(run)
    await run.section(sql["cases"] + sql["sold"])
    await _book(run)
    run.count(await demo_money.invoice(tx))
    await run.section(sql["receipts"] + sql["paid"])
    await _book(run)
    run.count(await demo_money.settle(tx, run.now))
    await _check(run)


async def _transaction(run: _Run) -> Transaction:
    return Transaction(run.connection, ZoneInfo(await run.connection.fetchval("SELECT timezone FROM companies")))


async def _book(run: _Run) -> None:
    """The batch's orders and payments in the books."""
    act = Act(await _transaction(run), system(lambda: run.now))
    for follow, table in ((revenue.follow, "demo_orders"), (receipts.follow, "demo_payments")):
        ids = [row["id"] for row in await run.connection.fetch(f"SELECT id FROM {table} ORDER BY customer_id, id")]
        for first in range(0, len(ids), BOOKED_AT_ONCE):
            await follow(act, ids[first : first + BOOKED_AT_ONCE])
    await _check(run)


async def _check(run: _Run) -> None:
    """Checks now what waits for the commit: later the tables change, which can't wait."""
    await run.connection.execute("SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED")


async def _enforce_foreign_keys(run: _Run, enforced: bool) -> None:
    """Stop checking foreign keys row by row, or check them all at once: the same guarantee in less time."""
    keys = await run.connection.fetch(
        "SELECT conrelid::regclass::text AS of, conname AS name FROM pg_constraint"
        " WHERE contype = 'f' AND conparentid = 0 AND connamespace = current_schema()::regnamespace AND conenforced <> $1 ORDER BY 1, 2",
        enforced,
    )
    for done, key in enumerate(keys, 1):
        word = "ENFORCED" if enforced else "NOT ENFORCED"
        await run.connection.execute(f'ALTER TABLE {key["of"]} ALTER CONSTRAINT "{key["name"]}" {word}')
        if enforced:
            run.progress("foreign keys", done, len(keys))
