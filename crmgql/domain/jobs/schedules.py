"""Schedules: run kinds of jobs by cron in a time zone, at an interval, or once.

Always holds: a schedule has at most one live job; a unique index ensures it. A time that passes during a run, or while no
worker runs, is skipped and counted, or caught up, as `catch_up` says.

cronsim reads cron expressions and treats clock changes as Debian's cron does: a skipped time runs right after, a repeated
time runs once; a job that runs every hour or more often follows real time.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import structlog
from cronsim import CronSim, CronSimError

from crmgql import access
from crmgql.domain.jobs import jobs, kinds
from crmgql.errors import BadUserInput, IllegalTransition
from crmgql.models import Schedule
from crmgql.models.jobs import LIVE_JOB
from crmgql.records import checks, records
from crmgql.records.columns import ORIGIN, takes
from crmgql.records.records import Act, Row

log = structlog.get_logger("crmgql")

FACTS = "name cron timezone every_s once_at catch_up enabled"
GRACE = timedelta(seconds=60)
"""A time that passed less than this ago is late, not missed."""

MAX_COUNTED = 1000
WAYS = ("cron", "every_s", "once_at")
TIMING = frozenset({*WAYS, "timezone"})
CONFLICTS = {"schedules_name": ("name", "There is a schedule of this name; choose another.")}

IS_TO_RUN = f"""enabled AND deleted_at IS NULL AND next_at IS NOT NULL
    AND NOT (catch_up = 'ALL' AND EXISTS (
        SELECT FROM jobs WHERE schedule_id = schedules.id AND {LIVE_JOB}))"""
DUE = f"""
SELECT * FROM schedules WHERE {IS_TO_RUN} AND next_at <= $1
ORDER BY next_at LIMIT 100 FOR NO KEY UPDATE SKIP LOCKED"""
MOVE_ON = """
UPDATE schedules SET next_at = moved.next_at, last_at = coalesce(moved.last_at, schedules.last_at),
    skipped = schedules.skipped + moved.skipped
FROM unnest($1::uuid[], $2::timestamptz[], $3::timestamptz[], $4::int[]) AS moved (id, next_at, last_at, skipped)
WHERE schedules.id = moved.id"""
RUN = f"""
INSERT INTO jobs (due_at, schedule_id, scheduled_for, kind, arguments, arguments_version, queue, priority, max_failures)
SELECT $1, id, run_for, kind, arguments, arguments_version, queue, priority, max_failures
FROM unnest($2::uuid[], $3::timestamptz[], $4::text[], $5::int[], $6::int[]) AS run (id, run_for, queue, priority, max_failures)
JOIN schedules USING (id)
ON CONFLICT (schedule_id) WHERE schedule_id IS NOT NULL AND {LIVE_JOB} DO NOTHING
RETURNING schedule_id, queue"""
SEED = """
INSERT INTO schedules (name, kind, every_s, next_at, catch_up, source, external_id)
SELECT name, kind, every_s, $4, 'ONE', 'built-in', kind FROM unnest($1::text[], $2::text[], $3::int[]) AS b (name, kind, every_s)
ON CONFLICT DO NOTHING"""


@dataclass(frozen=True, slots=True)
class BuiltIn:
    name: str
    kind: kinds.Kind[kinds.Nothing]
    every_s: int


BUILT_IN = (
    BuiltIn("Stale opportunities", kinds.OPPORTUNITIES_STALE, 60),
    BuiltIn("Leads not accepted or waiting", kinds.LEADS_REROUTE, 60),
    BuiltIn("Digests by e-mail", kinds.NOTIFICATIONS_DIGEST, 300),
    BuiltIn("Public pools", kinds.POOLS_RECLAIM, 3600),
    BuiltIn("What has become overdue", kinds.RECEIVABLES_DUE, 900),
    BuiltIn("What merged customers owe and have", kinds.CUSTOMERS_HAND_OVER, 60),
    BuiltIn("Anchors of the books", kinds.LEDGER_ANCHOR, 300),
    BuiltIn("Provider events that wait", kinds.PROVIDER_EVENTS_RETRY, 60),
    BuiltIn("Bank lines that are open", kinds.BANK_LINES_MATCH, 3600),
    BuiltIn("Deferred revenue", kinds.REVENUE_RECOGNISE, 3600),
    BuiltIn("Reminders of overdue invoices", kinds.INVOICES_REMIND, 3600),
    BuiltIn("Payments of contracts that are due", kinds.CONTRACTS_REMIND, 3600),
    BuiltIn("Reconciliation", kinds.MONEY_RECONCILE, 86400),
    BuiltIn("Housekeeping", kinds.HOUSEKEEPING, 3600),
)
"""The schedules of a new installation. They can be changed and deleted like any other."""


@takes(Schedule, FACTS, ORIGIN)
async def create(act: Act, *, kind: str, arguments: dict[str, Any] | None = None, **values: Any) -> UUID:
    """A schedule with exactly one of `cron`, `every_s` and `once_at`. Raises `BadUserInput`, `Conflict`.

    Its jobs run as the system, so creating and changing it need the rights that enqueuing such a job needs.
    """
    access.require_write(act.viewer, "Schedule")
    known = jobs.manual(kind)
    jobs.require_rights(act, known)
    known.check(arguments or {})
    values |= {"kind": kind, "arguments": arguments or {}, "arguments_version": known.version}
    first = _first(values, act.now)
    values["next_at"] = None if values.get("enabled") is False else first
    schedule = await records.create(act, Schedule, values, kind="schedule.created", conflicts=CONFLICTS)
    return schedule["id"]  # type: ignore[no-any-return]


@takes(Schedule, FACTS, "arguments")
async def update(act: Act, *, id: UUID, expected_version: int | None = None, **changes: Any) -> UUID:
    """Changes the given values. A new timing replaces the old one; times missed before are not caught up."""
    access.require_write(act.viewer, "Schedule")
    schedule = await _lock(act, id, expected_version)
    if (kind := kinds.KINDS.get(schedule["kind"])) is not None:
        jobs.require_rights(act, kind)
    if "arguments" in changes:
        known = kinds.find(schedule["kind"])
        changes["arguments"] = changes["arguments"] or {}
        known.check(changes["arguments"])
        changes["arguments_version"] = known.version
    if any(changes.get(way) is not None for way in WAYS):
        changes = {**dict.fromkeys(WAYS), **changes}
    after = {**schedule, **changes, "next_at": None}
    timed = changes.keys() & TIMING
    if timed or after["enabled"] != schedule["enabled"]:
        first = _first(after, act.now) if timed or after["enabled"] else None
        changes["next_at"] = first if after["enabled"] else None
    await records.change(act, Schedule, schedule, changes, kind="schedule.updated", conflicts=CONFLICTS)
    return id


async def delete(act: Act, *, id: UUID, expected_version: int | None = None) -> UUID:
    """Deletes it; a running job continues, and past jobs can still be read."""
    access.require_write(act.viewer, "Schedule")
    schedule = await _lock(act, id, expected_version)
    changes = {"deleted_at": act.now, "enabled": False, "next_at": None}
    await records.change(act, Schedule, schedule, changes, kind="schedule.deleted")
    return id


async def seed(act: Act) -> None:
    """Makes the built-in schedules, each once per installation: one that was deleted or renamed stays so."""
    columns = zip(*((each.name, each.kind.name, each.every_s) for each in BUILT_IN), strict=True)
    await act.tx.connection.execute(SEED, *map(list, columns), act.now)


async def tick(act: Act) -> int:
    """Makes the jobs of up to 100 due schedules; returns how many. Several workers may tick at once."""
    due = [dict(row) for row in await act.tx.connection.fetch(DUE, act.now)]
    plans = [(schedule, _plan(schedule, act.now)) for schedule in due]
    made = await _run(act, [(schedule, plan.run_for) for schedule, plan in plans if plan.run_for is not None])
    moved = []
    for schedule, plan in plans:
        busy = plan.run_for is not None and schedule["id"] not in made
        if busy and schedule["catch_up"] == "ALL":
            continue  # the next tick after the current run makes it
        moved.append((schedule["id"], plan.then, None if busy else plan.run_for, plan.skipped + busy))
    if moved:
        await act.tx.connection.execute(MOVE_ON, *map(list, zip(*moved, strict=True)))
    return len(made)


@dataclass(frozen=True, slots=True)
class Plan:
    """`run_for`: the scheduled time of a job to make now, if any; `then`: when the schedule is due next."""

    run_for: datetime | None
    then: datetime | None
    skipped: int


def plan_run(schedule: Row, now: datetime) -> Plan:
    """What to do for a due schedule. Raises `ValueError` for a timing that can't be read."""
    due: datetime = schedule["next_at"]
    if schedule["catch_up"] == "ALL":
        return Plan(due, next_after(schedule, due), 0)
    missed, latest = _missed(schedule, due, now)
    then = next_after(schedule, now)
    if schedule["catch_up"] == "SKIP" and now - latest > GRACE:
        return Plan(None, then, missed + 1)
    return Plan(latest, then, missed)


def _plan(schedule: Row, now: datetime) -> Plan:
    """As `plan_run`. A timing that can't be read stops its schedule, so that it keeps no other from running."""
    try:
        return plan_run(schedule, now)
    except ValueError as trouble:  # it was written past the API
        log.error("schedule can't be read; it is stopped", schedule=schedule["name"], reason=str(trouble))
        return Plan(None, None, 0)


def _missed(schedule: Row, due: datetime, now: datetime) -> tuple[int, datetime]:
    """How many times have passed since the one that is due, and the last of them; a cron's only up to `MAX_COUNTED`."""
    if schedule["every_s"] is not None:
        every = timedelta(seconds=schedule["every_s"])
        return (now - due) // every, due + (now - due) // every * every
    missed, latest = 0, due
    while missed < MAX_COUNTED and (later := next_after(schedule, latest)) is not None and later <= now:
        missed, latest = missed + 1, later
    return missed, latest


def next_after(schedule: Row, moment: datetime) -> datetime | None:
    """The first time of a schedule after a moment, in UTC; None when there is none. Raises `ValueError`."""
    if schedule.get("once_at") is not None:
        once: datetime = schedule["once_at"]
        return once if once > moment else None
    if schedule.get("every_s") is not None:
        start: datetime = schedule.get("next_at") or moment
        every = timedelta(seconds=schedule["every_s"])
        return start + every * ((moment - start) // every + 1)
    try:
        zone = ZoneInfo(schedule.get("timezone") or "UTC")
        return next(CronSim(str(schedule["cron"]), moment.astimezone(zone))).astimezone(UTC)
    except StopIteration:
        return None
    except (CronSimError, ZoneInfoNotFoundError) as error:
        raise ValueError(str(error)) from None


async def _run(act: Act, runs: list[tuple[Row, datetime]]) -> set[UUID]:
    """Makes a job for each schedule and time. Returns the schedules that got one: those without a live job."""
    rows = []
    for schedule, run_for in runs:
        kind = kinds.KINDS.get(schedule["kind"])
        known = (kind.queue, kind.priority, kind.max_failures) if kind else ("default", 0, 1)
        rows.append((schedule["id"], run_for, *known))
    if not rows:
        return set()
    made = await act.tx.connection.fetch(RUN, act.now, *map(list, zip(*rows, strict=True)))
    act.tx.queues.update(row["queue"] for row in made)
    return {row["schedule_id"] for row in made}


async def _lock(act: Act, id: UUID, expected_version: int | None) -> Row:
    schedule = await records.lock(act, Schedule, id, expected_version=expected_version)
    if schedule["deleted_at"] is not None:
        raise IllegalTransition("The schedule was deleted; make a new one.", field="id")
    return schedule


def _first(values: Row, now: datetime) -> datetime:
    """When it is first due. Raises `BadUserInput` for no timing, several, or one that is past."""
    ways = [way for way in WAYS if values.get(way) is not None]
    if len(ways) != 1:
        raise BadUserInput("Say when with exactly one of cron, everyS and onceAt.", field="cron")
    checks.time_zone(values.get("timezone") or "UTC", "timezone")
    if ways == ["every_s"] and values["every_s"] < 1:
        raise BadUserInput("At least every 1 second.", field="everyS")
    try:
        first = next_after(values, now)
    except ValueError as error:
        raise BadUserInput(f"{error}; a cron expression is such as “30 8 * * 1-5”.", field="cron") from None
    if first is None:
        raise BadUserInput(
            "That never comes again; choose a time ahead.", field="onceAt" if "once_at" in ways else "cron"
        )
    return first
