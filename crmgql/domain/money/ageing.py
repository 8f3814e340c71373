"""What customers owe as of a day, by how long it has been due, as it was known at a time: from postings alone.

A posting carries the due date of its item and its own day, and its key the moment at which it was written, so any day in the past
is one pass over postings. The sum over all buckets is the balance of RECEIVABLE of that day.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from uuid import UUID

from crmgql.records.records import Act

BOUNDS = (30, 60, 90)
"""Days after the due date: not due, then 1 to 30, 31 to 60, 61 to 90, more than 90."""

# Parameters: the day, the time or null for now, the bounds. By item; what is not due on a day at all, as an order that is not invoiced,
# is in bucket 0, as is what is not due yet; bucket n begins after the bound before it.
BY_ITEM = """
SELECT owner_id, currency, item_id, due_on, sum(amount) AS amount,
    CASE WHEN due_on IS NULL OR due_on >= $1 THEN 0 ELSE 1 + (SELECT count(*) FROM unnest($3::integer[]) AS bound WHERE $1 - due_on > bound) END
        AS bucket
FROM (
    SELECT owner_id, entry_id, currency, debit_item_id AS item_id, debit_due_on AS due_on, amount FROM postings
    WHERE debit = 'RECEIVABLE' AND phase = 'POSTED' AND effective_on <= $1
    UNION ALL
    SELECT owner_id, entry_id, currency, credit_item_id, credit_due_on, -amount FROM postings
    WHERE credit = 'RECEIVABLE' AND phase = 'POSTED' AND effective_on <= $1
) AS moves
WHERE $2::timestamptz IS NULL OR entry_id < uuidv7_at($2)
GROUP BY owner_id, currency, item_id, due_on HAVING sum(amount) <> 0"""
# By owner, currency and bucket, with the number of items.
BY_OWNER = f"""
SELECT owner_id, currency, bucket, count(*) AS items, sum(amount) AS amount FROM ({BY_ITEM}) AS items
GROUP BY owner_id, currency, bucket ORDER BY owner_id, currency, bucket"""


@dataclass(frozen=True, slots=True)
class Bucket:
    """What is owed, and of how many items."""

    items: int
    amount: Decimal


Ages = Mapping[tuple[UUID, str], Mapping[int, Bucket]]
"""By owner and currency, and by the place of the bucket: 0 is not due."""


async def as_of(act: Act, day: date, *, known_at: datetime | None = None, bounds: Sequence[int] = BOUNDS) -> Ages:
    """What every customer owed on a day, as was known at a time, or is known now. `bounds` are days after the due date."""
    found: dict[tuple[UUID, str], dict[int, Bucket]] = {}
    for row in await act.tx.connection.fetch(BY_OWNER, day, known_at, list(bounds)):
        found.setdefault((row["owner_id"], row["currency"]), {})[row["bucket"]] = Bucket(row["items"], row["amount"])
    return found
