"""Notifications: written in the transaction of the change that they are about, so that none is about a change that was
rolled back; read by their user.

With a `dedupe_key` a person is notified once, also by a job that runs twice. Its event, and that of reading it, are outside of
every customer's timeline.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from crmgql import access
from crmgql.db import Connection
from crmgql.events import outbox
from crmgql.models import Notification
from crmgql.records import records
from crmgql.records.records import Act

TITLE, BODY = 200, 2000
"""Characters that fit their columns."""

NOTIFY = """
INSERT INTO notifications (user_id, kind, title, body, dedupe_key, lead_id, opportunity_id, customer_id, occurred_at)
SELECT users.id, notices.kind, notices.title, notices.body, notices.dedupe_key, notices.lead_id, notices.opportunity_id, notices.customer_id, $1
FROM unnest($2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::uuid[], $8::uuid[], $9::uuid[]) WITH ORDINALITY
    AS notices (user_id, kind, title, body, dedupe_key, lead_id, opportunity_id, customer_id, n)
JOIN users ON users.id = notices.user_id AND users.active
ORDER BY users.id, notices.n
ON CONFLICT (user_id, dedupe_key) WHERE dedupe_key IS NOT NULL DO NOTHING
RETURNING id, kind"""
NEWEST = "SELECT id FROM notifications WHERE user_id = $1 ORDER BY id DESC LIMIT 1"
READ = "UPDATE notifications SET read_at = $2 WHERE id = $1"
READ_ALL = """
WITH seen AS (UPDATE notifications SET read_at = $3 WHERE user_id = $1 AND id <= $2 AND read_at IS NULL RETURNING 1)
SELECT count(*) FROM seen"""


@dataclass(frozen=True, slots=True)
class Notice:
    """A notification to write for one person. `kind` is in the past tense, such as `lead.assigned`."""

    user_id: UUID
    kind: str
    title: str
    body: str | None = None
    dedupe_key: str | None = None
    lead_id: UUID | None = None
    opportunity_id: UUID | None = None
    customer_id: UUID | None = None


async def notify(
    act: Act,
    *,
    user_ids: Sequence[UUID],
    kind: str,
    title: str,
    body: str | None = None,
    dedupe_key: str | None = None,
    lead_id: UUID | None = None,
    opportunity_id: UUID | None = None,
    customer_id: UUID | None = None,
) -> int:
    """Notifies several people of the same; returns how many. It leaves out inactive people, and those who have the `dedupe_key`."""
    about = (lead_id, opportunity_id, customer_id)
    return await notify_many(act, [Notice(id, kind, title, body, dedupe_key, *about) for id in dict.fromkeys(user_ids)])


async def notify_many(act: Act, notices: Sequence[Notice]) -> int:
    """As `notify`, with different notices, in one statement."""
    if not notices:
        return 0
    written = await act.tx.connection.fetch(
        NOTIFY,
        act.now,
        [each.user_id for each in notices],
        [each.kind for each in notices],
        [cut(each.title, TITLE) for each in notices],
        [each.body and cut(each.body, BODY) for each in notices],
        [each.dedupe_key for each in notices],
        [each.lead_id for each in notices],
        [each.opportunity_id for each in notices],
        [each.customer_id for each in notices],
    )
    await outbox.record_many(act.tx, act.viewer, [received(row["id"], row["kind"]) for row in written])
    return len(written)


def received(id: UUID, kind: str) -> outbox.Entry:
    """The event of a notification."""
    return outbox.Entry("notification.received", ("Notification", id), payload={"about": kind})


def cut(text: str, longest: int) -> str:
    """The text, cut to `longest` characters with an ellipsis if it is longer."""
    return text if len(text) <= longest else text[: longest - 1] + "…"


async def mark_read(act: Act, *, id: UUID) -> UUID:
    """Marks one of the viewer's notifications as read, unless it is already. Raises `NotFound`."""
    access.require_write(act.viewer, "Notification")
    notification = await records.lock(act, Notification, id)
    if notification["read_at"] is None:
        await act.tx.connection.execute(READ, id, act.now)
        await _record_read(act, "notification.read", id, 1)
    return id


async def mark_all_read(act: Act, *, id: UUID | None = None) -> tuple[UUID | None, int]:
    """Marks all of the viewer's notifications as read, or all up to `id`: later ones stay unread.

    Returns the newest of those that are now read, and how many were unread. Raises `NotFound`.
    """
    access.require_write(act.viewer, "Notification")
    newest = await _newest(act) if id is None else (await records.visible(act, Notification, id, field="id"))["id"]
    if newest is None:
        return None, 0
    count = await act.tx.connection.fetchval(READ_ALL, act.viewer.user_id, newest, act.now)
    if count:
        await _record_read(act, "notification.allRead", newest, count)
    return newest, count


async def _newest(act: Act) -> UUID | None:
    connection: Connection = act.tx.connection
    return await connection.fetchval(NEWEST, act.viewer.user_id)  # type: ignore[no-any-return]


async def _record_read(act: Act, kind: str, id: UUID, count: int) -> None:
    await outbox.record_event(
        act.tx,
        act.viewer,
        kind=kind,
        subject=("Notification", id),
        customer_id=None,
        changes={"read_at": (None, act.now)},
        payload={"count": count},
    )
