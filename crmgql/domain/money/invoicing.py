"""What of an order an invoice has: the whole rest, some lines or quantities, or an amount. Pure.

Always holds: no part is more than what is left, and the last part takes all that is left, so that the invoices of an order sum
to it in each figure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, localcontext
from fractions import Fraction
from uuid import UUID

from crmgql.domain.money import terms
from crmgql.errors import BadUserInput, Conflict, InvoiceExceedsOrder
from crmgql.ledger.postings import EXACT, share
from crmgql.records import money
from crmgql.records.records import Row


@dataclass(frozen=True, slots=True)
class Figures:
    """Amounts of an order, of what is left of it, or of an invoice."""

    subtotal: Decimal
    shipping: Decimal
    tax: Decimal
    discount: Decimal

    @classmethod
    def of(cls, row: Mapping[str, Decimal]) -> Figures:
        return cls(row["subtotal_amount"], row["shipping_amount"], row["tax_amount"], row["discount_amount"])

    @property
    def net(self) -> Decimal:
        return self.subtotal - self.discount

    @property
    def total(self) -> Decimal:
        return self.net + self.shipping + self.tax

    @property
    def columns(self) -> Row:
        return {
            "subtotal_amount": self.subtotal,
            "shipping_amount": self.shipping,
            "tax_amount": self.tax,
            "discount_amount": self.discount,
            "total_amount": self.total,
        }

    def minus(self, other: Figures) -> Figures:
        return Figures(
            self.subtotal - other.subtotal,
            self.shipping - other.shipping,
            self.tax - other.tax,
            self.discount - other.discount,
        )


@dataclass(frozen=True, slots=True)
class Wanted:
    """How much of an order's line: a quantity, or without one all that is left of it."""

    order_line_id: UUID
    quantity: Decimal | None = None


@dataclass(slots=True)
class Line:
    """An order's line, or what is left of it; `order_line_id` is None for a line that stands for the whole."""

    order_line_id: UUID | None
    product_id: UUID | None
    description: str
    quantity: Decimal
    unit_price: Decimal
    discount: Decimal
    shipping: Decimal
    amount: Decimal

    def part(self, quantity: Decimal, currency: str) -> Line:
        """The share of a part of the quantity."""
        discount, shipping, amount = (
            share(quantity, self.quantity, each, currency) for each in (self.discount, self.shipping, self.amount)
        )
        return Line(
            self.order_line_id, self.product_id, self.description, quantity, self.unit_price, discount, shipping, amount
        )


@dataclass(frozen=True, slots=True)
class Rest:
    """What is left of an order: its figures, and its lines, if what is invoiced already was invoiced by lines that it has."""

    number: str
    currency: str
    figures: Figures
    lines: tuple[Line, ...]


Part = tuple[Figures, list[Line]]


def rest_of(order: Row, lines: Sequence[Row], invoiced: Figures, by_line: Mapping[UUID | None, Row]) -> Rest:
    """What is left of an order, of which these figures and these quantities and amounts of lines are invoiced.

    Raises `Conflict` where one of its figures has become less than what is invoiced of it.
    """
    figures = Figures.of(order).minus(invoiced)
    if min(figures.subtotal, figures.shipping, figures.tax, figures.discount, figures.total) < 0:
        raise Conflict("More is invoiced of the order than it has now; credit its invoices first.", field="orderId")
    left = [_left(row, by_line.get(row["id"])) for row in lines]
    left = [line for line in left if line.quantity > 0]
    nothing = money.rounded(Decimal(0), order["currency"])
    whole = sum((line.amount for line in left), nothing), sum((line.shipping for line in left), nothing)
    is_by_lines = by_line.keys() <= {row["id"] for row in lines} and whole == (figures.subtotal, figures.shipping)
    return Rest(order["number"], order["currency"], figures, tuple(left) if is_by_lines else ())


def _left(row: Row, invoiced: Row | None) -> Line:
    columns = ("quantity", "discount_amount", "shipping_amount", "line_amount")
    quantity, discount, shipping, amount = (row[each] - (invoiced[each] if invoiced else 0) for each in columns)
    described = (row["id"], row["product_id"], row["description"])
    return Line(*described, quantity, row["unit_price_amount"], discount, shipping, amount)


def whole(rest: Rest) -> Part:
    """All that is left."""
    return rest.figures, list(rest.lines) or [_one_line(rest, rest.figures)]


def by_lines(rest: Rest, wanted: Sequence[Wanted]) -> Part:
    """Some lines or quantities, with their shares of tax and discount, by amount.

    Raises `InvoiceExceedsOrder`; `BadUserInput` for a line that the order does not have, and where it was invoiced by amounts.
    """
    if not rest.lines:
        raise BadUserInput(
            "No lines of the order are left to choose; name an amount, or nothing for the rest.", field="lines"
        )
    left = {line.order_line_id: line for line in rest.lines}
    chosen: list[Line] = []
    for number, each in enumerate(wanted):
        line = left.pop(each.order_line_id, None)
        if line is None:
            raise BadUserInput("The order has no such line that is not invoiced.", field=f"lines.{number}.orderLineId")
        quantity = line.quantity if each.quantity is None else each.quantity
        if quantity <= 0:
            raise BadUserInput(f"Must be more than 0, not {quantity}.", field=f"lines.{number}.quantity")
        if quantity > line.quantity:
            raise InvoiceExceedsOrder(
                f"Of the line {line.quantity} is left to invoice, and no more.", field=f"lines.{number}.quantity"
            )
        chosen.append(line.part(quantity, rest.currency))
    nothing = money.rounded(Decimal(0), rest.currency)
    subtotal, shipping = (
        sum(values, nothing) for values in zip(*((x.amount, x.shipping) for x in chosen), strict=True)
    )
    of_tax, of_discount = (
        share(subtotal, rest.figures.subtotal, each, rest.currency)
        for each in (rest.figures.tax, rest.figures.discount)
    )
    return Figures(subtotal, shipping, of_tax, of_discount), chosen


def by_amount(rest: Rest, amount: Decimal) -> Part:
    """A part of the total, with the same parts of all figures. Raises `InvoiceExceedsOrder`."""
    left = rest.figures
    if amount > left.total:
        raise InvoiceExceedsOrder(
            f"Of the order {left.total} {rest.currency} is left to invoice, and no more.", field="amount"
        )
    if left.net < 0:
        raise BadUserInput("The order's discount is more than its lines; invoice it whole.", field="amount")
    net, shipping, tax = _cut(amount, (left.net, left.shipping, left.tax), rest.currency)
    discount = share(net, left.net, left.discount, rest.currency)
    figures = Figures(net + discount, shipping, tax, discount)
    return figures, [_one_line(rest, figures)]


def _cut(amount: Decimal, of: Sequence[Decimal], currency: str) -> Iterator[Decimal]:
    """The amount by what it is a part of. Rounding their running sum keeps each part between nothing and all of it."""
    total, passed, given = sum(of, amount * 0), amount * 0, amount * 0
    for each in of:
        passed += each
        with localcontext(EXACT):
            upto = money.rounded(amount * passed / total, currency)
        yield upto - given
        given = upto


def _one_line(rest: Rest, figures: Figures) -> Line:
    nothing = figures.subtotal * 0
    text = f"Order {rest.number}"
    return Line(None, None, text, Decimal(1), figures.subtotal, nothing, figures.shipping, figures.subtotal)


def line_rows(part: Part, currency: str) -> list[Row]:
    """The invoice's lines as rows, each with its part of the invoice's discount taken off."""
    figures, lines = part
    total = sum((line.amount for line in lines), figures.subtotal * 0)
    weights = [Fraction(line.amount) / Fraction(total) if total else Fraction(at == 0) for at, line in enumerate(lines)]
    discounts = terms.split(figures.discount, weights, currency)
    return [
        {
            "order_line_id": line.order_line_id,
            "product_id": line.product_id,
            "position": number,
            "description": line.description,
            "quantity": line.quantity,
            "currency": currency,
            "unit_price_amount": line.unit_price,
            "discount_amount": line.discount,
            "shipping_amount": line.shipping,
            "line_amount": line.amount,
            "net_amount": line.amount + line.shipping - discount,
        }
        for number, (line, discount) in enumerate(zip(lines, discounts, strict=True), start=1)
    ]
