"""What payments are in the books: expected, received, ended; allocated to their invoice or order, and what is above it as credit.

Enters: payments as they have just been written. Leaves: their entries and allocations. Always holds: a received payment's money
is in the books, once, or the database refuses the commit. Set-based: the same number of statements for one payment and for five
thousand.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any
from uuid import UUID

from crmgql.domain.money import allocations, sides
from crmgql.domain.money.allocations import Made
from crmgql.domain.money.sides import Side
from crmgql.errors import Conflict
from crmgql.events import outbox
from crmgql.ledger import book, items, rates
from crmgql.ledger.accounts import Account
from crmgql.ledger.items import Rest
from crmgql.ledger.postings import Entry, Item, Posting, new_id
from crmgql.models import Phase, Purpose
from crmgql.records.days import day_of
from crmgql.records.records import Act, Row

STATE = """
SELECT p.id, p.customer_id, p.order_id, p.invoice_id, p.status, p.amount, p.currency, p.provider, p.received_at, expected.id AS expected_id,
    ended.id AS ended_id, received.id AS received_id, unearned.id AS unearned_id
FROM payments p
LEFT JOIN ledger_entries expected ON expected.owner_id = p.customer_id AND expected.key = 'expected ' || p.id
LEFT JOIN ledger_entries ended ON ended.owner_id = p.customer_id AND ended.resolves_id = expected.id
LEFT JOIN ledger_entries received ON received.owner_id = p.customer_id AND received.key = 'received ' || p.id
LEFT JOIN open_items unearned ON unearned.payment_id = p.id AND unearned.purpose = 'UNEARNED'
WHERE p.id = ANY ($1) AND (p.amount > 0 OR expected.id IS NOT NULL OR received.id IS NOT NULL) ORDER BY p.received_at, p.id"""
# Parameters: payments. What is open of the invoice and the order of each: the invoice first, then by due dates.
OWED = """
SELECT p.id AS payment_id, i.id, i.order_id, i.invoice_id, i.dispute_id, i.opened_on
FROM payments p CROSS JOIN LATERAL (
    (SELECT * FROM open_items WHERE customer_id = p.customer_id AND order_id = p.order_id OFFSET 0)
    UNION
    (SELECT * FROM open_items WHERE customer_id = p.customer_id AND invoice_id = p.invoice_id OFFSET 0)
) i LEFT JOIN orders o ON o.customer_id = i.customer_id AND o.id = i.order_id
WHERE p.id = ANY ($1) AND i.purpose = 'RECEIVABLE' AND i.open > 0 AND i.currency = p.currency AND coalesce(o.committed, i.order_id IS NULL)
ORDER BY p.id, (i.invoice_id = p.invoice_id) IS NOT TRUE, i.due_on, i.opened_on, i.id"""
"""OFFSET 0: each is looked up by its order or invoice. Of what is open PostgreSQL expects little, where all was paid until now, and would
go through all of it for each payment."""
# Parameters: payments and items, in pairs. Those of the items that are open and that the payment's customer owes in its currency.
PLANNED = """
SELECT p.id AS payment_id, i.id, i.order_id, i.invoice_id, i.dispute_id, i.opened_on
FROM unnest($1::uuid[], $2::uuid[]) WITH ORDINALITY AS given (payment_id, item_id, n) JOIN payments p ON p.id = given.payment_id
    JOIN open_items i ON i.id = given.item_id AND i.customer_id = p.customer_id AND i.currency = p.currency
    LEFT JOIN orders o ON o.customer_id = i.customer_id AND o.id = i.order_id
WHERE i.purpose = 'RECEIVABLE' AND i.open > 0 AND coalesce(o.committed, i.order_id IS NULL) ORDER BY given.n"""


@dataclass(frozen=True, slots=True)
class Taken:
    """Money that a payment takes over from another owner: at its base amount, on the day of the entries that give it."""

    base: Decimal
    day: date
    giving: Entry


async def follow(
    act: Act,
    payment_ids: Collection[UUID],
    *,
    changed: Collection[UUID] = (),
    taken: Mapping[UUID, Taken] | None = None,
    planned: Mapping[UUID, Sequence[UUID]] | None = None,
) -> list[outbox.Entry]:
    """Posts what the payments have become. `changed`: those whose amount, customer or order is another one than before.
    `taken`: whose money comes from another owner. `planned`: the items that a payment settles first, in this order, whatever it
    is for.

    A received one is allocated to its order as far as that is still owed; what is above becomes the customer's credit, which
    names the order. The events of allocations are the caller's to record. Raises `PeriodClosed`, `RateMissing`; `Conflict` for a
    payment that is posted and would be another one.
    """
    rows = [dict(row) for row in await act.tx.connection.fetch(STATE, sorted(set(payment_ids)))]
    _refuse_changes(rows, frozenset(changed))
    rows = [row for row in rows if _is_due(row)]
    if not rows:
        return []
    own = await book.company_of(act)
    taken = taken or {}
    day = {row["id"]: day_of(row["received_at"] or act.now, own.zone) for row in rows}
    day |= {id: each.day for id, each in taken.items()}
    on_days = await rates.on_days(act, {(row["currency"], day[row["id"]]) for row in rows if row["id"] not in taken})
    owed = await _owed(act, [row["id"] for row in rows if row["status"] == "RECEIVED"], planned or {})
    entries: list[Entry] = []
    made: list[Made] = []
    for row in rows:
        if (given := taken.get(row["id"])) is not None:
            base, bank = given.base, Purpose.TRANSFER
            entries.append(given.giving)
        else:
            base = rates.converted(row["amount"], on_days[row["currency"], day[row["id"]]].rate, own.currency)
            bank = Purpose.BANK if row["provider"] is None else Purpose.CLEARING
        entries += _entries(row, day[row["id"]], base, Account(bank))
        if row["status"] == "RECEIVED":
            rest = Rest(_unearned(row), row["currency"], row["amount"], row["amount"], base)
            made += _allocated(row, day[row["id"]], rest, owed[row["id"]], own.currency)
            entries += [_credit(row, day[row["id"]], rest)] if rest.open and _is_for_something(row) else []
    return await allocations.post(act, made, before=entries)


async def _owed(
    act: Act, payment_ids: Collection[UUID], planned: Mapping[UUID, Sequence[UUID]]
) -> dict[UUID, list[Side]]:
    """What is open of what each payment is for, locked, what is planned first. Payments for the same order share its rests."""
    pairs = [(payment_id, item_id) for payment_id in payment_ids for item_id in planned.get(payment_id, ())]
    first = await act.tx.connection.fetch(PLANNED, *map(list, zip(*pairs, strict=True))) if pairs else []
    rest = await act.tx.connection.fetch(OWED, sorted(payment_ids)) if payment_ids else []
    found = {(row["payment_id"], row["id"]): row for row in (*first, *rest)}.values()
    rests = await items.lock(act, {row["id"] for row in found})
    owed: dict[UUID, list[Side]] = defaultdict(list)
    for row in found:
        documents = {column: row[column] for column in sides.OWED}
        owed[row["payment_id"]].append(Side(documents, rests[row["id"]], row["opened_on"]))
    return owed


def _is_for_something(row: Row) -> bool:
    return row["order_id"] is not None or row["invoice_id"] is not None


def _refuse_changes(rows: list[Row], changed: frozenset[UUID]) -> None:
    for row in rows:
        if row["received_id"] is not None and (row["status"] != "RECEIVED" or row["id"] in changed):
            raise Conflict(
                "The payment is received and in the books; it stays as it is. Refund it instead.", field="id"
            )
        if row["expected_id"] is not None and row["id"] in changed:
            raise Conflict("The payment is expected in the books as it is; cancel it and record another.", field="id")


def _is_due(row: Row) -> bool:
    """Whether something has to be posted. Also names the item of a payment that has none yet."""
    row["opens"] = row["unearned_id"] is None
    row["unearned_id"] = row["unearned_id"] or new_id()
    if row["status"] == "RECEIVED":
        return row["received_id"] is None
    if row["status"] == "PENDING":
        return row["expected_id"] is None
    return row["expected_id"] is not None and row["ended_id"] is None


def _unearned(row: Row) -> Account:
    return Account(Purpose.UNEARNED, row["unearned_id"])


def _entries(row: Row, day: date, base: Decimal, bank: Account) -> Iterator[Entry]:
    """What is expected, received or no longer expected."""
    opened = (
        [Item(Purpose.UNEARNED, row["currency"], payment_id=row["id"], id=row["unearned_id"])] if row["opens"] else []
    )
    moves = [Posting(_unearned(row), bank, row["currency"], row["amount"], base)]
    facts: dict[str, Any] = {"source": ("Payment", row["id"]), "effective_on": day, "customer_id": row["customer_id"]}
    match row["status"]:
        case "PENDING":
            key = f"expected {row['id']}"
            yield Entry("payment.expected", key, postings=moves, items=opened, phase=Phase.PENDING, **facts)
        case "RECEIVED":
            key = f"received {row['id']}"
            pending = row["expected_id"] if row["ended_id"] is None else None
            yield Entry("payment.received", key, postings=moves, items=opened, resolves_id=pending, **facts)
        case status:
            kind = f"payment.{status.lower()}"
            yield Entry(
                kind, f"ended {row['id']}", postings=[], phase=Phase.VOIDED, resolves_id=row["expected_id"], **facts
            )


def _allocated(row: Row, day: date, rest: Rest, owed: Sequence[Side], base_currency: str) -> Iterator[Made]:
    """The payment's allocations. They take from both sides' rests, so that the next payment finds what is left."""
    paid = Side({"payment_id": row["id"], "credit_note_id": None}, rest, day)
    return allocations.spread(
        rest.free, owed, [paid], customer_id=row["customer_id"], on=day, base_currency=base_currency
    )


def _credit(row: Row, day: date, rest: Rest) -> Entry:
    """What is left of a payment for an order or an invoice is the customer's credit; of a prepayment, it stays unearned."""
    named = {"order_id": row["order_id"], "invoice_id": row["invoice_id"]}
    credit = Item(Purpose.CREDIT, row["currency"], payment_id=row["id"], **named)
    return Entry(
        "payment.overpaid",
        f"overpaid {row['id']}",
        ("Payment", row["id"]),
        day,
        [Posting(credit.account, rest.account, row["currency"], rest.open, rest.base)],
        customer_id=row["customer_id"],
        items=[credit],
    )
