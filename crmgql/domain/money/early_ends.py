"""What is credited of an invoice where what it is for ends early: of each line that is used over time the days that are left. A dry run: a
credit note of these lines takes it back.

Enters: an issued invoice, the moment. Leaves: lines, as a credit note takes them, and what it would come to. Always holds: no more than is
left to credit; days are those of the customer's time zone, and the day on which it ends is still used.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from crmgql import access
from crmgql.db import Database, Transaction
from crmgql.domain.money import credit_notes
from crmgql.domain.money.crediting import Credit
from crmgql.domain.money.pro_rata import Period
from crmgql.domain.sales import recognition
from crmgql.models import Invoice
from crmgql.models.names import api_id
from crmgql.records import money, records
from crmgql.records.days import day_of
from crmgql.records.records import Act, Row
from crmgql.viewer import Viewer

# Parameters: customer, order, invoice. The invoice's lines that are used over time, from the confirmation of the order on.
LINES = """
SELECT l.id, l.description, l.net_amount, coalesce(sum(c.net_amount), 0) AS credited_amount, booked.recognition_months AS months,
    coalesce(o.confirmed_at, o.ordered_at) AS begins_at
FROM orders o JOIN invoice_lines l ON l.customer_id = o.customer_id AND l.invoice_id = $3
JOIN revenue_lines booked ON booked.customer_id = o.customer_id AND booked.order_id = o.id AND booked.revision = o.revenue_revision
    AND booked.line_id = l.order_line_id AND booked.recognition = 'OVER_TIME'
LEFT JOIN credit_note_lines c ON c.customer_id = l.customer_id AND c.invoice_line_id = l.id
WHERE o.customer_id = $1 AND o.id = $2
GROUP BY l.id, booked.recognition_months, o.confirmed_at, o.ordered_at ORDER BY l.position, l.id"""
ZONE = "SELECT timezone FROM customers WHERE id = $1"


async def dry_run(
    database: Database, viewer: Viewer, *, invoice_id: UUID, ended_at: datetime | None = None
) -> dict[str, Any]:
    """What a credit note would take back if all of the invoice's lines that are used over time ended at a moment, or now.

    Raises `Forbidden`, `NotFound`, `IllegalTransition` for an invoice that is not issued.
    """
    zone = await database.zone()
    async with database.snapshot() as connection:
        act = Act(Transaction(connection, zone), viewer)
        access.require_write(viewer, "CreditNote")
        invoice = await records.shown(act, Invoice, invoice_id, field="invoiceId")
        credit_notes.require_issued(invoice)
        key = invoice["customer_id"], invoice["order_id"], invoice_id
        rows = await connection.fetch(LINES, *key)
        name = await connection.fetchval(ZONE, invoice["customer_id"])
    own, at, currency = ZoneInfo(name) if name else zone, ended_at or viewer.now(), invoice["currency"]
    invoiced = credit_notes.invoiced(invoice)
    lines = _within(invoiced.rest.net, [_line(row, at, own, currency) for row in rows])
    net = sum((each["net"] for each in lines), money.rounded(Decimal(0), currency))
    credit = invoiced.of_net(net, field="invoiceId") if net else Credit(net, net)
    return {
        "timezone": own.key,
        "endedOn": day_of(at, own),
        "net": _money(credit.net, currency),
        "tax": _money(credit.tax, currency),
        "total": _money(credit.total, currency),
        "lines": [each | {"net": _money(each["net"], currency)} for each in lines if each["net"]],
    }


def _line(row: Mapping[str, Any], at: datetime, zone: ZoneInfo, currency: str) -> Row:
    """What is left of a line, as far as it is not credited yet. Pure."""
    first = day_of(row["begins_at"], zone)
    period = Period(first, recognition.last_day(first, row["months"]), row["net_amount"], currency)
    return {
        "invoiceLineId": api_id("InvoiceLine", row["id"]),
        "description": row["description"],
        "firstOn": period.first,
        "lastOn": period.last,
        "daysLeft": period.days_after(at, zone),
        "net": min(period.ended(at, zone), row["net_amount"] - row["credited_amount"]),
    }


def _within(left: Decimal, lines: Sequence[Row]) -> list[Row]:
    """No more than is left of the invoice, as some of it may be credited without naming a line; the first lines come first. Pure."""
    found = []
    for each in lines:
        net = min(each["net"], left)
        found.append(each | {"net": net})
        left -= net
    return found


def _money(amount: Decimal, currency: str) -> dict[str, str]:
    return {"amount": f"{money.rounded(amount, currency):f}", "currency": currency}
