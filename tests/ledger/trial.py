"""The trial balance, as of a day: from the postings, and of the whole from what triggers keep."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from uuid import UUID

import asyncpg

from crmgql.ledger.rules import RULES

AS_OF = """
WITH sides AS (
    SELECT debit AS purpose, currency, amount, base_amount AS base FROM postings WHERE phase = 'POSTED' AND effective_on <= $1
    UNION ALL
    SELECT credit, currency, -amount, -base_amount FROM postings WHERE phase = 'POSTED' AND effective_on <= $1
)
SELECT purpose, currency, sum(amount) AS amount, sum(base) AS base FROM sides
GROUP BY 1, 2 HAVING sum(amount) <> 0 OR sum(base) <> 0 ORDER BY 1, 2"""
KEPT = """
SELECT purpose, currency, sum(debit) - sum(credit) AS amount, sum(base) AS base FROM balances
GROUP BY 1, 2 HAVING sum(debit) <> sum(credit) OR sum(base) <> 0 ORDER BY 1, 2"""

Balances = dict[tuple[str, str], tuple[Decimal, Decimal]]
"""By purpose and currency: debits minus credits over all owners, and the same in base currency."""


async def as_of(database: asyncpg.Connection, day: date) -> Balances:
    return _balanced(await database.fetch(AS_OF, day))


async def balanced(database: asyncpg.Connection) -> None:
    """Fails unless all accounts together are zero, in each currency and in base currency; kept sums are those of postings; so are standings."""
    assert _balanced(await database.fetch(KEPT)) == await as_of(database, date.max)
    (standings,) = [rule for rule in RULES if rule.name == "standings"]
    assert await database.fetch(standings.sql, UUID(int=0), UUID(int=2**128 - 1), 10) == []


def _balanced(rows: list[asyncpg.Record]) -> Balances:
    found = {(row["purpose"], row["currency"]): (row["amount"], row["base"]) for row in rows}
    assert sum(base for _, base in found.values()) == 0
    for currency in {currency for _, currency in found}:
        assert sum(amount for (_, of), (amount, _) in found.items() if of == currency) == 0
    return found
