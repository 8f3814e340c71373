"""Where new salaries go in a person's history (pure).

Enters: what is there of a person, and what is new, each with its first day. Leaves: the last days of both. Always holds: what
is new is paid until the day before the one that follows it, and what it follows ends the day before it.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any
from uuid import UUID

Row = dict[str, Any]
DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Placed:
    """`ends_on`: of each new one its last day, or None, in their order. `ended`: id → the new last day of what is there.
    `replaced`: ids of what is there from the same days on."""

    ends_on: list[date | None]
    ended: Mapping[UUID, date]
    replaced: frozenset[UUID]


def place(there: Sequence[Row], given: Sequence[Row]) -> Placed:
    """Of one person. Rows have `starts_on`, those that are there also `id` and `ends_on`; no two new ones start on one day."""
    new = sorted(row["starts_on"] for row in given)
    replaced = {row["id"] for row in there if row["starts_on"] in new}
    kept = [row for row in there if row["id"] not in replaced]
    starts = sorted([*new, *(row["starts_on"] for row in kept)])
    ended = {}
    for row in kept:
        at = bisect_right(new, row["starts_on"])
        if at < len(new) and (row["ends_on"] is None or row["ends_on"] >= new[at]):
            ended[row["id"]] = new[at] - DAY
    return Placed([_last(starts, row["starts_on"]) for row in given], ended, frozenset(replaced))


def _last(starts: Sequence[date], day: date) -> date | None:
    """The day before the next start, if there is one."""
    at = bisect_left(starts, day) + 1
    return starts[at] - DAY if at < len(starts) else None
