"""Mutations of sessions, users, teams and API keys. Those of sessions take no idempotency key."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

import strawberry

from crmgql.domain.people import api_keys, clients, departures, sessions, users
from crmgql.engine import inputs, mutations
from crmgql.engine.inputs import UNSET, MoveInput, input
from crmgql.engine.mutations import Done, Row, SessionCall, mutation, session
from crmgql.engine.scalars import DateTimeText
from crmgql.engine.strawberries import Field, lazy, object_type
from crmgql.errors import Unauthenticated
from crmgql.records.records import Act


@input
class UserDeactivateInput:
    """Everything open goes to `handOverTo`. Without one, leads are routed again, and the rest goes to the nearest active
    manager above the user, or has no owner if there is none."""

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
    "How many records of a deactivated user were handed over.",
)


@input
class ApiKeyRevokeInput:
    id: strawberry.ID


mutations.table(
    "User",
    Row(
        "userCreate",
        "Makes a user.",
        users.create_user,
        input=inputs.create(
            users.FACTS,
            "roles",
            also={"password": str | None},
            doc="Without an e-mail and a password nobody can log in as this user.",
        ),
        prepare=users.hashed,
    ),
)

mutations.table(
    "Team",
    Row("teamCreate", "Makes a team.", users.create_team, input=inputs.create(users.TEAM_FACTS)),
    Row("teamUpdate", "Changes what the input names.", users.update_team, input=inputs.update(users.TEAM_FACTS)),
)

USER_UPDATE = inputs.update(
    users.FACTS, "roles", also={"password": str | None}, doc="A new password ends the user's sessions."
)
API_KEY_CREATE = inputs.create(
    "user_id name scopes expires_at",
    required="scopes",
    origin=False,
    doc="The key acts as the user within its scopes, such as customers:read or *:write.",
)


@mutation("User", USER_UPDATE, calls=users.update_user, prepare=users.hashed)
async def user_update(act: Act, **values: Any) -> Done:
    """Changes what the input names."""
    id = await users.update_user(act, **values)
    return Done(id, changed_user=id)


@mutation("User", UserDeactivateInput, extras={"handedOver": lazy("HandedOver")}, calls=departures.deactivate)
async def user_deactivate(act: Act, *, id: UUID, **values: Any) -> Done:
    """Deactivates a user: sessions and API keys end at once. Their open records are handed over; `handedOver` counts them."""
    handed_over = await departures.deactivate(act, id=id, **values)
    return Done(id, {"handedOver": handed_over}, id)


@mutation("User", MoveInput, calls=users.reactivate)
async def user_reactivate(act: Act, **values: Any) -> Done:
    """Reactivates a user."""
    id = await users.reactivate(act, **values)
    return Done(id, changed_user=id)


@mutation("ApiKey", API_KEY_CREATE, extras={"key": str}, calls=api_keys.create)
async def api_key_create(act: Act, **values: Any) -> Done:
    """Makes an API key. `key` is shown only once: it is null if the request is repeated with the same idempotencyKey."""
    id, key = await api_keys.create(act, **values)
    return Done(id, {"key": key})


@mutation("ApiKey", ApiKeyRevokeInput)
async def api_key_revoke(act: Act, *, id: UUID) -> Done:
    """Revokes an API key at once."""
    return Done(id, changed_user=await api_keys.revoke(act, id=id))


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
async def login(call: SessionCall, *, email: str, password: str) -> Done:
    """Logs in. Send the access token as “Authorization: Bearer …”; `expiresAt` is its end."""
    tokens = await sessions.login(
        call.database,
        email=email,
        password=password,
        remote=call.remote,
        blocks=call.blocks,
        now=call.now,
        issue=call.issue,
    )
    return _opened(tokens)


@session(RefreshInput, extras=TOKENS)
async def refresh(call: SessionCall, *, refresh_token: str) -> Done:
    """Exchanges a refresh token for new tokens. Using it again ends the session, except by the same client within 30 seconds."""
    client = clients.fingerprint(call.remote, call.client)
    tokens = await sessions.refresh(
        call.database, refresh_token=refresh_token, client=client, now=call.now, issue=call.issue
    )
    return _opened(tokens)


@session(LogoutInput)
async def logout(call: SessionCall, *, refresh_token: str) -> Done:
    """Ends the session of a refresh token."""
    user_id = await sessions.logout(call.database, refresh_token=refresh_token, now=call.now)
    if user_id is None:
        raise Unauthenticated("This refresh token is not one of ours.", field="refreshToken")
    return Done(user_id, changed_user=user_id)


@session(PasswordChangeInput, extras=TOKENS, public=False)
async def password_change(call: SessionCall, *, current: str, new: str) -> Done:
    """Sets your password, ends all your sessions and opens a new one."""
    assert call.viewer is not None
    tokens = await sessions.change_password(
        call.database,
        call.viewer,
        current=current,
        new=new,
        remote=call.remote,
        blocks=call.blocks,
        issue=call.issue,
    )
    return _opened(tokens, changed=True)


def _opened(tokens: sessions.Tokens, *, changed: bool = False) -> Done:
    extras = {
        "accessToken": tokens.access_token,
        "refreshToken": tokens.refresh_token,
        "expiresAt": _text(tokens.expires_at),
    }
    return Done(tokens.user_id, extras, tokens.user_id if changed else None)


def _text(moment: datetime) -> str:
    return moment.isoformat()
