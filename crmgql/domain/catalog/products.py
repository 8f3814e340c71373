"""Products: drafted, sold, retired. Price and cost are in the product's one currency."""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from uuid import UUID

from crmgql import access
from crmgql.errors import BadUserInput, Conflict, CurrencyMismatch
from crmgql.models import Product
from crmgql.records import checks, records
from crmgql.records.columns import ORIGIN, takes
from crmgql.records.moves import Move, Moves
from crmgql.records.records import Act, Row

FACTS = "name sku category description specs price cost"
"""What is said of a product beside its currency and status."""

CONFLICTS = {"products_sku": ("sku", "Another product has this SKU.")}
MOVES = Moves(
    Product,
    activate=Move({"DRAFT", "END_OF_LIFE"}, "ACTIVE", "product.activated"),
    retire=Move({"DRAFT", "ACTIVE"}, "END_OF_LIFE", "product.retired"),
)
MONEY = ("price", "cost")
USED = "SELECT EXISTS (SELECT FROM order_lines WHERE product_id = $1)"


@takes(Product, FACTS, ORIGIN)
async def create(act: Act, *, currency: str | None = None, status: str | None = None, **values: Any) -> UUID:
    """A product, a draft unless made active; in the given currency, else its price's or cost's."""
    access.require_write(act.viewer, "Product")
    if status == "END_OF_LIFE":
        raise BadUserInput("A new product is DRAFT or ACTIVE.", field="status")
    given: list[tuple[Decimal, str]] = [values[name] for name in MONEY if values.get(name) is not None]
    currency = currency or (given[0][1] if given else None)
    values |= {"currency": currency, "status": status or "DRAFT", **_amounts(act, values, currency or "")}
    product = await records.create(act, Product, values, kind="product.created", conflicts=CONFLICTS)
    return product["id"]  # type: ignore[no-any-return]


@takes(Product, FACTS, "currency")
async def update(act: Act, *, id: UUID, expected_version: int | None = None, **changes: Any) -> UUID:
    """Changes what is named."""
    access.require_write(act.viewer, "Product")
    product = await records.lock(act, Product, id, expected_version=expected_version)
    currency = changes.get("currency") or product["currency"]
    changes |= _amounts(act, changes, currency)
    if currency != product["currency"]:
        await _check_currency(act, product, changes)
    await records.change(act, Product, product, changes, kind="product.updated", conflicts=CONFLICTS)
    return id


async def move(act: Act, verb: str, *, id: UUID, expected_version: int | None = None) -> UUID:
    """Activates or retires."""
    product, move = await MOVES.lock(act, verb, id, expected_version=expected_version)
    await records.change(act, Product, product, move.changes(act.now), kind=move.event)
    return id


def _amounts(act: Act, values: Row, currency: str) -> Row:
    """Takes price and cost out of the values and answers them as columns."""
    if "cost" in values:
        access.require(act.viewer, "cost.write", "Changing cost", field="cost")
    return {f"{name}_amount": checks.money(values.pop(name), currency, field=name) for name in MONEY if name in values}


async def _check_currency(act: Act, product: Row, changes: Row) -> None:
    if await act.tx.connection.fetchval(USED, product["id"]):
        raise Conflict("The product was ordered, so its currency is fixed; make another product.", field="currency")
    for name in MONEY:
        if product[f"{name}_amount"] is not None and f"{name}_amount" not in changes:
            raise CurrencyMismatch(f"The {name} is in {product['currency']}; give it anew.", field="currency")
