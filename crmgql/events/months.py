"""Months of events and audit rows: made ahead of time, given up when they are old enough and a setting says so.

Always holds: a month that is given up leaves its checkpoint, in one transaction; without a setting everything is kept.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta

from crmgql.db import Transaction

AHEAD = 3
"""Months that are made before they begin: housekeeping may fail for a quarter before rows go to the default partition."""

MAKE = "SELECT event_months($1, $2)"
OVER = """
SELECT month FROM (
    SELECT to_date(right(relname, 7), 'YYYY_MM') AS month FROM pg_inherits JOIN pg_class ON oid = inhrelid
    WHERE inhparent = $1::text::regclass AND relname ~ '_[0-9]{4}_[0-9]{2}$'
) months
WHERE (month + interval '1 month') AT TIME ZONE 'UTC' <= $2 ORDER BY month"""
DROP = "SELECT event_month_drop($1, $2)"
IMPATIENT = "SET LOCAL lock_timeout = '2s'"
"""To make or drop a month takes the table for a moment. Who reads it for long makes this fail and be tried again; else
everybody would wait behind it."""

RELATIONS = ("events", "audit_entries")


async def make(tx: Transaction, *, now: datetime) -> None:
    """Makes the current month and the next ones, where they are not there yet."""
    await tx.connection.execute(IMPATIENT)
    await tx.connection.execute(MAKE, now, AHEAD)


async def over(tx: Transaction, relation: str, *, now: datetime, days: int) -> list[date]:
    """The months of `events` or `audit_entries` that ended so many days ago, or more."""
    rows = await tx.connection.fetch(OVER, relation, now - timedelta(days=days))
    return [row["month"] for row in rows]


async def give_up(tx: Transaction, relation: str, month: date) -> int:
    """Drops a month and leaves its checkpoint. Answers how many rows went."""
    await tx.connection.execute(IMPATIENT)
    return await tx.connection.fetchval(DROP, relation, month)  # type: ignore[no-any-return]
