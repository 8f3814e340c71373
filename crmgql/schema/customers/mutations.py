"""Mutations of customers and their contacts."""

from __future__ import annotations

from uuid import UUID

import strawberry

from crmgql.domain.customers import contacts, customers
from crmgql.engine.mutations import Given, input, mutation
from crmgql.engine.scalars import CurrencyCode, EmailAddress, Url
from crmgql.models import CustomerKind, CustomerStatus
from crmgql.records.records import Act
from crmgql.schema.shared_inputs import UNSET, MoneyInput, MoveInput


@input
class CustomerCreateInput:
    """Without an owner it is yours if you sell or manage."""

    name: str
    kind: CustomerKind | None = UNSET
    status: CustomerStatus | None = UNSET
    email: EmailAddress | None = UNSET
    phone: str | None = UNSET
    website: Url | None = UNSET
    industry: str | None = UNSET
    region: str | None = UNSET
    country: str | None = UNSET
    state: str | None = UNSET
    city: str | None = UNSET
    postal_code: str | None = UNSET
    currency: CurrencyCode | None = UNSET
    founded_year: int | None = UNSET
    employee_count: int | None = UNSET
    annual_revenue: MoneyInput | None = UNSET
    notes: str | None = UNSET
    owner_id: strawberry.ID | None = UNSET
    parent_id: strawberry.ID | None = UNSET
    source: str | None = UNSET
    external_id: str | None = UNSET


@input
class CustomerUpdateInput:
    id: strawberry.ID
    expected_version: int | None = UNSET
    name: str | None = UNSET
    kind: CustomerKind | None = UNSET
    status: CustomerStatus | None = UNSET
    email: EmailAddress | None = UNSET
    phone: str | None = UNSET
    website: Url | None = UNSET
    industry: str | None = UNSET
    region: str | None = UNSET
    country: str | None = UNSET
    state: str | None = UNSET
    city: str | None = UNSET
    postal_code: str | None = UNSET
    currency: CurrencyCode | None = UNSET
    founded_year: int | None = UNSET
    employee_count: int | None = UNSET
    annual_revenue: MoneyInput | None = UNSET
    notes: str | None = UNSET
    owner_id: strawberry.ID | None = UNSET
    parent_id: strawberry.ID | None = UNSET


@mutation("Customer", CustomerCreateInput)
async def customer_create(act: Act, given: Given) -> UUID:
    """Makes a customer."""
    return await customers.create(act, **given)


@mutation("Customer", CustomerUpdateInput)
async def customer_update(act: Act, given: Given) -> UUID:
    """Changes what the input names, owner and status included."""
    return await customers.update(act, **given)


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
