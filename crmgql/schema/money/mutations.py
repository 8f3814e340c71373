"""Mutations of payments, allocations and exchange rates."""

from __future__ import annotations

import strawberry

from crmgql.domain.money import allocations, payments, rates
from crmgql.engine import inputs, mutations
from crmgql.engine.inputs import UNSET, MoneyInput, input
from crmgql.engine.mutations import Row
from crmgql.engine.scalars import DateTimeText


@input
class PaymentReceiveInput:
    id: strawberry.ID
    expected_version: int | None = UNSET
    received_at: DateTimeText | None = UNSET


@input
class PaymentAllocateInput:
    """`orderId`: left out, the customer's open orders, the oldest first. `amount`: left out, as much as fits."""

    id: strawberry.ID
    order_id: strawberry.ID | None = UNSET
    amount: MoneyInput | None = UNSET
    expected_version: int | None = UNSET


@input
class AllocationUndoInput:
    id: strawberry.ID


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
    Row(
        "paymentAllocate",
        "Settles orders of the customer with what is left of a received payment: first its unearned rest, then its credit.",
        allocations.allocate,
        input=PaymentAllocateInput,
    ),
)

mutations.table(
    "Allocation",
    Row(
        "allocationUndo",
        "Takes an allocation back: the order is owed again and the payment has its rest again. Answers with the one that undoes it.",
        allocations.undo,
        input=AllocationUndoInput,
    ),
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
