"""The feed of events as statements read it: cursors as parameters and as text, whether a cursor is any good, a window of events."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from crmgql.events import cursors
from crmgql.planner import arguments, codecs
from crmgql.planner.arguments import Variables
from crmgql.sql import ast

LONGEST_TRANSACTION_MS = 2 * 24 * 3600 * 1000
"""Ids of events are of the time when they were recorded, positions of that of the commit: no later than this."""

POSITION_COLUMNS = ("position", "epoch", "event_id", "is_last")
EVENT_COLUMNS = ("kind", "subject_type", "subject_id", "changed", "kept")


@dataclass(frozen=True, slots=True)
class CursorPart:
    """Parameter source: a part of a cursor of the feed. `floor` is a lower bound of the ids of events behind it."""

    origin: arguments.Origin
    part: str

    def value(self, variables: Variables) -> Any:
        """Raises `CursorInvalid`."""
        cursor = cursors.parse(str(arguments.current(self.origin, variables)))
        match self.part:
            case "position":
                return cursor.position
            case "event":
                return cursor.event_id
            case "text":
                return cursor.text()
            case _:
                made_ms = cursor.event_id.int >> 80
                return UUID(int=max(0, made_ms - LONGEST_TRANSACTION_MS) << 80)


def position(after: arguments.Origin) -> ast.Param:
    return ast.Param(CursorPart(after, "position"), "int8")


def floor(after: arguments.Origin) -> ast.Param:
    return ast.Param(CursorPart(after, "floor"), "uuid")


def text(after: arguments.Origin) -> ast.Param:
    return ast.Param(CursorPart(after, "text"), "text")


def newest() -> ast.Expr:
    """The newest position; NULL before the first pass of all."""
    return ast.Subquery(ast.Select(((ast.Col("f", "position"), "position"),), ast.Table("feed", "f")))


def head() -> ast.Expr:
    """The newest cursor, as text."""
    start = ast.Text("evc_" + "0" * 56)
    some = ast.Op(ast.Col("f", "position"), ">", ast.Num(0))
    found = ast.Subquery(ast.Select(((cursor_of("f"), "cursor"),), ast.Table("feed", "f"), where=some))
    return ast.Func("coalesce", (found, start))


def cursor_of(row: str) -> ast.Expr:
    """The text of a row's cursor, as `events/cursors` writes it."""

    def digits(column: str, width: int) -> ast.Expr:
        return ast.Func("lpad", (ast.Func("to_hex", (ast.Col(row, column),)), ast.Num(width), ast.Text("0")))

    event = codecs.hex_digits(ast.Col(row, "event_id"))
    return ast.Concat((ast.Text("evc_"), digits("epoch", 8), digits("position", 16), event))


def standing(after: arguments.Origin) -> ast.Expr:
    """`ok`, `expired` or `other` (of another history), a space, and the newest cursor."""
    given, event = position(after), ast.Param(CursorPart(after, "event"), "uuid")
    at = ast.eq(ast.Col("p", "position"), given)
    held = ast.Subquery(
        ast.Select(((ast.Col("p", "event_id"), "event_id"),), ast.Table("event_positions", "p"), where=at)
    )
    events, audit = _dropped("events", "last_position"), _dropped("audit_entries", "last_id")
    is_start = ast.all_of([ast.eq(given, ast.Num(0)), ast.IsNull(events), ast.IsNull(audit)])
    # Without the audit trail nobody knows who saw what is gone.
    is_dropped = ast.any_of([ast.Op(given, "<=", events), ast.Op(event, "<=", audit)])
    is_good = ast.any_of([ast.eq(held, event), is_start])
    state = ast.Case(ast.IsTrue(is_good), ast.Text("ok "), ast.Text("other "))
    return ast.Concat((ast.Case(ast.IsTrue(is_dropped), ast.Text("expired "), state), head()))


def is_placed_after(after: arguments.Origin, condition: ast.Expr) -> ast.Expr:
    """Whether behind the cursor there is an event `e` of a kind."""
    join = ast.Join("JOIN", ast.Table("events", "e"), ast.eq(ast.Col("e", "id"), ast.Col("p", "event_id")))
    where = ast.all_of([ast.Op(ast.Col("p", "position"), ">", position(after)), condition])
    return ast.Exists(ast.Select(((ast.Num(1), "one"),), ast.Table("event_positions", "p"), (join,), where))


def is_waiting(condition: ast.Expr) -> ast.Expr:
    """Whether an event `e` of a kind is committed and has no position yet: the next pass of the relay will see it.

    Those are events of transactions that ran when the last pass looked, or began later (`feed_pass`).
    """

    def number(of: ast.Expr) -> ast.Expr:
        plain = ast.Cast(ast.Cast(of, "text"), "int8")
        return ast.Cast(ast.Cast(ast.Op(plain, "+", ast.Col("f", "base")), "text"), "xid8")

    def in_feed(of: ast.Expr) -> ast.Select:
        return ast.Select(((number(of), "number"),), ast.Table("feed", "f"))

    transaction, last_pass = ast.Col("e", "transaction_id"), (ast.Col("f", "pass"),)
    later = ast.Op(transaction, ">=", ast.Subquery(in_feed(ast.Func("pg_snapshot_xmax", last_pass))))
    ran = ast.AnyOf(transaction, ast.ArrayOf(in_feed(ast.Func("pg_snapshot_xip", last_pass))))
    some = [
        ast.Exists(ast.Select(((ast.Num(1), "one"),), ast.Table("events", "e"), where=ast.all_of([each, condition])))
        for each in (later, ran)
    ]
    return ast.any_of(some)


def _dropped(relation: str, column: str) -> ast.Expr:
    """The last one of the months that the retention has dropped."""
    value = ast.Col("k", column)
    where = ast.all_of([ast.eq(ast.Col("k", "relation"), ast.Text(relation)), ast.IsNull(value, negated=True)])
    source, order = ast.Table("event_checkpoints", "k"), (ast.Order(value, descending=True),)
    return ast.Subquery(ast.Select(((value, column),), source, where=where, order_by=order, limit=1))


def window(name: str, after: arguments.Origin, size: int) -> tuple[ast.Cte, ...]:
    """CTEs of the next `size` events behind a cursor: `name`, and `name e` with the `position` of the last one, or NULL.

    It is cut behind the last transaction that is whole in it; one that is larger than the window is cut in two.
    """
    raw, end, last = f"{name} r", f"{name} e", ast.Col("p", "position")
    columns = [(ast.Col("p", each), each) for each in POSITION_COLUMNS]
    columns += [(ast.Col("e", each), each) for each in EVENT_COLUMNS]
    join = ast.Join("JOIN", ast.Table("events", "e"), ast.eq(ast.Col("e", "id"), ast.Col("p", "event_id")))
    start = position(after)
    within = [ast.Op(last, ">", start), ast.Op(last, "<=", ast.Op(start, "+", ast.Num(size)))]
    read = ast.Select(tuple(columns), ast.Table("event_positions", "p"), (join,), ast.all_of(within))
    whole = ast.Aggregate("max", (ast.Col(raw, "position"),), where=ast.Col(raw, "is_last"))
    ending = ast.Func("coalesce", (whole, ast.Aggregate("max", (ast.Col(raw, "position"),))))
    reached = ast.Subquery(column(end, "position"))
    cut = ast.Op(ast.Col(raw, "position"), "<=", reached)
    return (
        ast.Cte(raw, read, materialized=True),
        ast.Cte(end, ast.Select(((ending, "position"),), ast.Table(raw, raw)), materialized=True),
        ast.Cte(name, ast.Select((), ast.Table(raw, raw), where=cut, star=raw), materialized=True),
    )


def audit(after: arguments.Origin, subjects: ast.Expr, changed: frozenset[str]) -> ast.Select:
    """The audit entries behind a cursor of these subjects (an array) that changed one of these columns."""
    entry, placed = ast.Table("audit_entries", "a"), ast.Table("event_positions", "p")
    id, kept = ast.Col("a", "id"), ast.Col("a", "kept")
    names = ast.Cast(ast.Text("{" + ",".join(sorted(changed)) + "}"), "text[]")
    where = ast.all_of(
        [
            ast.AnyOf(ast.Col("a", "subject_id"), subjects),
            ast.Op(id, ">=", floor(after)),
            ast.Op(ast.Col("p", "position"), ">", position(after)),
            ast.Op(kept, "?|", names),
        ]
    )
    join = ast.Join("JOIN", placed, ast.eq(ast.Col("p", "event_id"), id))
    return ast.Select(((ast.Col("a", "subject_id"), "subject_id"), (kept, "kept")), entry, (join,), where)


def column(table: str, name: str) -> ast.Select:
    """All values of a column of a CTE."""
    return ast.Select(((ast.Col(table, name), name),), ast.Table(table, table))
