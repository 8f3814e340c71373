"""Quotas of people and teams: many are set at once, each can be cancelled.

Always holds: a person or a team has one quota for a measure and a basis on a day. Who sets quotas waits for who does so at
the same time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from typing import Any
from uuid import UUID

from crmgql import access
from crmgql.errors import BadUserInput, Forbidden, IllegalTransition, QuotasOverlap
from crmgql.events import outbox
from crmgql.events.outbox import Entry
from crmgql.models import Quota, Team, User
from crmgql.records import checks, money, records
from crmgql.records.money import Money
from crmgql.records.records import Act, Row

COLUMNS = ("user_id", "team_id", "starts_on", "ends_on", "measure", "basis", "currency", "amount")
GIVEN = """ROWS FROM (jsonb_to_recordset($1) AS (user_id uuid, team_id uuid, starts_on date, ends_on date, measure text, basis text,
    currency text, amount numeric)) WITH ORDINALITY AS given (user_id, team_id, starts_on, ends_on, measure, basis, currency, amount, place)"""
# By user and by team apart, so that each side finds its index.
THERE = f"""
SELECT given.place, q.* FROM {GIVEN} JOIN quotas q ON q.user_id = given.user_id AND q.measure = given.measure
    AND q.basis = given.basis AND q.days && daterange(given.starts_on, given.ends_on, '[]')
UNION ALL
SELECT given.place, q.* FROM {GIVEN} JOIN quotas q ON q.team_id = given.team_id AND q.measure = given.measure
    AND q.basis = given.basis AND q.days && daterange(given.starts_on, given.ends_on, '[]')
ORDER BY place, starts_on"""
MAKE = f"""
INSERT INTO quotas ({", ".join(COLUMNS)}) SELECT {", ".join(COLUMNS)} FROM {GIVEN} ORDER BY place
RETURNING id, version, {", ".join(COLUMNS)}"""
CHANGE = """
UPDATE quotas SET amount = given.amount, currency = given.currency, version = version + 1, updated_at = $2
FROM jsonb_to_recordset($1) AS given (id uuid, amount numeric, currency text) WHERE quotas.id = given.id
RETURNING quotas.id, version"""


@dataclass(frozen=True, slots=True)
class NewQuota:
    """What a person or a team is to reach from the first day to the last one."""

    starts_on: date
    ends_on: date
    measure: str
    basis: str
    amount: Money
    user_id: UUID | None = None
    team_id: UUID | None = None


async def set_many(act: Act, *, quotas: Sequence[NewQuota]) -> UUID:
    """Sets quotas, by as many statements for one as for all: one that is there for the same days gets the amount. Returns the id of
    the first. Raises `NotFound`, `BadUserInput`, `QuotasOverlap`; then none is set."""
    access.require_write(act.viewer, "Quota")
    if not access.sees_all(act.viewer.who, "Quota"):
        raise Forbidden("Setting quotas is for those who see all of them, as no two may overlap.", field="quotas")
    rows = [_row(quota, f"quotas.{number}.") for number, quota in enumerate(quotas)]
    if not rows:
        raise BadUserInput("Name at least one quota.", field="quotas")
    _check_apart(rows)
    await _check_owners(act, rows)
    await records.serialize(act, "quotas")
    there = await _there(act, rows)
    made = await act.tx.connection.fetch(
        MAKE, outbox.as_json([row for number, row in enumerate(rows) if number not in there])
    )
    different = [
        {"id": old["id"], "amount": rows[number]["amount"], "currency": rows[number]["currency"]}
        for number, old in there.items()
        if (old["amount"], old["currency"]) != (rows[number]["amount"], rows[number]["currency"])
    ]
    changed = await act.tx.connection.fetch(CHANGE, outbox.as_json(different), act.now)
    versions = {row["id"]: row["version"] for row in changed}
    entries = [_made(dict(row)) for row in made]
    entries += [_changed(there[number], rows[number], versions) for number in there if there[number]["id"] in versions]
    await outbox.record_many(act.tx, act.viewer, entries)
    return there[0]["id"] if 0 in there else made[0]["id"]  # type: ignore[no-any-return]


async def cancel(act: Act, *, id: UUID, expected_version: int | None = None) -> UUID:
    """Takes back a quota that was a mistake. Raises `IllegalTransition` if it is cancelled."""
    access.require_write(act.viewer, "Quota")
    row = await records.lock(act, Quota, id, expected_version=expected_version)
    if row["cancelled_at"] is not None:
        raise IllegalTransition("The quota is cancelled; set another one.", field="id")
    await records.change(act, Quota, row, {"cancelled_at": act.now}, kind="quota.cancelled")
    return id


def _row(quota: NewQuota, prefix: str) -> Row:
    if (quota.user_id is None) == (quota.team_id is None):
        raise BadUserInput("A quota is a person's or a team's; name one of the two.", field=f"{prefix}userId")
    row: Row = {
        "user_id": quota.user_id,
        "team_id": quota.team_id,
        "starts_on": quota.starts_on,
        "ends_on": quota.ends_on,
        "measure": quota.measure,
        "basis": quota.basis,
        "currency": quota.amount[1],
        "amount": money.amount(quota.amount, field=f"{prefix}amount", positive=True),
    }
    checks.check(Quota, row, prefix=prefix)
    if quota.ends_on < quota.starts_on:
        raise BadUserInput(f"It can't end before it starts on {quota.starts_on}.", field=f"{prefix}endsOn")
    return row


def _check_apart(rows: Sequence[Row]) -> None:
    """Raises `QuotasOverlap` for two of the input that are for the same on one day."""
    places = sorted(range(len(rows)), key=lambda number: (*_for(rows[number]), rows[number]["starts_on"]))
    for one, other in pairwise(places):
        if _for(rows[one]) == _for(rows[other]) and rows[other]["starts_on"] <= rows[one]["ends_on"]:
            raise QuotasOverlap(
                f"This and the quota at {one} are for the same on {rows[other]['starts_on']}.",
                field=f"quotas.{other}.startsOn",
            )


def _for(row: Row) -> tuple[str, ...]:
    return str(row["user_id"]), str(row["team_id"]), row["measure"], row["basis"]


async def _check_owners(act: Act, rows: Sequence[Row]) -> None:
    """Raises `NotFound` for a person or a team that is not there."""
    for model, column, field in ((User, "user_id", "userId"), (Team, "team_id", "teamId")):
        seen = await records.visible_many(act, model, [row[column] for row in rows if row[column] is not None])
        for number, row in enumerate(rows):
            if row[column] is not None and row[column] not in seen:
                raise records.not_found(model, field=f"quotas.{number}.{field}")


async def _there(act: Act, rows: Sequence[Row]) -> dict[int, Row]:
    """The quotas that are there for exactly the same, by place. Raises `QuotasOverlap` for those of other days."""
    found = await act.tx.connection.fetch(THERE, outbox.as_json(rows))
    for old in found:
        number = old["place"] - 1
        if (old["starts_on"], old["ends_on"]) != (rows[number]["starts_on"], rows[number]["ends_on"]):
            raise QuotasOverlap(
                f"There is a quota of {old['amount']:f} {old['currency']} from {old['starts_on']} to {old['ends_on']}; name its days"
                " to change it, or cancel it first (quotaCancel).",
                field=f"quotas.{number}.startsOn",
            )
    return {old["place"] - 1: dict(old) for old in found}


def _made(row: Row) -> Entry:
    changes: dict[str, tuple[Any, Any]] = {name: (None, row[name]) for name in COLUMNS if row[name] is not None}
    return Entry("quota.set", ("Quota", row["id"]), None, changes, {"version": row["version"]})


def _changed(old: Row, row: Row, versions: dict[UUID, int]) -> Entry:
    changes = records.difference(old, {name: row[name] for name in ("amount", "currency")})
    return Entry("quota.set", ("Quota", old["id"]), None, changes, {"version": versions[old["id"]]})
