"""Open items as a verb reads them before it takes from them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

from crmgql.ledger.accounts import Account
from crmgql.models import Purpose
from crmgql.records.records import Act

LOCK = "SELECT id, purpose, currency, due_on, open, free, base FROM open_items WHERE id = ANY ($1) ORDER BY id FOR NO KEY UPDATE"


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
    rows: list[Any] = await act.tx.connection.fetch(LOCK, sorted(ids)) if ids else []
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
