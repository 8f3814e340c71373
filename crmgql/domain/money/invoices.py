"""Invoices: drafted from an order, then issued with a number, or discarded. What is issued never changes; credit notes take it back.

`MOVES` says which changes of status are allowed.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import Any
from uuid import UUID

from crmgql import access
from crmgql.domain.money import invoicing, issuing, numbers, terms
from crmgql.domain.money.invoicing import Figures, Wanted
from crmgql.domain.sales import orders
from crmgql.errors import BadUserInput, Conflict, IllegalTransition
from crmgql.models import Customer, DocumentKind, Invoice, InvoiceLine, Order
from crmgql.records import money, records
from crmgql.records.columns import ORIGIN, takes
from crmgql.records.money import Money
from crmgql.records.moves import Move, Moves
from crmgql.records.records import Act, Row

MOVES = Moves(
    Invoice,
    issue=Move({"DRAFT"}, "ISSUED", "invoice.issued"),
    discard=Move({"DRAFT"}, "DISCARDED", "invoice.discarded"),
)
CONFLICTS = {
    "invoices_one_draft": ("orderId", "The order has a draft already; issue or discard that one first."),
    "invoices_number": ("number", "Another invoice has this number; choose another series."),
    "orders_invoiced": ("id", "More would be invoiced than the order's total."),
}
# Parameters: customer, order. What is invoiced of the order's figures, and of each of its lines.
INVOICED = """
SELECT coalesce(sum(subtotal_amount), 0) AS subtotal_amount, coalesce(sum(shipping_amount), 0) AS shipping_amount,
    coalesce(sum(tax_amount), 0) AS tax_amount, coalesce(sum(discount_amount), 0) AS discount_amount
FROM invoices WHERE customer_id = $1 AND order_id = $2 AND status = 'ISSUED'"""
INVOICED_LINES = """
SELECT l.order_line_id, sum(l.quantity) AS quantity, sum(l.discount_amount) AS discount_amount, sum(l.shipping_amount) AS shipping_amount,
    sum(l.line_amount) AS line_amount
FROM invoices i JOIN invoice_lines l ON l.customer_id = i.customer_id AND l.invoice_id = i.id
WHERE i.customer_id = $1 AND i.order_id = $2 AND i.status = 'ISSUED' GROUP BY l.order_line_id"""
ADDRESS = """coalesce({0}.billing_address, nullif(concat_ws(E'\\n', nullif(concat_ws(' ', {0}.postal_code, {0}.city), ''), {0}.state,
    {0}.country), ''))"""
# Parameter: customer. Both parties' particulars as they are now.
PARTIES = f"""
SELECT companies.name AS issuer_name, companies.address AS issuer_address, companies.tax_id AS issuer_tax_id, c.name AS recipient_name,
    left({ADDRESS.format("c")}, 1000) AS recipient_address, c.tax_id AS recipient_tax_id
FROM companies CROSS JOIN customers c WHERE c.id = $1"""
TERMS = (
    "SELECT coalesce(c.payment_terms, companies.payment_terms) FROM companies CROSS JOIN customers c WHERE c.id = $1"
)


@takes(Invoice, "note", ORIGIN)
async def create(
    act: Act,
    *,
    order_id: UUID,
    lines: Sequence[Wanted] | None = None,
    amount: Money | None = None,
    payment_terms: str | None = None,
    **more: Any,
) -> UUID:
    """Drafts an invoice of an order: of the lines or the amount that are named, else of all that is not invoiced yet.

    Raises `InvoiceExceedsOrder`, `IllegalTransition` for an order that is not confirmed, `Conflict` where nothing is left or
    there is a draft already.
    """
    access.require_write(act.viewer, "Invoice")
    if lines is not None and amount is not None:
        raise BadUserInput("An invoice is of lines or of an amount, not of both.", field="amount")
    order = await records.visible(act, Order, order_id, field="orderId", steady=True)
    _require_committed(order, "orderId")
    rest = await _rest(act, order)
    if rest.figures.total == 0:
        raise Conflict("Nothing of the order is left to invoice.", field="orderId")
    if lines is not None:
        if not lines:
            raise BadUserInput("Name at least one line.", field="lines")
        part = invoicing.by_lines(rest, lines)
    elif amount is not None:
        sent = money.amount(amount, order["currency"], field="amount", positive=True)
        part = invoicing.by_amount(rest, sent)
    else:
        part = invoicing.whole(rest)
    if part[0].total <= 0:
        raise BadUserInput("These lines come to nothing; choose others with them.", field="lines")
    if part[0].total < part[0].tax:
        raise BadUserInput(
            "The discount is more than what it is of, and takes some of the tax, too; lower both with orderAmend, or choose other lines.",
            field="orderId" if lines is None else "lines",
        )
    values = {
        "customer_id": order["customer_id"],
        "order_id": order_id,
        "order_revision": order["revenue_revision"],
        "currency": order["currency"],
        "payment_terms": None if payment_terms is None else terms.written(payment_terms),
        **part[0].columns,
        **more,
    }
    payload = {"amount": (part[0].total, order["currency"])}
    invoice = await records.create(act, Invoice, values, kind="invoice.drafted", conflicts=CONFLICTS, payload=payload)
    owner = {"customer_id": order["customer_id"], "invoice_id": invoice["id"]}
    made = [{**owner, **row} for row in invoicing.line_rows(part, order["currency"])]
    await records.insert_many(act, InvoiceLine, made, each=lambda number: f"lines.{number}.")
    return invoice["id"]  # type: ignore[no-any-return]


async def issue(
    act: Act, *, id: UUID, expected_version: int | None = None, issued_on: date | None = None, series: str | None = None
) -> UUID:
    """Issues a draft: it gets its number, and what is owed of it its due dates. An order that is invoiced whole becomes INVOICED.

    Raises `Conflict` where the order was changed since, or the day does not fit; `IllegalTransition`, `PeriodClosed`.
    """
    invoice, move = await MOVES.lock(act, "issue", id, expected_version=expected_version)
    order = await records.lock(act, Order, invoice["order_id"])
    _require_committed(order, "id")
    if order["revenue_revision"] != invoice["order_revision"]:
        raise Conflict("The order was changed since; discard this draft and make another.", field="id")
    day = issued_on or act.today
    if day > act.today:
        raise BadUserInput(f"Today is {act.today}; an invoice is not of a later day.", field="issuedOn")
    named = invoice["payment_terms"] or await act.tx.connection.fetchval(TERMS, invoice["customer_id"])
    due = terms.due_dates(day, invoice["total_amount"], terms.parse(named), invoice["currency"])
    number = await numbers.take(act, DocumentKind.INVOICE, day, series=series)
    parties = await act.tx.connection.fetchrow(PARTIES, invoice["customer_id"])
    dates = {"issued_on": day, "due_on": due[-1][0], "payment_terms": named}
    payload = {"amount": (invoice["total_amount"], invoice["currency"]), "number": number.columns["number"], **dates}
    payload.pop("payment_terms")
    changes = move.changes(act.now) | number.columns | dict(parties) | dates
    await records.change(act, Invoice, invoice, changes, kind=move.event, conflicts=CONFLICTS, payload=payload)
    await issuing.follow(act, [id])
    await _follow_order(act, order, order["invoiced_amount"] + invoice["total_amount"])
    return id


async def discard(act: Act, *, id: UUID, expected_version: int | None = None) -> UUID:
    """Discards a draft; the order can be invoiced otherwise."""
    invoice, move = await MOVES.lock(act, "discard", id, expected_version=expected_version)
    payload = {"amount": (invoice["total_amount"], invoice["currency"])}
    await records.change(act, Invoice, invoice, move.changes(act.now), kind=move.event, payload=payload)
    return id


async def set_terms(
    act: Act, *, id: UUID, payment_terms: str | None = None, expected_version: int | None = None
) -> UUID:
    """Sets the terms of a customer's invoices from now on; without any they are the company's."""
    access.require_write(act.viewer, "Invoice")
    access.require_write(act.viewer, "Customer")
    customer = await records.lock(act, Customer, id, expected_version=expected_version)
    changes = {"payment_terms": None if payment_terms is None else terms.written(payment_terms)}
    await records.change(act, Customer, customer, changes, kind="customer.updated")
    return id


def _require_committed(order: Row, field: str) -> None:
    if not order["committed"]:
        raise IllegalTransition(f"A {order['status']} order is not invoiced; confirm it first.", field=field)


async def _rest(act: Act, order: Row) -> invoicing.Rest:
    keys = (order["customer_id"], order["id"])
    lines = await act.tx.connection.fetch(orders.LINES, *keys)
    invoiced = Figures.of(await act.tx.connection.fetchrow(INVOICED, *keys))
    by_line = {row["order_line_id"]: row for row in await act.tx.connection.fetch(INVOICED_LINES, *keys)}
    return invoicing.rest_of(order, [dict(row) for row in lines], invoiced, by_line)


async def _follow_order(act: Act, order: Row, invoiced: Decimal) -> None:
    move = orders.MOVES["invoice"]
    if invoiced == order["total_amount"] and order["status"] in move.sources:
        await records.change(act, Order, order, move.changes(act.now), kind=move.event)
