"""The items of a pool: how a lead or a customer enters, which fields everybody sees, how it leaves.

Set-based: the sweep moves hundreds by the same statements as a person moves one. Always holds: the caller has locked the
records, and changes their `owner_id` and `pool_id` in the same transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from tortoise.models import Model

from crmgql.db import Connection
from crmgql.errors import BadUserInput
from crmgql.models import Customer, Lead
from crmgql.records import records
from crmgql.records.records import Act, Row


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of pool: its model, table and column, and the fields that may be shown, as SQL over a row `r`."""

    name: str
    noun: str
    model: type[Model]
    table: str
    fields: dict[str, str]

    @property
    def column(self) -> str:
        return f"{self.noun}_id"

    @property
    def shown(self) -> str:
        """SQL for what is shown of row `r` in pool `p`."""
        pairs = ", ".join(f"'{name}', {value}" for name, value in self.fields.items())
        return (
            "(SELECT coalesce(jsonb_object_agg(f.key, f.value), '{}')"
            f" FROM jsonb_each(jsonb_build_object({pairs})) f WHERE f.key = ANY (p.shows))"
        )


def _money(amount: str) -> str:
    return (
        f"CASE WHEN r.{amount} IS NOT NULL"
        f" THEN jsonb_build_object('amount', r.{amount}::text, 'currency', r.currency) END"
    )


PLACE = {name: f"r.{name}" for name in ("industry", "region", "country", "city")}
LEAD = Kind(
    "LEAD",
    "lead",
    Lead,
    "leads",
    {
        "name": "r.name",
        "company": "r.company",
        "title": "r.title",
        **PLACE,
        "segment": "r.segment",
        "employeeCount": "r.employee_count",
        "budget": _money("budget_amount"),
        "leadSource": "r.lead_source",
        "score": "r.score",
        "status": "r.status",
        "receivedAt": "r.received_at",
    },
)
CUSTOMER = Kind(
    "CUSTOMER",
    "customer",
    Customer,
    "customers",
    {
        "name": "r.name",
        "kind": "r.kind",
        "status": "r.status",
        **PLACE,
        "state": "r.state",
        "employeeCount": "r.employee_count",
        "foundedYear": "r.founded_year",
        "annualRevenue": _money("annual_revenue_amount"),
    },
)
KINDS = {"LEAD": LEAD, "CUSTOMER": CUSTOMER}
"""Neither shows e-mail addresses or phone numbers: claim a record to get in touch."""

ENTER = """
WITH entering AS (SELECT * FROM unnest($2::uuid[], $3::uuid[]) AS e (id, last_owner_id)), items AS (
    INSERT INTO pool_items (pool_id, {column}, last_owner_id, shown, entered_at)
    SELECT p.id, r.id, e.last_owner_id, {shown}, $4
    FROM entering e JOIN {table} r ON r.id = e.id JOIN pools p ON p.id = $1
    RETURNING id, {column} AS record_id
), moves AS (
    INSERT INTO pool_moves (pool_id, {column}, kind, user_id, reason, occurred_at)
    SELECT $1, e.id, $5, e.last_owner_id, $6, $4 FROM entering e
)
SELECT id, record_id FROM items"""
REFRESH = """
UPDATE pool_items i SET shown = {shown} FROM {table} r, pools p
WHERE {which} AND i.left_at IS NULL AND r.id = i.{column} AND p.id = i.pool_id"""
MOVE = """
INSERT INTO pool_moves (pool_id, {column}, kind, user_id, reason, occurred_at)
SELECT $1, m.id, $4, m.user_id, $5, $6 FROM unnest($2::uuid[], $3::uuid[]) AS m (id, user_id)"""
LEAVE = """
UPDATE pool_items SET left_at = $2, claimed_by_id = $3 WHERE {column} = $1 AND left_at IS NULL RETURNING id, pool_id"""


def check_shows(kind: Kind, shows: Sequence[str]) -> None:
    """Raises `BadUserInput` for a field that a pool of this kind does not show."""
    for number, name in enumerate(shows):
        if name not in kind.fields:
            known = ", ".join(sorted(kind.fields))
            raise BadUserInput(
                f"A pool of {kind.noun}s can't show {name[:40]!r}; only {known}.", field=f"shows.{number}"
            )


async def enter(
    act: Act, kind: Kind, pool: Row, entries: Sequence[tuple[UUID, UUID | None]], *, move: str, reason: str | None
) -> dict[UUID, UUID]:
    """Puts records, each with its last owner, into a pool. Returns the items by record."""
    rows = await act.tx.connection.fetch(
        ENTER.format(column=kind.column, table=kind.table, shown=kind.shown),
        pool["id"],
        [id for id, _ in entries],
        [owner_id for _, owner_id in entries],
        act.now,
        move,
        reason,
    )
    return {row["record_id"]: row["id"] for row in rows}


async def leave(act: Act, kind: Kind, id: UUID, *, claimed_by_id: UUID | None, move: str, reason: str | None) -> None:
    """Takes a record out of its pool, if it is in one."""
    connection: Connection = act.tx.connection
    item = await connection.fetchrow(LEAVE.format(column=kind.column), id, act.now, claimed_by_id)
    if item is not None:
        await record_moves(act, kind, item["pool_id"], [(id, claimed_by_id)], move=move, reason=reason)


async def record_moves(
    act: Act,
    kind: Kind,
    pool_id: UUID,
    entries: Sequence[tuple[UUID, UUID | None]],
    *,
    move: str,
    reason: str | None = None,
) -> None:
    """Records moves of records, each with the user that it concerns."""
    ids, people = [id for id, _ in entries], [user_id for _, user_id in entries]
    await act.tx.connection.execute(MOVE.format(column=kind.column), pool_id, ids, people, move, reason, act.now)


async def refresh(act: Act, kind: Kind, pool: Row) -> None:
    """Updates what is shown of all items of a pool, after the pool's fields changed."""
    await records.allow_long_statements(act)
    await _refresh(act, kind, "i.pool_id = $1", pool["id"])


async def refresh_one(act: Act, kind: Kind, record: Row) -> None:
    """Updates what is shown of a record that has changed, if it is in a pool."""
    if record["pool_id"] is not None:
        await refresh_many(act, kind, [record["id"]])


async def refresh_many(act: Act, kind: Kind, ids: Sequence[UUID]) -> None:
    """As `refresh_one`, of those of these records that are in pools."""
    if ids:
        await _refresh(act, kind, f"i.{kind.column} = ANY ($1)", ids)


async def _refresh(act: Act, kind: Kind, which: str, value: UUID | Sequence[UUID]) -> None:
    sql = REFRESH.format(column=kind.column, table=kind.table, shown=kind.shown, which=which)
    await act.tx.connection.execute(sql, value)
