"""What is posted: entries, their postings and the items that they open. Pure.

    Posting(Account(Purpose.REVENUE), item.account, "USD", Decimal("10.00"), Decimal("10.00"))

moves 10.00 from revenue, which is credited, to a receivable, which is debited.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Context, Decimal, localcontext
from typing import Any
from uuid import UUID

from crmgql.events.canonical import as_json
from crmgql.ledger.accounts import Account
from crmgql.models import Phase, Purpose
from crmgql.records import money

EXACT = Context(prec=60)
"""Amounts have 18 digits and a rate 24: products are exact, so that they are rounded once."""


def new_id() -> UUID:
    """A UUIDv7: an item's id is needed before the statement that makes the item."""
    random = int.from_bytes(os.urandom(10), "big")
    value = (time.time_ns() // 1_000_000 & (1 << 48) - 1) << 80 | 7 << 76 | (random >> 68) << 64
    return UUID(int=value | 0b10 << 62 | random & (1 << 62) - 1)


@dataclass(frozen=True, slots=True)
class Item:
    """An open item that an entry opens: what its purpose says, of the documents that are named. It stays that for ever."""

    purpose: Purpose
    currency: str
    order_id: UUID | None = None
    payment_id: UUID | None = None
    due_on: date | None = None
    invoice_id: UUID | None = None
    credit_note_id: UUID | None = None
    dispute_id: UUID | None = None
    suspense_id: UUID | None = None
    id: UUID = field(default_factory=new_id)

    @property
    def account(self) -> Account:
        return Account(self.purpose, self.id, self.due_on)


@dataclass(frozen=True, slots=True)
class Posting:
    """`amount` in `currency` and `base` in the base currency, both at their currencies' decimals, from `source` to `target`."""

    source: Account
    target: Account
    currency: str
    amount: Decimal
    base: Decimal

    @property
    def back(self) -> Posting:
        return replace(self, source=self.target, target=self.source)


@dataclass(frozen=True, slots=True)
class Entry:
    """What one event posts, to the accounts of one owner: the customer, or the company without one.

    `key`: unique for the owner; the same again with the same request is a replay. `source`: the record that it is about, as
    type and id. `request`: what the key stands for, if it is more than what is posted. A VOIDED entry has no postings.
    `is_adjusting`: it may go to a soft closed day, where it is marked so; on open days it is an entry as any other.
    """

    kind: str
    key: str
    source: tuple[str, UUID]
    effective_on: date
    postings: Sequence[Posting]
    customer_id: UUID | None = None
    items: Sequence[Item] = ()
    phase: Phase = Phase.POSTED
    reverses_id: UUID | None = None
    resolves_id: UUID | None = None
    is_adjusting: bool = False
    request: Any = None

    @property
    def request_hash(self) -> str:
        """Of what was asked for. The ids of items that are made with the entry are not part of it, nor the day."""
        opened = {item.id for item in self.items}
        body = self.request if self.request is not None else [_words(each, opened) for each in self.postings]
        facts = [self.kind, self.phase, self.source, self.reverses_id, self.resolves_id, body]
        return hashlib.sha256(as_json(facts).encode()).hexdigest()


def _words(posting: Posting, opened: set[UUID]) -> list[Any]:
    sides = [
        (side.purpose, None if side.item_id in opened else side.item_id) for side in (posting.source, posting.target)
    ]
    return [*sides, posting.currency, posting.amount, posting.base]


def merged(postings: Iterable[Posting]) -> list[Posting]:
    """The postings without those that move nothing; those between the same accounts as one."""
    sums: dict[tuple[Account, Account, str], tuple[Decimal, Decimal]] = {}
    for each in postings:
        key = (each.source, each.target, each.currency)
        amount, base = sums.get(key, (Decimal(0), Decimal(0)))
        sums[key] = (amount + each.amount, base + each.base)
    return [Posting(*key, amount, base) for key, (amount, base) in sums.items() if amount or base]


def share(part: Decimal, whole: Decimal, base: Decimal, currency: str) -> Decimal:
    """The part's share of the base amount of the whole, in `currency`, which is the base currency.

    What is left is rounded half up and the last part takes all, so that parts always sum to the whole, in any order.
    """
    if not Decimal(0) <= part <= whole:
        raise ValueError(f"{part} is no part of {whole}.")
    if part == whole:
        return base
    with localcontext(EXACT):
        return base - money.rounded(base * (whole - part) / whole, currency)
