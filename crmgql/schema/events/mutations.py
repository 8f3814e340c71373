"""The mutation that erases a person."""

from __future__ import annotations

from uuid import UUID

import strawberry

from crmgql.domain.customers import erasure
from crmgql.engine.mutations import Given, input, mutation
from crmgql.records.records import Act
from crmgql.schema.shared_inputs import UNSET


@input
class PersonEraseInput:
    """A customer that is a person, a contact, or a lead: one of them. Do not name the person in `reason`: it stays."""

    customer_id: strawberry.ID | None = UNSET
    contact_id: strawberry.ID | None = UNSET
    lead_id: strawberry.ID | None = UNSET
    reason: str | None = UNSET


@mutation("Erasure", PersonEraseInput)
async def person_erase(act: Act, given: Given) -> UUID:
    """Blanks a person everywhere, for good: records, e-mails, notifications, the trail. Who is the same person goes with it."""
    return await erasure.erase(act, **given)
