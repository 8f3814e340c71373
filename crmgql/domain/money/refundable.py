"""What of a payment, or of a customer's credit, can go back, and the allocations that are undone for it.

Enters: a payment that is locked. Leaves: allocations that are undone or made again, whose entries the caller posts with its own.
Always holds: an allocation is undone whole, and what of it was not needed settles the same order again. The same number of
statements for one allocation and for five hundred.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any
from uuid import UUID

from crmgql.domain.money import allocations
from crmgql.domain.money.allocations import Document, Made
from crmgql.domain.money.exchanging import Pair
from crmgql.ledger import items
from crmgql.ledger.accounts import Account
from crmgql.ledger.items import Rest
from crmgql.ledger.postings import Posting, share
from crmgql.records.records import Act, Collided, Row

OF_PAYMENT = """
SELECT id, purpose, opened_on FROM open_items WHERE payment_id = $2 AND customer_id = $1 AND purpose IN ('UNEARNED', 'CREDIT')
ORDER BY purpose DESC, id"""
OF_CREDIT = """
SELECT id, purpose, opened_on FROM open_items WHERE owner_id = $1 AND purpose = 'CREDIT' AND currency = $2 AND open > 0
ORDER BY opened_on, id"""
STANDING = """
SELECT * FROM allocations a WHERE a.customer_id = $1 AND a.payment_id = $2 AND a.undoes_id IS NULL AND NOT EXISTS (
    SELECT FROM allocations undoing WHERE undoing.customer_id = a.customer_id AND undoing.undoes_id = a.id)
ORDER BY a.entry_id DESC"""
# Parameters: customers, document. What was undone for the document and not made again, the first that was undone first.
UNDONE_FOR = """
SELECT a.customer_id, a.order_id, a.invoice_id, a.payment_id, a.credit_note_id, a.item_id, a.source_item_id, a.currency, a.paid_currency,
    a.rate_id, a.paid_rate_id, sum(way * a.amount) AS amount, sum(way * a.paid_amount) AS paid_amount
FROM ledger_entries e JOIN allocations a ON a.customer_id = e.owner_id AND a.entry_id = e.id
CROSS JOIN LATERAL (SELECT CASE WHEN a.undoes_id IS NULL THEN -1 ELSE 1 END AS way) AS either
WHERE e.owner_id = ANY ($1) AND e.source_id = $2
GROUP BY a.customer_id, a.order_id, a.invoice_id, a.payment_id, a.credit_note_id, a.item_id, a.source_item_id, a.currency, a.paid_currency,
    a.rate_id, a.paid_rate_id
HAVING sum(way * a.paid_amount) > 0 AND sum(way * a.amount) > 0 ORDER BY min(e.id::text)"""


@dataclass(frozen=True, slots=True)
class Part:
    """An allocation that is undone, and how much of it is needed, in the payment's currency."""

    row: Row
    taken: Decimal


@dataclass(frozen=True, slots=True)
class Refundable:
    """What there is: rests in the order in which they give, allocations that stand, the latest first, and what their orders owe.

    `since`: the day on which the last of the rests was opened.
    """

    rests: list[Rest]
    standing: list[Row]
    owed: dict[UUID, Rest]
    since: date

    @property
    def free(self) -> Decimal:
        return sum((rest.free for rest in self.rests), Decimal(0))

    @property
    def by_id(self) -> dict[UUID, Rest]:
        return self.owed | {rest.account.item_id: rest for rest in self.rests if rest.account.item_id is not None}

    def give(self, amount: Decimal, bank: Account, base_currency: str) -> Iterator[Posting]:
        """The postings that take an amount, of which as much is free, from the rests to the bank; the rests follow."""
        for rest in self.rests:
            part = min(amount, rest.free)
            if part > 0:
                base = share(part, rest.open, rest.base, base_currency)
                posting = Posting(bank, rest.account, rest.currency, part, base)
                items.move(self.by_id, [posting])
                amount -= part
                yield posting


async def of_payment(act: Act, payment: Row, *, holding: bool = True) -> Refundable:
    """What of a payment is left and what it settles; held until the transaction ends, unless it is only to look at."""
    given = (payment["customer_id"], payment["id"])
    found = await act.tx.connection.fetch(OF_PAYMENT, *given)
    before = await act.tx.connection.fetch(STANDING, *given)
    wanted = {row["id"] for row in found} | {row["item_id"] for row in before}
    rests = await (items.lock if holding else items.read)(act, wanted)
    standing = await act.tx.connection.fetch(STANDING, *given) if holding else before
    if not {row["item_id"] for row in standing} <= rests.keys():
        raise Collided
    return _refundable(found, rests, [dict(row) for row in standing], act.today)


async def of_credit(act: Act, customer_id: UUID, currency: str) -> Refundable:
    """A customer's credit in one currency, the oldest first, held until the transaction ends."""
    found = await act.tx.connection.fetch(OF_CREDIT, customer_id, currency)
    return _refundable(found, await items.lock(act, [row["id"] for row in found]), [], act.today)


def _refundable(found: Sequence[Any], rests: dict[UUID, Rest], standing: list[Row], today: date) -> Refundable:
    own = [rests.pop(row["id"]) for row in found]
    return Refundable(own, standing, rests, max((row["opened_on"] for row in found), default=today))


def choose(need: Decimal, standing: Iterable[Row]) -> list[Part]:
    """The allocations to undo until an amount is covered, in their order. Pure."""
    parts = []
    for row in standing:
        if need > 0:
            parts.append(Part(row, min(need, row["paid_amount"])))
            need -= parts[-1].taken
    return parts


async def undo(
    act: Act, found: Refundable, parts: Sequence[Part], *, source: Document, on: date, base_currency: str
) -> list[Made]:
    """Undoes allocations for a document; the rests follow."""
    undoing = await allocations.undoing(act, [part.row for part in parts], on=on, source=source)
    rests = found.by_id
    made = []
    for part, undone in zip(parts, undoing, strict=True):
        items.move(rests, undone.entry.postings)
        room = Pair(part.row["paid_amount"] - part.taken, part.row["amount"])
        day = undone.entry.effective_on
        again = allocations.again(part.row, room, rests, on=day, base_currency=base_currency, source=source)
        made += [undone, *again]
    return made


async def undone_for(act: Act, customer_ids: Sequence[UUID], document_id: UUID) -> list[Row]:
    """What was undone for a document and not made again: which order's item of which item of the payment, and how much."""
    return [dict(row) for row in await act.tx.connection.fetch(UNDONE_FOR, customer_ids, document_id)]


def items_of(undone: Iterable[Row]) -> set[UUID]:
    """The items that it takes to restore what was undone. Pure."""
    return {row[name] for row in undone for name in ("item_id", "source_item_id")}


def restore(
    undone: Iterable[Row], rests: dict[UUID, Rest], *, source: Document, on: date, base_currency: str
) -> Iterator[Made]:
    """Makes what was undone for a document again, as far as it is still owed and free; the rests follow. Pure."""
    for row in undone:
        room = Pair(rests[row["source_item_id"]].free, rests[row["item_id"]].free)
        yield from allocations.again(row, room, rests, on=on, base_currency=base_currency, source=source)
