"""Pools, their items and moves."""

from crmgql import models
from crmgql.engine.declare import column, many, node, one


@node(models.Pool, order="name")
class Pool:
    """Leads or customers that nobody follows up, for sellers to claim."""

    name = column(sort=True)
    kind = column(enum=models.PoolKind)
    reclaim_after_d = column()
    warn_before_d = column()
    claim_limit_per_day = column()
    holding_limit = column()
    protection_h = column()
    cooldown_h = column()
    shows = column(filter=False, doc="The fields of a record that are shown while it is in the pool.")
    active = column()
    items = many("PoolItem", "pool", order="-enteredAt")


@node(models.PoolItem, order="-enteredAt")
class PoolItem:
    """A record in a pool. Unless you may see the record itself, `shown` is all that you see of it."""

    shown = column(doc="The fields that everybody may see, as the pool is set.")
    entered_at = column(sort=True)
    left_at = column()
    pool = one()
    lead = one()
    customer = one()
    last_owner = one()
    claimed_by = one()


@node(models.PoolMove, order="-occurredAt")
class PoolMove:
    """A record entered or left a pool, or its owner was warned."""

    kind = column(enum=models.PoolMoveKind)
    reason = column()
    occurred_at = column(sort=True)
    pool = one()
    lead = one()
    customer = one()
    user = one()
