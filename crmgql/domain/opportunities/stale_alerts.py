"""The sweep for stale opportunities: sends each alert that is due once per episode and threshold, however often it runs.

It also assesses the risk again where a close date has passed.

Always holds: only rows that are due are read, by ranges of the partial indexes `opportunities_stale` and
`opportunities_reassess`. Rows that another sweep or a verb has locked are skipped. After downtime an opportunity that passed
both thresholds gets one alert for each.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from crmgql.domain.messages import notifications
from crmgql.domain.messages.notifications import Notice
from crmgql.domain.opportunities import standings
from crmgql.domain.opportunities.stale import NEXT, OWNER
from crmgql.domain.people import users
from crmgql.events import outbox
from crmgql.records import days
from crmgql.records.records import Act

UNKNOWN = """
SELECT id FROM opportunities WHERE status = 'OPEN' AND NOT stale_known
ORDER BY id LIMIT $1 FOR NO KEY UPDATE SKIP LOCKED"""
DUE = """
SELECT id, name, owner_id, customer_id, version, stale_at, stale_level, stale_episode FROM opportunities
WHERE status = 'OPEN' AND stale_at <= $1 AND stale_known ORDER BY stale_at, id LIMIT $2"""
TAKE = f"{DUE} FOR NO KEY UPDATE SKIP LOCKED"
PASSED = """
SELECT id FROM opportunities WHERE status = 'OPEN' AND reassess_on <= $1 ORDER BY reassess_on, id LIMIT $2"""
TAKE_PASSED = f"{PASSED} FOR NO KEY UPDATE SKIP LOCKED"
ALERT = """
INSERT INTO stale_alerts (opportunity_id, customer_id, user_id, episode, threshold, due_at, alerted_at)
SELECT *, $1 FROM unnest($2::uuid[], $3::uuid[], $4::uuid[], $5::int[], $6::text[], $7::timestamptz[])
ON CONFLICT (opportunity_id, episode, threshold) DO NOTHING RETURNING opportunity_id"""
ACTIVE = "SELECT id FROM users WHERE active AND id = ANY ($1)"
KIND = "opportunity.stale"


@dataclass(frozen=True, slots=True)
class _Alert:
    """One alert. `users` are all who are notified; `user_id` is the one that the alert is recorded for, if it is only one."""

    row: Any
    threshold: str
    users: tuple[UUID, ...]

    @property
    def user_id(self) -> UUID | None:
        return self.users[0] if len(self.users) == 1 else None


async def sweep(act: Act, *, limit: int = 1000) -> int:
    """One batch: opportunities whose due time is unknown, else those that are due, else those whose close date has passed.
    Returns how many; 0: all done."""
    unknown = [row["id"] for row in await act.tx.connection.fetch(UNKNOWN, limit)]
    if unknown:
        await standings.refresh(act, unknown)
        return len(unknown)
    rows = await act.tx.connection.fetch(TAKE, act.now, limit)
    if rows:
        await _notify(act, await _addressed(act, rows))
        await standings.refresh(act, [row["id"] for row in rows], alerted=True)
        return len(rows)
    passed = [row["id"] for row in await act.tx.connection.fetch(TAKE_PASSED, act.today, limit)]
    if passed:
        await standings.refresh(act, passed)
    return len(passed)


async def _addressed(act: Act, rows: Iterable[Any]) -> list[_Alert]:
    """The alerts with their receivers: the owner, the next manager above, or the administrators if there is neither."""
    connection = act.tx.connection
    owners = list({row["owner_id"] for row in rows if row["owner_id"] is not None})
    active = {row["id"] for row in await connection.fetch(ACTIVE, owners)}
    managers = await users.managers_above(act, owners)
    administrators = tuple(await users.administrators(act))
    alerts = []
    for row in rows:
        threshold, owner = NEXT[row["stale_level"]], row["owner_id"]
        if threshold == OWNER and owner in active:
            receivers: tuple[UUID, ...] = (owner,)
        else:
            receivers = (managers[owner],) if owner in managers else administrators
        alerts.append(_Alert(row, threshold, receivers))
    return alerts


async def _notify(act: Act, alerts: list[_Alert]) -> None:
    """Writes the alerts that are new, with their events, audit rows and notifications."""
    written = await act.tx.connection.fetch(
        ALERT,
        act.now,
        [each.row["id"] for each in alerts],
        [each.row["customer_id"] for each in alerts],
        [each.user_id for each in alerts],
        [each.row["stale_episode"] for each in alerts],
        [each.threshold for each in alerts],
        [each.row["stale_at"] for each in alerts],
    )
    new = {row["opportunity_id"] for row in written}
    alerts = [each for each in alerts if each.row["id"] in new]
    await outbox.record_many(act.tx, act.viewer, [_entry(each) for each in alerts])
    await notifications.notify_many(act, _notices(alerts, act.tx.zone))


def _entry(alert: _Alert) -> outbox.Entry:
    row = alert.row
    changes = {"stale_level": (row["stale_level"], row["stale_level"] + 1)}
    payload = {"version": row["version"], "threshold": alert.threshold, "dueAt": row["stale_at"]}
    return outbox.Entry(KIND, ("Opportunity", row["id"]), row["customer_id"], changes, payload)


def _notices(alerts: list[_Alert], zone: ZoneInfo) -> list[Notice]:
    return [_notice(each, user, zone) for each in alerts for user in each.users]


def _notice(alert: _Alert, user_id: UUID, zone: ZoneInfo) -> Notice:
    row, first = alert.row, alert.threshold == OWNER
    body = f"Nothing has happened in it; this was due at {days.shown(row['stale_at'], zone)}."
    if row["owner_id"] is None:
        body += " It has no owner."
    elif not first:
        body += " Its owner was alerted before."
    return Notice(
        user_id,
        KIND,
        f"{'Stale' if first else 'Still stale'}: {row['name']}",
        body,
        f"stale:{row['id']}:{row['stale_episode']}:{alert.threshold}",
        opportunity_id=row["id"],
        customer_id=row["customer_id"],
    )
