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

# Parameters: the first and the last owner, the most rows. `settled` is what money, credit or a write-off took off a receivable.
DIFFERENCES = """
WITH sides AS (
    SELECT p.owner_id, side.purpose, p.currency, side.item_id, side.due_on, p.effective_on, side.debit, side.credit, side.base,
        p.phase = 'POSTED' AS posted, side.purpose = 'RECEIVABLE' AND side.other NOT IN (
            'RECEIVABLE', 'REVENUE', 'DEFERRED', 'SHIPPING', 'TAX', 'REFUNDS', 'OPENING') AS settles
    FROM public.postings AS p
    LEFT JOIN public.ledger_entries AS ended
        ON p.phase = 'PENDING' AND ended.owner_id = p.owner_id AND ended.resolves_id = p.entry_id
    CROSS JOIN LATERAL (VALUES
        (p.debit, p.debit_item_id, p.debit_due_on, p.credit, p.amount, 0 * p.amount, p.base_amount),
        (p.credit, p.credit_item_id, p.credit_due_on, p.debit, 0 * p.amount, p.amount, -p.base_amount)
    ) AS side(purpose, item_id, due_on, other, debit, credit, base)
    WHERE p.owner_id BETWEEN $1 AND $2 AND ended.id IS NULL
), parts AS MATERIALIZED (
    SELECT owner_id, purpose, currency, item_id, min(effective_on) AS first_on, min(due_on) AS first_due_on, max(due_on) AS last_due_on,
        coalesce(sum(debit) FILTER (WHERE posted), 0) AS debit, coalesce(sum(credit) FILTER (WHERE posted), 0) AS credit,
        coalesce(sum(base) FILTER (WHERE posted), 0) AS base,
        coalesce(sum(debit) FILTER (WHERE NOT posted), 0) AS pending_debit,
        coalesce(sum(credit) FILTER (WHERE NOT posted), 0) AS pending_credit,
        coalesce(sum(credit - debit) FILTER (WHERE posted AND settles), 0) AS settled
    FROM sides GROUP BY owner_id, purpose, currency, item_id
), derived AS (
    SELECT owner_id, purpose, currency, sum(debit) AS debit, sum(credit) AS credit, sum(base) AS base,
        sum(pending_debit) AS pending_debit, sum(pending_credit) AS pending_credit
    FROM parts GROUP BY owner_id, purpose, currency
), kept AS (
    SELECT owner_id, purpose, currency, sum(debit) AS debit, sum(credit) AS credit, sum(base) AS base,
        sum(pending_debit) AS pending_debit, sum(pending_credit) AS pending_credit
    FROM public.balances WHERE owner_id BETWEEN $1 AND $2 GROUP BY owner_id, purpose, currency
), balances AS (
    SELECT owner_id, NULL::uuid AS item_id, purpose, currency, false AS missing, ARRAY[coalesce(kept.debit, 0), coalesce(kept.credit, 0),
            coalesce(kept.base, 0), coalesce(kept.pending_debit, 0), coalesce(kept.pending_credit, 0)] AS kept,
        ARRAY[coalesce(derived.debit, 0), coalesce(derived.credit, 0), coalesce(derived.base, 0), coalesce(derived.pending_debit, 0),
            coalesce(derived.pending_credit, 0)] AS derived, '{}'::text[] AS told, '{}'::text[] AS posted
    FROM kept FULL JOIN derived USING (owner_id, purpose, currency)
), items AS (
    SELECT owner_id, item_id, purpose, currency, item.id IS NULL AS missing,
        ARRAY[item.debited, item.credited, item.debiting, item.crediting, item.settled, item.base] AS kept,
        ARRAY[coalesce(debit, 0), coalesce(credit, 0), coalesce(pending_debit, 0), coalesce(pending_credit, 0), coalesce(parts.settled, 0),
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
    FULL JOIN (SELECT * FROM parts WHERE item_id IS NOT NULL) AS parts USING (owner_id, item_id, purpose, currency) AS joined
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
