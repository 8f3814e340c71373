"""Mutations of payments and exchange rates."""

from __future__ import annotations

import strawberry

from crmgql.domain.money import payments, rates
from crmgql.engine import inputs, mutations
from crmgql.engine.inputs import UNSET, input
from crmgql.engine.mutations import Row
from crmgql.engine.scalars import DateTimeText


@input
class PaymentReceiveInput:
    id: strawberry.ID
    expected_version: int | None = UNSET
    received_at: DateTimeText | None = UNSET


mutations.table(
    "Payment",
    Row(
        "paymentRecord",
        "Records a payment for an order, in the order's currency, or a customer's prepayment.",
        payments.record,
        input=inputs.create(
            "amount method order_id customer_id received_at installments reference provider provider_reference",
            also={"pending": bool | None},
            optional="customer_id",
        ),
    ),
    Row("paymentUpdate", "Changes the reference.", payments.update, input=inputs.update("reference")),
    Row("paymentReceive", "Marks a pending payment as received.", payments.move, "receive", input=PaymentReceiveInput),
    Row("paymentFail", "Marks a pending payment as failed.", payments.move, "fail"),
    Row("paymentCancel", "Cancels a pending payment.", payments.move, "cancel"),
)

mutations.table(
    "FxRate",
    Row(
        "fxRateSet",
        "Sets what one unit of a currency is worth in the base currency of the books, from a day on. What was posted already stays as it is.",
        rates.set_rate,
        input=inputs.create("currency effective_on rate source", optional="source", origin=False),
    ),
)
