"""Periods of the books: soft closed, closed, reopened.

Always holds: no day is more closed than an earlier one, so what is reported of closed days stays as it is. Days close from the
earliest on, the first period from `BEGINNING` on, and are reopened from the latest on. Who closes waits for who posts.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from uuid import UUID

from crmgql import access
from crmgql.errors import BadUserInput, IllegalTransition, PeriodClosed, PeriodOpen, PeriodsOverlap, VersionConflict
from crmgql.ledger import book, periods
from crmgql.models import AccountingPeriod, PeriodStatus
from crmgql.records import checks, records
from crmgql.records.moves import Move, Moves
from crmgql.records.records import Act, Row

MOVES = Moves(
    AccountingPeriod,
    soft_close=Move({"OPEN"}, "SOFT_CLOSED", "period.softClosed", "closed_at"),
    close=Move({"OPEN", "SOFT_CLOSED"}, "CLOSED", "period.closed", "closed_at"),
    reopen=Move({"SOFT_CLOSED", "CLOSED"}, "OPEN", "period.reopened"),
    reopen_to_adjust=Move({"CLOSED"}, "SOFT_CLOSED", "period.reopened", "closed_at"),
)
RANK = {each: rank for rank, each in enumerate(PeriodStatus)}
"""How closed each status is."""

LIKE = "SELECT id, first_on, last_on, status FROM accounting_periods WHERE days && daterange($1, $2, '[]') ORDER BY first_on"
BEFORE = "SELECT first_on, last_on, status FROM accounting_periods WHERE last_on < $1 ORDER BY first_on DESC"
AFTER = "SELECT first_on, last_on, status FROM accounting_periods WHERE first_on > $1 ORDER BY first_on DESC"
LATEST = (
    "SELECT id, first_on, last_on, status FROM accounting_periods WHERE first_on <= $1 ORDER BY first_on DESC LIMIT 1"
)
BEGINNING = date(checks.YEARS[0], 1, 1)
"""No record is of an earlier day."""

DAY = timedelta(days=1)


async def close(
    act: Act,
    verb: str,
    *,
    id: UUID | None = None,
    first_on: date | None = None,
    last_on: date | None = None,
    expected_version: int | None = None,
) -> UUID:
    """Soft closes or closes a period, or days that have none yet, which become one. They must have passed. Without `first_on`
    they follow the period before.

    Raises `PeriodOpen` if earlier days are more open, `PeriodsOverlap`, `IllegalTransition`.
    """
    access.require_write(act.viewer, "AccountingPeriod")
    await periods.take(act)
    if id is None:
        id, days = await _named(act, first_on, last_on)
        if id is None and expected_version is not None:
            raise VersionConflict("These days have no period yet, so it has no version.", field="expectedVersion")
        if id is None:
            return await _make(act, MOVES[verb], *days)
    period, move = await MOVES.lock(act, verb, id, expected_version=expected_version)
    await _check_closing(act, move, period["first_on"], period["last_on"])
    changes = move.changes(act.now) | {"status_reason": None}
    await records.change(act, AccountingPeriod, period, changes, kind=move.event, payload=_payload(period, move.target))
    return id


async def reopen(
    act: Act,
    *,
    reason: str,
    id: UUID | None = None,
    first_on: date | None = None,
    last_on: date | None = None,
    to_adjust: bool | None = None,
    expected_version: int | None = None,
) -> UUID:
    """Opens a period again; with `to_adjust` a closed one is soft closed from then on. The reason is kept in the audit row.

    Raises `Forbidden` for a closed one without `period.reopen`, `PeriodClosed` if later days are more closed,
    `IllegalTransition` for what is open already.
    """
    access.require_write(act.viewer, "AccountingPeriod")
    checks.check_text(reason, "reason", longest=1000, required=True)
    await periods.take(act)
    if id is None:
        id, _ = await _named(act, first_on, last_on)
    if id is None:
        raise IllegalTransition("These days have no period, so they are open.", field="lastOn")
    verb = "reopen_to_adjust" if to_adjust else "reopen"
    period, move = await MOVES.lock(act, verb, id, expected_version=expected_version)
    if period["status"] == "CLOSED":
        access.require(act.viewer, "period.reopen", "Reopening closed days")
    later = await act.tx.connection.fetch(AFTER, period["last_on"])
    closed = next((each for each in later if RANK[each["status"]] > RANK[PeriodStatus(move.target)]), None)
    if closed is not None:
        raise PeriodClosed(f"{_words(closed)}; reopen it first: the latest days are reopened first.", field="id")
    changes = {"closed_at": None} | move.changes(act.now) | {"status_reason": reason}
    await records.change(act, AccountingPeriod, period, changes, kind=move.event, payload=_payload(period, move.target))
    return id


async def check_all_closed(act: Act, first_on: date, last_on: date) -> Row:
    """The period of the last day, if all these days are closed or soft closed. Raises `PeriodOpen`."""
    rows = await act.tx.connection.fetch(LIKE, first_on, last_on)
    day = first_on
    for row in rows:
        if row["first_on"] > day or row["status"] == "OPEN":
            break
        day = row["last_on"] + DAY
    if day <= last_on:
        raise PeriodOpen(f"{day} is open; close all days from {first_on} to {last_on} first.", field="year")
    return dict(rows[-1])


async def _named(act: Act, first_on: date | None, last_on: date | None) -> tuple[UUID | None, tuple[date, date]]:
    """The period of exactly these days, if they have one. Raises `BadUserInput`, `PeriodsOverlap`."""
    if last_on is None:
        raise BadUserInput("Name the period by its id, or by its last day, or its first and last.", field="id")
    if first_on is None:
        before = await act.tx.connection.fetchrow(LATEST, last_on)
        first_on = BEGINNING
        if before is not None:
            first_on = before["last_on"] + DAY if before["last_on"] < last_on else before["first_on"]
    if last_on < first_on:
        raise BadUserInput(f"The last day, {last_on}, is before the first, {first_on}.", field="lastOn")
    checks.check(AccountingPeriod, {"first_on": first_on, "last_on": last_on})
    rows = await act.tx.connection.fetch(LIKE, first_on, last_on)
    if rows and (rows[0]["first_on"], rows[0]["last_on"]) != (first_on, last_on):
        raise PeriodsOverlap(f"{_words(rows[0])}, and no two periods overlap; name its days.", field="firstOn")
    return rows[0]["id"] if rows else None, (first_on, last_on)


async def _make(act: Act, move: Move, first_on: date, last_on: date) -> UUID:
    own = await book.company_of(act)
    days = {"first_on": first_on, "last_on": last_on}
    await _check_closing(act, move, first_on, last_on)
    values = {"company_id": own.id, **days, **move.changes(act.now)}
    payload = _payload(days, move.target)
    made = await records.create(act, AccountingPeriod, values, kind=move.event, payload=payload)
    return made["id"]  # type: ignore[no-any-return]


async def _check_closing(act: Act, move: Move, first_on: date, last_on: date) -> None:
    """Raises `BadUserInput` for days that have not passed, `PeriodOpen` if earlier ones are more open than these will be."""
    if last_on >= act.today:
        raise BadUserInput(f"{last_on} has not passed; today is {act.today}.", field="lastOn")
    earlier = await act.tx.connection.fetch(BEFORE, first_on)
    needed = PeriodStatus(move.target)
    since = _closed_since(earlier, first_on, needed)
    if since > BEGINNING:
        allowed = "closed" if needed is PeriodStatus.CLOSED else "soft closed or closed"
        way = "close it first" if earlier else "leave firstOn out to close all days up to lastOn"
        raise PeriodOpen(f"{since - DAY} is not {allowed}; {way}: the earliest days are closed first.", field="id")


def _closed_since(earlier: Sequence[Row], first_on: date, needed: PeriodStatus) -> date:
    """The first of the days that are as closed as needed, without a gap up to `first_on`. Pure; `earlier`: the latest first."""
    day = first_on
    for row in earlier:
        if row["last_on"] + DAY != day or RANK[PeriodStatus(row["status"])] < RANK[needed]:
            break
        day = row["first_on"]
    return day


def _payload(days: Row, status: str) -> Row:
    return {"first_on": days["first_on"], "last_on": days["last_on"], "status": status}


def _words(period: Row) -> str:
    status = period["status"].lower().replace("_", " ")
    return f"{period['first_on']} to {period['last_on']} is {status}"
