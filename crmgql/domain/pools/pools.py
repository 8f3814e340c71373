"""Public pools: set up, released to, claimed from. Reclaiming is in `pool_sweeps`.

Whoever may see a record may release it; whoever sells may claim an item, and sees until then only what the pool shows. Always
holds: a record has an owner or is in a pool, never both, and an item is claimed by one user.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

from crmgql import access
from crmgql.db import Connection
from crmgql.domain.pools import pool_items
from crmgql.domain.pools.pool_items import KINDS, Kind
from crmgql.errors import BadUserInput, Conflict, IllegalTransition, NotFound, Unauthenticated
from crmgql.events import outbox
from crmgql.models import AssignmentDecision, Pool, names
from crmgql.models.leads import OPEN_LEAD_STATUSES
from crmgql.records import checks, days, records
from crmgql.records.columns import ORIGIN, takes
from crmgql.records.records import Act, Row
from crmgql.viewer import system

FACTS = "name reclaim_after_d warn_before_d claim_limit_per_day holding_limit protection_h cooldown_h shows active"
"""The settings of a pool, except its kind."""

REASON = 300
LONGEST_D, LONGEST_H = 3660, 24 * 366
CONFLICTS = {
    "pools_name": ("name", "Another pool has this name."),
    "pools_one_reclaiming": ("reclaimAfterD", "Another active pool of this kind reclaims already; there can be one."),
    "pools_reclaim": ("reclaimAfterD", "Must be at least one day."),
    "pools_warn": ("warnBeforeD", "Must be 0 or more, and less than reclaimAfterD."),
    "pools_limits": ("claimLimitPerDay", "A limit is 1 or more, as is holdingLimit; leave it out for none."),
    "pools_times": ("protectionH", "Can't be negative, nor can cooldownH."),
}
LONGEST = {"reclaim_after_d": LONGEST_D, "warn_before_d": LONGEST_D, "protection_h": LONGEST_H, "cooldown_h": LONGEST_H}

ITEM = "SELECT * FROM pool_items WHERE id = $1"
STILL_THERE = "SELECT left_at IS NULL FROM pool_items WHERE id = $1"
CLAIMER = "SELECT active FROM users WHERE id = $1 FOR NO KEY UPDATE"
DEFAULT = "SELECT * FROM pools WHERE kind = $1 AND active ORDER BY reclaim_after_d IS NULL, id LIMIT 2 FOR SHARE"
CLAIMED_TODAY = """
SELECT count(*) FROM pool_items
WHERE claimed_by_id = $1 AND left_at >= $3 AND pool_id = $2"""
HELD = """
SELECT count(DISTINCT r.id) FROM pool_items i JOIN {table} r ON r.id = i.{column}
WHERE i.claimed_by_id = $1 AND i.pool_id = $2 AND r.owner_id = $1 AND r.status <> ALL($3)"""
FINISHED = ["CONVERTED", "LOST", "MERGED"]


class PoolItemTaken(Conflict):
    code = "POOL_ITEM_TAKEN"


class PoolDailyLimit(Conflict):
    code = "POOL_DAILY_LIMIT"


class PoolHoldingLimit(Conflict):
    code = "POOL_HOLDING_LIMIT"


class PoolCooldown(Conflict):
    code = "POOL_COOLDOWN"


@takes(Pool, FACTS, "kind", ORIGIN)
async def create(act: Act, **values: Any) -> UUID:
    """Makes a pool of leads or of customers. Raises `BadUserInput`, `Conflict`."""
    access.require_write(act.viewer, "Pool")
    _check(values, KINDS[values["kind"]])
    pool = await records.create(act, Pool, values, kind="pool.created", conflicts=CONFLICTS)
    return pool["id"]  # type: ignore[no-any-return]


@takes(Pool, FACTS)
async def update(act: Act, *, id: UUID, expected_version: int | None = None, **changes: Any) -> UUID:
    """Changes what is named; if the shown fields change, all items are updated."""
    access.require_write(act.viewer, "Pool")
    pool = await records.lock(act, Pool, id, expected_version=expected_version)
    kind = KINDS[pool["kind"]]
    _check(changes, kind)
    after = await records.change(act, Pool, pool, changes, kind="pool.updated", conflicts=CONFLICTS)
    if after["shows"] != pool["shows"]:
        await pool_items.refresh(act, kind, after)
    return id


def _check(values: Row, kind: Kind) -> None:
    if values.get("shows") is not None:
        values["shows"] = list(dict.fromkeys(values["shows"]))
        pool_items.check_shows(kind, values["shows"])
    for column, longest in LONGEST.items():
        if (values.get(column) or 0) > longest:
            raise BadUserInput(f"Must be {longest} or less.", field=names.api_name(column))


async def release(
    act: Act,
    *,
    lead_id: UUID | None = None,
    customer_id: UUID | None = None,
    pool_id: UUID | None = None,
    reason: str | None = None,
) -> UUID:
    """Releases a lead or a customer that the viewer may see to a pool. Returns the item.

    Raises `NotFound`, `BadUserInput`, `Conflict` if it is in a pool already, `IllegalTransition` for a closed lead.
    """
    access.require_write(act.viewer, "PoolItem")
    if (lead_id is None) == (customer_id is None):
        raise BadUserInput("Name a lead or a customer, one of them.", field="leadId")
    kind = KINDS["LEAD" if lead_id else "CUSTOMER"]
    id = lead_id or customer_id
    assert id is not None
    checks.check_text(reason or "", "reason", longest=REASON)
    await records.visible(act, kind.model, id, field=f"{kind.noun}Id")
    pool = await _pool(act, kind, pool_id)
    record = await records.lock(act, kind.model, id)
    return await put(act, kind, record, pool, reason=reason)


async def _pool(act: Act, kind: Kind, id: UUID | None) -> Row:
    """The named pool, or the only active one of the kind; of several, the one that reclaims."""
    if id is not None:
        pool = await records.visible(act, Pool, id, field="poolId", steady=True)
        if pool["kind"] != kind.name or not pool["active"]:
            raise BadUserInput(f"This is no active pool of {kind.noun}s.", field="poolId")
        return pool
    found = await act.tx.connection.fetch(DEFAULT, kind.name)
    if not found:
        raise BadUserInput(f"There is no active pool of {kind.noun}s.", field="poolId")
    if len(found) > 1 and found[0]["reclaim_after_d"] is None:
        raise BadUserInput(f"There are several pools of {kind.noun}s; name one.", field="poolId")
    return dict(found[0])


async def put(act: Act, kind: Kind, record: Row, pool: Row, *, reason: str | None = None) -> UUID:
    """Puts a locked record into a pool. Returns the item."""
    field = f"{kind.noun}Id"
    if record["pool_id"] is not None:
        raise Conflict(f"The {kind.noun} is in a pool already.", field=field)
    if kind is pool_items.LEAD and record["status"] not in OPEN_LEAD_STATUSES:
        raise IllegalTransition(f"A lead that is {record['status']} can't go to a pool.", field=field)
    if kind is pool_items.CUSTOMER and record["status"] == "MERGED":
        raise IllegalTransition(
            "A customer that was merged can't go to a pool; the one that it lives on in can.", field=field
        )
    entry = (record["id"], record["owner_id"])
    items = await pool_items.enter(act, kind, pool, [entry], move="RELEASED", reason=reason)
    item_id = items[record["id"]]
    await _record(act, kind, record, item_id, "pool.released", {"last_owner_id": (None, record["owner_id"])}, reason)
    changes = {**dict.fromkeys(LEAVING[kind.name]), "pool_id": pool["id"]}
    await records.change(act, kind.model, record, changes, kind=f"{kind.noun}.pooled")
    return item_id


async def _record(
    act: Act, kind: Kind, record: Row, item_id: UUID, event: str, changes: outbox.Changes, reason: str | None = None
) -> None:
    """Records an event about the pool item; the record's own change has another."""
    await outbox.record_event(
        act.tx,
        act.viewer,
        kind=event,
        subject=("PoolItem", item_id),
        customer_id=record["id"] if kind is pool_items.CUSTOMER else record["customer_id"],
        changes=changes,
        payload={f"{kind.noun}Id": record["id"], "reason": reason},
    )


UNOWNED = ("owner_id", "protected_until", "reclaim_warned_at")
LEAVING = {
    "LEAD": (*UNOWNED, "queue_id", "queue_deadline", "assigned_at", "accepted_at", "accept_by"),
    "CUSTOMER": UNOWNED,
}
"""The columns that are reset when a record enters a pool."""


async def withdraw(act: Act, kind: Kind, id: UUID, *, reason: str | None = None) -> None:
    """Takes a record out of its pool because it is assigned or closed. If it is in no pool, nothing happens.

    The caller has locked the record, and changes its `pool_id`.
    """
    await pool_items.leave(act, kind, id, claimed_by_id=None, move="WITHDRAWN", reason=reason)


async def claim(act: Act, *, id: UUID) -> UUID:
    """Claims an item: the viewer becomes the owner, protected for the time that the pool sets.

    Raises `NotFound`, `PoolItemTaken`, `PoolDailyLimit`, `PoolHoldingLimit`, `PoolCooldown`, and `Conflict` for an inactive
    pool. One person's claims wait for one another, so that limits are exact. The record is locked before its item, as by
    verbs that assign or close it.
    """
    access.require_write(act.viewer, "PoolItem")
    access.require_read(act.viewer.who, "PoolItem")
    connection: Connection = act.tx.connection
    if not await connection.fetchval(CLAIMER, act.viewer.user_id):
        raise Unauthenticated("This user is not active.")
    item = await connection.fetchrow(ITEM, id)
    if item is None:
        raise NotFound("There is no such pool item.", field="id")
    if item["left_at"] is not None:
        raise PoolItemTaken("Somebody was faster, or it has left the pool.", field="id")
    everything = Act(act.tx, system(act.viewer.clock))
    pool = await records.visible(everything, Pool, item["pool_id"], field="id")
    kind = KINDS[pool["kind"]]
    await _check_claim(act, kind, pool, item)
    record = await records.lock(everything, kind.model, item[kind.column])
    if record["pool_id"] != pool["id"] or not await connection.fetchval(STILL_THERE, id):
        raise PoolItemTaken("It has left the pool.", field="id")
    if kind is pool_items.LEAD and record["status"] not in OPEN_LEAD_STATUSES:  # an import may close a lead where it is
        raise PoolItemTaken(f"The lead is {record['status']} by now.", field="id")
    await pool_items.leave(act, kind, record["id"], claimed_by_id=act.viewer.user_id, move="CLAIMED", reason=None)
    await _record(act, kind, record, id, "pool.claimed", {"claimed_by_id": (None, act.viewer.user_id)})
    changes = await _taken(act, kind, pool, record, item)
    why = {"reason": "MANUAL"} if kind is pool_items.LEAD else {}
    await records.change(act, kind.model, record, changes, kind=f"{kind.noun}.assigned", payload=why)
    return id


async def _check_claim(act: Act, kind: Kind, pool: Row, item: Row) -> None:
    if not pool["active"]:
        raise Conflict("This pool is not active; nothing is claimed from it.", field="id")
    again_at = item["entered_at"] + timedelta(hours=pool["cooldown_h"])
    if item["last_owner_id"] == act.viewer.user_id and act.now < again_at:
        raise PoolCooldown(
            f"It was yours; you may claim it again from {days.shown(again_at, act.tx.zone)}.", field="id"
        )
    me, fetchval = act.viewer.user_id, act.tx.connection.fetchval
    limit, day = pool["claim_limit_per_day"], days.start_of(act.today, act.tx.zone)
    if limit is not None and await fetchval(CLAIMED_TODAY, me, pool["id"], day) >= limit:
        message = f"You have claimed {limit} today ({act.tx.zone.key}), which is all; come back tomorrow."
        raise PoolDailyLimit(message, field="id")
    limit = pool["holding_limit"]
    held = HELD.format(table=kind.table, column=kind.column)
    if limit is not None and await fetchval(held, me, pool["id"], FINISHED) >= limit:
        raise PoolHoldingLimit(f"You hold {limit} from this pool, which is all; finish or release one.", field="id")


async def _taken(act: Act, kind: Kind, pool: Row, record: Row, item: Row) -> Row:
    """The columns of a claimed record; claiming a lead also accepts it, and the decision is recorded."""
    protection = timedelta(hours=pool["protection_h"])
    changes: Row = {
        "owner_id": act.viewer.user_id,
        "pool_id": None,
        "protected_until": act.now + protection if protection else None,
        "reclaim_warned_at": None,
    }
    if kind is pool_items.CUSTOMER:
        return changes
    decision = await records.insert(
        act,
        AssignmentDecision,
        {
            "lead_id": record["id"],
            "reason": "MANUAL",
            "chosen_id": act.viewer.user_id,
            "previous_id": item["last_owner_id"],
            "explanation": f"claimed from the pool “{pool['name']}”",
            "actor_id": act.viewer.actor_id,
            "decided_at": act.now,
        },
    )
    now = {"last_activity_at": act.now, "assigned_at": act.now, "accepted_at": act.now}
    return {**changes, **now, "accept_by": None, "routing_id": decision["id"]}
