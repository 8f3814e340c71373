"""Commissions."""

from crmgql import models
from crmgql.engine.declare import column, money, node, one
from crmgql.schema.compensation.explanation import attained, explanation


@node(models.Commission, order="-earnedAt")
class Commission:
    """What somebody earns by an order, or below 0 what is taken back of it. Sellers see their own, managers their team's. Those of
    plans never change: what is due otherwise later on is another one."""

    amount = money("amount")
    base = money(doc="What the rate was applied to.")
    rate = column()
    currency = column()
    status = column(enum=models.CommissionStatus)
    earned_at = column(sort=True)
    kind = column(
        enum=models.CommissionKind, doc="ADJUST: the difference by which what was posted becomes what is due."
    )
    earned_on = column(doc="The day of what it is for; null of imported ones, as all that follows.")
    role = column(enum=models.CompRole, doc="As what the seller is credited with the order.")
    share = column(doc="Of the order, in this role: 1 is all of it.")
    attained_before = attained(
        "attained_before", "What was attained in the plan's period before it, in the plan's currency."
    )
    attained_after = attained("attained_after", "And with it.")
    explanation = explanation()
    rule = one()
    plan_version = one()
    seller = one()
    customer = one()
    order = one()
    payment = one()


@node(models.CommissionProblem, order="-startsOn")
class CommissionProblem:
    """Why somebody's orders on these days pay nothing yet, and what to do. It goes by itself, and they are paid, once that is done."""

    code = column(enum=models.CommissionTrouble, doc="QUOTA_MISSING: `quotaSet`; RATE_MISSING: `rateRecord`.")
    starts_on = column(sort=True)
    ends_on = column()
    message = column(doc="For people.")
    user = one()


@node(models.CommissionSplit, plural="commissionSplits")
class CommissionSplit:
    """A person's share of an order, where it is not all its sellers'."""

    role = column(enum=models.CompRole, doc="OWNER: the shares of owners sum to 1. OVERLAY: who helped.")
    share = column(doc="Of 1.")
    user = one()
    order = one()
    customer = one()
