"""Who may what is said in `access` and nowhere else: no role's name, no permission that does not exist, no second binder."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from crmgql import access
from crmgql.access.permissions import GRANTS
from crmgql.engine import declare, freeze, mutations
from crmgql.models import Role
from crmgql.viewer import Who

PACKAGE = Path(__file__).resolve().parents[2] / "crmgql"
FREE = ("access/", "dev/", "migrations/", "models/people.py")
"""The rules, the enum that the API shows, and data of which people are a part."""

ALERTED = {
    "models/opportunities.py": {"MANAGER"},
    "domain/opportunities/stale.py": {"MANAGER"},
    "domain/money/plan_alerts.py": {"MANAGER"},
}
"""Whom an alert is for: the owner's manager, whatever their roles are."""

GROUPED = {"domain/money/revenue_reports.py": {"SELLER"}}
"""By whom revenue is grouped: the seller of a line or an order, whatever their roles are."""

CREDITED = {"models/plans.py": {"MANAGER"}, "domain/compensation/terms_of.py": {"MANAGER"}}
"""As what somebody is credited with an order: the manager of the team, whatever their roles are."""

NAMED = re.compile(rf"""(?:['"{{,]|\bRole\.|\baccess\.)({"|".join(Role)})\b""")
ASKING = {"may", "reach", "require", "roles_with"}
SOURCES = {path.relative_to(PACKAGE).as_posix(): path.read_text("utf-8") for path in PACKAGE.rglob("*.py")}
STATEMENTS = {path.relative_to(PACKAGE).as_posix(): path.read_text("utf-8") for path in PACKAGE.rglob("*.sql")}


def outside() -> dict[str, str]:
    return {name: text for name, text in (SOURCES | STATEMENTS).items() if not name.startswith(FREE)}


def test_no_role_is_named_outside_access() -> None:
    found = {name: set(NAMED.findall(text)) for name, text in outside().items()}
    assert {name: roles for name, roles in found.items() if roles} == ALERTED | GROUPED | CREDITED


def test_the_search_would_find_one() -> None:
    for text in ("'ADMIN' = ANY (roles)", 'if "SELLER" in roles', "Role.FINANCE", "access.MARKETER", "'{SUPPORT}'"):
        assert NAMED.search(text), text


def test_verbs_ask_for_permissions_rather_than_looking_at_roles() -> None:
    looking = {name for name, text in outside().items() if re.search(r"\b(?:viewer|who|act)\.roles\b", text)}
    assert looking == {"viewer.py"}


def test_the_viewers_id_is_bound_by_access_alone() -> None:
    """What renders a rule by itself hands the sources to `access.bind` or `access.statement`."""
    rendering = {name for name, text in outside().items() if "render_select" in text and not name.startswith("sql/")}
    assert rendering == {"records/records.py"}
    assert "access.bind(sources" in SOURCES["records/records.py"]
    assert {name for name, text in outside().items() if re.search(r"\bViewerId\b", text)} == set()


def asked() -> dict[str, set[str]]:
    """The permissions that code asks for, by file."""
    found: dict[str, set[str]] = {}
    for name, text in SOURCES.items():
        if name in ("access/permissions.py", "access/roles.py"):
            continue
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in access.PERMISSIONS:
                found.setdefault(name, set()).add(node.value)
    return found


def test_every_permission_is_asked_for() -> None:
    assert set().union(*asked().values()) == access.PERMISSIONS.keys()


def test_what_is_asked_for_exists() -> None:
    """Also on a way that no test takes."""
    for name, text in SOURCES.items():
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Call):
                assert set(_literals(node)) <= access.PERMISSIONS.keys(), (name, node.lineno)


def _literals(call: ast.Call) -> list[str]:
    """The permissions that a call names as literals."""
    named = [word.value for word in call.keywords if word.arg == "permission"]
    if ast.unparse(call.func).removeprefix("access.") in ASKING:
        named += call.args[:2]
    return [each.value for each in named if isinstance(each, ast.Constant) and isinstance(each.value, str)]


def test_every_type_has_one_entry() -> None:
    assert access.ENTRIES.keys() == declare.DECLARED.keys()
    tables = [entry.table for entry in access.ENTRIES.values()]
    assert len(tables) == len(set(tables))
    source = SOURCES["access/types.py"]
    assert [source.count(f'\n    "{name}": Access(') for name in access.ENTRIES] == [1] * len(access.ENTRIES)


def test_every_permission_is_granted_and_every_grant_is_used() -> None:
    people = {role.name: role for role in access.ROLES.values() if role.name in set(Role)}
    assert people.keys() == set(Role)
    for permission in access.PERMISSIONS.values():
        assert access.roles_with(permission.name), permission.name
    granted = frozenset().union(*(role.permissions for role in people.values()))
    assert granted <= GRANTS


def test_no_role_holds_a_permission_twice() -> None:
    """The widest counts; a second, narrower one would only mislead."""
    for role in access.ROLES.values():
        for permission in access.PERMISSIONS.values():
            assert len(role.permissions & set(permission.grants())) <= 1, (role.name, permission.name)


def test_what_is_never_null_is_seen_whole_by_every_role() -> None:
    for role in Role:
        assert all(access.sees_all(Who(frozenset({str(role)})), record) for record in freeze.SEEN_BY_ALL), role


def test_every_mutation_says_what_it_needs() -> None:
    for declaration in mutations.MUTATIONS.values():
        assert set(declaration.permissions) <= access.PERMISSIONS.keys()
        assert bool(declaration.permissions) == (declaration.session is False), declaration.name
