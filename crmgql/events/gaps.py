"""Records that records changed without events, so that mirrors fetch them again.

Raw SQL and migrations call the database function `record_gap` themselves; this calls it from Python.
"""

from __future__ import annotations

from uuid import UUID

from crmgql.db import Transaction
from crmgql.events.outbox import BELL
from crmgql.models.names import PREFIXES

RECORD = "SELECT record_gap($1, $2, $3, $4, $5)"


async def record_gap(
    tx: Transaction, record: str, *, reason: str, first: UUID | None = None, last: UUID | None = None
) -> UUID:
    """Writes `gap.recorded` for a type's records from `first` to `last`; without a bound, for all on that side. Returns its id."""
    tx.queues.add(BELL)
    return await tx.connection.fetchval(  # type: ignore[no-any-return]
        RECORD, record, PREFIXES[record], first, last, reason
    )
