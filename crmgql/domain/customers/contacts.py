"""Contacts: people at a customer, at most one of whom is the primary contact."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from crmgql import access
from crmgql.domain.customers import customers, followers
from crmgql.models import Contact
from crmgql.records import records
from crmgql.records.columns import ORIGIN, takes
from crmgql.records.records import Act

FACTS = "name title email phone"
LOCK_CUSTOMER = "SELECT FROM customers WHERE id = $1 FOR NO KEY UPDATE"
PRIMARY = "SELECT id FROM contacts WHERE customer_id = $1 AND is_primary AND id IS DISTINCT FROM $2"


@takes(Contact, FACTS, ORIGIN)
async def create(act: Act, *, customer_id: UUID, primary: bool | None = None, **values: Any) -> UUID:
    """Makes a contact; with `primary` it replaces the primary contact before it."""
    access.require_write(act.viewer, "Contact")
    await customers.living(act, customer_id, field="customerId")
    if primary:
        await _step_down(act, customer_id, None)
    values |= {"customer_id": customer_id, "is_primary": primary}
    contact = await records.create(act, Contact, values, kind="contact.created")
    return contact["id"]  # type: ignore[no-any-return]


@takes(Contact, FACTS)
async def update(act: Act, *, id: UUID, expected_version: int | None = None, **changes: Any) -> UUID:
    """Changes what is named."""
    access.require_write(act.viewer, "Contact")
    contact = await records.lock(act, Contact, id, expected_version=expected_version)
    after = await records.change(act, Contact, contact, changes, kind="contact.updated")
    await followers.contacts_changed(act, followers.difference(contact, after))
    return id


async def make_primary(act: Act, *, id: UUID, expected_version: int | None = None) -> UUID:
    """Makes this the customer's primary contact in place of the one before."""
    access.require_write(act.viewer, "Contact")
    contact = await records.visible(act, Contact, id, field="id")
    await _step_down(act, contact["customer_id"], id)
    contact = await records.lock(act, Contact, id, expected_version=expected_version)
    await records.change(act, Contact, contact, {"is_primary": True}, kind="contact.madePrimary")
    return id


async def _step_down(act: Act, customer_id: UUID, successor: UUID | None) -> None:
    """Makes the primary contact an ordinary one. The customer's row is locked, so that of two changes at once the second waits."""
    await act.tx.connection.execute(LOCK_CUSTOMER, customer_id)
    before = await act.tx.connection.fetchval(PRIMARY, customer_id, successor)
    if before is not None:
        contact = await records.lock(act, Contact, before)
        await records.change(act, Contact, contact, {"is_primary": False}, kind="contact.updated")
