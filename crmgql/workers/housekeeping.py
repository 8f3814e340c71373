"""Deletes what has had its day: ended sessions, old login counters, idempotency keys past their time."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from crmgql import db
from crmgql.domain import idempotency, sessions
from crmgql.viewer import system_clock

KEYS_KEPT = timedelta(days=30)


async def sweep(context: dict[str, Any]) -> None:
    """Harmless to run twice, or never."""
    database: db.Database = context["database"]
    now = system_clock()
    async with database.transaction() as tx:
        await sessions.purge(tx, now=now)
        await idempotency.purge(tx, before=now - KEYS_KEPT)
