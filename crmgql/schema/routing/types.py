"""Routing: rule sets and rules, sellers' profiles, queues, decisions."""

from crmgql import models
from crmgql.engine.declare import column, many, node, one


@node(models.RoutingRuleset, order="-number")
class RoutingRuleset:
    """A version of the routing rules."""

    name = column()
    number = column(sort=True)
    status = column(enum=models.RulesetStatus)
    currency = column(doc="Budgets are compared in this currency.")
    rates = column(doc='What one unit of another currency is worth in it, such as {"EUR": "1.08"}.')
    account_owner_first = column(doc="Whether a lead of an existing customer goes to the customer's owner first.")
    accept_within_min = column(doc="Minutes within which an owner must accept; null: they need not.")
    max_reroutes = column()
    activated_at = column()
    fallback_queue = one()
    rules = many("RoutingRule", "ruleset", order="position")


@node(models.RoutingRule, order="position")
class RoutingRule:
    """A rule: the first one whose conditions a lead meets decides."""

    name = column()
    position = column(sort=True)
    conditions = column()
    target = column(enum=models.RoutingTarget)
    seller_match = column()
    distribution = column(enum=models.Distribution)
    max_lead_age_h = column()
    respect_capacity = column()
    ruleset = one()
    target_user = one()
    target_team = one()
    target_queue = one()
    decisions = many("AssignmentDecision", "rule", order="-decidedAt")


@node(models.LeadQueue, order="name")
class LeadQueue:
    """A queue in which leads wait for a person, until a deadline."""

    name = column(sort=True)
    deadline_min = column()
    owner = one()
    leads = many("Lead", "queue", order="-receivedAt")


@node(models.SellerProfile)
class SellerProfile:
    """What routing knows of a seller."""

    attributes = column()
    max_open = column()
    max_per_day = column()
    weight = column()
    hours = column()
    opted_out = column()
    user = one()


@node(models.Absence, order="-startsAt")
class Absence:
    """A time in which a seller gets no leads."""

    starts_at = column(sort=True)
    ends_at = column()
    reason = column()
    cancelled_at = column()
    user = one()


@node(models.AssignmentDecision, order="-decidedAt")
class AssignmentDecision:
    """A decision about a lead's owner or queue, with its reason."""

    reason = column(enum=models.RoutingReason)
    explanation = column(doc="The decision in words.")
    candidates = column(doc="Every seller that was considered, with the reason code.")
    attempt = column()
    decided_at = column(sort=True)
    lead = one()
    ruleset = one()
    rule = one()
    chosen = one()
    previous = one()
    queue = one()
    actor = one()
