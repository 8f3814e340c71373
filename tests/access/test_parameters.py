"""Rules leave nothing open but what they declare, and it is bound in one place."""

from __future__ import annotations

from itertools import combinations
from uuid import UUID

import pytest

from crmgql import access
from crmgql.access import roles
from crmgql.models import Role
from crmgql.sql import ast
from crmgql.sql.render import render_select
from crmgql.viewer import SYSTEM, Viewer, Who, system

ME = UUID(int=7)
SELLER = Viewer(ME, Who(frozenset({"SELLER"})))
BLACKOUT = ast.Param("somebody else's id", "uuid")


def test_a_parameter_that_nobody_declared_stops_everything() -> None:
    """The attack: a rule that compares with something new is bound to the viewer's id, and shows the wrong rows."""
    sql, sources = render_select(ast.Select((), where=ast.eq(access.VIEWER_ID, BLACKOUT), star="t"))
    assert sql.count("$") == 2
    with pytest.raises(TypeError, match="somebody else's id"):
        access.bind(sources, SELLER)
    with pytest.raises(TypeError, match="somebody else's id"):
        access.bind(sources, SELLER, id=ME)


def test_what_is_given_by_name_is_bound_to_it() -> None:
    same = ast.eq(ast.Col("t", "id"), ast.Param("id", "uuid"))
    _, sources = render_select(ast.Select((), where=ast.And((same, ast.eq(access.VIEWER_ID, same))), star="t"))
    other = UUID(int=9)
    assert access.bind(sources, SELLER, id=other) == [other, ME]


def test_parts_of_a_statement_share_their_parameters() -> None:
    seen = {"leads": access.visible("Lead", SELLER.who), "deals": access.visible("Opportunity", SELLER.who)}
    sql, values = access.statement("{leads} | {deals} | {since} {since} {last}", SELLER, selects=seen, since=1, last=2)
    leads, deals, own = sql.split(" | ")
    assert "$1" in leads
    assert "$1" in deals
    assert own == "$2 $2 $3"
    assert values == [ME, 1, 2]
    assert access.statement("{leads}", SELLER, selects={"leads": seen["leads"]}, since=1)[1] == [ME]


@pytest.mark.parametrize("record", sorted(access.ENTRIES))
def test_every_rule_asks_for_declared_parameters_only(record: str) -> None:
    """For all sets of roles."""
    for size in range(len(Role) + 1):
        for names in combinations(Role, size):
            viewer = Viewer(ME, Who(frozenset(str(name) for name in names)))
            for trusted in (False, True):
                rule = access.rows(record, viewer.who, "t", trusted=trusted)
                assert set(values_of(rule, viewer)) <= {ME}
            for name in access.ENTRIES[record].fields:
                assert set(values_of(access.field(record, name, viewer.who, "t"), viewer)) <= {ME}


def values_of(rule: ast.Expr, viewer: Viewer) -> list[object]:
    return access.bind(render_select(ast.Select(((rule, "rule"),)))[1], viewer)


def test_a_permission_that_does_not_exist_can_be_neither_asked_for_nor_granted() -> None:
    with pytest.raises(KeyError):
        access.may(SELLER.who, "lead.rout")
    with pytest.raises(KeyError):
        access.roles_with("lead.read.own")
    with pytest.raises(ValueError, match=r"lead\.rout\b"):
        roles.declare("NEW", "lead.read lead.rout")
    assert "NEW" not in access.ROLES


def test_the_widest_of_several_roles_counts() -> None:
    for names, reach in (
        ({"SELLER"}, access.Reach.OWN),
        ({"SELLER", "MANAGER"}, access.Reach.TEAM),
        ({"SELLER", "MANAGER", "SUPPORT"}, access.Reach.ALL),
        ({"MARKETER"}, access.Reach.NONE),
        ({"gone"}, access.Reach.NONE),
        (set(), access.Reach.NONE),
    ):
        assert access.reach(Who(frozenset(names)), "order.read") is reach


def test_the_system_may_what_administrators_may_and_is_nobodys_role() -> None:
    assert access.ROLES[SYSTEM].permissions == access.ROLES["ADMIN"].permissions
    assert access.sees_all(system().who, "Lead")
    assert access.roles_with("company.administer") == ["ADMIN"]
    assert SYSTEM not in set(Role)
