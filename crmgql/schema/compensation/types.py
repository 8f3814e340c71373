"""Commissions."""

from crmgql import models
from crmgql.engine.declare import column, money, node, one


@node(models.Commission, order="-earnedAt")
class Commission:
    """A seller's share of a payment. Sellers see their own, managers their team's."""

    amount = money("amount")
    base = money(doc="What the rate was applied to.")
    rate = column()
    currency = column()
    status = column(enum=models.CommissionStatus)
    earned_at = column(sort=True)
    seller = one()
    customer = one()
    order = one()
    payment = one()


@node(models.CommissionSplit, plural="commissionSplits")
class CommissionSplit:
    """A person's share of an order, where it is not all its sellers'."""

    role = column(enum=models.CompRole, doc="OWNER: the shares of owners sum to 1. OVERLAY: who helped.")
    share = column(doc="Of 1.")
    user = one()
    order = one()
    customer = one()
