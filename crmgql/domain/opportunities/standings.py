"""The computed columns of opportunities: when an alert is due, score and risk. They are computed here and nowhere else.

Enters: ids of opportunities whose facts may have changed. Leaves: their columns, computed from the facts, the rules and the
clock. This is no change of the record: it raises no version and records no event.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import orjson

from crmgql.domain.customers import followers
from crmgql.domain.jobs import jobs, kinds
from crmgql.domain.opportunities import risks, scores, stale
from crmgql.records import days
from crmgql.records.records import Act, Row

READ = """
SELECT o.id, o.status, o.stage_since, o.last_activity_at, o.stale_known, o.stale_level, o.stale_episode, o.stale_since,
    o.stale_at, o.snoozed_until, o.amount, o.currency, coalesce(o.probability, s.probability) AS probability,
    o.expected_close, o.contact_id, o.product_id, o.customer_id, o.score, o.score_factors, o.risk, o.risk_factors,
    o.reassess_on, o.highest_amount, o.close_pushes, s.position, s.stale_after_h, s.escalate_after_h, p.calendar_id, k.title AS contact_title,
    c.industry, c.region, c.country, c.status AS customer_status, c.employee_count,
    (SELECT count(*) FROM interactions i WHERE i.opportunity_id = o.id AND i.occurred_at > $2) AS interactions,
    (SELECT count(*) FROM tasks t WHERE t.opportunity_id = o.id AND t.status = 'OPEN') AS open_tasks,
    (SELECT lead_source FROM leads l WHERE l.opportunity_id = o.id ORDER BY l.id LIMIT 1) AS lead_source
FROM opportunities o JOIN stages s ON s.id = o.stage_id JOIN pipelines p ON p.id = o.pipeline_id
LEFT JOIN customers c ON c.id = o.customer_id LEFT JOIN contacts k ON k.id = o.contact_id
WHERE o.id = ANY ($1) ORDER BY o.id FOR NO KEY UPDATE OF o"""
LAST_ACTIVE = """
SELECT o.id, greatest(
    (SELECT max(least(occurred_at, created_at, $2::timestamptz)) FROM interactions WHERE opportunity_id = o.id),
    (SELECT max(done_at) FROM tasks WHERE opportunity_id = o.id),
    (SELECT max(done_at) FROM opportunity_actions WHERE opportunity_id = o.id),
    (SELECT max(least(occurred_at, $2)) FROM stage_transitions WHERE opportunity_id = o.id AND from_stage_id IS NOT NULL)
) AS at
FROM unnest($1::uuid[]) AS o (id)"""
"""An activity that was logged before it occurred counts from when it was logged."""

RECOUNT = f"""
UPDATE opportunities o SET last_activity_at = last.at, stale_known = false FROM ({LAST_ACTIVE}) AS last
WHERE o.id = last.id AND o.last_activity_at IS DISTINCT FROM last.at"""
WRITE = """
UPDATE opportunities o SET stale_known = true, last_activity_at = new.last_activity_at, stale_level = new.stale_level,
    stale_episode = new.stale_episode, stale_since = new.stale_since, stale_at = new.stale_at, score = new.score,
    score_factors = new.score_factors, risk = new.risk, risk_factors = new.risk_factors, reassess_on = new.reassess_on,
    highest_amount = new.highest_amount, close_pushes = new.close_pushes
FROM unnest($1::uuid[], $2::timestamptz[], $3::int[], $4::int[], $5::timestamptz[], $6::timestamptz[], $7::int[],
    $8::jsonb[], $9::text[], $10::jsonb[], $11::date[], $12::numeric[], $13::int[]) AS new (id, last_activity_at,
    stale_level, stale_episode, stale_since, stale_at, score, score_factors, risk, risk_factors, reassess_on, highest_amount,
    close_pushes)
WHERE o.id = new.id"""
WRITTEN = [
    "last_activity_at",
    "stale_level",
    "stale_episode",
    "stale_since",
    "stale_at",
    "score",
    "score_factors",
    "risk",
    "risk_factors",
    "reassess_on",
    "highest_amount",
    "close_pushes",
]
RULES = "SELECT name, field, operator, value, points FROM score_rules WHERE active ORDER BY name"
CALENDARS = "SELECT id, timezone, working_days, holidays FROM business_calendars WHERE id = ANY ($1)"
RECENT = timedelta(days=30)
AT_ONCE = 100
"""The most opportunities that a change of their customer or contact refreshes itself; more are left to the next sweep."""

MARKED_AT_ONCE = 10_000
"""The most opportunities that a change leaves to the next sweep; of more, a job refreshes all."""

OPEN_OF = "SELECT id FROM opportunities WHERE {} = ANY ($1) AND status = 'OPEN' ORDER BY id LIMIT $2"
MARK = """
WITH marked AS (
    UPDATE opportunities SET stale_known = false WHERE id IN (
        SELECT id FROM opportunities WHERE status = 'OPEN' AND stale_known
            AND (stage_id = ANY ($1::uuid[]) OR pipeline_id = ANY ($2::uuid[]) OR customer_id = ANY ($3::uuid[])
                OR contact_id = ANY ($4::uuid[]) OR id = ANY ($5::uuid[])) LIMIT $6)
    RETURNING id)
SELECT count(*) FROM marked"""
CUSTOMER_FACTS = frozenset({"industry", "region", "country", "status", "employee_count"})
CONTACT_FACTS = frozenset({"title"})
"""What `READ` reads of customers and contacts."""


@dataclass(frozen=True, slots=True)
class _Setting:
    """What is common to all opportunities of a batch."""

    now: datetime
    zone: ZoneInfo
    rules: tuple[scores.Rule, ...]
    calendars: dict[UUID, stale.Calendar]

    @property
    def today(self) -> date:
        return days.day_of(self.now, self.zone)


async def refresh(
    act: Act,
    ids: Sequence[UUID],
    *,
    active_at: datetime | None = None,
    alerted: bool = False,
    from_history: bool = False,
    was: Row | None = None,
) -> list[UUID]:
    """Computes the columns of these and writes what differs. Returns those that were stale and no longer are.

    `active_at`: the time of an activity, if there was one. `alerted`: the alert that was due for each has been sent.
    `from_history`: an activity was changed or removed, so the last activity is looked up.
    `was`: the one opportunity before its change, so that cut amounts and postponed close dates are counted.
    """
    rows = await act.tx.connection.fetch(READ, ids, act.now - RECENT)
    setting = await _setting(act, rows)
    before = [_read(row) for row in rows]
    current = [_raised(row) if alerted else row for row in before]
    if from_history:
        last = {row["id"]: row["at"] for row in await act.tx.connection.fetch(LAST_ACTIVE, ids, act.now)}
        current = [{**row, "last_activity_at": last[row["id"]]} for row in current]
    current = [{**row, **risks.remembered(was or row, row)} for row in current]
    after = [_stand(row, setting, active_at) for row in current]
    changed = [
        new
        for old, new in zip(before, after, strict=True)
        if not old["stale_known"] or any(old[name] != new[name] for name in WRITTEN)
    ]
    if changed:
        await act.tx.connection.execute(WRITE, *_columns(changed))
    pairs = zip(before, after, strict=True)
    return [old["id"] for old, new in pairs if old["stale_level"] and not new["stale_level"]]


async def refresh_later(
    act: Act,
    *,
    stage_ids: Sequence[UUID] = (),
    pipeline_ids: Sequence[UUID] = (),
    customer_ids: Sequence[UUID] = (),
    contact_ids: Sequence[UUID] = (),
    opportunity_ids: Sequence[UUID] = (),
) -> None:
    """Leaves the open opportunities of these to the next sweep, or to a job if there are too many."""
    which = (stage_ids, pipeline_ids, customer_ids, contact_ids, opportunity_ids)
    if any(which) and await act.tx.connection.fetchval(MARK, *which, MARKED_AT_ONCE) == MARKED_AT_ONCE:
        await jobs.enqueue(act, kinds.OPPORTUNITIES_SCORE, kinds.Nothing())


async def recount_later(act: Act, ids: Sequence[UUID]) -> None:
    """Looks up the last activity of these; the next sweep refreshes the rest."""
    if ids:
        await act.tx.connection.execute(RECOUNT, ids, act.now)


@followers.of_customers
async def follow_customers(act: Act, changed: followers.Changed) -> None:
    """Refreshes the customers' open opportunities if a fact changed that they are scored by."""
    ids = [id for id, columns in changed.items() if columns & CUSTOMER_FACTS]
    if ids and not await _refresh_open(act, "customer_id", ids):
        await refresh_later(act, customer_ids=ids)


@followers.of_contacts
async def follow_contacts(act: Act, changed: followers.Changed) -> None:
    """As `follow_customers`, for the opportunities with the contacts."""
    ids = [id for id, columns in changed.items() if columns & CONTACT_FACTS]
    if ids and not await _refresh_open(act, "contact_id", ids):
        await refresh_later(act, contact_ids=ids)


async def _refresh_open(act: Act, column: str, of: Sequence[UUID]) -> bool:
    """Refreshes the open ones; False, and nothing is done, if they are too many."""
    ids = [row["id"] for row in await act.tx.connection.fetch(OPEN_OF.format(column), of, AT_ONCE + 1)]
    if ids and len(ids) <= AT_ONCE:
        await refresh(act, ids)
    return len(ids) <= AT_ONCE


async def _setting(act: Act, rows: Iterable[Any]) -> _Setting:
    rules = [
        scores.Rule(**{**row, "value": orjson.loads(row["value"])}) for row in await act.tx.connection.fetch(RULES)
    ]
    wanted = {row["calendar_id"] for row in rows if row["calendar_id"] is not None}
    found = await act.tx.connection.fetch(CALENDARS, wanted) if wanted else []
    return _Setting(act.now, act.tx.zone, tuple(rules), {row["id"]: _calendar(row) for row in found})


def _calendar(row: Any) -> stale.Calendar:
    weekdays, holidays = orjson.loads(row["working_days"])["days"], orjson.loads(row["holidays"])["dates"]
    return stale.Calendar(row["timezone"], frozenset(weekdays), frozenset(map(date.fromisoformat, holidays)))


def _read(row: Any) -> Row:
    facts = dict(row)
    for name in ("score_factors", "risk_factors"):
        facts[name] = orjson.loads(facts[name])
    return facts


def _raised(row: Row) -> Row:
    """The row after its alert; it is stale since the first alert was due."""
    return {**row, "stale_level": row["stale_level"] + 1, "stale_since": row["stale_since"] or row["stale_at"]}


def _stand(row: Row, setting: _Setting, active_at: datetime | None) -> Row:
    """One opportunity with its computed columns."""
    active = max((each for each in (row["last_activity_at"], active_at) if each is not None), default=None)
    row = {**row, "last_activity_at": active}
    row |= _silence(row, setting)
    if row["status"] != "OPEN":
        return {**row, "risk": risks.LOW, "risk_factors": [], "reassess_on": None}
    row["score"], row["score_factors"] = scores.score(setting.rules, _to_score(row, setting))
    row["risk"], row["risk_factors"] = risks.assess(_to_assess(row, setting))
    row["reassess_on"] = risks.changes_on(row["expected_close"], setting.today)
    return row


def _silence(row: Row, setting: _Setting) -> Row:
    before = stale.Silence(row["stale_level"], row["stale_episode"], row["stale_since"], row["stale_at"])
    patience = stale.Patience(None, None)
    if row["status"] == "OPEN":
        calendar = setting.calendars.get(row["calendar_id"])
        patience = stale.Patience(row["stale_after_h"], row["escalate_after_h"], calendar)
    after = stale.next_alert(
        before,
        patience,
        since=max(each for each in (row["stage_since"], row["last_activity_at"]) if each is not None),
        snoozed_until=row["snoozed_until"],
        now=setting.now,
    )
    return {
        "stale_level": after.level,
        "stale_episode": after.episode,
        "stale_since": after.stale_since,
        "stale_at": after.stale_at,
    }


def _to_score(row: Row, setting: _Setting) -> Row:
    closes = row["expected_close"]
    return {
        "amount": None if row["amount"] is None else (row["amount"], row["currency"]),
        "probability": row["probability"],
        "expectedCloseInDays": None if closes is None else (closes - setting.today).days,
        "daysInStage": (setting.now - row["stage_since"]).days,
        "stagePosition": row["position"],
        "interactionsLast30Days": row["interactions"],
        "hasContact": row["contact_id"] is not None,
        "hasProduct": row["product_id"] is not None,
        "hasCustomer": row["customer_id"] is not None,
        "contactTitle": row["contact_title"],
        "customer.industry": row["industry"],
        "customer.region": row["region"],
        "customer.country": row["country"],
        "customer.status": row["customer_status"],
        "customer.employeeCount": row["employee_count"],
        "leadSource": row["lead_source"],
    }


def _to_assess(row: Row, setting: _Setting) -> risks.Facts:
    due = row["stale_at"] is not None and row["stale_at"] <= setting.now
    return risks.Facts(
        level=row["stale_level"],
        stale_since=row["stale_since"] and days.day_of(row["stale_since"], setting.zone),
        manager_overdue=row["stale_level"] == 1 and due,
        expected_close=row["expected_close"],
        pushes=row["close_pushes"],
        amount=row["amount"],
        highest=row["highest_amount"],
        has_contact=row["contact_id"] is not None,
        open_tasks=row["open_tasks"],
        today=setting.today,
    )


def _columns(rows: list[Row]) -> list[list[Any]]:
    columns = [[row["id"] for row in rows]]
    for name in WRITTEN:
        plain = name not in ("score_factors", "risk_factors")
        columns.append([row[name] if plain else orjson.dumps(row[name]).decode() for row in rows])
    return columns
