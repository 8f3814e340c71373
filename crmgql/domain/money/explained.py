"""How much of all money is explained: of what was received, what became of it, by the postings.

Always holds, in each currency: received = allocated + credit + unearned + refunded + disputed + suspense.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from crmgql import access
from crmgql.db import Database
from crmgql.errors import Forbidden
from crmgql.records import money
from crmgql.records.records import Row
from crmgql.viewer import Viewer

PARTS = ("received", "allocated", "credit", "unearned", "refunded", "disputed", "suspense", "clearing")
# What is held for somebody or nobody, and each posting between that and something else, as more or less of it. What is neither money
# nor disputed is what was settled with it: orders, invoices, other currencies, differences of rates, less what was credited of them.
EXPLAINED = """
WITH moves AS (
    SELECT p.currency, CASE WHEN out THEN p.debit ELSE p.credit END AS held, CASE WHEN out THEN p.credit ELSE p.debit END AS other,
        CASE WHEN out THEN -p.amount ELSE p.amount END AS amount, p.owner_id, p.entry_id
    FROM postings p CROSS JOIN (VALUES (true), (false)) AS side(out)
    WHERE p.phase = 'POSTED' AND CASE WHEN out THEN p.debit ELSE p.credit END IN ('UNEARNED', 'CREDIT', 'SUSPENSE') AND p.amount > 0
), sums AS (
    SELECT currency, held, CASE WHEN other NOT IN ('BANK', 'CLEARING') THEN other
            WHEN e.source_type = 'Refund' THEN 'REFUND' ELSE 'MONEY' END AS other, sum(amount) AS amount
    FROM moves LEFT JOIN ledger_entries e ON other IN ('BANK', 'CLEARING') AND e.owner_id = moves.owner_id AND e.id = moves.entry_id
    GROUP BY 1, 2, 3
), figures AS (
    SELECT currency, sum(amount) FILTER (WHERE other = 'MONEY') AS received, -sum(amount) FILTER (WHERE other = 'REFUND') AS refunded,
        -sum(amount) FILTER (WHERE other = 'DISPUTED') AS disputed,
        -sum(amount) FILTER (WHERE other NOT IN ('MONEY', 'REFUND', 'DISPUTED', 'UNEARNED', 'CREDIT', 'SUSPENSE')) AS allocated,
        sum(amount) FILTER (WHERE held = 'CREDIT') AS credit, sum(amount) FILTER (WHERE held = 'UNEARNED') AS unearned,
        sum(amount) FILTER (WHERE held = 'SUSPENSE') AS suspense
    FROM sums GROUP BY currency
), lying AS (
    SELECT currency, sum(debit - credit) AS clearing FROM balances WHERE purpose = 'CLEARING' GROUP BY currency
), oldest AS (
    SELECT currency, min(opened_on) AS day FROM open_items WHERE purpose IN ('UNEARNED', 'SUSPENSE') AND open > 0 GROUP BY currency
)
SELECT * FROM figures FULL JOIN lying USING (currency) LEFT JOIN oldest USING (currency) ORDER BY currency"""


async def money_explained(database: Database, viewer: Viewer) -> list[Row]:
    """A row for each currency: what became of the money. Explained is what is neither unearned nor in suspense; `explainedShare`
    is null where nothing was received.

    Raises `Forbidden` without `reconciliation.read`.
    """
    access.require_read(viewer.who, "ReconciliationRun")
    if not access.may(viewer.who, "reconciliation.read"):
        raise Forbidden("How much money is explained takes the permission reconciliation.read.")
    async with database.snapshot() as connection:
        rows = await connection.fetch(EXPLAINED)
    return [_shown(row) for row in rows]


def _shown(row: Any) -> Row:
    currency = row["currency"]
    amounts = {name: money.rounded(row[name] or Decimal(0), currency) for name in PARTS}
    received = amounts["received"]
    unexplained = amounts["unearned"] + amounts["suspense"]
    return {
        "currency": currency,
        **{name: {"amount": amount, "currency": currency} for name, amount in amounts.items()},
        "explainedShare": round(1 - unexplained / received, 6) if received > 0 else None,
        "oldestUnexplainedOn": row["day"],
    }
