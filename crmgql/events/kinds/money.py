"""Payments and exchange rates."""

from datetime import date

from crmgql.events.declarations import ALWAYS, Changed, Exact, Kind, Money, Payload, record_id


class PaymentMoved(Changed):
    """The payment's amount."""

    amount: Money


class PaymentAllocated(Changed):
    """How much was allocated, all in all; `allocation.made` tells of each part."""

    amount: Money


class AllocationMade(Payload):
    """How much of the payment settles how much of the order."""

    amount: Money
    order_id: record_id("Order")  # type: ignore[valid-type]
    payment_id: record_id("Payment")  # type: ignore[valid-type]


class AllocationUndone(AllocationMade):
    """The allocation that is undone, and its figures."""

    undoes_id: record_id("Allocation")  # type: ignore[valid-type]


class RateSet(Payload):
    """What one unit of the currency is worth in the base currency, from the day on."""

    currency: str
    base_currency: str
    effective_on: date
    rate: Exact


KINDS = (
    Kind("payment.expected", "Payment", "A payment is expected.", PaymentMoved, ALWAYS),
    Kind("payment.received", "Payment", "A payment was received.", PaymentMoved, ALWAYS),
    Kind("payment.failed", "Payment", "An expected payment failed.", PaymentMoved, ALWAYS),
    Kind("payment.cancelled", "Payment", "An expected payment was cancelled.", PaymentMoved, ALWAYS),
    Kind("payment.allocated", "Payment", "Somebody allocated what was left of a payment.", PaymentAllocated, ALWAYS),
    Kind("payment.updated", "Payment", "A payment's reference changed.", customer=ALWAYS),
    Kind("allocation.made", "Allocation", "A part of a payment settles a part of an order.", AllocationMade, ALWAYS),
    Kind("allocation.undone", "Allocation", "An allocation was undone, by another one.", AllocationUndone, ALWAYS),
    Kind("rate.set", "FxRate", "An exchange rate was set.", RateSet),
)
