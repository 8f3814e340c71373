"""How many rows the tables have, roughly, and what it therefore costs to count or sum them.

A page reads as many rows as it shows; a count or a sum reads all rows of its list. Ten of these take about as long as one
node that is shown. Below other records, a list has as many rows as there are on average for each of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

ROWS_PER_NODE = 10
LARGEST_SHARE = 20
"""One count or sum never costs more than this part of the most that a query may: of large tables too, some can be asked for."""


@dataclass(frozen=True, slots=True)
class Scan:
    """All rows of a table are read, or those that belong to `times` records of another table."""

    table: str
    parent: str | None = None
    times: int = 1


@dataclass
class Sizes:
    """Rows by table; tables that are not there count as empty."""

    most: int
    rows: Mapping[str, int] = field(default_factory=dict)

    def weigh(self, scans: Iterable[Scan]) -> int:
        """What scans cost, in nodes."""
        return sum(self._one(scan) for scan in scans)

    def _one(self, scan: Scan) -> int:
        read = self.rows.get(scan.table, 0) * scan.times
        if scan.parent is not None:
            read //= max(1, self.rows.get(scan.parent, 0))
        return min(read // ROWS_PER_NODE, self.most // LARGEST_SHARE)
