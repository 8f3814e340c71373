"""Leads, campaigns and where leads come from."""

from crmgql import models
from crmgql.schema.declare import column, many, money, node, one
from crmgql.schema.types import results


@node(models.Lead, prefix="led", order="-receivedAt")
class Lead:
    """Somebody who might buy."""

    name = column(sort=True)
    company = column()
    title = column()
    email = column()
    phone = column()
    website = column()
    industry = column()
    region = column()
    country = column()
    city = column()
    segment = column()
    employee_count = column()
    budget = money()
    currency = column()
    message = column(filter=False)
    attributes = column()
    lead_source = column(doc="Where it came from, such as web, event or organic_search.")
    score = column(sort=True)
    email_opt_out = column()
    status = column(enum=models.LeadStatus)
    status_since = column()
    lost_reason = column()
    received_at = column(sort=True)
    last_activity_at = column()
    assigned_at = column()
    accepted_at = column()
    accept_by = column(doc="Until when the owner must accept, or it goes to somebody else.")
    queue_deadline = column()
    protected_until = column()
    converted_at = column()
    campaign = one()
    intake_source = one()
    owner = one()
    routing = one("Why it is where it is: the latest decision.")
    queue = one()
    pool = one()
    customer = one()
    contact = one()
    opportunity = one()
    merged_into = one()
    decisions = many("AssignmentDecision", "lead", order="-decidedAt")
    transitions = many("LeadTransition", "lead", order="-occurredAt")
    duplicates = many("LeadDuplicate", "lead")
    duplicate_of = many("LeadDuplicate", "other")
    merged = many("Lead", "merged_into")
    tasks = many("Task", "lead")
    emails = many("EmailMessage", "lead")
    pool_moves = many("PoolMove", "lead", order="-occurredAt")


@node(models.LeadTransition, prefix="ltr", order="-occurredAt")
class LeadTransition:
    """A change of a lead's status."""

    from_status = column(enum=models.LeadStatus)
    to_status = column(enum=models.LeadStatus)
    reason = column()
    seconds_in_status = column()
    occurred_at = column(sort=True)
    lead = one()
    actor = one()


@node(models.LeadDuplicate, prefix="dup", order="-id")
class LeadDuplicate:
    """Two leads that look like one."""

    reasons = column()
    similarity = column(doc="Per cent.")
    status = column(enum=models.DuplicateStatus)
    settled_at = column()
    lead = one()
    other = one()


@node(models.Campaign, prefix="cam", order="name")
class Campaign:
    """What brings leads, and what it costs."""

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


@node(models.IntakeSource, prefix="isr", order="name")
class IntakeSource:
    """A form, page or partner that hands in leads with a key of its own."""

    name = column(sort=True)
    hint = column(doc="The first characters of the key, to recognise it by.")
    active = column()
    rate_per_minute = column()
    allowed_origins = column(filter=False)
    lead_source = column()
    campaign = one()
    leads = many("Lead", "intake_source", order="-receivedAt")


@node(models.FollowUpRule, prefix="fur", order="name")
class FollowUpRule:
    """What happens so many hours after a lead came into a status, if it still is in it."""

    name = column(sort=True)
    lead_status = column(enum=models.LeadStatus)
    after_h = column()
    action = column(enum=models.FollowUpAction)
    subject = column()
    body = column(filter=False)
    active = column()
