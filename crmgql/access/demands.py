"""What a verb asks before it does anything: raises `Forbidden`, with the roles that would do."""

from __future__ import annotations

from crmgql.access.entries import ENTRIES, has_scope, sees_all
from crmgql.access.rights import may
from crmgql.access.roles import roles_with
from crmgql.errors import Forbidden
from crmgql.viewer import Viewer, Who


def require(viewer: Viewer, permission: str, doing: str, *, field: str | None = None) -> None:
    """Raises `Forbidden` unless one of the viewer's roles grants the permission; `doing` begins the message."""
    if not may(viewer.who, permission):
        allowed = ", ".join(roles_with(permission))
        raise Forbidden(f"{doing} needs one of the roles {allowed}.", field=field)


def require_read(who: Who, record: str) -> None:
    """Raises `Forbidden` when an API key asks for a type outside its scopes."""
    if not has_scope(who, record, "read"):
        raise Forbidden(f"This API key lacks the scope {ENTRIES[record].noun}:read.")


def require_write(viewer: Viewer, record: str) -> None:
    """Raises `Forbidden` unless the viewer's roles (and the key's scopes) allow changing such records at all."""
    entry = ENTRIES[record]
    assert entry.write is not None, f"nobody changes a {record}"
    require(viewer, entry.write, f"Changing {entry.noun}")
    if not has_scope(viewer.who, record, "write"):
        raise Forbidden(f"This API key lacks the scope {entry.noun}:write.")


def require_all(viewer: Viewer, record: str, *, field: str) -> None:
    """Raises `Forbidden` unless the viewer's roles see every row of a type: for values that no two rows may have in common.

    Others would learn from a conflict that there is a row which is hidden from them. So they are refused whatever the value.
    """
    if not sees_all(viewer.who, record):
        raise Forbidden(
            f"Setting {field} is for those who see all {ENTRIES[record].noun}, as no two may have the same. Leave it out.",
            field=field,
        )


def require_person(viewer: Viewer, doing: str) -> None:
    """Raises `Forbidden` for an API key, whose maker may be somebody else than its user; `doing` begins the message."""
    if viewer.api_key_id is not None:
        raise Forbidden(f"{doing} is for people, not for API keys: log in.")
