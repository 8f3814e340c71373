"""What is computed rather than stored, over Python rows: counts, sums, what is owed, margins, the latest activity."""

from __future__ import annotations

from collections import defaultdict
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from tests.access.rules import TABLE_OF, Row, Sight

SOLD = {"CONFIRMED", "PROCESSING", "INVOICED", "SHIPPED", "DELIVERED"}
DECIMALS = {"JPY": 0, "KWD": 3}
COMPUTED = {
    *(("Order", name) for name in ("paid", "outstanding", "cost", "margin")),
    *(("Customer", name) for name in ("orderCount", "lifetimeValue", "outstanding", "currencies", "lastActivityAt")),
    ("Product", "margin"),
}


def rounded(amount: Decimal, currency: str) -> Decimal:
    return amount.quantize(Decimal(1).scaleb(-DECIMALS.get(currency, 2)), ROUND_HALF_UP)


def money(amount: Decimal | None, currency: str) -> dict[str, str] | None:
    """Money as the API writes it: with the currency's decimals."""
    return None if amount is None else {"amount": format(rounded(amount, currency), "f"), "currency": currency}


class Values:
    """Computed values for one viewer."""

    def __init__(self, rows: dict[str, list[Row]], sight: Sight) -> None:
        self.lines: dict[Any, list[Row]] = defaultdict(list)
        self.received: dict[Any, Decimal] = defaultdict(Decimal)
        self.under: dict[tuple[str, Any], list[Row]] = defaultdict(list)
        for line in rows["order_lines"]:
            self.lines[line["order_id"]].append(line)
        for payment in rows["payments"]:
            if payment["status"] == "RECEIVED":
                self.received[payment["order_id"]] += payment["amount"]
        for kind in ("Order", "Payment", "Interaction", "Ticket"):
            for row in rows[TABLE_OF[kind]]:
                if sight.sees(kind, row):
                    self.under[kind, row["customer_id"]].append(row)

    def of(self, kind: str, field: str, row: Row, currency: str | None) -> Any:
        if kind == "Product":
            price, cost = row["price_amount"], row["cost_amount"]
            return None if price is None or cost is None else money(price - cost, row["currency"])
        if kind == "Order":
            return money(getattr(self, f"order_{field}")(row), row["currency"])
        return getattr(self, field)(row, currency or row["currency"])

    def order_paid(self, order: Row) -> Decimal:
        return self.received[order["id"]]

    def order_outstanding(self, order: Row) -> Decimal:
        if order["status"] not in SOLD:
            return Decimal(0)
        return max(order["total_amount"] - self.received[order["id"]], Decimal(0))

    def order_cost(self, order: Row) -> Decimal | None:
        lines = self.lines[order["id"]]
        if not lines or any(line["unit_cost_amount"] is None for line in lines):
            return None
        costs = [rounded(line["quantity"] * line["unit_cost_amount"], order["currency"]) for line in lines]
        return sum(costs, Decimal(0))

    def order_margin(self, order: Row) -> Decimal | None:
        cost = self.order_cost(order)
        return None if cost is None else order["subtotal_amount"] - order["discount_amount"] - cost

    def sold(self, customer: Row, currency: str) -> list[Row]:
        orders = self.under["Order", customer["id"]]
        return [order for order in orders if order["status"] in SOLD and order["currency"] == currency]

    def orderCount(self, customer: Row, _: str) -> int:
        return len(self.under["Order", customer["id"]])

    def lifetimeValue(self, customer: Row, currency: str) -> Any:
        return money(sum((order["total_amount"] for order in self.sold(customer, currency)), Decimal(0)), currency)

    def outstanding(self, customer: Row, currency: str) -> Any:
        owed = (self.order_outstanding(order) for order in self.sold(customer, currency))
        return money(sum(owed, Decimal(0)), currency)

    def currencies(self, customer: Row, _: str) -> list[str]:
        return sorted({order["currency"] for order in self.under["Order", customer["id"]]})

    def lastActivityAt(self, customer: Row, _: str) -> Any:
        columns = {
            "Order": "ordered_at",
            "Payment": "received_at",
            "Interaction": "occurred_at",
            "Ticket": "created_at",
        }
        times = [row[column] for kind, column in columns.items() for row in self.under[kind, customer["id"]]]
        return max((time for time in times if time is not None), default=None)
