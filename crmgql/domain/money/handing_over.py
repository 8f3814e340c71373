"""What merged customers owe and have goes on to the customers that they live on in, item by item, over TRANSFER, at its base amount.

A receivable becomes one of the other customer, due on the same day; it names no document, as those are the merged one's, and the entry
that opens it says of which item it took over. What is left of a payment becomes a payment of the other customer, `paid_from` the one
before; credit stays credit. Always holds: in each currency what one customer gives the other takes, and what is due of both
together is due as it was. What is held for a refund stays until the refund ends; so does what is owed for an order on hold. Set-based: the same
number of statements for one item and for two thousand.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import date
from decimal import Decimal
from uuid import UUID

from crmgql.domain.money import allocations, passing_on, sides
from crmgql.domain.money.allocations import Made
from crmgql.domain.money.passing_on import TRANSFER, Passed
from crmgql.domain.money.sides import Side
from crmgql.events import outbox
from crmgql.ledger import book, items
from crmgql.ledger.accounts import Account
from crmgql.ledger.items import Rest
from crmgql.ledger.postings import Entry, Item, Posting, share
from crmgql.models import Purpose
from crmgql.records.records import Act, Row

MOST = 2000
"""Items at once; a job does the rest."""

# What of a customer goes on: what is open and not held, but for orders on hold.
OPEN = """
SELECT i.id, i.purpose, i.payment_id, i.opened_on FROM open_items i
WHERE i.owner_id = {} AND i.purpose IN ('RECEIVABLE', 'UNEARNED', 'CREDIT') AND i.open > 0 AND i.free > 0
    AND NOT EXISTS (SELECT FROM orders o WHERE o.customer_id = i.customer_id AND o.id = i.order_id AND o.status = 'UNAVAILABLE')"""
HANDED_OVER = f"{OPEN.format('$1')} ORDER BY i.id LIMIT $2"
WAITING = f"""
SELECT c.id, lives_on_in(c.id) AS into_id FROM customers c
WHERE c.merged_into_id IS NOT NULL AND EXISTS ({OPEN.format("c.id")}) ORDER BY c.id LIMIT 1"""
# Parameters: who takes over, keys of the entries that opened items. Those that are there.
HEIRS = """
SELECT e.key, i.id, i.purpose, i.due_on FROM ledger_entries e JOIN open_items i ON i.owner_id = e.owner_id AND i.entry_id = e.id AND i.n = 1
WHERE e.owner_id = $1 AND e.key = ANY ($2)"""
PAYMENTS = "SELECT * FROM payments WHERE id = ANY ($1) ORDER BY id"
# Parameters: payments, who took over. What took over the orders and invoices that they are for, what is due first.
OWED_FOR = """
SELECT DISTINCT p.id AS payment_id, i.id, i.opened_on, i.due_on
FROM payments p JOIN open_items x ON x.customer_id = p.customer_id AND x.purpose = 'RECEIVABLE' AND x.currency = p.currency
    AND (x.order_id = p.order_id OR x.invoice_id = p.invoice_id)
CROSS JOIN LATERAL taken_over(x.id) AS heir JOIN open_items i ON i.id = heir AND i.owner_id = $2 AND i.open > 0
WHERE p.id = ANY ($1) ORDER BY p.id, i.due_on, i.id"""


async def hand_over(act: Act, customer_id: UUID, into_id: UUID) -> int:
    """Has what a merged customer owes and has go on to another one, which takes over all of it; how many items went.

    What payments were for is settled with them first. Raises `PeriodClosed`.
    """
    found = await act.tx.connection.fetch(HANDED_OVER, customer_id, MOST)
    locked = await items.lock(act, [row["id"] for row in found])
    rests = {id: rest for id, rest in locked.items() if _least(rest) > 0}
    found = [row for row in found if row["id"] in rests]
    if not found:
        return 0
    own = await book.company_of(act)
    day = max([act.today, *(row["opened_on"] for row in found)])
    of_payments = defaultdict(list)
    for row in found:
        if row["payment_id"] is not None and row["purpose"] != Purpose.RECEIVABLE:
            of_payments[row["payment_id"]].append(rests[row["id"]])
    mine = {rest.account.item_id for each in of_payments.values() for rest in each}
    others = [rests[row["id"]] for row in found if row["id"] not in mine]
    entries = await _taken_over(act, customer_id, into_id, others, day, own.currency)
    payments = [dict(row) for row in await act.tx.connection.fetch(PAYMENTS, sorted(of_payments))]
    owed = await _owed(act, list(of_payments), into_id)
    made: list[Made] = []
    passed: list[Passed] = []
    for payment in payments:
        parts = sorted(of_payments[payment["id"]], key=_unearned_first)
        credit = sum((_least(rest) for rest in parts if rest.account.purpose == Purpose.CREDIT), Decimal(0))
        amount = sum(map(_least, parts), Decimal(0))
        each = passing_on.passed(payment, into_id, amount, parts, on=day, act=act, base_currency=own.currency)
        source = Side({"payment_id": each.row["id"], "credit_note_id": None}, each.rest, day)
        given: Row = {"customer_id": into_id, "on": day, "base_currency": own.currency}
        made += allocations.spread(amount, owed[payment["id"]], [source], **given)
        passed.append(each)
        entries += [*each.entries, *_credit(each, min(credit, each.rest.free), day, own.currency)]
    events = await passing_on.record(act, passed)
    events += await allocations.post(act, made, before=entries)
    await outbox.record_many(act.tx, act.viewer, events)
    return len(found)


async def hand_over_next(act: Act) -> int:
    """What has come up since, of one merged customer; how many items went, 0 where none has any."""
    row = await act.tx.connection.fetchrow(WAITING)
    return 0 if row is None else await hand_over(act, row["id"], row["into_id"])


def _least(rest: Rest) -> Decimal:
    return min(rest.open, rest.free)


def _unearned_first(rest: Rest) -> bool:
    return rest.account.purpose == Purpose.CREDIT


async def _owed(act: Act, payment_ids: Sequence[UUID], into_id: UUID) -> dict[UUID, list[Side]]:
    """What took over the orders and invoices that payments are for, locked."""
    found = await act.tx.connection.fetch(OWED_FOR, payment_ids, into_id) if payment_ids else []
    rests = await items.lock(act, {row["id"] for row in found})
    owed: dict[UUID, list[Side]] = defaultdict(list)
    for row in found:
        owed[row["payment_id"]].append(Side(dict.fromkeys(sides.OWED), rests[row["id"]], row["opened_on"]))
    return owed


async def _taken_over(
    act: Act, customer_id: UUID, into_id: UUID, rests: Sequence[Rest], day: date, base_currency: str
) -> list[Entry]:
    """What receivables, and credit of credit notes, become: one item for each, which takes over all that ever goes on of it."""
    heirs = await act.tx.connection.fetch(HEIRS, into_id, [_first(rest) for rest in rests])
    there = {row["key"]: Account(Purpose(row["purpose"]), row["id"], row["due_on"]) for row in heirs}
    entries: list[Entry] = []
    for rest in rests:
        amount, purpose = _least(rest), rest.account.purpose
        base = share(amount, rest.open, rest.base, base_currency)
        item = Item(purpose, rest.currency, due_on=rest.account.due_on)
        heir = there.get(_first(rest))
        away = Posting(rest.account, TRANSFER, rest.currency, amount, base)
        into = Posting(TRANSFER, heir or item.account, rest.currency, amount, base)
        is_owed = purpose == Purpose.RECEIVABLE
        key = _first(rest) if heir is None else f"{_first(rest)} {item.id}"
        entries += [
            Entry(
                "customer.handedOver",
                f"handed over {rest.account.item_id} {item.id}",
                ("Customer", into_id),
                day,
                [away if is_owed else away.back],
                customer_id=customer_id,
            ),
            Entry(
                "customer.tookOver",
                key,
                ("Customer", customer_id),
                day,
                [into if is_owed else into.back],
                customer_id=into_id,
                items=[item] if heir is None else [],
            ),
        ]
    return entries


def _first(rest: Rest) -> str:
    """The key of the entry that opens what takes an item over; `taken_over` of the database knows it."""
    return f"took over {rest.account.item_id}"


def _credit(passed: Passed, amount: Decimal, day: date, base_currency: str) -> Iterator[Entry]:
    """What was credit stays credit, but for what it settled."""
    if amount > 0:
        credit, rest = Item(Purpose.CREDIT, passed.rest.currency, payment_id=passed.row["id"]), passed.rest
        posting = Posting(
            credit.account, rest.account, rest.currency, amount, share(amount, rest.open, rest.base, base_currency)
        )
        items.move({rest.account.item_id: rest}, [posting])  # type: ignore[dict-item]
        yield Entry(
            "payment.overpaid",
            f"overpaid {passed.row['id']}",
            ("Payment", passed.row["id"]),
            day,
            [posting],
            customer_id=passed.row["customer_id"],
            items=[credit],
        )
