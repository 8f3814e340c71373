"""Pages of docs/reference that are made from declarations."""

from __future__ import annotations

from crmgql import access
from crmgql.engine import mutations
from crmgql.models import Role

REACHES = {access.Reach.ALL: "all", access.Reach.TEAM: "team", access.Reach.OWN: "own"}
INTRODUCTION = """# Permissions

Made from `crmgql/access` by `crmgql permissions`; don't edit it here.

A verb or a field asks for a permission, a role is a set of them, and whoever has several roles may what each of them may.
*all*, *team* and *own* say how far a permission goes: for all records, for those of the teams below a manager (and one's
own), or for one's own. An API key may what its user may, within its scopes.
"""


def permissions() -> str:
    """The page on permissions: who has which, and which a mutation needs. Takes declared mutations."""
    parts = [INTRODUCTION]
    for chapter, listed in access.CHAPTERS.items():
        parts.append(f"## {chapter.capitalize()}\n\n{_table(listed)}")
    parts.append(f"## What mutations need\n\n{_mutations()}")
    return "\n".join(parts)


def _table(listed: tuple[access.Permission, ...]) -> str:
    lines = ["| permission | allows |" + "".join(f" {role} |" for role in Role)]
    lines.append("|---|---|" + ":-:|" * len(Role))
    for permission in listed:
        cells = "".join(f" {_cell(permission, str(role))} |" for role in Role)
        lines.append(f"| `{permission.name}` | {permission.doc} |{cells}")
    return "\n".join(lines) + "\n"


def _cell(permission: access.Permission, role: str) -> str:
    held = access.ROLES[role].permissions
    for reach in permission.reaches:
        if permission.grant(reach) in held:
            return REACHES[reach] if len(permission.reaches) > 1 else "✓"
    return ""


def _mutations() -> str:
    lines = ["| mutation | needs |", "|---|---|"]
    for name, declaration in sorted(mutations.MUTATIONS.items()):
        needs = ", ".join(f"`{each}`" for each in declaration.permissions)
        lines.append(f"| `{name}` | {needs or 'nothing: it is about one’s own sessions'} |")
    return "\n".join(lines) + "\n"
