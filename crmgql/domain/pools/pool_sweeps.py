"""The sweep that reclaims what nobody follows up: it warns the owner first, then moves the record to the pool.

The active pool of a kind that has `reclaim_after_d` reclaims. The last activity of a lead is its `last_activity_at`. That of
a customer is the latest of: a change of its record, an interaction, an order, a payment, a change of a ticket, a completed
task, and the activity of its open opportunities.

Always holds: a record is not reclaimed while it is protected, or before `warn_before_d` days after the warning; an activity
after the warning cancels it. A sweep that is run twice does nothing the second time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from crmgql.db import Connection
from crmgql.domain.messages import notifications
from crmgql.domain.messages.notifications import Notice
from crmgql.domain.pools import pool_items
from crmgql.domain.pools.pool_items import KINDS, Kind
from crmgql.domain.pools.pools import LEAVING
from crmgql.events import outbox
from crmgql.models.leads import OPEN_LEAD
from crmgql.records.records import Act, Row
from crmgql.viewer import NOBODY

BATCH = 500

RECLAIMING = "SELECT * FROM pools WHERE kind = $1 AND active AND reclaim_after_d IS NOT NULL FOR SHARE"

LEADS = f"""
SELECT r.id, r.owner_id, r.name, r.customer_id, r.last_activity_at AS active_at, r.reclaim_warned_at AS warned_at FROM leads r
WHERE r.id > $1 AND r.{OPEN_LEAD} AND r.owner_id IS NOT NULL
  AND r.last_activity_at < $2 AND (r.protected_until IS NULL OR r.protected_until <= $3)
ORDER BY r.id LIMIT $4 FOR NO KEY UPDATE OF r SKIP LOCKED"""
CUSTOMERS = """
SELECT r.id, r.owner_id, r.name, r.id AS customer_id, seen.active_at, r.reclaim_warned_at AS warned_at FROM customers r CROSS JOIN LATERAL (
    SELECT greatest(
        r.updated_at,
        (SELECT max(occurred_at) FROM interactions i WHERE i.customer_id = r.id),
        (SELECT max(ordered_at) FROM orders o WHERE o.customer_id = r.id),
        (SELECT max(coalesce(received_at, created_at)) FROM payments p WHERE p.customer_id = r.id),
        (SELECT max(updated_at) FROM tickets t WHERE t.customer_id = r.id),
        (SELECT max(done_at) FROM tasks t WHERE t.customer_id = r.id),
        (SELECT max(greatest(stage_since, last_activity_at)) FROM opportunities o
         WHERE o.customer_id = r.id AND o.status = 'OPEN')
    ) AS active_at
) seen
WHERE r.id > $1 AND r.owner_id IS NOT NULL AND r.merged_into_id IS NULL AND r.updated_at < $2
  AND (r.protected_until IS NULL OR r.protected_until <= $3)
ORDER BY r.id LIMIT $4 FOR NO KEY UPDATE OF r SKIP LOCKED"""
CANDIDATES = {"LEAD": LEADS, "CUSTOMER": CUSTOMERS}

WARN = "UPDATE {table} SET reclaim_warned_at = $2 WHERE id = ANY($1)"
TAKE = """
UPDATE {table} SET {resets}, pool_id = $2, version = version + 1, updated_at = $3
WHERE id = ANY($1) RETURNING id, version"""


@dataclass(frozen=True, slots=True)
class Swept:
    """The result of a step of the sweep. `at` is where the next step continues; None: the sweep is done."""

    warned: int
    reclaimed: int
    at: dict[str, Any] | None


async def sweep(act: Act, at: dict[str, Any] | None = None, *, limit: int = BATCH) -> Swept:
    """Processes the next `limit` candidates: warns the owners of some and reclaims others. `at` is None at the beginning."""
    name, after = (at or {}).get("kind", "LEAD"), UUID((at or {}).get("after", str(NOBODY)))
    kind = KINDS[name]
    pool = await act.tx.connection.fetchrow(RECLAIMING, name)
    rows: list[Row] = []
    if pool is not None:
        rows = await _candidates(act, kind, dict(pool), after, limit)
        warned, due = _sorted(act, dict(pool), rows)
        await _warn(act, kind, dict(pool), warned)
        await _take(act, kind, dict(pool), due)
        if len(rows) == limit:
            return Swept(len(warned), len(due), {"kind": name, "after": str(rows[-1]["id"])})
        return Swept(len(warned), len(due), _next(name))
    return Swept(0, 0, _next(name))


def _next(name: str) -> dict[str, Any] | None:
    return {"kind": "CUSTOMER"} if name == "LEAD" else None


async def _candidates(act: Act, kind: Kind, pool: Row, after: UUID, limit: int) -> list[Row]:
    """The next records that may have been without activity for long enough for a warning."""
    early = act.now - timedelta(days=pool["reclaim_after_d"] - (pool["warn_before_d"] or 0))
    rows = await act.tx.connection.fetch(CANDIDATES[kind.name], after, early, act.now, limit)
    return [dict(row) for row in rows]


def _sorted(act: Act, pool: Row, rows: Sequence[Row]) -> tuple[list[Row], list[Row]]:
    """The records to warn of and the records to reclaim; the others are active, or wait for the end of their warning."""
    silent = timedelta(days=pool["reclaim_after_d"])
    ahead = timedelta(days=pool["warn_before_d"] or 0)
    warned, due = [], []
    for row in rows:
        is_warned = row["warned_at"] is not None and row["warned_at"] > row["active_at"]
        if row["active_at"] >= act.now - (silent - ahead):
            continue
        if ahead and not is_warned:
            warned.append(row)
        elif row["active_at"] < act.now - silent and (not ahead or row["warned_at"] <= act.now - ahead):
            due.append(row)
    return warned, due


async def _warn(act: Act, kind: Kind, pool: Row, rows: Sequence[Row]) -> None:
    """Warns the owners. This is no change of the record: it raises no version and is no activity."""
    if not rows:
        return
    connection: Connection = act.tx.connection
    await connection.execute(WARN.format(table=kind.table), [row["id"] for row in rows], act.now)
    entries = [(row["id"], row["owner_id"]) for row in rows]
    await pool_items.record_moves(act, kind, pool["id"], entries, move="WARNED", reason=_reason(pool))
    event, record, payload = f"{kind.noun}.reclaimWarned", kind.model.__name__, {"poolId": pool["id"]}
    warnings = [
        outbox.Entry(
            event, (record, row["id"]), row["customer_id"], {"reclaim_warned_at": (row["warned_at"], act.now)}, payload
        )
        for row in rows
    ]
    await outbox.record_many(act.tx, act.viewer, warnings)
    text = f"goes to the pool “{pool['name']}” in {pool['warn_before_d']} days unless you follow it up"
    await notifications.notify_many(act, [_notice(kind, row, "pool.warned", text) for row in rows])


async def _take(act: Act, kind: Kind, pool: Row, rows: Sequence[Row]) -> None:
    if not rows:
        return
    ids = [row["id"] for row in rows]
    entries = [(row["id"], row["owner_id"]) for row in rows]
    items = await pool_items.enter(act, kind, pool, entries, move="RECLAIMED", reason=_reason(pool))
    resets = ", ".join(f"{column} = NULL" for column in LEAVING[kind.name])
    sql = TAKE.format(table=kind.table, resets=resets)
    taken = await act.tx.connection.fetch(sql, ids, pool["id"], act.now)
    await _record_taken(act, kind, pool, rows, items, {row["id"]: row["version"] for row in taken})
    text = f"was not followed up and went to the pool “{pool['name']}”"
    await notifications.notify_many(act, [_notice(kind, row, "pool.reclaimed", text) for row in rows])


async def _record_taken(
    act: Act, kind: Kind, pool: Row, rows: Sequence[Row], items: dict[UUID, UUID], versions: dict[UUID, int]
) -> None:
    """Records the same events as a release by a person: one about the pool item, one about the record."""
    entries: list[outbox.Entry] = []
    record, pooled = kind.model.__name__, f"{kind.noun}.pooled"
    for row in rows:
        id, customer_id, owner_id = row["id"], row["customer_id"], row["owner_id"]
        payload = {f"{kind.noun}Id": id, "reason": _reason(pool)}
        stay: outbox.Changes = {"last_owner_id": (None, owner_id)}
        entries.append(outbox.Entry("pool.reclaimed", ("PoolItem", items[id]), customer_id, stay, payload))
        changes: outbox.Changes = {"owner_id": (owner_id, None), "pool_id": (None, pool["id"])}
        entries.append(outbox.Entry(pooled, (record, id), customer_id, changes, {"version": versions[id]}))
    await outbox.record_many(act.tx, act.viewer, entries)


def _reason(pool: Row) -> str:
    return f"no activity for {pool['reclaim_after_d']} days"


def _notice(kind: Kind, row: Row, event: str, text: str) -> Notice:
    return Notice(row["owner_id"], event, f"{notifications.cut(row['name'], 60)} {text}", **{kind.column: row["id"]})
