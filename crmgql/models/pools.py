"""The public pool: leads and customers that nobody follows up, for sellers to claim."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from tortoise import fields

from crmgql.models.base import Editable, Record, TextArrayField, check, index, one_of, origin_unique, partial, unique


class PoolKind(StrEnum):
    LEAD = "LEAD"
    CUSTOMER = "CUSTOMER"


class PoolMoveKind(StrEnum):
    WARNED = "WARNED"
    RECLAIMED = "RECLAIMED"
    RELEASED = "RELEASED"
    CLAIMED = "CLAIMED"
    WITHDRAWN = "WITHDRAWN"


class Pool(Editable):
    """`reclaim_after_d` days without activity bring a record here, with a warning `warn_before_d` days before.

    `shows` lists the fields that are shown of a pooled record. After a claim the record is protected from being
    reclaimed for `protection_h` hours; its last owner can't claim it back for `cooldown_h` hours.
    """

    name = fields.CharField(max_length=100)
    kind = fields.CharField(max_length=10)
    reclaim_after_d: Any = fields.IntField(null=True)
    warn_before_d: Any = fields.IntField(null=True)
    claim_limit_per_day: Any = fields.IntField(null=True)
    holding_limit: Any = fields.IntField(null=True)
    protection_h = fields.IntField(db_default=0)
    cooldown_h = fields.IntField(db_default=24)
    shows = TextArrayField(db_default=[])
    active = fields.BooleanField(db_default=True)

    class Meta:
        table = "pools"
        constraints = [
            origin_unique("pools"),
            unique("pools_name", "lower(name)"),
            unique("pools_one_reclaiming", "kind", where="active AND reclaim_after_d IS NOT NULL"),
            check("pools_kind", one_of("kind", PoolKind)),
            check("pools_reclaim", "reclaim_after_d > 0"),
            check("pools_warn", "warn_before_d >= 0 AND (warn_before_d IS NULL OR warn_before_d < reclaim_after_d)"),
            check("pools_limits", "claim_limit_per_day > 0 AND holding_limit > 0"),
            check("pools_times", "protection_h >= 0 AND cooldown_h >= 0"),
        ]
        indexes = [index("pools_created", "created_at", "id")]


class PoolItem(Record):
    """A record's stay in a pool. `shown` is what the pool's setting lets everybody see of it."""

    pool: Any = fields.ForeignKeyField("crm.Pool", related_name="items", on_delete=fields.RESTRICT)
    lead: Any = fields.ForeignKeyField("crm.Lead", related_name="pool_items", null=True, on_delete=fields.RESTRICT)
    customer: Any = fields.ForeignKeyField(
        "crm.Customer", related_name="pool_items", null=True, on_delete=fields.RESTRICT
    )
    last_owner: Any = fields.ForeignKeyField("crm.User", related_name=False, null=True, on_delete=fields.RESTRICT)
    shown: Any = fields.JSONField(db_default={})
    entered_at = fields.DatetimeField()
    left_at: Any = fields.DatetimeField(null=True)
    claimed_by: Any = fields.ForeignKeyField("crm.User", related_name=False, null=True, on_delete=fields.RESTRICT)

    class Meta:
        table = "pool_items"
        constraints = [
            check("pool_items_one", "num_nonnulls(lead_id, customer_id) = 1"),
            check("pool_items_claimed", "claimed_by_id IS NULL OR left_at IS NOT NULL"),
            unique("pool_items_lead_once", "lead_id", where="lead_id IS NOT NULL AND left_at IS NULL"),
            unique("pool_items_customer_once", "customer_id", where="customer_id IS NOT NULL AND left_at IS NULL"),
        ]
        indexes = [
            index("pool_items_pool", "pool_id", "entered_at", "id"),
            partial("pool_items_here", "left_at IS NULL", "pool_id", "entered_at", "id"),
            index("pool_items_lead", "lead_id", "id"),
            index("pool_items_customer", "customer_id", "id"),
            index("pool_items_last_owner", "last_owner_id"),
            index("pool_items_claimed_by", "claimed_by_id", "left_at"),
            index("pool_items_entered", "entered_at", "id"),
        ]


class PoolMove(Record):
    """What happened to a record on its way into a pool and out of it, append-only."""

    pool: Any = fields.ForeignKeyField("crm.Pool", related_name="moves", on_delete=fields.RESTRICT)
    lead: Any = fields.ForeignKeyField("crm.Lead", related_name="pool_moves", null=True, on_delete=fields.RESTRICT)
    customer: Any = fields.ForeignKeyField(
        "crm.Customer", related_name="pool_moves", null=True, on_delete=fields.RESTRICT
    )
    kind = fields.CharField(max_length=10)
    user: Any = fields.ForeignKeyField("crm.User", related_name=False, null=True, on_delete=fields.RESTRICT)
    reason: Any = fields.CharField(max_length=300, null=True)
    occurred_at = fields.DatetimeField()

    class Meta:
        table = "pool_moves"
        constraints = [
            check("pool_moves_kind", one_of("kind", PoolMoveKind)),
            check("pool_moves_one", "num_nonnulls(lead_id, customer_id) = 1"),
        ]
        indexes = [
            index("pool_moves_pool", "pool_id", "id"),
            index("pool_moves_lead", "lead_id", "id"),
            index("pool_moves_customer", "customer_id", "id"),
            index("pool_moves_user", "user_id", "occurred_at"),
            index("pool_moves_occurred", "occurred_at", "id"),
        ]
