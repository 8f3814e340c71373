"""What the items of an invoice or another document say of it: what is owed, what was paid, what is overdue. SQL expressions."""

from __future__ import annotations

from typing import Any

from crmgql.engine import declare
from crmgql.schema.customers import aggregates
from crmgql.schema.customers.aggregates import is_one_of
from crmgql.schema.customers.receivables import zero
from crmgql.sql import ast
from crmgql.viewer import Who

KEYS = ("id", "customer_id", "currency")


def _sum(table: str, value: ast.Expr, t: str, key: str, currency: ast.Expr, *where: ast.Expr) -> ast.Expr:
    """The sum of a value over the rows (alias `r`) of a table that name row `t` of the same customer."""
    own = [ast.eq(ast.Col("r", "customer_id"), ast.Col(t, "customer_id")), ast.eq(ast.Col("r", key), ast.Col(t, "id"))]
    total = ast.Func("sum", (value,))
    found = ast.Subquery(ast.Select(((total, "total"),), ast.Table(table, "r"), where=ast.all_of([*own, *where])))
    return ast.Func("round", (ast.Func("coalesce", (found, zero(currency))), ast.Func("currency_scale", (currency,))))


def _items(column: str, t: str, currency: ast.Expr, *where: ast.Expr, key: str = "invoice_id") -> ast.Expr:
    owed = is_one_of(ast.Col("r", "purpose"), "RECEIVABLE")
    return _sum("open_items", ast.Col("r", column), t, key, currency, owed, *where)


def _paid_before(t: str, currency: ast.Expr) -> ast.Expr:
    return _sum("instalments", ast.Col("r", "paid_before_amount"), t, "invoice_id", currency)


def _written_off(t: str, currency: ast.Expr) -> ast.Expr:
    """What nobody paid, though it is settled."""
    return _sum("write_offs", aggregates.written_off("r"), t, "invoice_id", currency)


def invoice_outstanding() -> Any:
    def build(who: Who, t: str, currency: ast.Expr) -> tuple[ast.Expr, ...]:
        return _items("open", t, currency), currency

    return declare.derived(build, None, "What is still owed of it.", needs=KEYS)


def invoice_paid() -> Any:
    def build(who: Who, t: str, currency: ast.Expr) -> tuple[ast.Expr, ...]:
        settled = ast.Op(_items("settled", t, currency), "-", _written_off(t, currency))
        return ast.Op(settled, "+", _paid_before(t, currency)), currency

    doc = "What was paid of it: what payments and credit settled, and what of the order was settled before."
    return declare.derived(build, None, doc, needs=KEYS)


def invoice_paid_before() -> Any:
    def build(who: Who, t: str, currency: ast.Expr) -> tuple[ast.Expr, ...]:
        return _paid_before(t, currency), currency

    return declare.derived(build, None, "What of it was paid before it was issued, and is not owed.", needs=KEYS)


def invoice_overdue() -> Any:
    def build(who: Who, t: str, currency: ast.Expr) -> tuple[ast.Expr, ...]:
        return _items("open", t, currency, ast.Op(ast.Col("r", "due_on"), "<", _today())), currency

    return declare.derived(build, None, "What is owed of it and was due before today.", needs=KEYS)


def _today() -> ast.Expr:
    """The company's day."""
    zone = ast.Subquery(ast.Select(((ast.Col("c", "timezone"), "zone"),), ast.Table("companies", "c")))
    return ast.Cast(ast.Func("timezone", (zone, ast.Func("now", ()))), "date")


def invoice_credited() -> Any:
    def build(who: Who, t: str, currency: ast.Expr) -> tuple[ast.Expr, ...]:
        scale = ast.Func("currency_scale", (currency,))
        return ast.Func("round", (ast.Col(t, "credited_amount"), scale)), currency

    return declare.derived(build, None, "What credit notes took back of it.", needs=("credited_amount", "currency"))


def instalment_outstanding() -> Any:
    def build(who: Who, t: str, currency: ast.Expr) -> tuple[ast.Expr, ...]:
        same = ast.eq(ast.Col("r", "id"), ast.Col(t, "item_id"))
        found = ast.Subquery(ast.Select(((ast.Col("r", "open"), "open"),), ast.Table("open_items", "r"), where=same))
        scale = ast.Func("currency_scale", (currency,))
        return ast.Func("round", (ast.Func("coalesce", (found, zero(currency))), scale)), currency

    return declare.derived(build, None, "What is still owed of it.", needs=("item_id", "currency"))


def dispute_outstanding() -> Any:
    def build(who: Who, t: str, currency: ast.Expr) -> tuple[ast.Expr, ...]:
        return _items("open", t, currency, key="dispute_id"), currency

    doc = "What the customer still owes of it, as it was refunded before it was lost."
    return declare.derived(build, None, doc, needs=KEYS)


def credit_left() -> Any:
    def build(who: Who, t: str, currency: ast.Expr) -> tuple[ast.Expr, ...]:
        return _sum("open_items", ast.Col("r", "open"), t, "credit_note_id", currency), currency

    return declare.derived(build, None, "What is left of the credit that it made of what was paid.", needs=KEYS)
