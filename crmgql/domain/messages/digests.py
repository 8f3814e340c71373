"""One e-mail per person with all their notifications that are unread and were in no e-mail before."""

from __future__ import annotations

import re
from collections import defaultdict
from datetime import timedelta

from crmgql.db import Connection
from crmgql.domain.jobs import jobs, kinds
from crmgql.domain.messages.emails import SUBJECT, one_line
from crmgql.events import outbox
from crmgql.records.records import Act, Row

QUIET = timedelta(minutes=2)
"""Newer notifications wait for the next digest: the person may still read them in the app."""

OLD = timedelta(days=7)
"""Older notifications are not e-mailed any more."""

LINES = 50
"""Notifications in one e-mail; of the others it gives the number."""

TAKE = """
WITH due AS (
    SELECT DISTINCT n.user_id FROM notifications n JOIN users u ON u.id = n.user_id
    WHERE n.emailed_at IS NULL AND n.read_at IS NULL AND n.occurred_at > $1 AND n.occurred_at <= $2
      AND u.active AND u.email IS NOT NULL
    ORDER BY n.user_id LIMIT $4
), taken AS (
    UPDATE notifications n SET emailed_at = $3 FROM due
    WHERE n.user_id = due.user_id
      AND n.emailed_at IS NULL AND n.read_at IS NULL AND n.occurred_at > $1 AND n.occurred_at <= $2
    RETURNING n.id, n.user_id, n.kind, n.title
), numbered AS (
    SELECT taken.*, row_number() OVER (PARTITION BY user_id ORDER BY id) AS n, count(*) OVER (PARTITION BY user_id) AS total
    FROM taken
)
SELECT numbered.*, u.name, u.email FROM numbered JOIN users u ON u.id = numbered.user_id
WHERE n <= $5 ORDER BY numbered.user_id, n"""
WRITE = """
INSERT INTO email_messages (user_id, to_address, subject, body, dedupe_key)
SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[]) RETURNING id"""


async def write(act: Act, *, limit: int = 50) -> int:
    """Writes the e-mails of up to `limit` people, each with the job that sends it; returns how many, 0 when none is due."""
    connection: Connection = act.tx.connection
    rows = await connection.fetch(TAKE, act.now - OLD, act.now - QUIET, act.now, limit, LINES)
    people: defaultdict[str, list[Row]] = defaultdict(list)
    for row in rows:
        people[row["user_id"]].append(dict(row))
    texts = [(user_id, own[0]["email"], *text(own), f"digest:{own[0]['id']}") for user_id, own in people.items()]
    if not texts:
        return 0
    written = await connection.fetch(WRITE, *(list(column) for column in zip(*texts, strict=True)))
    changes = {"status": (None, "PENDING")}
    entries = [outbox.Entry("email.written", ("EmailMessage", row["id"]), changes=changes) for row in written]
    await outbox.record_many(act.tx, act.viewer, entries)
    await jobs.enqueue_many(act, kinds.EMAIL_SEND, [kinds.EmailOf(email_id=row["id"]) for row in written])
    return len(written)


def text(rows: list[Row]) -> tuple[str, str]:
    """Subject and body for one person, notifications grouped by kind. `rows` are the first `LINES` of `total`."""
    shown: defaultdict[str, list[str]] = defaultdict(list)
    for row in rows:
        shown[row["kind"]].append(f"- {one_line(row['title'], SUBJECT)}")
    parts = [f"Hello {one_line(rows[0]['name'], SUBJECT)},"]
    parts += ["\n".join([f"{heading(kind)}:", *lines]) for kind, lines in shown.items()]
    total = rows[0]["total"]
    if total > len(rows):
        parts.append(f"and {total - len(rows)} more.")
    if total == 1:
        return one_line(rows[0]["title"], SUBJECT), "\n\n".join(parts) + "\n"
    return f"{total} things to know", "\n\n".join(parts) + "\n"


def heading(kind: str) -> str:
    """`lead.followUp` → `Lead follow up`."""
    words = re.sub(r"[._]|(?<=[a-z])(?=[A-Z])", " ", kind).lower().strip()
    return words[:1].upper() + words[1:]
