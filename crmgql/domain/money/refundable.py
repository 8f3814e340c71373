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
from crmgql.domain.money.sides import OWED, PAID, Side
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
# Parameters: customer, payment, invoices, orders. Credit that is for these, the oldest first: what other payments were too much for
# them, what credit notes left. `kept`: what of its order is not invoiced, and so none of a credit note's.
CREDITED = """
SELECT i.id, i.opened_on, i.payment_id, i.credit_note_id, i.invoice_id, coalesce(i.order_id, v.order_id) AS order_id,
    CASE WHEN i.credit_note_id IS NULL THEN 0 ELSE coalesce(o.total_amount - o.invoiced_amount, 0) END AS kept
FROM open_items i LEFT JOIN invoices v ON v.customer_id = i.customer_id AND v.id = i.invoice_id
    LEFT JOIN orders o ON o.customer_id = v.customer_id AND o.id = v.order_id
WHERE i.owner_id = $1 AND i.purpose = 'CREDIT' AND i.open > 0 AND i.payment_id IS DISTINCT FROM $2
    AND (i.invoice_id = ANY ($3) OR coalesce(i.order_id, v.order_id) = ANY ($4))
ORDER BY i.opened_on, i.id"""
# Parameters: customer, document, its payment. Allocations of credit that were made for the document and stand.
CREDITS_FOR = """
SELECT a.* FROM ledger_entries e JOIN allocations a ON a.customer_id = e.owner_id AND a.entry_id = e.id
WHERE e.owner_id = $1 AND e.source_id = $2 AND a.payment_id IS DISTINCT FROM $3 AND a.undoes_id IS NULL AND NOT EXISTS (
    SELECT FROM allocations undoing WHERE undoing.customer_id = a.customer_id AND undoing.undoes_id = a.id)
ORDER BY a.entry_id DESC"""
# Parameters: customers, document. What was undone for the document and not made again, the first that was undone first.
UNDONE_FOR = """
SELECT a.customer_id, a.order_id, a.invoice_id, a.dispute_id, a.payment_id, a.credit_note_id, a.item_id, a.source_item_id, a.currency,
    a.paid_currency, a.rate_id, a.paid_rate_id, sum(way * a.amount) AS amount, sum(way * a.paid_amount) AS paid_amount
FROM ledger_entries e JOIN allocations a ON a.customer_id = e.owner_id AND a.entry_id = e.id
CROSS JOIN LATERAL (SELECT CASE WHEN a.undoes_id IS NULL THEN -1 ELSE 1 END AS way) AS either
WHERE e.owner_id = ANY ($1) AND e.source_id = $2
GROUP BY a.customer_id, a.order_id, a.invoice_id, a.dispute_id, a.payment_id, a.credit_note_id, a.item_id, a.source_item_id, a.currency,
    a.paid_currency, a.rate_id, a.paid_rate_id
HAVING sum(way * a.paid_amount) > 0 AND sum(way * a.amount) > 0 ORDER BY min(e.id::text)"""


@dataclass(frozen=True, slots=True)
class Part:
    """An allocation that is undone, and how much of it is needed, in the payment's currency."""

    row: Row
    taken: Decimal


@dataclass(frozen=True, slots=True)
class Refundable:
    """What there is: rests in the order in which they give, allocations that stand, the latest first, and what their orders owe.

    `since`: the day on which the last of the rests was opened. `credits`: what else is for what is owed, with
    their rests among those of `owed`.
    """

    rests: list[Rest]
    standing: list[Row]
    owed: dict[UUID, Rest]
    since: date
    credits: list[Row]

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
    documents = (list({row[name] for row in before} - {None}) for name in ("invoice_id", "order_id"))
    credits = await act.tx.connection.fetch(CREDITED, *given, *documents) if before else []
    wanted = {row["id"] for row in (*found, *credits)} | {row["item_id"] for row in before}
    rests = await (items.lock if holding else items.read)(act, wanted)
    standing = await act.tx.connection.fetch(STANDING, *given) if holding else before
    if not {row["item_id"] for row in standing} <= rests.keys():
        raise Collided
    return _refundable(found, rests, [dict(row) for row in standing], act.today, [dict(row) for row in credits])


async def of_credit(act: Act, customer_id: UUID, currency: str) -> Refundable:
    """A customer's credit in one currency, the oldest first, held until the transaction ends."""
    found = await act.tx.connection.fetch(OF_CREDIT, customer_id, currency)
    return _refundable(found, await items.lock(act, [row["id"] for row in found]), [], act.today)


def _refundable(
    found: Sequence[Any], rests: dict[UUID, Rest], standing: list[Row], today: date, credits: list[Row] | None = None
) -> Refundable:
    own = [rests.pop(row["id"]) for row in found]
    return Refundable(own, standing, rests, max((row["opened_on"] for row in found), default=today), credits or [])


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
    """Undoes allocations for a document; the rests follow. What is owed again is settled with credit that is for the same: who paid
    twice, or returned something, and gets the money back, owes nothing."""
    undoing = await allocations.undoing(act, [part.row for part in parts], on=on, source=source)
    rests = found.by_id
    made = []
    for part, undone in zip(parts, undoing, strict=True):
        items.move(rests, undone.entry.postings)
        room = Pair(part.row["paid_amount"] - part.taken, part.row["amount"])
        day = undone.entry.effective_on
        again = allocations.again(part.row, room, rests, on=day, base_currency=base_currency, source=source)
        made += [undone, *again]
    day = max([on, *(each.row["allocated_on"] for each in made)])
    return [*made, *_credited(found, parts, source=source, on=day, base_currency=base_currency)]


def _credited(
    found: Refundable, parts: Sequence[Part], *, source: Document, on: date, base_currency: str
) -> Iterator[Made]:
    """What of the credit settles what is owed again."""
    for credit in found.credits:
        paid = Side({column: credit[column] for column in PAID}, found.owed[credit["id"]], credit["opened_on"])
        for row in (part.row for part in parts):
            rest = found.owed[row["item_id"]]
            amount = min(paid.rest.free, _room(credit, row, rest))
            if amount > 0 and paid.rest.currency == rest.currency:
                owed = Side({column: row[column] for column in OWED}, rest, on)
                given: Row = {"customer_id": row["customer_id"], "base_currency": base_currency, "source": source}
                yield allocations.make(Pair(amount, amount), owed, paid, on=max(on, paid.since), **given)


def _room(credit: Row, undone: Row, owed: Rest) -> Decimal:
    """How much of what is owed again a credit is for: that of a credit note for its invoice, and for what of its order was invoiced;
    that of a payment for its order with all invoices. Pure."""
    if undone["invoice_id"] is not None and undone["invoice_id"] == credit["invoice_id"]:
        return owed.free
    if undone["order_id"] is None or undone["order_id"] != credit["order_id"]:
        return Decimal(0)
    if credit["credit_note_id"] is not None and undone["invoice_id"] is not None:
        return Decimal(0)
    return owed.free - credit["kept"]  # type: ignore[no-any-return]


async def credits_for(act: Act, customer_id: UUID, document_id: UUID, payment_id: UUID | None) -> list[Row]:
    """Allocations of credit that `undo` made for a payment's document, the latest first: undone before anything is restored."""
    return [dict(row) for row in await act.tx.connection.fetch(CREDITS_FOR, customer_id, document_id, payment_id)]


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
