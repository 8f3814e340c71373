"""What an event did to somebody's sight of its subject: whether it came into sight, or left it.

Asked only of events that changed a column on which the subject's row rule depends, such as its owner. Enters: who follows, and
ids of events. Leaves: a select of those that may have moved their subject, with whether it was visible before and is now.
"""

from __future__ import annotations

from collections.abc import Iterator

from crmgql.access import former, trails
from crmgql.access.entries import ENTRIES, rows
from crmgql.models.names import api_name
from crmgql.sql import ast, walk
from crmgql.viewer import Who

SEEN, ENTERED, LEFT = "SEEN", "ENTERED", "LEFT"

E, T = "e", "t"


def deciding(who: Who) -> dict[str, frozenset[str]]:
    """By type, the fields, as events name them, on which it depends who sees a record."""
    return {record: frozenset(map(api_name, names)) for record, names, _ in _ruled(who)}


def select(who: Who, ids: ast.Expr) -> ast.Select:
    """Of the events of these ids (an array), rows of id, whether the subject was visible `before`, and whether it is `now`."""
    ruled = list(_ruled(who))
    before = _switch([(record, _asked(record, former.before(record, who, T))) for record, _, _ in ruled])
    now = _switch([(record, _asked(record, rule)) for record, _, rule in ruled])
    entry = ast.Join("JOIN", ast.Table("audit_entries", former.H), ast.eq(ast.Col(former.H, "id"), ast.Col(E, "id")))
    asked = ast.all_of([ast.AnyOf(ast.Col(E, "id"), ids), _may_decide(who)])
    columns = ((ast.Col(E, "id"), "id"), (before, "before"), (now, "now"))
    return ast.Select(columns, ast.Table("events", E), (entry,), where=asked)


def _may_decide(who: Who) -> ast.Expr:
    """Whether event `e` changed a field that decides on any type."""
    names = frozenset[str]().union(*deciding(who).values())
    if not names:
        return ast.FALSE
    return ast.Op(ast.Col(E, "changed"), "&&", ast.Cast(ast.Text("{" + ",".join(sorted(names)) + "}"), "text[]"))


def _ruled(who: Who) -> Iterator[tuple[str, frozenset[str], ast.Expr]]:
    """Types of which some rows are visible, by columns of theirs; none for those who may read no events."""
    if rows("Event", who, E) == ast.FALSE:
        return
    for record in ENTRIES:
        rule = rows(record, who, T)
        names = walk.columns(rule, T) - {"id"}
        if record not in trails.TRAILS and names:
            yield record, names, rule


def _asked(record: str, rule: ast.Expr) -> ast.Expr:
    same = ast.eq(ast.Col(T, "id"), ast.Col(E, "subject_id"))
    return ast.Subquery(ast.Select(((rule, "seen"),), ast.Table(ENTRIES[record].table, T), where=same))


def _switch(branches: list[tuple[str, ast.Expr]]) -> ast.Expr:
    if not branches:
        return ast.FALSE
    asked = ast.Switch(ast.Col(E, "subject_type"), tuple((ast.Text(record), seen) for record, seen in branches))
    return ast.IsTrue(asked)
