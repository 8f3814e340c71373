"""The two sides of an allocation, locked: what is open of orders, invoices and lost disputes, and what is left of a payment or a customer's
credit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from typing import Any
from uuid import UUID

from crmgql.errors import AllocationExceedsOpen, AllocationExceedsPayment, BadUserInput, IllegalTransition
from crmgql.ledger import items
from crmgql.ledger.items import Rest
from crmgql.models import Dispute, Invoice, Order, Purpose
from crmgql.records import money, records
from crmgql.records.records import Act, Row

# Parameters: customer, the payment's currency, payment or null for the customer's credit, order, invoice and dispute or null for all, the
# currency of what is owed, who owes it, the items that took over what is named. What is left, then what is open: by the days on which it is
# due, or was ordered where it has none yet.
RESTS = """
SELECT i.id, i.purpose, NULL::uuid AS order_id, NULL::uuid AS invoice_id, NULL::uuid AS dispute_id, i.payment_id, i.credit_note_id,
    i.opened_on, i.opened_on AS day, NULL::timestamptz AS ordered_at
FROM open_items i WHERE i.owner_id = $1 AND i.currency = $2 AND i.open > 0
    AND CASE WHEN $3::uuid IS NULL THEN i.purpose = 'CREDIT' ELSE i.payment_id = $3 AND i.purpose IN ('UNEARNED', 'CREDIT') END
UNION ALL
SELECT i.id, i.purpose, i.order_id, i.invoice_id, i.dispute_id, NULL, NULL, i.opened_on,
    coalesce(i.due_on, (o.ordered_at AT TIME ZONE 'UTC')::date, i.opened_on), o.ordered_at
FROM open_items i LEFT JOIN orders o ON o.customer_id = i.customer_id AND o.id = i.order_id
WHERE i.owner_id = $8 AND i.currency = $7 AND i.open > 0 AND i.purpose = 'RECEIVABLE' AND coalesce(o.committed, i.order_id IS NULL)
    AND ($4::uuid IS NULL OR i.order_id = $4) AND ($5::uuid IS NULL OR i.invoice_id = $5) AND ($6::uuid IS NULL OR i.dispute_id = $6)
    AND ($9::uuid[] IS NULL OR i.id = ANY ($9))
ORDER BY day, ordered_at, order_id, id"""
# Parameters: customer, order, invoice, dispute. Who owes it now, and the items that took it over, where the customer was merged.
TAKEN_OVER = """
SELECT lives_on_in(c.id) AS customer_id, coalesce(array_agg(heir.id) FILTER (WHERE heir.id IS NOT NULL), '{}') AS item_ids
FROM customers c LEFT JOIN open_items i ON i.customer_id = c.id AND (i.order_id = $2 OR i.invoice_id = $3 OR i.dispute_id = $4)
        AND i.purpose = 'RECEIVABLE'
    LEFT JOIN LATERAL (SELECT id FROM taken_over(i.id) AS _(id)) AS heir ON true
WHERE c.id = $1 AND c.merged_into_id IS NOT NULL GROUP BY c.id"""
OWED = ("order_id", "invoice_id", "dispute_id")
PAID = ("payment_id", "credit_note_id")
"""The documents of a side, of which each item names at least one."""


@dataclass(frozen=True, slots=True)
class Side:
    """What is open of an order, an invoice or a dispute, or left of a payment or a credit note, and the day since when it is there. Its rest
    goes down as it is allocated. `documents`: the ids, by column."""

    documents: Row
    rest: Rest
    since: date


@dataclass(frozen=True, slots=True)
class Named:
    """An order, an invoice or a dispute that is to be settled: what it is called, the input's field, and which of them.

    `customer_id`: who owes it. Where the customer was merged, that is the one that it lives on in, and `item_ids` is what took over.
    """

    noun: str
    customer_id: UUID
    currency: str
    order_id: UUID | None = None
    invoice_id: UUID | None = None
    dispute_id: UUID | None = None
    item_ids: tuple[UUID, ...] | None = None

    @property
    def field(self) -> str:
        return f"{self.noun}Id"


async def to_settle(
    act: Act,
    order_id: UUID | None,
    invoice_id: UUID | None,
    dispute_id: UUID | None = None,
    *,
    customer_id: UUID | None = None,
    alone: bool = False,
) -> Named | None:
    """The order, the invoice or the lost dispute that is owed, by the customer if one is named; None where none is named.

    `alone`: nobody else settles it alone meanwhile, nor another invoice of the same order. Raises `IllegalTransition`, `BadUserInput`.
    """
    fields = [
        field
        for field, id in (("orderId", order_id), ("invoiceId", invoice_id), ("disputeId", dispute_id))
        if id is not None
    ]
    if len(fields) > 1:
        raise BadUserInput("Name an order, an invoice or a dispute, and only one.", field=fields[1])
    if dispute_id is not None:
        return await _dispute(act, dispute_id, customer_id, alone)
    if order_id is not None:
        order = await _order(act, order_id, alone, field="orderId")
        named = await _owing(act, Named("order", order["customer_id"], order["currency"], order_id=order_id))
        if customer_id is not None:
            records.require_same_customer({"customer_id": named.customer_id}, customer_id, field="orderId")
        if order["status"] in ("DRAFT", "CANCELLED"):
            raise IllegalTransition(f"A {order['status']} order is not owed; confirm it first.", field="orderId")
        return named
    if invoice_id is not None:
        invoice = await records.visible(act, Invoice, invoice_id, field="invoiceId", steady=True)
        named = await _owing(act, Named("invoice", invoice["customer_id"], invoice["currency"], invoice_id=invoice_id))
        if customer_id is not None:
            records.require_same_customer({"customer_id": named.customer_id}, customer_id, field="invoiceId")
        if invoice["status"] != "ISSUED":
            raise IllegalTransition(f"A {invoice['status']} invoice is not owed; issue it first.", field="invoiceId")
        if invoice["order_id"] is not None:
            await _order(act, invoice["order_id"], alone, field="invoiceId")
        return named
    return None


async def _dispute(act: Act, id: UUID, customer_id: UUID | None, alone: bool) -> Named:
    if alone:
        dispute = await records.lock(act, Dispute, id, field="disputeId")
    else:
        dispute = await records.visible(act, Dispute, id, field="disputeId", steady=True)
    named = await _owing(act, Named("dispute", dispute["customer_id"], dispute["currency"], dispute_id=id))
    if customer_id is not None:
        records.require_same_customer({"customer_id": named.customer_id}, customer_id, field="disputeId")
    if dispute["status"] != "LOST":
        raise IllegalTransition(f"Of a dispute that is {dispute['status']} nothing is owed.", field="disputeId")
    return named


async def _owing(act: Act, named: Named) -> Named:
    """The same, as it is owed since its customer was merged."""
    documents = (named.order_id, named.invoice_id, named.dispute_id)
    found = await act.tx.connection.fetchrow(TAKEN_OVER, named.customer_id, *documents)
    if found is None:
        return named
    return replace(named, customer_id=found["customer_id"], item_ids=tuple(found["item_ids"]))


async def _order(act: Act, id: UUID, alone: bool, *, field: str) -> Row:
    if alone:
        return await records.lock(act, Order, id, field=field)
    return await records.visible(act, Order, id, field=field, steady=True)


async def rests(act: Act, of: Row, named: Named | None, *, payment_id: UUID | None) -> tuple[list[Side], list[Side]]:
    """What is open, and what is left of a payment, or without one of all credit, of the customer and in the currency `of`; locked.

    What is named may be owed by another customer. What is for a document that the viewer may not see is left alone.
    """
    item_ids = None if named is None else named.item_ids
    documents: tuple[Any, ...] = (None, None, None)
    if named is not None and item_ids is None:
        documents = (named.order_id, named.invoice_id, named.dispute_id)
    owing, currency = (of["customer_id"], of["currency"]) if named is None else (named.customer_id, named.currency)
    given = (of["customer_id"], of["currency"], payment_id, *documents, currency, owing, item_ids)
    found = await act.tx.connection.fetch(RESTS, *given)
    for model, column in ((Order, "order_id"), (Invoice, "invoice_id"), (Dispute, "dispute_id")):
        seen = await records.visible_many(act, model, [row[column] for row in found if row[column] is not None])
        found = [row for row in found if row[column] is None or row[column] in seen]
    owed, paid = parted(found, await items.lock(act, [row["id"] for row in found]))
    return owed, sorted(paid, key=lambda each: each.rest.account.purpose, reverse=True)  # UNEARNED before CREDIT


def parted(found: Sequence[Any], rests: Mapping[UUID, Rest]) -> tuple[list[Side], list[Side]]:
    """What is owed, and what pays it."""
    owed = [_side(row, OWED, rests) for row in found if row["purpose"] == Purpose.RECEIVABLE]
    paid = [_side(row, PAID, rests) for row in found if row["purpose"] != Purpose.RECEIVABLE]
    return owed, paid


def _side(row: Any, columns: Sequence[str], rests: Mapping[UUID, Rest]) -> Side:
    return Side({column: row[column] for column in columns}, rests[row["id"]], row["opened_on"])


def check_left(
    limit: Decimal | None, paid: Sequence[Side], currency: str, *, field: str, source: str = "the payment"
) -> None:
    """Refuses a limit above what is left, and nothing at all."""
    left = sum((each.rest.free for each in paid), money.rounded(Decimal(0), currency))
    if left < (limit or 0) or not left:
        raise AllocationExceedsPayment(f"Of {source} {left} {currency} is left, and no more.", field=field)


def check_open(limit: Decimal | None, owed: Sequence[Side], currency: str, named: Named | None, *, field: str) -> None:
    """Refuses a limit above what is owed, and nothing at all."""
    open_ = sum((each.rest.free for each in owed), money.rounded(Decimal(0), currency))
    if open_ < (limit or 0) or not open_:
        whose = f"the {named.noun}" if named else "the customer's orders, invoices and disputes"
        raise AllocationExceedsOpen(f"For {whose} {open_} {currency} is still owed, and no more.", field=field)
