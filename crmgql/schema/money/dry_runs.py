"""What a refund, or a credit note of what ends early, would come to."""

from __future__ import annotations

from typing import Any

import strawberry

from crmgql.domain.money import early_ends, refunds
from crmgql.engine.computed import Ask, computed
from crmgql.engine.scalars import DateText, DateTimeText, DecimalText
from crmgql.engine.strawberries import REQUIRED, Argument, Field, lazy, list_of, object_type, optional

object_type(
    "RefundUndoing",
    [
        Field("allocationId", strawberry.ID, "The allocation that would be undone."),
        Field(
            "orderId",
            optional(strawberry.ID),
            "The order that would be owed again. Null if you may not see it, as the others.",
        ),
        Field("invoiceId", optional(strawberry.ID), "The invoice that would be owed again."),
        Field("disputeId", optional(strawberry.ID), "The lost dispute of which it would be owed again."),
        Field("amount", lazy("Money"), "How much of it; the rest would settle the same again."),
    ],
    "What would be undone for a refund.",
)
object_type(
    "RefundDryRun",
    [
        Field("amount", lazy("Money"), "How much would go back."),
        Field("unallocated", lazy("Money"), "What is left of the payment now, without undoing anything."),
        Field("undoes", list_of(lazy("RefundUndoing")), "In the order in which they would be undone."),
        Field("takenBack", lazy("Money"), "What would come back of what the payment passed on to other customers."),
    ],
    "What a refund would come to.",
)


@computed(
    "refundDryRun",
    lazy("RefundDryRun"),
    arguments=(
        Argument("paymentId", strawberry.ID, REQUIRED),
        Argument("amount", DecimalText, None, "In the payment's currency; left out, as refundRequest."),
        Argument("allocationIds", list[strawberry.ID], None),
    ),
    calls=refunds.dry_run,
)
async def refund_dry_run(ask: Ask, **values: Any) -> Any:
    """What refundRequest would hold and undo. Nothing is changed."""
    return await refunds.dry_run(ask.database, ask.viewer, **values)


object_type(
    "CreditNoteDryRunLine",
    [
        Field("invoiceLineId", strawberry.ID),
        Field("description", str),
        Field("firstOn", DateText, "The day on which the order was confirmed."),
        Field("lastOn", DateText, "The last day of the product's months."),
        Field("daysLeft", int, "The days after the one on which it ends."),
        Field("net", lazy("Money"), "What is left of the line, without tax: send it to creditNoteIssue."),
    ],
    "What is left of an invoice's line.",
)
object_type(
    "CreditNoteDryRun",
    [
        Field("timezone", str, "The customer's, or else the company's, whose days are counted."),
        Field("endedOn", DateText, "The day on which it ends, which is still used."),
        Field("net", lazy("Money")),
        Field("tax", lazy("Money")),
        Field("total", lazy("Money")),
        Field("lines", list_of(lazy("CreditNoteDryRunLine")), "Those of which something is left."),
    ],
    "What a credit note would come to.",
)


@computed(
    "creditNoteDryRun",
    lazy("CreditNoteDryRun"),
    arguments=(
        Argument("invoiceId", strawberry.ID, REQUIRED),
        Argument("endedAt", DateTimeText, None, "When what was sold over time ends; left out, now."),
    ),
    calls=early_ends.dry_run,
)
async def credit_note_dry_run(ask: Ask, **values: Any) -> Any:
    """What creditNoteIssue would take back of an invoice where what is used over time ends early: its days that are left. Nothing is
    changed."""
    return await early_ends.dry_run(ask.database, ask.viewer, **values)
