"""Payments."""

from crmgql.events.declarations import ALWAYS, Changed, Kind, Money


class PaymentMoved(Changed):
    """How much it is about."""

    amount: Money


KINDS = (
    Kind("payment.expected", "Payment", "A payment is on its way.", PaymentMoved, ALWAYS),
    Kind("payment.received", "Payment", "Money came in.", PaymentMoved, ALWAYS),
    Kind("payment.failed", "Payment", "A payment that was on its way failed.", PaymentMoved, ALWAYS),
    Kind("payment.cancelled", "Payment", "A payment that was on its way was called off.", PaymentMoved, ALWAYS),
    Kind("payment.updated", "Payment", "A payment's reference changed.", customer=ALWAYS),
)
