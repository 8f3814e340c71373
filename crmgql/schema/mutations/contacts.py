"""Mutations of contacts."""

from __future__ import annotations

from uuid import UUID

import strawberry

from crmgql.domain import contacts
from crmgql.domain.records import Act
from crmgql.schema.mutating import Given, input, mutation
from crmgql.schema.mutations.inputs import UNSET, MoveInput
from crmgql.schema.scalars import EmailAddress


@input
class ContactCreateInput:
    customer_id: strawberry.ID
    name: str
    title: str | None = UNSET
    email: EmailAddress | None = UNSET
    phone: str | None = UNSET
    primary: bool | None = UNSET
    source: str | None = UNSET
    external_id: str | None = UNSET


@input
class ContactUpdateInput:
    id: strawberry.ID
    expected_version: int | None = UNSET
    name: str | None = UNSET
    title: str | None = UNSET
    email: EmailAddress | None = UNSET
    phone: str | None = UNSET


@mutation("Contact", ContactCreateInput)
async def contact_create(act: Act, given: Given) -> UUID:
    """Makes a contact; a primary one takes the place of the primary one before."""
    return await contacts.create(act, **given)


@mutation("Contact", ContactUpdateInput)
async def contact_update(act: Act, given: Given) -> UUID:
    """Changes what the input names."""
    return await contacts.update(act, **given)


@mutation("Contact", MoveInput)
async def contact_make_primary(act: Act, given: Given) -> UUID:
    """Makes this the customer's primary contact, in place of the one before."""
    return await contacts.make_primary(act, **given)
