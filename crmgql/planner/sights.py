"""What an event did to a follower's sight of its subject: whether it came into sight, or left it.

Asked only of events that changed a column on which the subject's row rule depends, such as its owner. Enters: who follows.
Leaves: a statement over ids of events, with rows of id, whether the subject was visible before the event, and whether it is now.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from crmgql import access
from crmgql.access import former, trails
from crmgql.models.names import api_name
from crmgql.planner import metadata, selection
from crmgql.planner.statement import EventIds
from crmgql.sql import ast, walk
from crmgql.viewer import Who

SIGHT = "the sight"
"""Among the variables: what an event did to the sight of its subject; no client's variable can have this name."""
SEEN, ENTERED, LEFT = "SEEN", "ENTERED", "LEFT"

E, T = "e", "t"


@dataclass(frozen=True, slots=True)
class SightNow:
    """Parameter source: what the events that are read did to the sight of their subjects."""


def deciding(known: metadata.Metadata, who: Who) -> dict[str, frozenset[str]]:
    """By type, the fields, as events name them, on which it depends who sees a record."""
    return {record: frozenset(map(api_name, names)) for record, names, _ in _ruled(known, who)}


def compile_sights(known: metadata.Metadata, who: Who) -> ast.Statement:
    ruled = list(_ruled(known, who))
    before = _switch([(record, _asked(record, former.before(record, who, T))) for record, _, _ in ruled])
    now = _switch([(record, _asked(record, rule)) for record, _, rule in ruled])
    entry = ast.Join("JOIN", ast.Table("audit_entries", former.H), ast.eq(ast.Col(former.H, "id"), ast.Col(E, "id")))
    asked = ast.AnyOf(ast.Col(E, "id"), ast.Param(EventIds(), "uuid[]"))
    columns = ((ast.Col(E, "id"), "id"), (before, "before"), (now, "now"))
    return ast.Statement((), ast.Select(columns, ast.Table("events", E), (entry,), where=asked))


def _ruled(known: metadata.Metadata, who: Who) -> Iterator[tuple[str, frozenset[str], ast.Expr]]:
    """Types of which some rows are visible, by columns of theirs."""
    for record in known.nodes:
        rule = access.rows(record, who, T)
        names = walk.columns(rule, T) - {"id"}
        if record not in trails.TRAILS and names:
            yield record, names, rule


def _asked(record: str, rule: ast.Expr) -> ast.Expr:
    same = ast.eq(ast.Col(T, "id"), ast.Col(E, "subject_id"))
    return ast.Subquery(ast.Select(((rule, "seen"),), ast.Table(access.ENTRIES[record].table, T), where=same))


def _switch(branches: list[tuple[str, ast.Expr]]) -> ast.Expr:
    if not branches:
        return ast.FALSE
    asked = ast.Switch(ast.Col(E, "subject_type"), tuple((ast.Text(record), seen) for record, seen in branches))
    return ast.IsTrue(asked)


def left(key: str, wanted: selection.Object, known: Mapping[str, Any]) -> bytes:
    """The body for an event whose subject left the follower's sight: what is `known` of it, by field, and nothing else."""
    known = {**known, "sight": LEFT, "payload": {}, "changed": []}
    made = {name: _part(item, known) for name, item in wanted.items}
    return orjson.dumps({"data": {key: made}})


def _part(item: selection.Item, known: Mapping[str, Any]) -> Any:
    match item:
        case selection.TypeName(name):
            return name
        case selection.LeafField(field) | selection.DerivedField(field):
            return known.get(field.name)
        case selection.DetailsField():
            return []
        case _:
            return None
