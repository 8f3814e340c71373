"""Rules over what columns held before: each rule of a type that clients can keep copies of must be one that they understand."""

from __future__ import annotations

import pytest

from crmgql import access
from crmgql.access import former
from crmgql.events.kinds import FOLLOWED, KINDS
from crmgql.planner import places
from crmgql.sql import ast, walk
from crmgql.viewer import Who
from tests.access.workshop import viewers

SINCE = former.Since("own", "above")


@pytest.mark.parametrize("record", sorted(FOLLOWED))
def test_every_rule_is_understood(record: str) -> None:
    for viewer in viewers():
        rule = access.rows(record, viewer.who, "t")
        widened = former.rows(record, viewer.who, "t", SINCE)
        assert isinstance(rule, ast.Bool) == isinstance(widened, ast.Bool)
        if not isinstance(rule, ast.Bool):
            assert SINCE.own in {each.name for each in walk.parts(widened) if isinstance(each, ast.Table)}
        places.of(rule, "t")


def test_followed_types_have_events() -> None:
    assert {kind.subject for kind in KINDS.values()} >= FOLLOWED


def test_another_kind_of_rule_is_refused() -> None:
    """Whoever writes one is told, rather than that a record which left somebody's sight is kept by them for ever."""
    unknown = ast.Op(ast.Col("t", "owner_id"), "<>", access.VIEWER_ID)
    entry = access.ENTRIES["Order"]
    try:
        access.ENTRIES["Order"] = access.Access("orders", "orders", lambda who, t, trusted: unknown)
        with pytest.raises(TypeError):
            former.rows("Order", Who(frozenset()), "t", SINCE)
        far = ast.Exists(ast.Select((), ast.Table("teams", "x"), where=ast.eq(ast.Col("x", "name"), ast.Text("A"))))
        with pytest.raises(TypeError):
            places.of(far, "t")
    finally:
        access.ENTRIES["Order"] = entry
