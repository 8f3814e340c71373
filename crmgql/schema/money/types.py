"""Payments, exchange rates, periods of the books."""

from crmgql import models
from crmgql.engine.declare import column, many, money, node, one


@node(models.Payment, order="-createdAt")
class Payment:
    """A payment that was received or is expected; without an order it is a prepayment."""

    amount = money("amount")
    currency = column()
    method = column(enum=models.PaymentMethod)
    status = column(enum=models.PaymentStatus)
    installments = column()
    received_at = column(sort=True)
    reference = column()
    provider = column()
    provider_reference = column()
    customer = one()
    order = one()
    commissions = many("Commission", "payment", order="-earnedAt", few=True)


@node(models.FxRate, order="-effectiveOn")
class FxRate:
    """What one unit of a currency is worth in the base currency of the books, from a day on, until a later day has a rate.

    Of several for the same day the newest counts: the one with the largest id.
    """

    currency = column()
    base_currency = column()
    effective_on = column(sort=True)
    rate = column()
    source = column(doc="Who says so, such as MANUAL, ECB, or the source of an import.")


@node(models.AccountingPeriod, order="-firstOn")
class AccountingPeriod:
    """Days of the books that are open, soft closed (adjusting entries only) or closed. Days without a period are open."""

    first_on = column(sort=True)
    last_on = column()
    status = column(enum=models.PeriodStatus)
    closed_at = column(doc="When it was closed or soft closed.")
