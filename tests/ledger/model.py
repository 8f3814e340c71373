"""The books in plain Python: what balances, open items and refusals must be. Knows nothing of the database."""

from __future__ import annotations

import copy
from collections import defaultdict
from dataclasses import dataclass, field
from decimal import Decimal
from uuid import UUID

from crmgql.ledger.accounts import DEBIT_ITEMS, Account
from crmgql.ledger.postings import Entry, Posting
from crmgql.models import Phase, Purpose

ZERO = Decimal(0)
NOT_SETTLING = frozenset(["RECEIVABLE", "REVENUE", "DEFERRED", "SHIPPING", "TAX", "REFUNDS", "OPENING"])


@dataclass
class Rest:
    """An open item."""

    purpose: Purpose
    debited: Decimal = ZERO
    credited: Decimal = ZERO
    debiting: Decimal = ZERO
    crediting: Decimal = ZERO
    settled: Decimal = ZERO
    base: Decimal = ZERO

    @property
    def open(self) -> Decimal:
        return self.debited - self.credited if self.purpose in DEBIT_ITEMS else self.credited - self.debited

    @property
    def free(self) -> Decimal:
        return self.open - (self.crediting if self.purpose in DEBIT_ITEMS else self.debiting)

    @property
    def is_sound(self) -> bool:
        return self.free >= 0 and (self.open != 0 or self.base == 0)


@dataclass
class Balance:
    debit: Decimal = ZERO
    credit: Decimal = ZERO
    base: Decimal = ZERO
    pending_debit: Decimal = ZERO
    pending_credit: Decimal = ZERO


@dataclass
class Known:
    """An entry that was posted: `ended` and `reversed` by another one."""

    entry: Entry
    id: UUID
    ended: bool = False
    reversed: bool = False


@dataclass
class Model:
    balances: dict[tuple[UUID, str, str], Balance] = field(default_factory=lambda: defaultdict(Balance))
    items: dict[UUID, Rest] = field(default_factory=dict)
    entries: dict[UUID, Known] = field(default_factory=dict)

    def after(self, entry: Entry) -> Model | None:
        """The model with an entry posted; None where an item would not allow it."""
        new = copy.deepcopy(self)
        assert entry.customer_id is not None
        for item in entry.items:
            new.items[item.id] = Rest(item.purpose)
        if entry.resolves_id is not None:
            for posting in new.entries[entry.resolves_id].entry.postings:
                new._pend(entry.customer_id, posting, -1)
        for posting in entry.postings:
            if entry.phase is Phase.PENDING:
                new._pend(entry.customer_id, posting, 1)
            else:
                new._post(entry.customer_id, posting)
        return new if all(rest.is_sound for rest in new.items.values()) else None

    def add(self, entry: Entry, id: UUID) -> None:
        """Remembers an entry that was posted, and what it ended or reversed."""
        self.entries[id] = Known(entry, id)
        if entry.resolves_id is not None:
            self.entries[entry.resolves_id].ended = True
        if entry.reverses_id is not None:
            self.entries[entry.reverses_id].reversed = True

    def _pend(self, owner: UUID, posting: Posting, sign: int) -> None:
        amount = sign * posting.amount
        self.balances[owner, posting.target.purpose, posting.currency].pending_debit += amount
        self.balances[owner, posting.source.purpose, posting.currency].pending_credit += amount
        if posting.target.item_id is not None:
            self.items[posting.target.item_id].debiting += amount
        if posting.source.item_id is not None:
            self.items[posting.source.item_id].crediting += amount

    def _post(self, owner: UUID, posting: Posting) -> None:
        target = self.balances[owner, posting.target.purpose, posting.currency]
        source = self.balances[owner, posting.source.purpose, posting.currency]
        target.debit += posting.amount
        target.base += posting.base
        source.credit += posting.amount
        source.base -= posting.base
        self._move(posting.target, posting.source, posting, is_debit=True)
        self._move(posting.source, posting.target, posting, is_debit=False)

    def _move(self, account: Account, other: Account, posting: Posting, *, is_debit: bool) -> None:
        if account.item_id is None:
            return
        rest = self.items[account.item_id]
        sign = 1 if is_debit else -1
        rest.base += sign * posting.base * (1 if rest.purpose in DEBIT_ITEMS else -1)
        if is_debit:
            rest.debited += posting.amount
        else:
            rest.credited += posting.amount
        if rest.purpose is Purpose.RECEIVABLE and other.purpose not in NOT_SETTLING:
            rest.settled -= sign * posting.amount
