"""What somebody is paid now."""

from __future__ import annotations

from typing import Any

from crmgql.engine.declare import derived
from crmgql.sql import ast
from crmgql.viewer import Who

TODAY = ast.Subquery(ast.Select(((ast.Func("company_today", ()), "today"),)))


def salary() -> Any:
    def build(who: Who, t: str, _: ast.Expr) -> tuple[ast.Expr, ...]:
        return _now("amount", t), _now("currency", t)

    doc = "The salary of today, for the period that `salaries` says; seen by that person and by payroll."
    return derived(build, None, doc, nullable=True)


def _now(column: str, t: str) -> ast.Expr:
    ends_on = ast.Col("s", "ends_on")
    today = [
        ast.eq(ast.Col("s", "user_id"), ast.Col(t, "id")),
        ast.IsNull(ast.Col("s", "cancelled_at")),
        ast.Op(ast.Col("s", "starts_on"), "<=", TODAY),
        ast.any_of([ast.IsNull(ends_on), ast.Op(ends_on, ">=", TODAY)]),
    ]
    return ast.Subquery(
        ast.Select(((ast.Col("s", column), column),), ast.Table("salaries", "s"), where=ast.all_of(today))
    )
