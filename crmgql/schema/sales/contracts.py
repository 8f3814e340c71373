"""What came in of a contract's plan."""

from __future__ import annotations

from typing import Any

from crmgql.engine import declare
from crmgql.schema.customers.receivables import zero
from crmgql.sql import ast
from crmgql.viewer import Who

NEEDS = ("customer_id", "contract_id", "currency", "n", "amount")


def received() -> Any:
    """What settled the contract's orders fills its payments, the first due first."""

    def build(who: Who, t: str, currency: ast.Expr) -> tuple[ast.Expr, ...]:
        own, nothing = ast.Col(t, "currency"), zero(ast.Col(t, "currency"))
        left = ast.Op(_settled(t, nothing), "-", _before(t, nothing))
        return ast.Func("least", (ast.Col(t, "amount"), ast.Func("greatest", (left, nothing)))), own

    doc = "What settled the contract's orders, as far as it is not that of payments due before."
    return declare.derived(build, None, doc, nullable=True, needs=NEEDS)


def _settled(t: str, nothing: ast.Expr) -> ast.Expr:
    item = ast.Table("open_items", "item")
    same = [
        ast.eq(ast.Col("item", "customer_id"), ast.Col("sold", "customer_id")),
        ast.eq(ast.Col("item", "order_id"), ast.Col("sold", "id")),
    ]
    own = [
        ast.eq(ast.Col("sold", "customer_id"), ast.Col(t, "customer_id")),
        ast.eq(ast.Col("sold", "contract_id"), ast.Col(t, "contract_id")),
        ast.eq(ast.Col("item", "purpose"), ast.Text("RECEIVABLE")),
        ast.eq(ast.Col("item", "currency"), ast.Col(t, "currency")),
    ]
    total = ast.Func("sum", (ast.Col("item", "settled"),))
    found = ast.Select(
        ((total, "amount"),),
        ast.Table("orders", "sold"),
        (ast.Join("JOIN", item, ast.all_of(same)),),
        where=ast.all_of(own),
    )
    return ast.Func("coalesce", (ast.Subquery(found), nothing))


def _before(t: str, nothing: ast.Expr) -> ast.Expr:
    own = [ast.eq(ast.Col("other", name), ast.Col(t, name)) for name in ("customer_id", "contract_id")]
    own.append(ast.Op(ast.Col("other", "n"), "<", ast.Col(t, "n")))
    total = ast.Func("sum", (ast.Col("other", "amount"),))
    found = ast.Select(((total, "amount"),), ast.Table("contract_payments", "other"), where=ast.all_of(own))
    return ast.Func("coalesce", (ast.Subquery(found), nothing))
