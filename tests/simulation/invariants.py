"""What must hold after every step, whatever happened: each statement answers the rows that break it."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import asyncpg

NET = "sum(CASE WHEN undoes_id IS NULL THEN amount ELSE -amount END)"
# Parameter: owners.
WRONG = {
    "an open item is below zero, or has a rest in base currency alone": """
        SELECT id FROM open_items WHERE owner_id = ANY ($1) AND (open < 0 OR free < 0 OR base < 0 OR open = 0 AND base <> 0)""",
    "a balance is not the sum of its items": """
        SELECT * FROM (
            SELECT owner_id, purpose, currency, sum(debit - credit) AS balance, sum(base) AS base FROM balances
            WHERE owner_id = ANY ($1) AND purpose IN ('RECEIVABLE', 'UNEARNED', 'CREDIT', 'DISPUTED') GROUP BY 1, 2, 3
        ) b FULL JOIN (
            SELECT owner_id, purpose, currency, sum(open) AS open, sum(base) AS base FROM open_items
            WHERE owner_id = ANY ($1) GROUP BY 1, 2, 3
        ) i USING (owner_id, purpose, currency)
        WHERE abs(coalesce(b.balance, 0)) <> coalesce(i.open, 0) OR abs(coalesce(b.base, 0)) <> coalesce(i.base, 0)""",
    "the books do not balance": """
        SELECT owner_id, sum(base) FROM balances WHERE owner_id = ANY ($1)
        GROUP BY 1 HAVING sum(debit) <> sum(credit) OR sum(base) <> 0""",
    "an order is owed or settled, and not committed": """
        SELECT o.id FROM orders o JOIN open_items i ON i.customer_id = o.customer_id AND i.order_id = o.id
        WHERE o.customer_id = ANY ($1) AND NOT o.committed AND i.purpose = 'RECEIVABLE' AND (i.open <> 0 OR i.settled <> 0)""",
    "a committed order has no revenue record of its figures": """
        SELECT o.id FROM orders o WHERE customer_id = ANY ($1) AND committed AND NOT EXISTS (
            SELECT FROM revenue_records r WHERE r.customer_id = o.customer_id AND r.order_id = o.id
                AND r.revision = o.revenue_revision AND r.total_amount = o.total_amount)""",
    "what is allocated to an order is not what is settled of it": f"""
        SELECT o.id FROM orders o LEFT JOIN (
            SELECT order_id, {NET} AS amount FROM allocations WHERE customer_id = ANY ($1) GROUP BY 1
        ) a ON a.order_id = o.id LEFT JOIN (
            SELECT order_id, sum(settled) AS settled FROM open_items WHERE customer_id = ANY ($1) GROUP BY 1
        ) i ON i.order_id = o.id
        WHERE o.customer_id = ANY ($1) AND coalesce(a.amount, 0) <> coalesce(i.settled, 0)""",
    "a payment is in the books twice, or not at all": """
        SELECT p.id FROM payments p WHERE customer_id = ANY ($1) AND (status = 'RECEIVED') IS DISTINCT FROM EXISTS (
            SELECT FROM ledger_entries e WHERE e.owner_id = p.customer_id AND e.kind = 'payment.received' AND e.source_id = p.id)""",
    "an entry has no event": """
        SELECT e.id FROM ledger_entries e WHERE owner_id = ANY ($1)
            AND NOT EXISTS (SELECT FROM events WHERE subject_id = e.source_id)""",
}


async def check(database: asyncpg.Connection, owners: Sequence[UUID]) -> list[str]:
    """What does not hold, in one statement."""
    parts = [
        f"SELECT {number} AS rule, count(*) AS rows FROM ({sql}) AS broken" for number, sql in enumerate(WRONG.values())
    ]
    rows = await database.fetch(" UNION ALL ".join(parts), list(owners))
    names = list(WRONG)
    return [f"{names[row['rule']]} ({row['rows']} rows)" for row in rows if row["rows"]]
