"""Who saw a record at some time since a cursor: the row rule over the values that columns had, which the audit trail keeps.

    former.rows("Order", who, "t", Since("own", "above"))

Each comparison of a rule also holds if it held for a value that a change after the cursor replaced. Rules are made of
comparisons with AND and OR only, so nobody who saw a row at any time since is missed; a comparison of another kind raises
`TypeError`. Where a rule needs two records, somebody may count who saw each of them at another time.
"""

from __future__ import annotations

from dataclasses import dataclass

from crmgql.access.entries import rows as rows_now
from crmgql.sql import ast, walk
from crmgql.viewer import Who

H = "h"
KEY = "_id"


@dataclass(frozen=True, slots=True)
class Since:
    """Names of tables, or CTEs, of audit entries since the cursor (columns `subject_id` and `kept`): `own` are those of the
    rows that are asked for, `above` those of the rows that their rules look at over a key."""

    own: str
    above: str


def rows(record: str, who: Who, t: str, since: Since) -> ast.Expr:
    """The condition under which row `t` of a type is visible now or was at some time since."""
    return _Widening(t, since).rule(rows_now(record, who, t))


def columns(rule: ast.Expr) -> frozenset[str]:
    """The columns, of whichever table, whose change can change what the rule says."""
    return frozenset(each.name for each in walk.parts(rule) if isinstance(each, ast.Col)) - {"id"}


def value(column: str) -> ast.Expr:
    """What a column held before the change that the audit entry `h` is about."""
    pair = ast.Op(ast.Col(H, "kept"), "->", ast.Text(column))
    text = ast.Op(pair, "->>", ast.Num(0))
    return ast.Cast(text, "uuid") if column.endswith(KEY) else text


@dataclass(frozen=True, slots=True)
class _Widening:
    t: str
    since: Since

    def rule(self, rule: ast.Expr) -> ast.Expr:
        return walk.replaced(rule, self._part)  # type: ignore[no-any-return]

    def _part(self, item: object) -> ast.Expr | None:
        match item:
            case ast.Op(ast.Col(_, "id") as id, "=", ast.Col() as key) if key.name != "id":
                return ast.AnyOf(id, ast.Op(ast.ArrayOf(self._history(key, ast.TRUE)), "||", key))
            case ast.Op(ast.Col() as column, "=", ast.Param() as given):
                return self._or_was(item, column, ast.eq(value(column.name), given))
            case ast.AnyOf(ast.Col() as column, array):
                values = self.rule(array)
                return self._or_was(ast.AnyOf(column, values), column, ast.AnyOf(value(column.name), values))
            case ast.IsNull(ast.Col() as column, negated):
                return self._or_was(item, column, ast.IsNull(value(column.name), negated))
            case ast.Op() | ast.AnyOf() | ast.IsNull() | ast.IsTrue() | ast.Not() | ast.InSelect() | ast.Case():
                raise TypeError(f"nothing says what {item!r} was before")
            case _:
                return None

    def _or_was(self, now: ast.Expr, column: ast.Col, before: ast.Expr) -> ast.Expr:
        return ast.any_of([now, ast.Exists(self._history(column, before))])

    def _history(self, column: ast.Col, condition: ast.Expr) -> ast.Select:
        """The values that a row's column had, one for each change of it."""
        own = ast.eq(ast.Col(H, "subject_id"), ast.Col(column.table, "id"))
        changed = ast.Op(ast.Col(H, "kept"), "?", ast.Text(column.name))
        entries = ast.Table(self.since.own if column.table == self.t else self.since.above, H)
        return ast.Select(((value(column.name), "was"),), entries, where=ast.all_of([own, changed, condition]))


def before(record: str, who: Who, t: str) -> ast.Expr:
    """The condition under which row `t` of a type was visible before the change that the audit entry `h` is about."""

    def earlier(item: object) -> ast.Expr | None:
        match item:
            case ast.IsNull(ast.Col(table, name) as column, negated) if table == t:
                return ast.IsNull(_before(name, ast.Cast(column, "text"), as_text=True), negated)
            case ast.Col(table, name) if table == t and name != "id":
                return _before(name, item)
            case _:
                return None

    return walk.replaced(rows_now(record, who, t), earlier)  # type: ignore[no-any-return]


def _before(column: str, now: ast.Expr, *, as_text: bool = False) -> ast.Expr:
    pair = ast.Op(ast.Col(H, "kept"), "->", ast.Text(column))
    was = ast.Op(pair, "->>", ast.Num(0)) if as_text else value(column)
    return ast.Case(ast.Op(ast.Col(H, "kept"), "?", ast.Text(column)), was, now)
