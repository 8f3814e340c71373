"""Mutations of pools."""

from __future__ import annotations

import strawberry

from crmgql.domain.pools import pools
from crmgql.engine import inputs, mutations
from crmgql.engine.inputs import UNSET, input
from crmgql.engine.mutations import Row


@input
class PoolReleaseInput:
    """A lead or a customer. The pool is by default the only one of its kind, or the one that reclaims."""

    lead_id: strawberry.ID | None = UNSET
    customer_id: strawberry.ID | None = UNSET
    pool_id: strawberry.ID | None = UNSET
    reason: str | None = UNSET


@input
class PoolClaimInput:
    """The id of the item in the pool."""

    id: strawberry.ID


mutations.table(
    "Pool",
    Row(
        "poolCreate",
        "Makes a pool of leads or of customers.",
        pools.create,
        input=inputs.create(
            "kind",
            pools.FACTS,
            doc="Without `reclaimAfterD` nothing is reclaimed; without a limit there is none.",
        ),
    ),
    Row(
        "poolUpdate",
        "Changes what the input names; changed `shows` hold for all items.",
        pools.update,
        input=inputs.update(pools.FACTS),
    ),
)

mutations.table(
    "PoolItem",
    Row("poolRelease", "Releases a lead or a customer, for others to claim.", pools.release, input=PoolReleaseInput),
    Row(
        "poolClaim",
        "Claims an item: you become the owner. Of several who claim it at once, one succeeds.",
        pools.claim,
        input=PoolClaimInput,
    ),
)
