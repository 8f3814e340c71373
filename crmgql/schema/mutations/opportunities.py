"""Mutations of opportunities."""

from __future__ import annotations

from uuid import UUID

import strawberry

from crmgql.domain import opportunities
from crmgql.domain.records import Act
from crmgql.models import OpportunityStage
from crmgql.schema.mutating import Given, input, mutation
from crmgql.schema.mutations.inputs import UNSET, MoneyInput, MoveInput
from crmgql.schema.scalars import DateText


@input
class OpportunityCreateInput:
    """Without an owner it is yours if you sell or manage."""

    name: str
    customer_id: strawberry.ID | None = UNSET
    contact_id: strawberry.ID | None = UNSET
    owner_id: strawberry.ID | None = UNSET
    product_id: strawberry.ID | None = UNSET
    stage: OpportunityStage | None = UNSET
    amount: MoneyInput | None = UNSET
    probability: int | None = UNSET
    engaged_on: DateText | None = UNSET
    expected_close: DateText | None = UNSET
    source: str | None = UNSET
    external_id: str | None = UNSET


@input
class OpportunityUpdateInput:
    id: strawberry.ID
    expected_version: int | None = UNSET
    name: str | None = UNSET
    customer_id: strawberry.ID | None = UNSET
    contact_id: strawberry.ID | None = UNSET
    owner_id: strawberry.ID | None = UNSET
    product_id: strawberry.ID | None = UNSET
    amount: MoneyInput | None = UNSET
    probability: int | None = UNSET
    engaged_on: DateText | None = UNSET
    expected_close: DateText | None = UNSET


@input
class OpportunityMoveInput:
    id: strawberry.ID
    stage: OpportunityStage
    expected_version: int | None = UNSET


@input
class OpportunityLoseInput:
    id: strawberry.ID
    reason: str
    expected_version: int | None = UNSET


@input
class OpportunityReopenInput:
    """Back to NEGOTIATION unless another open stage is named."""

    id: strawberry.ID
    stage: OpportunityStage | None = UNSET
    expected_version: int | None = UNSET


@mutation("Opportunity", OpportunityCreateInput)
async def opportunity_create(act: Act, given: Given) -> UUID:
    """Makes an opportunity in an open stage."""
    return await opportunities.create(act, **given)


@mutation("Opportunity", OpportunityUpdateInput)
async def opportunity_update(act: Act, given: Given) -> UUID:
    """Changes what the input names; of a closed one the name and the owner."""
    return await opportunities.update(act, **given)


@mutation("Opportunity", OpportunityMoveInput)
async def opportunity_move(act: Act, given: Given) -> UUID:
    """Moves to another open stage."""
    return await opportunities.move(act, **given)


@mutation("Opportunity", MoveInput)
async def opportunity_win(act: Act, given: Given) -> UUID:
    """Closes an open opportunity as won, today."""
    return await opportunities.win(act, **given)


@mutation("Opportunity", OpportunityLoseInput)
async def opportunity_lose(act: Act, given: Given) -> UUID:
    """Closes an open opportunity as lost, today, and says why."""
    return await opportunities.lose(act, **given)


@mutation("Opportunity", OpportunityReopenInput)
async def opportunity_reopen(act: Act, given: Given) -> UUID:
    """Opens a won or lost opportunity again."""
    return await opportunities.reopen(act, **given)
