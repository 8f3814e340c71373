"""Mutations of products."""

from __future__ import annotations

from uuid import UUID

import strawberry

from crmgql.domain.catalog import products
from crmgql.engine.mutations import Given, input, mutation
from crmgql.engine.scalars import CurrencyCode, JsonValue
from crmgql.models import ProductStatus
from crmgql.records.records import Act
from crmgql.schema.shared_inputs import UNSET, MoneyInput, MoveInput


@input
class ProductCreateInput:
    """A draft unless its status is ACTIVE. Price and cost are in one currency; `specs` is a JSON object."""

    name: str
    sku: str | None = UNSET
    category: str | None = UNSET
    description: str | None = UNSET
    status: ProductStatus | None = UNSET
    specs: JsonValue | None = UNSET
    price: MoneyInput | None = UNSET
    cost: MoneyInput | None = UNSET
    currency: CurrencyCode | None = UNSET
    source: str | None = UNSET
    external_id: str | None = UNSET


@input
class ProductUpdateInput:
    id: strawberry.ID
    expected_version: int | None = UNSET
    name: str | None = UNSET
    sku: str | None = UNSET
    category: str | None = UNSET
    description: str | None = UNSET
    specs: JsonValue | None = UNSET
    price: MoneyInput | None = UNSET
    cost: MoneyInput | None = UNSET
    currency: CurrencyCode | None = UNSET


@mutation("Product", ProductCreateInput)
async def product_create(act: Act, given: Given) -> UUID:
    """Makes a product."""
    return await products.create(act, **given)


@mutation("Product", ProductUpdateInput)
async def product_update(act: Act, given: Given) -> UUID:
    """Changes what the input names; the currency only of a product that was never ordered."""
    return await products.update(act, **given)


@mutation("Product", MoveInput)
async def product_activate(act: Act, given: Given) -> UUID:
    """Puts a draft or a retired product on sale."""
    return await products.move(act, "activate", **given)


@mutation("Product", MoveInput)
async def product_retire(act: Act, given: Given) -> UUID:
    """Takes a product off sale: the end of its life."""
    return await products.move(act, "retire", **given)
