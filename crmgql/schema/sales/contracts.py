"""What came in of a contract's plan, and what did not."""

from __future__ import annotations

from typing import Any

from crmgql.engine import declare
from crmgql.planner.metadata import Kept
from crmgql.schema.customers import receivables
from crmgql.sql import ast
from crmgql.viewer import Who

STANDINGS = "contract_payment_standings"
NEEDS = ("id", "customer_id", "currency")


def received() -> Any:
    return _amount("received", "What settled the contract's orders, as far as it is not that of payments due before.")


def outstanding() -> Any:
    return _amount("outstanding", "What of it has not come in.")


def overdue() -> Any:
    return _amount(
        "overdue", "What of it was due before today and has not come in; 0 of a draft or terminated contract."
    )


def _amount(column: str, doc: str) -> Any:
    """A figure of the view, which is read to filter by it, too."""

    def build(who: Who, t: str, currency: ast.Expr) -> tuple[ast.Expr, ...]:
        same = [ast.eq(ast.Col("part", name), ast.Col(t, name)) for name in ("customer_id", "id")]
        found = ast.Select(((ast.Col("part", column), "amount"),), ast.Table(STANDINGS, "part"), where=ast.all_of(same))
        return ast.Subquery(found), currency

    kept = Kept(STANDINGS, "id", column, receivables.OWED)
    return declare.derived(build, None, doc, nullable=True, needs=NEEDS, kept=kept)
