"""The mutation that erases a person."""

from __future__ import annotations

import strawberry

from crmgql.domain.customers import erasure
from crmgql.engine import mutations
from crmgql.engine.inputs import UNSET, input
from crmgql.engine.mutations import Row


@input
class PersonEraseInput:
    """A customer that is a person, a contact, or a lead: one of them. Do not name the person in `reason`: it stays."""

    customer_id: strawberry.ID | None = UNSET
    contact_id: strawberry.ID | None = UNSET
    lead_id: strawberry.ID | None = UNSET
    reason: str | None = UNSET


mutations.table(
    "Erasure",
    Row(
        "personErase",
        "Erases a person for good: from records, e-mails, notifications, events and the audit trail, with all records of the same person.",
        erasure.erase,
        input=PersonEraseInput,
    ),
)
