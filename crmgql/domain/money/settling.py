"""Allocations as they were made elsewhere: what of which payment or credit note settled which order or invoice, and on which day.

Enters: rows, each of one amount. Leaves: as many allocations for each as there are items that it is of, the first of which has the
row's source and external id. Set-based: the same number of statements for one row and for five thousand.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date

from crmgql.domain.money import allocations, exchanging, sides
from crmgql.domain.money.allocations import Made
from crmgql.domain.money.exchanging import Pair
from crmgql.domain.money.sides import OWED, PAID, Named, Side
from crmgql.errors import BadUserInput, Conflict
from crmgql.events import outbox
from crmgql.ledger import book, items
from crmgql.models.names import api_name
from crmgql.records.records import Act, Row

# Parameters: customers, payments, credit notes, orders and invoices, each row's. What is wrong with what it names; and the items of
# each: what is left of the payment or of the credit, then what is open, by due dates.
NAMED = """
SELECT given.n, coalesce(payment.currency, note.currency) AS paid_currency, coalesce(placed.currency, invoice.currency) AS currency,
    CASE WHEN payment.status <> 'RECEIVED' THEN format('A %s payment settles nothing; it has to be received.', payment.status)
        WHEN NOT placed.committed THEN format('A %s order is not owed; confirm it first.', placed.status)
        WHEN invoice.status <> 'ISSUED' THEN format('A %s invoice is not owed; issue it first.', invoice.status) END AS mistake
FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::uuid[]) WITH ORDINALITY
    AS given(customer_id, payment_id, credit_note_id, order_id, invoice_id, n)
LEFT JOIN payments payment ON payment.customer_id = given.customer_id AND payment.id = given.payment_id
LEFT JOIN credit_notes note ON note.customer_id = given.customer_id AND note.id = given.credit_note_id
LEFT JOIN orders placed ON placed.customer_id = given.customer_id AND placed.id = given.order_id
LEFT JOIN invoices invoice ON invoice.customer_id = given.customer_id AND invoice.id = given.invoice_id
ORDER BY given.n"""
ITEMS = """
SELECT given.n, item.id, item.purpose, item.order_id, item.invoice_id, item.dispute_id, item.payment_id, item.credit_note_id, item.opened_on, item.due_on
FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::uuid[]) WITH ORDINALITY
    AS given(customer_id, payment_id, credit_note_id, order_id, invoice_id, n)
CROSS JOIN LATERAL (
    SELECT * FROM open_items WHERE payment_id = given.payment_id AND customer_id = given.customer_id AND purpose IN ('UNEARNED', 'CREDIT')
    UNION ALL
    SELECT * FROM open_items WHERE customer_id = given.customer_id AND credit_note_id = given.credit_note_id AND purpose = 'CREDIT'
    UNION ALL
    SELECT * FROM open_items WHERE customer_id = given.customer_id AND order_id = given.order_id AND purpose = 'RECEIVABLE'
    UNION ALL
    SELECT * FROM open_items WHERE customer_id = given.customer_id AND invoice_id = given.invoice_id AND purpose = 'RECEIVABLE'
) AS item
WHERE item.open > 0 ORDER BY given.n, item.purpose = 'CREDIT', item.due_on, item.opened_on, item.id"""
DOCUMENTS = ("customer_id", *PAID, "order_id", "invoice_id")


async def settle(act: Act, rows: Sequence[Row]) -> list[outbox.Entry]:
    """Posts and records the rows, in the order of their days; the events are the caller's to record.

    A row has the documents' ids by column, `amount` in `currency`, `paid_amount` or null in `paid_currency`, `allocated_on` or null, `source`
    and `external_id`. Raises `BadUserInput` for one that names not two documents, `Conflict` for what is not there to settle or for an
    earlier day than both have, `AllocationExceedsOpen`, `AllocationExceedsPayment`, `PeriodClosed`.
    """
    rows = sorted(rows, key=lambda row: (row["allocated_on"] or date.min, row["external_id"]))
    keys = [[row.get(column) for row in rows] for column in DOCUMENTS]
    for row, named in zip(rows, await act.tx.connection.fetch(NAMED, *keys), strict=True):
        _check(row, named)
    found = await act.tx.connection.fetch(ITEMS, *keys)
    rests = await items.lock(act, {each["id"] for each in found})
    by_row = defaultdict(list)
    for each in found:
        by_row[each["n"] - 1].append(each)
    own = await book.company_of(act)
    made: list[Made] = []
    for n, row in enumerate(rows):
        owed, paid = sides.parted(by_row[n], rests)
        parts = list(_parts(row, owed, paid, own.currency))
        made.append(_with_origin(parts[0], row))
        made += parts[1:]
    return await allocations.post(act, made)


def _check(row: Row, named: Mapping[str, object]) -> None:
    for columns, what in ((OWED, "an order or an invoice"), (PAID, "a payment or a credit note")):
        if sum(row.get(column) is not None for column in columns) != 1:
            raise BadUserInput(f"It is of {what}: name one of them.", field=api_name(columns[0]))
    if named["mistake"] is not None:
        raise Conflict(str(named["mistake"]), field="id")
    if row["currency"] != named["currency"]:
        raise BadUserInput(f"What it settles is in {named['currency']}, and so is its amount.", field="currency")
    if row["paid_amount"] is None and named["paid_currency"] != named["currency"]:
        given = f"What pays it is in {named['paid_currency']}: say with paid_amount how much of that."
        raise BadUserInput(given, field="paid")
    if row["paid_amount"] is not None and row["paid_currency"] != named["paid_currency"]:
        raise BadUserInput(f"What pays it is in {named['paid_currency']}.", field="paidCurrency")
    if row["paid_amount"] not in (None, row["amount"]) and named["paid_currency"] == named["currency"]:
        raise BadUserInput("Both amounts are in one currency, so they are equal; leave one out.", field="paid")


def _parts(row: Row, owed: Sequence[Side], paid: Sequence[Side], base_currency: str) -> Iterator[Made]:
    """The allocations of a row, over its items in their order. Both sides' rests go down."""
    pair = Pair(row["amount"] if row["paid_amount"] is None else row["paid_amount"], row["amount"])
    currencies = row["currency"], row["currency"] if row["paid_amount"] is None else row["paid_currency"]
    source = "the payment" if row["payment_id"] is not None else "the credit note"
    sides.check_left(pair.paid, paid, currencies[1], field="amount", source=source)
    noun = "order" if row["order_id"] is not None else "invoice"
    sides.check_open(pair.owed, owed, currencies[0], Named(noun, row["customer_id"], currencies[0]), field="amount")
    first = max(min(each.since for each in owed), min(each.since for each in paid))
    day = row["allocated_on"] or first
    if day < first:
        raise Conflict(f"Both sides of it are there since {first}; it can't be of {day}.", field="allocatedOn")
    given = {"customer_id": row["customer_id"], "on": day, "base_currency": base_currency}
    if currencies[0] == currencies[1]:
        yield from allocations.spread(pair.owed, owed, paid, **given)
        return
    open_ = [[each for each in side if each.rest.free > 0] for side in (owed, paid)]
    found = list(exchanging.parts(pair, [each.rest for each in open_[1]], [each.rest for each in open_[0]]))
    for i, j, part in found:
        yield allocations.make(part, open_[0][j], open_[1][i], **given)


def _with_origin(made: Made, row: Row) -> Made:
    return replace(made, row=made.row | {name: row[name] for name in ("source", "external_id")})
