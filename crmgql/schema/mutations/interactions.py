"""Mutations of interactions."""

from __future__ import annotations

from uuid import UUID

import strawberry

from crmgql.domain import interactions
from crmgql.domain.records import Act
from crmgql.models import InteractionKind
from crmgql.schema.mutating import Given, input, mutation
from crmgql.schema.mutations.inputs import UNSET
from crmgql.schema.scalars import DateTimeText


@input
class InteractionLogInput:
    """Without a time it happened now, without an author you are it."""

    customer_id: strawberry.ID
    kind: InteractionKind
    subject: str
    body: str | None = UNSET
    occurred_at: DateTimeText | None = UNSET
    contact_id: strawberry.ID | None = UNSET
    opportunity_id: strawberry.ID | None = UNSET
    author_id: strawberry.ID | None = UNSET
    source: str | None = UNSET
    external_id: str | None = UNSET


@input
class InteractionUpdateInput:
    id: strawberry.ID
    expected_version: int | None = UNSET
    kind: InteractionKind | None = UNSET
    subject: str | None = UNSET
    body: str | None = UNSET
    occurred_at: DateTimeText | None = UNSET
    contact_id: strawberry.ID | None = UNSET
    opportunity_id: strawberry.ID | None = UNSET


@mutation("Interaction", InteractionLogInput)
async def interaction_log(act: Act, given: Given) -> UUID:
    """Logs a call, an e-mail, a meeting, a chat or a note."""
    return await interactions.log(act, **given)


@mutation("Interaction", InteractionUpdateInput)
async def interaction_update(act: Act, given: Given) -> UUID:
    """Changes what the input names."""
    return await interactions.update(act, **given)
