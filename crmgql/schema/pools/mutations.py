"""Mutations of the public pool."""

from __future__ import annotations

import strawberry

from crmgql.domain.pools import pools
from crmgql.engine import inputs, mutations
from crmgql.engine.inputs import UNSET, input
from crmgql.engine.mutations import Row


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


mutations.table(
    "Pool",
    Row(
        "poolCreate",
        "Makes a pool of leads or of customers.",
        pools.create,
        input=inputs.create(
            "kind",
            pools.FACTS,
            doc="Without `reclaimAfterD` nothing returns to it by itself; without a limit there is none.",
        ),
    ),
    Row(
        "poolUpdate",
        "Changes what the input names; what is in the pool is shown anew.",
        pools.update,
        input=inputs.update(pools.FACTS),
    ),
)

mutations.table(
    "PoolItem",
    Row("poolRelease", "Gives a lead or a customer up, for others to claim.", pools.release, input=PoolReleaseInput),
    Row(
        "poolClaim",
        "Takes what is in the pool: it is yours from now on. Of several who try at once, one wins.",
        pools.claim,
        input=PoolClaimInput,
    ),
)
