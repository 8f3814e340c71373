"""An order's revenue: what is booked, recognised and deferred of it, what came in, what is left."""

from __future__ import annotations

from typing import Any

from crmgql import access
from crmgql.engine import declare
from crmgql.engine.strawberries import Field, lazy, object_type, optional
from crmgql.planner.metadata import Amount, Sums
from crmgql.schema.customers import aggregates
from crmgql.schema.customers.receivables import zero
from crmgql.sql import ast
from crmgql.viewer import Who

PAID, OUTSTANDING, COST = aggregates.order_paid(), aggregates.order_outstanding(), aggregates.order_cost()
NEEDS = (*OUTSTANDING.needs, "committed", "subtotal_amount", "discount_amount")

object_type(
    "OrderRevenue",
    [
        Field("booked", lazy("Money"), "Subtotal − discount, once the order is confirmed."),
        Field("recognised", lazy("Money"), "What of it is revenue by now, less what of that was credited."),
        Field("deferred", lazy("Money"), "What of it is revenue later, as its products' rules say."),
        Field(
            "refunded",
            lazy("Money"),
            "What credit notes took back of it, without tax. What is paid back of payments makes `received` less.",
        ),
        Field("received", lazy("Money"), "What was paid of the order, tax and shipping included."),
        Field("outstanding", lazy("Money"), "What is still unpaid, tax and shipping included."),
        Field(
            "margin",
            optional(lazy("Money")),
            "Booked − cost; null while a line's cost is unknown. Seen by finance, managers and administrators.",
        ),
    ],
    "What an order brings, in its currency. All is 0 of an order that is a draft or cancelled, but what was paid for it.",
)


def order_revenue() -> Any:
    def build(who: Who, t: str, currency: ast.Expr) -> Sums:
        own = ast.Col(t, "currency")
        nothing, is_booked = zero(own), ast.Col(t, "committed")
        net = ast.Op(ast.Col(t, "subtotal_amount"), "-", ast.Col(t, "discount_amount"))
        booked, deferred, refunded = ast.Case(is_booked, net, nothing), _deferred(t, nothing), _refunded(t, nothing)
        columns = {
            "booked": booked,
            "recognised": ast.Op(booked, "-", ast.Op(deferred, "+", refunded)),
            "deferred": deferred,
            "refunded": refunded,
            "received": PAID.build(who, t, own)[0],
            "outstanding": OUTSTANDING.build(who, t, own)[0],
            "margin": _margin(who, t, booked, own),
        }
        row = ast.Select(tuple((value, name) for name, value in columns.items()))
        amounts = {name: Amount(ast.Col("sums", name), own, name == "margin") for name in columns}
        return Sums(ast.Derived(row, "sums"), dict(amounts))

    return declare.summary("OrderRevenue", build, "What the order brings, as the books say.", needs=NEEDS)


def _deferred(t: str, nothing: ast.Expr) -> ast.Expr:
    own = [
        ast.eq(ast.Col("later", "customer_id"), ast.Col(t, "customer_id")),
        ast.eq(ast.Col("later", "order_id"), ast.Col(t, "id")),
        ast.IsNull(ast.Col("later", "entry_id")),
    ]
    total = ast.Func("sum", (ast.Op(ast.Col("later", "amount"), "-", ast.Col("later", "credited_amount")),))
    waiting = ast.Select(((total, "amount"),), ast.Table("recognition_schedules", "later"), where=ast.all_of(own))
    return ast.Func("coalesce", (ast.Subquery(waiting), nothing))


def _refunded(t: str, nothing: ast.Expr) -> ast.Expr:
    note, invoice = ast.Table("credit_notes", "note"), ast.Table("invoices", "invoice")
    same = [ast.eq(ast.Col("note", "customer_id"), ast.Col("invoice", "customer_id"))]
    same.append(ast.eq(ast.Col("note", "invoice_id"), ast.Col("invoice", "id")))
    own = [ast.eq(ast.Col("invoice", "customer_id"), ast.Col(t, "customer_id"))]
    own.append(ast.eq(ast.Col("invoice", "order_id"), ast.Col(t, "id")))
    total = ast.Func("sum", (ast.Col("note", "net_amount"),))
    joined = (ast.Join("JOIN", note, ast.all_of(same)),)
    found = ast.Select(((total, "amount"),), invoice, joined, where=ast.all_of(own))
    return ast.Func("coalesce", (ast.Subquery(found), nothing))


def _margin(who: Who, t: str, booked: ast.Expr, currency: ast.Expr) -> ast.Expr:
    """Null for those who may not see costs."""
    seen = access.field("Order", "margin", who, t)
    if seen == ast.FALSE:
        return ast.Case(ast.FALSE, booked)
    return ast.Op(booked, "-", ast.Case(ast.Col(t, "committed"), COST.build(who, t, currency)[0], booked))
