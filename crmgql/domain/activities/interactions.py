"""Interactions: calls, e-mails, meetings, chats and notes, as they were logged."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from crmgql import access
from crmgql.domain.customers import customers
from crmgql.domain.opportunities import opportunities
from crmgql.domain.people import users
from crmgql.models import Contact, Interaction
from crmgql.records import records
from crmgql.records.columns import ORIGIN, takes
from crmgql.records.records import Act, Row

FACTS = "kind subject body contact_id opportunity_id"
COUNTS = ("opportunity_id", "occurred_at")
"""The columns that decide for which opportunity an interaction counts as activity, and when."""

CONFLICTS = {"interactions_opportunity_customer": opportunities.OF_ANOTHER}


@takes(Interaction, FACTS, ORIGIN)
async def log(
    act: Act, *, customer_id: UUID, author_id: UUID | None = None, occurred_at: datetime | None = None, **values: Any
) -> UUID:
    """Logs an interaction: at this moment and by the viewer, unless a time or an author is named."""
    access.require_write(act.viewer, "Interaction")
    await customers.living(act, customer_id, field="customerId")
    await _check(act, customer_id, values)
    if author_id not in (None, act.viewer.user_id):
        await users.assignable(act, author_id, field="authorId")
    values |= {
        "customer_id": customer_id,
        "author_id": author_id or act.viewer.user_id,
        "occurred_at": occurred_at or act.now,
    }
    interaction = await records.create(act, Interaction, values, kind="interaction.logged", conflicts=CONFLICTS)
    if interaction["opportunity_id"] is not None:
        await opportunities.touched(act, interaction["opportunity_id"], at=interaction["occurred_at"])
    return interaction["id"]  # type: ignore[no-any-return]


@takes(Interaction, FACTS, "occurred_at")
async def update(act: Act, *, id: UUID, expected_version: int | None = None, **changes: Any) -> UUID:
    """Changes what is named. A new time or opportunity moves the activity that it counts as."""
    access.require_write(act.viewer, "Interaction")
    interaction = await records.lock(act, Interaction, id, expected_version=expected_version)
    references = ("contact_id", "opportunity_id")
    await _check(act, interaction["customer_id"], {n: changes[n] for n in references if n in changes})
    after = await records.change(
        act, Interaction, interaction, changes, kind="interaction.updated", conflicts=CONFLICTS
    )
    if any(after[name] != interaction[name] for name in COUNTS):
        await opportunities.activity_changed(act, [interaction["opportunity_id"], after["opportunity_id"]])
    return id


async def _check(act: Act, customer_id: UUID, values: Row) -> None:
    """Checks that contact and opportunity are the customer's; an opportunity without a customer becomes the customer's."""
    if values.get("contact_id") is not None:
        contact = await records.visible(act, Contact, values["contact_id"], field="contactId")
        records.require_same_customer(contact, customer_id, field="contactId")
    if values.get("opportunity_id") is not None:
        await opportunities.give_customer(act, values["opportunity_id"], customer_id)
