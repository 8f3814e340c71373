"""Ageing: what customers owe, by how long it is due, as of a day and as it was known at a time.

Enters: a day, a time, which customers one sees. Leaves: sums by bucket. Always holds: the buckets add up to what the books have
in `RECEIVABLE`. Nothing of it is stored: it is summed up from the postings, which carry their day, their item's due day and, in
their entry's id, the moment.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from uuid import UUID

from crmgql.records.records import Act


class AgeingBucket(StrEnum):
    """By the days since it was due; what has no due day is not due."""

    NOT_DUE = "NOT_DUE"
    DAYS_1_TO_30 = "DAYS_1_TO_30"
    DAYS_31_TO_60 = "DAYS_31_TO_60"
    DAYS_61_TO_90 = "DAYS_61_TO_90"
    OVER_90_DAYS = "OVER_90_DAYS"


FIRST_DAYS = (1, 31, 61, 91)
"""The first day overdue of each bucket but NOT_DUE."""

# Parameters: the day, the time or null for now, the first days overdue of the buckets. What is owed of each item; bucket 0 is not due.
ITEMS = """
SELECT owner_id, currency, item_id, due_on, sum(amount) AS amount,
    (SELECT count(*) FROM unnest($3::integer[]) AS first WHERE $1::date - due_on >= first) AS bucket
FROM (
    SELECT owner_id, entry_id, currency, debit_item_id AS item_id, debit_due_on AS due_on, amount FROM postings
    WHERE debit = 'RECEIVABLE' AND phase = 'POSTED' AND effective_on <= $1
    UNION ALL
    SELECT owner_id, entry_id, currency, credit_item_id, credit_due_on, -amount FROM postings
    WHERE credit = 'RECEIVABLE' AND phase = 'POSTED' AND effective_on <= $1
) AS moves
WHERE $2::timestamptz IS NULL OR entry_id < uuidv7_at($2)
GROUP BY owner_id, currency, item_id, due_on HAVING sum(amount) <> 0"""
SUMS = f"""
SELECT owner_id, currency, bucket, count(*) AS items, sum(amount) AS amount FROM ({ITEMS}) AS items
GROUP BY owner_id, currency, bucket ORDER BY owner_id, currency, bucket"""


@dataclass(frozen=True, slots=True)
class Owed:
    """What is owed, and of how many items."""

    items: int
    amount: Decimal


Ages = Mapping[tuple[UUID, str], Mapping[int, Owed]]
"""By customer and currency, and by the number of the bucket: 0 is not due."""


async def as_of(
    act: Act, day: date, *, known_at: datetime | None = None, first_days: Sequence[int] = FIRST_DAYS
) -> Ages:
    """What each customer owed on a day, as it was known at a time, or is known now; one pass over the postings."""
    found: dict[tuple[UUID, str], dict[int, Owed]] = {}
    for row in await act.tx.connection.fetch(SUMS, day, known_at, list(first_days)):
        found.setdefault((row["owner_id"], row["currency"]), {})[row["bucket"]] = Owed(row["items"], row["amount"])
    return found
