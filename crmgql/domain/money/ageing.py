"""Ageing: what customers owe, by how long it is due, as of a day and as it was known at a time.

Enters: a day, a time, which customers one sees. Leaves: sums by bucket. Always holds: the buckets add up to what the books have
in `RECEIVABLE`. Nothing of it is stored: it is summed up from the postings, which carry their day, their item's due day and, in
their entry's id, the moment.
"""

from __future__ import annotations

from enum import StrEnum


class AgeingBucket(StrEnum):
    """By the days since it was due; what has no due day is not due."""

    NOT_DUE = "NOT_DUE"
    DAYS_1_TO_30 = "DAYS_1_TO_30"
    DAYS_31_TO_60 = "DAYS_31_TO_60"
    DAYS_61_TO_90 = "DAYS_61_TO_90"
    OVER_90_DAYS = "OVER_90_DAYS"


FIRST_DAYS = (1, 31, 61, 91)
"""The first day overdue of each bucket but NOT_DUE."""
