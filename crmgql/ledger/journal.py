"""Writes the journal for an accountant's system: opening balances, then two lines for each posting, with codes of accounts.

Enters: a connection that sees one snapshot. What is written streams from the database: memory does not grow with the books.
Always holds: debits equal credits, in each currency and in base currency; opening balances and lines add up to the trial balance
of the last day.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any, BinaryIO

import asyncpg

# Parameters: the first day.
OPENING = """
SELECT $1::date AS day, NULL::uuid AS entry, NULL::integer AS line, 'opening'::text AS kind, NULL::text AS document,
    NULL::uuid AS customer_id, NULL::text AS customer, sums.purpose AS account, code.code, code.name, sums.currency,
    greatest(sums.amount, 0 * sums.amount)::text AS debit, greatest(-sums.amount, 0 * sums.amount)::text AS credit,
    book.currency AS base_currency, greatest(sums.base, 0 * sums.base)::text AS base_debit, greatest(-sums.base, 0 * sums.base)::text AS base_credit
FROM (
    SELECT purpose, currency, sum(amount) AS amount, sum(base) AS base FROM (
        SELECT debit AS purpose, currency, amount, base_amount AS base FROM public.postings
        WHERE phase = 'POSTED' AND effective_on < $1::date
        UNION ALL
        SELECT credit, currency, -amount, -base_amount FROM public.postings WHERE phase = 'POSTED' AND effective_on < $1::date
    ) AS sides GROUP BY 1, 2 HAVING sum(amount) <> 0 OR sum(base) <> 0
) AS sums CROSS JOIN public.books AS book
LEFT JOIN public.account_codes AS code ON code.company_id = book.company_id AND code.purpose = sums.purpose
ORDER BY account, currency"""
# Parameters: the first and the last day.
LINES = """
SELECT p.effective_on AS day, p.entry_id AS entry, 2 * p.n - 1 + side.credits AS line, e.kind,
    coalesce(o.number, paid.reference, paid.provider_reference, e.source_type || ' ' || e.source_id) AS document,
    e.customer_id, c.name AS customer, side.account, code.code, code.name, p.currency,
    (p.amount * (1 - side.credits))::text AS debit, (p.amount * side.credits)::text AS credit, p.base_currency,
    (p.base_amount * (1 - side.credits))::text AS base_debit, (p.base_amount * side.credits)::text AS base_credit
FROM public.postings AS p
JOIN public.ledger_entries AS e ON e.owner_id = p.owner_id AND e.id = p.entry_id
CROSS JOIN LATERAL (VALUES (p.debit, 0), (p.credit, 1)) AS side (account, credits)
LEFT JOIN public.account_codes AS code ON code.company_id = e.company_id AND code.purpose = side.account
LEFT JOIN public.customers AS c ON c.id = e.customer_id
LEFT JOIN public.orders AS o ON e.source_type = 'Order' AND o.id = e.source_id
LEFT JOIN public.payments AS paid ON e.source_type = 'Payment' AND paid.id = e.source_id
WHERE p.phase = 'POSTED' AND p.effective_on >= $1::date AND p.effective_on <= $2::date
ORDER BY p.effective_on, p.entry_id, p.n, side.credits"""
PLAIN: dict[str, Any] = {"format": "csv", "quote": "\x01", "delimiter": "\x02"}
"""Lines as they are: JSON has no such characters."""


@dataclass(frozen=True, slots=True)
class Written:
    opening: int
    lines: int


async def write(
    connection: asyncpg.Connection, file: BinaryIO, *, first: date | None, last: date | None, is_json: bool = False
) -> Written:
    """Writes the days from `first` to `last`, both included; without `first` from the beginning, without opening balances."""

    async def take(data: bytes) -> None:
        file.write(data)

    async def copy(sql: str, *days: date, header: bool) -> int:
        if is_json:
            sql, options = f"SELECT to_json(journal) FROM ({sql}) AS journal", PLAIN
            done = await connection.copy_from_query(sql, *days, output=take, **options)
        else:
            done = await connection.copy_from_query(sql, *days, output=take, format="csv", header=header)
        return int(done.removeprefix("COPY "))

    opening = await copy(OPENING, first or date.min, header=True)
    return Written(opening, await copy(LINES, first or date.min, last or date.max, header=False))
