"""Monthly partitions of events and audit rows: made ahead, and dropped after the retention that the settings give.

Always holds: dropping a month and writing its checkpoint are one transaction; without a setting all months are kept.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta

from crmgql.db import Transaction

AHEAD = 3
"""Months made before they begin: housekeeping may fail for three months before rows go to the default partition."""

MAKE = "SELECT event_months($1, $2)"
OVER = """
SELECT month FROM (
    SELECT to_date(right(relname, 7), 'YYYY_MM') AS month FROM pg_inherits JOIN pg_class ON oid = inhrelid
    WHERE inhparent = $1::text::regclass AND relname ~ '_[0-9]{4}_[0-9]{2}$'
) months
WHERE (month + interval '1 month') AT TIME ZONE 'UTC' <= $2 ORDER BY month"""
DROP = "SELECT event_month_drop($1, $2)"
IMPATIENT = "SET LOCAL lock_timeout = '2s'"
"""Making or dropping a month locks the table for a moment. While a long read holds it, this fails and is tried again later:
waiting would block every other statement on the table."""


async def make(tx: Transaction, *, now: datetime) -> None:
    """Makes the current month and the next `AHEAD` ones, unless they exist."""
    await tx.connection.execute(IMPATIENT)
    await tx.connection.execute(MAKE, now, AHEAD)


async def over(tx: Transaction, relation: str, *, now: datetime, days: int) -> list[date]:
    """The months of `events` or `audit_entries` that ended at least so many days ago."""
    rows = await tx.connection.fetch(OVER, relation, now - timedelta(days=days))
    return [row["month"] for row in rows]


async def drop(tx: Transaction, relation: str, month: date) -> int:
    """Drops a month and writes its checkpoint. Returns how many rows it had."""
    await tx.connection.execute(IMPATIENT)
    return await tx.connection.fetchval(DROP, relation, month)  # type: ignore[no-any-return]
