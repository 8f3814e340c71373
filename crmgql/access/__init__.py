"""Who may see and change what, each rule written once. The other layers use what is named here.

`permissions` says what can be allowed, `roles` who is allowed it, `types` which permission opens which rows and fields
and allows which changes. The planner folds row and field rules into its statement; the domain puts the same row rule into
the WHERE of its locked reads, and asks for permissions (`demands`), never for roles. What a rule leaves open is bound in
`parameters` alone.
"""

from crmgql.access.demands import require, require_all, require_person, require_read, require_write
from crmgql.access.entries import (
    ENTRIES,
    Access,
    counted,
    field,
    figures,
    has_scope,
    rows,
    seeing_only,
    sees_all,
    visible,
)
from crmgql.access.parameters import VIEWER_ID, Parameter, bind, statement, value_of, written
from crmgql.access.permissions import CHAPTERS, PERMISSIONS, Permission, Reach
from crmgql.access.rights import may, reach, sight
from crmgql.access.roles import ROLES, roles_with
from crmgql.access.types import SCOPES, covers, narrowed

__all__ = [
    "CHAPTERS",
    "ENTRIES",
    "PERMISSIONS",
    "ROLES",
    "SCOPES",
    "VIEWER_ID",
    "Access",
    "Parameter",
    "Permission",
    "Reach",
    "bind",
    "counted",
    "covers",
    "field",
    "figures",
    "has_scope",
    "may",
    "narrowed",
    "reach",
    "require",
    "require_all",
    "require_person",
    "require_read",
    "require_write",
    "roles_with",
    "rows",
    "seeing_only",
    "sees_all",
    "sight",
    "statement",
    "value_of",
    "visible",
    "written",
]
