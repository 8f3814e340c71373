"""4,238 real won deals under a plan of 3.75 %: each seller's commissions, and all of them, to the cent."""

from __future__ import annotations

import csv
import json
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from uuid import UUID
from zoneinfo import ZoneInfo

import asyncpg
import pytest_asyncio

from crmgql import db
from crmgql.domain.compensation import rankings
from crmgql.domain.sales import revenue
from crmgql.schema import build
from tests.conftest import viewer
from tests.domain import work
from tests.domain.compensation.paying import assign, plan, posted
from tests.ledger.conftest import acting

ORDERS = """
WITH deals AS (SELECT * FROM jsonb_to_recordset($1) AS d(id uuid, customer text, seller text, at timestamptz, amount numeric)), made AS (
    INSERT INTO orders (id, customer_id, seller_id, status, currency, subtotal_amount, shipping_amount, tax_amount, discount_amount, total_amount,
        ordered_at, confirmed_at)
    SELECT d.id, c.id, u.id, 'CONFIRMED', 'USD', amount, 0.00, 0.00, 0.00, amount, at, at
    FROM deals d JOIN customers c ON c.name = d.customer JOIN users u ON u.name = d.seller RETURNING id, customer_id
)
SELECT id FROM made"""
TOTALS = "SELECT u.name, sum(c.amount) AS amount FROM commissions c JOIN users u ON u.id = c.seller_id GROUP BY u.name"
FIRST = date(2016, 1, 1)
FINANCE = viewer(UUID(int=1), "FINANCE")
OTHERWISE = "SELECT count(*) FROM commissions WHERE attained_before + base_amount <> attained_after"


@pytest_asyncio.fixture(autouse=True)
async def declared() -> None:
    assert build.built()


async def test_won_deals_pay_what_they_should(
    crm: db.Database, database: asyncpg.Connection, shared_data: Path
) -> None:
    folder = shared_data / "crm_maven"
    totals = json.loads((folder / "totals.json").read_text("utf-8"))
    with (folder / "sales_pipeline.csv").open(encoding="utf-8") as file:
        won = [row for row in csv.DictReader(file) if row["deal_stage"] == "Won"]
    sellers = {name: await work.user(database, name) for name in sorted({row["sales_agent"] for row in won})}
    for name in {row["account"] for row in won}:
        await work.insert(database, "customers", name=name, currency="USD")
    of = await plan(database, ("0", None, "0.0375"), measure="BOOKED", period="YEAR", starts_on=FIRST)
    await assign(database, of, *sellers.values(), starts_on=FIRST)
    async with acting(crm) as act:
        deals = [
            {
                "id": await act.tx.connection.fetchval("SELECT uuidv7()"),
                "customer": row["account"],
                "seller": row["sales_agent"],
                "at": datetime.combine(
                    date.fromisoformat(row["close_date"]), datetime.min.time(), ZoneInfo("UTC")
                ).isoformat(),
                "amount": f"{row['close_value']}.00",
            }
            for row in won
        ]
        ids = [row["id"] for row in await act.tx.connection.fetch(ORDERS, json.dumps(deals, default=str))]
        await revenue.follow(act, ids)
    assert len(ids) == 4238
    assert await posted(crm) == 4238
    found = {row["name"]: str(row["amount"]) for row in await database.fetch(TOTALS)}
    assert found == totals["commission_3.75pct_per_deal_half_up_by_agent"]
    assert str(sum(map(Decimal, found.values()))) == totals["commission_3.75pct_half_up_total"] == "375212.71"
    assert await database.fetchval(OTHERWISE) == 0
    ranks = await rankings.leaderboard(crm, FINANCE, since=FIRST, until=date(2017, 12, 31))
    assert len(ranks) == len(sellers)
    assert sum(each["attained"]["amount"] for each in ranks) == Decimal(totals["won_close_value_total"])
    assert sum(each["earned"]["amount"] for each in ranks) == Decimal("375212.71")
    await database.execute("UPDATE commission_accounts SET dirty_on = '2016-01-01'")
    assert await posted(crm) == 0
