"""Payments."""

from crmgql.events.declarations import ALWAYS, Changed, Kind, Money


class PaymentMoved(Changed):
    """The payment's amount."""

    amount: Money


KINDS = (
    Kind("payment.expected", "Payment", "A payment is expected.", PaymentMoved, ALWAYS),
    Kind("payment.received", "Payment", "A payment was received.", PaymentMoved, ALWAYS),
    Kind("payment.failed", "Payment", "An expected payment failed.", PaymentMoved, ALWAYS),
    Kind("payment.cancelled", "Payment", "An expected payment was cancelled.", PaymentMoved, ALWAYS),
    Kind("payment.updated", "Payment", "A payment's reference changed.", customer=ALWAYS),
)
