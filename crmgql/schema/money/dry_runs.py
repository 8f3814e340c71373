"""What a refund would come to."""

from __future__ import annotations

from typing import Any

import strawberry

from crmgql.domain.money import refunds
from crmgql.engine.computed import Ask, computed
from crmgql.engine.scalars import DecimalText
from crmgql.engine.strawberries import REQUIRED, Argument, Field, lazy, list_of, object_type, optional

object_type(
    "RefundUndoing",
    [
        Field("allocationId", strawberry.ID, "The allocation that would be undone."),
        Field("orderId", optional(strawberry.ID), "The order that would be owed again."),
        Field("invoiceId", optional(strawberry.ID), "The invoice that would be owed again."),
        Field("amount", lazy("Money"), "How much of it; the rest would settle the order again."),
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
