"""Standings: what customers owe and have, kept by triggers for filters and orders. What becomes overdue does so by time alone."""

from __future__ import annotations

from crmgql.records.records import Act

DUE = "SELECT pass_due_days($1, $2)"


async def pass_due_days(act: Act, *, most: int = 1000) -> int:
    """Counts as overdue what was due before today and does not count yet, of so many standings at most; how many those were."""
    return await act.tx.connection.fetchval(DUE, act.today, most)  # type: ignore[no-any-return]
