"""The mutation that merges customers: it moves what they owe and have."""

from __future__ import annotations

import strawberry

from crmgql.domain.money import merging
from crmgql.engine import mutations
from crmgql.engine.inputs import UNSET, input
from crmgql.engine.mutations import Row


@input
class CustomerMergeInput:
    """The customer `id` is merged into `intoId`, which survives."""

    id: strawberry.ID
    into_id: strawberry.ID
    reason: str
    expected_version: int | None = UNSET


mutations.table(
    "Customer",
    Row(
        "customerMerge",
        "Merges a customer into another one, which takes over what it owes and has; its history stays. Answers with the survivor.",
        merging.merge,
        input=CustomerMergeInput,
        asks=("customer.merge",),
    ),
)
