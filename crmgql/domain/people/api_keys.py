"""API keys: how integrations log in; made and revoked by administrators.

Enters: a name and scopes. Leaves: the key, shown only once; only its hash is stored. Always
holds: a key never makes or revokes keys, so that no key can exceed its own scopes.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from crmgql import access
from crmgql.domain.people import tokens, users
from crmgql.errors import BadUserInput, Forbidden, NotFound
from crmgql.events import outbox
from crmgql.records import checks
from crmgql.records.records import Act
from crmgql.viewer import Viewer

LONGEST_NAME = 100

INSERT = """
INSERT INTO api_keys (user_id, name, hint, key_hash, scopes, expires_at, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING id"""


async def create(
    act: Act, *, user_id: UUID, name: str, scopes: Sequence[str], expires_at: datetime | None = None
) -> tuple[UUID, str]:
    """Makes a key that acts as the user within its scopes; returns its id and the key.

    Raises `Forbidden` unless the viewer is an administrator without an API key, `NotFound` for a user who does not exist or is
    inactive, `BadUserInput` for an invalid name, scope or time.
    """
    _require_administrator(act.viewer)
    name = _checked_name(name)
    scopes = _checked_scopes(scopes)
    if expires_at is not None and (expires_at.tzinfo is None or expires_at <= act.now):
        raise BadUserInput("The end of an API key lies in the future and has a time zone.", field="expiresAt")
    if await users.still_here(act, user_id) is None:
        raise NotFound("There is no active user with this id.", field="userId")
    key = tokens.new_api_key()
    values = (user_id, name, key[:12], tokens.digest(key), scopes, expires_at, act.now)
    id = await act.tx.connection.fetchval(INSERT, *values)
    values_by_column = {"user_id": user_id, "name": name, "scopes": scopes, "expires_at": expires_at}
    await _record(act, "apiKey.created", id, {name: (None, value) for name, value in values_by_column.items()})
    return id, key


async def revoke(act: Act, *, id: UUID) -> UUID:
    """Revokes a key; returns the user that it acted as, for `Identities.forget`. A second call changes nothing.

    Raises `Forbidden` unless the viewer is an administrator without an API key, `NotFound` for an unknown key.
    """
    _require_administrator(act.viewer)
    row = await act.tx.connection.fetchrow("SELECT user_id, revoked_at FROM api_keys WHERE id = $1 FOR UPDATE", id)
    if row is None:
        raise NotFound("There is no API key with this id.", field="id")
    if row["revoked_at"] is None:
        await act.tx.connection.execute("UPDATE api_keys SET revoked_at = $2 WHERE id = $1", id, act.now)
        await _record(act, "apiKey.revoked", id, {"revoked_at": (None, act.now)})
    user_id: UUID = row["user_id"]
    return user_id


def _require_administrator(viewer: Viewer) -> None:
    if viewer.api_key_id is not None:
        raise Forbidden("An API key can't make or revoke API keys: log in as an administrator.")
    if not access.may(viewer.who, "apiKey.write"):
        raise Forbidden("Only an administrator may make or revoke API keys.")


def _checked_name(name: str) -> str:
    name = name.strip()
    # Control characters and lone surrogates: PostgreSQL refuses some of them, a list on a screen is broken by the rest.
    if (
        checks.is_blank(name)
        or len(name) > LONGEST_NAME
        or any(unicodedata.category(letter) in ("Cc", "Cs") for letter in name)
    ):
        raise BadUserInput(f"An API key's name is 1 to {LONGEST_NAME} printable characters.", field="name")
    return name


def _checked_scopes(scopes: Sequence[str]) -> list[str]:
    if not scopes:
        raise BadUserInput("An API key needs a scope, such as customers:read.", field="scopes")
    for position, scope in enumerate(scopes):
        if scope not in access.SCOPES:
            shown = ascii(scope[:60])
            raise BadUserInput(f"{shown} is not a scope; scopes look like customers:read.", field=f"scopes.{position}")
    return sorted(set(scopes))


async def _record(act: Act, kind: str, id: UUID, changes: outbox.Changes) -> None:
    """Records the event and its audit row; neither has the key or its hash."""
    await outbox.record_event(act.tx, act.viewer, kind=kind, subject=("ApiKey", id), customer_id=None, changes=changes)
