"""Many orders, and many lines of orders, at once. When lines change, the sums of their orders are updated."""

from __future__ import annotations

from collections.abc import Sequence

from crmgql.domain.opportunities.bulk import give_customers
from crmgql.domain.sales import revenue
from crmgql.domain.sales.orders import MOVES
from crmgql.events.outbox import Entry
from crmgql.models import Order, OrderLine
from crmgql.records.bulk import Writer
from crmgql.records.changes import Change, touched
from crmgql.records.records import Act, Row

AMOUNTS = ("subtotal_amount", "shipping_amount", "tax_amount", "discount_amount")
TOTAL = "{subtotal_amount} + {shipping_amount} + {tax_amount} - {discount_amount}"
HAS_LINES = "EXISTS (SELECT FROM order_lines l WHERE l.order_id = t.id)"
# Parameters: order ids, now. The sums are at the scale of the order's currency even without lines.
SUM_UP = """
UPDATE orders o
SET subtotal_amount = sums.subtotal, shipping_amount = sums.shipping,
    total_amount = sums.subtotal + sums.shipping + o.tax_amount - o.discount_amount,
    version = o.version + 1, updated_at = $2
FROM (
    SELECT wanted.id, count(l.id) AS lines,
        round(coalesce(sum(l.line_amount), 0), currency_scale(wanted.currency)) AS subtotal,
        round(coalesce(sum(l.shipping_amount), 0), currency_scale(wanted.currency)) AS shipping
    FROM orders wanted LEFT JOIN order_lines l ON l.order_id = wanted.id
    WHERE wanted.id = ANY($1) GROUP BY wanted.id
) sums
WHERE o.id = sums.id
RETURNING o.id, o.customer_id, o.version, sums.lines, old.subtotal_amount AS was_subtotal_amount, o.subtotal_amount,
    old.shipping_amount AS was_shipping_amount, o.shipping_amount, old.total_amount AS was_total_amount, o.total_amount"""
SUMS = ("subtotal_amount", "shipping_amount", "total_amount")


class _Orders(Writer):
    """What is committed is booked with it, on the order's own day: what comes in many at once is history."""

    zero = frozenset(AMOUNTS)
    derived = frozenset({"total_amount", "invoiced_amount", "contract"})

    def new_values(self, columns: Sequence[str]) -> dict[str, str]:
        return {"total_amount": TOTAL.format_map({name: f"s.{name}" for name in AMOUNTS})}

    async def prepare(self, act: Act, columns: Sequence[str], first: int, last: int) -> Sequence[Entry]:
        return await give_customers(act, columns, first, last)

    async def follow(self, act: Act, changes: Sequence[Change]) -> Sequence[Entry]:
        return await revenue.follow(act, [change.id for change in changes])

    def changed_values(self, updates: dict[str, str]) -> dict[str, str]:
        """An order with lines keeps the sums of its lines."""
        for name in {"subtotal_amount", "shipping_amount"} & updates.keys():
            updates[name] = f"CASE WHEN {HAS_LINES} THEN t.{name} ELSE {updates[name]} END"
        updates["total_amount"] = TOTAL.format_map({name: f"({updates.get(name, f't.{name}')})" for name in AMOUNTS})
        return updates


class _Lines(Writer):
    """A line has no event of its own: it is a part of its order, whose lines were set."""

    zero = frozenset({"discount_amount", "shipping_amount"})
    derived = frozenset({"line_amount"})
    returned = ("order_id",)

    def new_values(self, columns: Sequence[str]) -> dict[str, str]:
        quantity = "s.quantity" if "quantity" in columns else "1"
        rounded = f"round({quantity} * s.unit_price_amount, currency_scale(s.currency))"
        return {"line_amount": f"{rounded} - s.discount_amount"}

    def changed_values(self, updates: dict[str, str]) -> dict[str, str]:
        quantity = updates.get("quantity", "t.quantity")
        discount = updates.get("discount_amount", "t.discount_amount")
        price = f"round({quantity} * EXCLUDED.unit_price_amount, currency_scale(EXCLUDED.currency))"
        return {**updates, "line_amount": f"{price} - {discount}"}

    async def follow(self, act: Act, changes: Sequence[Change]) -> Sequence[Entry]:
        orders = sorted({change.row["order_id"] for change in changes} | set(touched(changes, "order_id")))
        summed = await act.tx.connection.fetch(SUM_UP, orders, act.now)
        return [*map(_lines_set, summed), *await revenue.follow(act, orders)]

    async def entries(self, act: Act, changes: Sequence[Change]) -> list[Entry]:
        return []


def _lines_set(order: Row) -> Entry:
    changes = {name: (order[f"was_{name}"], order[name]) for name in SUMS if order[f"was_{name}"] != order[name]}
    payload = {"version": order["version"], "lines": order["lines"]}
    return Entry("order.linesSet", ("Order", order["id"]), order["customer_id"], changes, payload)


orders = _Orders(Order, "order.created", "order.updated", by_status=MOVES.events)
order_lines = _Lines(OrderLine, "order.linesSet", "order.linesSet", demands="Order")
