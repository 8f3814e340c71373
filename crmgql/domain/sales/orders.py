"""Orders: made as drafts with their lines, then moved through their statuses. Totals are always computed here.

`MOVES` says which changes of status are allowed.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from crmgql import access
from crmgql.domain.customers import customers
from crmgql.domain.opportunities import opportunities
from crmgql.domain.people import users
from crmgql.domain.sales import contracts, credit, revenue
from crmgql.errors import BadUserInput, Conflict, IllegalTransition
from crmgql.events import outbox
from crmgql.events.canonical import as_json
from crmgql.models import Order, OrderLine, Product
from crmgql.records import checks, money, records
from crmgql.records.columns import ORIGIN, takes
from crmgql.records.money import Money
from crmgql.records.moves import Move, Moves
from crmgql.records.records import Act, Row

FACTS = "number seller_id contract_id expected_delivery_at note tax discount"
MAX_LINES = 500
LINE = (
    "position",
    "product_id",
    "description",
    "quantity",
    "currency",
    "unit_price_amount",
    "discount_amount",
    "shipping_amount",
    "line_amount",
    "unit_cost_amount",
)
"""The columns of a line that `_price` computes."""
PRICED = ", ".join(LINE[1:])

LINES = "SELECT * FROM order_lines WHERE customer_id = $1 AND order_id = $2 ORDER BY position, id"
CHANGE_LINES = f"""
WITH given AS MATERIALIZED (SELECT position, {PRICED} FROM jsonb_populate_recordset(NULL::order_lines, $3)), gone AS (
    DELETE FROM order_lines WHERE customer_id = $1 AND order_id = $2 AND position NOT IN (SELECT position FROM given)
)
UPDATE order_lines l SET ({PRICED}, version, updated_at) = (SELECT {PRICED}, l.version + 1, $4::timestamptz FROM given WHERE position = l.position)
WHERE customer_id = $1 AND order_id = $2 AND EXISTS (
    SELECT FROM given WHERE position = l.position AND ({", ".join(f"given.{name}" for name in LINE[1:])})
        IS DISTINCT FROM ({", ".join(f"l.{name}" for name in LINE[1:])}))"""
DELETE_LINES = "DELETE FROM order_lines WHERE customer_id = $1 AND order_id = $2"
# Parameters: customer, order.
IS_PAID = """
SELECT EXISTS (
    SELECT FROM open_items WHERE customer_id = $1 AND order_id = $2 AND purpose = 'RECEIVABLE' AND (settled <> 0 OR crediting <> 0)
) OR EXISTS (SELECT FROM payments WHERE customer_id = $1 AND order_id = $2 AND status = 'PENDING' AND amount > 0)"""
CONFLICTS = {
    "orders_number": ("number", "Another order has this number."),
    "orders_invoiced": ("id", "It would come to less than what is invoiced of it; credit its invoices instead."),
    "orders_opportunity_customer": opportunities.OF_ANOTHER,
}
NEXT_NUMBER = """
WITH RECURSIVE drawn AS (
    SELECT 'SO-' || nextval('order_numbers') AS number
    UNION ALL
    SELECT 'SO-' || nextval('order_numbers') FROM drawn WHERE EXISTS (SELECT FROM orders o WHERE o.number = drawn.number)
)
SELECT number FROM drawn WHERE NOT EXISTS (SELECT FROM orders o WHERE o.number = drawn.number)"""
"""The next free number: numbers from clients and imports may look like ours."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line as requested. Without a unit price it has the product's; without a description, the product's name."""

    quantity: Decimal
    product_id: UUID | None = None
    description: str | None = None
    unit_price: Money | None = None
    discount: Money | None = None
    shipping: Money | None = None


MOVES = Moves(
    Order,
    confirm=Move({"DRAFT"}, "CONFIRMED", "order.confirmed", "confirmed_at"),
    process=Move({"CONFIRMED", "UNAVAILABLE"}, "PROCESSING", "order.processing"),
    invoice=Move({"CONFIRMED", "PROCESSING"}, "INVOICED", "order.invoiced"),
    ship=Move({"CONFIRMED", "PROCESSING", "INVOICED"}, "SHIPPED", "order.shipped", "shipped_at"),
    deliver=Move({"SHIPPED"}, "DELIVERED", "order.delivered", "delivered_at"),
    amend=Move({"CONFIRMED", "PROCESSING", "UNAVAILABLE"}),
    hold=Move({"CONFIRMED", "PROCESSING"}, "UNAVAILABLE", "order.held"),
    cancel=Move(
        {"DRAFT", "CONFIRMED", "PROCESSING", "INVOICED", "UNAVAILABLE"}, "CANCELLED", "order.cancelled", "cancelled_at"
    ),
)


@takes(Order, ORIGIN)
async def create(
    act: Act,
    *,
    customer_id: UUID,
    lines: Sequence[Line],
    currency: str | None = None,
    number: str | None = None,
    seller_id: UUID | None = None,
    opportunity_id: UUID | None = None,
    contract_id: UUID | None = None,
    ordered_at: datetime | None = None,
    expected_delivery_at: datetime | None = None,
    note: str | None = None,
    tax: Money | None = None,
    discount: Money | None = None,
    **origin: Any,
) -> UUID:
    """Makes a draft order in one currency: `currency` or the customer's. The viewer is the seller unless another is named.

    An opportunity without a customer gets the order's. Only viewers who see all orders may name a number; without one the next free number is used.
    """
    access.require_write(act.viewer, "Order")
    if number is not None:
        access.require_all(act.viewer, "Order", field="number")
    customer = await customers.living(act, customer_id, field="customerId")
    currency = currency or customer["currency"]
    seller_id = await users.assignable(act, seller_id or act.viewer.user_id, field="sellerId")
    if opportunity_id is not None:
        await opportunities.give_customer(act, opportunity_id, customer_id)
    if contract_id is not None:
        await contracts.takes_orders(act, contract_id, customer_id)
    priced = await _priced(act, lines, currency)
    values = {
        "customer_id": customer_id,
        "seller_id": seller_id,
        "opportunity_id": opportunity_id,
        "contract_id": contract_id,
        "currency": currency,
        "ordered_at": ordered_at or act.now,
        "expected_delivery_at": expected_delivery_at,
        "note": note,
        **_totals(priced, currency, _amount(tax, currency, "tax"), _amount(discount, currency, "discount")),
        "number": number if number is not None else await act.tx.connection.fetchval(NEXT_NUMBER),
        **origin,
    }
    try:
        order = await records.create(act, Order, values, kind="order.created", conflicts=CONFLICTS)
    except Conflict as error:
        if number is None and error.field == "number":  # another transaction has used it in the meantime
            raise records.Collided from error
        raise
    await _insert_lines(act, order, priced)
    return order["id"]  # type: ignore[no-any-return]


async def set_lines(act: Act, *, id: UUID, lines: Sequence[Line], expected_version: int | None = None) -> UUID:
    """Replaces a draft's lines; the same lines change nothing."""
    access.require_write(act.viewer, "Order")
    order = await records.lock(act, Order, id, expected_version=expected_version)
    _require_draft(order)
    priced = await _priced(act, lines, order["currency"])
    before = await act.tx.connection.fetch(LINES, order["customer_id"], id)
    if [_line(row) for row in before] == priced:
        return id
    await act.tx.connection.execute(DELETE_LINES, order["customer_id"], id)
    totals = _totals(priced, order["currency"], order["tax_amount"], order["discount_amount"])
    payload = {"lines": len(priced)}
    order = await records.change(act, Order, order, totals, kind="order.linesSet", payload=payload, touch=True)
    await _insert_lines(act, order, priced)
    return id


@takes(Order, FACTS)
async def update(act: Act, *, id: UUID, expected_version: int | None = None, **changes: Any) -> UUID:
    """Changes note, seller and dates; tax and discount of a draft; the number under the same rule as `create`."""
    access.require_write(act.viewer, "Order")
    order = await records.lock(act, Order, id, expected_version=expected_version)
    if changes.get("number", order["number"]) != order["number"]:
        access.require_all(act.viewer, "Order", field="number")
    if "seller_id" in changes and changes["seller_id"] != order["seller_id"]:
        await users.assignable(act, changes["seller_id"], field="sellerId")
    if changes.get("contract_id", order["contract_id"]) not in (None, order["contract_id"]):
        await contracts.takes_orders(act, changes["contract_id"], order["customer_id"])
    if "tax" in changes or "discount" in changes:
        _require_draft(order)
        currency = order["currency"]
        tax = _amount(changes.pop("tax", (order["tax_amount"], currency)), currency, "tax")
        discount = _amount(changes.pop("discount", (order["discount_amount"], currency)), currency, "discount")
        net = order["subtotal_amount"] + order["shipping_amount"]
        changes |= _sums(order["subtotal_amount"], order["shipping_amount"], tax, discount, net)
    await records.change(act, Order, order, changes, kind="order.updated", conflicts=CONFLICTS)
    return id


@takes(Order, "tax discount")
async def amend(
    act: Act,
    *,
    id: UUID,
    reason: str,
    lines: Sequence[Line] | None = None,
    expected_version: int | None = None,
    **changes: Any,
) -> tuple[Row, Row]:
    """Changes lines, tax or discount of an order that is committed and not shipped yet: the order before and after it.

    It is not booked here, and no commit succeeds before it is. What of the order stays the same stays as it was sold: a product
    keeps its cost, and need not be on sale any more.
    """
    before, _ = await MOVES.lock(act, "amend", id, expected_version=expected_version)
    checks.check_text(reason, "reason", longest=1000)
    currency, zero = before["currency"], money.rounded(Decimal(0), before["currency"])
    tax = _amount(changes.get("tax", (before["tax_amount"], currency)), currency, "tax")
    discount = _amount(changes.get("discount", (before["discount_amount"], currency)), currency, "discount")
    old: list[Row] = [dict(row) for row in await act.tx.connection.fetch(LINES, before["customer_id"], id)]
    new = await _amended(act, old, lines, currency)
    if lines is None and not old:  # an imported order may have sums and no lines
        net = before["subtotal_amount"] + before["shipping_amount"]
        totals = _sums(before["subtotal_amount"], before["shipping_amount"], tax, discount, net + zero)
    else:
        totals = _totals(new, currency, tax, discount)
    has_lines_changed = [_line(row) for row in old] != new
    payload = {
        "reason": reason,
        "total_before": (before["total_amount"], currency),
        "total": (totals["total_amount"], currency),
    }
    after = await records.change(
        act,
        Order,
        before,
        totals,
        kind="order.amended",
        conflicts=CONFLICTS,
        payload=payload,
        touch=has_lines_changed,
    )
    if has_lines_changed:
        await _replace_lines(act, after, old, new)
    return before, after


async def _amended(act: Act, old: Sequence[Row], lines: Sequence[Line] | None, currency: str) -> list[Row]:
    if lines is None:
        return [_line(row) for row in old]
    if not lines:
        raise BadUserInput("An order needs a line; cancel it if nothing of it is left.", field="lines")
    costs = {row["product_id"]: row["unit_cost_amount"] for row in reversed(old) if row["product_id"] is not None}
    new = await _priced(act, lines, currency, sold=costs.keys())
    return [row | {"unit_cost_amount": costs.get(row["product_id"], row["unit_cost_amount"])} for row in new]


def _line(row: Row) -> Row:
    return {column: row[column] for column in LINE}


async def _replace_lines(act: Act, order: Row, old: Sequence[Row], new: Sequence[Row]) -> None:
    """Lines at the same position stay the same records."""
    place = {row["position"] for row in old}
    kept = [row for row in new if row["position"] in place]
    await act.tx.connection.execute(CHANGE_LINES, order["customer_id"], order["id"], as_json(kept), act.now)
    await _insert_lines(act, order, [row for row in new if row["position"] not in place])


async def move(
    act: Act, verb: str, *, id: UUID, expected_version: int | None = None, reason: str | None = None
) -> UUID:
    """Confirms, processes, invoices, ships, delivers, holds or cancels. What is confirmed is booked, what is cancelled taken back; what
    waited for the shipment becomes revenue."""
    order, move = await MOVES.lock(act, verb, id, expected_version=expected_version)
    if verb == "confirm":
        await _require_lines(act, order)
    if verb == "cancel":
        await _refuse_paid(act, order)
    if verb == "invoice":
        _refuse_partly_invoiced(order)
    payload = {"reason": reason} if reason is not None else None
    checks.check_text(reason or "", "reason", longest=1000)
    await records.change(act, Order, order, move.changes(act.now), kind=move.event, payload=payload)
    if verb in ("confirm", "ship", "cancel"):
        await outbox.record_many(act.tx, act.viewer, await revenue.follow(act, [id], on=act.today))
    if verb == "confirm":
        await credit.warn(act, order)
    return id


def _require_draft(order: Row) -> None:
    if order["status"] != "DRAFT":
        raise IllegalTransition(
            f"Lines and amounts of a {order['status']} order are fixed; only a DRAFT's can change.", field="id"
        )


async def _require_lines(act: Act, order: Row) -> None:
    sql = "SELECT count(*) FROM order_lines WHERE customer_id = $1 AND order_id = $2"
    if await act.tx.connection.fetchval(sql, order["customer_id"], order["id"]) == 0:
        raise IllegalTransition("An order without lines can't be confirmed; add lines first.", field="id")


def _refuse_partly_invoiced(order: Row) -> None:
    if 0 < order["invoiced_amount"] < order["total_amount"]:
        raise IllegalTransition(
            f"Only {order['invoiced_amount']} of the order's {order['total_amount']} is invoiced; it becomes INVOICED with its"
            " last invoice.",
            field="id",
        )


async def _refuse_paid(act: Act, order: Row) -> None:
    if order["invoiced_amount"]:
        raise Conflict("The order is invoiced, so it can't be cancelled; credit its invoices instead.", field="id")
    if await act.tx.connection.fetchval(IS_PAID, order["customer_id"], order["id"]):
        raise Conflict(
            "Something of the order is settled, or a payment for it is pending, so it can't be cancelled; undo its"
            " allocations, or cancel the payment, first.",
            field="id",
        )


async def _priced(act: Act, lines: Sequence[Line], currency: str, *, sold: Collection[UUID] = frozenset()) -> list[Row]:
    """The lines as rows, in their order, with prices rounded half up to the currency. `sold`: products that need not be ACTIVE."""
    if len(lines) > MAX_LINES:
        raise BadUserInput(f"An order has at most {MAX_LINES} lines, not {len(lines)}.", field="lines")
    products = await records.visible_many(act, Product, [each.product_id for each in lines if each.product_id])
    return [_price(line, currency, index, products, sold) for index, line in enumerate(lines)]


def _price(line: Line, currency: str, index: int, products: Mapping[UUID, Row], sold: Collection[UUID]) -> Row:
    at = _at(index)
    product = None
    if line.product_id is not None:
        product = products.get(line.product_id)
        if product is None:
            raise records.not_found(Product, field=f"{at}productId")
        if product["status"] != "ACTIVE" and line.product_id not in sold:
            raise BadUserInput(
                f"The product is {product['status']}; only ACTIVE ones are sold.", field=f"{at}productId"
            )
    description = line.description or (product["name"] if product else None)
    if description is None:
        raise BadUserInput("A line needs a description or a product.", field=f"{at}description")
    checks.check(OrderLine, {"quantity": checks.positive(line.quantity, field=f"{at}quantity")}, prefix=at)
    unit_price = line.unit_price
    if unit_price is None and product is not None and product["price_amount"] is not None:
        unit_price = (product["price_amount"], product["currency"])
    if unit_price is None:
        raise BadUserInput("A line needs a unit price, or a product that has one.", field=f"{at}unitPrice")
    price = _amount(unit_price, currency, f"{at}unitPrice")
    discount = _amount(line.discount, currency, f"{at}discount")
    exact = line.quantity * price
    if exact >= money.LIMIT:  # more digits than Decimal's context has can't be quantized
        raise BadUserInput("Quantity times unit price is too large.", field=f"{at}quantity")
    gross = money.rounded(exact, currency)
    if discount > gross:
        raise BadUserInput(f"The discount is more than the line's {gross}.", field=f"{at}discount")
    cost = product["cost_amount"] if product and product["currency"] == currency else None
    return {
        "position": index + 1,
        "product_id": line.product_id,
        "description": description,
        "quantity": line.quantity,
        "currency": currency,
        "unit_price_amount": price,
        "discount_amount": discount,
        "shipping_amount": _amount(line.shipping, currency, f"{at}shipping"),
        "line_amount": gross - discount,
        "unit_cost_amount": cost,
    }


def _amount(sent: Money | None, currency: str, field: str) -> Decimal:
    """An amount in the order's currency; None is zero."""
    return money.amount(sent or (Decimal(0), currency), currency, field=field)


def _totals(lines: Sequence[Row], currency: str, tax: Decimal, discount: Decimal) -> Row:
    zero = money.rounded(Decimal(0), currency)
    subtotal = sum((line["line_amount"] for line in lines), zero)
    shipping = sum((line["shipping_amount"] for line in lines), zero)
    return _sums(subtotal, shipping, tax, discount, subtotal + shipping)


def _sums(subtotal: Decimal, shipping: Decimal, tax: Decimal, discount: Decimal, net: Decimal) -> Row:
    total = net + tax - discount
    if total < 0:
        raise BadUserInput(f"The discount is more than the order's {net + tax}.", field="discount")
    return {
        "subtotal_amount": subtotal,
        "shipping_amount": shipping,
        "tax_amount": tax,
        "discount_amount": discount,
        "total_amount": total,
    }


async def _insert_lines(act: Act, order: Row, lines: Sequence[Row]) -> None:
    owner = {"customer_id": order["customer_id"], "order_id": order["id"]}
    await records.insert_many(act, OrderLine, [{**owner, **line} for line in lines], each=_at)


def _at(index: int) -> str:
    """The prefix of a line's fields in errors."""
    return f"lines.{index}."
