"""Mutations of sessions: in, on, out, another password. Their inputs take no idempotency key."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import strawberry

from crmgql.domain import clients, sessions
from crmgql.errors import Unauthenticated
from crmgql.schema.mutating import Done, Given, Visit, session
from crmgql.schema.scalars import DateTimeText

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
async def login(visit: Visit, given: Given) -> Done:
    """Logs in. Send the access token as “Authorization: Bearer …”; `expiresAt` is its end."""
    tokens = await sessions.login(
        visit.database, remote=visit.remote, blocks=visit.blocks, now=visit.now, issue=visit.issue, **given
    )
    return _opened(tokens)


@session(RefreshInput, extras=TOKENS)
async def refresh(visit: Visit, given: Given) -> Done:
    """Exchanges a refresh token for new tokens. Using it again ends the session, except within 30 seconds by the same client."""
    client = clients.fingerprint(visit.remote, visit.client)
    return _opened(await sessions.refresh(visit.database, client=client, now=visit.now, issue=visit.issue, **given))


@session(LogoutInput)
async def logout(visit: Visit, given: Given) -> Done:
    """Ends the session of a refresh token."""
    user_id = await sessions.logout(visit.database, now=visit.now, **given)
    if user_id is None:
        raise Unauthenticated("This refresh token is not one of ours.", field="refreshToken")
    return Done(user_id, changed_user=user_id)


@session(PasswordChangeInput, extras=TOKENS, public=False)
async def password_change(visit: Visit, given: Given) -> Done:
    """Sets your password, ends all your sessions and opens a fresh one."""
    assert visit.viewer is not None
    tokens = await sessions.change_password(
        visit.database, visit.viewer, remote=visit.remote, blocks=visit.blocks, issue=visit.issue, **given
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
