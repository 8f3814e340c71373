"""Where a row rule looks besides the row itself: so that a change there is known to change who sees the row.

places.of(access.rows("Order", who, "t"), "t")  →  (Place("customer_id", "customers", {"owner_id"}),)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from crmgql.sql import ast, walk


@dataclass(frozen=True, slots=True)
class Place:
    """The rows of `table` whose id is in the row's column `key`; the rule reads these `columns` of them."""

    key: str
    table: str
    columns: frozenset[str]


def of(rule: ast.Expr, t: str) -> tuple[Place, ...]:
    """The places of a rule over row `t`. Raises `TypeError` for one that is further away than a key of the row."""
    found = tuple(dict.fromkeys(_found(rule, t)))
    looked_at = {place.table for place in found}
    for each in walk.parts(rule):
        if isinstance(each, ast.Table) and each.name not in looked_at:
            raise TypeError(f"the rule looks into {each.name}, over no key of the row")
    return found


def asks_teams(rule: ast.Expr) -> bool:
    """Whether a rule depends on who is in which team."""
    return any(isinstance(each, ast.Func) and each.name == "team_reach" for each in walk.parts(rule))


def _found(rule: ast.Expr, t: str) -> Iterator[Place]:
    for each in walk.parts(rule):
        match each:
            case ast.Exists(ast.Select(source=ast.Table(table, alias), where=where)):
                for part in walk.parts(where):
                    match part:
                        case ast.Op(ast.Col(of, "id"), "=", ast.Col(row, key)) if (of, row) == (alias, t):
                            yield _place(key, table, alias, where)
            case ast.AnyOf(ast.Col(row, key), ast.ArrayOf(ast.Select(source=ast.Table(table, alias), where=where))):
                if row == t:
                    yield _place(key, table, alias, where)


def _place(key: str, table: str, alias: str, where: ast.Expr | None) -> Place:
    return Place(key, table, walk.columns(where, alias) - {"id"})
