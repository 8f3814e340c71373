"""Users and teams, which administrators manage; and who may be assigned a record. Deactivating is in `departures`.

An administrator's API key can't change permissions: neither roles, e-mail, password and whether somebody is active, nor who
manages whom. So nobody exceeds a key's scopes with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from crmgql import access
from crmgql.domain.people import passwords, sessions
from crmgql.domain.people.passwords import Hashed
from crmgql.errors import BadUserInput, Conflict, Forbidden, IllegalTransition, Unauthenticated
from crmgql.models import Team, User, names
from crmgql.records import records
from crmgql.records.columns import ORIGIN, takes
from crmgql.records.records import Act, Row
from crmgql.viewer import Viewer

FACTS = "name email region city state postal_code team_id"
TEAM_FACTS = "name region manager_id parent_id"
PERSONAL = frozenset({"roles", "email", "team_id"})
HIERARCHY = frozenset({"manager_id", "parent_id"})
"""What an API key can't change, of users and of teams."""

CONFLICTS = {"users_email": ("email", "Another user has this e-mail address.")}
ADMINISTER = "company.administer"
ACTIVE_WITH_ROLES = "SELECT id FROM users WHERE active AND roles && $1 ORDER BY id"
IN_TEAMS = "SELECT $1 = ANY (team_reach($2))"
HOLD = "SELECT active FROM users WHERE id = $1 FOR SHARE"
MANAGERS_ABOVE = """
WITH RECURSIVE up AS (
    SELECT u.id AS user_id, t.manager_id, t.parent_id, 0 AS height FROM users u
    JOIN teams t ON t.id = u.team_id OR t.manager_id = u.id WHERE u.id = ANY ($1)
    UNION ALL
    SELECT up.user_id, t.manager_id, t.parent_id, height + 1 FROM up JOIN teams t ON t.id = up.parent_id
    WHERE height < 50
)
SELECT DISTINCT ON (user_id) user_id, manager_id FROM up JOIN users m ON m.id = manager_id AND m.active
WHERE manager_id <> user_id ORDER BY user_id, height, manager_id"""
OTHER_ADMINISTRATOR = "SELECT EXISTS (SELECT FROM users WHERE active AND roles && $2 AND id <> $1)"


async def assignable(act: Act, user_id: UUID | None, *, field: str, permission: str = "owner.assign") -> UUID | None:
    """The user, if the viewer may assign records to them. The reach of the permission is oneself, the team, or everybody and
    nobody.

    The user is locked and stays active until the transaction ends: a deactivation at the same moment either comes first, and
    the user is refused here, or hands over this record, too. Raises `NotFound`, `Forbidden`, `BadUserInput` for an inactive
    user.
    """
    reach = access.reach(act.viewer.who, permission)
    if user_id is None:
        if reach is not access.Reach.ALL:
            raise Forbidden("You may name somebody else here, but not nobody.", field=field)
        return None
    if user_id == act.viewer.user_id and reach is not access.Reach.NONE:
        return await oneself(act)
    user = await records.visible(act, User, user_id, field=field, steady=True)
    if not user["active"]:
        raise BadUserInput("This user is not active; choose one who is.", field=field)
    if reach is access.Reach.NONE:
        raise Forbidden("Your roles put nobody in charge here; ask a manager to.", field=field)
    await require_reach(act, permission, user_id, field=field)
    return user_id


async def require_reach(act: Act, permission: str, user_id: UUID, *, field: str) -> None:
    """Raises `Forbidden` unless the user is the viewer or within the reach of their permission."""
    reach = access.reach(act.viewer.who, permission)
    if reach is access.Reach.ALL or user_id == act.viewer.user_id:
        return
    if reach is not access.Reach.TEAM:
        raise Forbidden("You may only name yourself here; ask a manager to name others.", field=field)
    if not await act.tx.connection.fetchval(IN_TEAMS, user_id, act.viewer.user_id):
        raise Forbidden("This user is not in your teams; name somebody who is.", field=field)


async def still_here(act: Act, user_id: UUID | None) -> UUID | None:
    """The user, locked so that they stay active until the transaction ends; None for None and for an inactive user."""
    return user_id if await act.tx.connection.fetchval(HOLD, user_id) else None


async def oneself(act: Act) -> UUID:
    """The viewer, locked as by `still_here`. Raises `Unauthenticated` if they were deactivated a moment ago."""
    if await still_here(act, act.viewer.user_id) is None:
        raise Unauthenticated("This user is not active.")
    return act.viewer.user_id


async def owner(act: Act, values: Row) -> UUID | None:
    """The owner of a new record: the one among its values, if the viewer may assign them, else as `own`."""
    if "owner_id" in values:
        return await assignable(act, values["owner_id"], field="ownerId")
    return await own(act)


async def own(act: Act) -> UUID | None:
    """The default owner of a new record: the viewer if they sell or manage, else None."""
    return await oneself(act) if access.may(act.viewer.who, "customer.own") else None


async def managers_above(act: Act, user_ids: Sequence[UUID]) -> dict[UUID, UUID]:
    """By user, the nearest active manager: of their own team, else of the teams above it."""
    rows = await act.tx.connection.fetch(MANAGERS_ABOVE, user_ids)
    return {row["user_id"]: row["manager_id"] for row in rows}


async def administrators(act: Act) -> list[UUID]:
    """All active administrators, who are notified if nobody else is responsible."""
    return await holding(act, ADMINISTER)


async def holding(act: Act, permission: str) -> list[UUID]:
    """All active users who have a permission, however far."""
    rows = await act.tx.connection.fetch(ACTIVE_WITH_ROLES, access.roles_with(permission))
    return [row["id"] for row in rows]


async def hashed(viewer: Viewer, values: Row) -> Row:
    """The values with the password hashed, for `create_user` and `update_user`. With an API key it stays: they refuse it."""
    if values.get("password") is None or viewer.api_key_id is not None:
        return values
    return {**values, "password": await passwords.hash(values["password"])}


@takes(User, FACTS, ORIGIN)
async def create_user(
    act: Act,
    *,
    roles: Sequence[str] | None = None,
    password: Hashed | None = None,
    **values: Any,
) -> UUID:
    """Makes a user. Raises `Conflict` for an e-mail that is taken, `BadUserInput`, `Forbidden`."""
    access.require_write(act.viewer, "User")
    require_person(act, ["roles"] if roles else [])
    values |= {"roles": sorted(set(roles or ()))}
    await _check_team(act, values)
    if password is not None:
        require_person(act, ["password"])
        values["password_hash"] = password
    user = await records.create(act, User, values, kind="user.created", conflicts=CONFLICTS)
    return user["id"]  # type: ignore[no-any-return]


@takes(User, FACTS, "roles")
async def update_user(
    act: Act, *, id: UUID, expected_version: int | None = None, password: Hashed | None = None, **changes: Any
) -> UUID:
    """Changes what is named. A new password ends the user's sessions."""
    access.require_write(act.viewer, "User")
    require_person(act, changes.keys() & PERSONAL)
    user = await records.lock(act, User, id, expected_version=expected_version)
    if "roles" in changes:
        changes["roles"] = await _roles(act, user, changes["roles"] or [])
    if changes.get("team_id") != user["team_id"]:
        await _check_team(act, changes)
    user = await records.change(act, User, user, changes, kind="user.updated", conflicts=CONFLICTS)
    if password is not None:
        require_person(act, ["password"])
        await records.change(act, User, user, {"password_hash": password}, kind="user.passwordChanged")
        await sessions.revoke_all(act.tx, user_id=id, now=act.now)
    return id


async def reactivate(act: Act, *, id: UUID, expected_version: int | None = None) -> UUID:
    access.require_write(act.viewer, "User")
    require_person(act, ["active"])
    user = await records.lock(act, User, id, expected_version=expected_version)
    if user["active"]:
        raise IllegalTransition("The user is active already.", field="id")
    await records.change(act, User, user, {"active": True}, kind="user.reactivated")
    return id


@takes(Team, TEAM_FACTS, ORIGIN)
async def create_team(act: Act, **values: Any) -> UUID:
    """Makes a team, under another one if `parent_id` is named."""
    access.require_write(act.viewer, "Team")
    if values.get("parent_id") is not None:
        await records.visible(act, Team, values["parent_id"], field="parentId")
    if values.get("manager_id") is not None:
        require_person(act, ["manager_id"])
        await assignable(act, values["manager_id"], field="managerId")
    team = await records.create(act, Team, values, kind="team.created")
    return team["id"]  # type: ignore[no-any-return]


@takes(Team, TEAM_FACTS)
async def update_team(act: Act, *, id: UUID, expected_version: int | None = None, **changes: Any) -> UUID:
    """Changes what is named. Raises `BadUserInput` for a parent that is below the team."""
    access.require_write(act.viewer, "Team")
    require_person(act, changes.keys() & HIERARCHY)
    if changes.get("parent_id") is not None:
        await records.check_parent(act, Team, id, changes["parent_id"])
    team = await records.lock(act, Team, id, expected_version=expected_version)
    if changes.get("manager_id") not in (None, team["manager_id"]):
        await assignable(act, changes["manager_id"], field="managerId")
    await records.change(act, Team, team, changes, kind="team.updated")
    return id


async def _roles(act: Act, user: Row, roles: list[str]) -> list[str]:
    """The roles, sorted; unchanged if they are the same. Raises if no administrator would be left."""
    if set(roles) == set(user["roles"]):
        return user["roles"]  # type: ignore[no-any-return]
    if not _administers(roles):
        await require_other_administrator(act, user)
    return sorted(set(roles))


def require_person(act: Act, columns: Iterable[str]) -> None:
    """Raises `Forbidden` if an API key names one of these, even with the current value: otherwise it could be guessed."""
    if act.viewer.api_key_id is not None:
        for column in sorted(columns):
            field = names.api_name(column)
            raise Forbidden(f"An API key can't set {field}: log in.", field=field)


async def require_other_administrator(act: Act, user: Row) -> None:
    """Raises `Conflict` for the last active administrator. One at a time: if two remove each other at once, one stays."""
    if not user["active"] or not _administers(user["roles"]):
        return
    await records.serialize(act, "users.administrators")
    if not await act.tx.connection.fetchval(OTHER_ADMINISTRATOR, user["id"], access.roles_with(ADMINISTER)):
        raise Conflict("This is the last active administrator; make another one first.", field="id")


def _administers(roles: Iterable[str]) -> bool:
    return not set(access.roles_with(ADMINISTER)).isdisjoint(roles)


async def _check_team(act: Act, values: Row) -> None:
    if values.get("team_id") is not None:
        await records.visible(act, Team, values["team_id"], field="teamId")
