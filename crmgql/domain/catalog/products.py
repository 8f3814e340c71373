"""Products: drafted, sold, retired. Price and cost are in the product's one currency."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from crmgql import access
from crmgql.errors import BadUserInput, Conflict
from crmgql.models import Product
from crmgql.records import money, records
from crmgql.records.columns import ORIGIN, takes
from crmgql.records.moves import Move, Moves
from crmgql.records.records import Act, Row

FACTS = "name sku category description specs price cost recognition recognition_months counts_as_revenue"
"""What may be set of a product beside its currency and status."""

CONFLICTS = {
    "products_sku": ("sku", "Another product has this SKU."),
    "products_recognition_months": ("recognitionMonths", "OVER_TIME takes 1 to 120 months, the others take none."),
}
MOVES = Moves(
    Product,
    activate=Move({"DRAFT", "END_OF_LIFE"}, "ACTIVE", "product.activated"),
    retire=Move({"DRAFT", "ACTIVE"}, "END_OF_LIFE", "product.retired"),
)
USED = "SELECT EXISTS (SELECT FROM order_lines WHERE product_id = $1)"


@takes(Product, FACTS, "currency", ORIGIN)
async def create(act: Act, *, status: str | None = None, **values: Any) -> UUID:
    """Makes a product, a draft unless `status` is ACTIVE; in `currency`, else in that of its price or cost."""
    access.require_write(act.viewer, "Product")
    if status == "END_OF_LIFE":
        raise BadUserInput("A new product is DRAFT or ACTIVE.", field="status")
    values |= {"status": status or "DRAFT", **_amounts(act, values, None)}
    product = await records.create(act, Product, values, kind="product.created", conflicts=CONFLICTS)
    return product["id"]  # type: ignore[no-any-return]


@takes(Product, FACTS, "currency")
async def update(act: Act, *, id: UUID, expected_version: int | None = None, **changes: Any) -> UUID:
    """Changes what is named."""
    access.require_write(act.viewer, "Product")
    product = await records.lock(act, Product, id, expected_version=expected_version)
    if changes.get("currency") not in (None, product["currency"]) and await _was_ordered(act, id):
        raise Conflict("The product was ordered, so its currency is fixed; make another product.", field="currency")
    changes |= _amounts(act, changes, product)
    if changes.get("recognition", "OVER_TIME") != "OVER_TIME":
        changes.setdefault("recognition_months", None)
    await records.change(act, Product, product, changes, kind="product.updated", conflicts=CONFLICTS)
    return id


async def move(act: Act, verb: str, *, id: UUID, expected_version: int | None = None) -> UUID:
    """Activates or retires."""
    product, move = await MOVES.lock(act, verb, id, expected_version=expected_version)
    await records.change(act, Product, product, move.changes(act.now), kind=move.event)
    return id


def _amounts(act: Act, values: Row, before: Row | None) -> Row:
    if "cost" in values:
        access.require(act.viewer, "cost.write", "Changing cost", field="cost")
    return money.columns(values, "price", "cost", before=before)


async def _was_ordered(act: Act, id: UUID) -> bool:
    return await act.tx.connection.fetchval(USED, id)  # type: ignore[no-any-return]
