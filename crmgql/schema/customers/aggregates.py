"""Values computed over a record's relations, as SQL expressions under the viewer's own rules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from crmgql import access
from crmgql.engine import declare
from crmgql.planner import codecs
from crmgql.schema.customers import receivables
from crmgql.schema.customers.receivables import zero
from crmgql.sql import ast
from crmgql.viewer import Who

Build = Callable[[Who, str, ast.Expr], tuple[ast.Expr, ...]]

KEYS = ("id", "customer_id", "currency")
"""The columns of an order by which its payments and lines are found."""

COMMITTED = ("CONFIRMED", "PROCESSING", "INVOICED", "SHIPPED", "DELIVERED")
"""The statuses in which an order counts as revenue and its unpaid part as outstanding."""


def is_one_of(column: ast.Expr, *values: str) -> ast.Expr:
    return ast.any_of([ast.eq(column, ast.Text(value)) for value in values])


def _over(record: str, table: str, key: str, who: Who, t: str, value: ast.Expr, *where: ast.Expr) -> ast.Expr:
    """A scalar subquery over the visible rows of `table` (alias `r`) that belong to row `t` of the same customer."""
    conditions = [ast.eq(ast.Col("r", key), ast.Col(t, "id")), access.rows(record, who, "r", trusted=True), *where]
    return ast.Subquery(ast.Select(((value, "value"),), ast.Table(table, "r"), where=ast.all_of(conditions)))


def _committed() -> ast.Expr:
    return is_one_of(ast.Col("r", "status"), *COMMITTED)


def _settled(order: str) -> ast.Expr:
    """What the books have for the order under an alias: what settled it, and the customer's credit that names it."""
    item = ast.Col("paid", "purpose")
    return _of_items(
        order, ast.Case(ast.eq(item, ast.Text("RECEIVABLE")), ast.Col("paid", "settled"), ast.Col("paid", "open"))
    )


def _of_items(order: str, value: ast.Expr) -> ast.Expr:
    """The sum of a value over what is owed for an order and the credit that names it, alias `paid`."""
    own = ast.all_of(
        [
            ast.eq(ast.Col("paid", "customer_id"), ast.Col(order, "customer_id")),
            ast.eq(ast.Col("paid", "order_id"), ast.Col(order, "id")),
            is_one_of(ast.Col("paid", "purpose"), "RECEIVABLE", "CREDIT"),
        ]
    )
    scale = ast.Func("currency_scale", (ast.Col(order, "currency"),))
    total = ast.Func("round", (ast.Func("sum", (value,)), scale))
    return ast.Subquery(ast.Select(((total, "total"),), ast.Table("open_items", "paid"), where=own))


def _written_off(order: str) -> ast.Expr:
    """What of the order under an alias is written off: it settles the order, and nobody paid it."""
    own = ast.all_of(
        [
            ast.eq(ast.Col("off", "customer_id"), ast.Col(order, "customer_id")),
            ast.eq(ast.Col("off", "order_id"), ast.Col(order, "id")),
        ]
    )
    total = ast.Func("sum", (written_off("off"),))
    return ast.Subquery(ast.Select(((total, "total"),), ast.Table("write_offs", "off"), where=own))


def written_off(alias: str) -> ast.Expr:
    """The amount of a write-off under an alias, as a minus where it undoes another."""
    back = ast.Op(ast.Num(0), "-", ast.Col(alias, "amount"))
    return ast.Case(ast.IsNull(ast.Col(alias, "undoes_id")), ast.Col(alias, "amount"), back)


def _open_part(order: str) -> ast.Expr:
    """An order's unpaid part: what is open of it, less the credit that names it. An overpaid order does not lower what is owed
    for others, and what was credited is not owed."""
    nothing = zero(ast.Col(order, "currency"))
    left = ast.Case(
        ast.eq(ast.Col("paid", "purpose"), ast.Text("RECEIVABLE")), ast.Num(1), ast.Op(ast.Num(0), "-", ast.Num(1))
    )
    open_ = _of_items(order, ast.Op(ast.Col("paid", "open"), "*", left))
    return ast.Func("greatest", (ast.Func("coalesce", (open_, nothing)), nothing))


def _order_sum(value: ast.Expr) -> Build:
    """The sum of a value over the customer's committed orders in one currency."""

    def build(who: Who, t: str, currency: ast.Expr) -> tuple[ast.Expr, ...]:
        same = ast.eq(ast.Col("r", "currency"), currency)
        total = ast.Func("sum", (value,))
        amount = _over("Order", "orders", "customer_id", who, t, total, _committed(), same)
        return ast.Func("coalesce", (amount, zero(currency))), currency

    return build


def order_count() -> Any:
    def build(who: Who, t: str, _: ast.Expr) -> tuple[ast.Expr, ...]:
        return (_over("Order", "orders", "customer_id", who, t, ast.Func("count", (ast.Col("r", "id"),))),)

    return declare.derived(build, codecs.LONG, "How many orders there are, in any state.", nullable=True)


def lifetime_value() -> Any:
    return declare.derived(
        _order_sum(ast.Col("r", "total_amount")),
        None,
        "The total of all confirmed and later orders in one currency, by default the customer's own.",
        nullable=True,
        needs=("id", "currency"),
        currency_argument=True,
        kept=receivables.kept("lifetime_value", receivables.SOLD),
    )


def last_activity_at() -> Any:
    """The latest interaction, order, payment or ticket."""

    def build(who: Who, t: str, _: ast.Expr) -> tuple[ast.Expr, ...]:
        sources = (
            ("Interaction", "interactions", "occurred_at"),
            ("Order", "orders", "ordered_at"),
            ("Payment", "payments", "received_at"),
            ("Ticket", "tickets", "created_at"),
        )
        latest = tuple(
            _over(record, table, "customer_id", who, t, ast.Func("max", (ast.Col("r", column),)))
            for record, table, column in sources
        )
        return (ast.Func("greatest", latest),)

    return declare.derived(
        build, codecs.DATETIME, "When the latest interaction, order, payment or ticket happened.", nullable=True
    )


def currencies() -> Any:
    """The currencies of a customer's orders."""

    def build(who: Who, t: str, _: ast.Expr) -> tuple[ast.Expr, ...]:
        listed = ast.Aggregate("array_agg", (ast.Col("r", "currency"),), (ast.Order(ast.Col("r", "currency")),))
        distinct = ast.Select(
            ((ast.Col("r", "currency"), "currency"),),
            ast.Table("orders", "r"),
            where=ast.all_of(
                [ast.eq(ast.Col("r", "customer_id"), ast.Col(t, "id")), access.rows("Order", who, "r", trusted=True)]
            ),
            distinct=True,
        )
        subquery = ast.Subquery(ast.Select(((listed, "listed"),), ast.Derived(distinct, "r")))
        return (ast.Func("coalesce", (subquery, ast.Cast(ast.Text("{}"), "text[]"))),)

    codec = codecs.enum_codec("CurrencyCode", many=True)
    return declare.derived(build, codec, "The currencies of the customer's orders.", nullable=True)


def order_paid() -> Any:
    def build(who: Who, t: str, currency: ast.Expr) -> tuple[ast.Expr, ...]:
        settled, off = (ast.Func("coalesce", (each, zero(currency))) for each in (_settled(t), _written_off(t)))
        return ast.Op(settled, "-", off), currency

    doc = "What was paid of this order: what payments and credit settled of it, and what was paid above it."
    return declare.derived(build, None, doc, nullable=True, needs=KEYS)


def order_outstanding() -> Any:
    """What is open minus credit that names it, at least 0; 0 unless confirmed or later."""

    def build(who: Who, t: str, currency: ast.Expr) -> tuple[ast.Expr, ...]:
        amount = ast.Case(is_one_of(ast.Col(t, "status"), *COMMITTED), _open_part(t), zero(currency))
        return amount, currency

    needs = (*KEYS, "status")
    return declare.derived(
        build,
        None,
        "What is still unpaid and not written off, once the order is confirmed.",
        nullable=True,
        needs=needs,
    )


def order_invoiced() -> Any:
    def build(who: Who, t: str, currency: ast.Expr) -> tuple[ast.Expr, ...]:
        scale = ast.Func("currency_scale", (currency,))
        return ast.Func("round", (ast.Col(t, "invoiced_amount"), scale)), currency

    doc = "What of the total is on issued invoices."
    return declare.derived(build, None, doc, nullable=True, needs=("invoiced_amount", "currency"))


def order_cost() -> Any:
    """Σ quantity × unit cost; null while a line's cost is unknown."""

    def build(who: Who, t: str, currency: ast.Expr) -> tuple[ast.Expr, ...]:
        return _cost(t, currency), currency

    return declare.derived(
        build, None, "Cost of goods; null while a line's cost is unknown.", nullable=True, needs=KEYS
    )


def order_margin() -> Any:
    def build(who: Who, t: str, currency: ast.Expr) -> tuple[ast.Expr, ...]:
        net = ast.Op(ast.Col(t, "subtotal_amount"), "-", ast.Col(t, "discount_amount"))
        return ast.Op(net, "-", _cost(t, currency)), currency

    needs = (*KEYS, "subtotal_amount", "discount_amount")
    return declare.derived(build, None, "Subtotal − discount − cost.", nullable=True, needs=needs)


def _cost(t: str, currency: ast.Expr) -> ast.Expr:
    scale = ast.Func("currency_scale", (currency,))
    each = ast.Func("round", (ast.Op(ast.Col("l", "quantity"), "*", ast.Col("l", "unit_cost_amount")), scale))
    known = ast.Func("bool_and", (ast.IsNull(ast.Col("l", "unit_cost_amount"), negated=True),))
    total = ast.Case(known, ast.Func("sum", (each,)))
    own = ast.all_of(
        [
            ast.eq(ast.Col("l", "customer_id"), ast.Col(t, "customer_id")),
            ast.eq(ast.Col("l", "order_id"), ast.Col(t, "id")),
        ]
    )
    return ast.Subquery(ast.Select(((total, "cost"),), ast.Table("order_lines", "l"), where=own))


def product_margin() -> Any:
    def build(who: Who, t: str, currency: ast.Expr) -> tuple[ast.Expr, ...]:
        return ast.Op(ast.Col(t, "price_amount"), "-", ast.Col(t, "cost_amount")), currency

    needs = ("price_amount", "cost_amount", "currency")
    return declare.derived(build, None, "Price − cost.", nullable=True, needs=needs)
