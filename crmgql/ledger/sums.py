"""Balances and open items as their postings make them, compared with what is kept.

Two statements read a range of owners, group their postings, and answer only what differs. They name every table with its
schema and use functions of PostgreSQL alone, so that they can run with no other schema in the search path.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import asyncpg

BALANCE = ("debit", "credit", "base", "pending_debit", "pending_credit")
SUMS = ("debited", "credited", "debiting", "crediting", "settled", "base")
SETTLING = "NOT IN ('RECEIVABLE', 'REVENUE', 'DEFERRED', 'SHIPPING', 'TAX', 'REFUNDS', 'OPENING')"
"""What takes money, credit or a write-off off a receivable: `settled` counts it."""

MOST = 100
"""Differences of each kind that are told of a range."""

PENDING = """
pending AS MATERIALIZED (
    SELECT * FROM public.postings AS p
    WHERE owner_id BETWEEN $1 AND $2 AND phase = 'PENDING' AND NOT EXISTS (
        SELECT FROM public.ledger_entries AS ended WHERE ended.owner_id = p.owner_id AND ended.resolves_id = p.entry_id)
)"""

# Parameters of both: the first and the last owner, the most rows. Columns that end in _is are kept, those without are derived.
BALANCES = f"""
WITH {PENDING}, moved AS (
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
), kept AS (
    SELECT owner_id, purpose, currency, sum(debit) AS debit, sum(credit) AS credit, sum(base) AS base,
        sum(pending_debit) AS pending_debit, sum(pending_credit) AS pending_credit
    FROM public.balances WHERE owner_id BETWEEN $1 AND $2 GROUP BY owner_id, purpose, currency
)
SELECT * FROM (
    SELECT owner_id, purpose, currency,
        {", ".join(f"coalesce({name}_part.{column}, 0) AS {column}{end}" for name, end in (("kept", "_is"), ("derived", "")) for column in BALANCE)}
    FROM kept AS kept_part FULL JOIN derived AS derived_part USING (owner_id, purpose, currency)
) AS compared
WHERE ({", ".join(f"{column}_is" for column in BALANCE)}) <> ({", ".join(BALANCE)})
ORDER BY owner_id, purpose, currency LIMIT $3"""


def _touched(side: str, other: str) -> str:
    """The items on one side of postings, with their sums. Grouping each side alone takes less than grouping both together."""
    return f"""
    SELECT owner_id, {side}_item_id AS item_id, {side} AS purpose, currency, sum(amount) AS amount, sum(base_amount) AS base,
        sum(amount) FILTER (WHERE {side} = 'RECEIVABLE' AND {other} {SETTLING}) AS settled,
        min({side}_due_on) AS due_on, max({side}_due_on) AS last_due_on
    FROM public.postings
    WHERE owner_id BETWEEN $1 AND $2 AND phase = 'POSTED' AND {side}_item_id IS NOT NULL GROUP BY 1, 2, 3, 4"""


FACTS = ("owner_id", "purpose", "currency", "customer_id", "due_on")
ITEMS = f"""
WITH {PENDING}, asked AS (
    SELECT owner_id, item_id, side.purpose, currency, sum(debiting) AS debiting, sum(crediting) AS crediting,
        min(due_on) AS due_on, max(due_on) AS last_due_on
    FROM pending CROSS JOIN LATERAL (
        VALUES (debit_item_id, debit, amount, 0 * amount, debit_due_on), (credit_item_id, credit, 0 * amount, amount, credit_due_on)
    ) AS side(item_id, purpose, debiting, crediting, due_on)
    WHERE item_id IS NOT NULL GROUP BY 1, 2, 3, 4
), debits AS ({_touched("debit", "credit")}
), credits AS ({_touched("credit", "debit")}
), parts AS (
    SELECT item_id, {", ".join(f"coalesce(debits.{name}, credits.{name}, asked.{name}) AS {name}" for name in FACTS[:3])},
        coalesce(debits.amount, 0) AS debited, coalesce(credits.amount, 0) AS credited, coalesce(debiting, 0) AS debiting,
        coalesce(crediting, 0) AS crediting, coalesce(credits.settled, 0) - coalesce(debits.settled, 0) AS settled,
        coalesce(debits.base, 0) - coalesce(credits.base, 0) AS base,
        least(debits.due_on, credits.due_on, asked.due_on) AS due_on,
        greatest(debits.last_due_on, credits.last_due_on, asked.last_due_on) AS last_due_on
    FROM debits FULL JOIN credits USING (item_id) FULL JOIN asked USING (item_id)
), compared AS (
    SELECT item.id, coalesce(item.id, parts.item_id) AS item_id, parts.item_id IS NOT NULL AS is_posted, parts.last_due_on,
        {", ".join(f"item.{name} AS {name}_is" for name in (*FACTS, *SUMS))}, parts.owner_id, parts.purpose, parts.currency,
        CASE WHEN books.company_id IS NULL THEN item.owner_id END AS customer_id, parts.due_on,
        {", ".join(f"coalesce(parts.{name}, 0) AS {name}" for name in SUMS[:-1])},
        coalesce(CASE WHEN parts.purpose IN ('RECEIVABLE', 'DISPUTED') THEN parts.base ELSE -parts.base END, 0) AS base
    FROM (SELECT * FROM public.open_items WHERE owner_id BETWEEN $1 AND $2) AS item
    FULL JOIN parts ON parts.item_id = item.id LEFT JOIN public.books ON books.company_id = item.owner_id
)
SELECT * FROM compared
WHERE id IS NULL OR ({", ".join(f"{name}_is" for name in SUMS)}) <> ({", ".join(SUMS)}) OR customer_id_is IS DISTINCT FROM customer_id
    OR is_posted AND (
        (owner_id_is, purpose_is, currency_is) <> (owner_id, purpose, currency)
        OR due_on_is IS DISTINCT FROM due_on OR due_on_is IS DISTINCT FROM last_due_on)
ORDER BY item_id LIMIT $3"""


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
    """Up to `most` balances and as many items that differ, of the owners from `first` to `last`, both included."""
    balances = await connection.fetch(BALANCES, first, last, most)
    items = await connection.fetch(ITEMS, first, last, most)
    return [*(_difference(row, BALANCE) for row in balances), *(_item(row) for row in items)]


def _difference(row: asyncpg.Record, names: Sequence[str], item: str | None = None) -> Difference:
    different = {name: (row[f"{name}_is"], row[name]) for name in names if row[f"{name}_is"] != row[name]}
    return Difference(str(row["owner_id"]), item, row["purpose"], row["currency"], False, different)


def _item(row: asyncpg.Record) -> Difference:
    id = str(row["item_id"])
    if row["id"] is None:
        return Difference(str(row["owner_id"]), id, row["purpose"], row["currency"], True, {})
    found = _difference(row, (*FACTS, *SUMS) if row["is_posted"] else ("customer_id", *SUMS), id)
    return replace(found, owner=str(row["owner_id_is"]), purpose=row["purpose_is"], currency=row["currency_is"])
