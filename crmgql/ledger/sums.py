"""Balances and open items as their postings make them, compared with what is kept.

One statement reads a range of owners, groups their postings, and answers only what differs. It names every table with its
schema and uses functions of PostgreSQL alone, so that it can run with no other schema in the search path.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import asyncpg

BALANCE = ("debit", "credit", "base", "pending_debit", "pending_credit")
ITEM = ("debited", "credited", "debiting", "crediting", "settled", "base")
FACTS = ("customer_id", "opened_on", "due_on", "due_on")
MOST = 100
"""Differences that are told of each range."""

SETTLING = "NOT IN ('RECEIVABLE', 'REVENUE', 'DEFERRED', 'SHIPPING', 'TAX', 'REFUNDS', 'OPENING')"
"""What takes money, credit or a write-off off a receivable: `settled` counts it."""


def _touched(side: str, other: str) -> str:
    """The items on one side of postings, with their sums. Grouping each side alone takes less than grouping both together."""
    return f"""
    SELECT owner_id, {side}_item_id AS item_id, {side} AS purpose, currency, sum(amount) AS amount, sum(base_amount) AS base,
        sum(amount) FILTER (WHERE {side} = 'RECEIVABLE' AND {other} {SETTLING}) AS settled, min(effective_on) AS first_on,
        min({side}_due_on) AS first_due_on, max({side}_due_on) AS last_due_on
    FROM public.postings
    WHERE owner_id BETWEEN $1 AND $2 AND phase = 'POSTED' AND {side}_item_id IS NOT NULL GROUP BY 1, 2, 3, 4"""


# Parameters: the first and the last owner, the most rows.
DIFFERENCES = f"""
WITH pending AS MATERIALIZED (
    SELECT * FROM public.postings AS p
    WHERE owner_id BETWEEN $1 AND $2 AND phase = 'PENDING' AND NOT EXISTS (
        SELECT FROM public.ledger_entries AS ended WHERE ended.owner_id = p.owner_id AND ended.resolves_id = p.entry_id)
), moved AS (
    SELECT owner_id, debit, credit, currency, sum(amount) AS amount, sum(base_amount) AS base, 0 AS pending
    FROM public.postings WHERE owner_id BETWEEN $1 AND $2 AND phase = 'POSTED' GROUP BY 1, 2, 3, 4
    UNION ALL SELECT owner_id, debit, credit, currency, 0, 0, sum(amount) FROM pending GROUP BY 1, 2, 3, 4
), derived AS (
    SELECT owner_id, side.purpose, currency, sum(side.debit) AS debit, sum(side.credit) AS credit, sum(side.base) AS base,
        sum(side.pending_debit) AS pending_debit, sum(side.pending_credit) AS pending_credit
    FROM moved CROSS JOIN LATERAL (
        VALUES (debit, amount, 0 * amount, base, pending, 0), (credit, 0 * amount, amount, -base, 0, pending)
    ) AS side(purpose, debit, credit, base, pending_debit, pending_credit)
    GROUP BY 1, 2, 3
), asked AS (
    SELECT owner_id, item_id, side.purpose, currency, sum(debiting) AS debiting, sum(crediting) AS crediting,
        min(effective_on) AS first_on, min(due_on) AS first_due_on, max(due_on) AS last_due_on
    FROM pending CROSS JOIN LATERAL (
        VALUES (debit_item_id, debit, amount, 0 * amount, debit_due_on), (credit_item_id, credit, 0 * amount, amount, credit_due_on)
    ) AS side(item_id, purpose, debiting, crediting, due_on)
    WHERE item_id IS NOT NULL GROUP BY 1, 2, 3, 4
), debits AS ({_touched("debit", "credit")}
), credits AS ({_touched("credit", "debit")}
), parts AS (
    SELECT owner_id, item_id, purpose, currency, coalesce(debits.amount, 0) AS debited, coalesce(credits.amount, 0) AS credited,
        coalesce(debiting, 0) AS debiting, coalesce(crediting, 0) AS crediting,
        coalesce(credits.settled, 0) - coalesce(debits.settled, 0) AS settled,
        coalesce(debits.base, 0) - coalesce(credits.base, 0) AS base,
        least(debits.first_on, credits.first_on, asked.first_on) AS first_on,
        least(debits.first_due_on, credits.first_due_on, asked.first_due_on) AS first_due_on,
        greatest(debits.last_due_on, credits.last_due_on, asked.last_due_on) AS last_due_on
    FROM debits FULL JOIN credits USING (owner_id, item_id, purpose, currency)
    FULL JOIN asked USING (owner_id, item_id, purpose, currency)
), kept AS (
    SELECT owner_id, purpose, currency, sum(debit) AS debit, sum(credit) AS credit, sum(base) AS base,
        sum(pending_debit) AS pending_debit, sum(pending_credit) AS pending_credit
    FROM public.balances WHERE owner_id BETWEEN $1 AND $2 GROUP BY owner_id, purpose, currency
), balances AS (
    SELECT owner_id, NULL::uuid AS item_id, purpose, currency, false AS missing, ARRAY[coalesce(kept.debit, 0), coalesce(kept.credit, 0),
            coalesce(kept.base, 0), coalesce(kept.pending_debit, 0), coalesce(kept.pending_credit, 0)] AS kept,
        ARRAY[coalesce(derived.debit, 0), coalesce(derived.credit, 0), coalesce(derived.base, 0), coalesce(derived.pending_debit, 0),
            coalesce(derived.pending_credit, 0)] AS derived, '{{}}'::text[] AS told, '{{}}'::text[] AS posted
    FROM kept FULL JOIN derived USING (owner_id, purpose, currency)
), items AS (
    SELECT owner_id, item_id, purpose, currency, item.id IS NULL AS missing,
        ARRAY[item.debited, item.credited, item.debiting, item.crediting, item.settled, item.base] AS kept,
        ARRAY[coalesce(parts.debited, 0), coalesce(parts.credited, 0), coalesce(parts.debiting, 0), coalesce(parts.crediting, 0),
            coalesce(parts.settled, 0),
            coalesce(CASE WHEN purpose IN ('RECEIVABLE', 'DISPUTED') THEN parts.base ELSE -parts.base END, 0)] AS derived,
        ARRAY[item.customer_id::text, item.opened_on::text, item.due_on::text, item.due_on::text] AS told,
        ARRAY[CASE WHEN NOT EXISTS (SELECT FROM public.books WHERE company_id = joined.owner_id) THEN owner_id END::text,
            CASE WHEN item.opened_on = first_on OR first_on IS NULL OR EXISTS (
                SELECT FROM public.postings AS p WHERE p.debit_item_id = joined.item_id AND p.effective_on = item.opened_on
            ) OR EXISTS (
                SELECT FROM public.postings AS p WHERE p.credit_item_id = joined.item_id AND p.effective_on = item.opened_on
            ) THEN item.opened_on ELSE first_on END::text,
            CASE WHEN first_on IS NULL THEN item.due_on ELSE first_due_on END::text,
            CASE WHEN first_on IS NULL THEN item.due_on ELSE last_due_on END::text] AS posted
    FROM (SELECT *, id AS item_id FROM public.open_items WHERE owner_id BETWEEN $1 AND $2) AS item
    FULL JOIN parts USING (owner_id, item_id, purpose, currency) AS joined
), compared AS (SELECT * FROM balances UNION ALL SELECT * FROM items)
SELECT owner_id, item_id, purpose, currency, missing, kept, derived, told, posted FROM compared
WHERE kept <> derived OR told IS DISTINCT FROM posted
ORDER BY 1, 2 NULLS FIRST, 3, 4 LIMIT $3"""


@dataclass(frozen=True, slots=True)
class Difference:
    """A balance, or an open item, and what of it is not what its postings make: column → (kept, derived)."""

    owner: str
    item: str | None
    purpose: str
    currency: str
    missing: bool
    columns: dict[str, tuple[Any, Any]]

    @property
    def subject(self) -> str:
        account = f"{self.purpose} in {self.currency}"
        return f"open item {self.item}, {account}" if self.item else f"balance {account}"

    @property
    def words(self) -> str:
        if self.missing:
            return f"{self.subject}: postings name it, and it is not there"
        told = (f"{name} is {kept}, its postings say {derived}" for name, (kept, derived) in self.columns.items())
        return f"{self.subject}: {'; '.join(told)}"


async def differences(connection: asyncpg.Connection, first: str, last: str, *, most: int = MOST) -> list[Difference]:
    """Up to `most` differences of the owners from `first` to `last`, both included."""
    return [_difference(row) for row in await connection.fetch(DIFFERENCES, first, last, most)]


def _difference(row: asyncpg.Record) -> Difference:
    item = row["item_id"]
    columns: dict[str, tuple[Any, Any]] = {}
    for names, kept, derived in (
        (BALANCE if item is None else ITEM, row["kept"], row["derived"]),
        (FACTS, row["told"], row["posted"]),
    ):
        columns |= {name: (one, other) for name, one, other in zip(names, kept, derived, strict=False) if one != other}
    return Difference(
        str(row["owner_id"]), item and str(item), row["purpose"], row["currency"], row["missing"], columns
    )
