"""Opportunities."""

from crmgql import models
from crmgql.schema.declare import column, many, money, node, one


@node(models.Opportunity, prefix="opp", plural="opportunities")
class Opportunity:
    """A deal in the making."""

    name = column()
    stage = column(enum=models.OpportunityStage)
    amount = money("amount")
    currency = column()
    probability = column(doc="Per cent.")
    engaged_on = column()
    expected_close = column(sort=True)
    closed_on = column()
    lost_reason = column()
    owner = one()
    customer = one()
    contact = one()
    product = one()
    orders = many("Order", "opportunity", order="-orderedAt")
    interactions = many("Interaction", "opportunity", order="-occurredAt")
