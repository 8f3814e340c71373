"""Whether a viewer has a permission, and how far it goes. Names of permissions that do not exist raise `KeyError`."""

from __future__ import annotations

from collections.abc import Hashable

from crmgql.access.permissions import PERMISSIONS, Reach
from crmgql.access.roles import permissions_of
from crmgql.viewer import Who


def reach(who: Who, permission: str) -> Reach:
    """The widest that one of the viewer's roles grants."""
    asked, granted = PERMISSIONS[permission], permissions_of(who)
    return next((reach for reach in asked.reaches if asked.grant(reach) in granted), Reach.NONE)


def may(who: Who, permission: str) -> bool:
    """Whether one of the viewer's roles grants it, however far."""
    return reach(who, permission) is not Reach.NONE


def sight(who: Who) -> Hashable:
    """All that rules depend on: equal for viewers for whom the same statements fit."""
    return permissions_of(who), who.scopes
