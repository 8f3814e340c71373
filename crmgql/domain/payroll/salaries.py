"""Salaries of people: many are set at once, each can be ended or cancelled.

Always holds: a person has one salary on a day. Each is paid until the day before the next one starts. Who sets salaries waits
for who does so at the same time.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

from crmgql import access
from crmgql.domain.payroll import histories
from crmgql.errors import BadUserInput, Forbidden, IllegalTransition, SalariesOverlap
from crmgql.events import outbox
from crmgql.events.outbox import Entry
from crmgql.models import Salary, User
from crmgql.records import checks, money, records
from crmgql.records.money import Money
from crmgql.records.records import Act, Row

COLUMNS = ("user_id", "amount", "currency", "period", "starts_on", "ends_on", "reason")
SAID = ("amount", "currency", "period", "reason")
THERE = "SELECT * FROM salaries WHERE user_id = ANY ($1) AND cancelled_at IS NULL ORDER BY user_id, starts_on"
CHANGE = """
UPDATE salaries s SET ends_on = given.ends_on, cancelled_at = given.cancelled_at, version = version + 1, updated_at = $2
FROM jsonb_to_recordset($1) AS given (id uuid, ends_on date, cancelled_at timestamptz) WHERE s.id = given.id
RETURNING s.id, s.version"""
MAKE = f"""
INSERT INTO salaries ({", ".join(COLUMNS)})
SELECT {", ".join(COLUMNS)} FROM ROWS FROM (jsonb_to_recordset($1) AS (user_id uuid, amount numeric, currency text, period text,
    starts_on date, ends_on date, reason text)) WITH ORDINALITY AS given ({", ".join(COLUMNS)}, place) ORDER BY place
RETURNING id, version, {", ".join(COLUMNS)}"""
BEFORE = "SELECT id FROM salaries WHERE user_id = $1 AND ends_on = $2::date - 1 AND cancelled_at IS NULL"
NEXT = """
SELECT starts_on FROM salaries WHERE user_id = $1 AND starts_on > $2 AND cancelled_at IS NULL ORDER BY starts_on LIMIT 1"""


@dataclass(frozen=True, slots=True)
class NewSalary:
    """What somebody is paid from a day on."""

    user_id: UUID
    starts_on: date
    amount: Money
    period: str
    reason: str | None = None


async def set_many(act: Act, *, salaries: Sequence[NewSalary]) -> UUID:
    """Sets salaries, by as many statements for one as for all. What somebody had before ends the day before; one that is there
    from the same day is replaced, unless it says the same. Returns the id of the first.

    Raises `NotFound`, `BadUserInput`; then none is set.
    """
    _require(act)
    rows = [_row(salary, f"salaries.{number}.") for number, salary in enumerate(salaries)]
    if not rows:
        raise BadUserInput("Name at least one salary.", field="salaries")
    _check_days(rows)
    seen = await records.visible_many(act, User, [row["user_id"] for row in rows])
    for number, row in enumerate(rows):
        if row["user_id"] not in seen:
            raise records.not_found(User, field=f"salaries.{number}.userId")
    await records.serialize(act, "salaries")
    found = await act.tx.connection.fetch(THERE, list({row["user_id"] for row in rows}))
    there = {row["id"]: dict(row) for row in found}
    same = _same(there.values(), rows)
    new = [row for number, row in enumerate(rows) if number not in same]
    changes = _placed(act, there, new)
    changed = await act.tx.connection.fetch(CHANGE, _as_changes(there, changes), act.now)
    versions = {row["id"]: row["version"] for row in changed}
    made = await act.tx.connection.fetch(MAKE, outbox.as_json(new))
    entries = [_changed(there[id], change, versions[id]) for id, change in changes.items()]
    await outbox.record_many(act.tx, act.viewer, [*entries, *(_made(dict(row)) for row in made)])
    return same[0] if 0 in same else made[0]["id"]


async def end(act: Act, *, id: UUID, ends_on: date, expected_version: int | None = None) -> UUID:
    """Sets the last day of a salary, as when somebody leaves; it may be later than the one that it has.

    Raises `BadUserInput` for one before the first, `SalariesOverlap` if another salary starts before, `IllegalTransition` for
    what is cancelled.
    """
    row = await _live(act, id, expected_version)
    checks.check(Salary, {"ends_on": ends_on})
    if ends_on < row["starts_on"]:
        raise BadUserInput(
            f"It starts on {row['starts_on']}, which is the earliest last day; salaryCancel takes all of it back.",
            field="endsOn",
        )
    following = await act.tx.connection.fetchval(NEXT, row["user_id"], row["starts_on"])
    if following is not None and following <= ends_on:
        raise SalariesOverlap(
            f"Another salary of this person starts on {following}; end this one before, or cancel that one first (salaryCancel).",
            field="endsOn",
        )
    await records.change(act, Salary, row, {"ends_on": ends_on}, kind="salary.ended", payload=_payload(row))
    return id


async def cancel(act: Act, *, id: UUID, expected_version: int | None = None) -> UUID:
    """Takes back a salary that was a mistake: it was never due. The one that it ended goes on to where this one would have ended.
    Raises `IllegalTransition` if it is cancelled."""
    row = await _live(act, id, expected_version)
    cancelled = {"cancelled_at": act.now}
    await records.change(act, Salary, row, cancelled, kind="salary.cancelled", payload=_payload(row))
    before = await act.tx.connection.fetchval(BEFORE, row["user_id"], row["starts_on"])
    if before is not None:
        earlier = await records.lock(act, Salary, before)
        ends_on = {"ends_on": row["ends_on"]}
        await records.change(act, Salary, earlier, ends_on, kind="salary.ended", payload=_payload(row))
    return id


def _require(act: Act) -> None:
    """Raises `Forbidden` for API keys, and for who does not see all salaries."""
    access.require_write(act.viewer, "Salary")
    access.require_person(act.viewer, "Setting salaries")
    if not access.sees_all(act.viewer.who, "Salary"):
        raise Forbidden("Setting salaries is for those who see all of them, as no two may overlap.")


async def _live(act: Act, id: UUID, expected_version: int | None) -> Row:
    _require(act)
    await records.serialize(act, "salaries")
    row = await records.lock(act, Salary, id, expected_version=expected_version)
    if row["cancelled_at"] is not None:
        raise IllegalTransition("The salary is cancelled; set another one.", field="id")
    return row


def _row(salary: NewSalary, prefix: str) -> Row:
    row: Row = {
        "user_id": salary.user_id,
        "amount": money.amount(salary.amount, field=f"{prefix}amount"),
        "currency": salary.amount[1],
        "period": salary.period,
        "starts_on": salary.starts_on,
        "ends_on": None,
        "reason": salary.reason,
    }
    checks.check(Salary, {name: value for name, value in row.items() if value is not None}, prefix=prefix)
    if salary.reason is not None and not 0 < len(salary.reason) <= 1000:
        raise BadUserInput("A reason has 1 to 1000 characters; leave it out for none.", field=f"{prefix}reason")
    return row


def _check_days(rows: Sequence[Row]) -> None:
    """Raises `BadUserInput` for two of the input that are for the same person from the same day on."""
    places: dict[tuple[UUID, date], int] = {}
    for number, row in enumerate(rows):
        first = places.setdefault((row["user_id"], row["starts_on"]), number)
        if first != number:
            raise BadUserInput(
                f"This and the salary at {first} are for the same person from the same day on.",
                field=f"salaries.{number}.startsOn",
            )


def _same(there: Iterable[Row], rows: Sequence[Row]) -> dict[int, UUID]:
    """Place → the salary that is there and says the same from the same day on."""
    known = {(row["user_id"], row["starts_on"], *(row[name] for name in SAID)): row["id"] for row in there}
    keys = [(row["user_id"], row["starts_on"], *(row[name] for name in SAID)) for row in rows]
    return {number: known[key] for number, key in enumerate(keys) if key in known}


def _placed(act: Act, there: dict[UUID, Row], new: Sequence[Row]) -> dict[UUID, Row]:
    """Gives each new one its last day; returns what changes of those that are there."""
    theirs, own = defaultdict(list), defaultdict(list)
    for row in there.values():
        theirs[row["user_id"]].append(row)
    for row in new:
        own[row["user_id"]].append(row)
    changes: dict[UUID, Row] = {}
    for user, rows in own.items():
        placed = histories.place(theirs[user], rows)
        for row, ends_on in zip(rows, placed.ends_on, strict=True):
            row["ends_on"] = ends_on
        changes |= {id: {"ends_on": ends_on} for id, ends_on in placed.ended.items()}
        changes |= {id: {"cancelled_at": act.now} for id in placed.replaced}
    return changes


def _as_changes(there: dict[UUID, Row], changes: dict[UUID, Row]) -> Any:
    kept = ("id", "ends_on", "cancelled_at")
    return outbox.as_json([{name: there[id][name] for name in kept} | change for id, change in changes.items()])


def _made(row: Row) -> Entry:
    changes: dict[str, tuple[Any, Any]] = {name: (None, row[name]) for name in COLUMNS if row[name] is not None}
    return Entry("salary.set", ("Salary", row["id"]), None, changes, _payload(row) | {"version": row["version"]})


def _changed(row: Row, change: Row, version: int) -> Entry:
    kind = "salary.cancelled" if "cancelled_at" in change else "salary.ended"
    changes = records.difference(row, change)
    return Entry(kind, ("Salary", row["id"]), None, changes, _payload(row) | {"version": version})


def _payload(row: Row) -> Row:
    return {"user_id": row["user_id"]}
