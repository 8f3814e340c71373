"""Says that records changed without events, so that whoever mirrors them fetches them again.

Raw SQL and migrations call the database's function `record_gap` themselves; this is its door for Python.
"""

from __future__ import annotations

from uuid import UUID

from crmgql.db import Transaction
from crmgql.models.names import PREFIXES

RECORD = "SELECT record_gap($1, $2, $3, $4, $5)"


async def record_gap(
    tx: Transaction, record: str, *, reason: str, first: UUID | None = None, last: UUID | None = None
) -> UUID:
    """Writes `gap.recorded` about a type's records from `first` to `last`, any of them where one is left out."""
    return await tx.connection.fetchval(  # type: ignore[no-any-return]
        RECORD, record, PREFIXES[record], first, last, reason
    )
