"""Mutations of payments."""

from __future__ import annotations

from uuid import UUID

import strawberry

from crmgql.domain.money import payments
from crmgql.engine.mutations import Given, input, mutation
from crmgql.engine.scalars import DateTimeText
from crmgql.models import PaymentMethod
from crmgql.records.records import Act
from crmgql.schema.shared_inputs import UNSET, MoneyInput


@input
class PaymentRecordInput:
    amount: MoneyInput
    method: PaymentMethod
    order_id: strawberry.ID | None = UNSET
    customer_id: strawberry.ID | None = UNSET
    pending: bool | None = UNSET
    received_at: DateTimeText | None = UNSET
    installments: int | None = UNSET
    reference: str | None = UNSET
    provider: str | None = UNSET
    provider_reference: str | None = UNSET
    source: str | None = UNSET
    external_id: str | None = UNSET


@input
class PaymentUpdateInput:
    id: strawberry.ID
    expected_version: int | None = UNSET
    reference: str | None = UNSET


@input
class PaymentMoveInput:
    id: strawberry.ID
    expected_version: int | None = UNSET


@input
class PaymentReceiveInput:
    id: strawberry.ID
    expected_version: int | None = UNSET
    received_at: DateTimeText | None = UNSET


@mutation("Payment", PaymentRecordInput)
async def payment_record(act: Act, given: Given) -> UUID:
    """Records a payment for an order, in the order's currency, or a customer's prepayment."""
    return await payments.record(act, **{name: value for name, value in given.items() if value is not None})


@mutation("Payment", PaymentUpdateInput)
async def payment_update(act: Act, given: Given) -> UUID:
    """Changes the reference."""
    return await payments.update(act, **given)


@mutation("Payment", PaymentReceiveInput)
async def payment_receive(act: Act, given: Given) -> UUID:
    """Marks a pending payment as received."""
    return await payments.move(act, "receive", **given)


@mutation("Payment", PaymentMoveInput)
async def payment_fail(act: Act, given: Given) -> UUID:
    """Marks a pending payment as failed."""
    return await payments.move(act, "fail", **given)


@mutation("Payment", PaymentMoveInput)
async def payment_cancel(act: Act, given: Given) -> UUID:
    """Cancels a pending payment."""
    return await payments.move(act, "cancel", **given)
