"""Open items as a verb reads them before it takes from them, and as they are after a posting."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

from crmgql.ledger.accounts import DEBIT_ITEMS, Account
from crmgql.ledger.postings import Posting
from crmgql.models import Purpose
from crmgql.records.records import Act

READ = "SELECT id, purpose, currency, due_on, open, free, base FROM open_items WHERE id = ANY ($1) ORDER BY id"
LOCK = f"{READ} FOR NO KEY UPDATE"


@dataclass(slots=True)
class Rest:
    """What is left of an item: `open` of what is posted, `free` without what is pending against it, `base` in base currency."""

    account: Account
    currency: str
    open: Decimal
    free: Decimal
    base: Decimal


async def lock(act: Act, ids: Collection[UUID]) -> dict[UUID, Rest]:
    """The items by id, held until the transaction ends, in one statement."""
    return await _read(act, LOCK, ids)


async def read(act: Act, ids: Collection[UUID]) -> dict[UUID, Rest]:
    """The items by id, to look at and nothing else, be it in a transaction that may not write."""
    return await _read(act, READ, ids)


def move(rests: Mapping[UUID, Rest], postings: Iterable[Posting]) -> None:
    """Has the rests be what they are once this is posted, for what is posted with it and takes from them. Pure."""
    for each in postings:
        for account, sign in ((each.target, 1), (each.source, -1)):
            rest = rests.get(account.item_id) if account.item_id else None
            if rest is not None:
                sign = sign if account.purpose in DEBIT_ITEMS else -sign
                rest.open, rest.free = rest.open + sign * each.amount, rest.free + sign * each.amount
                rest.base += sign * each.base


async def _read(act: Act, sql: str, ids: Collection[UUID]) -> dict[UUID, Rest]:
    rows: list[Any] = await act.tx.connection.fetch(sql, sorted(ids)) if ids else []
    return {
        row["id"]: Rest(
            Account(Purpose(row["purpose"]), row["id"], row["due_on"]),
            row["currency"],
            row["open"],
            row["free"],
            row["base"],
        )
        for row in rows
    }
