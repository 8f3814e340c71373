"""Payments."""

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
