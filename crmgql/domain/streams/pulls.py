"""Following a subscription with a managed cursor: one worker at a time pulls events and commits how far it has got.

A pull takes a lease and hands out what comes after the managed cursor; a commit moves the cursor. A worker that dies commits
nothing: when its lease has ended, the next pull hands out the same events again. Always holds: two workers never hold the
lease at once, and the cursor moves forward only to what was handed out. A pull is no change of the subscription: it
records no event, of which subscriptions that follow subscriptions would never see an end.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from crmgql import access
from crmgql.domain.streams import payloads, subscriptions
from crmgql.domain.streams.payloads import MOST, Registered
from crmgql.domain.streams.sightings import Sighting
from crmgql.errors import BadUserInput, CrmError
from crmgql.events import cursors, positions
from crmgql.events.cursors import Cursor
from crmgql.events.positions import Placed
from crmgql.models import EventSubscription
from crmgql.records import checks, records
from crmgql.records.records import Act, Row

WIDTH = 5000
"""Positions that one pull looks through. Where few of them count, it hands out few events or none, and says that there is more."""

LEASE_S = 60
LONGEST_LEASE_S = 3600
LONGEST_HOLDER = 100
LONGEST_TOKEN = 43

END = """
SELECT f.position AS head, p.epoch, p.position, p.event_id FROM feed f
JOIN event_positions p ON p.position = least($1::bigint + $2::bigint, f.position)"""
COUNTING = f"""
SELECT {positions.COLUMNS} FROM event_positions p JOIN events e ON e.id = p.event_id
WHERE p.position > $1 AND p.position <= $2 AND ($3::text[] IS NULL OR e.kind = ANY ($3))
    AND (cardinality($4::text[]) = 0 OR cardinality(e.changed) = 0 OR e.changed && $4)
ORDER BY p.position LIMIT $5"""
LEASE = """
UPDATE event_subscriptions SET lease_by = $2, lease_token = $3, lease_until = $4, pulled = $5 WHERE id = $1"""


class LeaseTaken(CrmError):
    """Another worker follows this subscription."""

    code = "LEASE_TAKEN"


class LeaseLost(CrmError):
    """The token is not that of the lease any more."""

    code = "LEASE_LOST"


class CursorBehind(CrmError):
    """The cursor is before what was committed."""

    code = "CURSOR_BEHIND"


class CursorAhead(CrmError):
    """The cursor is behind what was handed out."""

    code = "CURSOR_AHEAD"


@dataclass(frozen=True, slots=True)
class Pulled:
    """What a pull hands out. `end` is what to commit when all of it is done; `more`: there is more to look through."""

    token: str
    until: datetime
    deliveries: list[Sighting]
    end: Cursor
    more: bool


async def pull(
    act: Act,
    registered: Registered,
    *,
    id: UUID,
    first: int | None = None,
    lease_s: int | None = None,
    holder: str | None = None,
    token: str | None = None,
) -> Pulled:
    """Up to `first` events after the managed cursor, under a lease of `lease_s` seconds; with the token of a lease that is held,
    that lease goes on. Raises `LeaseTaken`, `LeaseLost`, `IllegalTransition`, `Forbidden`, and what is wrong with the cursor."""
    access.require_write(act.viewer, "EventSubscription")
    first, lease_s = MOST if first is None else first, LEASE_S if lease_s is None else lease_s
    _check(first, lease_s, holder, token)
    row = await subscriptions.lock(act, id)
    subscriptions.require_active(row)
    held = _token(act, row, token)
    after = cursors.parse(row["cursor"])
    found, end, more = await _after(act, row, after, first)
    deliveries = await (await payloads.of(act, registered, row)).read(found)
    until = act.now + timedelta(seconds=lease_s)
    pulled = _further(end, row["pulled"] if held == row["lease_token"] else None)
    await act.tx.connection.execute(LEASE, id, holder, held, until, pulled.text())
    return Pulled(held, until, deliveries, end, more)


async def commit(act: Act, *, id: UUID, token: str, cursor: str) -> UUID:
    """Moves the managed cursor. Raises `LeaseLost`, `CursorBehind`, `CursorAhead`, and what else is wrong with the cursor.

    A lease that has ended counts until somebody else takes it.
    """
    access.require_write(act.viewer, "EventSubscription")
    row = await _held(act, id, token)
    wanted = cursors.parse(cursor)
    await positions.check(act.tx.connection, wanted)
    committed, pulled = cursors.parse(row["cursor"]), cursors.parse(row["pulled"])
    if wanted.position < committed.position:
        raise CursorBehind(f"Committed is {committed.text()} already, which is further.", field="cursor")
    if wanted.position > pulled.position:
        raise CursorAhead(f"This lease was handed events up to {pulled.text()}, and no further.", field="cursor")
    await act.tx.connection.execute("UPDATE event_subscriptions SET cursor = $2 WHERE id = $1", id, wanted.text())
    return id


async def release(act: Act, *, id: UUID, token: str) -> UUID:
    """Ends a lease, for another worker to take. Raises `LeaseLost`."""
    access.require_write(act.viewer, "EventSubscription")
    await _held(act, id, token)
    await subscriptions.end_lease(act, id)
    return id


async def seek(
    act: Act, *, id: UUID, cursor: str | None = None, to: str | None = None, expected_version: int | None = None
) -> UUID:
    """Sets the managed cursor: to one of the feed, or to START or END of what is kept. Ends the lease, as its holder would
    commit from elsewhere. Raises `BadUserInput`, and what is wrong with the cursor."""
    access.require_write(act.viewer, "EventSubscription")
    row = await subscriptions.lock(act, id, expected_version=expected_version)
    wanted = await _wanted(act, cursor, to)
    changes = {"cursor": wanted.text()}
    await records.change(act, EventSubscription, row, changes, kind="eventSubscription.cursorMoved")
    await subscriptions.end_lease(act, id)
    return id


async def _wanted(act: Act, cursor: str | None, to: str | None) -> Cursor:
    if (cursor is None) == (to is None):
        raise BadUserInput("Say where to go on with one of cursor and to.", field="cursor")
    if to == "END":
        return await positions.head(act.tx.connection)
    wanted = cursors.START if cursor is None else cursors.parse(cursor)
    await positions.check(act.tx.connection, wanted)
    return wanted


def _check(first: int, lease_s: int, holder: str | None, token: str | None) -> None:
    if not 1 <= first <= MOST:
        raise BadUserInput(f"Must be 1 to {MOST}, not {first}.", field="first")
    if not 1 <= lease_s <= LONGEST_LEASE_S:
        raise BadUserInput(f"Must be 1 to {LONGEST_LEASE_S} seconds, not {lease_s}.", field="leaseS")
    if holder is not None:
        checks.check_text(holder, "holder", longest=LONGEST_HOLDER)
    if token is not None:
        checks.check_text(token, "token", longest=LONGEST_TOKEN)


def _token(act: Act, row: Row, token: str | None) -> str:
    """The token of the lease that goes on, or of a new one."""
    if token is not None:
        _require_held(row, token)
        return token
    if row["lease_until"] is not None and row["lease_until"] > act.now:
        by = f" by {row['lease_by']}" if row["lease_by"] else ""
        raise LeaseTaken(f"It is followed{by} until {row['lease_until'].isoformat()}: wait, or send the lease's token.")
    return secrets.token_urlsafe(32)


async def _held(act: Act, id: UUID, token: str) -> Row:
    checks.check_text(token, "token", longest=LONGEST_TOKEN)
    row = await subscriptions.lock(act, id)
    _require_held(row, token)
    return row


def _require_held(row: Row, token: str) -> None:
    if row["lease_token"] is None or not secrets.compare_digest(row["lease_token"].encode(), token.encode()):
        raise LeaseLost("This lease has ended and is not yours any more: pull again, without a token.", field="token")


async def _after(act: Act, row: Row, after: Cursor, first: int) -> tuple[list[Placed], Cursor, bool]:
    """Events that count after a cursor, the cursor behind all that was looked at, and whether there is more."""
    connection = act.tx.connection
    await positions.check(connection, after)
    stop = await connection.fetchrow(END, after.position, WIDTH)
    if stop is None:
        return [], after, False
    wanted = subscriptions.triggers_of(row)
    kinds = wanted.kinds()
    listed = None if kinds is None else list(kinds)
    rows = await connection.fetch(COUNTING, after.position, stop["position"], listed, list(wanted.fields), first)
    found = [Placed(*each) for each in rows]
    end = found[-1].cursor if len(found) == first else Cursor(stop["epoch"], stop["position"], stop["event_id"])
    return found, end, end.position < stop["head"]


def _further(end: Cursor, pulled: str | None) -> Cursor:
    before = None if pulled is None else cursors.parse(pulled)
    return before if before is not None and before.position > end.position else end
