"""Mutations of opportunities."""

from __future__ import annotations

from uuid import UUID

import strawberry

from crmgql.domain import opportunities
from crmgql.domain.records import Act
from crmgql.schema.mutating import Given, input, mutation
from crmgql.schema.mutations.inputs import UNSET, MoneyInput, MoveInput
from crmgql.schema.scalars import DateText, DateTimeText


@input
class OpportunityCreateInput:
    """Without an owner it is yours if you sell or manage."""

    name: str
    customer_id: strawberry.ID | None = UNSET
    contact_id: strawberry.ID | None = UNSET
    owner_id: strawberry.ID | None = UNSET
    product_id: strawberry.ID | None = UNSET
    stage_id: strawberry.ID | None = UNSET
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
    """The stage is an open one; of another pipeline too."""

    id: strawberry.ID
    stage_id: strawberry.ID
    expected_version: int | None = UNSET


@input
class OpportunityLoseInput:
    id: strawberry.ID
    reason: str
    expected_version: int | None = UNSET


@input
class OpportunityReopenInput:
    """Back to its pipeline's last open stage unless another open stage is named."""

    id: strawberry.ID
    stage_id: strawberry.ID | None = UNSET
    expected_version: int | None = UNSET


@input
class OpportunityActionInput:
    """A key action of the opportunity's pipeline."""

    id: strawberry.ID
    key_action_id: strawberry.ID
    expected_version: int | None = UNSET


@input
class OpportunitySnoozeInput:
    """Until when; at most a year ahead."""

    id: strawberry.ID
    until: DateTimeText
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
    """Moves to another open stage; onwards only when the stage's required key actions are done."""
    return await opportunities.move(act, **given)


@mutation("Opportunity", MoveInput)
async def opportunity_win(act: Act, given: Given) -> UUID:
    """Closes an open opportunity as won, today, when its stage's required key actions are done."""
    return await opportunities.win(act, **given)


@mutation("Opportunity", OpportunityLoseInput)
async def opportunity_lose(act: Act, given: Given) -> UUID:
    """Closes an open opportunity as lost, today, and says why."""
    return await opportunities.lose(act, **given)


@mutation("Opportunity", OpportunityReopenInput)
async def opportunity_reopen(act: Act, given: Given) -> UUID:
    """Opens a won or lost opportunity again."""
    return await opportunities.reopen(act, **given)


@mutation("Opportunity", OpportunityActionInput)
async def opportunity_action_done(act: Act, given: Given) -> UUID:
    """Notes that a key action was done."""
    return await opportunities.finish_action(act, **given)


@mutation("Opportunity", OpportunityActionInput)
async def opportunity_action_undone(act: Act, given: Given) -> UUID:
    """Takes back that a key action was done."""
    return await opportunities.undo_action(act, **given)


@mutation("Opportunity", OpportunitySnoozeInput)
async def opportunity_snooze(act: Act, given: Given) -> UUID:
    """Lets no alert come before a time; then it is due, unless something happens before."""
    return await opportunities.snooze(act, **given)


@mutation("Opportunity", MoveInput)
async def opportunity_unsnooze(act: Act, given: Given) -> UUID:
    """Lets alerts come again."""
    return await opportunities.unsnooze(act, **given)
