"""Limits wrong passwords: failures are counted in the database, and blocked clients are refused from memory.

Failures are counted by e-mail and address together, and by address alone; above either limit the client waits for the
end of the window. Failures by e-mail alone block nobody, or anybody could lock out anybody: above a limit of their own the
administrators are notified, once per window.

Always holds: an attempt is counted before its password is checked, and uncounted on success, so that of many at once no
more than the limit learn whether they are right. Counters are locked in the order of their keys, so that two logins never
deadlock.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from crmgql import access
from crmgql.db import WITHOUT_DAYS, Connection, Transaction
from crmgql.domain.people import clients
from crmgql.errors import Throttled
from crmgql.events import outbox
from crmgql.records import purges
from crmgql.viewer import NOBODY, Viewer, Who

WINDOW = timedelta(minutes=15)
CLIENT_FAILURES = 5
ADDRESS_FAILURES = 50
NOTIFIED_FAILURES = 20

ASK_AGAIN = timedelta(seconds=10)
"""How long a process refuses from memory: another login may succeed in the meantime, in any process, and clear the counter."""

# lower() is PostgreSQL's, as in the index of users: no spelling has a counter of its own. The digest keeps the key of a
# long e-mail within the column and its end, the address, apart from it.
ONE_MORE = """
ON CONFLICT (key) DO UPDATE SET
    failures = CASE WHEN a.window_ends_at <= $1 THEN 1 ELSE a.failures + 1 END,
    window_ends_at = CASE WHEN a.window_ends_at <= $1 THEN excluded.window_ends_at ELSE a.window_ends_at END"""
PAIRS = "'client ' || encode(sha256(convert_to(lower({email}), 'UTF8')), 'hex') || ' '"
COUNT_CLIENT = f"""
INSERT INTO login_attempts AS a (key, failures, window_ends_at)
SELECT left(key, 300), 1, $2 FROM (VALUES ({PAIRS.format(email="$3::text")} || lower($4)), ('remote ' || lower($5))) AS wanted (key)
WHERE key IS NOT NULL ORDER BY key {ONE_MORE}
RETURNING id, key, failures, window_ends_at"""
MEANT = "SELECT id FROM users WHERE lower(email) = lower($1) AND active"

# One statement and one commit for any e-mail, so that the duration does not reveal whether the user exists. The condition on
# `counted` alone is evaluated first, so that nothing else is read while failures are few.
COUNT_EMAIL = f"""
WITH counted AS (
    INSERT INTO login_attempts AS a (key, failures, window_ends_at)
    VALUES (left('email ' || lower($3), 300), 1, $2) {ONE_MORE}
    RETURNING key, failures, window_ends_at
), meant AS (
    SELECT id, name, email, password_hash FROM users WHERE lower(email) = lower($3) AND active
), alert AS (
    SELECT meant.*, failures - 1 AS failures, window_ends_at - $4::interval AS since,
        'login.failures:' || id || ':' || extract(epoch FROM window_ends_at)::bigint AS dedupe_key
    FROM meant, counted
), notified AS (
    INSERT INTO notifications (user_id, kind, title, body, dedupe_key, occurred_at)
    SELECT users.id, 'login.failures', left('Many failed logins as ' || alert.email, 200), left(format($6, alert.email, alert.name,
            alert.failures, to_char(since AT TIME ZONE 'UTC', 'HH24:MI'), (
                SELECT count(*) FROM login_attempts c
                WHERE starts_with(c.key, {PAIRS.format(email="alert.email")}) AND c.failures > 0 AND c.window_ends_at > $1)),
            2000), alert.dedupe_key, $1
    FROM users, alert
    WHERE (SELECT failures FROM counted) > $5 AND users.active AND users.roles && $7::text[]
        AND NOT EXISTS (SELECT FROM notifications n WHERE n.user_id = users.id AND n.dedupe_key = alert.dedupe_key)
    ON CONFLICT (user_id, dedupe_key) WHERE dedupe_key IS NOT NULL DO NOTHING
    RETURNING id
), {outbox.recorded("notification.received", "Notification", "notified", {"about": "login.failures"}, now="$1")}
SELECT key, id, password_hash FROM counted LEFT JOIN meant ON true"""
ALERT = (
    "%3$s failed logins as %1$s since %4$s UTC, different addresses: %5$s. "
    f"Each address has to wait after {CLIENT_FAILURES} failures; nobody is locked out anywhere else. "
    "Ask %2$s whether it was them. If not, somebody is guessing the password: see that it is long and used nowhere else, "
    "set a new one if in doubt (that ends all sessions), and keep the addresses out at your proxy or firewall."
)
SUCCEED = """
UPDATE login_attempts SET failures = CASE key WHEN $2 THEN 0 ELSE greatest(failures - 1, 0) END
WHERE id IN (SELECT id FROM login_attempts WHERE key = ANY ($1) ORDER BY key FOR NO KEY UPDATE)"""
PURGE = purges.sql("login_attempts", "window_ends_at < $1", order="window_ends_at")


class Blocks:
    """The blocked clients that this process knows of, so that refusing them takes no connection.

    Bounded: at `size` names, expired ones are dropped first, then the oldest.
    """

    def __init__(self, size: int = 4096) -> None:
        self._size = size
        self._known: OrderedDict[Hashable, _Block] = OrderedDict()

    def check(self, client: Client, now: datetime) -> None:
        """Raises `Throttled`."""
        for name in client.names:
            block = self._known.get(name)
            if block is not None and block.since <= now < block.until:
                raise _throttled(block.ends, now)

    def note(self, name: Hashable, ends: datetime, now: datetime) -> None:
        if len(self._known) >= self._size:
            self._make_room(now)
        self._known[name] = _Block(now, min(ends, now + ASK_AGAIN), ends)

    def forget(self, client: Client) -> None:
        for name in client.names:
            self._known.pop(name, None)

    def __len__(self) -> int:
        return len(self._known)

    def _make_room(self, now: datetime) -> None:
        for name in [name for name, block in self._known.items() if block.until <= now]:
            del self._known[name]
        while len(self._known) >= self._size:
            self._known.popitem(last=False)


@dataclass(frozen=True, slots=True)
class _Block:
    """Cached from `since` to `until`; the window ends at `ends`."""

    since: datetime
    until: datetime
    ends: datetime


@dataclass(frozen=True, slots=True)
class Client:
    """A client that tries to log in as `who` (an e-mail, or a user's id) from an address; None: the address is unknown.

    Without an address nothing is counted by address alone: all clients behind a proxy that sends no addresses would be one.
    """

    address: str | None
    who: Hashable

    @property
    def pair(self) -> Hashable:
        return (self.who, self.address)

    @property
    def names(self) -> tuple[Hashable, ...]:
        return (self.pair,) if self.address is None else (self.pair, self.address)


@dataclass(frozen=True, slots=True)
class Counted:
    """The counters that an attempt was added to, and the user that it names, if there is one."""

    keys: tuple[str, ...] = ()
    pair: str | None = None
    user_id: UUID | None = None
    password_hash: str | None = None


async def count(connection: Connection, blocks: Blocks, client: Client, email: str | None, now: datetime) -> Counted:
    """Adds an attempt to its counters, outside of any transaction, so that it stays. Raises `Throttled` above a limit.

    A refused attempt is not counted for the e-mail alone, which the administrators are notified of.
    """
    ends = now + WINDOW
    address = client.address or clients.UNKNOWN
    rows = await connection.fetch(COUNT_CLIENT, now, ends, email, address, client.address)
    pair = None
    for row in sorted(rows, key=lambda row: row["key"], reverse=True):
        alone = row["key"].startswith("remote ")
        limit = ADDRESS_FAILURES if alone else CLIENT_FAILURES
        if row["failures"] > limit:
            if row["failures"] == limit + 1:
                await _record_throttled(connection, row, email, now)
            blocks.note(client.address if alone else client.pair, row["window_ends_at"], now)
            raise _throttled(row["window_ends_at"], now)
        pair = pair if alone else row["key"]
    keys = tuple(row["key"] for row in rows)
    if email is None:
        return Counted(keys)
    administrators = access.roles_with("company.administer")
    found = await connection.fetchrow(COUNT_EMAIL, now, ends, email, WINDOW, NOTIFIED_FAILURES, ALERT, administrators)
    return Counted((*keys, found["key"]), pair, found["id"], found["password_hash"])


async def _record_throttled(connection: Connection, row: Any, email: str | None, now: datetime) -> None:
    """Records the event, once per window and counter, with the same statements whether the e-mail exists or not."""
    user_id = await connection.fetchval(MEANT, email)
    await outbox.record_event(
        Transaction(connection, WITHOUT_DAYS),
        Viewer(NOBODY, Who(frozenset()), clock=lambda: now),
        kind="login.throttled",
        subject=("LoginAttempt", row["id"]),
        customer_id=None,
        changes={},
        payload={"failures": row["failures"], "until": row["window_ends_at"], "userId": user_id},
    )


async def succeeded(tx: Transaction, blocks: Blocks, client: Client, counted: Counted) -> None:
    """Clears the failures of this e-mail at this address; from the other counters it takes only this attempt.

    Otherwise a successful login would clear guesses at other accounts, and guesses from other addresses.
    """
    if counted.keys:
        await tx.connection.execute(SUCCEED, list(counted.keys), counted.pair)
    blocks.forget(client)


async def purge(tx: Transaction, *, now: datetime, limit: int) -> int:
    """Deletes up to `limit` counters whose window is over; returns how many."""
    return await tx.connection.fetchval(PURGE, now, limit)  # type: ignore[no-any-return]


def _throttled(ends: datetime, now: datetime) -> Throttled:
    seconds = max(1, math.ceil((ends - now).total_seconds()))
    return Throttled(f"Too many failed logins: try again in {seconds} seconds.", retry_after_s=seconds)
