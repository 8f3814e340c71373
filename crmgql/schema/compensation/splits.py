"""Who is credited of an order."""

from __future__ import annotations

import strawberry

from crmgql.domain.compensation import splits
from crmgql.engine import mutations
from crmgql.engine.inputs import UNSET, input, part
from crmgql.engine.mutations import Row
from crmgql.engine.scalars import DecimalText
from crmgql.engine.strawberries import lazy, optional


@part(splits.Part)
class CommissionPartInput:
    """A person's share, in per cent. OWNER, unless another role is named; managers are credited by themselves."""

    user_id: strawberry.ID
    share: DecimalText
    role: str | None = strawberry.field(default=UNSET, graphql_type=optional(lazy("CompRole")))


@input
class OrderSplitInput:
    """`parts`: all people who are credited; without any, the sellers of the order and its lines are."""

    id: strawberry.ID
    parts: list[CommissionPartInput]
    expected_version: int | None = UNSET


mutations.table(
    "Order",
    Row(
        "orderSplit",
        "Says who is credited of an order from now on, with which share; what was credited before is taken back from whom it was, today.",
        splits.set_parts,
        input=OrderSplitInput,
    ),
)
