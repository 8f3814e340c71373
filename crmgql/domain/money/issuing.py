"""What issued invoices are in the books: what is owed becomes due by instalments.

Enters: invoices as they have just been issued, by a verb or an import. Leaves: their entries and instalments. Always holds: an
invoice of an order moves what is owed for the order, and what was settled of that before is taken off its first instalments; an
invoice without an order is revenue of its own. Set-based: the same number of statements for one invoice and for five thousand.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
from typing import Any
from uuid import UUID

from crmgql.domain.money import terms
from crmgql.errors import Conflict
from crmgql.events.canonical import as_json
from crmgql.ledger import book, items, periods, rates
from crmgql.ledger.accounts import Account
from crmgql.ledger.items import Rest
from crmgql.ledger.postings import Entry, Item, Posting, new_id, share
from crmgql.ledger.rates import Rate
from crmgql.models import Purpose
from crmgql.records.records import Act, Row

# Parameters: invoices. `uninvoiced`: of the order's total, without these invoices.
STATE = """
SELECT i.*, r.item_id AS owed_id, r.booked_on,
    o.total_amount - o.invoiced_amount + sum(i.total_amount) OVER (PARTITION BY i.customer_id, i.order_id) AS uninvoiced_amount
FROM invoices i
LEFT JOIN orders o ON o.customer_id = i.customer_id AND o.id = i.order_id
LEFT JOIN revenue_records r ON r.customer_id = o.customer_id AND r.order_id = o.id AND r.revision = o.revenue_revision AND o.committed
WHERE i.id = ANY ($1) AND i.status = 'ISSUED' ORDER BY i.issued_on, i.id"""
RECORD = """
INSERT INTO instalments (id, customer_id, invoice_id, position, due_on, currency, amount, paid_before_amount, item_id)
SELECT * FROM jsonb_to_recordset($1::jsonb) AS i(id uuid, customer_id uuid, invoice_id uuid, position integer, due_on date, currency text,
    amount numeric, paid_before_amount numeric, item_id uuid)"""


@dataclass(slots=True)
class _Source:
    """Where what is owed of an invoice comes from: an order's receivable, or an income account. It goes down as it is taken from."""

    account: Account
    left: Decimal
    base: Decimal

    def take(self, amount: Decimal, base_currency: str) -> Decimal:
        """The base amount of a part."""
        taken = share(amount, self.left, self.base, base_currency)
        self.left, self.base = self.left - amount, self.base - taken
        return taken


@dataclass(slots=True)
class _Issued:
    """What an invoice leaves: its instalments as rows, and what they post."""

    rows: list[Row] = field(default_factory=list)
    items: list[Item] = field(default_factory=list)
    postings: list[Posting] = field(default_factory=list)


async def follow(act: Act, invoice_ids: Collection[UUID]) -> None:
    """Posts the invoices and makes their instalments, by their terms, or without any as one part that is due on the invoice's day.

    Raises `PeriodClosed`, `RateMissing`, and `Conflict` for one of an order that is not confirmed, or of a day before that.
    """
    rows = [dict(row) for row in await act.tx.connection.fetch(STATE, sorted(set(invoice_ids)))]
    own = await book.company_of(act)
    for row in rows:
        _check(row)
    alone = {(row["currency"], row["issued_on"]) for row in rows if row["order_id"] is None}
    on_days = await rates.on_days(act, alone) if alone else {}
    rests = await items.lock(act, {row["owed_id"] for row in rows if row["owed_id"] is not None})
    uninvoiced: dict[UUID, Decimal] = {}
    issued = []
    for row in rows:
        if row["order_id"] is None:
            sources = _income(row, on_days[row["currency"], row["issued_on"]], own.currency)
            issued.append(_issued(row, sources, row["total_amount"] * 0, own.currency))
        else:
            left = uninvoiced.setdefault(row["order_id"], row["uninvoiced_amount"])
            issued.append(_of_order(row, rests[row["owed_id"]], left, own.currency))
            uninvoiced[row["order_id"]] = left - row["total_amount"]
    await _post(act, rows, issued)


def _check(row: Row) -> None:
    if row["order_id"] is None:
        if row["discount_amount"] > row["subtotal_amount"]:
            raise Conflict("The discount of an invoice is at most its subtotal.", field="discount")
    elif row["owed_id"] is None:
        raise Conflict("The order is not confirmed, so nothing of it is invoiced.", field="orderId")
    elif row["issued_on"] < row["booked_on"]:
        raise Conflict(f"The order is of {row['booked_on']}; its invoice can't be of an earlier day.", field="issuedOn")


def _income(row: Row, rate: Rate, base_currency: str) -> list[_Source]:
    net = row["subtotal_amount"] - row["discount_amount"]
    amounts = ((Purpose.REVENUE, net), (Purpose.SHIPPING, row["shipping_amount"]), (Purpose.TAX, row["tax_amount"]))
    return [
        _Source(Account(purpose), amount, rates.converted(amount, rate.rate, base_currency))
        for purpose, amount in amounts
    ]


def _of_order(row: Row, owed: Rest, uninvoiced: Decimal, base_currency: str) -> _Issued:
    """What is not owed any more of what is not invoiced was settled before."""
    before = min(row["total_amount"], max(uninvoiced - owed.open, uninvoiced * 0))
    source = _Source(owed.account, owed.open, owed.base)
    issued = _issued(row, [source], before, base_currency)
    owed.free -= owed.open - source.left
    owed.open, owed.base = source.left, source.base
    return issued


def _issued(row: Row, sources: Sequence[_Source], before: Decimal, base_currency: str) -> _Issued:
    made = _Issued()
    for position, (due_on, amount) in enumerate(_due(row), start=1):
        settled = min(before, amount)
        before -= settled
        item = Item(Purpose.RECEIVABLE, row["currency"], order_id=row["order_id"], invoice_id=row["id"], due_on=due_on)
        if amount > settled:
            made.items.append(item)
            made.postings += _moved(amount - settled, sources, item, base_currency)
        made.rows.append(
            {
                "id": new_id(),
                "customer_id": row["customer_id"],
                "invoice_id": row["id"],
                "position": position,
                "due_on": due_on,
                "currency": row["currency"],
                "amount": amount,
                "paid_before_amount": settled,
                "item_id": item.id if amount > settled else None,
            }
        )
    return made


def _due(row: Row) -> list[tuple[date, Decimal]]:
    if row["payment_terms"] is None:
        return [(row["due_on"], row["total_amount"])]
    return terms.due_dates(row["issued_on"], row["total_amount"], terms.parse(row["payment_terms"]), row["currency"])


def _moved(amount: Decimal, sources: Sequence[_Source], item: Item, base_currency: str) -> Iterator[Posting]:
    for source in sources:
        part = min(amount, source.left)
        if part > 0:
            amount -= part
            yield Posting(source.account, item.account, item.currency, part, source.take(part, base_currency))


async def _post(act: Act, rows: Sequence[Row], issued: Sequence[_Issued]) -> None:
    adjusts = periods.adjusts(act)
    entries = [
        replace(_entry(row, made), is_adjusting=adjusts)
        for row, made in zip(rows, issued, strict=True)
        if made.postings
    ]
    await book.post(act, entries, refusals={"open_items_not_over": _held})
    instalments: list[Mapping[str, Any]] = [row for made in issued for row in made.rows]
    if instalments:
        await act.tx.connection.execute(RECORD, as_json(instalments))


def _held() -> Conflict:
    return Conflict(
        "Something that is still owed for the order is held by what is pending; end that first.", field="id"
    )


def _entry(row: Row, made: _Issued) -> Entry:
    return Entry(
        kind="invoice.issued",
        key=f"invoice {row['id']}",
        source=("Invoice", row["id"]),
        effective_on=row["issued_on"],
        postings=made.postings,
        customer_id=row["customer_id"],
        items=made.items,
    )
