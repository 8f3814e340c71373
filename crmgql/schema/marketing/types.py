"""Campaigns, intake sources and follow-up rules."""

from crmgql import models
from crmgql.engine.declare import column, many, money, node, one
from crmgql.schema.marketing import results


@node(models.Campaign, order="name")
class Campaign:
    """A marketing campaign: what it costs and the leads that it brings."""

    name = column(sort=True)
    channel = column(enum=models.CampaignChannel)
    status = column(enum=models.CampaignStatus)
    currency = column()
    budget = money()
    spend = money()
    starts_on = column()
    ends_on = column()
    owner = one()
    leads = many("Lead", "campaign", order="-receivedAt")
    lead_count = results.lead_count()
    qualified_count = results.qualified_count()
    converted_count = results.converted_count()
    conversion_rate = results.conversion_rate()
    won_count = results.won_count()
    won_revenue = results.won_revenue()
    cost_per_lead = results.cost_per_lead()
    return_on_spend = results.return_on_spend()


@node(models.IntakeSource, order="name")
class IntakeSource:
    """A form, page or partner that posts leads with a key of its own."""

    name = column(sort=True)
    hint = column(doc="The first characters of the key, to recognise it by.")
    active = column()
    rate_per_minute = column()
    allowed_origins = column(filter=False)
    lead_source = column()
    campaign = one()
    leads = many("Lead", "intake_source", order="-receivedAt")


@node(models.FollowUpRule, order="name")
class FollowUpRule:
    """A task or an e-mail a number of hours after a lead came into a status, if it still has it."""

    name = column(sort=True)
    lead_status = column(enum=models.LeadStatus)
    after_h = column()
    action = column(enum=models.FollowUpAction)
    subject = column()
    body = column(filter=False)
    active = column()
