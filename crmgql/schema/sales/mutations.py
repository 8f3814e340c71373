"""Mutations of orders."""

from __future__ import annotations

from uuid import UUID

import strawberry

from crmgql.domain.sales import orders
from crmgql.engine.mutations import Given, input, mutation
from crmgql.engine.scalars import CurrencyCode, DateTimeText, DecimalText
from crmgql.records.records import Act
from crmgql.schema.shared_inputs import UNSET, MoneyInput


@strawberry.input
class OrderLineInput:
    """A line. Without a unit price it takes the product's, without a description the product's name."""

    quantity: DecimalText
    product_id: strawberry.ID | None = UNSET
    description: str | None = UNSET
    unit_price: MoneyInput | None = UNSET
    discount: MoneyInput | None = UNSET
    shipping: MoneyInput | None = UNSET


@input
class OrderCreateInput:
    customer_id: strawberry.ID
    lines: list[OrderLineInput]
    currency: CurrencyCode | None = UNSET
    number: str | None = UNSET
    seller_id: strawberry.ID | None = UNSET
    opportunity_id: strawberry.ID | None = UNSET
    ordered_at: DateTimeText | None = UNSET
    expected_delivery_at: DateTimeText | None = UNSET
    note: str | None = UNSET
    tax: MoneyInput | None = UNSET
    discount: MoneyInput | None = UNSET
    source: str | None = UNSET
    external_id: str | None = UNSET


@input
class OrderUpdateInput:
    id: strawberry.ID
    expected_version: int | None = UNSET
    number: str | None = UNSET
    seller_id: strawberry.ID | None = UNSET
    expected_delivery_at: DateTimeText | None = UNSET
    note: str | None = UNSET
    tax: MoneyInput | None = UNSET
    discount: MoneyInput | None = UNSET


@input
class OrderSetLinesInput:
    id: strawberry.ID
    lines: list[OrderLineInput]
    expected_version: int | None = UNSET


@input
class OrderMoveInput:
    id: strawberry.ID
    expected_version: int | None = UNSET
    reason: str | None = UNSET


@mutation("Order", OrderCreateInput)
async def order_create(act: Act, given: Given) -> UUID:
    """Makes a draft order; the totals are computed from its lines."""
    return await orders.create(act, **given | {"lines": _lines(given)})


@mutation("Order", OrderUpdateInput)
async def order_update(act: Act, given: Given) -> UUID:
    """Changes what the input names."""
    return await orders.update(act, **given)


@mutation("Order", OrderSetLinesInput)
async def order_set_lines(act: Act, given: Given) -> UUID:
    """Replaces the lines of a draft."""
    return await orders.set_lines(act, **given | {"lines": _lines(given)})


@mutation("Order", OrderMoveInput)
async def order_confirm(act: Act, given: Given) -> UUID:
    """Confirms a draft: from now on its amounts are fixed and owed."""
    return await orders.move(act, "confirm", **given)


@mutation("Order", OrderMoveInput)
async def order_process(act: Act, given: Given) -> UUID:
    """Starts work on a confirmed order, or takes it off hold."""
    return await orders.move(act, "process", **given)


@mutation("Order", OrderMoveInput)
async def order_invoice(act: Act, given: Given) -> UUID:
    """Marks an order as invoiced."""
    return await orders.move(act, "invoice", **given)


@mutation("Order", OrderMoveInput)
async def order_ship(act: Act, given: Given) -> UUID:
    """Marks an order as shipped."""
    return await orders.move(act, "ship", **given)


@mutation("Order", OrderMoveInput)
async def order_deliver(act: Act, given: Given) -> UUID:
    """Marks a shipped order as delivered."""
    return await orders.move(act, "deliver", **given)


@mutation("Order", OrderMoveInput)
async def order_hold(act: Act, given: Given) -> UUID:
    """Marks an order as unavailable until goods arrive."""
    return await orders.move(act, "hold", **given)


@mutation("Order", OrderMoveInput)
async def order_cancel(act: Act, given: Given) -> UUID:
    """Cancels an order that is not shipped and has no payments."""
    return await orders.move(act, "cancel", **given)


def _lines(given: Given) -> list[orders.Line]:
    return [orders.Line(**line) for line in given["lines"]]
