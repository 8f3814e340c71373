"""Sessions: login, refresh, logout, change of password.

Enters: what a person typed or a refresh token, and the time. Leaves: `Tokens`, or an error. An error has an effect that must
stay (a counted failure, a revoked family), so these verbs take the `Database` and commit on their own: call them outside
of any transaction.

Always holds: every change of a user's sessions locks the user's row, so that a refresh and a revocation wait for each other;
a refresh token works once, except after a lost response (`GRACE`); a failed login looks and lasts the same for every
reason. The limits of failures are in `login_attempts`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from crmgql.db import Database, Transaction
from crmgql.domain.people import clients, login_attempts, passwords, tokens
from crmgql.domain.people.login_attempts import Blocks, Client
from crmgql.errors import BadUserInput, Forbidden, NotFound, Unauthenticated
from crmgql.events import outbox
from crmgql.records import purges
from crmgql.viewer import Viewer, Who

LONGEST_EMAIL = 254
GRACE = timedelta(seconds=30)
REPEATS = 5
# An access token may outlive its refresh token by less than this; until then lookups need its family.
KEPT_AFTER_END = timedelta(days=1)

BY_EMAIL = "SELECT id, password_hash FROM users WHERE lower(email) = lower($1) AND active"
BY_ID = "SELECT email, password_hash FROM users WHERE id = $1 AND active"
LOCK_BY_HASH = "SELECT true FROM users WHERE id = $1 AND active AND password_hash = $2 FOR NO KEY UPDATE"
LOCK_BY_REFRESH = """
SELECT u.active FROM users u JOIN sessions s ON s.user_id = u.id WHERE s.token_hash = $1 FOR NO KEY UPDATE OF u"""
SET_HASH = "UPDATE users SET password_hash = $2 WHERE id = $1"

BY_REFRESH = """
SELECT id, user_id, family, expires_at, used_at, revoked_at, client, used_again, EXISTS (
    SELECT FROM sessions other WHERE other.family = s.family AND other.used_at IS NULL AND other.revoked_at IS NULL) AS alive
FROM sessions s WHERE token_hash = $1"""
USE = "UPDATE sessions SET used_at = $2, client = $3 WHERE id = $1"
USE_AGAIN = "UPDATE sessions SET used_again = used_again + 1 WHERE id = $1"
INSERT = "INSERT INTO sessions (user_id, family, token_hash, expires_at, created_at) VALUES ($1, $2, $3, $4, $5)"
# A family is valid while it has a token that is neither used nor revoked: one, or several if a client repeated a refresh.
# Revoking leaves none, and a used token of such a family never gets a new one.
REVOKE_FAMILY = "UPDATE sessions SET revoked_at = $2 WHERE family = $1 AND used_at IS NULL AND revoked_at IS NULL"
REVOKE_ALL = "UPDATE sessions SET revoked_at = $2 WHERE user_id = $1 AND used_at IS NULL AND revoked_at IS NULL"
PURGE = purges.sql("sessions", "expires_at < $1", order="expires_at")


@dataclass(frozen=True, slots=True)
class Issue:
    """How tokens are made: the signing secret and their lifetimes (the settings of the same names)."""

    secret: str
    access_token_minutes: int
    refresh_token_days: int


@dataclass(frozen=True, slots=True)
class Tokens:
    """`expires_at` is the access token's end; the refresh token's is `refresh_token_days` after it was made."""

    access_token: str
    refresh_token: str
    expires_at: datetime
    user_id: UUID


async def login(
    database: Database,
    *,
    email: str,
    password: str,
    remote: str | None,
    blocks: Blocks,
    now: datetime,
    issue: Issue,
) -> Tokens:
    """Starts a session family. Raises `Unauthenticated`, always with the same message, or `Throttled`.

    `remote` is the client's address, as a trusted reverse proxy sends it. Attempts count as failures until they succeed: the
    sixth of six logins of one person from one address at the same moment is throttled.
    """
    wanted = clients.plain(email, LONGEST_EMAIL)
    client = Client(clients.address(remote), (wanted or "").lower())
    blocks.check(client, now)
    with passwords.turn():
        async with database.connection() as connection:
            counted = await login_attempts.count(connection, blocks, client, wanted, now)
        stored = counted.password_hash
        if not await passwords.verify(stored, password) or stored is None:
            raise _wrong()
        renewed = await passwords.hash(password) if passwords.is_outdated(stored) else None
    assert counted.user_id is not None
    async with database.transaction() as tx:
        # Read again under the lock: the user may have been deactivated, or the password changed, in the meantime.
        if not await tx.connection.fetchval(LOCK_BY_HASH, counted.user_id, stored):
            raise _wrong()
        if renewed is not None:
            await tx.connection.execute(SET_HASH, counted.user_id, renewed)
        await login_attempts.succeeded(tx, blocks, client, counted)
        await _record(tx, "user.loggedIn", counted.user_id, now)
        return await _open(tx, counted.user_id, uuid4(), now, issue)


async def open_for(database: Database, *, email: str, now: datetime, issue: Issue) -> Tokens:
    """A session without a password, for the operator of this machine. Raises `NotFound` if no active user has the e-mail."""
    async with database.transaction() as tx:
        row = await tx.connection.fetchrow(BY_EMAIL, email)
        if row is None:
            raise NotFound(f"No active user has the e-mail {email}.")
        await _record(tx, "user.loggedIn", row["id"], now)
        return await _open(tx, row["id"], uuid4(), now, issue)


async def refresh(database: Database, *, refresh_token: str, client: str | None, now: datetime, issue: Issue) -> Tokens:
    """Replaces a refresh token. Raises `Unauthenticated`.

    A token that was replaced ends its whole family (RFC 9700, 4.14.2), unless the client that used it (`client`, a
    fingerprint; None: unknown) uses it again within `GRACE`: the response was lost, or two of its tabs refresh at once.
    """
    async with database.transaction() as tx:
        outcome = await _replace(tx, tokens.digest(refresh_token), client, now, issue)
    # Raised only here, after the commit: the revocation stays.
    if isinstance(outcome, Unauthenticated):
        raise outcome
    return outcome


async def logout(database: Database, *, refresh_token: str, now: datetime) -> UUID | None:
    """Revokes the token's family; returns the user, for `Identities.forget`, or None for an unknown token."""
    hashed = tokens.digest(refresh_token)
    async with database.transaction() as tx:
        await tx.connection.execute(LOCK_BY_REFRESH, hashed)
        row = await tx.connection.fetchrow(BY_REFRESH, hashed)
        if row is None:
            return None
        user_id: UUID = row["user_id"]
        if await tx.connection.execute(REVOKE_FAMILY, row["family"], now) != "UPDATE 0":
            await _record(tx, "user.loggedOut", user_id, now)
        return user_id


async def change_password(
    database: Database, viewer: Viewer, *, current: str, new: str, remote: str | None, blocks: Blocks, issue: Issue
) -> Tokens:
    """Sets a new password, ends every session of the user and opens a new one. API keys stay.

    A wrong current password counts as a failed login. Raises `Forbidden` for an API key, `BadUserInput` for a wrong current or an
    impossible new password, `Throttled`.
    """
    if viewer.api_key_id is not None:
        raise Forbidden("An API key can't change a password: log in.")
    passwords.check(new, field="new")
    now = viewer.now()
    client = Client(clients.address(remote), viewer.user_id)
    blocks.check(client, now)
    with passwords.turn():
        async with database.connection() as connection:
            row = await connection.fetchrow(BY_ID, viewer.user_id)
            email, stored = (row["email"], row["password_hash"]) if row else (None, None)
            counted = await login_attempts.count(connection, blocks, client, email, now)
        if not await passwords.verify(stored, current):
            raise _wrong_current()
        hashed = await passwords.hash(new, field="new")
    async with database.transaction() as tx:
        if not await tx.connection.fetchval(LOCK_BY_HASH, viewer.user_id, stored):
            raise _wrong_current()
        await tx.connection.execute(SET_HASH, viewer.user_id, hashed)
        await tx.connection.execute(REVOKE_ALL, viewer.user_id, now)
        await _record(tx, "user.passwordChanged", viewer.user_id, now)
        await login_attempts.succeeded(tx, blocks, client, counted)
        return await _open(tx, viewer.user_id, uuid4(), now, issue)


async def reset_password(database: Database, *, email: str, hashed: str, now: datetime) -> None:
    """Sets a password's hash for the operator of this machine and ends the user's sessions. Raises `NotFound`."""
    async with database.transaction() as tx:
        row = await tx.connection.fetchrow(BY_EMAIL, email)
        if row is None:
            raise NotFound(f"No active user has the e-mail {email}.")
        await revoke_all(tx, user_id=row["id"], now=now)
        await tx.connection.execute(SET_HASH, row["id"], hashed)
        await _record(tx, "user.passwordChanged", row["id"], now)


async def revoke_all(tx: Transaction, *, user_id: UUID, now: datetime) -> None:
    """Ends every session of a user, in the transaction that deactivates them or sets their password."""
    await tx.connection.execute("SELECT FROM users WHERE id = $1 FOR NO KEY UPDATE", user_id)
    await tx.connection.execute(REVOKE_ALL, user_id, now)


async def purge(tx: Transaction, *, now: datetime, limit: int) -> int:
    """Deletes up to `limit` tokens that ended at least `KEPT_AFTER_END` ago; returns how many."""
    return await tx.connection.fetchval(PURGE, now - KEPT_AFTER_END, limit)  # type: ignore[no-any-return]


async def _replace(
    tx: Transaction, hashed: str, client: str | None, now: datetime, issue: Issue
) -> Tokens | Unauthenticated:
    # Two statements: the second sees what was committed while the first waited for the lock.
    active = await tx.connection.fetchval(LOCK_BY_REFRESH, hashed)
    row = await tx.connection.fetchrow(BY_REFRESH, hashed)
    if row is None:
        return Unauthenticated("This refresh token is not one of ours.")
    if row["revoked_at"] is not None:
        return Unauthenticated("This session has ended: log in again.")
    again = row["used_at"] is not None
    if again and not _may_repeat(row, client, now):
        if await tx.connection.execute(REVOKE_FAMILY, row["family"], now) != "UPDATE 0":
            await _record(tx, "user.sessionEnded", row["user_id"], now)
        return Unauthenticated("This refresh token was used before, so its session has ended: log in again.")
    if now >= row["expires_at"]:
        return Unauthenticated("This refresh token has expired: log in again.")
    if not active:
        return Unauthenticated("The user of this session is not active.")
    if again:
        await tx.connection.execute(USE_AGAIN, row["id"])
    else:
        await tx.connection.execute(USE, row["id"], now, client)
    return await _open(tx, row["user_id"], row["family"], now, issue)


def _may_repeat(row: Any, client: str | None, now: datetime) -> bool:
    """Whether the same client may use a token again. Clocks of two processes differ, so `now` may be slightly earlier."""
    known = client is not None and client == row["client"]
    return known and row["alive"] and row["used_again"] < REPEATS and abs(now - row["used_at"]) <= GRACE


async def _open(tx: Transaction, user_id: UUID, family: UUID, now: datetime, issue: Issue) -> Tokens:
    """Makes the family's next pair of tokens."""
    minutes = issue.access_token_minutes
    refresh_token = tokens.new_refresh_token()
    ends = now + timedelta(days=issue.refresh_token_days)
    await tx.connection.execute(INSERT, user_id, family, tokens.digest(refresh_token), ends, now)
    access_token = tokens.issue_access(issue.secret, user_id=user_id, family=family, now=now, minutes=minutes)
    return Tokens(access_token, refresh_token, now + timedelta(minutes=minutes), user_id)


async def _record(tx: Transaction, kind: str, user_id: UUID, now: datetime) -> None:
    """Records an event about a user, with that user as the actor."""
    viewer = Viewer(user_id, Who(frozenset()), clock=lambda: now)
    await outbox.record_event(tx, viewer, kind=kind, subject=("User", user_id), customer_id=None, changes={})


def _wrong() -> Unauthenticated:
    return Unauthenticated("E-mail or password is wrong.")


def _wrong_current() -> BadUserInput:
    return BadUserInput("The current password is wrong.", field="current")
