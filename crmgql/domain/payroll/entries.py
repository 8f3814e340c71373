"""Entries of pay that hang on no deal: many are added at once; each is reversed once, and never changed.

Amounts are what is paid to the person; what is taken back is below zero. A reversal has the day of what it reverses, so that both
are in one period while nothing of it is paid.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any
from uuid import UUID

from crmgql import access
from crmgql.errors import BadUserInput, IllegalTransition, ReversedAlready
from crmgql.events import outbox
from crmgql.events.outbox import Entry
from crmgql.models import PayEntry, PayEntryKind, User
from crmgql.records import checks, money, records
from crmgql.records.money import Money
from crmgql.records.records import Act, Row

COLUMNS = ("user_id", "kind", "amount", "currency", "effective_on", "reason", "reverses_id")
LONGEST_REASON = 1000
MAKE = f"""
INSERT INTO pay_entries ({", ".join(COLUMNS)})
SELECT {", ".join(COLUMNS)} FROM ROWS FROM (jsonb_to_recordset($1) AS (user_id uuid, kind text, amount numeric, currency text,
    effective_on date, reason text, reverses_id uuid)) WITH ORDINALITY AS given ({", ".join(COLUMNS)}, place) ORDER BY place
RETURNING id, {", ".join(COLUMNS)}"""
REVERSAL = "SELECT EXISTS (SELECT FROM pay_entries WHERE reverses_id = $1)"


@dataclass(frozen=True, slots=True)
class NewPayEntry:
    """What somebody is paid on a day; below zero, what is taken from them."""

    user_id: UUID
    kind: str
    amount: Money
    effective_on: date
    reason: str


async def add_many(act: Act, *, entries: Sequence[NewPayEntry]) -> UUID:
    """Adds entries, by as many statements for one as for all. Returns the id of the first.

    Raises `NotFound`, `BadUserInput`; then none is added.
    """
    _require(act)
    rows = [_row(entry, f"entries.{number}.") for number, entry in enumerate(entries)]
    if not rows:
        raise BadUserInput("Name at least one entry.", field="entries")
    seen = await records.visible_many(act, User, [row["user_id"] for row in rows])
    for number, row in enumerate(rows):
        if row["user_id"] not in seen:
            raise records.not_found(User, field=f"entries.{number}.userId")
    return await _make(act, rows, "payEntry.added")


async def reverse(act: Act, *, id: UUID, reason: str) -> UUID:
    """Undoes an entry by another one of the same day. Returns the id of that one.

    Raises `ReversedAlready`, `IllegalTransition` for what is a reversal itself, `BadUserInput`.
    """
    _require(act)
    checks.check(PayEntry, {"reason": reason})
    _check_reason(reason, "reason")
    await records.serialize(act, f"pay_entries.{id}")
    entry = await records.shown(act, PayEntry, id, field="id")
    if entry["reverses_id"] is not None:
        raise IllegalTransition("This entry reverses another one; add the entry that is right instead.", field="id")
    if await act.tx.connection.fetchval(REVERSAL, id):
        raise ReversedAlready("This entry was reversed before.", field="id")
    kept = {name: entry[name] for name in ("user_id", "kind", "currency", "effective_on")}
    row = {**kept, "amount": -entry["amount"], "reason": reason, "reverses_id": id}
    return await _make(act, [row], "payEntry.reversed")


def _require(act: Act) -> None:
    access.require_write(act.viewer, "PayEntry")
    access.require_person(act.viewer, "Adding and reversing entries of pay")


async def _make(act: Act, rows: Sequence[Row], kind: str) -> UUID:
    made = await act.tx.connection.fetch(MAKE, outbox.as_json(rows))
    await outbox.record_many(act.tx, act.viewer, [_made(dict(row), kind) for row in made])
    first: UUID = made[0]["id"]
    return first


def _row(entry: NewPayEntry, prefix: str) -> Row:
    row: Row = {
        "user_id": entry.user_id,
        "kind": entry.kind,
        "amount": _amount(entry, f"{prefix}amount"),
        "currency": entry.amount[1],
        "effective_on": entry.effective_on,
        "reason": entry.reason,
    }
    checks.check(PayEntry, row, prefix=prefix)
    _check_reason(entry.reason, f"{prefix}reason")
    return {**row, "reverses_id": None}


def _amount(entry: NewPayEntry, field: str) -> Decimal:
    """Raises `BadUserInput` for the wrong sign: what is recovered is taken from the person, all else but what is manual is paid to them."""
    value, currency = entry.amount
    size = money.amount((abs(value), currency), field=field)
    if not size:
        raise BadUserInput("An entry is of more or less than 0.", field=field)
    recovers = entry.kind == PayEntryKind.RECOVERY
    if entry.kind != PayEntryKind.MANUAL and recovers != (value < 0):
        sign = "below 0, as it is taken from the person" if recovers else "above 0, as it is paid to the person"
        raise BadUserInput(f"A {entry.kind} is {sign}; reverse an entry that was a mistake.", field=field)
    return size.copy_sign(value)


def _check_reason(reason: str, field: str) -> None:
    if checks.is_blank(reason) or len(reason) > LONGEST_REASON:
        raise BadUserInput(f"Say why, in 1 to {LONGEST_REASON} characters.", field=field)


def _made(row: Row, kind: str) -> Entry:
    changes: dict[str, tuple[Any, Any]] = {name: (None, row[name]) for name in COLUMNS if row[name] is not None}
    payload = {"user_id": row["user_id"], "reverses_id": row["reverses_id"]}
    return Entry(kind, ("PayEntry", row["id"]), None, changes, payload)
