"""Mutations of customers."""

from __future__ import annotations

from uuid import UUID

import strawberry

from crmgql.domain import customers
from crmgql.domain.records import Act
from crmgql.models import CustomerKind, CustomerStatus
from crmgql.schema.mutating import Given, input, mutation
from crmgql.schema.mutations.inputs import UNSET, MoneyInput
from crmgql.schema.scalars import CurrencyCode, EmailAddress, Url


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
