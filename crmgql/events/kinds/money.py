"""Payments and exchange rates."""

from datetime import date

from crmgql.events.declarations import ALWAYS, Changed, Exact, Kind, Money, Payload


class PaymentMoved(Changed):
    """The payment's amount."""

    amount: Money


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
    Kind("payment.updated", "Payment", "A payment's reference changed.", customer=ALWAYS),
    Kind("rate.set", "FxRate", "An exchange rate was set.", RateSet),
)
