"""Which records of a type a window of the feed may have changed, for a viewer; and why all must be fetched again, if so.

Named one by one are the subjects of events, the records under one whose change decides who sees them (`places`), and what an
erasure blanked. What can't be named is a reason to fetch again: a gap, a change of the viewer's roles or of teams, a change
that more than `SPREAD` records hang on.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from crmgql import access
from crmgql.access import former
from crmgql.models.names import api_name
from crmgql.planner import levels, metadata, places, stream
from crmgql.planner.arguments import Origin
from crmgql.planner.compiling import Build
from crmgql.sql import ast
from crmgql.viewer import Who

SPREAD = 500
"""Records of one type that are named because of records above them."""

W = "w"
T = levels.INNER
PARTS = {"Stage": places.Place("pipeline_id", "pipelines", frozenset())}
"""Types that any event of the record above changes too: stages, when their pipeline puts them into another order."""


def places_of(node: metadata.Node, who: Who) -> tuple[places.Place, ...]:
    """Where a change may change who sees records of the type, or the records."""
    rule = access.rows(node.name, who, T)
    parts = (PARTS[node.name],) if node.name in PARTS and rule != ast.FALSE else ()
    return (*places.of(rule, T), *parts)


@dataclass
class Affected:
    """The records of one type. `window` is the CTE of the events; CTEs are added to the statement as they are needed."""

    build: Build
    node: metadata.Node
    window: str

    @cached_property
    def rule(self) -> ast.Expr:
        return access.rows(self.node.name, self.build.who, T)

    @cached_property
    def above(self) -> tuple[places.Place, ...]:
        return places_of(self.node, self.build.who)

    @cached_property
    def ids(self) -> ast.Expr:
        """The ids as an array."""
        found = [ast.ArrayOf(within(self.window, ast.Col(W, "subject_id"), is_about(self.node.name))), self._erased()]
        for name in self._unders:
            few = ast.Op(_count(name), "<=", ast.Num(SPREAD))
            found.append(ast.ArrayOf(ast.Select(((ast.Col(name, "id"), "id"),), ast.Table(name, name), where=few)))
        name = self._add("c", ast.Select(((joined(found), "ids"),)))
        return ast.Cast(ast.Subquery(stream.column(name, "ids")), "uuid[]")

    def condition(self) -> ast.Expr:
        """On row `t`: it is one of them."""
        return ast.AnyOf(ast.Col(T, "id"), self.ids)

    def reasons(self) -> ast.Expr:
        """Whether all records of the type must be fetched again."""
        mine = [is_about("User"), ast.eq(ast.Col(W, "subject_id"), access.VIEWER_ID), _changed("roles")]
        found = [ast.all_of(mine), is_gap("User")]
        if places.asks_teams(self.rule):
            hired = ast.eq(ast.Col(W, "kind"), ast.Text("user.created"))
            found.append(ast.all_of([is_about("User"), _changed("team_id"), ast.Not(hired)]))
            found += [ast.all_of([is_about("Team"), _changed("manager_id", "parent_id")]), is_gap("Team")]
        found += [is_gap(record_of(place.table)) for place in self.above]
        seen = ast.Exists(within(self.window, ast.Num(1), ast.any_of(found)))
        return ast.any_of([*(ast.Op(_count(name), ">", ast.Num(SPREAD)) for name in self._unders), seen])

    @cached_property
    def _unders(self) -> list[str]:
        """For each place a CTE of the ids under what changed there, one more than are named."""
        return [self._add(f"k{number}", self._under(place)) for number, place in enumerate(self.above)]

    def _under(self, place: places.Place) -> ast.Select:
        decisive = ast.all_of([is_about(record_of(place.table)), _changed(*place.columns)])
        above = ast.ArrayOf(within(self.window, ast.Col(W, "subject_id"), decisive))
        where = ast.AnyOf(ast.Col(T, place.key), above)
        return ast.Select(((ast.Col(T, "id"), "id"),), ast.Table(self.node.table, T), where=where, limit=SPREAD + 1)

    def _erased(self) -> ast.Expr:
        """An erasure has one event, and a tombstone for each record that it blanked."""
        same = ast.eq(ast.Col("g", "erasure_id"), ast.Col(W, "subject_id"))
        join = ast.Join("JOIN", ast.Table("tombstones", "g"), same)
        its = ast.eq(ast.Col("g", "subject_type"), ast.Text(self.node.name))
        erasure = ast.eq(ast.Col(W, "kind"), ast.Text("person.erased"))
        return ast.ArrayOf(within(self.window, ast.Col("g", "subject_id"), erasure, its, joins=(join,)))

    def _add(self, letter: str, select: ast.Select) -> str:
        name = f"{letter} {self.node.prefix} {self.window}"
        self.build.first.append(ast.Cte(name, select, materialized=True))
        return name


def since(build: Build, all_affected: list[Affected], window: str, after: Origin) -> former.Since | None:
    """CTEs of the audit entries that say what decided who saw the records, and those above them; None: nothing may decide."""
    partly = [each for each in all_affected if not isinstance(each.rule, ast.Bool)]
    if not partly:
        return None
    names = former.Since(f"h {window}", f"ha {window}")
    deciding = frozenset().union(*(former.columns(each.rule) for each in partly))
    own = stream.audit(after, joined([each.ids for each in partly]), deciding)
    build.first.append(ast.Cte(names.own, own, materialized=True))
    above = [found for each in partly for place in each.above for found in _keys(each, place, names.own)]
    if not above:
        return former.Since(names.own, names.own)
    build.first.append(ast.Cte(names.above, stream.audit(after, joined(above), deciding), materialized=True))
    return names


def _keys(affected: Affected, place: places.Place, own: str) -> Iterator[ast.Expr]:
    """The ids above the records, and those that were above them before."""
    table = ast.Table(affected.node.table, T)
    yield ast.ArrayOf(ast.Select(((ast.Col(T, place.key), "id"),), table, where=affected.condition()))
    changed = ast.Op(ast.Col(former.H, "kept"), "?", ast.Text(place.key))
    yield ast.ArrayOf(ast.Select(((former.value(place.key), "id"),), ast.Table(own, former.H), where=changed))


def within(
    window: str, select: ast.Expr, *where: ast.Expr, name: str = "v", joins: tuple[ast.Join, ...] = ()
) -> ast.Select:
    """Of the events of a window, under the alias `w`."""
    return ast.Select(((select, name),), ast.Table(window, W), joins, ast.all_of(where))


def joined(arrays: list[ast.Expr]) -> ast.Expr:
    total = arrays[0]
    for each in arrays[1:]:
        total = ast.Op(total, "||", each)
    return total


def is_about(record: str) -> ast.Expr:
    return ast.eq(ast.Col(W, "subject_type"), ast.Text(record))


def is_gap(record: str) -> ast.Expr:
    kind = ast.eq(ast.Col(W, "kind"), ast.Text("gap.recorded"))
    return ast.all_of([kind, ast.eq(ast.Op(ast.Col(W, "kept"), "->>", ast.Text("type")), ast.Text(record))])


def _changed(*columns: str) -> ast.Expr:
    """Whether an event changed one of these columns. Without any: whatever it changed."""
    names = ",".join(sorted(api_name(column) for column in columns))
    return ast.Op(ast.Col(W, "changed"), "&&", ast.Cast(ast.Text(f"{{{names}}}"), "text[]")) if names else ast.TRUE


def record_of(table: str) -> str:
    """The type whose records are in a table."""
    return next(name for name, entry in access.ENTRIES.items() if entry.table == table)


def _count(name: str) -> ast.Expr:
    return ast.Subquery(ast.Select(((ast.Func("count", (ast.Num(1),)), "n"),), ast.Table(name, name)))
