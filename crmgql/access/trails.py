"""Events and the audit trail follow their subjects: who may not see a record does not read of it there either.

One condition on the row's (subject_type, subject_id), made together with the statement: types that the viewer sees whole are
compared by name, and for each type of which they see a part the record is looked up under its own row rule. Types that
they do not see are not in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from crmgql.access.entries import ENTRIES, RowRule, rows
from crmgql.access.rights import may
from crmgql.sql import ast, walk
from crmgql.viewer import Who

TRAILS = ("Event", "AuditEntry")
"""Types whose rows are about other records. There are no such rows about these themselves."""

UNTYPED = ("import", "ImportRun", "LoginAttempt", "Gap")
"""Subjects that are no records of the API: runs of imports (`import` is their old name), failed logins, gaps."""


def following(permission: str, *, old_values: bool = False) -> RowRule:
    """Visible with its subject, for those who have the permission.

    `old_values`: the row shows what columns held, so it is for those who may read the hidden ones, too (`history`).
    """

    def rule(who: Who, t: str, trusted: bool) -> ast.Expr:
        if not may(who, permission):
            return ast.FALSE
        return _about(_subjects(who, f"{t}_of", old_values=old_values), t)

    return rule


def shared(who: Who) -> frozenset[str]:
    """The subjects of which everybody with the viewer's rights sees the same: their rules bind no value of the viewer's."""
    bound = {record for record, seen in _subjects(who, "t", old_values=False) if _binds(seen)}
    return frozenset({*ENTRIES, *UNTYPED} - set(TRAILS) - bound)


def about_shared(who: Who, t: str) -> ast.Expr:
    """The rule for an event, of those about `shared` subjects alone."""
    same = shared(who)
    return _about((each for each in _subjects(who, f"{t}_of", old_values=False) if each[0] in same), t)


def _binds(rule: ast.Expr) -> bool:
    return any(isinstance(part, ast.Param) for part in walk.parts(rule))


def _about(subjects: Iterable[tuple[str, ast.Expr]], t: str) -> ast.Expr:
    whole, parts = list(UNTYPED), []
    for record, seen in subjects:
        if seen == ast.TRUE:
            whole.append(record)
        elif seen != ast.FALSE:
            parts.append(_part(record, seen, t, f"{t}_of"))
    names = ast.Cast(ast.Text("{" + ",".join(whole) + "}"), "text[]")
    return ast.any_of([ast.AnyOf(ast.Col(t, "subject_type"), names), *parts])


def _subjects(who: Who, alias: str, *, old_values: bool) -> Iterator[tuple[str, ast.Expr]]:
    """The types of which anything may be read, with their row rules and within a key's scopes."""
    for record, entry in ENTRIES.items():
        read = not old_values or all(entry.fields[name](who, alias) == ast.TRUE for name in entry.history)
        if record not in TRAILS and read:
            yield record, rows(record, who, alias)


def _part(record: str, seen: ast.Expr, t: str, alias: str) -> ast.Expr:
    same = ast.eq(ast.Col(alias, "id"), ast.Col(t, "subject_id"))
    # No EXISTS: PostgreSQL would rather read all visible records into a hash table, for a page of twenty rows.
    looked_up = ast.Subquery(ast.Select(((seen, "seen"),), ast.Table(ENTRIES[record].table, alias), where=same))
    return ast.all_of([ast.eq(ast.Col(t, "subject_type"), ast.Text(record)), ast.IsTrue(looked_up)])
