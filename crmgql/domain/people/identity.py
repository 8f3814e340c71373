"""Identifies the viewer of an `Authorization` header.

Enters: the header's text and a clock. Leaves: a `Viewer`. Always holds: roles, scopes, "active" and "revoked" come from
the database, never from a token, and are at most `TTL` old. Unknown keys are cached for `UNKNOWN_TTL`, so that repeated
tries cost one query; other refusals are not cached, so that a correction works at once. A lookup uses no connection that
is reserved for writing.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from crmgql.db import Database
from crmgql.domain.people import tokens
from crmgql.errors import Unauthenticated
from crmgql.viewer import Clock, Viewer, Who

TTL = timedelta(seconds=5)
UNKNOWN_TTL = timedelta(seconds=2)
MOST_UNKNOWN = 5000

# A family lives as long as it has a token that is neither used nor revoked, however many; revoking it leaves none.
SESSION = """
SELECT u.id AS user_id, u.active, u.roles, NULL::uuid AS api_key_id, NULL::text[] AS scopes,
       NULL::timestamptz AS expires_at,
       NOT EXISTS (SELECT FROM sessions s
                   WHERE s.family = $2 AND s.user_id = u.id AND s.used_at IS NULL AND s.revoked_at IS NULL) AS revoked
FROM users u WHERE u.id = $1"""

API_KEY = """
SELECT u.id AS user_id, u.active, u.roles, k.id AS api_key_id, k.scopes, k.expires_at,
       k.revoked_at IS NOT NULL AS revoked
FROM api_keys k JOIN users u ON u.id = k.user_id WHERE k.key_hash = $1"""


@dataclass(frozen=True, slots=True)
class _Known:
    """A viewer as read at `since`; valid until `until`, which is never later than the token's own end, `ends`."""

    since: datetime
    until: datetime
    viewer: Viewer
    ends: datetime | None


class Identities:
    """The viewers of one process, each cached for at most `TTL` of the caller's clock."""

    def __init__(self, database: Database, secret: str, *, size: int = 10_000) -> None:
        self._database = database
        self._secret = secret
        self._size = size
        self._known: OrderedDict[str | None, _Known] = OrderedDict()
        self._unknown: OrderedDict[str, datetime] = OrderedDict()
        self._forgotten = 0

    async def identify(self, authorization: str | None, clock: Clock) -> Viewer:
        """The viewer behind the header. Raises `Unauthenticated`, saying what is wrong with it."""
        known = self._known.get(authorization)
        # Both ends are compared: a clock that was set back must not make an entry live longer.
        if known is not None and known.since <= clock() < known.until:
            self._known.move_to_end(authorization)
            viewer = known.viewer
            return viewer if viewer.clock is clock else Viewer(viewer.user_id, viewer.who, viewer.api_key_id, clock)
        token = _token(authorization)
        if authorization != f"Bearer {token}":  # another spelling is cached under the usual one
            return await self.identify(f"Bearer {token}", clock)
        return (await self._look_up(token, clock)).viewer

    async def ends(self, authorization: str, clock: Clock) -> datetime | None:
        """When the token or key of a header ends; None: never. Raises `Unauthenticated`."""
        token = _token(authorization)
        known = self._known.get(f"Bearer {token}") or await self._look_up(token, clock)
        return known.ends

    def forget(self, user_id: UUID) -> None:
        """Drops a user from the cache: call it after the commit of a change to their roles, keys or sessions.

        Other processes, and lookups on a replica that lags, see the change after `TTL`.
        """
        self._forgotten += 1
        for header in [header for header, known in self._known.items() if known.viewer.user_id == user_id]:
            del self._known[header]

    async def _look_up(self, token: str, clock: Clock) -> _Known:
        now, forgotten = clock(), self._forgotten
        if token.startswith(tokens.KEY_PREFIX):
            ends, row = None, await self._key(token, now)
        else:
            claims = tokens.read_access(self._secret, token, now=now)
            ends, row = claims.expires_at, await self._found(SESSION, (claims.user_id, claims.family), now)
        _refuse(row, now)
        scopes = None if row["api_key_id"] is None else frozenset(row["scopes"])
        viewer = Viewer(row["user_id"], Who(frozenset(row["roles"]), scopes), row["api_key_id"], clock)
        ends = ends or row["expires_at"]
        known = _Known(now, now + TTL if ends is None else min(now + TTL, ends), viewer, ends)
        if forgotten == self._forgotten:  # else: somebody changed while we were reading
            self._keep(f"Bearer {token}", known)
        return known

    async def _key(self, token: str, now: datetime) -> Any:
        """The row of an API key, or None; without a query for a key that was unknown a moment ago."""
        if not tokens.is_api_key(token):
            return None
        digest = tokens.digest(token)
        if digest in self._unknown and abs(now - self._unknown[digest]) < UNKNOWN_TTL:
            return None
        row = await self._found(API_KEY, (digest,), now)
        if row is None:
            self._unknown[digest] = now
            if len(self._unknown) > MOST_UNKNOWN:
                self._unknown.popitem(last=False)
        return row

    async def _found(self, sql: str, values: tuple[Any, ...], now: datetime) -> Any:
        """The row. If a replica's row lets nobody in, the primary is asked: the replica may not have a new session yet."""
        row = await self._database.fetch_json(sql, values)
        if not self._database.reads_replica:
            return row
        try:
            _refuse(row, now)
        except Unauthenticated:
            async with self._database.reserved() as connection:
                row = await connection.fetchrow(sql, *values)
        return row

    def _keep(self, header: str, known: _Known) -> None:
        self._known[header] = known
        self._known.move_to_end(header)
        if len(self._known) > self._size:
            self._known.popitem(last=False)


def _token(authorization: str | None) -> str:
    if not authorization:
        raise Unauthenticated("Log in first: send an Authorization header, Bearer and an access token or API key.")
    scheme, _, token = authorization.strip().partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Unauthenticated("The Authorization header must be the word Bearer and an access token or API key.")
    return token.strip()


def _refuse(row: Any, now: datetime) -> None:
    """Raises `Unauthenticated` unless the row is of an active user with a valid session or key."""
    if row is None:
        raise Unauthenticated("Nobody is behind this token or API key.")
    by_key = row["api_key_id"] is not None
    if row["revoked"]:
        raise Unauthenticated("This API key was revoked." if by_key else "This session has ended: log in again.")
    if row["expires_at"] is not None and now >= row["expires_at"]:
        raise Unauthenticated("This API key has expired.")
    if not row["active"]:
        raise Unauthenticated("The user of this API key is not active." if by_key else "This user is not active.")
