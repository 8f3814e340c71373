"""What lines of statements may be: what customers owe, what was recorded by hand already, refunds on their way, and payouts.

Reads only. What it reads is bounded: so many lines at once, and so many of each that they may be.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from crmgql.domain.money.banking.arrivals import Payout
from crmgql.domain.money.matching import Customer
from crmgql.domain.money.plans import NOTHING, OpenItem
from crmgql.ledger import book
from crmgql.models.names import api_id
from crmgql.records.records import Act, Row

LINES_AT_ONCE = 5000
MOST = 200_000
NEAR = timedelta(days=30)
"""So far apart a payment or refund that was recorded, and its line, may be."""

# Parameters: the last line before, how many.
LINES = """
SELECT * FROM bank_lines WHERE status = 'OPEN' AND id > $1 ORDER BY id LIMIT $2"""
# Parameters: currencies, how many. What is due first comes first. What is held by something pending is not written off by rule. What took
# over what a merged customer owed is called as that was.
OWED = """
SELECT i.id, CASE WHEN i.open = i.free THEN coalesce(off.amount, 0) END AS written_off, i.customer_id, i.currency, i.free AS open, i.opened_on, i.due_on, i.order_id, i.invoice_id, o.number AS order_number,
    o.external_id AS order_name, v.number AS invoice_number, c.name
FROM open_items i JOIN customers c ON c.id = i.customer_id
    LEFT JOIN LATERAL (
        SELECT x.customer_id, x.order_id, x.invoice_id
        FROM ledger_entries e JOIN open_items x ON x.id = substr(e.key, length('took over ') + 1)::uuid
        WHERE num_nonnulls(i.order_id, i.invoice_id) = 0 AND e.owner_id = i.owner_id AND e.id = i.entry_id AND e.kind = 'customer.tookOver'
        OFFSET 0
    ) AS before ON true
    CROSS JOIN LATERAL (SELECT coalesce(before.customer_id, i.customer_id) AS customer_id, coalesce(before.order_id, i.order_id) AS order_id,
        coalesce(before.invoice_id, i.invoice_id) AS invoice_id) AS document
    LEFT JOIN orders o ON o.customer_id = document.customer_id AND o.id = document.order_id
    LEFT JOIN invoices v ON v.customer_id = document.customer_id AND v.id = document.invoice_id
    LEFT JOIN (
        SELECT customer_id, order_id, invoice_id, sum(CASE WHEN undoes_id IS NULL THEN amount ELSE -amount END) AS amount
        FROM write_offs GROUP BY customer_id, order_id, invoice_id
    ) off ON off.customer_id = i.customer_id AND off.order_id IS NOT DISTINCT FROM i.order_id AND off.invoice_id IS NOT DISTINCT FROM i.invoice_id
WHERE i.purpose = 'RECEIVABLE' AND i.free > 0 AND i.currency = ANY ($1)
    AND CASE WHEN i.order_id IS NULL THEN i.dispute_id IS NULL ELSE o.committed END
ORDER BY coalesce(i.due_on, i.opened_on), i.id LIMIT $2"""
# Parameters: currencies, first and last day, how many. Payments by way of a bank that no line stands for yet.
RECORDED = """
SELECT p.id, p.customer_id, p.currency, p.amount AS open, coalesce(p.received_at, p.created_at)::date AS opened_on, p.order_id,
    p.invoice_id, p.reference, o.number AS order_number, o.external_id AS order_name, v.number AS invoice_number, c.name
FROM payments p JOIN customers c ON c.id = p.customer_id
    LEFT JOIN orders o ON o.customer_id = p.customer_id AND o.id = p.order_id
    LEFT JOIN invoices v ON v.customer_id = p.customer_id AND v.id = p.invoice_id
WHERE p.status IN ('PENDING', 'RECEIVED') AND p.provider IS NULL AND p.suspense_id IS NULL AND p.paid_from_id IS NULL
    AND p.amount > 0 AND p.currency = ANY ($1)
    AND p.method IN ('BANK_TRANSFER', 'DIRECT_DEBIT', 'BOLETO', 'CHECK', 'OTHER')
    AND (p.status = 'PENDING' OR p.received_at >= $2::date AND p.received_at < $3::date + 1)
    AND NOT EXISTS (SELECT FROM bank_lines l WHERE l.payment_id = p.id)
ORDER BY p.received_at, p.id LIMIT $4"""
REFUNDED = """
SELECT r.id, r.customer_id, r.currency, r.amount AS open, r.requested_at::date AS opened_on, p.reference, o.number AS order_number,
    o.external_id AS order_name, v.number AS invoice_number, c.name
FROM refunds r JOIN customers c ON c.id = r.customer_id
    LEFT JOIN payments p ON p.customer_id = r.customer_id AND p.id = r.payment_id
    LEFT JOIN orders o ON o.customer_id = p.customer_id AND o.id = p.order_id
    LEFT JOIN invoices v ON v.customer_id = p.customer_id AND v.id = p.invoice_id
WHERE r.status IN ('REQUESTED', 'UNKNOWN', 'SUCCEEDED') AND r.provider IS NULL AND r.currency = ANY ($1)
    AND (r.status <> 'SUCCEEDED' OR r.ended_at >= $2::date AND r.ended_at < $3::date + 1)
    AND NOT EXISTS (SELECT FROM bank_lines l WHERE l.refund_id = r.id)
ORDER BY r.requested_at, r.id LIMIT $4"""
# Those that no line has brought.
PAID_OUT = """
SELECT p.id, p.provider, p.reference, p.net_amount, p.currency, coalesce(p.arrives_on, p.paid_at::date, p.created_at::date) AS due_on
FROM payouts p
WHERE p.status IN ('EXPECTED', 'PAID') AND p.currency = ANY ($1)
    AND (p.status = 'EXPECTED' OR p.paid_at >= $2::date AND p.paid_at < $3::date + 1)
    AND NOT EXISTS (SELECT FROM bank_lines l WHERE l.payout_id = p.id)
ORDER BY due_on, p.id LIMIT $4"""
# Parameters: customers. The accounts that they, or those that were merged into them, paid from before.
PAID_FROM = """
SELECT DISTINCT c.id AS customer_id, l.counterparty FROM (
    SELECT id, id AS payer_id FROM customers WHERE id = ANY ($1) UNION ALL SELECT merged_into_id, id FROM customers WHERE merged_into_id = ANY ($1)
) AS c JOIN bank_lines l ON l.customer_id = c.payer_id
WHERE l.payment_id IS NOT NULL AND l.counterparty IS NOT NULL"""


@dataclass(frozen=True, slots=True)
class Candidates:
    """Lines, and what they may be; `documents`: the order and the invoice of an item, by its id."""

    lines: Sequence[Row]
    owed: Sequence[OpenItem]
    recorded: Sequence[OpenItem]
    refunds: Sequence[OpenItem]
    payouts: Sequence[Payout]
    customers: Sequence[Customer]
    documents: Mapping[UUID, tuple[UUID | None, UUID | None]]


async def read(act: Act, *, after: UUID) -> Candidates:
    """Open lines behind one in the order of their ids, and all that they may be."""
    fetch = act.tx.connection.fetch
    lines = [dict(row) for row in await fetch(LINES, after, LINES_AT_ONCE)]
    currencies = sorted({line["currency"] for line in lines})
    days = [line["booked_on"] for line in lines]
    near = (min(days) - NEAR, max(days) + NEAR) if days else (act.today, act.today)
    owed = await fetch(OWED, currencies, MOST)
    recorded = await fetch(RECORDED, currencies, *near, MOST)
    refunds = await fetch(REFUNDED, currencies, *near, MOST)
    own = await book.company_of(act)
    payouts = [Payout(*row) for row in await fetch(PAID_OUT, currencies, *near, MOST)]
    names = {row["customer_id"]: row["name"] for row in (*owed, *recorded, *refunds)}
    accounts: dict[UUID, list[str]] = {}
    for row in await fetch(PAID_FROM, sorted(names)):
        accounts.setdefault(row["customer_id"], []).append(row["counterparty"])
    return Candidates(
        lines,
        [replace(_item(row), tolerance=_tolerance(row, own.tolerances)) for row in owed],
        [_item(row, _own_ids("Payment", row["id"])) for row in recorded],
        [_item(row, _own_ids("Refund", row["id"])) for row in refunds],
        payouts,
        [Customer(id, name, tuple(accounts.get(id, ()))) for id, name in names.items()],
        {row["id"]: (row["order_id"], row["invoice_id"]) for row in owed},
    )


def _tolerance(row: Any, tolerances: Mapping[str, Decimal]) -> Decimal:
    """What of an item the rule still writes off, as `write_offs.by_rule`: all in all as much as the company's tolerance."""
    if row["written_off"] is None:
        return NOTHING
    left: Decimal = tolerances.get(row["currency"], NOTHING) - row["written_off"]
    return max(left, NOTHING)


def _own_ids(record: str, id: UUID) -> tuple[str, str]:
    """What the record itself may be called in a transfer; without the prefix it fits an end-to-end id."""
    return api_id(record, id), id.hex


def _item(row: Any, ids: Iterable[str] = ()) -> OpenItem:
    numbers = [row["invoice_number"], row["order_number"], row["order_name"], row.get("reference")]
    known = tuple(filter(None, (*numbers, *ids)))
    return OpenItem(
        row["id"],
        row["customer_id"],
        row["currency"],
        row["open"],
        row["opened_on"],
        row.get("due_on"),
        label=known[0] if known else "",
        references=known,
    )
