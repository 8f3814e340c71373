"""All that a provider has said about one payment: events that share a name, directly or by way of others.

Enters: the id of one of them. Leaves: all, locked, so that of two who act on the same payment one waits for the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from crmgql.domain.money.hooks.arrivals import UNREAD
from crmgql.domain.money.providers.facts import Fact, Kind, Rank
from crmgql.records.records import Act, Row

ONE = "SELECT provider, names FROM provider_events WHERE id = $1"
RELATED = "SELECT id, names FROM provider_events WHERE provider = $1 AND names && $2"
LOCK = """
SELECT e.*, a.test_mode, a.default_method, a.order_source
FROM provider_events e JOIN payment_accounts a ON a.id = e.account_id WHERE e.id = ANY ($1) ORDER BY e.id FOR NO KEY UPDATE OF e"""


@dataclass(frozen=True, slots=True)
class Family:
    """`rows` are the events with what their account says of them, in the order in which they came."""

    provider: str
    names: frozenset[str]
    rows: Sequence[Row]

    @property
    def facts(self) -> list[Fact]:
        """What counts: what could be read and is of the right mode."""
        return [fact(row) for row in self.rows if counts(row)]


def counts(row: Row) -> bool:
    return row["live"] is not row["test_mode"] and not is_unread(row)


def is_unread(row: Row) -> bool:
    return bool(row["event_id"].startswith(UNREAD))


async def gather(act: Act, id: UUID) -> Family | None:
    """The event and all that belongs to it; None if there is no such event."""
    one = await act.tx.connection.fetchrow(ONE, id)
    if one is None:
        return None
    names, ids = await _related(act, one["provider"], one["names"], {id})
    while True:
        rows = [dict(row) for row in await act.tx.connection.fetch(LOCK, sorted(ids))]
        # Somebody may have acted on what came while we waited for the lock.
        names, now = await _related(act, one["provider"], names, ids)
        if now == ids:
            return Family(one["provider"].lower(), frozenset(names), rows)
        ids = now


async def _related(act: Act, provider: str, names: Iterable[str], ids: set[UUID]) -> tuple[set[str], set[UUID]]:
    known, found = set(names), set(ids)
    while known:
        rows: list[Any] = await act.tx.connection.fetch(RELATED, provider, sorted(known))
        found |= {row["id"] for row in rows}
        more = {name for row in rows for name in row["names"]}
        if more <= known:
            break
        known |= more
    return known, found


def fact(row: Row) -> Fact:
    return Fact(
        provider=row["provider"].lower(),
        event_id=row["event_id"],
        kind=Kind(row["kind"]),
        raw_kind=row["raw_kind"],
        occurred_at=row["occurred_at"],
        rank=Rank(row["rank"]),
        success=row["success"],
        live=row["live"],
        reference=row["reference"],
        also=tuple(row["also"]),
        part=row["part"],
        key=row["key"],
        order=row["order_reference"],
        amount=row["amount"],
        currency=row["currency"],
        cumulative=row["cumulative"],
        method=row["method"],
    )
