"""Events and audit rows, written in the transaction that did what they record_event.

An event says that something happened, for those who follow; an audit row says who changed which columns, from what to
what. Both are append-only: the database refuses to change them.
"""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import orjson

from crmgql.db import Transaction
from crmgql.viewer import Viewer

EVENT = """
INSERT INTO events (kind, subject_type, subject_id, customer_id, actor_id, payload, occurred_at)
VALUES ($1, $2, $3, $4, $5, $6, $7)"""

AUDIT = """
INSERT INTO audit_entries (action, subject_type, subject_id, customer_id, actor_id, api_key_id, changes, occurred_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)"""

Changes = dict[str, tuple[Any, Any]]


async def record_event(
    tx: Transaction,
    viewer: Viewer,
    *,
    kind: str,
    subject: tuple[str, UUID],
    customer_id: UUID | None,
    changes: Changes,
    payload: dict[str, Any] | None = None,
) -> None:
    """Writes the event and its audit row. `kind` is in the past tense, such as `order.confirmed`."""
    record, id = subject
    now = viewer.now()
    body = as_json(payload or {})
    await tx.connection.execute(EVENT, kind, record, id, customer_id, viewer.actor_id, body, now)
    trail = as_json({column: list(pair) for column, pair in changes.items()})
    await tx.connection.execute(AUDIT, kind, record, id, customer_id, viewer.actor_id, viewer.api_key_id, trail, now)


def as_json(value: Any) -> str:
    """JSON text with exact amounts as strings."""
    return orjson.dumps(value, default=_plain, option=orjson.OPT_UTC_Z).decode()


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return f"{value:f}"  # never 2.7E+7, which is how whole amounts come from the database
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, datetime | date):
        return value.isoformat()
    raise TypeError(type(value).__name__)
