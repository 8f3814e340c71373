"""Mutations of sessions, users, teams and API keys. Those of sessions take no idempotency key."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

import strawberry

from crmgql import access
from crmgql.domain.people import api_keys, clients, departures, sessions, users
from crmgql.engine.mutations import Done, Given, SessionCall, input, mutation, session
from crmgql.engine.scalars import DateTimeText, EmailAddress
from crmgql.engine.strawberries import Field, lazy, object_type
from crmgql.errors import Unauthenticated
from crmgql.models import Role
from crmgql.records.records import Act
from crmgql.schema.shared_inputs import UNSET, MoneyInput, MoveInput


@input
class UserCreateInput:
    """Without an e-mail and a password nobody can log in as this user."""

    name: str
    email: EmailAddress | None = UNSET
    roles: list[Role] | None = UNSET
    password: str | None = UNSET
    team_id: strawberry.ID | None = UNSET
    region: str | None = UNSET
    city: str | None = UNSET
    state: str | None = UNSET
    postal_code: str | None = UNSET
    salary: MoneyInput | None = UNSET
    source: str | None = UNSET
    external_id: str | None = UNSET


@input
class UserUpdateInput:
    """A new password ends the user's sessions."""

    id: strawberry.ID
    expected_version: int | None = UNSET
    name: str | None = UNSET
    email: EmailAddress | None = UNSET
    roles: list[Role] | None = UNSET
    password: str | None = UNSET
    team_id: strawberry.ID | None = UNSET
    region: str | None = UNSET
    city: str | None = UNSET
    state: str | None = UNSET
    postal_code: str | None = UNSET
    salary: MoneyInput | None = UNSET


@input
class UserDeactivateInput:
    """Everything open goes to `handOverTo`. Without one, leads are routed anew, and the rest goes to the nearest active
    manager above the user, or is nobody's where there is none."""

    id: strawberry.ID
    expected_version: int | None = UNSET
    hand_over_to: strawberry.ID | None = UNSET


object_type(
    "HandedOver",
    [
        Field("leads", int, "Open leads."),
        Field("opportunities", int, "Open opportunities."),
        Field("tasks", int, "Open tasks."),
        Field("tickets", int, "Tickets that are OPEN or PENDING."),
        Field("customers", int, "Customers that they owned."),
        Field("queues", int, "Queues of leads that they owned."),
    ],
    "How many records went from somebody who was deactivated to others.",
)


@input
class TeamCreateInput:
    name: str
    region: str | None = UNSET
    manager_id: strawberry.ID | None = UNSET
    parent_id: strawberry.ID | None = UNSET
    source: str | None = UNSET
    external_id: str | None = UNSET


@input
class TeamUpdateInput:
    id: strawberry.ID
    expected_version: int | None = UNSET
    name: str | None = UNSET
    region: str | None = UNSET
    manager_id: strawberry.ID | None = UNSET
    parent_id: strawberry.ID | None = UNSET


@input
class ApiKeyCreateInput:
    """The key acts as the user within its scopes, such as customers:read or *:write."""

    user_id: strawberry.ID
    name: str
    scopes: list[str]
    expires_at: DateTimeText | None = UNSET


@input
class ApiKeyRevokeInput:
    id: strawberry.ID


@mutation("User", UserCreateInput, prepare=users.hashed)
async def user_create(act: Act, given: Given) -> UUID:
    """Makes a user."""
    return await users.create_user(act, **given)


@mutation("User", UserUpdateInput, prepare=users.hashed)
async def user_update(act: Act, given: Given) -> Done:
    """Changes what the input names."""
    id = await users.update_user(act, **given)
    return Done(id, changed_user=id)


@mutation("User", UserDeactivateInput, extras={"handedOver": lazy("HandedOver")})
async def user_deactivate(act: Act, given: Given) -> Done:
    """Locks a user out: sessions and API keys end at once. What they hold open is handed over; `handedOver` says how much."""
    handed_over = await departures.deactivate(act, **given)
    return Done(given["id"], {"handedOver": handed_over}, given["id"])


@mutation("User", MoveInput)
async def user_reactivate(act: Act, given: Given) -> Done:
    """Lets a user in again."""
    id = await users.reactivate(act, **given)
    return Done(id, changed_user=id)


@mutation("Team", TeamCreateInput)
async def team_create(act: Act, given: Given) -> UUID:
    """Makes a team."""
    return await users.create_team(act, **given)


@mutation("Team", TeamUpdateInput)
async def team_update(act: Act, given: Given) -> UUID:
    """Changes what the input names."""
    return await users.update_team(act, **given)


@mutation("ApiKey", ApiKeyCreateInput, extras={"key": str})
async def api_key_create(act: Act, given: Given) -> Done:
    """Makes an API key. `key` is shown this once; a repeated request with the same idempotencyKey answers null."""
    id, key = await api_keys.create(act.tx, act.viewer, known=access.SCOPES, **{"expires_at": None, **given})
    return Done(id, {"key": key})


@mutation("ApiKey", ApiKeyRevokeInput)
async def api_key_revoke(act: Act, given: Given) -> Done:
    """Ends an API key at once."""
    return Done(given["id"], changed_user=await api_keys.revoke(act.tx, act.viewer, id=given["id"]))


TOKENS: dict[str, Any] = {"accessToken": str, "refreshToken": str, "expiresAt": DateTimeText}


@strawberry.input
class LoginInput:
    email: str
    password: str


@strawberry.input
class RefreshInput:
    refresh_token: str


@strawberry.input
class LogoutInput:
    refresh_token: str


@strawberry.input
class PasswordChangeInput:
    current: str
    new: str


@session(LoginInput, extras=TOKENS)
async def login(call: SessionCall, given: Given) -> Done:
    """Logs in. Send the access token as “Authorization: Bearer …”; `expiresAt` is its end."""
    tokens = await sessions.login(
        call.database, remote=call.remote, blocks=call.blocks, now=call.now, issue=call.issue, **given
    )
    return _opened(tokens)


@session(RefreshInput, extras=TOKENS)
async def refresh(call: SessionCall, given: Given) -> Done:
    """Exchanges a refresh token for new tokens. Using it again ends the session, except within 30 seconds by the same client."""
    client = clients.fingerprint(call.remote, call.client)
    return _opened(await sessions.refresh(call.database, client=client, now=call.now, issue=call.issue, **given))


@session(LogoutInput)
async def logout(call: SessionCall, given: Given) -> Done:
    """Ends the session of a refresh token."""
    user_id = await sessions.logout(call.database, now=call.now, **given)
    if user_id is None:
        raise Unauthenticated("This refresh token is not one of ours.", field="refreshToken")
    return Done(user_id, changed_user=user_id)


@session(PasswordChangeInput, extras=TOKENS, public=False)
async def password_change(call: SessionCall, given: Given) -> Done:
    """Sets your password, ends all your sessions and opens a fresh one."""
    assert call.viewer is not None
    tokens = await sessions.change_password(
        call.database, call.viewer, remote=call.remote, blocks=call.blocks, issue=call.issue, **given
    )
    return _opened(tokens, changed=True)


def _opened(tokens: sessions.Tokens, *, changed: bool = False) -> Done:
    told = {
        "accessToken": tokens.access_token,
        "refreshToken": tokens.refresh_token,
        "expiresAt": _text(tokens.expires_at),
    }
    return Done(tokens.user_id, told, tokens.user_id if changed else None)


def _text(moment: datetime) -> str:
    return moment.isoformat()
