"""Mutations of the public pool."""

from __future__ import annotations

from uuid import UUID

import strawberry

from crmgql.domain.pools import pools
from crmgql.engine.mutations import Given, input, mutation
from crmgql.models import PoolKind
from crmgql.records.records import Act
from crmgql.schema.shared_inputs import UNSET


@input
class PoolCreateInput:
    """Without `reclaimAfterD` nothing returns to it by itself; without a limit there is none."""

    name: str
    kind: PoolKind
    reclaim_after_d: int | None = UNSET
    warn_before_d: int | None = UNSET
    claim_limit_per_day: int | None = UNSET
    holding_limit: int | None = UNSET
    protection_h: int | None = UNSET
    cooldown_h: int | None = UNSET
    shows: list[str] | None = UNSET
    active: bool | None = UNSET
    source: str | None = UNSET
    external_id: str | None = UNSET


@input
class PoolUpdateInput:
    id: strawberry.ID
    expected_version: int | None = UNSET
    name: str | None = UNSET
    reclaim_after_d: int | None = UNSET
    warn_before_d: int | None = UNSET
    claim_limit_per_day: int | None = UNSET
    holding_limit: int | None = UNSET
    protection_h: int | None = UNSET
    cooldown_h: int | None = UNSET
    shows: list[str] | None = UNSET
    active: bool | None = UNSET


@input
class PoolReleaseInput:
    """A lead or a customer. Without a pool it is the one that there is of its kind."""

    lead_id: strawberry.ID | None = UNSET
    customer_id: strawberry.ID | None = UNSET
    pool_id: strawberry.ID | None = UNSET
    reason: str | None = UNSET


@input
class PoolClaimInput:
    """The id of the item in the pool."""

    id: strawberry.ID


@mutation("Pool", PoolCreateInput)
async def pool_create(act: Act, given: Given) -> UUID:
    """Makes a pool of leads or of customers."""
    return await pools.create(act, **given)


@mutation("Pool", PoolUpdateInput)
async def pool_update(act: Act, given: Given) -> UUID:
    """Changes what the input names; what is in the pool is shown anew."""
    return await pools.update(act, **given)


@mutation("PoolItem", PoolReleaseInput)
async def pool_release(act: Act, given: Given) -> UUID:
    """Gives a lead or a customer up, for others to claim."""
    return await pools.release(act, **given)


@mutation("PoolItem", PoolClaimInput)
async def pool_claim(act: Act, given: Given) -> UUID:
    """Takes what is in the pool: it is yours from now on. Of several who try at once, one wins."""
    return await pools.claim(act, **given)
